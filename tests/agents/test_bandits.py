"""Bandits against their formulas, worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.bandits import UCB1, ThompsonBeta, ThompsonGaussian
from curation_gym.envs.rotting_arms import RottingArmsVectorEnv
from curation_gym.envs.score_selection import ScoreSelectionVectorEnv
from curation_gym.policy import Policy, PolicyError
from curation_gym.task import Task

BANDITS = [UCB1, ThompsonGaussian, ThompsonBeta]


@pytest.fixture(scope="module")
def task() -> Task:
    return RottingArmsVectorEnv(1, n_arms=4, horizon=1000, noise="bernoulli").task


def seen(task: Task, pulls: list[float], means: list[float], mask: list[int] | None = None) -> dict:
    """An observation with these arm columns."""
    item = np.zeros((task.n_items, len(task.item)), np.float32)
    for name, values in (("pulls", pulls), ("mean_reward", means)):
        index = task.item_features.index(name)
        item[:, index] = np.asarray(values) / task.item[index].bound
    return {"item": item, "context": np.zeros(2, np.float32), "mask": np.array(mask or [1] * task.n_items, np.int8)}


def test_ucb1_index_is_the_formula(task: Task) -> None:
    pulls, means = [10, 40, 3, 47], [0.5, 0.6, 0.1, 0.55]
    index = UCB1(task, c=0.7).index(seen(task, pulls, means))
    expected = [m + 0.7 * np.sqrt(np.log(100) / n) for m, n in zip(means, pulls, strict=True)]
    np.testing.assert_allclose(index, expected, rtol=1e-5)


def test_ucb1_tries_every_arm_first(task: Task) -> None:
    assert UCB1(task).predict(seen(task, [5, 0, 3, 0], [1, 0, 1, 0]))[0] == 1


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), masked=st.integers(0, 3))
@pytest.mark.parametrize("bandit", BANDITS)
def test_a_masked_arm_is_never_pulled(task: Task, bandit: type, seed: int, masked: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.ones(4, int)
    mask[rng.permutation(4)[:masked]] = 0
    observation = seen(task, rng.integers(0, 9, 4).tolist(), rng.random(4).tolist(), mask.tolist())
    arm, _ = bandit(task, seed=seed).predict(observation)
    assert mask[arm] == 1


@pytest.mark.parametrize("bandit", BANDITS)
def test_a_batch_is_many_single_observations(task: Task, bandit: type) -> None:
    singles = [seen(task, [1 + i, 2, 3, 4], [0.1 * i, 0.5, 0.4, 0.2]) for i in range(6)]
    batch = {key: np.stack([one[key] for one in singles]) for key in singles[0]}
    arms, _ = bandit(task, seed=0).predict(batch)
    assert arms.shape == (6,)
    assert isinstance(bandit(task), Policy)
    if bandit is UCB1:
        np.testing.assert_array_equal(arms, [bandit(task).predict(one)[0] for one in singles])


def test_thompson_beta_draws_from_its_posterior(task: Task) -> None:
    observation = {key: np.stack([value] * 20_000) for key, value in seen(task, [10] * 4, [0.3] * 4).items()}
    draws = ThompsonBeta(task, seed=0).index(observation).ravel()
    a, b = 1 + 3, 1 + 7
    assert draws.mean() == pytest.approx(a / (a + b), abs=0.003)
    assert draws.var() == pytest.approx(a * b / ((a + b) ** 2 * (a + b + 1)), rel=0.03)


def test_thompson_gaussian_draws_from_its_posterior(task: Task) -> None:
    observation = {key: np.stack([value] * 20_000) for key, value in seen(task, [4] * 4, [0.9] * 4).items()}
    draws = ThompsonGaussian(task, seed=0, scale=0.5, prior_mean=0.1, prior_scale=0.5).index(observation).ravel()
    precision = 1 / 0.25 + 4 / 0.25
    assert draws.mean() == pytest.approx((0.1 * 4 + 0.9 * 16) / precision, abs=0.004)
    assert draws.var() == pytest.approx(1 / precision, rel=0.03)


@pytest.mark.parametrize("bandit", BANDITS)
def test_selection_is_refused(bandit: type) -> None:
    with pytest.raises(PolicyError, match="needs a Discrete allocation task"):
        bandit(ScoreSelectionVectorEnv(1).task)


@pytest.mark.parametrize(
    ("bandit", "kwargs"), [(UCB1, {"c": -1}), (ThompsonGaussian, {"scale": 0}), (ThompsonGaussian, {"prior_scale": -1})]
)
def test_bad_hyperparameters(task: Task, bandit: type, kwargs: dict) -> None:
    with pytest.raises(PolicyError, match="must be"):
        bandit(task, **kwargs)

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from baselines.random import Random
from curation_gym.policy import Policy, PolicyError
from curation_gym.task import Column, Task


def make_task(family: str, action_space: spaces.Space, n_items: int = 6) -> Task:
    return Task(
        env_id="Test-v0",
        family=family,
        item=(Column("x"),),
        context=(Column("budget_left", 10),),
        n_items=n_items,
        horizon=5,
        budget=10,
        action_space=action_space,
    )


def observe(mask: np.ndarray) -> dict[str, np.ndarray]:
    return {"mask": mask.astype(np.int8)}


def test_arms_are_uniform_over_those_that_are_open() -> None:
    policy = Random(make_task("allocation", spaces.Discrete(6)), seed=0)
    assert isinstance(policy, Policy)
    mask = np.tile([1, 0, 1, 1, 0, 1], (20_000, 1))
    arms, _ = policy.predict(observe(mask))
    share = np.bincount(arms, minlength=6) / len(arms)
    np.testing.assert_allclose(share, [0.25, 0, 0.25, 0.25, 0, 0.25], atol=0.015)


def test_selection_makes_the_budget_last() -> None:
    task = make_task("selection", spaces.Box(0, 1, (6,)))
    p, _ = Random(task, seed=0).predict(observe(np.array([[1, 1, 1, 0, 1, 1]])))
    assert p.dtype == np.float32
    np.testing.assert_allclose(p, [np.array([1, 1, 1, 0, 1, 1]) * 10 / (5 * 6)])
    half, _ = Random(task, seed=0, rate=0.5).predict(observe(np.ones(6)))
    assert half.tolist() == [0.5] * 6


def test_binary_selection_draws_at_the_rate() -> None:
    policy = Random(make_task("selection", spaces.MultiBinary(6)), seed=0)
    mask = np.ones((20_000, 6))
    mask[:, 2] = 0
    chosen, _ = policy.predict(observe(mask))
    assert set(np.unique(chosen)) == {0, 1}
    np.testing.assert_allclose(chosen.mean(0), [1 / 3, 1 / 3, 0, 1 / 3, 1 / 3, 1 / 3], atol=0.015)


def test_weights_are_uniform() -> None:
    policy = Random(make_task("mixture", spaces.Box(0, 1, (6,))), seed=0)
    weights, _ = policy.predict(observe(np.ones((20_000, 6))))
    np.testing.assert_allclose(weights.mean(0), 0.5, atol=0.01)
    np.testing.assert_allclose(weights.std(0), 12**-0.5, atol=0.01)


@pytest.mark.parametrize("space", [spaces.Discrete(3), spaces.Box(0, 1, (3,))])
def test_where_an_arm_is_random_sampling_it_is_pulled(space: spaces.Space) -> None:
    arms = ("all/margin", "all/random", "all/entropy")
    task = replace(make_task("allocation", space, n_items=3), arms=arms)
    action, _ = Random(task, seed=0).predict(observe(np.ones((4, 3))))
    chosen = action if action.ndim == 1 else action.argmax(-1)
    assert chosen.tolist() == [1] * 4


def test_the_seed_decides() -> None:
    task = make_task("allocation", spaces.Discrete(6))
    mask = observe(np.ones((50, 6)))
    one, same, other = (Random(task, seed=seed).predict(mask)[0].tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_one_observation_gives_one_action() -> None:
    arm, _ = Random(make_task("allocation", spaces.Discrete(6)), seed=0).predict(observe(np.ones(6)))
    assert np.shape(arm) == ()


@pytest.mark.parametrize("rate", [0.0, 1.5, float("nan")])
def test_a_rate_out_of_range_is_refused(rate: float) -> None:
    with pytest.raises(PolicyError, match=r"rate must be in \(0, 1\]"):
        Random(make_task("selection", spaces.Box(0, 1, (6,))), rate=rate)


def test_a_rate_is_for_selection() -> None:
    with pytest.raises(PolicyError, match="for selection only"):
        Random(make_task("allocation", spaces.Discrete(6)), rate=0.5)

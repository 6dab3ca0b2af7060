"""LinUCB: against a regression that is solved anew at every step, and on rewards that are linear."""

import numpy as np
import pytest

from agents.linucb import LinUCB
from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.envs.rotting_arms import RottingArmsVectorEnv
from curation_gym.pools import Pool
from curation_gym.task import Task

ARMS = 4


@pytest.fixture(scope="module")
def task() -> Task:
    return RottingArmsVectorEnv(1, n_arms=ARMS, horizon=1000, noise_scale=0.1).task


def test_the_index_is_ridge_regression_with_its_width() -> None:
    core = RottingArmsVectorEnv(3, n_arms=ARMS, horizon=40, late_arms=1)
    policy = LinUCB(core.task, alpha=0.7, ridge=2.0)
    observation, _ = core.reset(seed=2)
    xs: list[list[np.ndarray]] = [[], [], []]
    rs: list[list[float]] = [[], [], []]
    state = None
    for _ in range(40):
        arms, state = policy.predict(observation, state)
        for row in range(3):
            design = np.array(xs[row]).reshape(-1, 10)
            A = 2.0 * np.eye(10) + design.T @ design
            theta = np.linalg.solve(A, design.T @ np.array(rs[row]))
            for arm in range(ARMS):
                x = np.concatenate([[1], observation["item"][row, arm], observation["context"][row]]).astype(float)
                expected = theta @ x + 0.7 * np.sqrt(x @ np.linalg.solve(A, x))
                assert policy.index(state)[row, arm] == pytest.approx(expected, rel=1e-4, abs=1e-5)
                if arm == arms[row]:
                    pulled = x
            xs[row].append(pulled)
        observation, rewards, *_ = core.step(arms)
        for row in range(3):
            rs[row].append(float(rewards[row]))


def test_it_learns_a_linear_reward(task: Task) -> None:
    """An arm pays 0.2 + 0.5 · flags − 0.4 · labels_spent and a little noise; both columns are drawn anew each step."""
    rng, policy, column = np.random.default_rng(0), LinUCB(task, alpha=0.2), task.item_features.index
    item = np.zeros((ARMS, len(task.item)), np.float32)
    regret, blind, state = [], [], None
    for _ in range(600):
        flags, labels = rng.random((2, ARMS))
        item[:, column("flags")], item[:, column("labels_spent")] = flags, labels
        mean = 0.2 + 0.5 * flags - 0.4 * labels
        observation = {"item": item, "context": np.zeros(2), "mask": np.ones(ARMS, np.int8)}
        arm, state = policy.predict(observation, state)
        regret.append(mean.max() - mean[arm])
        blind.append(mean.max() - mean.mean())
        item[arm, column("pulls")] += 1 / task.horizon
        paid = mean[arm] + 0.05 * rng.standard_normal()
        item[arm, column("last_reward")] = paid / task.item[column("last_reward")].bound
    assert np.mean(regret[300:]) < 0.02 * np.mean(blind)
    theta = dict(zip(("1", *task.item_features), state["inverse"] @ state["moment"], strict=False))
    assert theta["flags"] == pytest.approx(0.5, abs=0.05)
    assert theta["labels_spent"] == pytest.approx(-0.4, abs=0.05)


def test_embeddings_are_features_only_on_request() -> None:
    rng = np.random.default_rng(0)
    pool = Pool(
        rng.random((60, 3)),
        hidden={"label": rng.integers(2, size=60)},
        split=np.arange(60) % 3,
        class_names=("a", "b"),
    )
    core = AnnotationAllocationVectorEnv(2, pool=pool, budget=15, n_initial=5, batch=2)
    observation, _ = core.reset(seed=0)
    columns, context = len(core.task.item), len(core.task.context)
    assert LinUCB(core.task).features(observation).shape == (2, 5, 1 + columns - 3 + context)
    everything = LinUCB(core.task, embeddings=True).features(observation)
    np.testing.assert_array_equal(everything[..., 1 : 1 + columns], observation["item"])
    np.testing.assert_array_equal(everything[:, 2, 1 + columns :], observation["context"])
    np.testing.assert_array_equal(everything[..., 0], 1)

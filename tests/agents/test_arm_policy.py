"""What every bandit with a history owes: it learns from what it sees, row by row, one episode at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.arm_policy import HistoryPolicy, upper_bound
from agents.linucb import LinUCB
from agents.nonstationary import DiscountedUCB, SlidingWindowUCB
from curation_gym.envs.rotting_arms import RottingArmsVectorEnv
from curation_gym.envs.score_selection import ScoreSelectionVectorEnv
from curation_gym.policy import Policy, PolicyError

Make = Callable[[Any], HistoryPolicy]
KINDS: list[Make] = [
    lambda task: DiscountedUCB(task, gamma=0.8, c=0.3),
    lambda task: SlidingWindowUCB(task, window=6, c=0.3),
    lambda task: LinUCB(task, alpha=0.3),
]
every_kind = pytest.mark.parametrize("make", KINDS, ids=["discounted", "window", "linear"])


def make_core(num_envs: int, **config: Any) -> RottingArmsVectorEnv:
    given = {"n_arms": 4, "horizon": 25, "late_arms": 2, "noise_scale": 0.2}
    return RottingArmsVectorEnv(num_envs, **(given | config))


def play(core: Any, policy: HistoryPolicy, seeds: list[int], steps: int) -> np.ndarray:
    """Arms, (steps, rows)."""
    observation, _ = core.reset(seed=seeds)
    state, start, arms = None, np.ones(len(seeds), np.bool_), []
    for _ in range(steps):
        action, state = policy.predict(observation, state, start)
        observation, _, start, *_ = core.step(action)
        arms.append(action)
    return np.stack(arms)


def row(observation: dict[str, np.ndarray], index: Any) -> dict[str, np.ndarray]:
    return {key: value[index] for key, value in observation.items()}


@every_kind
def test_a_batch_is_many_single_observations(make: Make) -> None:
    seeds = [3, 1, 4, 1, 5]
    together = play(make_core(5), make(make_core(1).task), seeds, 25)
    for i, seed in enumerate(seeds):
        core = make_core(1)
        policy = make(core.task)
        assert isinstance(policy, Policy)
        observation, _ = core.reset(seed=seed)
        state, start = None, np.array([True])  # as Stable-Baselines3 passes it for one observation
        for step in range(25):
            arm, state = policy.predict(row(observation, 0), state, start)
            assert arm.shape == ()
            assert arm == together[step, i]
            observation, *_ = core.step(arm[None])
            start = np.array([False])


@every_kind
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_new_episode_begins_with_nothing(make: Make, mode: AutoresetMode, told: bool) -> None:
    core = make_core(3, autoreset_mode=mode)
    policy = make(core.task)
    observation, _ = core.reset(seed=[7, 8, 9])
    state, start, fresh, over, compared = None, np.ones(3, np.bool_), None, False, 0
    for _ in range(3 * 25):
        if (core.task.read(observation, "pulls") == 0).all():
            fresh, over = None, False
        arms, state = policy.predict(observation, state, start if told else None)
        expected, fresh = policy.predict(observation, fresh)
        if not over:  # what is told after the end of an episode is never used
            np.testing.assert_array_equal(arms, expected)
            compared += 1
        observation, _, start, *_ = core.step(arms)
        over = bool(start.any())
    assert compared > 60


@every_kind
def test_each_row_forgets_alone(make: Make) -> None:
    core = make_core(2)
    policy = make(core.task)
    observation, _ = core.reset(seed=0)
    _, state = policy.predict(observation)
    for arms in ([0, 1], [1, 0], [0, 1]):
        observation, *_ = core.step(np.array(arms))
        _, state = policy.predict(observation, state, np.zeros(2, np.bool_))
    _, after = policy.predict(observation, state, np.array([True, False]))
    _, unknown = policy.predict(observation)
    for name in state:
        np.testing.assert_array_equal(after[name][0], unknown[name][0], err_msg=name)
        np.testing.assert_array_equal(after[name][1], state[name][1], err_msg=name)


@every_kind
def test_it_learns_from_what_another_hand_pulled_and_leaves_its_state_alone(make: Make) -> None:
    core = make_core(2, late_arms=0)
    policy, rng = make(core.task), np.random.default_rng(0)
    observation, _ = core.reset(seed=0)
    _, state = policy.predict(observation)
    for _ in range(10):
        before = {name: value.copy() for name, value in state.items()}
        observation, *_ = core.step(rng.integers(4, size=2))
        _, learnt = policy.predict(observation, state)
        for name, value in before.items():
            np.testing.assert_array_equal(state[name], value, err_msg=name)
        again, _ = policy.predict(observation, state)
        state = learnt
        np.testing.assert_array_equal(policy.largest(policy.index(state), observation), again)
    _, unchanged = policy.predict(observation, state)
    for name, value in unchanged.items():
        np.testing.assert_array_equal(value, state[name], err_msg=f"{name}: nothing was pulled")


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), masked=st.integers(0, 3))
@every_kind
def test_a_masked_arm_is_never_pulled(make: Make, seed: int, masked: int) -> None:
    core, rng = make_core(1, late_arms=0), np.random.default_rng(seed)
    policy = make(core.task)
    observation, _ = core.reset(seed=seed)
    state = None
    for _ in range(6):
        mask = np.ones(4, np.int8)
        mask[rng.permutation(4)[:masked]] = 0
        arms, state = policy.predict({**observation, "mask": mask[None]}, state)
        assert mask[arms[0]] == 1
        observation, *_ = core.step(arms)


@every_kind
def test_a_state_of_other_rows_is_refused(make: Make) -> None:
    policy = make(make_core(1).task)
    _, state = policy.predict(make_core(3).reset(seed=0)[0])
    with pytest.raises(PolicyError, match=r"state is of arms \(3, 4\), the observation has \(2, 4\)"):
        policy.predict(make_core(2).reset(seed=0)[0], state)


@every_kind
def test_selection_is_refused(make: Make) -> None:
    with pytest.raises(PolicyError, match="needs a Discrete allocation task"):
        make(ScoreSelectionVectorEnv(1).task)


@pytest.mark.parametrize(
    ("kind", "kwargs", "message"),
    [
        (DiscountedUCB, {"c": -1}, "DiscountedUCB: c must be >= 0, actual value: -1"),
        (DiscountedUCB, {"gamma": 0}, r"gamma must be in \(0, 1\], actual value: 0"),
        (DiscountedUCB, {"gamma": 1.1}, "gamma must be"),
        (SlidingWindowUCB, {"window": 0}, "window must be an integer >= 1, actual value: 0"),
        (SlidingWindowUCB, {"window": 2.5}, "window must be an integer"),
        (LinUCB, {"alpha": -1}, "alpha must be >= 0"),
        (LinUCB, {"ridge": 0}, "ridge > 0"),
    ],
)
def test_bad_hyperparameters(kind: type, kwargs: dict, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        kind(make_core(1).task, **kwargs)


def test_upper_bound_is_the_formula() -> None:
    bound = upper_bound(np.array([2.5, 0.0, 7.5]), np.array([0.4, 0.0, 0.2]), 0.5)
    expected = [0.4 + 0.5 * np.sqrt(np.log(10) / 2.5), np.inf, 0.2 + 0.5 * np.sqrt(np.log(10) / 7.5)]
    np.testing.assert_allclose(bound, expected)

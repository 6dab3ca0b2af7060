"""UCB for changing rewards: against oracles that keep the whole history as a list, and what it is good for."""

from typing import Any

import numpy as np
import pytest

from agents.bandits import UCB1
from agents.nonstationary import DiscountedUCB, SlidingWindowUCB
from curation_gym.envs.rotting_arms import RottingArmsVectorEnv
from curation_gym.evaluation.rollout import evaluate
from curation_gym.evaluation.statistics import paired_difference

ENV = "CurationGym/RottingArms-v0"


def make_core(num_envs: int, **config: Any) -> RottingArmsVectorEnv:
    return RottingArmsVectorEnv(num_envs, **({"n_arms": 5, "horizon": 60, "late_arms": 2} | config))


def discounted(history: list[tuple[int, float]], arm: int, gamma: float, c: float) -> float:
    count = total = everything = 0.0
    for age, (pulled, reward) in enumerate(reversed(history)):
        everything += gamma**age
        if pulled == arm:
            count += gamma**age
            total += gamma**age * reward
    return total / count + c * np.sqrt(np.log(everything) / count) if count else np.inf


def windowed(history: list[tuple[int, float]], arm: int, window: int, c: float) -> float:
    recent = history[-window:]
    rewards = [reward for pulled, reward in recent if pulled == arm]
    return float(np.mean(rewards)) + c * np.sqrt(np.log(len(recent)) / len(rewards)) if rewards else np.inf


@pytest.mark.parametrize("gamma", [0.7, 0.97, 1.0])
def test_discounted_ucb_is_the_formula(gamma: float) -> None:
    check(lambda task: DiscountedUCB(task, gamma=gamma, c=0.4), lambda h, arm: discounted(h, arm, gamma, 0.4))


@pytest.mark.parametrize("window", [1, 7, 59, 500])
def test_sliding_window_ucb_is_the_formula(window: int) -> None:
    check(lambda task: SlidingWindowUCB(task, window=window, c=0.4), lambda h, arm: windowed(h, arm, window, 0.4))


def check(make: Any, oracle: Any) -> None:
    core = make_core(3)
    policy = make(core.task)
    observation, _ = core.reset(seed=4)
    histories: list[list[tuple[int, float]]] = [[], [], []]
    state = None
    for _ in range(core.task.horizon):
        arms, state = policy.predict(observation, state)
        expected = np.array([[oracle(history, arm) for arm in range(5)] for history in histories])
        np.testing.assert_allclose(policy.index(state), expected, rtol=1e-5, atol=1e-6)
        for row, arm in enumerate(arms):
            allowed = np.where(observation["mask"][row], policy.index(state)[row], -np.inf)
            assert arm == allowed.argmax()
        observation, rewards, *_ = core.step(arms)
        for history, arm, reward in zip(histories, arms, rewards, strict=True):
            history.append((int(arm), float(reward)))


@pytest.mark.parametrize(
    "make", [lambda task: DiscountedUCB(task, gamma=1.0, c=0.4), lambda task: SlidingWindowUCB(task, window=60, c=0.4)]
)
def test_without_forgetting_it_is_ucb1(make: Any) -> None:
    core, other = make_core(4), make_core(4)
    forgetful, plain = make(core.task), UCB1(core.task, c=0.4)
    a, _ = core.reset(seed=1)
    b, _ = other.reset(seed=1)
    state = None
    for _ in range(60):
        arms, state = forgetful.predict(a, state)
        np.testing.assert_array_equal(arms, plain.predict(b)[0])
        a, b = core.step(arms)[0], other.step(arms)[0]


def test_defaults_follow_the_horizon() -> None:
    task = RottingArmsVectorEnv(1, horizon=400).task
    assert DiscountedUCB(task).gamma == 1 - 1 / 80
    assert SlidingWindowUCB(task).window == 98  # ⌈2 √(400 ln 400)⌉
    assert SlidingWindowUCB(RottingArmsVectorEnv(1, horizon=1).task).window == 1


@pytest.mark.parametrize("forgetful", [DiscountedUCB, SlidingWindowUCB])
def test_forgetting_pays_where_arms_wear_out(forgetful: type) -> None:
    """With one and the same width; what is left to show is what forgetting is worth."""
    seeds = range(500, 540)
    task = RottingArmsVectorEnv(1).task
    ours, theirs = (evaluate(kind(task, c=0.1), ENV, {}, seeds).noise_free for kind in (forgetful, UCB1))
    assert paired_difference([ours], [theirs]).low > 0

"""Allocation baselines: constant arms, equal shares, and the lookahead reference."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from sklearn.datasets import load_digits

from baselines.constant_arm import ConstantArm
from baselines.lookahead import Lookahead
from baselines.round_robin import RoundRobin
from baselines.uncertainty import EnsembleEntropy, Margin, Uncertainty
from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.envs.base import CurationVectorEnv
from curation_gym.policy import Policy, PolicyError
from curation_gym.pools import Pool

CRITERIA = ("random", "entropy", "ensemble_entropy", "margin")


def make_core(num_envs: int = 2, **config: Any) -> AnnotationAllocationVectorEnv:
    X, y = load_digits(return_X_y=True)
    pool = Pool(
        X[:400] / 16,
        hidden={"label": y[:400]},
        domain=np.minimum(np.arange(400) // 30, 2),
        domain_names=("small", "also small", "large"),
        split=np.arange(400) % 4 // 3 * 2,
        class_names=tuple("0123456789"),
    )
    return AnnotationAllocationVectorEnv(
        num_envs, pool=pool, **({"criteria": CRITERIA, "learner": {"kind": "linear", "members": 2}} | config)
    )


@pytest.fixture(scope="module")
def core() -> AnnotationAllocationVectorEnv:
    return make_core(3, budget=60)


@pytest.mark.parametrize(
    ("policy", "arm"),
    [(Uncertainty, "all/entropy"), (EnsembleEntropy, "all/ensemble_entropy"), (Margin, "all/margin")],
)
def test_single_strategies_are_constant_arms(core: CurationVectorEnv, policy: type[Policy], arm: str) -> None:
    batch, _ = core.reset(seed=0)
    acting = policy(core.task, seed=1)  # type: ignore[call-arg]
    actions, _ = acting.predict(batch)
    assert actions.tolist() == [core.task.arms.index(arm)] * 3
    core.step(actions)
    single, _ = acting.predict({key: value[0] for key, value in batch.items()})
    assert np.shape(single) == ()
    assert int(single) == core.task.arms.index(arm)


def test_an_arm_is_named_by_its_name_or_a_beginning_that_is_unique() -> None:
    task = gym.make("CurationGym/RottingArms-v0", n_arms=12).unwrapped.task  # type: ignore[attr-defined]
    assert ConstantArm(task, arm="arm_1").arm == 1  # although arm_10 and arm_11 begin alike
    assert ConstantArm(task, arm="arm_11").arm == 11
    with pytest.raises(PolicyError, match=r"arm = 'arm' must name exactly one arm, not 12; arms: arm_0, arm_1"):
        ConstantArm(task, arm="arm")
    with pytest.raises(PolicyError, match=r"arm = 'all/margin' must name exactly one arm, not 0; arms: arm_0"):
        Margin(task)


def test_soft_arms_are_pulled_by_a_weight_of_one() -> None:
    core = make_core(action="soft", budget=30)
    observation, _ = core.reset(seed=0)
    for policy in (Margin(core.task), RoundRobin(core.task)):
        actions, _ = policy.predict(observation)
        assert actions.dtype == np.float32
        assert actions.sum(1).tolist() == [1, 1]
        core.step(actions)


def test_round_robin_takes_turns_and_passes_over_what_is_exhausted() -> None:
    core = make_core(1, subsets="domains", criteria=("random",), budget=150, batch=5)
    policy = RoundRobin(core.task)
    observation, _ = core.reset(seed=0)
    labels, done, pulls = np.zeros(3), False, []
    while not done:
        open_arms = np.flatnonzero(observation["mask"][0])
        expected = min(open_arms, key=lambda arm: (labels[arm], arm))
        action, _ = policy.predict(observation)
        assert action.tolist() == [expected]
        before = core.task.read(observation, "labels_spent")[0]
        observation, _, terminated, _, info = core.step(action)
        assert not info["invalid"][0]
        labels += np.rint(core.task.read(observation, "labels_spent")[0] - before)
        pulls.append(int(expected))
        done = bool(terminated[0])
    assert pulls[:6] == [0, 1, 2, 0, 1, 2]
    assert not observation["mask"][0, :2].any(), "the small domains should run out"
    assert pulls[-1] == 2


def test_round_robin_needs_arms() -> None:
    task = gym.make("CurationGym/ScoreSelection-v0").unwrapped.task  # type: ignore[attr-defined]
    with pytest.raises(PolicyError, match="RoundRobin needs arms"):
        RoundRobin(task)


def test_lookahead_pulls_the_arm_after_which_the_learner_is_best() -> None:
    core = make_core(2, budget=50)
    policy = Lookahead(core.task)
    policy.bind(core)
    observation, _ = core.reset(seed=3)
    done = False
    while not done:
        after = np.array([[core.lookahead(row, np.array(arm)) for arm in range(4)] for row in range(2)])
        action, _ = policy.predict(observation)
        np.testing.assert_array_equal(action, after.argmax(1))
        observation, _, terminated, _, info = core.step(action)
        np.testing.assert_array_equal(info["test_accuracy"], after.max(1))
        done = bool(terminated.all())
    policy.predict(observation)  # what it says of rows that have ended is ignored, but it must not fail


def test_lookahead_sees_truth_only_through_bind() -> None:
    core = make_core(1)
    policy = Lookahead(core.task)
    observation, _ = core.reset(seed=0)
    with pytest.raises(PolicyError, match=r"call bind\(env\) first"):
        policy.predict(observation)
    rotting = gym.make_vec("CurationGym/RottingArms-v0", 1).unwrapped
    with pytest.raises(PolicyError, match="Lookahead retrains the learner of AnnotationAllocation"):
        policy.bind(rotting)

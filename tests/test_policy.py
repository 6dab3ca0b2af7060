"""How a policy is named: a class, a bundle, or a Stable-Baselines3 ``.zip``."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from sb3_contrib import TRPO, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, DQN, PPO

from curation_gym.envs.sb3 import SB3VecEnv
from curation_gym.evaluation.rollout import evaluate
from curation_gym.networks import ItemPolicy
from curation_gym.policy import Policy, PolicyError, make_policy
from curation_gym.task import Task

ENV = "CurationGym/RottingArms-v0"
KWARGS = {"n_arms": 3, "horizon": 12}


@pytest.fixture
def task() -> Task:
    return gym.make(ENV, **KWARGS).unwrapped.task


@pytest.mark.parametrize(
    ("algorithm", "network"),
    [
        (PPO, "MultiInputPolicy"),
        (A2C, "MultiInputPolicy"),
        (TRPO, "MultiInputPolicy"),
        (PPO, ItemPolicy),
        (RecurrentPPO, "MultiInputLstmPolicy"),
    ],
)
def test_a_zip_of_stable_baselines_acts(task: Task, tmp_path: Path, algorithm: type, network: object) -> None:
    env = SB3VecEnv(gym.make_vec(ENV, 2, autoreset_mode="SameStep", **KWARGS))
    batch = {} if algorithm is A2C else {"batch_size": 16}
    model = algorithm(network, env, n_steps=8, seed=0, device="cpu", **batch)
    model.save(tmp_path / "policy.zip")
    policy = make_policy(tmp_path / "policy.zip", task)
    assert isinstance(policy.model, algorithm)
    episodes = evaluate(policy, ENV, KWARGS, [1, 2, 3, 4], deterministic=True)
    np.testing.assert_array_equal(episodes.lengths, 12)
    np.testing.assert_array_equal(
        episodes.returns, evaluate(model, ENV, KWARGS, [1, 2, 3, 4], deterministic=True).returns
    )


def test_a_maskable_policy_sees_the_mask_that_is_observed(tmp_path: Path) -> None:
    kwargs = {"n_arms": 6, "horizon": 20, "late_arms": 5}
    env = SB3VecEnv(gym.make_vec(ENV, 2, autoreset_mode="SameStep", **kwargs))
    MaskablePPO("MultiInputPolicy", env, n_steps=8, batch_size=16, seed=0).save(tmp_path / "policy.zip")
    policy = make_policy(tmp_path / "policy.zip", env.env.task)
    episodes = evaluate(policy, ENV, kwargs, list(range(10)))
    assert (episodes.invalid == 0).all()


def test_a_zip_that_is_none_is_refused(task: Task, tmp_path: Path) -> None:
    (tmp_path / "policy.zip").write_bytes(b"not a zip")
    with pytest.raises(PolicyError, match="is no saved policy that can be loaded"):
        make_policy(tmp_path / "policy.zip", task)


def test_what_was_trained_off_policy_is_refused(task: Task, tmp_path: Path) -> None:
    env = SB3VecEnv(gym.make_vec(ENV, 2, autoreset_mode="SameStep", **KWARGS))
    DQN("MultiInputPolicy", env, buffer_size=10, device="cpu").save(tmp_path / "policy.zip")
    with pytest.raises(PolicyError, match="off-policy; what can be loaded is PPO, A2C, TRPO"):
        make_policy(tmp_path / "policy.zip", task)


def test_a_class_gets_the_task_the_seed_and_its_hyperparameters(task: Task) -> None:
    policy = make_policy("agents.bandits:UCB1", task, 3, c=0.3)
    assert isinstance(policy, Policy)
    assert policy.c == 0.3
    with pytest.raises(PolicyError, match="speed"):
        make_policy("agents.bandits:UCB1", task, 3, speed=1)


def test_a_saved_policy_takes_no_hyperparameters(task: Task, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"takes no hyperparameters, got \['c'\]"):
        make_policy(tmp_path, task, c=0.3)

"""The bridge, and what Stable-Baselines3 and sb3-contrib do with the environments unmodified."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib import TRPO, MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from curation_gym import ENVIRONMENTS
from curation_gym.envs.base import CurationVectorEnv
from curation_gym.envs.sb3 import SB3VecEnv, make_sb3_vec_env
from curation_gym.envs.wrappers import BernoulliSelection, VectorBernoulliSelection
from curation_gym.evaluation.rollout import evaluate
from curation_gym.policy import make_policy
from tests.agents.test_ppo import DOMAINS
from tests.envs.test_contract import IDS, SELECTION, SMALL, actions_of

DISCRETE = [env_id for env_id in IDS if env_id not in SELECTION]
FORMS = ["CurationGym/ScoreSelection-v0", "CurationGym/RottingArms-v0"]
"""An action space of each kind."""
DRY = {"CurationGym/AnnotationAllocation-v0": {"subsets": "domains", "criteria": ["random"], "pool": DOMAINS}}
"""Where a small domain is soon exhausted."""


def core(env_id: str, n: int = 3, **kwargs: object) -> CurationVectorEnv:
    env = gym.make_vec(env_id, n, autoreset_mode="SameStep", **SMALL[env_id], **kwargs)
    assert isinstance(env, CurationVectorEnv)
    return env


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("copy", [True, False])
def test_the_bridge_equals_dummy_vec_env(env_id: str, copy: bool) -> None:
    """Stable-Baselines3's own adapter over scalar environments is the oracle, terminal observations included."""
    ours = SB3VecEnv(core(env_id, copy=copy))
    oracle = DummyVecEnv([lambda: gym.make(env_id, **SMALL[env_id])] * 3)
    seeds = [5, 50, 500]
    ours.set_seeds(seeds)
    oracle._seeds = list(seeds)
    a, b = ours.reset(), oracle.reset()
    rng, ended = np.random.default_rng(0), 0
    for _ in range(30):
        for key in b:
            np.testing.assert_array_equal(a[key], b[key])
        actions = actions_of(ours.env, rng)
        a, rewards, dones, infos = ours.step(actions)
        b, expected, ends, expected_infos = oracle.step(actions)
        np.testing.assert_allclose(rewards, expected, rtol=1e-6)
        np.testing.assert_array_equal(dones, ends)
        for row, (info, other) in enumerate(zip(infos, expected_infos, strict=True)):
            ended += bool(dones[row])
            assert info.keys() | {"TimeLimit.truncated"} == other.keys()
            for key, value in info.items():
                if key == "terminal_observation":
                    for part, array in value.items():
                        np.testing.assert_array_equal(array, other[key][part])
                else:
                    np.testing.assert_array_equal(value, other[key])
    assert ended > 3


class _Keeper(BaseCallback):
    """Keeps what a rollout stored, before training reorders it."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.stored = {key: value.copy() for key, value in self.model.rollout_buffer.observations.items()}


@pytest.mark.parametrize("env_id", IDS)
def test_alternating_buffers_store_what_fresh_arrays_store(env_id: str) -> None:
    """Stable-Baselines3 stores an observation after the next step; one reused buffer would shift them all."""
    stored = []
    for copy in (True, False):
        env, keeper = SB3VecEnv(core(env_id, copy=copy)), _Keeper()
        PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1, seed=0).learn(24, callback=keeper)
        stored.append(keeper.stored)
    for key, fresh in stored[0].items():
        np.testing.assert_array_equal(stored[1][key], fresh)
    assert (np.diff(stored[0]["context"], axis=0) != 0).any()


@pytest.mark.parametrize(
    ("env_id", "algorithm"), [*((e, PPO) for e in IDS), *((e, a) for e in FORMS for a in (A2C, TRPO))]
)
def test_stock_algorithms_train(env_id: str, algorithm: type) -> None:
    env = VecMonitor(SB3VecEnv(core(env_id, copy=False)))
    batch = {} if algorithm is A2C else {"batch_size": 12}
    model = algorithm("MultiInputPolicy", env, n_steps=8, seed=0, device="cpu", **batch)
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.learn(48)
    after = model.policy.state_dict()
    assert any((before[name] != after[name]).any() for name in after)
    assert len(model.ep_info_buffer) > 0


@pytest.mark.parametrize("env_id", IDS)
def test_stock_ppo_trains_on_the_scalar_environment(env_id: str) -> None:
    model = PPO("MultiInputPolicy", gym.make(env_id, **SMALL[env_id]), n_steps=16, batch_size=16, seed=0, device="cpu")
    model.learn(32)
    assert model.num_timesteps == 32


@pytest.mark.parametrize("env_id", SELECTION)
def test_stock_ppo_trains_on_binary_actions(env_id: str) -> None:
    env = BernoulliSelection(gym.make(env_id, **SMALL[env_id]))
    assert isinstance(env.action_space, spaces.MultiBinary)
    PPO("MultiInputPolicy", env, n_steps=16, batch_size=16, seed=0, device="cpu").learn(32)
    PPO("MultiInputPolicy", SB3VecEnv(core(env_id), binary=True), n_steps=8, batch_size=8, seed=0).learn(24)


@pytest.mark.parametrize("env_id", DISCRETE)
def test_maskable_ppo_never_chooses_a_masked_arm(env_id: str) -> None:
    env = SB3VecEnv(gym.make_vec(env_id, 3, autoreset_mode="SameStep", **(SMALL[env_id] | DRY.get(env_id, {}))))
    model = MaskablePPO("MultiInputPolicy", env, n_steps=16, batch_size=16, seed=0, device="cpu")
    model.learn(96)
    taken = model.rollout_buffer.actions.astype(int).reshape(-1)
    masks = model.rollout_buffer.action_masks.reshape(len(taken), -1)
    assert (masks == 0).any(), "something should be masked"
    assert (masks[np.arange(len(taken)), taken] == 1).all()
    scalar = gym.make(env_id, **SMALL[env_id])
    MaskablePPO("MultiInputPolicy", scalar, n_steps=16, batch_size=16, seed=0, device="cpu").learn(32)


@pytest.mark.parametrize("env_id", SELECTION)
def test_maskable_ppo_trains_on_binary_actions(env_id: str, tmp_path: Path) -> None:
    env = BernoulliSelection(gym.make(env_id, **SMALL[env_id]))
    MaskablePPO("MultiInputPolicy", env, n_steps=16, batch_size=16, seed=0, device="cpu").learn(32)
    bridge = SB3VecEnv(core(env_id), binary=True)
    model = MaskablePPO("MultiInputPolicy", bridge, n_steps=8, batch_size=8, seed=0, device="cpu").learn(24)
    model.save(tmp_path / "policy.zip")
    policy = make_policy(tmp_path / "policy.zip", bridge.env.task)
    assert (evaluate(policy, env_id, SMALL[env_id], [1, 2]).lengths > 0).all()


@pytest.mark.parametrize("env_id", IDS)
def test_recurrent_ppo_trains(env_id: str) -> None:
    env = SB3VecEnv(core(env_id, copy=False))
    kwargs = {"lstm_hidden_size": 8}
    model = RecurrentPPO(
        "MultiInputLstmPolicy", env, n_steps=8, batch_size=8, policy_kwargs=kwargs, seed=0, device="cpu"
    )
    model.learn(24)
    assert model.num_timesteps == 24


# ------------------------------------------------------------------- wrappers
@pytest.mark.parametrize("env_id", SELECTION)
def test_binary_actions_are_probabilities_of_zero_and_one(env_id: str) -> None:
    plain, wrapped = gym.make_vec(env_id, 3, **SMALL[env_id]), gym.make_vec(env_id, 3, **SMALL[env_id])
    binary = VectorBernoulliSelection(wrapped)
    plain.reset(seed=0), binary.reset(seed=0)
    rng = np.random.default_rng(1)
    for _ in range(8):
        choice = (rng.random((3, 6)) < 0.3).astype(np.int8)
        _, rewards, *_ = plain.step(choice.astype(np.float32))
        _, others, *_ = binary.step(choice)
        np.testing.assert_array_equal(rewards, others)
    assert binary.single_action_space == spaces.MultiBinary(6)
    assert binary.action_masks().shape == (3, 12)


def test_binary_actions_are_for_selection_only() -> None:
    with pytest.raises(ValueError, match="only Selection actions can be binary"):
        BernoulliSelection(gym.make("CurationGym/RottingArms-v0"))


def test_the_bridge_needs_same_step_autoreset() -> None:
    with pytest.raises(ValueError, match="SB3VecEnv needs autoreset_mode=SAME_STEP"):
        SB3VecEnv(gym.make_vec("CurationGym/RottingArms-v0", 2))


def test_the_bridge_takes_native_vector_environments_only() -> None:
    with pytest.raises(TypeError, match=r"not OrderEnforcing; make_sb3_vec_env\(id, n_envs\) makes both"):
        SB3VecEnv(gym.make("CurationGym/RottingArms-v0"))


def test_one_call_makes_what_stable_baselines_trains_on() -> None:
    env = make_sb3_vec_env("CurationGym/ScoreSelection-v0", 4, seed=3, binary=True, n_items=6, horizon=5, budget=12)
    assert env.num_envs == 4
    assert isinstance(env.action_space, spaces.MultiBinary)
    again = make_sb3_vec_env("CurationGym/ScoreSelection-v0", 4, seed=3, binary=True, n_items=6, horizon=5, budget=12)
    np.testing.assert_array_equal(env.reset()["item"], again.reset()["item"])


def test_runs_of_neighbouring_seeds_share_no_environment() -> None:
    env = SB3VecEnv(core("CurationGym/RottingArms-v0", 8))
    assert not set(env.seed(0)) & set(env.seed(1))


def test_every_id_is_covered() -> None:
    assert set(SMALL) == set(ENVIRONMENTS)

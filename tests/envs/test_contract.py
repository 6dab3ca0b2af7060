"""What the contract promises of every environment, held against every registered id."""

import copy
import pickle
import warnings
from typing import get_type_hints

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from curation_gym import ENVIRONMENTS
from curation_gym.envs.base import CurationVectorEnv

IDS = sorted(ENVIRONMENTS)
SELECTION = [env_id for env_id in IDS if "Selection" in env_id]

# Small enough to step through whole episodes; every other argument is the default.
SMALL = {
    "CurationGym/ScoreSelection-v0": {"n_items": 6, "horizon": 5, "budget": 12},
    "CurationGym/CoverageSelection-v0": {"n_items": 6, "horizon": 5, "budget": 12},
    "CurationGym/BiasedSelection-v0": {"n_items": 6, "horizon": 5, "budget": 12, "audit_every": 2, "audit_size": 2},
    "CurationGym/LanguageModelSelection-v0": {
        "n_items": 6,
        "horizon": 5,
        "budget": 600,
        "language_model": {"hidden_size": 16, "layers": 1, "heads": 2, "context": 32, "block": 16, "epochs": 0},
        "fine_tuning": {"block": 16, "batch_size": 4},
        "probes": {"prompts": 0, "clean": 1, "every": 2},
    },
    "CurationGym/RottingArms-v0": {"n_arms": 4, "horizon": 9, "late_arms": 2},
    "CurationGym/AnnotationAllocation-v0": {"budget": 60, "batch": 10, "learner": {"kind": "linear", "members": 2}},
}
ACCEPTED = (
    r"Your observation item has an unconventional shape",
    r"We recommend you to use a symmetric and normalized Box action space",
)


def make_vec(env_id: str, n: int = 5, **kwargs: object) -> CurationVectorEnv:
    env = gym.make_vec(env_id, n, **SMALL[env_id], **kwargs)
    assert isinstance(env, CurationVectorEnv)
    return env


def actions_of(env: CurationVectorEnv, rng: np.random.Generator) -> np.ndarray:
    """Valid random actions, masked arms included."""
    if env.task.family == "selection":
        return rng.random((env.num_envs, env.task.n_items), dtype=np.float32)
    return rng.integers(env.task.n_items, size=env.num_envs)


@pytest.mark.parametrize("env_id", IDS)
def test_gymnasium_accepts_it(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Gymnasium itself warns that [0, 1] isn't symmetric; this contract's actions are probabilities.
        warnings.filterwarnings("ignore", message=".*symmetric and normalized.*")
        check_env(gym.make(env_id, render_mode="rgb_array").unwrapped)


@pytest.mark.parametrize("env_id", IDS)
def test_stable_baselines_accepts_it(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for message in ACCEPTED:
            warnings.filterwarnings("ignore", message=message)
        sb3_check_env(gym.make(env_id))


@pytest.mark.parametrize("env_id", SELECTION)
def test_both_accept_ids(env_id: str) -> None:
    check_env(gym.make(env_id, observation="ids").unwrapped, skip_render_check=True)
    sb3_check_env(gym.make(env_id, observation="ids"), warn=False)


@pytest.mark.parametrize("env_id", IDS)
def test_make_vec_gives_the_batched_core_without_warnings(env_id: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = make_vec(env_id)
        env.reset(seed=0)
        env.step(env.action_space.sample())
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    assert env.spec is not None
    assert env.spec.id == env_id


@pytest.mark.parametrize("env_id", IDS)
def test_fifty_steps_repeat_exactly(env_id: str) -> None:
    runs = []
    for _ in range(2):
        env, rng = make_vec(env_id), np.random.default_rng(1)
        trace = [env.reset(seed=11)]
        trace += [env.step(actions_of(env, rng)) for _ in range(50)]
        runs.append(trace)
    for one, other in zip(*runs, strict=True):
        assert data_equivalence(one, other, exact=True)


@pytest.mark.parametrize("env_id", IDS)
def test_observations_stay_in_their_space_and_are_fresh(env_id: str) -> None:
    env, rng = make_vec(env_id), np.random.default_rng(2)
    observation, _ = env.reset(seed=3)
    for _ in range(25):
        kept = copy.deepcopy(observation)
        following, *_ = env.step(actions_of(env, rng))
        assert observation in env.observation_space
        assert data_equivalence(observation, kept, exact=True), "a step changed an earlier observation"
        observation = following


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_every_row_of_five_is_the_scalar_environment(env_id: str, mode: AutoresetMode) -> None:
    """Gymnasium's own SyncVectorEnv over five scalar environments is the oracle, infos and autoresets included."""
    env, rng = make_vec(env_id, autoreset_mode=mode), np.random.default_rng(4)
    oracle = gym.make_vec(env_id, 5, vectorization_mode="sync", vector_kwargs={"autoreset_mode": mode}, **SMALL[env_id])
    seeds = [101, 7, 103, 2**40, 105]
    assert data_equivalence(env.reset(seed=list(seeds)), oracle.reset(seed=list(seeds)), exact=True)
    for _ in range(40):
        actions = actions_of(env, rng)
        for ours, theirs in zip(env.step(actions), oracle.step(actions), strict=True):
            assert data_equivalence(ours, theirs, exact=True)


@pytest.mark.parametrize("env_id", IDS)
def test_info_holds_what_its_type_says(env_id: str) -> None:
    env = gym.make(env_id, **SMALL[env_id]).unwrapped
    declared = get_type_hints(env.core_class.info_type)
    infos = [env.reset(seed=0)[1], env.step(env.action_space.sample())[4]]
    for info in infos:
        for key, value in info.items():
            assert type(value) is declared[key], key
    assert declared.keys() == infos[0].keys() | infos[1].keys()


@pytest.mark.parametrize("env_id", IDS)
def test_pickled_mid_episode_it_goes_on_alike(env_id: str) -> None:
    env, rng = make_vec(env_id), np.random.default_rng(5)
    env.reset(seed=6)
    for _ in range(3):
        env.step(actions_of(env, rng))
    twin = pickle.loads(pickle.dumps(env))
    for _ in range(12):
        actions = actions_of(env, rng)
        assert data_equivalence(env.step(actions), twin.step(actions), exact=True)


@pytest.mark.parametrize("env_id", IDS)
def test_autoreset_modes_tell_the_same_story(env_id: str) -> None:
    """NEXT_STEP, SAME_STEP and DISABLED give the same episodes; only where the reset shows differs."""
    next_step = make_vec(env_id)
    same_step = make_vec(env_id, autoreset_mode=AutoresetMode.SAME_STEP)
    disabled = make_vec(env_id, autoreset_mode=AutoresetMode.DISABLED)
    rng = np.random.default_rng(7)
    n_obs, _ = next_step.reset(seed=8)
    s_obs, _ = same_step.reset(seed=8)
    d_obs, _ = disabled.reset(seed=8)
    episodes = 0
    while episodes < 3:
        actions = actions_of(next_step, rng)
        n_obs, n_reward, n_done, _, n_info = next_step.step(actions)
        s_obs, s_reward, s_done, _, s_info = same_step.step(actions)
        d_obs, d_reward, d_done, _, _ = disabled.step(actions)
        np.testing.assert_array_equal(n_reward, s_reward)
        np.testing.assert_array_equal(n_reward, d_reward)
        np.testing.assert_array_equal(n_done, s_done)
        np.testing.assert_array_equal(n_done, d_done)
        assert data_equivalence(n_obs, d_obs, exact=True)
        for row in np.flatnonzero(s_done):
            for key, value in s_info["final_obs"][row].items():
                np.testing.assert_array_equal(value, n_obs[key][row])
            for key, value in s_info["final_info"].items():
                np.testing.assert_array_equal(value[row], n_info[key][row])
        if n_done.any():
            episodes += 1
            # The three only stay in step if every row restarts at once.
            restart = {"reset_mask": n_done}
            d_obs, _ = disabled.reset(options=dict(restart))
            for row in np.flatnonzero(n_done):
                for key, value in s_obs.items():
                    np.testing.assert_array_equal(value[row], d_obs[key][row])
            n_obs, _ = next_step.reset(options=dict(restart))
            assert data_equivalence(n_obs, d_obs, exact=True)


@pytest.mark.parametrize("env_id", IDS)
def test_next_step_autoreset_restarts_with_reward_zero(env_id: str) -> None:
    env, rng = make_vec(env_id, 2), np.random.default_rng(9)
    env.reset(seed=10)
    done = np.zeros(2, np.bool_)
    while not done.any():
        _, _, done, _, _ = env.step(actions_of(env, rng))
    observation, rewards, again, _, _ = env.step(actions_of(env, rng))
    left = env.task.read(observation, "steps_left" if "steps_left" in env.context_features else "budget_left")
    assert (rewards[done] == 0).all()
    assert not again[done].any()
    assert (left[done] == left.max()).all()


@pytest.mark.parametrize("env_id", IDS)
def test_a_buffered_observation_lives_for_one_more_step(env_id: str) -> None:
    env, rng = make_vec(env_id, copy=False), np.random.default_rng(12)
    first, _ = env.reset(seed=13)
    kept = copy.deepcopy(first)
    second, *_ = env.step(actions_of(env, rng))
    assert data_equivalence(first, kept, exact=True)
    third, *_ = env.step(actions_of(env, rng))
    assert third["item"] is first["item"]
    assert third["item"] is not second["item"]


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("mode", ["ansi", "rgb_array"])
def test_frames(env_id: str, mode: str) -> None:
    env = gym.make(env_id, render_mode=mode, **SMALL[env_id])
    env.reset(seed=1)
    first = env.render()
    env.step(env.action_space.sample())
    second = env.render()
    if mode == "ansi":
        assert isinstance(second, str)
        assert second != first
    else:
        assert second.dtype == np.uint8
        assert second.shape[2] == 3
        assert (np.asarray(first) != np.asarray(second)).any()


@pytest.mark.parametrize("env_id", IDS)
def test_class_docstring_is_the_page(env_id: str) -> None:
    page = gym.make(env_id).unwrapped.__doc__ or ""
    for section in ("Description", "Action space", "Observation space", "Rewards", "Starting state", "Episode end",
                    "Arguments", "Vectorized", "Version history"):  # fmt: skip
        assert f"## {section}" in page


@pytest.mark.parametrize("env_id", IDS)
def test_the_page_lists_every_argument(env_id: str) -> None:
    env = gym.make(env_id).unwrapped
    arguments = env.core_class.config_model.model_fields
    missing = [name for name in arguments if f"| {name} |" not in (env.__doc__ or "")]
    assert not missing


# ------------------------------------------------------------------ bad input
@pytest.mark.parametrize("env_id", IDS)
def test_an_unknown_argument_is_named_with_what_is_allowed(env_id: str) -> None:
    with pytest.raises(ValueError, match=r"unknown key 'budgets'; allowed keys: .*"):
        gym.make(env_id, budgets=3)


@pytest.mark.parametrize("env_id", SELECTION)
@pytest.mark.parametrize("value", [np.nan, -0.1, 1.5])
def test_a_probability_outside_its_range_is_refused(env_id: str, value: float) -> None:
    env = make_vec(env_id)
    env.reset(seed=0)
    actions = np.full((5, 6), 0.5)
    actions[3, 2] = value
    with pytest.raises(ValueError, match=r"action at \(3, 2\) must be in \[0, 1\], actual value"):
        env.step(actions)


@pytest.mark.parametrize("env_id", [env_id for env_id in IDS if env_id not in SELECTION])
@pytest.mark.parametrize(
    ("value", "message"), [(-1, "must be in 0 …"), (99, "must be in 0 …"), (0.5, "must be integers")]
)
def test_an_arm_that_does_not_exist_is_refused(env_id: str, value: float, message: str) -> None:
    env = make_vec(env_id)
    env.reset(seed=0)
    actions = np.zeros(5, type(value))
    actions[3] = value
    with pytest.raises(ValueError, match=message):
        env.step(actions)


@pytest.mark.parametrize("env_id", SELECTION)
def test_actions_of_rows_that_restart_are_never_looked_at(env_id: str) -> None:
    env = make_vec(env_id, 2)
    env.reset(seed=0)
    done = np.zeros(2, np.bool_)
    while not done.any():
        _, _, done, _, _ = env.step(np.array([np.ones(6), np.zeros(6)]))
    assert done.tolist() == [True, False]
    env.step(np.array([np.full(6, np.nan), np.zeros(6)]))
    with pytest.raises(ValueError, match=r"action at \(1, 0\)"):
        env.step(np.array([np.zeros(6), np.full(6, np.nan)]))


@pytest.mark.parametrize("env_id", IDS)
def test_a_scalar_episode_that_has_ended_asks_for_reset(env_id: str) -> None:
    env = gym.make(env_id, **SMALL[env_id])
    env.reset(seed=0)
    while not env.step(env.action_space.sample())[2]:
        pass
    with pytest.raises(gym.error.ResetNeeded, match=r"the episode has ended; call reset\(\)"):
        env.step(env.action_space.sample())


@pytest.mark.parametrize("env_id", IDS)
def test_an_action_of_the_wrong_shape_is_refused(env_id: str) -> None:
    env = make_vec(env_id)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="actions must have shape"):
        env.step(np.zeros((2, 2)))


@pytest.mark.parametrize("env_id", IDS)
def test_a_step_before_reset_is_refused(env_id: str) -> None:
    env = make_vec(env_id)
    with pytest.raises(gym.error.ResetNeeded, match="call reset before step"):
        env.step(actions_of(env, np.random.default_rng(0)))


@pytest.mark.parametrize("env_id", IDS)
def test_stepping_an_ended_row_with_autoreset_disabled_is_refused(env_id: str) -> None:
    env, rng = make_vec(env_id, 2, autoreset_mode=AutoresetMode.DISABLED), np.random.default_rng(0)
    env.reset(seed=0)
    done = np.zeros(2, np.bool_)
    while not done.any():
        _, _, done, _, _ = env.step(actions_of(env, rng))
    with pytest.raises(ValueError, match=f"row {int(np.argmax(done))} has ended"):
        env.step(actions_of(env, rng))


@pytest.mark.parametrize("env_id", SELECTION)
def test_a_pool_that_is_too_small_is_refused(env_id: str) -> None:
    small = {"builder": "synthetic", "n_samples": 100}
    with pytest.raises(ValueError, match=r"pool too small: .* = 1024 different samples, the train split has 100"):
        gym.make(env_id, pool=small)


_ARMS = SMALL["CurationGym/AnnotationAllocation-v0"]
_CROWD = {"crowd": {"annotators": 4, "redundancy": 2, "accuracy": 0.7}}
_STOPPING = {"kind": "stabilising_predictions", "threshold": 0.5, "window": 1}
VARIED = {
    "one stops before another": (
        "CurationGym/AnnotationAllocation-v0",
        _ARMS | {"budget": 120, "criteria": ["typiclust", "badge"], "annotator": _CROWD, "stopping": _STOPPING},
    ),
    "soft": (
        "CurationGym/AnnotationAllocation-v0",
        _ARMS | {"action": "soft", "criteria": ["coverage", "margin"], "select": "diverse"},
    ),
    "clusters anew": (
        "CurationGym/AnnotationAllocation-v0",
        _ARMS | {"subsets": "clusters", "recluster": True, "criteria": ["margin"], "n_clusters": 4},
    ),
    "rising": ("CurationGym/RottingArms-v0", SMALL["CurationGym/RottingArms-v0"] | {"rise": 3, "noise": "bernoulli"}),
    "mean": (
        "CurationGym/ScoreSelection-v0",
        SMALL["CurationGym/ScoreSelection-v0"] | {"reward": "mean", "min_batch_size": 2},
    ),
}
"""Options beside the defaults."""


@pytest.mark.parametrize("name", VARIED)
def test_options_keep_the_contract_and_what_is_pickled_goes_on_alike(name: str) -> None:
    env_id, kwargs = VARIED[name]
    env, oracle = gym.make_vec(env_id, 3, **kwargs), gym.make_vec(env_id, 3, vectorization_mode="sync", **kwargs)
    rng, discrete = np.random.default_rng(4), isinstance(env.single_action_space, gym.spaces.Discrete)
    assert data_equivalence(env.reset(seed=[1, 7, 2**40]), oracle.reset(seed=[1, 7, 2**40]), exact=True)
    for step in range(14):
        n = env.task.n_items
        actions = rng.integers(n, size=3) if discrete else rng.random((3, n), dtype=np.float32)
        if step == 3:
            twin = pickle.loads(pickle.dumps(env))
        told = env.step(actions)
        for ours, theirs in zip(told, oracle.step(actions), strict=True):
            assert data_equivalence(ours, theirs, exact=True)
        assert step < 3 or data_equivalence(told, twin.step(actions), exact=True)


@pytest.mark.parametrize("env_id", IDS)
def test_seeds_are_counted_up_and_a_reset_that_makes_no_sense_is_refused(env_id: str) -> None:
    env, other = make_vec(env_id, 2), make_vec(env_id, 2)
    assert data_equivalence(env.reset(seed=7), other.reset(seed=[7, 8]), exact=True)
    assert env.np_random_seed == (7, 8)
    with pytest.raises(ValueError, match="must have num_envs=2 entries, actual length: 3"):
        env.reset(seed=[1, 2, 3])
    for mask in ([True, False], np.zeros(2, np.bool_), np.ones(3, np.bool_), np.ones(2, int)):
        with pytest.raises(ValueError, match=r"must be a boolean \(2,\) array with a True"):
            env.reset(options={"reset_mask": mask})

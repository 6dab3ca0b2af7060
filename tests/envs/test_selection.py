"""Selection environments against naive loops written from the docstrings."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baselines.reference import Hindsight
from curation_gym.config import ConfigError
from curation_gym.envs.coverage_selection import CoverageSelectionVectorEnv
from curation_gym.envs.score_selection import ScoreSelectionVectorEnv
from curation_gym.evaluation.rollout import evaluate
from curation_gym.pools import Pool

SHAPE = {"n_items": 7, "horizon": 6, "budget": 11, "near": 0.6}


def naive_episode(env, row: int, actions: list[np.ndarray]) -> list[dict]:
    """One episode of one row, sample by sample, from its plan; what each step should return."""
    pool, cfg = env.pool, env.config
    weights = env.task.score_weights
    score = [sum(w * float(pool.signals[name][i]) for name, w in weights.items()) for i in range(len(pool))]
    chosen: list[int] = []
    miss: dict[int, float] = {}
    steps = []
    for t in range(cfg.horizon):
        ids = [int(i) for i in env._plan[row, t]]
        state = []
        for i in ids:
            novelty, freshness = 1.0, 1.0
            for j in chosen:
                a, b = pool.embeddings[i].astype(float), pool.embeddings[j].astype(float)
                cosine = float(a @ b / np.sqrt((a @ a) * (b @ b)))
                novelty = min(novelty, 1 - min(max(cosine, 0), 1))
                if cosine > cfg.near:
                    freshness *= 1 - min(score[j], 0.999)
            state.append((novelty, freshness))
        wanted = [k for k in range(cfg.n_items) if env._uniform[row, t, k] < actions[t][k]]
        left = cfg.budget - len(chosen)
        time = (cfg.horizon - t) / cfg.horizon
        context = (left / cfg.budget, time, min(left / cfg.budget / time, 4))
        if len(wanted) > left:
            wanted = sorted(wanted, key=lambda k: env._priority[row, k])[:left]
        reward = 0.0
        if isinstance(env, CoverageSelectionVectorEnv):
            for k in wanted:
                c, q = int(pool.hidden["cluster"][ids[k]]), float(pool.hidden["quality"][ids[k]])
                reward += float(pool.hidden["cluster_weight"][ids[k]]) * miss.get(c, 1.0) * q
                miss[c] = miss.get(c, 1.0) * (1 - q)
        else:
            reward = sum(score[ids[k]] for k in wanted)
            if cfg.reward == "mean":
                reward /= max(len(wanted), cfg.min_batch_size)
        chosen += [ids[k] for k in wanted]
        told = {"state": state, "context": context, "reward": reward, "selected": len(wanted)}
        steps.append({**told, "left": cfg.budget - len(chosen)})
        if len(chosen) == cfg.budget:
            break
    return steps


@pytest.mark.parametrize(
    ("core", "kwargs"),
    [
        (CoverageSelectionVectorEnv, {}),
        (ScoreSelectionVectorEnv, {}),
        (ScoreSelectionVectorEnv, {"reward": "mean", "min_batch_size": 2}),
    ],
)
@pytest.mark.parametrize("observation", ["dense", "ids"])
def test_it_does_what_a_loop_does(small_pool: Pool, core: type, kwargs: dict, observation: str) -> None:
    env = core(4, pool=small_pool, observation=observation, **SHAPE, **kwargs)
    rng = np.random.default_rng(0)
    actions = [rng.random((4, 7), dtype=np.float32) * 0.6 for _ in range(6)]
    observed, _ = env.reset(seed=3)
    expected = [naive_episode(env, row, [a[row] for a in actions]) for row in range(4)]
    plan = env._plan.copy()
    running = np.ones(4, np.bool_)
    for t in range(6):
        state = observed["dynamic"] if observation == "ids" else observed["item"][..., slice(*env.task.dynamic)]
        for row in np.flatnonzero(running):
            np.testing.assert_allclose(state[row], expected[row][t]["state"], atol=1e-5)
            np.testing.assert_allclose(observed["context"][row], expected[row][t]["context"], atol=1e-6)
            if observation == "ids":
                np.testing.assert_array_equal(observed["item"][row], plan[row, t])
            else:
                np.testing.assert_array_equal(
                    observed["item"][row, :, : small_pool.dimension], small_pool.embeddings[plan[row, t]]
                )
                utility = env.task.read({k: v[row] for k, v in observed.items()}, "utility")
                np.testing.assert_allclose(utility, small_pool.signals["utility"][plan[row, t]])
        observed, rewards, terminated, _, info = env.step(actions[t])
        for row in np.flatnonzero(running):
            step = expected[row][t]
            assert rewards[row] == pytest.approx(step["reward"], abs=1e-6)
            assert info["raw_reward"][row] == rewards[row]
            assert info["selected"][row] == step["selected"]
            assert info["budget_left"][row] == step["left"]
            assert terminated[row] == (t + 1 == len(expected[row]))
        running &= ~terminated
    assert not running.any()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), rate=st.floats(0, 1), power=st.floats(0.1, 4))
@pytest.mark.parametrize("core", [CoverageSelectionVectorEnv, ScoreSelectionVectorEnv])
def test_nobody_beats_hindsight(small_pool: Pool, core: type, seed: int, rate: float, power: float) -> None:
    env = core(3, pool=small_pool, **SHAPE)
    observed, _ = env.reset(seed=seed)
    optimum, total, running = env.optimum(), np.zeros(3), np.ones(3, np.bool_)
    rng = np.random.default_rng(seed)
    while running.any():
        p = rate * env.task.score(observed) ** power * rng.random((3, 7))
        observed, rewards, terminated, _, _ = env.step(np.clip(p, 0, 1))
        total += rewards * running
        running &= ~terminated
    assert (total <= optimum + 1e-9).all()


@pytest.mark.parametrize(
    ("env_id", "kwargs"),
    [
        ("CurationGym/CoverageSelection-v0", {}),
        ("CurationGym/ScoreSelection-v0", {}),
        ("CurationGym/ScoreSelection-v0", {"reward": "mean", "min_batch_size": 1}),
        ("CurationGym/ScoreSelection-v0", {"reward": "mean", "min_batch_size": 3}),
    ],
)
def test_the_reference_attains_the_optimum(small_pool: Pool, env_id: str, kwargs: dict) -> None:
    kwargs = {"pool": small_pool, **SHAPE, **kwargs}
    task = gym.make(env_id, **kwargs).unwrapped.task
    episodes = evaluate(Hindsight(task), env_id, kwargs, list(range(12)), reference=True)
    np.testing.assert_allclose(episodes.returns, episodes.optimum, rtol=1e-6)


def test_hindsight_is_the_best_of_all_selections() -> None:
    """Every subset of a stream of 8 is tried."""
    pool = {"builder": "synthetic", "n_samples": 8, "n_clusters": 3, "dimension": 3}
    forms = [(CoverageSelectionVectorEnv, {}), (ScoreSelectionVectorEnv, {})]
    forms += [(ScoreSelectionVectorEnv, {"reward": "mean", "min_batch_size": floor}) for floor in (1, 2)]
    for core, form in forms:
        env = core(1, pool=pool, n_items=4, horizon=2, budget=3, **form)
        env.reset(seed=1)
        best = 0.0
        for subset in range(2**8):
            bits = [(subset >> k) & 1 for k in range(8)]
            if sum(bits) <= 3:
                env.reset(seed=1)
                total, done = 0.0, False
                for t in range(2):
                    if not done:
                        _, reward, ended, _, _ = env.step(np.array([bits[4 * t : 4 * t + 4]], np.float32))
                        total, done = total + reward[0], bool(ended[0])
                best = max(best, total)
        env.reset(seed=1)
        assert env.optimum()[0] == pytest.approx(best)


def test_groups_are_drawn_and_never_mixed(small_pool: Pool) -> None:
    env = CoverageSelectionVectorEnv(30, pool=small_pool, **SHAPE)
    env.reset(seed=0)
    groups = small_pool.hidden["group"][env._plan].reshape(30, -1)
    assert (groups == groups[:, :1]).all()
    assert set(groups[:, 0]) == {0, 1, 2}


def test_a_stream_shows_no_sample_twice(small_pool: Pool) -> None:
    env = ScoreSelectionVectorEnv(5, pool=small_pool, **SHAPE)
    env.reset(seed=0)
    for row in env._plan.reshape(5, -1):
        assert len(set(row.tolist())) == 42


def test_probability_is_the_frequency_of_selection(small_pool: Pool) -> None:
    env = ScoreSelectionVectorEnv(500, pool=small_pool, n_items=20, horizon=1, budget=20)
    env.reset(seed=0)
    *_, info = env.step(np.full((500, 20), 0.3))
    assert info["selected"].mean() == pytest.approx(6, abs=4 * np.sqrt(20 * 0.3 * 0.7 / 500))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"budget": 2000}, "budget = 2000 exceeds the n_items × horizon"),
        ({"weights": {"safety": 0.5, "utility": 0.2}}, "weights: must be >= 0 and sum to 1"),
        ({"weights": {"beauty": 1.0}}, "the pool has no signal 'beauty'; it has"),
        ({"pool": {"builder": "nothing"}}, "pool.builder must be one of"),
        ({"reward": "median"}, "'reward' = 'median'"),
    ],
)
def test_bad_arguments(kwargs: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScoreSelectionVectorEnv(1, **kwargs)


def test_coverage_needs_hidden_clusters(rng: np.random.Generator) -> None:
    pool = Pool(rng.random((2000, 4), dtype=np.float32), {"utility": rng.random(2000)})
    with pytest.raises(ConfigError, match="no hidden column 'cluster'"):
        CoverageSelectionVectorEnv(1, pool=pool)


@pytest.mark.parametrize("reward", ["sum", "mean"])
def test_a_vector_reward_is_the_signals_of_what_was_selected(small_pool: Pool, reward: str) -> None:
    weights = {"safety": 0.5, "utility": 0.5}
    options = {**SHAPE, "pool": small_pool, "weights": weights, "reward": reward}
    scalar, vector = (ScoreSelectionVectorEnv(2, **options, vector_reward=given) for given in (False, True))
    scalar.reset(seed=1), vector.reset(seed=1)
    action = np.full((2, SHAPE["n_items"]), 0.5, np.float32)
    for _ in range(3):
        ids = vector._plan[np.arange(2), vector._step]
        _, number, _, _, info = scalar.step(action)
        _, parts, *_ = vector.step(action)
        for row in range(2):
            chosen = ids[row][vector._shown_pick[row]]
            over = max(len(chosen), 1) if reward == "mean" else 1
            expected = [small_pool.signals[name][chosen].sum() / over for name in weights]
            np.testing.assert_allclose(parts[row], expected, rtol=1e-5)
            np.testing.assert_allclose([info[name][row] for name in weights], expected, rtol=1e-5)
        np.testing.assert_allclose(parts @ list(weights.values()), number, rtol=1e-6)


def test_multi_objective_wrappers_plug_in(small_pool: Pool) -> None:
    """MO-Gymnasium's, which look for ``reward_space`` on the unwrapped environment."""
    from mo_gymnasium.wrappers import LinearReward, MORecordEpisodeStatistics

    options = {**SHAPE, "pool": small_pool, "weights": {"safety": 0.5, "utility": 0.5}}
    env = gym.make("CurationGym/ScoreSelection-v0", **options, vector_reward=True)
    assert env.unwrapped.reward_space.shape == (2,)
    env = LinearReward(MORecordEpisodeStatistics(env), weight=np.array([0.25, 0.75]))
    env.reset(seed=3)
    total, done = np.zeros(2), False
    while not done:
        _, reward, done, _, info = env.step(np.full(SHAPE["n_items"], 0.4, np.float32))
        parts = info["vector_reward"]
        assert reward == pytest.approx(parts @ [0.25, 0.75])
        total += parts
    np.testing.assert_allclose(info["episode"]["r"], total, rtol=1e-6)


def test_stable_baselines_refuses_a_vector_reward(small_pool: Pool) -> None:
    from curation_gym.envs.sb3 import make_sb3_vec_env

    with pytest.raises(ValueError, match="vector_reward=False"):
        make_sb3_vec_env("CurationGym/ScoreSelection-v0", pool=small_pool, **SHAPE, vector_reward=True)


@pytest.mark.parametrize("hidden", ["embedding", "signals", "state", "redundancy", "metadata", "context"])
def test_a_group_of_columns_can_be_hidden_and_nothing_else_changes(small_pool: Pool, hidden: str) -> None:
    plain, without = (ScoreSelectionVectorEnv(2, pool=small_pool, **SHAPE, hide=hide) for hide in ((), (hidden,)))
    observations = [env.reset(seed=4)[0] for env in (plain, without)]
    names = plain.item_features
    for _ in range(3):
        seen, rest = observations
        groups = {
            "embedding": [name.startswith("embedding_") for name in names],
            "signals": [name in small_pool.signals for name in names],
            "state": [name in ("novelty", "freshness") for name in names],
            "redundancy": [name in ("novelty", "freshness") for name in names],
            "metadata": [name.startswith("domain=") or name == "log_length" for name in names],
        }
        gone = np.array(groups.get(hidden, [False] * len(names)))
        np.testing.assert_array_equal(rest["item"], np.where(gone, 0, seen["item"]))
        context = seen["context"].copy()
        context[:, 2:] *= hidden != "context"
        np.testing.assert_array_equal(rest["context"], context)
        action = np.full((2, SHAPE["n_items"]), 0.5, np.float32)
        observations = [env.step(action)[0] for env in (plain, without)]
    assert without._kept.any() == (hidden not in ("state", "redundancy")), "nobody compares what nobody sees"
    ids = {**SHAPE, "pool": small_pool, "hide": (hidden,), "observation": "ids"}
    if hidden == "redundancy":  # which an environment sends of ids, too
        assert not ScoreSelectionVectorEnv(1, **ids).reset(seed=4)[0]["dynamic"].any()
    else:
        with pytest.raises(ConfigError, match="hide needs dense observations"):
            ScoreSelectionVectorEnv(1, **ids)

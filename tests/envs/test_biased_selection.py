"""BiasedSelection against naive loops written from the docstring, and against simulation."""

import math

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from baselines.audit_corrected import AuditCorrected
from baselines.raft import Raft
from baselines.random import Random
from baselines.reference import Hindsight
from baselines.static_filter import StaticFilter
from curation_gym.config import ConfigError
from curation_gym.envs.biased_selection import ENV_ID, BiasedSelectionVectorEnv
from curation_gym.evaluation.rollout import evaluate, task_of
from curation_gym.pools import Pool

POOL = {"builder": "synthetic", "n_samples": 90, "n_clusters": 6, "n_groups": 3, "dimension": 4, "n_domains": 3}
SHAPE = {"n_items": 7, "horizon": 6, "budget": 11, "audit_every": 2, "audit_size": 2}
FORMS = {
    "schedule": {},
    "drift": {"drift": 0.3},
    "bought": {"audit_every": None, "audit_price": 2},
    "both": {"audit_price": 0.3, "drift": 0.2},
}
SMALL = {"pool": POOL, **SHAPE}


def likelihood(score: float, mean: float, noise: float) -> float:
    """Of a score whose unclipped value is normal around ``mean``."""
    if score in (0, 1):
        beyond = (mean - 1) if score == 1 else -mean
        return 0.5 * math.erfc(-beyond / noise / math.sqrt(2))
    return math.exp(-0.5 * ((score - mean) / noise) ** 2) / (noise * math.sqrt(2 * math.pi))


def naive_expectation(env: BiasedSelectionVectorEnv, sample: int, score: float, bias: float) -> float:
    """E[t | s, b] over the samples of one group and domain."""
    pool, noise = env.pool, env.config.noise_scale
    group, domain = pool.hidden["group"], pool.domain
    weighted = total = 0.0
    for j in range(len(pool)):
        if group[j] == group[sample] and domain[j] == domain[sample]:
            t = float(pool.hidden["truth"][j])
            weight = likelihood(score, t + bias, noise)
            weighted, total = weighted + weight * t, total + weight
    return weighted / total


def naive_episode(env: BiasedSelectionVectorEnv, row: int, actions: list[np.ndarray]) -> list[dict]:
    """One episode of one row, sample by sample, from its plan; what each step should return."""
    pool, cfg = env.pool, env.config
    n, domains = cfg.n_items, len(pool.domain_names)
    grid = env._belief.grid
    belief = np.full((domains, len(grid)), 1 / len(grid))
    left, steps = cfg.budget, []
    for t in range(cfg.horizon):
        ids = [int(i) for i in env._plan[row, t, :n]]
        score = [float(s) for s in env._safety[row, t, :n]]
        home = [int(pool.domain[i]) for i in ids]
        mask = [1] * n
        if cfg.audit_price is not None:
            mask += [int(d in home and left >= cfg.audit_price) for d in range(domains)]
        mean = belief @ grid
        sd = np.sqrt((belief * (grid - mean[:, None]) ** 2).sum(1))
        before = {"mask": mask, "mean": [mean[d] for d in home], "sd": [sd[d] for d in home], "safety": score}
        wanted = [k for k in range(len(mask)) if mask[k] and env._uniform[row, t, k] < actions[t][k]]
        price = {k: 1 if k < n else cfg.audit_price for k in wanted}
        if sum(price.values()) > left + 1e-9:
            kept, cost = [], 0
            for k in sorted(wanted, key=lambda k: env._priority[row, k]):
                cost += price[k]
                if cost > left + 1e-9:
                    break
                kept.append(k)
            wanted = kept
        reward = expected = 0.0
        for k in (k for k in wanted if k < n):
            utility = 0.3 * float(pool.signals["utility"][ids[k]])
            reward += 0.7 * float(pool.hidden["truth"][ids[k]]) + utility
            expected += 0.7 * naive_expectation(env, ids[k], score[k], env._bias[row, t, home[k]]) + utility
        by_luck = sorted(range(n), key=lambda k: env._audit_order[row, t, k])
        audited = set()
        if cfg.audit_every is not None and t % cfg.audit_every == 0:
            audited |= set(by_luck[: cfg.audit_size])
        for k in (k - n for k in wanted if k >= n):
            audited |= set([i for i in by_luck if home[i] == k][: cfg.audit_size])
        for k in audited:
            for j, b in enumerate(grid):
                belief[home[k], j] *= likelihood(score[k], float(pool.hidden["truth"][ids[k]]) + b, cfg.noise_scale)
            belief[home[k]] /= belief[home[k]].sum()
        belief = (1 - cfg.drift) * belief + cfg.drift / len(grid)
        left -= sum(price[k] for k in wanted)
        told = {"reward": reward, "expected": expected, "audited": len(audited), "left": left}
        steps.append(before | told | {"selected": sum(k < n for k in wanted)})
        if left < 1 - 1e-9:
            break
    return steps


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("observation", ["dense", "ids"])
def test_it_does_what_a_loop_does(form: str, observation: str) -> None:
    env = BiasedSelectionVectorEnv(2, observation=observation, noise_scale=0.1, **(SMALL | FORMS[form]))
    n, items = 7, env.task.n_items
    rng = np.random.default_rng(0)
    actions = [rng.random((2, items), dtype=np.float32) * 0.7 for _ in range(6)]
    observed, _ = env.reset(seed=3)
    expected = [naive_episode(env, row, [a[row] for a in actions]) for row in range(2)]
    running, seen = np.ones(2, np.bool_), 0
    for t in range(6):
        columns = {name: env.task.read(observed, name) for name in ("safety", "bias_mean", "bias_sd")}
        for row in np.flatnonzero(running):
            step = expected[row][t]
            np.testing.assert_array_equal(observed["mask"][row], step["mask"])
            for name, key in (("safety", "safety"), ("bias_mean", "mean"), ("bias_sd", "sd")):
                np.testing.assert_allclose(columns[name][row, :n], step[key], atol=1e-6)
            for d in np.flatnonzero(step["mask"][n:]):
                assert env.pool.domain[env._plan[row, t, n + d]] == d
        observed, rewards, terminated, _, info = env.step(actions[t])
        for row in np.flatnonzero(running):
            step = expected[row][t]
            assert rewards[row] == info["raw_reward"][row] == pytest.approx(step["reward"], abs=1e-6)
            assert info["mean_reward"][row] == pytest.approx(step["expected"], abs=1e-6)
            assert info["audited"][row] == step["audited"]
            assert info["selected"][row] == step["selected"]
            assert info["budget_left"][row] == pytest.approx(step["left"])
            assert terminated[row] == (t + 1 == len(expected[row]))
            seen += step["audited"]
        running &= ~terminated
    assert not running.any()
    assert seen > 0


@pytest.mark.parametrize("form", ["bought", "both"])
def test_audits_for_sale_keep_the_contract(form: str) -> None:
    kwargs = SMALL | FORMS[form]
    for observation in ("dense", "ids"):
        check_env(gym.make(ENV_ID, observation=observation, **kwargs).unwrapped, skip_render_check=True)
        sb3_check_env(gym.make(ENV_ID, observation=observation, **kwargs), warn=False)
    many = gym.make_vec(ENV_ID, 3, **kwargs)
    alone = gym.make_vec(ENV_ID, 3, vectorization_mode="sync", **kwargs)
    rng = np.random.default_rng(1)
    assert data_equivalence(many.reset(seed=5), alone.reset(seed=5), exact=True)
    for _ in range(20):
        actions = rng.random((3, 10), dtype=np.float32)
        for ours, theirs in zip(many.step(actions), alone.step(actions), strict=True):
            assert data_equivalence(ours, theirs, exact=True)


def test_scores_are_truth_and_bias_and_noise() -> None:
    kwargs = {"max_bias": 0.3, "noise_scale": 0.02, "drift": 0.25}
    env = BiasedSelectionVectorEnv(300, **(SMALL | kwargs))
    env.reset(seed=0)
    bias, ids = env._bias, env._plan
    truth, domain = env.pool.hidden["truth"][ids], env.pool.domain[ids]
    own = bias[np.arange(300)[:, None, None], np.arange(6)[:, None], domain]
    inside = (env._safety > 0) & (env._safety < 1) & (np.abs(truth + own - 0.5) < 0.4)
    error = (env._safety - truth - own)[inside]
    assert error.std() == pytest.approx(0.02, rel=0.05)
    assert (env._safety[truth + own > 1.1] == 1).all()
    assert np.abs(bias).max() <= 0.3
    assert bias.std() == pytest.approx(0.3 / np.sqrt(3), rel=0.05)
    anew = (np.diff(bias, axis=1) != 0).mean()
    assert anew == pytest.approx(0.25, abs=0.02)
    still = BiasedSelectionVectorEnv(4, **SMALL)
    still.reset(seed=0)
    assert (np.diff(still._bias, axis=1) == 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), rate=st.floats(0, 1), power=st.floats(0.1, 4))
@pytest.mark.parametrize("form", ["drift", "both"])
def test_nobody_beats_hindsight_on_noise_free_returns(form: str, seed: int, rate: float, power: float) -> None:
    env = BiasedSelectionVectorEnv(3, **(SMALL | FORMS[form]))
    observed, _ = env.reset(seed=seed)
    optimum, total, running = env.optimum(), np.zeros(3), np.ones(3, np.bool_)
    rng = np.random.default_rng(seed)
    while running.any():
        p = rate * env.task.score(observed) ** power * rng.random((3, env.task.n_items))
        observed, _, terminated, _, info = env.step(np.clip(p, 0, 1))
        total += info["mean_reward"] * running
        running &= ~terminated
    assert (total <= optimum + 1e-9).all()


@pytest.mark.parametrize("form", FORMS)
def test_returns_are_noise_free_returns_on_average(form: str) -> None:
    """Of whoever selects: the luck of the draw is all that is between them."""
    kwargs = SMALL | FORMS[form] | {"noise_scale": 0.15}
    task = task_of(ENV_ID, kwargs)
    for policy in (Random(task, seed=0), StaticFilter(task), AuditCorrected(task), Hindsight(task)):
        reference = isinstance(policy, Hindsight)
        episodes = evaluate(policy, ENV_ID, kwargs, list(range(256)), reference=reference)
        luck = episodes.returns - episodes.noise_free
        assert luck.std() > 0.1
        assert abs(luck.mean()) < 4 * luck.std() / np.sqrt(len(luck)), type(policy)
        if reference:
            np.testing.assert_allclose(episodes.noise_free, episodes.optimum, rtol=1e-9)


def test_hindsight_is_the_best_of_all_selections() -> None:
    """Every subset of a stream of 8 is tried."""
    pool = {"builder": "synthetic", "n_samples": 16, "n_clusters": 2, "dimension": 3, "n_domains": 2}
    env = BiasedSelectionVectorEnv(1, pool=pool, n_items=4, horizon=2, budget=3)
    best = 0.0
    for subset in range(2**8):
        bits = [(subset >> k) & 1 for k in range(8)]
        if sum(bits) <= 3:
            env.reset(seed=1)
            total, done = 0.0, False
            for t in range(2):
                if not done:
                    *_, ended, _, info = env.step(np.array([bits[4 * t : 4 * t + 4]], np.float32))
                    total, done = total + info["mean_reward"][0], bool(ended[0])
            best = max(best, total)
    env.reset(seed=1)
    assert env.optimum()[0] == pytest.approx(best)


def test_audits_close_the_gap_between_a_static_filter_and_the_known_bias() -> None:
    """The reason for the environment: without audits the correction is worth nothing, with them a lot."""
    pool = POOL | {"n_samples": 400, "n_groups": 8}
    kwargs = {"pool": pool, "n_items": 16, "horizon": 24, "budget": 48, "audit_size": 6}
    scores = {}
    for audit_every in (2, None):
        given = kwargs | {"audit_every": audit_every}
        task = task_of(ENV_ID, given)
        for name, policy in (("static", StaticFilter(task, threshold=0.65)), ("corrected", AuditCorrected(task))):
            policy.threshold = 0.65
            episodes = evaluate(policy, ENV_ID, given, list(range(80)))
            scores[name, audit_every] = episodes.noise_free.mean() / episodes.optimum.mean()
    assert scores["corrected", None] == pytest.approx(scores["static", None])
    assert scores["corrected", 2] > scores["static", 2] + 0.03


@pytest.mark.parametrize("rule", [StaticFilter, Raft])
def test_rules_that_know_no_audits_buy_none(rule: type) -> None:
    env = BiasedSelectionVectorEnv(4, **(SMALL | FORMS["bought"]))
    observed, _ = env.reset(seed=0)
    p, _ = rule(env.task).predict(observed)
    assert p[:, :7].any()
    assert not p[:, 7:].any()


@pytest.mark.parametrize("form", sorted(FORMS))
def test_what_is_taken_at_an_even_rate_is_paid_for_by_the_budget(form: str) -> None:
    task = task_of(ENV_ID, SMALL | FORMS[form])
    audits = [FORMS[form]["audit_price"]] * 3 if "audit_price" in FORMS[form] else []
    assert task.even_rate * sum([1.0] * 7 + audits) * 6 == pytest.approx(11)


def test_hiding_signals_hides_the_classifiers_score() -> None:
    env = BiasedSelectionVectorEnv(2, **SMALL, hide=["signals"])
    observed, _ = env.reset(seed=0)
    assert not env.task.read(observed, "safety").any()
    assert not env.task.read(observed, "utility").any()
    assert env.task.read(observed, "novelty").all()


def test_labelled_data_serves_with_its_safe_classes(rng: np.random.Generator) -> None:
    pool = Pool(
        rng.standard_normal((300, 3)).astype(np.float32),
        {"utility": rng.random(300)},
        domain=np.arange(300) % 2,
        domain_names=("posts", "news"),
        hidden={"label": rng.integers(-1, 3, 300)},
        class_names=("clean", "mild", "toxic"),
    )
    env = BiasedSelectionVectorEnv(2, pool=pool, truth="label", safe_classes=["clean", "mild"], **SHAPE)
    env.reset(seed=0)
    _, reward, *_, info = env.step(np.ones((2, 7)))
    ids = env._plan[:, 0]
    safe = np.isin(pool.hidden["label"][ids], [0, 1])
    np.testing.assert_allclose(reward, (0.7 * safe + 0.3 * pool.signals["utility"][ids]).sum(1), rtol=1e-6)
    assert (info["mean_reward"] < env.optimum() + 1e-9).all()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"weights": {"utility": 1.0}}, "weights must give 'safety' more than 0"),
        ({"weights": {"safety": 0.5, "utility": 0.2}}, "weights: must be >= 0 and sum to 1"),
        ({"weights": {"safety": 0.5, "beauty": 0.5}}, "the pool has no signal 'beauty'; it has"),
        ({"pool": POOL | {"n_domains": None}}, "the pool has one; build the pool without it .*with n_domains"),
        ({"pool": POOL | {"n_domains": 7}}, "n_domains must be <= n_clusters = 6, actual value: 7"),
        ({"truth": "label"}, "the pool has no hidden column 'label'; it has .*'truth'"),
        ({"truth": "cluster"}, r"truth must be in \[0, 1\], column 'cluster' holds .*name the safe ones"),
        ({"safe_classes": ["clean"]}, "safe_classes names 'clean'.*actual truth: 'truth', classes: none"),
        ({"max_bias": 0.0}, "'max_bias' = 0.0"),
        ({"noise_scale": 0.0}, "'noise_scale' = 0.0"),
        ({"drift": 1.0}, "'drift' = 1.0"),
        ({"audit_price": 0.0}, "'audit_price' = 0.0"),
    ],
)
def test_bad_arguments(kwargs: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BiasedSelectionVectorEnv(1, **(SMALL | kwargs))

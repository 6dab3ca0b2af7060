"""The laws of every learner, and what it draws for whom."""

import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_gym.config import ConfigError
from curation_gym.learners.base import Learner, bootstrap_weights, derived_seed, rows_of
from curation_gym.learners.build import make_learner
from curation_gym.pools import Pool

MLP = {"steps": 25, "width": 16, "members": 3, "learning_rate": 0.02}
CONFIGS: dict[str, dict[str, Any]] = {
    "linear": {"kind": "linear", "members": 3},
    "mc_dropout": {"kind": "mc_dropout", **MLP},
    "mc_dropout, deep and warm": {"kind": "mc_dropout", "layers": 2, "warm_start": True, **MLP},
    "checkpoints": {"kind": "checkpoints", **MLP},
    "averaged checkpoints": {"kind": "checkpoints", "average": 2, **MLP},
    "subspaces": {"kind": "subspaces", "members": 4},
    "views": {"kind": "views", "pools": [Pool(np.random.default_rng(1).standard_normal((240, 3)))]},
    "specialists": {"kind": "specialists"},
    "sklearn": {"kind": "sklearn", "estimator": "sklearn.naive_bayes:GaussianNB", "members": 3},
    "stack": {"kind": "stack", "learners": [{"kind": "linear", "members": 1}, {"kind": "mc_dropout", **MLP}]},
    "continual": {"kind": "continual", "memory": 20, "learner": {"kind": "checkpoints", **MLP}},
}
every_kind = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
LABELLED = np.arange(0, 240, 2)


def fitted(config: dict[str, Any], pool: Pool, ids: np.ndarray = LABELLED, seed: int = 0) -> Learner:
    return make_learner(config, pool, 4, seed).fit(ids, pool.hidden["label"][ids])


@every_kind
def test_what_is_learned_are_distributions_that_get_new_samples_right(config: dict[str, Any], pool: Pool) -> None:
    learner = fitted(config, pool)
    others = np.setdiff1d(np.arange(len(pool)), LABELLED)
    p = learner.predict_proba(others)
    assert p.dtype == np.float32
    assert p.shape == (learner.members, len(others), learner.classes)
    np.testing.assert_allclose(p.sum(2), 1, rtol=1e-5)
    assert (p.mean(0).argmax(1) == pool.hidden["label"][others]).mean() > 0.85
    assert learner.predict_proba(others[:0]).shape == (learner.members, 0, 4)


@every_kind
def test_members_really_differ(config: dict[str, Any], pool: Pool) -> None:
    p = fitted(config, pool).predict_proba(np.arange(240))
    for first in range(len(p)):
        for second in range(first):
            assert np.abs(p[first] - p[second]).max() > 0.01


@every_kind
def test_the_order_of_the_labels_does_not_matter_and_that_of_the_samples_is_kept(
    config: dict[str, Any], pool: Pool, rng: np.random.Generator
) -> None:
    p = fitted(config, pool).predict_proba(np.arange(240))
    shuffled = fitted(config, pool, rng.permutation(LABELLED))
    np.testing.assert_array_equal(shuffled.predict_proba(np.arange(240)), p)
    order = rng.permutation(240)
    np.testing.assert_allclose(shuffled.predict_proba(order), p[:, order], atol=1e-6)
    np.testing.assert_allclose(shuffled.predict_proba(order[:7]), p[:, order[:7]], atol=1e-6)


@every_kind
def test_the_seed_decides_and_global_generators_do_not(config: dict[str, Any], pool: Pool) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    first = fitted(config, pool, seed=1).predict_proba(np.arange(240))
    drawn = torch.rand(1)
    torch.manual_seed(2)
    np.testing.assert_array_equal(fitted(config, pool, seed=1).predict_proba(np.arange(240)), first)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn, "a learner must leave the global generator as it was"
    if config["kind"] not in ("views", "specialists"):  # which draw nothing
        assert (fitted(config, pool, seed=2).predict_proba(np.arange(240)) != first).any()


@every_kind
def test_classes_that_no_label_named_have_probability_0(config: dict[str, Any], pool: Pool) -> None:
    learner = make_learner(config, pool, 6, 0)
    np.testing.assert_allclose(learner.predict_proba(np.arange(5)), 1 / 6, rtol=1e-6)
    none = np.zeros(0, np.int64)
    np.testing.assert_allclose(learner.fit(none, none).predict_proba(np.arange(5)), 1 / 6, rtol=1e-6)
    p = learner.fit(LABELLED, pool.hidden["label"][LABELLED]).predict_proba(np.arange(240))
    assert (p[..., 4:] == 0).all()
    assert (p[..., :4].max((0, 1)) > 0.25).all()
    assert make_learner(config, pool, 6, 0).fit([3], [5]).predict_proba(np.arange(9))[..., 5].min() == 1


@every_kind
def test_a_copy_is_independent(config: dict[str, Any], pool: Pool) -> None:
    learner = fitted(config, pool, LABELLED[:20])
    before = learner.predict_proba(np.arange(240))
    copy = deepcopy(learner)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(learner)).predict_proba(np.arange(240)), before)
    np.testing.assert_array_equal(copy.predict_proba(np.arange(240)), before)
    copy.fit(LABELLED, pool.hidden["label"][LABELLED])
    np.testing.assert_array_equal(learner.predict_proba(np.arange(240)), before)
    assert (copy.predict_proba(np.arange(240)) != before).any()


@every_kind
def test_bad_input_is_named(config: dict[str, Any], pool: Pool) -> None:
    learner = make_learner(config, pool, 4, 0)
    with pytest.raises(ValueError, match=r"labels must be in 0 … 3, actual value: -1; drop flagged samples first"):
        learner.fit([1, 2], [0, -1])
    with pytest.raises(ValueError, match=r"ids must be in 0 … 239, actual value: 240"):
        learner.fit([1, 240], [0, 1])
    with pytest.raises(ValueError, match=r"labels must be 2 integers, one per id, actual: int64 of shape \(1,\)"):
        learner.fit([1, 2], [0])
    with pytest.raises(ValueError, match=r"ids must be in 0 … 239, actual value: -1"):
        learner.predict_proba([-1])
    with pytest.raises(ValueError, match=r"ids must be integers of shape \(n,\), actual: bool"):
        learner.predict_proba(np.ones(240, np.bool_))


@every_kind
def test_a_pickle_of_a_learner_holds_the_path_of_a_saved_pool_not_its_content(
    config: dict[str, Any], pool: Pool, tmp_path: Path
) -> None:
    saved = pool.save(tmp_path / "pool")
    learner = make_learner(config, saved, 4, 0)
    features = saved.embeddings.tobytes()[:4000]
    assert features not in pickle.dumps(learner)


def test_consecutive_rows_are_a_view_and_others_are_gathered(pool: Pool) -> None:
    X = pool.embeddings
    for rows in ([3, 4, 5], [7], [], [5, 4, 3], [3, 4, 4, 6], [0, 2, 1, 3]):
        np.testing.assert_array_equal(rows_of(X, np.array(rows, np.intp)), X[np.array(rows, np.intp)])
    assert np.shares_memory(rows_of(X, np.arange(10, 200)), X)


def test_a_configuration_is_checked() -> None:
    pool = Pool(np.ones((3, 2), np.float32))
    with pytest.raises(ConfigError, match=r"learner.kind must be one of linear, mc_dropout, .* actual value: 'tree'"):
        make_learner({"kind": "tree"}, pool, 2, 0)
    with pytest.raises(ConfigError, match="learners must name at least one"):
        make_learner({"kind": "stack", "learners": []}, pool, 2, 0)
    with pytest.raises(ConfigError, match="pools must name at least one further view"):
        make_learner({"kind": "views", "pools": []}, pool, 2, 0)
    with pytest.raises(ValueError, match="classes must be >= 2, actual value: 1"):
        make_learner({"kind": "linear"}, pool, 1, 0)


@given(st.integers(1, 6), st.integers(1, 50), st.integers(0, 2**32))
def test_bootstrap_weights_are_of_the_member_and_the_sample(members: int, n: int, seed: int) -> None:
    weight = bootstrap_weights(members, n, seed)
    assert weight.shape == (members, n)
    assert (weight > 0).all()
    assert (weight[0] == 1).all()
    np.testing.assert_array_equal(weight, bootstrap_weights(members, n, seed))


def test_bootstrap_weights_are_exponential() -> None:
    drawn = bootstrap_weights(3, 20_000, 0)[1:]
    np.testing.assert_allclose([drawn.mean(), drawn.var(), (drawn > 1).mean()], [1, 1, np.exp(-1)], atol=0.03)
    assert abs(np.corrcoef(drawn)[0, 1]) < 0.03


@given(st.integers(0, 2**40), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), unique=True, min_size=2))
def test_derived_seeds_differ_by_key(seed: int, keys: list[tuple[int, int]]) -> None:
    seeds = {derived_seed(seed, *key) for key in keys}
    assert len(seeds) == len(keys)
    assert all(0 <= derived < 2**63 for derived in seeds)

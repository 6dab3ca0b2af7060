"""The linear ensemble, held against scikit-learn's optimum, and at the edges that a campaign begins with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from curation_gym.learners.base import bootstrap_weights
from curation_gym.learners.linear import LinearConfig, LinearEnsemble, LinearLearner
from curation_gym.pools import Pool


def data(seed: int = 0, n: int = 60, d: int = 5, classes: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features with a mean far from 0, labels that overlap, and bootstrap weights of three members."""
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    X = rng.standard_normal((classes, d))[y] + rng.standard_normal((n, d)) + 3
    weight = rng.standard_exponential((3, n))
    weight[0] = 1
    return X, y, weight


def fitted(X: np.ndarray, y: np.ndarray, weight: np.ndarray, classes: int = 4, C: float = 2.0) -> LinearEnsemble:
    return LinearEnsemble(len(weight), classes, X.shape[1], C=C, tol=1e-14, max_iter=5000).fit(X, y, weight)


def sklearn_probabilities(X: np.ndarray, y: np.ndarray, weight: np.ndarray, C: float = 2.0) -> np.ndarray:
    model = LogisticRegression(C=C, tol=1e-14, max_iter=5000).fit(X, y, sample_weight=weight)
    return model.predict_proba(X)


@pytest.mark.parametrize("C", [0.1, 2.0, 50.0])
def test_every_member_is_at_the_optimum_of_scikit_learn(C: float) -> None:
    X, y, weight = data()
    ours = fitted(X, y, weight, C=C).predict_proba(X)
    for member in range(3):
        np.testing.assert_allclose(ours[member], sklearn_probabilities(X, y, weight[member], C), atol=1e-5)


def test_a_class_never_seen_has_probability_0_and_leaves_the_others_at_their_optimum() -> None:
    X, y, weight = data()
    kept = y != 2
    ours = fitted(X[kept], y[kept], weight[:, kept]).predict_proba(X[kept])
    assert (ours[..., 2] == 0).all()
    expected = sklearn_probabilities(X[kept], y[kept], weight[1, kept])
    np.testing.assert_allclose(ours[1][:, [0, 1, 3]], expected, atol=1e-5)


def test_without_labels_every_class_is_as_likely() -> None:
    learner = LinearEnsemble(2, 5, 3)
    X = np.ones((4, 3), np.float32)
    np.testing.assert_allclose(learner.predict_proba(X), 0.2)
    learner.fit(X[:0], np.zeros(0, np.int64), np.ones((2, 0)))
    np.testing.assert_allclose(learner.predict_proba(X), 0.2)


def test_a_first_batch_of_one_class_then_others() -> None:
    X, y, weight = data()
    learner = LinearEnsemble(3, 4, 5, C=2.0, tol=1e-14, max_iter=5000)
    first = y == 3
    p = learner.fit(X[first], y[first], weight[:, first]).predict_proba(X)
    assert (p[..., 3] == 1).all()
    assert (p[..., :3] == 0).all()
    later = learner.fit(X, y, weight).predict_proba(X)
    np.testing.assert_allclose(later, fitted(X, y, weight).predict_proba(X), atol=1e-5)


def test_a_warm_start_reaches_the_same_optimum() -> None:
    X, y, weight = data()
    learner = fitted(X[:40], y[:40], weight[:, :40])
    warm = learner.fit(X, y, weight).predict_proba(X)
    np.testing.assert_allclose(warm, fitted(X, y, weight).predict_proba(X), atol=1e-5)
    at_optimum = learner.coef.copy()
    np.testing.assert_allclose(learner.fit(X, y, weight).coef, at_optimum, rtol=1e-5, atol=1e-6)


@given(st.permutations(range(3)))
@settings(max_examples=6, deadline=None)
def test_members_follow_their_weights(order: list[int]) -> None:
    X, y, weight = data()
    straight = fitted(X, y, weight).predict_proba(X)
    np.testing.assert_allclose(fitted(X, y, weight[order]).predict_proba(X), straight[order], atol=1e-5)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_a_weight_of_two_is_a_sample_twice(seed: int) -> None:
    X, y, _ = data(seed)
    twice = np.random.default_rng(seed).integers(1, 3, len(y))
    weighted = fitted(X, y, twice[None].astype(float)).predict_proba(X)
    repeated = fitted(np.repeat(X, twice, 0), np.repeat(y, twice), np.ones((1, twice.sum()))).predict_proba(X)
    np.testing.assert_allclose(weighted, repeated, atol=5e-6)


def test_probabilities_sum_to_one_in_the_precision_of_the_features() -> None:
    X, y, weight = data()
    learner = LinearEnsemble(3, 4, 5, C=1e4).fit(X.astype(np.float32), y, weight)
    p = learner.predict_proba(1e4 * X.astype(np.float32))
    assert p.dtype == np.float32
    assert p.shape == (3, 60, 4)
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(2), 1, rtol=1e-5)


def test_a_campaign_at_the_default_tolerance_stays_near_the_optimum() -> None:
    X, y, weight = data(n=400, d=10, classes=8)
    learner = LinearEnsemble(3, 8, 10)
    for n in range(20, 401, 20):
        p = learner.fit(X[:n], y[:n], weight[:, :n]).predict_proba(X)
        optimum = fitted(X[:n], y[:n], weight[:, :n], classes=8, C=1.0).predict_proba(X)
        assert 0.5 * np.abs(p - optimum).sum(2).mean() < 0.005
        assert ((p.mean(0).argmax(1) == y).mean() - (optimum.mean(0).argmax(1) == y).mean()) == pytest.approx(
            0, abs=0.02
        )


def test_the_learner_is_the_ensemble_on_embeddings_with_bootstrap_weights_by_id(pool: Pool) -> None:
    ids = np.arange(0, 240, 3)
    labels = pool.hidden["label"][ids]
    learner = LinearLearner(LinearConfig(members=3, C=2.0), pool, 4, seed=7).fit(ids, labels)
    weight = bootstrap_weights(3, 240, 7)[:, ids]
    expected = LinearEnsemble(3, 4, 12, C=2.0).fit(pool.embeddings[ids], labels, weight)
    np.testing.assert_array_equal(learner.predict_proba(ids), expected.predict_proba(pool.embeddings[ids]))


def test_balanced_classes_weigh_as_much_whatever_was_labelled(pool: Pool) -> None:
    ids = np.flatnonzero((pool.hidden["label"] > 0) | (np.arange(len(pool)) % 10 == 0))  # few of class 0
    labels = pool.hidden["label"][ids]
    learner = LinearLearner(LinearConfig(members=1, C=2.0, class_weight="balanced"), pool, 4, seed=0)
    reference = LogisticRegression(C=2.0, class_weight="balanced", tol=1e-10, max_iter=5000)
    expected = reference.fit(pool.embeddings[ids], labels).predict_proba(pool.embeddings)
    found = learner.fit(ids, labels).predict_proba(np.arange(len(pool)))[0]
    assert 0.5 * np.abs(found - expected).sum(1).mean() < 0.01
    plain = LinearLearner(LinearConfig(members=1, C=2.0), pool, 4, seed=0).fit(ids, labels)
    assert plain.predict_proba(np.arange(len(pool)))[0, :, 0].mean() < found[:, 0].mean() - 0.01


def test_bad_input_is_named() -> None:
    X, y, weight = data()
    learner = LinearEnsemble(3, 4, 5)
    with pytest.raises(ValueError, match=r"labels must be in 0 … 3, actual value: -1; drop flagged samples first"):
        learner.fit(X, np.where(y == 2, -1, y), weight)
    with pytest.raises(ValueError, match=r"labels must be in 0 … 3, actual value: 4"):
        learner.fit(X, y + 1, weight)
    with pytest.raises(ValueError, match=r"sample_weight must be > 0, actual smallest value: 0.0"):
        learner.fit(X, y, np.where(weight == 1, 0, weight))
    with pytest.raises(ValueError, match=r"X must have shape \(60, 5\).*actual shapes: \(60, 4\)"):
        learner.fit(X[:, :4], y, weight)
    with pytest.raises(ValueError, match=r"classes >= 2.*actual values: 3, 1, 5, 1.0"):
        LinearEnsemble(3, 1, 5)

"""k-means against what defines it and against scikit-learn, DBSCAN, and the sampling that seeds k-means."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN, MiniBatchKMeans
from sklearn.datasets import load_digits

from curation_gym.acquisition import dbscan, kmeans
from curation_gym.acquisition.clustering import plus_plus
from curation_gym.acquisition.distances import Points
from tests.acquisition.inputs import Candidates, candidates, law

DIGITS = load_digits().data.astype(np.float32)


def nearest(X: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    squared = np.array([[float(np.sum((x - c) ** 2)) for c in centres] for x in X.astype(np.float64)])
    return squared.argmin(1), squared.min(1)


@law
@given(candidates(least=1), st.data(), st.booleans(), st.integers(0, 99))
def test_centres_are_means_and_labels_the_nearest_centres(
    c: Candidates, data: st.DataObject, weighted: bool, seed: int
) -> None:
    k = data.draw(st.integers(1, len(c.scores)))
    weights = c.scores if weighted else None
    found = kmeans(c.embeddings, k, np.random.default_rng(seed), weights, iterations=60)
    labels, squared = nearest(c.embeddings, found.centres)
    assert labels.tolist() == found.labels.tolist()
    w = c.scores if weighted else np.ones(len(c.scores))
    assert found.inertia == pytest.approx(float(w @ squared), rel=1e-3, abs=1e-4)
    for label in set(labels.tolist()):
        inside = labels == label
        mean = np.average(c.embeddings[inside].astype(np.float64), axis=0, weights=w[inside])
        np.testing.assert_allclose(found.centres[label], mean, rtol=1e-4, atol=1e-4)


@law
@given(candidates(least=2), st.data(), st.integers(0, 99))
def test_every_iteration_helps(c: Candidates, data: st.DataObject, seed: int) -> None:
    k = data.draw(st.integers(1, len(c.scores)))
    inertia = [kmeans(c.embeddings, k, np.random.default_rng(seed), iterations=i).inertia for i in range(1, 5)]
    for before, after in itertools.pairwise(inertia):
        assert after <= before * 1.0001 + 1e-5


def test_a_weight_counts_like_as_many_samples() -> None:
    rng = np.random.default_rng(0)
    X, weights = rng.standard_normal((40, 2)), rng.integers(1, 4, 40)
    found = kmeans(X, 3, np.random.default_rng(1), weights.astype(float), iterations=50)
    each = np.repeat(X, weights, axis=0)
    assert found.inertia == pytest.approx(nearest(each, found.centres)[1].sum(), rel=1e-4)
    for label in range(3):
        mean = each[np.repeat(found.labels, weights) == label].mean(0)
        np.testing.assert_allclose(found.centres[label], mean, atol=1e-5)


def test_groups_are_found() -> None:
    group = np.repeat(np.arange(30), 9)
    X = 20 * np.random.default_rng(0).standard_normal((30, 5))[group] + np.random.default_rng(1).random((270, 5))
    labels = kmeans(X, 30, np.random.default_rng(2)).labels
    assert len(set(zip(group.tolist(), labels.tolist(), strict=True))) == 30


def test_one_cluster_per_label_is_about_as_good_as_mini_batches() -> None:
    found = kmeans(DIGITS, 200, np.random.default_rng(0))
    theirs = MiniBatchKMeans(200, random_state=0, n_init=1).fit(DIGITS)
    assert found.inertia < 1.03 * Points(DIGITS).nearest(theirs.cluster_centers_)[1].sum()
    exact, squared = Points(DIGITS).nearest(found.centres)
    assert (exact == found.labels).mean() > 0.99  # more than 64 clusters: only nearby centres are compared
    assert found.inertia == pytest.approx(squared.sum(), rel=0.01)


def test_no_cluster_stays_empty() -> None:
    """Heavy tails draw centres away from those between them."""
    for seed in range(150):
        X = np.random.default_rng(seed).standard_cauchy((300, 2))
        found = kmeans(X, 40, np.random.default_rng(seed), iterations=30)
        assert len(set(found.labels.tolist())) == 40


def test_fewer_values_than_clusters() -> None:
    X = np.repeat(np.eye(3), 4, axis=0)
    found = kmeans(X, 6, np.random.default_rng(0))
    assert found.inertia == pytest.approx(0, abs=1e-5)
    assert len(set(found.labels.tolist())) == 3


def test_the_same_generator_gives_the_same_clusters() -> None:
    one, two = (kmeans(DIGITS, 100, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.centres, two.centres)


def test_a_pool_larger_than_what_seeds_are_drawn_from() -> None:
    group = np.repeat(np.arange(4), [5000, 20, 20, 20])
    X = 9 * np.eye(4)[group] + np.random.default_rng(0).random((5060, 4))
    heavy = np.where(group == 0, 0, 1)  # weightless samples are never a seed
    found = kmeans(X, 3, np.random.default_rng(1), heavy)
    assert found.inertia == pytest.approx(nearest(X[group > 0], found.centres)[1].sum(), rel=1e-3)
    assert found.inertia < 40


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"k": 0}, r"k must be in 1 … 4 and iterations >= 1, actual values: 0 and 10"),
        ({"k": 5}, r"k must be in 1 … 4 .* 5 and 10"),
        ({"iterations": 0}, r"iterations >= 1, actual values: 2 and 0"),
        ({"weights": np.ones(3)}, r"weights must be 4 finite numbers >= 0, not all 0, actual: shape \(3,\)"),
        ({"weights": np.zeros(4)}, "not all 0"),
        ({"weights": np.array([1, 1, 1, -1.0])}, "weights must be 4 finite numbers >= 0"),
        ({"weights": np.array([1, 1, 1, np.nan])}, "weights must be 4 finite numbers >= 0"),
        ({"X": np.ones(4)}, r"embeddings must have shape \(n, d\) with n, d >= 1, actual shape: \(4,\)"),
    ],
)
def test_bad_input_is_named(change: dict, complaint: str) -> None:
    given = {"X": np.eye(4), "k": 2, "rng": np.random.default_rng(0), "iterations": 10} | change
    with pytest.raises(ValueError, match=complaint):
        kmeans(**given)


def test_no_seed_comes_twice_even_where_rounding_keeps_a_point_away_from_itself() -> None:
    for seed in range(20):
        picks = plus_plus(lambda to: np.ones((9, len(to)), np.float32), np.ones(9), 0, 9, np.random.default_rng(seed))
        assert sorted(picks.tolist()) == list(range(9))


# -------------------------------------------------------------------- DBSCAN
def test_dbscan_is_scikit_learns() -> None:
    X = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)
    expected = DBSCAN(eps=0.3, min_samples=4).fit_predict(X)
    assert expected.min() < 0 < expected.max()
    np.testing.assert_array_equal(dbscan(X, 0.3, 4), expected)


def test_the_radius_tells_groups_from_noise() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(3), 40)
    X = np.vstack([30 * np.eye(3)[group] + rng.standard_normal((120, 3)), rng.uniform(60, 200, (6, 3))])
    labels = dbscan(X)
    assert set(labels[120:].tolist()) == {-1}
    kept = labels[:120] >= 0
    assert kept.mean() > 0.9
    assert len(set(zip(group[kept].tolist(), labels[:120][kept].tolist(), strict=True))) == 3


def test_edges_of_dbscan() -> None:
    assert dbscan(np.eye(4)).tolist() == [-1] * 4  # fewer than a core sample needs
    assert dbscan(np.zeros((9, 2))).tolist() == [0] * 9
    with pytest.raises(ValueError, match="min_samples must be >= 2 and eps > 0, actual values: 1 and None"):
        dbscan(np.eye(4), min_samples=1)
    with pytest.raises(ValueError, match=r"actual values: 5 and 0\.0"):
        dbscan(np.eye(4), 0.0)

"""k-centre greedy: a loop-written oracle, and distances that are carried from pull to pull."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from curation_gym.acquisition import coreset, distance_to_labelled
from tests.acquisition.inputs import Candidates, candidates, law


def k_centres(X: np.ndarray, labelled: np.ndarray, n: int) -> list[int]:
    to_labelled, distance, picked = cdist(X, labelled), cdist(X, X), []
    if not len(labelled) and n:
        picked = [int(np.argmin([np.linalg.norm(x - X.mean(0)) for x in X]))]
    while len(picked) < min(n, len(X)):
        nearest = np.hstack([to_labelled, distance[:, picked]]).min(1)
        picked.append(int(np.argmax([-1 if i in picked else nearest[i] for i in range(len(X))])))
    return picked


@law
@given(candidates(least=1, most=40), st.integers(0, 45))
def test_each_pick_is_the_farthest_from_all_before(c: Candidates, n: int) -> None:
    X, labelled = c.embeddings.astype(np.float64), c.labelled.astype(np.float64)
    picks = coreset(c.embeddings, distance_to_labelled(c.embeddings, c.labelled), n)
    assert picks.tolist() == k_centres(X, labelled, n)


@pytest.mark.parametrize("labels", [0, 3])
def test_many_picks_from_a_large_pool(labels: int) -> None:
    X = np.random.default_rng(4).standard_normal((300, 5))
    assert coreset(X, distance_to_labelled(X, X[:labels]), 60).tolist() == k_centres(X, X[:labels], 60)


def test_the_first_of_equally_far_ones() -> None:
    X = np.array([[0.0, 0], [4, 0], [0, 4], [-4, 0], [0, -4]])
    assert coreset(X, distance_to_labelled(X, X[:1]), 5).tolist() == [1, 2, 3, 4, 0]
    assert coreset(X, distance_to_labelled(X, X[:0]), 5).tolist() == [0, 1, 2, 3, 4]


@law
@given(candidates(least=1), candidates(least=1))
def test_carried_distances_are_those_to_all_labels(c: Candidates, other: Candidates) -> None:
    d = min(c.embeddings.shape[1], other.embeddings.shape[1])
    X, new, old = c.embeddings[:, :d], other.embeddings[:, :d], c.labelled[:, :d]
    carried = distance_to_labelled(X, new, distance_to_labelled(X, old))
    expected = [min(np.linalg.norm(x - c) for c in [*old, *new]) for x in X.astype(np.float64)]
    np.testing.assert_allclose(carried, expected, rtol=1e-3, atol=1e-3)


def test_pull_by_pull_is_all_at_once() -> None:
    X = np.random.default_rng(5).standard_normal((200, 6)).astype(np.float32)
    left, distances, picked = np.arange(200), distance_to_labelled(X, X[:0]), []
    for _ in range(6):
        chosen = left[coreset(X[left], distances[left], 5)]
        distances = distance_to_labelled(X, X[chosen], distances)
        left = np.setdiff1d(left, chosen)
        picked += chosen.tolist()
    assert picked == coreset(X, np.full(200, np.inf), 30).tolist()


def test_bad_input_is_named() -> None:
    X = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"actual shapes: \(3, 2\), \(1, 5\) and None"):
        distance_to_labelled(X, np.ones((1, 5)))
    with pytest.raises(ValueError, match=r"actual shapes: \(3, 2\), \(1, 2\) and \(4,\)"):
        distance_to_labelled(X, np.ones((1, 2)), np.ones(4))
    with pytest.raises(ValueError, match="distances must be 3 numbers >= 0"):
        coreset(X, np.ones(4), 1)
    with pytest.raises(ValueError, match="distances must be 3 numbers >= 0"):
        coreset(X, np.array([1.0, -1.0, 1.0]), 1)

"""TypiClust's choice from given clusters against loops, and where its picks lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_gym.acquisition import kmeans, typiclust
from curation_gym.acquisition.typiclust import most_typical
from tests.acquisition.inputs import Candidates, candidates, law


def choose(X: np.ndarray, clusters: list[int], covered: list[int], n: int, neighbours: int) -> list[int]:
    """The paper's choice, one pick at a time; pools of large clusters only, so that none is set aside."""
    picked: list[int] = []
    order = sorted(range(len(covered)), key=lambda c: (covered[c], -(clusters.count(c) + covered[c]), c))
    while len(picked) < n:
        for c in order:
            members = [i for i in range(len(X)) if clusters[i] == c and i not in picked]
            if not members or len(picked) == n:
                continue
            worth = []
            for i in members:
                near = sorted(np.linalg.norm(X[i] - X[j]) for j in members if j != i)[:neighbours]
                worth.append(len(near) / sum(near) if near else 1)
            picked.append(members[int(np.argmax(worth))])
    return picked


@law
@given(candidates(least=30), st.integers(1, 4), st.integers(1, 25), st.integers(2, 20), st.integers(0, 99))
def test_the_most_typical_of_the_largest_cluster_without_a_label(
    c: Candidates, k: int, n: int, neighbours: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    clusters = np.append(np.repeat(np.arange(k), 6), rng.integers(k, size=len(c.scores) - 6 * k))
    covered = rng.integers(0, 3, k)
    expected = choose(c.embeddings.astype(np.float64), clusters.tolist(), covered.tolist(), n, neighbours)
    found = most_typical(c.embeddings, clusters, covered, n, neighbours).tolist()
    assert len(found) == n
    for at, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        if ours != theirs:  # the last two of a cluster are as typical as each other, and rounding decides
            assert set(np.flatnonzero(clusters == clusters[ours])) - set(found[:at]) == {ours, theirs}
            break


def test_small_clusters_wait() -> None:
    X = np.arange(16, dtype=np.float32)[:, None] ** 1.1
    clusters = np.repeat([0, 1, 2], [7, 5, 4])
    assert clusters[most_typical(X, clusters, np.array([0, 0, 0]), 9)].tolist() == [0] * 7 + [1, 2]
    # labelled samples count for the size: 4 + 2 is no small cluster, but it is covered
    assert clusters[most_typical(X, clusters, np.array([0, 0, 2]), 4)].tolist() == [0, 2, 0, 2]


def test_picks_lie_where_no_label_is() -> None:
    group = np.repeat(np.arange(6), [40, 35, 30, 25, 20, 15])
    rng = np.random.default_rng(0)
    X = 50 * np.eye(6)[group] + rng.standard_normal((165, 6))
    picks = typiclust(X, 50 * np.eye(6)[[0, 3]], 4, rng)
    assert group[picks].tolist() == [1, 2, 4, 5]
    for pick in picks:  # the most typical is near the middle
        others = X[group == group[pick]]
        away = np.linalg.norm(others - others.mean(0), axis=1)
        assert np.linalg.norm(X[pick] - others.mean(0)) < np.median(away)


def test_no_more_clusters_than_the_cap() -> None:
    X = np.random.default_rng(0).standard_normal((120, 3)).astype(np.float32)
    picks = typiclust(X, X[:0], 10, np.random.default_rng(1), cap=4)
    clusters = kmeans(X, 4, np.random.default_rng(1)).labels
    assert picks.tolist() == most_typical(X, clusters, np.zeros(4, int), 10).tolist()
    assert len(set(clusters[picks[:4]].tolist())) == 4


def test_bad_input_is_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"actual: \(3, 2\) and \(1, 3\), 500 and 20"):
        typiclust(np.ones((3, 2)), np.ones((1, 3)), 1, rng)
    with pytest.raises(ValueError, match=r"cap and neighbours must be >= 1, actual: .* 0 and 20"):
        typiclust(np.ones((3, 2)), np.ones((1, 2)), 1, rng, cap=0)

"""High scores that are far apart: a loop-written oracle, and picks from clusters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from curation_gym.acquisition import clustered, diverse, kmeans
from curation_gym.acquisition.diverse import DIVERSE_AMONG
from tests.acquisition.inputs import Candidates, candidates, law


def greedy(scores: np.ndarray, priority: np.ndarray, points: np.ndarray, n: int) -> list[int]:
    ranked = sorted(range(len(scores)), key=lambda i: (-scores[i], -priority[i]))[: DIVERSE_AMONG * n]
    picked, distance = ranked[:1], cdist(points, points)
    while len(picked) < min(n, len(ranked)):
        rest = [i for i in ranked if i not in picked]
        worth = [scores[i] * distance[i, picked].min() for i in rest]
        picked.append(rest[int(np.argmax(worth))])
    return picked


@law
@given(candidates(least=1), st.integers(1, 40))
def test_diverse_picks_are_greedy_by_score_times_distance(c: Candidates, n: int) -> None:
    expected = greedy(c.scores, c.priority, c.embeddings.astype(np.float64), n)
    assert diverse(c.scores, c.priority, c.embeddings, n).tolist() == expected


def test_ties_go_by_priority() -> None:
    rng = np.random.default_rng(3)
    scores, priority = rng.random(40).round(1), rng.random(40)
    points = rng.standard_normal((40, 3))
    assert diverse(scores, priority, points, 4).tolist() == greedy(scores, priority, points, 4)
    assert sorted(diverse(scores, priority, points, 99)) == list(range(40))


def test_many_picks_from_a_large_pool_are_greedy_too() -> None:
    rng = np.random.default_rng(8)  # enough for several batches
    scores, priority, points = rng.random(900), rng.random(900), rng.standard_normal((900, 4)).astype(np.float32)
    expected = greedy(scores, priority, points.astype(np.float64), 120)
    assert diverse(scores, priority, points, 120).tolist() == expected


def test_data_far_from_the_origin_keeps_its_distances() -> None:
    rng = np.random.default_rng(0)
    scores, priority = rng.random(60), rng.random(60)
    points = rng.integers(-50, 50, (60, 3)).astype(np.float32)  # exact in float32, also after the move
    assert diverse(scores, priority, points + 4096, 9).tolist() == greedy(scores, priority, points, 9)


# ------------------------------------------------------------------ clusters
def lines(sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Groups of evenly spaced points, far from one another; the points and the group of each."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    return (1000 * group + np.arange(len(group)))[:, None].astype(np.float32), group


@pytest.mark.parametrize("method", ["kmeans", "dbscan"])
def test_clusters_take_turns_in_the_order_of_their_scores(method: str) -> None:
    points, group = lines([10, 20, 15])
    rng = np.random.default_rng(1)
    scores, priority = rng.random(45) + np.array([1.0, 1.1, 0.2])[group], rng.random(45)
    clusters = 3 if method == "kmeans" else None
    picks = clustered(scores, priority, points, 9, rng, method=method, n_clusters=clusters)
    mass = [scores[group == g].sum() for g in range(3)]
    turns = sorted(range(3), key=lambda g: -mass[g])
    ranked = [sorted(np.flatnonzero(group == g), key=lambda i: -scores[i]) for g in range(3)]
    assert picks.tolist() == [ranked[g][turn] for turn in range(3) for g in turns]


def test_only_the_highest_scores_are_clustered() -> None:
    points, group = lines([10, 10])
    scores = np.where(group == 0, 0.1, 0.9) + np.arange(20) / 1000
    picks = clustered(scores, scores, points, 2, np.random.default_rng(0))
    assert set(group[picks].tolist()) == {1}


def test_noise_is_a_cluster_each() -> None:
    points, group = lines([12, 1, 1])
    scores = np.where(group == 0, 0.5, 0.4) + np.arange(14) / 1000
    picks = clustered(scores, scores, points, 5, np.random.default_rng(0), method="dbscan")
    assert group[picks].tolist() == [0, 2, 1, 0, 0]


def test_a_cluster_left_over_gives_its_turn_to_the_others() -> None:
    points, group = lines([2, 18])
    scores = np.linspace(1, 2, 20)
    picks = clustered(scores, scores, points, 7, np.random.default_rng(0), n_clusters=2)
    assert group[picks].tolist() == [1, 0, 1, 0, 1, 1, 1]


def test_scores_weigh_the_clusters() -> None:
    points = np.array([[0.0], [1.0], [10.0], [11.0], [12.0]], np.float32)
    scores = np.array([1.0, 1.0, 1e-6, 1e-6, 1e-6])  # one centre for the light three, or for the heavy two?
    heavy = kmeans(points, 2, np.random.default_rng(0), scores, iterations=50)
    assert heavy.labels[0] != heavy.labels[1]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"scores": np.array([0.5, -0.1])}, "scores must be finite and >= 0, actual range: -0.1 … 0.5"),
        ({"scores": np.array([0.5, np.inf])}, "scores must be finite and >= 0"),
        ({"embeddings": np.ones((3, 1))}, "scores and embeddings must be as long, actual: 2 and 3"),
        ({"embeddings": np.ones(2)}, r"embeddings must have shape \(n, d\)"),
    ],
)
def test_bad_input_is_named(change: dict, complaint: str) -> None:
    given = {"scores": np.ones(2), "priority": np.ones(2), "embeddings": np.ones((2, 1))} | change
    with pytest.raises(ValueError, match=complaint):
        diverse(**given, n=1)
    with pytest.raises(ValueError, match=complaint):
        clustered(**given, n=1, rng=np.random.default_rng(0))


def test_bad_options_are_named() -> None:
    two = np.ones(2), np.ones(2), np.ones((2, 1)), 1, np.random.default_rng(0)
    with pytest.raises(ValueError, match="method must be 'kmeans' or 'dbscan', actual value: 'spectral'"):
        clustered(*two, method="spectral")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n_clusters must be >= 1, and is for 'kmeans' only, actual value: 0"):
        clustered(*two, n_clusters=0)
    with pytest.raises(ValueError, match="is for 'kmeans' only, actual value: 2"):
        clustered(*two, n_clusters=2, method="dbscan")

"""Samples with high scores that differ from one another: by distance, or by clusters."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curation_gym.acquisition.clustering import dbscan, kmeans
from curation_gym.acquisition.coreset import farthest_first
from curation_gym.acquisition.distances import Points, check_finite, squared_norms
from curation_gym.acquisition.top import at_most, best

DIVERSE_AMONG, CLUSTERED_AMONG = 2, 5
"""Picks are chosen among this many times as many of the highest scores. Distance competes with the score, so that more
to choose from means weaker scores; clusters need several samples each."""


def diverse(
    scores: NDArray[np.floating], priority: NDArray[np.floating], embeddings: NDArray[np.floating], n: int
) -> NDArray[np.intp]:
    """Positions of ``n`` samples with high scores that are far from one another.

    Among the 2·n highest scores the best is picked first, then again and again the one with the largest score
    × Euclidean distance to the nearest one picked.

    Args:
        scores: (samples,), >= 0 and finite.
        priority: (samples,), breaks ties.
        embeddings: (samples, d), finite.
        n: how many; all of them when there are fewer.

    Raises:
        ValueError: for arguments outside these ranges.
    """
    near = _highest(scores, priority, embeddings, n, DIVERSE_AMONG)
    if len(near) == 0:
        return near
    points = Points(embeddings[near])
    from_best = points.squared_distances(np.array([0]))[:, 0]
    return near[farthest_first(points, scores[near], from_best, [0], min(n, len(near)))]


def clustered(
    scores: NDArray[np.floating],
    priority: NDArray[np.floating],
    embeddings: NDArray[np.floating],
    n: int,
    rng: np.random.Generator,
    *,
    method: Literal["kmeans", "dbscan"] = "kmeans",
    n_clusters: int | None = None,
) -> NDArray[np.intp]:
    """Positions of ``n`` samples with high scores, taken from clusters in turn.

    The 5·n highest scores are clustered. Clusters take turns in the order of their summed scores, and each
    gives its best sample that is left. With k-means weighted by score and as many clusters as picks this is
    diverse mini-batch active learning (Zhdanov, 2019) with the best of a cluster in place of its centre.

    Args:
        scores: (samples,), >= 0 and finite.
        priority: (samples,), breaks ties.
        embeddings: (samples, d), finite.
        n: how many; all of them when there are fewer.
        rng: seeds k-means; DBSCAN draws nothing.
        method: ``"kmeans"``, or ``"dbscan"`` with its default radius, where each noise point is a cluster.
        n_clusters: of k-means, ``n`` by default.

    Raises:
        ValueError: for arguments outside these ranges.
    """
    if method not in ("kmeans", "dbscan"):
        raise ValueError(f"method must be 'kmeans' or 'dbscan', actual value: {method!r}")
    if n_clusters is not None and (n_clusters < 1 or method == "dbscan"):
        raise ValueError(f"n_clusters must be >= 1, and is for 'kmeans' only, actual value: {n_clusters}")
    near = _highest(scores, priority, embeddings, n, CLUSTERED_AMONG)
    if len(near) == 0:
        return near
    weights = scores[near]
    if method == "kmeans":
        k = min(n_clusters or n, len(near))
        labels = kmeans(embeddings[near], k, rng, weights if weights.any() else None).labels
    else:
        labels = dbscan(embeddings[near])
        noise = labels < 0
        labels[noise] = labels.max() + 1 + np.arange(np.count_nonzero(noise))
    mass = np.bincount(labels, weights)
    order = np.lexsort((-mass[labels], _turn(labels)))
    return near[order[:n]]


def _highest(
    scores: NDArray[np.floating],
    priority: NDArray[np.floating],
    embeddings: NDArray[np.floating],
    n: int,
    factor: int,
) -> NDArray[np.intp]:
    """The ``factor`` · n best, after a look at the arguments."""
    if len(embeddings) != len(scores):
        raise ValueError(f"scores and embeddings must be as long, actual: {len(scores)} and {len(embeddings)}")
    near = best(scores, priority, factor * at_most(n, len(scores)))
    if len(scores) and not (scores.min() >= 0 and scores.max() < np.inf):
        raise ValueError(f"scores must be finite and >= 0, actual range: {scores.min()} … {scores.max()}")
    if embeddings.ndim == 2:
        check_finite(squared_norms(embeddings[near].astype(np.float32)), near)
    return near


def _turn(labels: NDArray[np.intp]) -> NDArray[np.intp]:
    """How many before each position have the same label."""
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels)
    turn = np.empty_like(labels)
    turn[order] = np.arange(len(labels)) - np.repeat(counts.cumsum() - counts, counts)
    return turn

"""Clustering that is cheap enough for every pull, and the sampling that seeds it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors

from curation_gym.acquisition.distances import Points, Prepared, blocks

_BATCH = 32  # samples drawn at once
_SEEDED_FROM = 4  # k-means is seeded from this many times as many points as clusters …
_SEEDED_FROM_LEAST = 4096  # … but at least from so many
_NEARBY = 64  # centres that a point is compared with after the first iteration
_SETTLED = 0.01  # k-means stops when a smaller share of the points changes cluster


class Clusters(NamedTuple):
    """What k-means found.

    Attributes:
        labels: (n,), the cluster of every point, in 0 … k − 1. Points with fewer than k distinct values leave
            clusters empty.
        centres: (k, d), float32.
        inertia: Σ_i w_i |x_i − centre of i|².
    """

    labels: NDArray[np.intp]
    centres: NDArray[np.float32]
    inertia: float


def kmeans(
    X: NDArray[np.floating],
    k: int,
    rng: np.random.Generator,
    weights: NDArray[np.floating] | None = None,
    iterations: int = 10,
) -> Clusters:
    """Lloyd's k-means (1982) in float32, seeded by k-means++ (Arthur and Vassilvitskii, SODA 2007).

    Written for many clusters, such as one per label. The seeds are sampled from a random subset of 4·k points
    (4,096 if that is more). The first iteration compares every point with every centre, O(n · k · d); from then on
    a point is compared with the 64 centres nearest to its own, which for up to 64 clusters is all of them and else
    misses the nearest centre of a few points in a thousand, where there are no clusters of a few in a hundred
    (k²-means, Agustsson, Timofte and Van Gool, 2017). An empty cluster is seeded anew at the point that adds most
    to the inertia. It stops early when fewer than 1 % of the points change cluster.

    Memory beyond the input is O(n + k · d).

    Args:
        X: (n, d), finite.
        k: clusters, 1 … n.
        rng: draws the seeds; the same generator gives the same clusters.
        weights: (n,), ≥ 0 and not all 0; 1 by default.
        iterations: at most, ≥ 1.

    Raises:
        ValueError: for arguments outside these ranges.
    """
    points = Points(X)
    n = len(points)
    w = np.ones(n, np.float32) if weights is None else np.asarray(weights, np.float32)
    if not 1 <= k <= n or iterations < 1:
        raise ValueError(f"k must be in 1 … {n} and iterations >= 1, actual values: {k} and {iterations}")
    if w.shape != (n,) or not np.isfinite(w).all() or not w.min() >= 0 or not w.any():
        raise ValueError(f"weights must be {n} finite numbers >= 0, not all 0, actual: shape {w.shape}, {w}")
    centres = _seeds(points, k, rng, w)
    labels, squared = points.nearest(centres)
    nearby: NDArray[np.intp] | None = None
    for _ in range(iterations):
        sums = np.asarray(csr_array((w, labels, np.arange(n + 1)), shape=(n, k)).T @ points.X, np.float32)
        mass = np.bincount(labels, w, k).astype(np.float32)
        empty = np.flatnonzero(mass == 0)
        centres = np.divide(sums, np.where(mass > 0, mass, 1)[:, None], dtype=np.float32)
        centres[empty] = points.X[np.argsort(-w * squared, kind="stable")[: len(empty)]]
        if nearby is None or len(empty):
            nearby = _neighbourhoods(centres)
        before = labels
        labels, squared = _reassigned(points, centres, labels, nearby)
        if np.count_nonzero(labels != before) < _SETTLED * n:
            break
    return Clusters(labels, centres, float(np.vdot(w, squared)))


def _seeds(points: Points, k: int, rng: np.random.Generator, w: NDArray[np.float32]) -> NDArray[np.float32]:
    some = rng.permutation(len(points))[: max(_SEEDED_FROM * k, _SEEDED_FROM_LEAST)]
    if not w[some].any():
        some = np.union1d(some, np.flatnonzero(w))
    sample, weight = Points(points.X[some]), w[some].astype(np.float64)
    first = int(rng.choice(len(some), p=weight / weight.sum()))
    return sample.X[plus_plus(sample.squared_distances, w[some], first, k, rng)]


def _neighbourhoods(centres: NDArray[np.float32]) -> NDArray[np.intp]:
    """(k, 64), of each centre the nearest ones, itself among them; (k, k) when there are no more."""
    k = len(centres)
    if k <= _NEARBY:
        return np.broadcast_to(np.arange(k), (k, k))
    found = np.empty((k, _NEARBY), np.intp)
    for rows, squared in Points(centres).in_blocks(centres):
        found[rows] = squared.argpartition(_NEARBY, axis=1)[:, :_NEARBY]
    return found


def _reassigned(
    points: Points, centres: NDArray[np.float32], labels: NDArray[np.intp], nearby: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """:meth:`Points.nearest` among the centres that are near each point's own."""
    k = len(centres)
    if nearby.shape == (k, k):
        return points.nearest(centres)
    found, squared = np.empty(len(points), np.intp), np.empty(len(points), np.float32)
    by_cluster = np.split(np.argsort(labels, kind="stable"), np.bincount(labels, minlength=k).cumsum()[:-1])
    slopes, offsets = points.prepare(centres)
    for candidates, members in zip(nearby, by_cluster, strict=True):
        others = Prepared(slopes[candidates], offsets[candidates])
        for rows in blocks(len(members), points.X.shape[1]):
            best, squared[members[rows]] = points.nearest_of(others, members[rows])
            found[members[rows]] = candidates[best]
    return found, squared


def plus_plus(
    squared_distances: Callable[[NDArray[np.intp]], NDArray[np.float32]],
    weights: NDArray[np.float32],
    first: int,
    n: int,
    rng: np.random.Generator,
    covered: NDArray[np.float32] | None = None,
) -> NDArray[np.intp]:
    """k-means++ sampling (Arthur and Vassilvitskii, SODA 2007), which never looks at the points themselves.

    After ``first``, each pick is drawn with probability ∝ weight × squared distance to the nearest pick so far.
    A batch is drawn at once from the probabilities before it, and one of it is kept with the share of its
    probability that the picks kept earlier in the batch left it: rejection sampling, which draws from the very
    same distribution with a fraction of the passes over the points.

    Args:
        squared_distances: from positions (m,) to (points, m), from every point to those.
        weights: (points,), ≥ 0.
        first: the first pick.
        n: picks in all, at most as many as points. When all others lie on picks, the rest is drawn uniformly.
        rng: draws.
        covered: (points,), squared distances to what counts as picked before; to nothing by default.
    """
    picked = [first]
    left = weights * np.minimum(squared_distances(np.array(picked))[:, 0], np.inf if covered is None else covered)
    while len(picked) < n:
        left[picked] = 0
        total = left.sum(dtype=np.float64)
        if total == 0:
            rest = np.setdiff1d(np.arange(len(left)), picked)
            picked += rng.permutation(rest)[: n - len(picked)].tolist()
            break
        # As many as there are picks already: the more there are, the less a further one changes.
        batch = rng.choice(len(left), min(len(picked), n - len(picked), _BATCH), p=left / total)
        after_each = weights[:, None] * squared_distances(batch)
        bar = rng.random(len(batch)) * left[batch]
        within, kept = left[batch], []
        for i in range(len(batch)):
            if bar[i] < within[i]:
                kept.append(i)
                within = np.minimum(within, after_each[batch, i])
                within[batch == batch[i]] = 0  # rounding may leave a point some way from itself
        picked += batch[kept].tolist()
        left = np.minimum(left, after_each[:, kept].min(1))
    return np.array(picked, np.intp)


def dbscan(X: NDArray[np.floating], eps: float | None = None, min_samples: int = 5) -> NDArray[np.intp]:
    """Density-based clusters (Ester, Kriegel, Sander and Xu, KDD 1996), by scikit-learn.

    Without ``eps``, it is read off the sorted distances to the (min_samples − 1)-th nearest neighbour, as that
    paper does by eye: where they turn up, at the largest distance below the chord between the ends (Satopää et
    al., "Kneedle", 2011).

    Args:
        X: (n, d), finite. Meant for hundreds or thousands of candidates: neighbourhoods may hold O(n²).
        eps: radius of a neighbourhood, > 0.
        min_samples: samples in the neighbourhood of a core sample, itself among them, ≥ 2.

    Returns:
        (n,), clusters from 0 on; −1 for noise.

    Raises:
        ValueError: for arguments outside these ranges.
    """
    if min_samples < 2 or (eps is not None and not eps > 0):
        raise ValueError(f"min_samples must be >= 2 and eps > 0, actual values: {min_samples} and {eps}")
    points = Points(X)
    if len(points) < min_samples:
        return np.full(len(points), -1, np.intp)
    radius = _knee(points, min_samples - 1) if eps is None else eps
    return np.asarray(DBSCAN(eps=radius, min_samples=min_samples).fit(points.X).labels_, np.intp)


def _knee(points: Points, k: int) -> float:
    distance = np.sort(NearestNeighbors(n_neighbors=k).fit(points.X).kneighbors()[0][:, -1]).astype(np.float64)
    rise = distance - distance[0]
    below_chord = np.linspace(0, 1, len(rise)) * rise[-1] - rise
    return max(float(distance[below_chord.argmax()]), float(np.finfo(np.float32).tiny))

"""CoreSet: samples far from everything labelled, and from one another."""

import numpy as np
from numpy.typing import NDArray

from curation_gym.acquisition.distances import Points
from curation_gym.acquisition.top import at_most, best

_BATCH = 16  # candidates that distances are computed to at once


def distance_to_labelled(
    embeddings: NDArray[np.floating],
    labelled: NDArray[np.floating],
    before: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """Euclidean distance of every sample to the nearest labelled one, shape (samples,), infinite without any.

    Args:
        embeddings: (samples, d).
        labelled: (labels, d), all labelled ones, or those that are new since ``before``.
        before: (samples,), the distances to the earlier ones, so that a pull only pays for its own labels.

    Raises:
        ValueError: for other shapes or an embedding that isn't finite.
    """
    if labelled.shape[1:] != embeddings.shape[1:] or (before is not None and before.shape != (len(embeddings),)):
        raise ValueError(
            "embeddings must have shape (n, d), labelled (labels, d) and before (n,), actual shapes: "
            f"{embeddings.shape}, {labelled.shape} and {None if before is None else before.shape}"
        )
    nearest = np.full(len(embeddings), np.inf, np.float32) if before is None else before.astype(np.float32)
    if len(labelled) and len(embeddings):
        others = Points(labelled).X
        nearest = np.minimum(nearest, np.sqrt(Points(embeddings).nearest(others)[1]))
    return nearest


def coreset(embeddings: NDArray[np.floating], distances: NDArray[np.floating], n: int) -> NDArray[np.intp]:
    """Positions of ``n`` samples by k-centre greedy (Sener and Savarese, ICLR 2018; Gonzalez, 1985).

    Again and again the sample farthest from the nearest one that is labelled or picked; of equal ones, any.
    Deterministic. Without any label the first is the one nearest to the mean.

    Args:
        embeddings: (samples, d).
        distances: (samples,), see :func:`distance_to_labelled`.
        n: how many; all of them when there are fewer.

    Raises:
        ValueError: for other shapes, an embedding that isn't finite, a distance that isn't >= 0, or n < 0.
    """
    n = at_most(n, len(embeddings))
    if distances.shape != (len(embeddings),) or not (distances >= 0).all():
        raise ValueError(f"distances must be {len(embeddings)} numbers >= 0, actual: {distances}")
    if n == 0:
        return np.zeros(0, np.intp)
    points, weights = Points(embeddings), np.ones(len(embeddings), np.float32)
    if np.isinf(distances).all():
        first = int(points.norms.argmin())
        return farthest_first(points, weights, points.squared_distances(np.array([first]))[:, 0], [first], n)
    return farthest_first(points, weights, np.square(distances, dtype=np.float32), [], n)


def farthest_first(
    points: Points, weights: NDArray[np.floating], nearest: NDArray[np.float32], given: list[int], n: int
) -> NDArray[np.intp]:
    """Greedily the point with the largest weight × distance to the nearest one covered; of equal ones, any.

    A pass over the points computes the distances to a batch of the best. As these values only ever fall, a member
    of the batch that is still above the best outside is the best of all, and needs no pass of its own.

    Args:
        points: at least n.
        weights: (points,), ≥ 0.
        nearest: (points,), squared distances to what is covered before.
        given: the first picks.
        n: picks in all.
    """
    picked = given.copy()
    earlier = -np.arange(len(points), dtype=np.float64)
    while len(picked) < n:
        value = weights * np.sqrt(nearest)
        value[picked] = -1
        batch = best(value, earlier, _BATCH + 1)
        bound = value[batch[-1]] if len(batch) > _BATCH else -1
        batch = batch[:_BATCH]
        squared = points.squared_distances(batch)
        within = value[batch]
        kept: list[int] = []
        while len(picked) + len(kept) < n:
            pick = int(within.argmax())
            if kept and within[pick] <= bound:
                break
            kept.append(pick)
            within = np.minimum(within, weights[batch] * np.sqrt(squared[batch, pick]))
            within[kept] = -1
        picked += batch[kept].tolist()
        nearest = np.minimum(nearest, squared[:, kept].min(1))
    return np.array(picked, np.intp)

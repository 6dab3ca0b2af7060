"""TypiClust: the most typical sample of every part of the pool that has no label yet."""

import numpy as np
from numpy.typing import NDArray

from curation_gym.acquisition.clustering import kmeans
from curation_gym.acquisition.density import typicality
from curation_gym.acquisition.top import at_most

_SMALL = 5  # samples; the typicality among so few says little


def typiclust(
    embeddings: NDArray[np.floating],
    labelled: NDArray[np.floating],
    n: int,
    rng: np.random.Generator,
    *,
    cap: int = 500,
    neighbours: int = 20,
) -> NDArray[np.intp]:
    """Positions of ``n`` samples by TypiClust (Hacohen, Dekel and Weinshall, ICML 2022).

    Everything, labelled or not, is clustered into min(labels + n, cap) clusters by :func:`kmeans`; see
    :func:`most_typical` for the choice. Best without a model, or with few labels.

    Args:
        embeddings: (samples, d), finite.
        labelled: (labels, d), finite; may be empty.
        n: how many; all of them when there are fewer.
        rng: seeds k-means.
        cap: most clusters, ≥ 1; 500 in the paper.
        neighbours: that typicality looks at, ≥ 1; 20 in the paper.

    Raises:
        ValueError: for arguments outside these ranges.
    """
    if labelled.shape[1:] != embeddings.shape[1:] or min(cap, neighbours) < 1:
        raise ValueError(
            "embeddings and labelled must have shapes (n, d) and (labels, d), cap and neighbours must be >= 1, "
            f"actual: {embeddings.shape} and {labelled.shape}, {cap} and {neighbours}"
        )
    samples = len(embeddings)
    n = at_most(n, samples)
    if n == 0:
        return np.zeros(0, np.intp)
    k = min(len(labelled) + n, cap)
    clusters = kmeans(np.concatenate([embeddings, labelled]), k, rng).labels
    covered = np.bincount(clusters[samples:], minlength=k)
    return most_typical(embeddings, clusters[:samples], covered, n, neighbours)


def most_typical(
    embeddings: NDArray[np.floating],
    clusters: NDArray[np.intp],
    covered: NDArray[np.integer],
    n: int,
    neighbours: int = 20,
) -> NDArray[np.intp]:
    """Positions of the ``n`` samples that TypiClust picks from given clusters.

    Clusters take turns, those with the fewest labels first and of these the largest, and each gives its most
    typical sample that is left: the one with the largest inverse mean distance to its nearest neighbours among
    the others left in the cluster. Clusters of five samples or fewer wait until the others are used up (the
    authors' code drops them).

    Args:
        embeddings: (samples, d), without labels.
        clusters: (samples,), in 0 … k − 1.
        covered: (k,), the labelled samples of each cluster, which count for its size.
        n: how many, ≤ samples.
        neighbours: at most; all others in a cluster that has fewer.
    """
    k = len(covered)
    size = np.bincount(clusters, minlength=k) + covered
    members = np.split(np.argsort(clusters, kind="stable"), np.bincount(clusters, minlength=k).cumsum()[:-1])
    order = np.lexsort((-size, covered)).tolist()
    picked: list[int] = []
    while len(picked) < n:
        left = [c for c in order if len(members[c])]
        turn = [c for c in left if size[c] > _SMALL] or left
        for c in turn[: n - len(picked)]:
            near = min(neighbours, len(members[c]) - 1)
            at = int(typicality(embeddings[members[c]], near).argmax()) if near else 0
            picked.append(int(members[c][at]))
            members[c] = np.delete(members[c], at)
    return np.array(picked, np.intp)

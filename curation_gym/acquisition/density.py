"""How typical a sample is: the density of the pool around it."""

import numpy as np
from numpy.typing import NDArray

from curation_gym.acquisition.distances import ROUNDING, Points

_REFERENCE = 2**14  # neighbours are looked for among this many samples at most


def typicality(X: NDArray[np.floating], k: int = 20) -> NDArray[np.float32]:
    """1 / mean distance to the ``k`` nearest neighbours (Hacohen, Dekel and Weinshall, ICML 2022).

    Exact up to 16,384 samples. Above, neighbours are looked for among 16,384 of them only, a random subset that
    depends on their number alone: distances are those to the k · n / 16,384 nearest, larger than exact ones but in
    nearly the same order, and the time is O(16,384 · n · d) instead of O(n² · d). Memory beyond the input is O(n).
    Compute it once for a pool.

    Args:
        X: (n, d), finite.
        k: neighbours, 1 … n − 1.

    Returns:
        (n,), > 0 and finite: distances too small for float32 count as about a thousandth of the root mean
        square distance to the mean.

    Raises:
        ValueError: for arguments outside these ranges.
    """
    points = Points(X)
    n = len(points)
    if not 1 <= k < min(n, _REFERENCE):
        raise ValueError(f"k must be in 1 … {min(n, _REFERENCE) - 1}, actual value: {k}")
    reference = np.arange(n) if n <= _REFERENCE else np.random.default_rng(0).choice(n, _REFERENCE, replace=False)
    column = np.full(n, -1)
    column[reference] = np.arange(len(reference))
    mean = np.empty(n, np.float32)
    for rows, squared in points.in_blocks(points.X[reference]):
        own = column[rows]
        inside = np.flatnonzero(own >= 0)
        squared[inside, own[inside]] = np.inf  # nobody is a neighbour of themselves
        squared.partition(k - 1, axis=1)
        mean[rows] = np.sqrt(squared[:, :k]).mean(1)
    resolution = max(np.sqrt(ROUNDING * points.norms.mean()), np.finfo(np.float32).tiny)
    result: NDArray[np.float32] = 1 / np.maximum(mean, resolution, dtype=np.float32)
    return result

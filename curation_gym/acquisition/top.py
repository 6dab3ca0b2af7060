"""By score alone: the highest ones, and which are candidates at all."""

import numpy as np
from numpy.typing import NDArray

from curation_gym.signals.uncertainty import MEASURES

CRITERIA = ("random", *MEASURES)
"""What samples can be scored by."""


def best(scores: NDArray[np.floating], priority: NDArray[np.floating], n: int) -> NDArray[np.intp]:
    """Positions of the ``n`` highest scores, best first; equal scores go by higher ``priority``.
    O(samples).

    Raises:
        ValueError: for lengths that differ, a score that is NaN, or n < 0.
    """
    _check(scores)
    if len(priority) != len(scores):
        raise ValueError(f"scores and priority must be as long, actual lengths: {len(scores)} and {len(priority)}")
    n = at_most(n, len(scores))
    if n == 0:
        return np.zeros(0, np.intp)
    enough = np.flatnonzero(scores >= np.partition(scores, -n)[-n])
    order = np.lexsort((-priority[enough], -scores[enough]))
    return enough[order[:n]]


def passes(scores: NDArray[np.floating], percentile: float = 0.0, threshold: float = -np.inf) -> NDArray[np.bool_]:
    """Which scores are at or above both their percentile and the threshold; 90 lets the top tenth pass.

    Percentiles between two scores are interpolated linearly (NumPy's default).

    Raises:
        ValueError: for a percentile outside [0, 100], a threshold or a score that is NaN.
    """
    if not 0 <= percentile <= 100:
        raise ValueError(f"percentile must be in [0, 100], actual value: {percentile}")
    if np.isnan(threshold):
        raise ValueError(f"threshold must be a number, actual value: {threshold}")
    _check(scores)
    if not len(scores):
        return np.zeros(0, np.bool_)
    return np.asarray(scores >= max(np.percentile(scores, percentile), threshold))


def at_most(n: int, available: int) -> int:
    """How many can be picked.

    Raises:
        ValueError: for n < 0.
    """
    if n < 0:
        raise ValueError(f"n must be >= 0, actual value: {n}")
    return min(n, available)


def _check(scores: NDArray[np.floating]) -> None:
    if np.isnan(scores).any():
        position = np.flatnonzero(np.isnan(scores))[0]
        raise ValueError(f"scores must be numbers, actual value at position {position}: nan; drop such samples first")

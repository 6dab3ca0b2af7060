"""Which samples of an arm are asked about: by score, or by score and distance to one another."""

import numpy as np
from numpy.typing import NDArray

from curation_gym.signals.uncertainty import MEASURES

CRITERIA = ("random", *MEASURES)
POOL_PER_PICK = 5  # diverse picks choose among this many times as many of the highest scores


def best(scores: NDArray[np.floating], priority: NDArray[np.floating], n: int) -> NDArray[np.intp]:
    """Positions of the ``n`` highest scores, best first; equal scores go by higher ``priority``.
    O(samples)."""
    n = min(n, len(scores))
    if n == 0:
        return np.zeros(0, np.intp)
    enough = np.flatnonzero(scores >= np.partition(scores, -n)[-n])
    order = np.lexsort((-priority[enough], -scores[enough]))
    return enough[order[:n]]


def diverse(
    scores: NDArray[np.floating], priority: NDArray[np.floating], embeddings: NDArray[np.floating], n: int
) -> NDArray[np.intp]:
    """Positions of ``n`` samples with high scores that are far from one another.

    Among the 5·n highest scores the best is picked first, then again and again the one with the largest score
    × Euclidean distance to the nearest one picked.

    Args:
        scores: (samples,), >= 0.
        priority: (samples,), breaks ties.
        embeddings: (samples, d).
        n: how many.
    """
    near = best(scores, priority, POOL_PER_PICK * n)
    scores, embeddings = scores[near], embeddings[near]
    free = np.ones(len(near), np.bool_)
    distance = np.full(len(near), np.inf)
    picked: list[int] = []
    pick = 0
    while len(picked) < min(n, len(near)):
        picked.append(pick)
        free[pick] = False
        distance = np.minimum(distance, np.linalg.norm(embeddings - embeddings[pick], axis=1))
        pick = int(np.argmax(np.where(free, scores * distance, -1)))
    return near[picked]

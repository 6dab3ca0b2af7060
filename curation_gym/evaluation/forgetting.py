"""How much a learner that is trained on one domain after the other forgets.

All read an accuracy matrix of shape (times, domains): row t is what the model after training step t reaches on every
domain. ``learned`` says after which step each domain had been trained on; by default domain j after step j, as in
both papers. Domains learned only in the last step can't have been forgotten and don't count.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def average_forgetting(accuracy: ArrayLike, learned: ArrayLike | None = None) -> float:
    """Mean over domains of their best accuracy at any earlier time minus their last (Chaudhry et al., ECCV 2018).

    Args:
        accuracy: (times, domains) in [0, 1], finite.
        learned: (domains,) rows.

    Returns:
        In [−1, 1]; 0: nothing forgotten, below 0: later training helped.

    Raises:
        ValueError: for another shape or value, or when no domain was learned before the last step.
    """
    matrix, rows = _checked(accuracy, learned)
    before = rows < len(matrix) - 1
    return float((matrix[:-1].max(0) - matrix[-1])[before].mean())


def backward_transfer(accuracy: ArrayLike, learned: ArrayLike | None = None) -> float:
    """Mean over domains of their last accuracy minus that when they had just been learned (Lopez-Paz and Ranzato,
    NIPS 2017).

    Args:
        accuracy: (times, domains) in [0, 1], finite.
        learned: (domains,) rows.

    Returns:
        In [−1, 1]; below 0: forgotten, above 0: later training helped.

    Raises:
        ValueError: for another shape or value, or when no domain was learned before the last step.
    """
    matrix, rows = _checked(accuracy, learned)
    before = rows < len(matrix) - 1
    return float((matrix[-1] - matrix[rows, np.arange(matrix.shape[1])])[before].mean())


def _checked(accuracy: ArrayLike, learned: ArrayLike | None) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    matrix = np.asarray(accuracy, np.float64)
    if matrix.ndim != 2 or matrix.size == 0 or not ((matrix >= 0) & (matrix <= 1)).all():
        raise ValueError(f"accuracy must be (times, domains) within [0, 1], actual shape: {matrix.shape}")
    times, domains = matrix.shape
    if learned is None and times != domains:
        raise ValueError(f"with {times} times and {domains} domains, learned must say when each domain was")
    rows = np.arange(domains) if learned is None else np.asarray(learned)
    if rows.shape != (domains,) or rows.dtype.kind not in "iu" or not ((rows >= 0) & (rows < times)).all():
        raise ValueError(f"learned must hold {domains} rows in 0 … {times - 1}, actual value: {learned!r}")
    if not (rows < times - 1).any():
        raise ValueError("no domain was learned before the last step: nothing can have been forgotten")
    return matrix, rows.astype(np.intp)

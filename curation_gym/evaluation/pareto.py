"""Trade-offs between two quantities that are to be small, such as toxicity and perplexity."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pareto_front(points: ArrayLike) -> NDArray[np.intp]:
    """Indices of the points that no other is at least as good as in both quantities and better in one.

    Args:
        points: (n, 2), both to be minimised. Of equal points the first counts.

    Returns:
        In the order of the first quantity.
    """
    given = _checked(points)
    order = np.lexsort((given[:, 1], given[:, 0]))
    best = np.minimum.accumulate(np.append(np.inf, given[order, 1]))[:-1]
    return np.asarray(order[given[order, 1] < best])


def hypervolume(points: ArrayLike, reference: ArrayLike) -> float:
    """The area that points dominate, up to a reference point: Zitzler and Thiele, "Multiobjective Optimization Using
    Evolutionary Algorithms" (PPSN V, 1998).

    Args:
        points: (n, 2), both to be minimised; n may be 0.
        reference: (2,), the worst that counts. What isn't better than it in both quantities adds nothing.

    Returns:
        In units of the product of both quantities, ≥ 0.

    Raises:
        ValueError: for another shape, or a value that isn't finite.
    """
    given, worst = _checked(points), np.asarray(reference, np.float64)
    if worst.shape != (2,) or not np.isfinite(worst).all():
        raise ValueError(f"reference must be two finite numbers, actual value: {reference!r}")
    worst_first, worst_second = worst
    inside = given[(given[:, 0] < worst_first) & (given[:, 1] < worst_second)]
    front = inside[pareto_front(inside)]
    ceilings = np.append(worst_second, front[:-1, 1])
    return float(((worst_first - front[:, 0]) * (ceilings - front[:, 1])).sum())


def _checked(points: ArrayLike) -> NDArray[np.float64]:
    given = np.asarray(points, np.float64).reshape(-1, 2) if np.size(points) == 0 else np.asarray(points, np.float64)
    if given.ndim != 2 or given.shape[1] != 2 or not np.isfinite(given).all():
        raise ValueError(f"points must be finite, of shape (n, 2); actual shape: {given.shape}")
    return given

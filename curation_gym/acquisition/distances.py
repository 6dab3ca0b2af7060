"""Squared Euclidean distances in float32, many at once through one matrix product."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ROUNDING = 2.0**-20
"""A float32 product of a few hundred terms is exact to about this share of the norms."""

_BLOCK = 2**20  # numbers computed at a time: 4 MiB, which stay near the processor


class Points:
    """Points that distances are measured from.

    |x − y|² = |x − m|² + |y − m|² − 2 (x − m)·(y − m), with m the mean so that data far from the origin keeps
    its precision. Distances below about a thousandth of those to the mean come out as 0.

    Args:
        X: (n, d); kept without a copy when it is float32.

    Attributes:
        X: (n, d), float32.
        norms: (n,), squared distances to the mean.

    Raises:
        ValueError: when the shape isn't (n, d) with n, d ≥ 1, or a row isn't finite.
    """

    def __init__(self, X: NDArray[np.floating]) -> None:
        if X.ndim != 2 or 0 in X.shape:
            raise ValueError(f"embeddings must have shape (n, d) with n, d >= 1, actual shape: {X.shape}")
        self.X = np.ascontiguousarray(X, np.float32)
        self._mean = self.X.mean(0)
        self.norms = np.concatenate([squared_norms(self.X[rows] - self._mean) for rows in blocks(*X.shape)])
        if not np.isfinite(self.norms).all():  # one bad row spoils the mean, and with it every norm
            check_finite(squared_norms(self.X), np.arange(len(X)))

    def __len__(self) -> int:
        return len(self.X)

    def squared_distances(self, to: NDArray[np.integer]) -> NDArray[np.float32]:
        """From every point to the points at positions ``to`` (m,), shape (n, m)."""
        away = self.X[to] - self._mean
        products = self.X @ away.T
        products -= away @ self._mean
        return from_products(products, self.norms, self.norms[to])

    def in_blocks(self, others: NDArray[np.float32]) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Squared distances to ``others`` (m, d), some rows at a time: rows and (rows, m)."""
        away = others - self._mean
        offset, norms = away @ self._mean, squared_norms(away)
        for rows in blocks(len(self), len(others)):
            products = self.X[rows] @ away.T
            products -= offset
            yield rows, from_products(products, self.norms[rows], norms)

    def nearest(self, others: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Of every point the nearest one of ``others`` (m, d), and the squared distance to it; both (n,)."""
        found, squared = np.empty(len(self), np.intp), np.empty(len(self), np.float32)
        prepared = self.prepare(others)
        for rows in blocks(len(self), len(others)):
            found[rows], squared[rows] = self.nearest_of(prepared, rows)
        return found, squared

    def prepare(self, others: NDArray[np.float32]) -> "Prepared":
        """What :meth:`nearest_of` needs of ``others`` (m, d)."""
        away = others - self._mean
        return Prepared(-2 * away, squared_norms(away) + 2 * (away @ self._mean))

    def nearest_of(
        self, others: "Prepared", rows: slice | NDArray[np.integer]
    ) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """:meth:`nearest` for the points at ``rows``, in one product."""
        relative = self.X[rows] @ others.slopes.T  # without the point's own norm, which decides nothing
        relative += others.offsets
        squared = relative.min(1) + self.norms[rows]
        squared[squared < 2 * ROUNDING * self.norms[rows]] = 0  # so near that their own norms are about equal
        return relative.argmin(1), squared


class Prepared(NamedTuple):
    """x·slope_j + offset_j is |x − y_j|² but for what depends on x alone.

    Attributes:
        slopes: (m, d).
        offsets: (m,).
    """

    slopes: NDArray[np.float32]
    offsets: NDArray[np.float32]


def from_products(
    products: NDArray[np.float32], norms: NDArray[np.float32], other_norms: NDArray[np.float32]
) -> NDArray[np.float32]:
    """|a_i − b_j|² from a_i·b_j (overwritten), |a_i|² and |b_j|²; what can't be told from 0 is 0."""
    scale = norms[:, None] + other_norms
    products *= -2
    products += scale
    scale *= ROUNDING
    products[products < scale] = 0
    return products


def squared_norms(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """|x|² of every row."""
    norms: NDArray[np.float32] = np.einsum("ij,ij->i", X, X)
    return norms


def check_finite(norms: NDArray[np.float32], positions: NDArray[np.integer]) -> None:
    """Raise a ValueError that names the first of the samples at ``positions`` whose norm isn't finite."""
    bad = positions[~np.isfinite(norms)]
    if len(bad):
        raise ValueError(f"embeddings and probabilities must be finite, row {bad.min()} isn't; drop such samples first")


def blocks(n: int, width: int) -> Iterator[slice]:
    """Consecutive rows, ``n`` in all, few enough at a time that (rows, width) is small."""
    step = max(1, _BLOCK // width)
    return (slice(start, min(start + step, n)) for start in range(0, n, step))

"""Columns: checked row by row, and arrays that nobody else can write to."""

import mmap
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from curation_gym.pools.storage import PoolError


def frozen(values: Any, name: str, kinds: str, dtype: DTypeLike | None = None) -> NDArray[Any]:
    """A C-contiguous array that nobody else can write to: a copy, unless it is a read-only memory map.

    Args:
        values: anything array-like.
        name: of the column, for messages.
        kinds: NumPy dtype kinds that are allowed.
        dtype: to convert to; None keeps the values' own.

    Raises:
        PoolError: for another kind of dtype.
    """
    given = np.asarray(values)
    if given.dtype.kind not in kinds:
        raise PoolError(f"column {name!r} must hold numbers, actual dtype: {given.dtype}")
    with np.errstate(over="ignore"):  # what overflows is refused as not finite, with its row
        array = np.ascontiguousarray(given, dtype)
    if np.may_share_memory(array, given) and not _is_read_only_map(array):
        array = array.copy()
    array.flags.writeable = False
    return array


def _is_read_only_map(array: NDArray[Any]) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return isinstance(base, mmap.mmap)


def codes_of(values: Any, name: str, n: int, n_codes: int, dtype: DTypeLike) -> NDArray[Any]:
    """Integers from 0 to ``n_codes`` − 1, all 0 when ``values`` is None; checked before they are narrowed.

    Raises:
        PoolError: naming the first row that holds no code.
    """
    if values is None:
        values = np.zeros(n, dtype)
    codes = frozen(values, name, "biu")
    require((codes >= 0) & (codes < n_codes), name, codes, f"is no code from 0 to {n_codes - 1}")
    return frozen(codes, name, "biu", dtype)


def require(good: NDArray[np.bool_], name: str, column: NDArray[Any], complaint: str) -> None:
    """Refuse a column.

    Raises:
        PoolError: naming the first row where ``good`` is False, and its value.
    """
    if not good.all():
        where = np.argwhere(~good)[0]
        value = column[tuple(where)]
        raise PoolError(f"column {name!r}, row {int(where[0])}: {value} {complaint} ({int((~good).sum())} such values)")

"""What an observation shows of a pool's samples: the columns that never change, and how they are gathered."""

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation_gym.pools.pool import Pool
from curation_gym.task import Column

_tables: weakref.WeakValueDictionary[tuple[str, int], NDArray[np.float32]] = weakref.WeakValueDictionary()


def columns_before(pool: Pool) -> tuple[Column, ...]:
    """Columns that stand before the dynamic ones: the embedding, then the signals by name."""
    bound = pool.embedding_bound
    embedding = tuple(Column(f"embedding_{i}", 1.0, -bound, bound) for i in range(pool.dimension))
    return embedding + tuple(Column(name) for name in sorted(pool.signals))


def columns_after(pool: Pool) -> tuple[Column, ...]:
    """Columns that stand after the dynamic ones: the domain (one-hot, when there are several), the log length."""
    domains = pool.domain_names if len(pool.domain_names) > 1 else ()
    length = (Column("log_length", _longest(pool)),) if pool.length is not None else ()
    return tuple(Column(f"domain={name}") for name in domains) + length


def gather(pool: Pool, ids: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The values of those columns.

    Args:
        pool: of ``n`` samples.
        ids: integers in [0, n), any shape.

    Returns:
        ``ids.shape + (columns_before,)`` and ``ids.shape + (columns_after,)``.

    Raises:
        IndexError: for an id that isn't in the pool.
    """
    signals = [pool.signals[name][ids] for name in sorted(pool.signals)]
    before = np.concatenate([pool.embeddings[ids], *(column[..., None] for column in signals)], axis=-1)
    after = []
    if len(pool.domain_names) > 1:
        after.append((pool.domain[ids][..., None] == np.arange(len(pool.domain_names))).astype(np.float32))
    if pool.length is not None:
        after.append((np.log1p(pool.length[ids]) / _longest(pool)).astype(np.float32)[..., None])
    empty = np.zeros((*np.shape(ids), 0), np.float32)
    return before.astype(np.float32, copy=False), np.concatenate([empty, *after], axis=-1)


def feature_table(pool: Pool, n_dynamic: int) -> NDArray[np.float32]:
    """All samples' item columns with room (zeros) for ``n_dynamic`` dynamic ones, shape (n, n_columns), read-only.

    One ``np.take`` of whole rows then fills an observation. It costs as much memory as the embeddings, so pools too
    large for that use ids. Environments of one process share the table.
    """
    key = (pool.fingerprint, n_dynamic)
    table = _tables.get(key)
    if table is None:
        before, after = gather(pool, np.arange(len(pool)))
        table = np.hstack([before, np.zeros((len(pool), n_dynamic), np.float32), after])
        table.flags.writeable = False
        _tables[key] = table
    return table


def _longest(pool: Pool) -> float:
    assert pool.length is not None
    return max(float(np.log1p(pool.length.max())), 1e-6)

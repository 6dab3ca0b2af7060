"""The pool: an immutable, columnar store of candidate samples, verified when it is loaded."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation_gym.pools.columns import codes_of, frozen, require
from curation_gym.pools.storage import (
    PoolError,
    array_digest,
    bytes_digest,
    is_attachment,
    read_columns,
    table_bytes,
    write_columns,
)

__all__ = ["SPLITS", "Pool", "PoolError", "Provenance"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Provenance:
    """Where a pool comes from.

    Attributes:
        source: builder or data set, for example ``"digits"``.
        encoder: what made the embeddings, for example ``"tfidf-svd(64)"``.
        config: the builder's resolved configuration, JSON values only.
        versions: of what the content depends on: packages, and digests of the files that were read.
    """

    source: str
    encoder: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


class Pool:
    """Candidate samples, column by column. Nothing in a pool changes after it is made.

    Arrays are copied unless they are read-only memory maps, then locked.

    Args:
        embeddings: float32 (n, d), finite, C-contiguous.
        signals: name → float32 (n,) in [0, 1], known before a sample is chosen. Finite.
        domain: integer codes (n,) into ``domain_names``; all 0 by default.
        domain_names: one name per code, all different.
        hidden: name → (n,) integers, floats or booleans that only annotators, judges and references may read:
            ``label`` (a class index; below 0: out of scope, of a corpus: not known), ``quality``, ``cluster``,
            ``cluster_weight``, ``group``, ``severity`` (of what is toxic, in [0, 1]), ``truth`` (of a
            signal that errs, in [0, 1]), ``dangerous``.
        split: codes (n,) into ``("train", "validation", "test")``; all train by default.
        length: float32 (n,) ≥ 0, in the unit natural to the raw data (characters of a text), if it has one.
        arrival: float32 (n,) in [0, 1], the share of a campaign after which a sample can be chosen, if samples
            arrive over time; 0: there from the start.
        data: the raw samples, an Arrow table of n rows.
        class_names: of ``hidden["label"]``.
        provenance: where the pool comes from.
        attachments: file name → text kept beside the columns: data cards, a tokenizer. No part of the fingerprint.

    Raises:
        PoolError: naming the column and the first bad row: not finite, outside [0, 1], wrong length or dtype.
    """

    def __init__(
        self,
        embeddings: NDArray[np.float32],
        signals: Mapping[str, NDArray[Any]] | None = None,
        *,
        domain: NDArray[Any] | None = None,
        domain_names: tuple[str, ...] = ("all",),
        hidden: Mapping[str, NDArray[Any]] | None = None,
        split: NDArray[Any] | None = None,
        length: NDArray[Any] | None = None,
        arrival: NDArray[Any] | None = None,
        data: pa.Table | None = None,
        class_names: tuple[str, ...] = (),
        provenance: Provenance | None = None,
        attachments: Mapping[str, str] | None = None,
    ) -> None:
        if np.ndim(embeddings) != 2 or 0 in np.shape(embeddings):
            raise PoolError(f"embeddings must have shape (n, d) with n, d > 0, actual shape: {np.shape(embeddings)}")
        n = len(embeddings)
        self.domain_names, self.class_names = _names(domain_names, "domain"), _names(class_names, "class")
        self.embeddings = frozen(embeddings, "embeddings", "biuf", np.float32)
        self.signals = MappingProxyType(
            {name: frozen(column, f"signals/{name}", "biuf", np.float32) for name, column in (signals or {}).items()}
        )
        self.hidden = MappingProxyType(
            {name: frozen(column, f"hidden/{name}", "biuf") for name, column in (hidden or {}).items()}
        )
        self.domain = codes_of(domain, "domain", n, len(self.domain_names), np.int32)
        self.split = codes_of(split, "split", n, len(SPLITS), np.uint8)
        self.length = None if length is None else frozen(length, "length", "biuf", np.float32)
        self.arrival = None if arrival is None else frozen(arrival, "arrival", "biuf", np.float32)
        self.data = data
        self.provenance = provenance or Provenance("memory")
        self.attachments: Mapping[str, str] = MappingProxyType(dict(attachments or {}))
        self.path: Path | None = None
        self._check()

    # ------------------------------------------------------------------ shape
    def __len__(self) -> int:
        return len(self.embeddings)

    @property
    def dimension(self) -> int:
        """Width of an embedding."""
        return int(self.embeddings.shape[1])

    def ids(self, split: str = "train") -> NDArray[np.int32]:
        """Ids of a split, ascending.

        Raises:
            PoolError: for a split that isn't train, validation or test.
        """
        if split not in SPLITS:
            raise PoolError(f"split must be one of {SPLITS}, actual value: {split!r}")
        return np.flatnonzero(self.split == SPLITS.index(split)).astype(np.int32)

    @cached_property
    def embedding_bound(self) -> float:
        """Largest absolute embedding entry; one pass over the pool."""
        blocks = range(0, len(self), 1 << 16)
        return max(float(np.abs(self.embeddings[i : i + (1 << 16)]).max()) for i in blocks)

    def __repr__(self) -> str:
        return (
            f"Pool({self.provenance.source}: {len(self):,} × {self.dimension}, signals {sorted(self.signals)}, "
            f"{len(self.domain_names)} domains, hidden {sorted(self.hidden)})"
        )

    # ------------------------------------------------------------- validation
    def _columns(self) -> dict[str, NDArray[Any]]:
        columns: dict[str, NDArray[Any]] = {
            "embeddings": self.embeddings,
            "domain": self.domain,
            "split": self.split,
        }
        columns |= {f"signals/{name}": column for name, column in self.signals.items()}
        columns |= {f"hidden/{name}": column for name, column in self.hidden.items()}
        if self.length is not None:
            columns["length"] = self.length
        if self.arrival is not None:
            columns["arrival"] = self.arrival
        return columns

    def _check(self) -> None:
        n = len(self)
        for name in (*self.signals, *self.hidden):
            if not name.isidentifier():
                raise PoolError(f"a column's name must be an identifier such as 'safety', actual value: {name!r}")
        for name in self.attachments:
            if not is_attachment(name):
                raise PoolError(f"an attachment's name must be that of a .json or .md file, actual value: {name!r}")
        for name, column in self._columns().items():
            if len(column) != n or (name != "embeddings" and column.ndim != 1):
                raise PoolError(f"column {name!r} must have shape ({n},), actual shape: {column.shape}")
            if column.dtype.kind == "f":
                require(np.isfinite(column), name, column, "is not finite")
        for name, column in self.signals.items():
            require((column >= 0) & (column <= 1), f"signals/{name}", column, "is outside [0, 1]")
        if self.class_names and "label" in self.hidden:
            label = self.hidden["label"]
            good = label < len(self.class_names)
            require(good, "hidden/label", label, f"is no code of the {len(self.class_names)} class names")
        if self.length is not None:
            require(self.length >= 0, "length", self.length, "is negative")
        if self.arrival is not None:
            require((self.arrival >= 0) & (self.arrival <= 1), "arrival", self.arrival, "is outside [0, 1]")
        if self.data is not None and self.data.num_rows != n:
            raise PoolError(f"data must have {n} rows, actual rows: {self.data.num_rows}")

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the content that policies and environments depend on: columns, raw samples and names."""
        parts = {
            "columns": {name: array_digest(column) for name, column in self._columns().items()},
            "data": None if self.data is None else bytes_digest(table_bytes(self.data)),
            "domains": self.domain_names,
            "classes": self.class_names,
        }
        return bytes_digest(json.dumps(parts, sort_keys=True).encode())

    # ------------------------------------------------------------------- disk
    def save(self, path: str | Path, *, keep_existing: bool = False) -> "Pool":
        """Write the pool as a directory and return it memory-mapped from there.

        The directory appears complete or not at all. One ``.npy`` file per column, ``data.arrow`` for the raw
        samples, the attachments, and ``pool.json`` with every file's size and digest.

        Args:
            path: the directory, replaced when it holds a pool.
            keep_existing: when a pool is there already, verify and return that one instead; so any number of
                processes that save to one path at once all get the same pool.

        Raises:
            PoolError: when ``path`` exists and isn't a pool, or the pool to keep is damaged.
        """
        path = Path(path)
        description = {
            "fingerprint": self.fingerprint,
            "embedding_bound": self.embedding_bound,
            "domain_names": self.domain_names,
            "class_names": self.class_names,
            "provenance": asdict(self.provenance),
        }
        content = self._columns(), self.data, self.attachments
        write_columns(path, *content, description, keep_existing=keep_existing)
        return Pool.load(path, verify=keep_existing)

    @classmethod
    def load(cls, path: str | Path, *, verify: bool = True) -> "Pool":
        """Memory-map a saved pool.

        Args:
            path: the directory.
            verify: read every byte once and compare digests. Sizes are always compared. Processes that were
                handed a pool which their parent verified need not repeat it.

        Raises:
            PoolError: naming the file that is missing, truncated, altered or of another format.
        """
        path = Path(path)
        columns, data, attachments, manifest = read_columns(path, verify=verify)

        def group(prefix: str) -> MappingProxyType[str, NDArray[Any]]:
            names = [name for name in columns if name.startswith(f"{prefix}/")]
            return MappingProxyType({name.removeprefix(f"{prefix}/"): columns[name] for name in names})

        pool = cls.__new__(cls)
        pool.embeddings, pool.domain, pool.split = columns["embeddings"], columns["domain"], columns["split"]
        pool.signals, pool.hidden = group("signals"), group("hidden")
        pool.length, pool.arrival = columns.get("length"), columns.get("arrival")
        pool.domain_names, pool.class_names = tuple(manifest["domain_names"]), tuple(manifest["class_names"])
        pool.data, pool.provenance = data, Provenance(**manifest["provenance"])
        pool.attachments = MappingProxyType(attachments)
        pool.path = path.resolve()
        # Content was checked before it was saved and digests say that it is the same: no second scan.
        vars(pool)["fingerprint"] = manifest["fingerprint"]
        vars(pool)["embedding_bound"] = manifest["embedding_bound"]
        return pool

    def __reduce__(self) -> Any:
        """A pool on disk pickles as its path, so that worker processes share one memory map."""
        if self.path is not None:
            return (_reopen, (str(self.path), self.fingerprint))
        names = ("domain", "domain_names", "split", "length", "arrival", "data", "class_names", "provenance")
        rest = {"hidden": dict(self.hidden), "attachments": dict(self.attachments)}
        rest |= {name: getattr(self, name) for name in names}
        return (_rebuild, (self.embeddings, dict(self.signals), rest))

    def __copy__(self) -> "Pool":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pool":
        return self


def _reopen(path: str, fingerprint: str) -> Pool:
    pool = Pool.load(path, verify=False)
    if pool.fingerprint != fingerprint:
        raise PoolError(f"{path} was replaced: its fingerprint is {pool.fingerprint}, expected {fingerprint}")
    return pool


def _rebuild(embeddings: NDArray[np.float32], signals: dict[str, NDArray[Any]], rest: dict[str, Any]) -> Pool:
    return Pool(embeddings, signals, **rest)


def _names(names: tuple[str, ...], what: str) -> tuple[str, ...]:
    names = tuple(names)
    if len(set(names)) < len(names):
        raise PoolError(f"{what} names must all be different, actual names: {names}")
    return names

"""The pool: an immutable, columnar store of candidate samples, verified when it is loaded."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FORMAT_VERSION = 1
SPLITS = ("train", "validation", "test")
_CHUNK = 1 << 24


class PoolError(ValueError):
    """A pool that can't be built or read. The message names the column or the file."""


@dataclass(frozen=True)
class Provenance:
    """Where a pool comes from.

    Attributes:
        source: builder or data set, for example ``"digits"``.
        encoder: what made the embeddings, for example ``"tfidf-svd(64)"``.
        config: the builder's resolved configuration, JSON values only.
        versions: of the packages that the content depends on.
    """

    source: str
    encoder: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


class Pool:
    """Candidate samples, column by column. Nothing in a pool changes after it is made.

    Args:
        embeddings: float32 (n, d), finite, C-contiguous.
        signals: name → float32 (n,) in [0, 1], known before a sample is chosen. Finite.
        domain: integer codes (n,) into ``domain_names``; all 0 by default.
        domain_names: one name per code.
        hidden: name → (n,) integers, floats or booleans that only annotators, judges and references may read:
            ``label`` (a class index), ``quality``, ``cluster``, ``cluster_weight``, ``group``.
        split: codes (n,) into ``("train", "validation", "test")``; all train by default.
        length: float32 (n,) ≥ 0, in the unit natural to the raw data (characters of a text), if it has one.
        data: the raw samples, an Arrow table of n rows.
        class_names: of ``hidden["label"]``.
        provenance: where the pool comes from.

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
        data: pa.Table | None = None,
        class_names: tuple[str, ...] = (),
        provenance: Provenance | None = None,
    ) -> None:
        if embeddings.ndim != 2 or min(embeddings.shape) == 0:
            raise PoolError(f"embeddings must have shape (n, d) with n, d > 0, actual shape: {embeddings.shape}")
        n = len(embeddings)
        self.embeddings = np.ascontiguousarray(embeddings, np.float32)
        self.signals = MappingProxyType(
            {name: np.ascontiguousarray(column, np.float32) for name, column in (signals or {}).items()}
        )
        self.domain = np.zeros(n, np.int32) if domain is None else np.ascontiguousarray(domain, np.int32)
        self.domain_names = tuple(domain_names)
        self.hidden = MappingProxyType({k: np.ascontiguousarray(v) for k, v in (hidden or {}).items()})
        self.split = np.zeros(n, np.uint8) if split is None else np.ascontiguousarray(split, np.uint8)
        self.length = None if length is None else np.ascontiguousarray(length, np.float32)
        self.data = data
        self.class_names = tuple(class_names)
        self.provenance = provenance or Provenance("memory")
        self.path: Path | None = None
        self._check()
        for column in self._columns().values():
            if column.flags.owndata:
                column.flags.writeable = False

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
        columns: dict[str, NDArray[Any]] = {"embeddings": self.embeddings, "domain": self.domain, "split": self.split}
        columns |= {f"signals/{name}": column for name, column in self.signals.items()}
        columns |= {f"hidden/{name}": column for name, column in self.hidden.items()}
        if self.length is not None:
            columns["length"] = self.length
        return columns

    def _check(self) -> None:
        n = len(self)
        for name, column in self._columns().items():
            if len(column) != n or (name != "embeddings" and column.ndim != 1):
                raise PoolError(f"column {name!r} must have shape ({n},), actual shape: {column.shape}")
            if column.dtype.kind == "f":
                _require(np.isfinite(column), name, column, "is not finite")
        for name, column in self.signals.items():
            _require((column >= 0) & (column <= 1), f"signals/{name}", column, "is outside [0, 1]")
        codes = (self.domain >= 0) & (self.domain < len(self.domain_names))
        _require(codes, "domain", self.domain, f"is no code of the {len(self.domain_names)} domain names")
        _require(self.split < len(SPLITS), "split", self.split, f"is no code of {SPLITS}")
        if self.length is not None:
            _require(self.length >= 0, "length", self.length, "is negative")
        if self.data is not None and self.data.num_rows != n:
            raise PoolError(f"data must have {n} rows, actual rows: {self.data.num_rows}")

    @cached_property
    def digests(self) -> dict[str, str]:
        """BLAKE2b of every column's content."""
        return {name: _digest(column) for name, column in self._columns().items()}

    @cached_property
    def fingerprint(self) -> str:
        """Identifies the content that policies and environments depend on: every column, and the names."""
        parts = {"columns": self.digests, "domains": self.domain_names, "classes": self.class_names}
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()

    # ------------------------------------------------------------------- disk
    def save(self, path: str | Path) -> "Pool":
        """Write the pool as a directory and return it memory-mapped from there.

        The directory appears complete or not at all. One ``.npy`` file per column, ``data.arrow`` for the raw
        samples, and ``pool.json`` with every file's size and digest.

        Raises:
            PoolError: when ``path`` exists and isn't a pool.
        """
        path = Path(path)
        if path.exists() and not (path / "pool.json").exists():
            raise PoolError(f"{path} exists and is not a pool; choose another path or remove it")
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            files: dict[str, dict[str, Any]] = {}
            for name, column in self._columns().items():
                file = scratch / f"{name}.npy"
                file.parent.mkdir(exist_ok=True)
                np.save(file, column)
                files[f"{name}.npy"] = {"size": file.stat().st_size, "digest": self.digests[name]}
            if self.data is not None:
                file = scratch / "data.arrow"
                with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, self.data.schema) as writer:
                    writer.write_table(self.data)
                files["data.arrow"] = {"size": file.stat().st_size, "digest": _file_digest(file)}
            manifest = {
                "format_version": FORMAT_VERSION,
                "fingerprint": self.fingerprint,
                "embedding_bound": self.embedding_bound,
                "domain_names": self.domain_names,
                "class_names": self.class_names,
                "provenance": asdict(self.provenance),
                "files": files,
            }
            (scratch / "pool.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
            _replace_directory(scratch, path)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return Pool.load(path, verify=False)

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
        manifest = _read_manifest(path)
        for name, expected in manifest["files"].items():
            file = path / name
            if not file.is_file():
                raise PoolError(f"{file} is missing; rebuild the pool")
            if file.stat().st_size != expected["size"]:
                raise PoolError(
                    f"{file} is truncated or altered: {file.stat().st_size} bytes, expected {expected['size']}; "
                    "rebuild the pool"
                )

        def column(name: str) -> NDArray[Any]:
            array: NDArray[Any] = np.load(path / f"{name}.npy", mmap_mode="r")
            if verify and _digest(array) != manifest["files"][f"{name}.npy"]["digest"]:
                raise PoolError(f"{path / name}.npy was altered: its digest differs; rebuild the pool")
            return array

        def group(prefix: str) -> dict[str, NDArray[Any]]:
            names = [name[:-4] for name in manifest["files"] if name.startswith(f"{prefix}/")]
            return {name.removeprefix(f"{prefix}/"): column(name) for name in names}

        data = None
        if "data.arrow" in manifest["files"]:
            if verify and _file_digest(path / "data.arrow") != manifest["files"]["data.arrow"]["digest"]:
                raise PoolError(f"{path / 'data.arrow'} was altered: its digest differs; rebuild the pool")
            data = pa.ipc.open_file(pa.memory_map(str(path / "data.arrow"))).read_all()
        pool = cls.__new__(cls)
        pool.embeddings = column("embeddings")
        pool.signals = MappingProxyType(group("signals"))
        pool.domain, pool.split = column("domain"), column("split")
        pool.domain_names, pool.class_names = tuple(manifest["domain_names"]), tuple(manifest["class_names"])
        pool.hidden = MappingProxyType(group("hidden"))
        pool.length = column("length") if "length.npy" in manifest["files"] else None
        pool.data, pool.provenance = data, Provenance(**manifest["provenance"])
        pool.path = path.resolve()
        # Content was checked when it was saved and its digests were compared above: no second scan of every value.
        vars(pool)["fingerprint"] = manifest["fingerprint"]
        vars(pool)["embedding_bound"] = manifest["embedding_bound"]
        return pool

    def __reduce__(self) -> Any:
        """A pool on disk pickles as its path, so that worker processes share one memory map."""
        if self.path is not None:
            return (_reopen, (str(self.path), self.fingerprint))
        return (_rebuild, (self.embeddings, dict(self.signals), self._rest()))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pool":
        return self

    def _rest(self) -> dict[str, Any]:
        names = ("domain", "domain_names", "split", "length", "data", "class_names", "provenance")
        return {"hidden": dict(self.hidden)} | {name: getattr(self, name) for name in names}


def _reopen(path: str, fingerprint: str) -> Pool:
    pool = Pool.load(path, verify=False)
    if pool.fingerprint != fingerprint:
        raise PoolError(f"{path} changed: fingerprint {pool.fingerprint}, expected {fingerprint}")
    return pool


def _rebuild(embeddings: NDArray[np.float32], signals: dict[str, NDArray[Any]], rest: dict[str, Any]) -> Pool:
    return Pool(embeddings, signals, **rest)


def _require(good: NDArray[np.bool_], name: str, column: NDArray[Any], complaint: str) -> None:
    if not good.all():
        where = np.argwhere(~good)[0]
        value = column[tuple(where)]
        raise PoolError(f"column {name!r}, row {int(where[0])}: {value} {complaint} ({int((~good).sum())} such values)")


def _digest(column: NDArray[Any]) -> str:
    digest = hashlib.blake2b(f"{column.dtype.str}{column.shape}".encode(), digest_size=16)
    flat = memoryview(np.ascontiguousarray(column)).cast("B")
    for start in range(0, len(flat), _CHUNK):
        digest.update(flat[start : start + _CHUNK])
    return digest.hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "pool.json"
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        version = manifest["format_version"]
    except FileNotFoundError:
        raise PoolError(f"no pool at {path}: {file} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise PoolError(f"{file} is truncated or altered: {error}; rebuild the pool") from error
    if version != FORMAT_VERSION:
        raise PoolError(f"{file} has format version {version}; this release reads {FORMAT_VERSION}")
    return manifest


def _replace_directory(scratch: Path, path: Path) -> None:
    """Put ``scratch`` where ``path`` is; a reader sees the old pool or the new one."""
    if path.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
        os.replace(path, old / "pool")
        os.replace(scratch, path)
        shutil.rmtree(old)
    else:
        os.replace(scratch, path)

"""A directory of named columns on disk: it appears complete or not at all, and is verified when it is
read."""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation_gym.files import replace_directory

FORMAT_VERSION = 2
MANIFEST = "pool.json"
_TABLE = "data.arrow"
_ATTACHED = (".json", ".md")
_CHUNK = 1 << 24
_REBUILD = "remove the directory and build the pool again"


class PoolError(ValueError):
    """A pool that can't be built or read. The message names the column or the file."""


def write_columns(
    path: Path,
    columns: Mapping[str, NDArray[Any]],
    table: pa.Table | None,
    attachments: Mapping[str, str],
    description: Mapping[str, Any],
    *,
    keep_existing: bool,
) -> None:
    """Write one ``.npy`` file per column, ``data.arrow``, the attachments, and ``pool.json`` with every file's size
    and digest.

    All is written beside ``path`` and renamed into place. Files are not fsync'd: after a loss of power a torn
    file fails verification and is named, and what is lost can be built again.

    Args:
        path: the directory; replaced when it exists, which for an instant leaves none.
        columns: name → array; a name may hold one ``/``.
        table: the raw samples.
        attachments: file name → text, see :func:`is_attachment`.
        description: what else the manifest says, JSON values only.
        keep_existing: when ``path`` exists at the moment of renaming, leave it and drop what was written.

    Raises:
        PoolError: when ``path`` exists and has no manifest.
    """
    if path.exists() and not (path / MANIFEST).exists():
        raise PoolError(f"{path} exists and is not a pool; choose another path or remove it")

    def write(scratch: Path) -> None:
        for name, column in columns.items():
            file = scratch / f"{name}.npy"
            file.parent.mkdir(exist_ok=True)
            np.save(file, column, allow_pickle=False)
        if table is not None:
            (scratch / _TABLE).write_bytes(table_bytes(table))
        for name, text in attachments.items():
            (scratch / name).write_text(text, encoding="utf-8", newline="")
        written = sorted(file for file in scratch.rglob("*") if file.is_file())
        files = {
            file.relative_to(scratch).as_posix(): {"size": file.stat().st_size, "digest": file_digest(file)}
            for file in written
        }
        body = dict(description) | {"format_version": FORMAT_VERSION, "files": files}
        body["digest"] = _manifest_digest(body)
        (scratch / MANIFEST).write_text(json.dumps(body, indent=1), encoding="utf-8")

    replace_directory(path, write, keep_existing=keep_existing)


def read_columns(
    path: Path, *, verify: bool
) -> tuple[dict[str, NDArray[Any]], pa.Table | None, dict[str, str], dict[str, Any]]:
    """Memory-map what :func:`write_columns` wrote: columns, raw samples; attachments, manifest.

    Args:
        path: the directory.
        verify: read every byte once and compare digests. Sizes are always compared.

    Raises:
        PoolError: naming the file that is missing, truncated, altered or of another format.
    """
    manifest = _read_manifest(path)
    for name, expected in manifest["files"].items():
        file = path / name
        if not file.is_file():
            raise PoolError(f"{file} is missing; {_REBUILD}")
        if file.stat().st_size != expected["size"]:
            size = file.stat().st_size
            raise PoolError(f"{file} was truncated or altered: {size} bytes, expected {expected['size']}; {_REBUILD}")
        if verify and file_digest(file) != expected["digest"]:
            raise PoolError(f"{file} was altered: its digest differs; {_REBUILD}")
    columns: dict[str, NDArray[Any]] = {}
    attachments: dict[str, str] = {}
    table = None
    for name in manifest["files"]:
        try:
            if name == _TABLE:
                table = pa.ipc.open_file(pa.memory_map(str(path / name))).read_all()
            elif is_attachment(name):
                attachments[name] = (path / name).read_bytes().decode("utf-8")
            else:
                # A plain array over the map: np.memmap's own indexing is several times slower.
                columns[name.removesuffix(".npy")] = np.asarray(np.load(path / name, mmap_mode="r"))
        except (ValueError, OSError, pa.ArrowException) as error:
            raise PoolError(f"{path / name} was altered: {error}; {_REBUILD}") from error
    return columns, table, attachments, manifest


def is_attachment(name: str) -> bool:
    """Whether a file of this name can hold text that a pool keeps beside its columns."""
    return name != MANIFEST and Path(name).name == name and name.endswith(_ATTACHED)


def table_bytes(table: pa.Table) -> memoryview:
    """The table as an Arrow file of one record batch, so that equal content gives equal bytes."""
    sink = pa.BufferOutputStream()
    whole = table.combine_chunks()
    with pa.ipc.new_file(sink, whole.schema) as writer:
        writer.write_table(whole, max_chunksize=max(1, whole.num_rows))
    return memoryview(sink.getvalue())


def bytes_digest(*parts: bytes | memoryview) -> str:
    """BLAKE2b, 128 bits, of the parts one after the other."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        view = memoryview(part).cast("B")
        for start in range(0, len(view), _CHUNK):
            digest.update(view[start : start + _CHUNK])
    return digest.hexdigest()


def array_digest(column: NDArray[Any]) -> str:
    """Digest of an array's dtype, shape and content."""
    content = np.ascontiguousarray(column).view(np.uint8).data
    return bytes_digest(f"{column.dtype.str}{column.shape}".encode(), content)


def file_digest(path: Path) -> str:
    """Digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def known_digest(path: Path) -> str:
    """As :func:`file_digest`, read again only where size, time of change or inode is another than it was."""
    stat = path.stat()
    return _known(path.resolve(), stat.st_size, stat.st_mtime_ns, stat.st_ino)


@lru_cache(maxsize=1024)
def _known(path: Path, *stamp: int) -> str:
    return file_digest(path)


def _manifest_digest(body: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in body.items() if key != "digest"}
    return bytes_digest(json.dumps(rest, sort_keys=True).encode())


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        version, digest = manifest["format_version"], manifest["digest"]
    except (FileNotFoundError, NotADirectoryError):
        raise PoolError(f"no pool at {path}: {file} is missing") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise PoolError(f"{file} was truncated or altered: {error!r}; {_REBUILD}") from error
    if version != FORMAT_VERSION:
        raise PoolError(f"{file} has format version {version!r}; this release reads {FORMAT_VERSION}; {_REBUILD}")
    if digest != _manifest_digest(manifest):
        raise PoolError(f"{file} was altered: its digest differs; {_REBUILD}")
    return manifest

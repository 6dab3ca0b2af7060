"""The registry of data sets: a name becomes rows here and nowhere else."""

import inspect
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from curation_gym.config import Config
from curation_gym.pools.common import cache_directory
from curation_gym.pools.packages import PACKAGES, package_versions, read_packages
from curation_gym.pools.storage import PoolError, bytes_digest, file_digest, known_digest
from curation_gym.signals.encoders import SentenceTransformerConfig, model_path, sentence_transformers_version
from curation_gym.signals.scores import ScoreError, TextCache, imported_scorer

DATA_VARIABLE = "CURATION_GYM_DATA"
_ROWS_AT_ONCE = 1000
EMBEDDED = "docstrings"
"""The data set that any installation carries, see :mod:`curation_gym.pools.packages`; columns text, kind, package."""
_SOURCES: dict[str, tuple[Any, list[str]]] = {}
"""Name of a scorer → it, and digests of its files as they were then: what is edited later isn't what runs."""
FORMATS = {".parquet": "parquet", ".jsonl": "json", ".json": "json", ".csv": "csv"}


class DataReference(Config):
    """Which data set: exactly one of ``name`` and ``path``.

    Attributes:
        name: of a directory in ``$CURATION_GYM_DATA`` if there is one; else ``docstrings``, prose and code of installed
            packages, or an id on the Hugging Face hub.
        path: a local Parquet, JSON, JSONL or CSV file, or a directory of them: one file per split
            (``train.parquet``), or several (``train-00000-of-00002.parquet``).
        subset: the hub's configuration name.
        revision: the hub's revision; without one, what was fetched first stays in the cache.
    """

    name: str | None = Field(None, min_length=1)
    path: str | None = Field(None, min_length=1)
    subset: str | None = None
    revision: str | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "DataReference":
        if (self.name is None) == (self.path is None):
            raise ValueError(f"exactly one of name and path is needed, actual values: {self.name!r}, {self.path!r}")
        if self.name is not None and (Path(self.name).is_absolute() or ".." in Path(self.name).parts):
            raise ValueError(f"name must not be a path; give it as path, actual value: {self.name!r}")
        return self

    @property
    def title(self) -> str:
        """How messages and domains call it: the name, or the last part of the path without its ending."""
        return self.name or Path(str(self.path)).stem


def load_splits(reference: DataReference) -> dict[str, Any]:
    """Read a data set through Hugging Face ``datasets``.

    Returns:
        split name → ``datasets.Dataset``. Local files are read into memory; a single file is the split
        ``train``.

    Raises:
        PoolError: when there is no such data set, with what was tried and what to do.
    """
    files = _local_files(reference)
    if files is not None:
        return {split: _load_files(paths) for split, paths in files.items()}
    return {"train": _load_embedded()} if reference.name == EMBEDDED else _load_hub(reference)


def stream_splits(reference: DataReference, *, remote: bool = False) -> dict[str, Any]:
    """As :func:`load_splits`, but rows of local files are read as they are needed, never all held.

    Args:
        reference: which data set.
        remote: read a data set of the hub over the network as well, instead of fetching it whole first.

    Returns:
        split name → what has ``iter(batch_size)`` and ``features`` of a ``datasets.Dataset``; features may be None.

    Raises:
        PoolError: as :func:`load_splits`; a file that can't be read is only found when its rows are.
    """
    files = _local_files(reference)
    if files is None:
        return {"train": _load_embedded()} if reference.name == EMBEDDED else _load_hub(reference, streaming=remote)
    return {split: _load_files(paths, streaming=True) for split, paths in files.items()}


def read_batches(dataset: Any, source: DataReference, split: str) -> Iterator[dict[str, list[Any]]]:
    """The rows of a split of :func:`stream_splits`, a batch of columns at a time.

    Raises:
        PoolError: when a file can't be read.
    """
    try:
        yield from dataset.iter(_ROWS_AT_ONCE)
    except Exception as error:  # every format has its own errors; all mean that the file can't be read
        cause = error.__cause__ or error
        raise PoolError(f"data set {source.title!r}, split {split!r} can't be read: {cause}") from error


def reference_version(reference: DataReference) -> dict[str, str]:
    """What identifies the content, for caching: a digest of the local files, versions of the packages that carry it, or
    the hub's id and revision."""
    files = _local_files(reference)
    if files is None and reference.name == EMBEDDED:
        return package_versions(tuple(PACKAGES))
    if files is None:
        where = f"hub:{reference.name}" + (f"/{reference.subset}" if reference.subset else "")
        return {where: reference.revision or "as first fetched"}
    splits = sorted(files.items())
    parts = [f"{split} {path.stat().st_size} {known_digest(path)}" for split, paths in splits for path in paths]
    return {f"files:{reference.name or reference.path}": bytes_digest("\n".join(parts).encode())}


def encoder_version(config: SentenceTransformerConfig) -> dict[str, str]:
    """What identifies a sentence-transformers model, for caching: library and digest, or the hub's id.

    Raises:
        EncoderError: when the optional package, or the one that carries the model, is missing.
    """
    return {"sentence-transformers": sentence_transformers_version()} | model_version(config.model)


def encoder_cache(config: SentenceTransformerConfig) -> TextCache:
    """Where rows of a frozen encoder are kept on disk."""
    return TextCache(cache_directory() / "embeddings", encoder_version(config))


def model_version(model: str) -> dict[str, str]:
    """What identifies a model or tokenizer, for caching: a digest of its directory, or the hub's id.

    Args:
        model: see :func:`curation_gym.signals.encoders.model_path`.

    Raises:
        EncoderError: when the package that carries it is missing.
    """
    where = Path(model_path(model))
    if not where.is_dir():
        return {f"hub:{model}": "as first fetched"}
    files = sorted(file for file in where.rglob("*") if file.is_file())
    parts = [f"{file.relative_to(where)} {known_digest(file)}" for file in files]
    return {model: bytes_digest("\n".join(parts).encode())}


def scorer_version(name: str) -> dict[str, str]:
    """What identifies a callable scorer, for caching: its attribute ``version`` where it has one, and a digest of the
    files in which it is named and defined.

    Args:
        name: see :func:`curation_gym.signals.scores.imported_scorer`.

    Raises:
        PoolError: when it can't be imported, or has neither version nor file.
    """
    try:
        scorer = imported_scorer(name)
    except ScoreError as error:
        raise PoolError(str(error)) from error
    if name not in _SOURCES or _SOURCES[name][0] is not scorer:
        defined = inspect.getmodule(scorer if hasattr(scorer, "__qualname__") else type(scorer))
        modules = (sys.modules[name.partition(":")[0]], defined)
        files = sorted({file for module in modules if (file := getattr(module, "__file__", None)) is not None})
        _SOURCES[name] = scorer, [file_digest(Path(file)) for file in files]
    parts = list(_SOURCES[name][1])
    if (own := getattr(scorer, "version", None)) is not None:
        parts.append(f"version {own}")
    if not parts:
        raise PoolError(
            f"nothing tells when scorer {name!r} changes, for it has no source file: give it an attribute 'version', "
            "or move it into a module"
        )
    return {f"scorer:{name}": bytes_digest("\n".join(parts).encode())}


def _local_files(reference: DataReference) -> dict[str, list[Path]] | None:
    """Split → files; None when the name isn't a local one."""
    if reference.path is not None:
        path = Path(reference.path).expanduser()
        if not path.exists():
            raise PoolError(f"no data set at {path}: no such file or directory")
    else:
        root = os.environ.get(DATA_VARIABLE)
        path = Path(root or "") / str(reference.name)
        if not root or not path.is_dir():
            return None
    if path.is_file():
        if path.suffix not in FORMATS:
            raise PoolError(f"{path}: a data file must end in one of {', '.join(FORMATS)}")
        return {"train": [path]}
    found = sorted(file for file in path.rglob("*") if file.suffix in FORMATS and file.is_file())
    if not found:
        raise PoolError(f"{path} holds no data files; they must end in one of {', '.join(FORMATS)}")
    if len({FORMATS[file.suffix] for file in found}) > 1:
        endings = sorted({file.suffix for file in found})
        raise PoolError(f"{path} mixes formats ({', '.join(endings)}); name one file as path, or separate them")
    splits: dict[str, list[Path]] = {}
    for file in found:
        splits.setdefault(re.sub(r"-\d+-of-\d+$", "", file.stem), []).append(file)
    return splits


def _load_files(paths: list[Path], streaming: bool = False) -> Any:
    import datasets

    with tempfile.TemporaryDirectory() as scratch, _quiet():
        try:
            return datasets.load_dataset(
                FORMATS[paths[0].suffix],
                data_files=[str(path) for path in paths],
                split="train",
                cache_dir=scratch,
                streaming=streaming,
                **({} if streaming else {"keep_in_memory": True}),
            )
        except Exception as error:  # every format has its own errors; all mean that the file can't be read
            cause = error.__cause__ or error
            raise PoolError(f"{paths[0]} can't be read as {FORMATS[paths[0].suffix]}: {cause}") from error


def _load_embedded() -> Any:
    import datasets

    columns = ("text", "kind", "package")
    rows = [{name: getattr(chunk, name) for name in columns} for chunk in read_packages()]
    return datasets.Dataset.from_list(rows)


def _load_hub(reference: DataReference, streaming: bool = False) -> dict[str, Any]:
    import datasets

    if Path(str(reference.name)).exists():
        raise PoolError(f"{reference.name!r} is a local file or directory: give it as path, not as name")
    try:
        loaded = datasets.load_dataset(
            reference.name, reference.subset, revision=reference.revision, streaming=streaming
        )
    except Exception as error:  # offline, unknown, private, gated, a bad subset: many types, one thing to say
        root = os.environ.get(DATA_VARIABLE)
        tried = f"${DATA_VARIABLE} has no directory of that name" if root else f"${DATA_VARIABLE} is not set"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise PoolError(
            f"no data set {reference.name!r}: {tried}, and the Hugging Face hub gave: {reason}. Set {DATA_VARIABLE} "
            "to a directory that holds it, give a local file as path, or name a hub id while online"
        ) from error
    return dict(loaded)


def read_column(dataset: Any, source: DataReference, name: str) -> list[Any]:
    """A column as a list.

    Raises:
        PoolError: when there is none of that name; lists those that exist.
    """
    if name not in dataset.column_names:
        raise PoolError(
            f"data set {source.title!r} has no column {name!r}; its columns are {', '.join(dataset.column_names)}"
        )
    return list(dataset[name])


def texts_or_none(values: list[Any], column: str, where: str, row: int = 0) -> list[str | None]:
    """The values, each a text or None.

    Args:
        values: of a column.
        column: its name.
        where: what holds it, for messages.
        row: number of the first of them.

    Raises:
        PoolError: naming the row of the first that is neither.
    """
    for at, text in enumerate(values, row):
        if text is not None and not isinstance(text, str):
            raise PoolError(f"{where}, row {at}: column {column!r} must hold texts, actual type: {type(text).__name__}")
    return values


def counts(values: list[Any], column: str, where: str, row: int = 0) -> list[float]:
    """The values, each a number of at least 0; arguments and errors as :func:`texts_or_none` has them."""
    for at, value in enumerate(values, row):
        if not isinstance(value, int | float) or not value >= 0:
            found = value if isinstance(value, int | float) else type(value).__name__
            raise PoolError(f"{where}, row {at}: column {column!r} must hold counts, found: {found}")
    return values


def read_image_column(dataset: Any, source: DataReference, name: str) -> list[Any]:
    """A column of images, still encoded: ``{"bytes": …, "path": …}`` each.

    Raises:
        PoolError: when there is no such column, or it doesn't hold images.
    """
    import datasets

    if name in dataset.column_names:
        try:
            dataset = dataset.cast_column(name, datasets.Image(decode=False))
        except Exception as error:  # Arrow's types of error for one thing: another type of column
            raise PoolError(f"data set {source.title!r}: column {name!r} doesn't hold images: {error}") from error
    return read_column(dataset, source, name)


def label_names(dataset: Any, source: DataReference, name: str) -> list[str]:
    """A column of classes as strings; the class names of a hub data set where it has them.

    Raises:
        PoolError: naming the first row without a label.
    """
    values = read_column(dataset, source, name)
    names = getattr(dataset.features[name], "names", None)
    for row, value in enumerate(values):
        if value is None or value == "" or (names is not None and value < 0):
            raise PoolError(f"data set {source.title!r}, row {row}: column {name!r} holds no label")
    return [names[value] if names is not None else str(value) for value in values]


@contextmanager
def _quiet() -> Iterator[None]:
    """Local files are read in an instant: no progress bars of the library beneath."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    disabled = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not disabled:
            enable_progress_bars()

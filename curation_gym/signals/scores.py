"""Scores of many texts by any scorer: in batches, checked, kept as they come, never computed twice."""

import hashlib
import importlib
import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

_LOOKED_UP_AT_ONCE = 500


class ScoreError(ValueError):
    """A score that can't be made. It ends the run: a missing score is never replaced by a number."""


class Scorer(Protocol):
    """Anything callable on a list of texts."""

    def __call__(self, texts: list[str], /) -> NDArray[Any]:
        """One finite number per text, shape (n,); as a signal in [0, 1]."""
        ...


def imported_scorer(name: str, what: str = "scorer") -> Scorer:
    """The callable that ``"module:attribute"`` names; its module is imported, so its code is run.

    Args:
        name: the attribute may be one of an attribute: ``"module:a.b"``.
        what: messages call it.

    Raises:
        ScoreError: when it can't be imported, or isn't callable.
    """
    module_name, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # a module that is imported may raise anything
        raise ScoreError(
            f"can't import {what} {name!r}: {type(error).__name__}: {error}. Name it as 'module:callable'; the module "
            "must be importable from here (installed, or on PYTHONPATH)"
        ) from error
    if not callable(found):
        raise ScoreError(f"{what} {name!r} is no callable but {type(found).__name__}")
    scorer: Scorer = found
    return scorer


class TextCache:
    """What was computed of texts, scores or embeddings, on disk by their content; one file for each scorer or encoder.

    Every batch is one transaction of SQLite: after an interrupt or a loss of power it is there whole or not at all, and
    any number of processes may use the file at once.

    Args:
        directory: of the files; made when it isn't there.
        identity: what the numbers depend on besides the text, JSON values: model, version, what is asked for. Another
            identity is another file. It must hold no key or password, for it is stored in the file.

    Raises:
        ScoreError: when the file can't be made or read.
    """

    def __init__(self, directory: Path, identity: Mapping[str, Any]) -> None:
        told = json.dumps(identity, sort_keys=True)
        self.path = directory / f"{hashlib.blake2b(told.encode(), digest_size=16).hexdigest()}.sqlite"
        with self._open() as database:
            database.execute("CREATE TABLE IF NOT EXISTS identity (told TEXT PRIMARY KEY)")
            database.execute("CREATE TABLE IF NOT EXISTS row (text BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
            database.execute("INSERT OR IGNORE INTO identity VALUES (?)", (told,))

    def get(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """What is known: text → its numbers, (k,)."""
        by_key = {_key(text): text for text in texts}
        keys = list(by_key)
        known: dict[str, NDArray[np.float32]] = {}
        with self._open() as database:
            for start in range(0, len(keys), _LOOKED_UP_AT_ONCE):
                some = keys[start : start + _LOOKED_UP_AT_ONCE]
                query = f"SELECT text, value FROM row WHERE text IN ({','.join('?' * len(some))})"
                known |= {by_key[key]: np.frombuffer(value, "<f4") for key, value in database.execute(query, some)}
        return known

    def put(self, texts: Sequence[str], values: NDArray[np.floating]) -> None:
        """Keep the numbers of texts, (n, k) or (n,), all or none of them."""
        with self._open() as database:
            rows = ((_key(text), value.tobytes()) for text, value in zip(texts, np.asarray(values, "<f4"), strict=True))
            database.executemany("INSERT OR REPLACE INTO row VALUES (?, ?)", rows)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection with one transaction, committed at the end."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self.path, timeout=60)
            try:
                with database:
                    yield database
            finally:
                database.close()
        except (sqlite3.Error, OSError) as error:
            raise ScoreError(
                f"numbers can't be kept in {self.path}: {error}; make room, or remove the file if it is damaged"
            ) from error


def score_texts(
    scorer: Scorer,
    texts: Sequence[str],
    *,
    cache: TextCache | None = None,
    batch_size: int = 256,
    bounds: tuple[float, float] = (0.0, 1.0),
    description: str = "scoring",
) -> NDArray[np.float32]:
    """Score texts, each content once.

    Whatever ends a run, an interrupt, a scorer that raises or a value that is none, what earlier batches gave stays in
    the cache, and the next run goes on from there.

    Args:
        scorer: gets at most ``batch_size`` texts at a time.
        texts: n strings.
        cache: where scores are kept; None computes all.
        batch_size: texts that an interrupt loses at most.
        bounds: of what a score may be, both included.
        description: of the progress bar, on stderr when that is a terminal.

    Returns:
        float32 (n,).

    Raises:
        ScoreError: when the scorer raises, gives another number of values, or one that is not finite or out of bounds;
            it names the index of the text, never the text.
    """
    first: dict[str, int] = {}
    for index, text in enumerate(texts):
        first.setdefault(text, index)
    known = {} if cache is None else {text: row[0] for text, row in cache.get(list(first)).items()}
    todo = [text for text in first if text not in known]
    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(description, total=len(first), completed=len(known))
        for start in range(0, len(todo), batch_size):
            batch = todo[start : start + batch_size]
            values = _checked(scorer, batch, [first[text] for text in batch], bounds, description)
            if cache is not None:
                cache.put(batch, values)
            known |= zip(batch, values, strict=True)
            bar.advance(task, len(batch))
    return np.array([known[text] for text in texts], np.float32)


def _checked(
    scorer: Scorer, batch: list[str], indices: list[int], bounds: tuple[float, float], description: str
) -> NDArray[np.float32]:
    where = f"{description}: texts {indices[0]} to {indices[-1]}"
    try:
        given = np.asarray(scorer(batch))
    except Exception as error:  # any scorer may be plugged in; whatever it raises, the score can't be made
        raise ScoreError(f"{where}: {type(error).__name__}: {error}; what was scored before is kept") from error
    if given.shape != (len(batch),) or given.dtype.kind not in "biuf":
        raise ScoreError(
            f"{where}: a scorer must give {len(batch)} numbers, actual: {given.dtype} of shape {given.shape}"
        )
    good = (given >= bounds[0]) & (given <= bounds[1]) & np.isfinite(given)  # False for NaN
    if not good.all():
        bad = int(np.argmin(good))
        raise ScoreError(
            f"{description}: text {indices[bad]}: the scorer gave {given[bad]}, which is no number in "
            f"[{bounds[0]:g}, {bounds[1]:g}]"
        )
    return given.astype(np.float32)


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()

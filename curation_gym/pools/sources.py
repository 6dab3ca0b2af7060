"""The rows of one data set: samples, labels, domains and splits, checked and without duplicates."""

import io
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator

from curation_gym.config import Many
from curation_gym.pools.common import content_hash, split_by_hash
from curation_gym.pools.pool import SPLITS, PoolError
from curation_gym.pools.registry import (
    DataReference,
    label_names,
    load_splits,
    read_column,
    read_image_column,
    texts_or_none,
)
from curation_gym.signals.encoders import Modality

SHARES = (0.7, 0.1, 0.2)
"""Train, validation and test, where a data set doesn't say."""
MIN_ROWS = 10
SplitRole = Literal["train", "validation", "test", "any"]
ROLES: tuple[SplitRole, ...] = get_args(SplitRole)
USUAL_SPLITS: dict[SplitRole, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "val", "valid", "dev"),
    "test": ("test",),
}


class SourceConfig(DataReference):
    """One data set and how to read it.

    Attributes:
        text: the column of texts; ``"text"`` when neither text, image nor features is given.
        image: the column of images.
        features: columns of numbers.
        label: the column of classes, which becomes hidden truth.
        relabel: value of ``label`` → class name, where classes are to be merged or named; others keep their
            own.
        out_of_scope: values of ``label`` that are no class: such rows get the hidden label −1. To evaluate how
            well they are told apart, map a split that holds them to ``test``.
        domain: the column of domains; without one the source is one domain, called by its name.
        splits: role → the data set's splits: train, validation, test, or any (spread over the three by hash).
            Splits that no role names are left out. By default those with the usual names.
        limit: most rows used, chosen by hash of the content.
        drop_empty: leave out rows with an empty text instead of refusing them.
    """

    text: str | None = None
    image: str | None = None
    features: Many[str] | None = Field(None, min_length=1)
    label: str | None = None
    relabel: dict[str, str] = Field(default_factory=dict)
    out_of_scope: Many[str] = ()
    domain: str | None = None
    splits: dict[SplitRole, Many[str]] = Field(default_factory=dict)
    limit: int | None = Field(None, ge=MIN_ROWS)
    drop_empty: bool = False

    @model_validator(mode="after")
    def _one_modality(self) -> "SourceConfig":
        if sum(column is not None for column in (self.text, self.image, self.features)) > 1:
            raise ValueError("only one of text, image and features can be given")
        if (self.relabel or self.out_of_scope) and self.label is None:
            raise ValueError("relabel and out_of_scope need label")
        if both := sorted(set(self.relabel) & set(self.out_of_scope)):
            raise ValueError(
                f"a value of label is either relabelled or out of scope, actual value of both: {both[0]!r}"
            )
        return self

    @property
    def modality(self) -> Modality:
        """What the samples are."""
        return "image" if self.image is not None else "features" if self.features is not None else "text"


@dataclass
class Rows:
    """Rows of one source, or of all; every list has one entry per row."""

    samples: list[Any]
    modality: list[Modality]
    raw: list[Any]  # what the pool keeps: the text, the encoded image, the numbers
    contents: list[bytes]
    labels: list[str | None]  # None: out of scope; no entries at all without labels
    domains: list[str]
    split: NDArray[np.uint8]
    columns: dict[str, list[Any]]

    def take(self, ids: NDArray[np.integer]) -> "Rows":
        """The rows of these ids, in this order."""

        def pick(values: list[Any]) -> list[Any]:
            return [values[i] for i in ids] if values else []

        return Rows(
            samples=pick(self.samples),
            modality=pick(self.modality),
            raw=pick(self.raw),
            contents=pick(self.contents),
            labels=pick(self.labels),
            domains=pick(self.domains),
            split=self.split[ids],
            columns={name: pick(values) for name, values in self.columns.items()},
        )


def read_source(source: SourceConfig, wanted: Sequence[str], several: bool) -> Rows:
    """The rows of one source, each in its final split, without duplicates and within the limit."""
    available = load_splits(source)
    roles: dict[SplitRole, tuple[str, ...]] = source.splits or {
        role: tuple(name for name in names if name in available) for role, names in USUAL_SPLITS.items()
    }
    for name in (name for names in roles.values() for name in names):
        if name not in available:
            raise PoolError(f"data set {source.title!r} has no split {name!r}; it has {', '.join(available)}")
    if not roles.get("train") and not roles.get("any"):
        raise PoolError(
            f"data set {source.title!r} has no split to train on; it has {', '.join(available)}. Map them, for "
            f"example splits: {{any: [{', '.join(available)}]}}"
        )
    parts = [
        _split_rows(available[name], name, ROLES.index(role), source, wanted, several)
        for role in ROLES
        for name in roles.get(role, ())
    ]
    rows = concatenated(parts)
    unknown = sorted({*source.relabel, *source.out_of_scope} - set(rows.labels))
    if unknown:
        key = "relabel" if unknown[0] in source.relabel else "out_of_scope"
        raise PoolError(
            f"data set {source.title!r}: {key} names {unknown[0]!r}, which no row of column {source.label!r} holds; "
            f"values are {', '.join(sorted(map(str, set(rows.labels)))[:20])}"
        )
    rows.labels = [
        None if label is None or label in source.out_of_scope else source.relabel.get(label, label)
        for label in rows.labels
    ]
    rows.split = _completed(rows.split, rows.contents)
    rows = rows.take(first_copies(rows))
    if source.limit is not None:
        chosen = np.argsort(content_hash(rows.contents, "limit"), kind="stable")[: source.limit]
        rows = rows.take(np.sort(chosen))
    return rows


def _split_rows(dataset: Any, name: str, role: int, source: SourceConfig, wanted: Sequence[str], several: bool) -> Rows:
    where = f"data set {source.title!r}, split {name!r}"
    samples: list[Any]
    raw: list[Any]
    if source.image is not None:
        raw, samples = read_images(read_image_column(dataset, source, source.image), where)
        contents = [image["bytes"] for image in raw]
    elif source.features is not None:
        samples = _numbers({column: read_column(dataset, source, column) for column in source.features}, where)
        raw, contents = samples, [(np.array(row) + 0.0).tobytes() for row in samples]  # −0 and 0 are equal
    else:
        column = source.text or "text"
        if source.drop_empty:
            texts = read_column(dataset, source, column)
            dataset = dataset.select([row for row, text in enumerate(texts) if not _is_empty(text)])
        raw = samples = _texts(read_column(dataset, source, column), column, where)
        contents = [text.encode() for text in samples]
    labels: list[str | None] = []
    if source.label is not None:
        labels += label_names(dataset, source, source.label)
    if source.domain is None:
        domains = [source.title if several else "all"] * len(samples)
    else:
        prefix = f"{source.title}/" if several else ""
        domains = [f"{prefix}{domain}" for domain in label_names(dataset, source, source.domain)]
    return Rows(
        samples=samples,
        modality=[source.modality] * len(samples),
        raw=raw,
        contents=contents,
        labels=labels,
        domains=domains,
        split=np.full(len(samples), role, np.uint8),
        columns={column: read_column(dataset, source, column) for column in wanted},
    )


def _is_empty(text: Any) -> bool:
    return text is None or not str(text).strip()


def _texts(values: list[Any], column: str, where: str) -> list[str]:
    for row, text in enumerate(values):
        if _is_empty(text):
            raise PoolError(f"{where}, row {row}: column {column!r} is empty; fix the row or set drop_empty: true")
    return [text for text in texts_or_none(values, column, where) if text is not None]


def read_images(values: list[Any], where: str) -> tuple[list[dict[str, Any]], list[Any]]:
    """Encoded images, with the content of files, and decoded ones.

    Raises:
        PoolError: naming the row of the first that can't be read.
    """
    raw, decoded = [], []
    for row, value in enumerate(values):
        try:
            content = value["bytes"] if value["bytes"] is not None else Path(value["path"]).read_bytes()
            image = Image.open(io.BytesIO(content))
            image.load()
        except (TypeError, KeyError, OSError) as error:
            raise PoolError(f"{where}, row {row}: not an image that can be read: {error}") from error
        raw.append({"bytes": content, "path": value["path"]})
        decoded.append(image)
    return raw, decoded


def _numbers(columns: dict[str, list[Any]], where: str) -> list[list[float]]:
    for name, values in columns.items():
        for row, value in enumerate(values):
            if not isinstance(value, int | float) or not np.isfinite(value):
                found = value if isinstance(value, float) else type(value).__name__  # never a text: it may be vile
                raise PoolError(f"{where}, row {row}: column {name!r} must hold finite numbers, found: {found}")
    return [[float(value) for value in row] for row in zip(*columns.values(), strict=True)]


def _completed(role: NDArray[np.uint8], contents: list[bytes]) -> NDArray[np.uint8]:
    """Roles → split codes: "any" is spread by hash, a missing validation or test is cut from train."""
    hashed = split_by_hash(content_hash(contents), SHARES)
    anywhere = role == ROLES.index("any")
    split = np.where(anywhere, hashed, role)
    if not anywhere.any():
        missing = [code for code in range(len(SPLITS)) if not (role == code).any()]
        split = np.where((role == SPLITS.index("train")) & np.isin(hashed, missing), hashed, split)
    return split.astype(np.uint8)


def first_copies(rows: Rows) -> NDArray[np.intp]:
    """Ids of one copy of every text and image, ascending; test has precedence over validation, that over train.

    Rows of numbers are all kept: they may repeat.
    """
    order = np.argsort(-rows.split.astype(np.int64), kind="stable")
    kept: dict[bytes | int, int] = {}
    for row in map(int, order):
        kept.setdefault(row if rows.modality[row] == "features" else rows.contents[row], row)
    return np.sort(np.fromiter(kept.values(), np.intp, len(kept)))


def concatenated(parts: Sequence[Rows]) -> Rows:
    """One part after the other."""

    def chain(lists: Iterable[list[Any]]) -> list[Any]:
        return list(itertools.chain.from_iterable(lists))

    return Rows(
        samples=chain(part.samples for part in parts),
        modality=chain(part.modality for part in parts),
        raw=chain(part.raw for part in parts),
        contents=chain(part.contents for part in parts),
        labels=chain(part.labels for part in parts),
        domains=chain(part.domains for part in parts),
        split=np.concatenate([part.split for part in parts]),
        columns={name: chain(part.columns[name] for part in parts) for name in parts[0].columns},
    )

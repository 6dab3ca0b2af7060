"""Documents of a corpus, read as they are needed from one labelled or unlabelled data set after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.config import Many, Pair
from curation_gym.pools.documents import document_keys, in_part
from curation_gym.pools.pool import Pool
from curation_gym.pools.registry import DataReference, counts, read_batches, stream_splits, texts_or_none
from curation_gym.pools.storage import PoolError

CLASSES = ("clean", "toxic")
CLEAN = CLASSES.index("clean")
UNKNOWN = -1
"""The hidden label of a document that no human labelled."""


def human_labels(pool: Pool) -> NDArray[np.integer] | None:
    """(samples,), what people said of each: an index into :data:`CLASSES`, or :data:`UNKNOWN`. None for a pool whose
    label is of something else, or that has none."""
    return pool.hidden.get("label") if pool.class_names == CLASSES else None


class CorpusSource(DataReference):
    """A data set of documents, and what people said of them.

    Human labels become hidden truth, by at most one of ``toxic`` with ``label``, ``votes`` and ``clean``; without any,
    the label of the documents is −1, not known.

    Attributes:
        text: the column of the documents.
        domain: what its documents are a domain of; by default the name of the source.
        domain_column: a column of domains, which then are called ``domain/value``.
        label: a column of classes.
        toxic: values of ``label`` that mean toxic; all others mean clean.
        severity: value of ``label`` → how severe, in [0, 1]; by default 1 where toxic, 0 where not. Of what is rated by
            votes it is the share who found it toxic. By it a definition of toxic can change, see
            :class:`curation_gym.envs.audits.RefinementConfig`.
        votes: two columns of counts, of raters who found the document toxic and of those who didn't. Toxic is what at
            least half of them found so (Borkan et al., "Nuanced Metrics for Measuring Unintended Bias", WWW 2019).
        clean: the source is taken for clean, as edited text is.
        splits: the data set's splits that are read; all by default. They become documents like any others, which are
            then spread over train, validation and test by hash.
        part: only what stands in [low, high) of the partition, see
            :func:`curation_gym.pools.documents.positions`; the rest is left for signals, judges and tests.
        limit: documents at most, of those that something is left of after cleaning and that are no copies as they were
            read: chosen by hash; of a stream the first.
        streaming: read a data set of the hub over the network, instead of fetching it whole; needs ``limit``.
    """

    text: str = "text"
    domain: str | None = Field(None, min_length=1)
    domain_column: str | None = None
    label: str | None = None
    toxic: Many[str] = ()
    severity: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    votes: Pair[str] | None = None
    clean: bool = False
    splits: Many[str] = ()
    part: Pair[float] | None = None
    limit: int | None = Field(None, ge=1)
    streaming: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "CorpusSource":
        if (self.label is None) != (not self.toxic):
            raise ValueError("label and toxic go together: toxic lists the values of label that mean so")
        if self.severity and (missing := sorted(set(self.toxic) - set(self.severity))):
            raise ValueError(f"severity must name every value of toxic, {missing[0]!r} is missing")
        if sum((self.label is not None, self.votes is not None, self.clean)) > 1:
            raise ValueError("only one of label, votes and clean can be given")
        if self.part is not None and not 0 <= self.part[0] < self.part[1] <= 1:
            raise ValueError(f"part must be an interval within [0, 1], actual value: {list(self.part)}")
        if self.streaming and (self.limit is None or self.name is None):
            raise ValueError("streaming is for a data set of the hub, given by name, and needs limit")
        return self

    @property
    def labelled(self) -> bool:
        """Whether anything is known of its documents."""
        return self.label is not None or self.votes is not None or self.clean

    @property
    def domain_name(self) -> str:
        """See ``domain``."""
        return self.domain or self.title


@dataclass(slots=True)
class Document:
    """A document on its way into a corpus.

    Attributes:
        text: as far as it is cleaned.
        domain: its name.
        label: index into :data:`CLASSES`, or :data:`UNKNOWN`.
        severity: in [0, 1]; −1 where it isn't known.
        key: of the text as it was read, see :func:`curation_gym.pools.documents.document_keys`.
    """

    text: str
    domain: str
    label: int
    severity: float
    key: int


class Read(NamedTuple):
    """A row of a source: its domain, and the document unless it is empty or stands in another part."""

    domain: str
    dropped: str | None
    document: Document | None


def read_documents(source: CorpusSource) -> Iterator[Read]:
    """All rows of a source.

    Raises:
        PoolError: naming the data set, split and row: a file that can't be read, for example because it isn't UTF-8, a
            column that isn't there, or that holds something else than texts, labels or counts. Also when no row has
            one of the values of ``toxic``.
    """
    available = stream_splits(source, remote=source.streaming)
    for name in source.splits:
        if name not in available:
            raise PoolError(f"data set {source.title!r} has no split {name!r}; it has {', '.join(available)}")
    seen: set[str] = set()
    for name in source.splits or available:
        features = available[name].features or {}
        row = 0
        for batch in read_batches(available[name], source, name):
            yield from _batch(source, name, row, batch, features, seen)
            row += len(batch[source.text])
    if missing := sorted(set(source.toxic) - seen):
        raise PoolError(
            f"data set {source.title!r}: toxic names {missing[0]!r}, which no row of column {source.label!r} holds; "
            f"values are {', '.join(sorted(seen)[:20])}"
        )


def _batch(
    source: CorpusSource, split: str, row: int, batch: dict[str, list[Any]], features: Any, seen: set[str]
) -> Iterator[Read]:
    where = f"data set {source.title!r}, split {split!r}"
    texts = texts_or_none(_column(batch, source.text, where), source.text, where, row)
    domains = [source.domain_name] * len(texts)
    if source.domain_column is not None:
        values = _named(_column(batch, source.domain_column, where), source.domain_column, where, row, features)
        domains = [f"{source.domain_name}/{value}" for value in values]
    labels = _labels(source, batch, where, row, features, seen)
    keys = document_keys(text or "" for text in texts)
    for text, domain, (label, severity), key, here in zip(
        texts, domains, labels, keys.tolist(), in_part(keys, source.part), strict=True
    ):
        if text is None or not text.strip():
            yield Read(domain, "empty", None)
        elif not here:
            yield Read(domain, "in another part", None)
        else:
            yield Read(domain, None, Document(text, domain, label, severity, key))


def _labels(
    source: CorpusSource, batch: dict[str, list[Any]], where: str, row: int, features: Any, seen: set[str]
) -> list[tuple[int, float]]:
    """Label and severity of each row."""
    if source.label is not None:
        values = _named(_column(batch, source.label, where), source.label, where, row, features)
        seen.update(values)
        severity = source.severity or dict.fromkeys(source.toxic, 1.0)
        return [(int(value in source.toxic), severity.get(value, 0.0)) for value in values]
    if source.votes is not None:
        yes, no = (counts(_column(batch, name, where), name, where, row) for name in source.votes)
        return [(UNKNOWN, -1.0) if y + n == 0 else (int(y >= n), y / (y + n)) for y, n in zip(yes, no, strict=True)]
    return [(CLEAN, 0.0) if source.clean else (UNKNOWN, -1.0)] * len(batch[source.text])


def _column(batch: dict[str, list[Any]], name: str, where: str) -> list[Any]:
    if name not in batch:
        raise PoolError(f"{where} has no column {name!r}; its columns are {', '.join(batch)}")
    return batch[name]


def _named(values: list[Any], name: str, where: str, row: int, features: Any) -> list[str]:
    names = getattr(features.get(name), "names", None)
    for index, value in enumerate(values):
        if value is None or value == "" or (names is not None and value < 0):
            raise PoolError(f"{where}, row {row + index}: column {name!r} holds no value")
    return [names[value] if names is not None else str(value) for value in values]

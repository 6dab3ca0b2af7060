"""The signals of a data set: columns that it has, rules, and classifiers trained on other data sets."""

import os.path
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.config import Config, Many, Pair
from curation_gym.pools.common import content_hash, split_by_hash
from curation_gym.pools.registry import DataReference, label_names, load_splits, read_column
from curation_gym.pools.storage import PoolError
from curation_gym.signals.classifiers import TextScorer, cross_fitted, ngrams
from curation_gym.signals.encoders import MODALITY, EncoderConfig, make_encoder
from curation_gym.signals.text_quality import text_quality

_N_FOLDS = 5


class ColumnSignal(Config):
    """A numeric column of the data: (value − low) / (high − low).

    Attributes:
        column: its name in every source.
        low: the value that becomes 0.
        high: the value that becomes 1; smaller than ``low`` turns the column around.
    """

    kind: Literal["column"]
    column: str
    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _has_width(self) -> "ColumnSignal":
        if self.low == self.high:
            raise ValueError(f"low and high must differ, actual value of both: {self.low}")
        return self


class TextQualitySignal(Config):
    """Text quality by rule, see :mod:`curation_gym.signals.text_quality`."""

    kind: Literal["text_quality"]


class CrossFittedSignal(Config):
    """P(label in ``positive``) from n-gram classifiers trained on the pool itself, each text scored by one
    that did not see it. It uses the pool's own labels: no task should pay for them too.

    Attributes:
        positive: class names.
    """

    kind: Literal["cross_fitted"]
    positive: Many[str] = Field(min_length=1)


class TrainSource(DataReference):
    """A labelled data set to train on; exactly one of ``label``, ``votes`` and ``pair``.

    Attributes:
        text: the column of the text, for label and votes.
        label: a column of classes.
        positive: values of ``label`` that count as positive (scored high); all others are negative.
        votes: two columns of counts, for and against; positive where the first is larger, ties are left out.
        pair: two columns of texts, preferred and rejected. What the two have in common before the last blank
            line (a shared prompt) is cut; pairs that are then equal or half empty are left out.
        limit: most texts or pairs used, chosen by hash.
    """

    text: str = "text"
    label: str | None = None
    positive: Many[str] = ()
    votes: Pair[str] | None = None
    pair: Pair[str] | None = None
    limit: int = Field(5000, ge=20)

    @model_validator(mode="after")
    def _one_target(self) -> "TrainSource":
        if sum(target is not None for target in (self.label, self.votes, self.pair)) != 1:
            raise ValueError("exactly one of label, votes and pair is needed")
        if (self.label is None) != (not self.positive):
            raise ValueError("label and positive go together: positive lists the values of label that are scored high")
        return self


class ClassifierSignal(Config):
    """A text classifier trained on other data sets; texts that are in the pool are left out of training.

    Attributes:
        train: labelled sources, or pairs; not both.
        encoder: whose embeddings to train on; null: hashed character and word n-grams.
        c: inverse strength of the L2 penalty.
    """

    kind: Literal["classifier"]
    train: Many[TrainSource]
    encoder: EncoderConfig | None = None
    c: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _one_kind(self) -> "ClassifierSignal":
        if not self.train:
            raise ValueError("train must name at least one data set")
        if len({source.pair is None for source in self.train}) > 1:
            raise ValueError("train mixes pairs with labels; make two signals")
        if self.encoder is not None and MODALITY[self.encoder.kind] != "text":
            raise ValueError(f"encoder must read text, actual kind: {self.encoder.kind!r}")
        return self


SignalConfig = Annotated[
    ColumnSignal | TextQualitySignal | CrossFittedSignal | ClassifierSignal, Field(discriminator="kind")
]


def score(
    name: str,
    config: SignalConfig,
    *,
    texts: Sequence[str] | None,
    columns: dict[str, NDArray[Any]],
    labels: Sequence[str | None] | None,
) -> NDArray[np.float32]:
    """Compute a signal for every sample.

    Args:
        name: of the signal, for messages.
        config: how.
        texts: the pool's texts; None when not every sample is one.
        columns: the columns that ``column`` signals named.
        labels: class names (None: out of scope), for ``cross_fitted``.

    Returns:
        float32 (n,) in [0, 1].

    Raises:
        PoolError: when the signal can't be made for every sample; nothing is ever filled in.
        ClassifierError: when there is too little to train on.
    """
    if isinstance(config, ColumnSignal):
        return _scaled(name, config, columns[config.column])
    if texts is None:
        raise PoolError(f"signal {name!r}: kind {config.kind!r} reads texts, and not every sample is one")
    if isinstance(config, TextQualitySignal):
        return text_quality(texts)
    if isinstance(config, CrossFittedSignal):
        return _cross_fitted(name, config, texts, labels)
    return _scorer(config, frozenset(texts)).score(texts)


def _scaled(name: str, config: ColumnSignal, values: NDArray[Any]) -> NDArray[np.float32]:
    scaled = (values - config.low) / (config.high - config.low)
    good = (scaled >= 0) & (scaled <= 1)  # False for NaN
    if not good.all():
        row = int(np.argmin(good))
        raise PoolError(
            f"signal {name!r}: column {config.column!r}, row {row}: {values[row]} is missing or not between "
            f"low = {config.low} and high = {config.high} ({int((~good).sum())} such values)"
        )
    return np.asarray(scaled, np.float32)


def _cross_fitted(
    name: str, config: CrossFittedSignal, texts: Sequence[str], labels: Sequence[str | None] | None
) -> NDArray[np.float32]:
    if labels is None:
        raise PoolError(f"signal {name!r}: kind 'cross_fitted' needs the sources' label")
    classes = {label for label in labels if label is not None}
    unknown = set(config.positive) - classes
    if unknown:
        raise PoolError(f"signal {name!r}: positive {sorted(unknown)} are no classes; there are {sorted(classes)}")
    positive = np.array([label in config.positive for label in labels])
    folds = split_by_hash(content_hash((text.encode() for text in texts), "fold"), [1 / _N_FOLDS] * _N_FOLDS)
    return cross_fitted(ngrams().fit_transform(texts), positive, folds)


def _scorer(config: ClassifierSignal, excluded: frozenset[str]) -> TextScorer:
    """Train what a ``classifier`` signal describes."""
    if config.train[0].pair is not None:
        pairs = [pair for source in config.train for pair in _pairs(source, excluded)]
        chosen, rejected = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        encoder = make_encoder(config.encoder, [*chosen, *rejected]) if config.encoder else None
        return TextScorer(encoder, config.c).fit_preferences(chosen, rejected)
    rows = [row for source in config.train for row in _labelled(source, excluded)]
    texts, positive = [text for text, _ in rows], np.array([label for _, label in rows], np.bool_)
    encoder = make_encoder(config.encoder, texts) if config.encoder else None
    return TextScorer(encoder, config.c).fit(texts, positive)


def _labelled(source: TrainSource, excluded: frozenset[str]) -> list[tuple[str, bool]]:
    rows: dict[str, bool] = {}
    seen: set[str] = set()
    for dataset in load_splits(source).values():
        if source.votes is not None:
            text, more, less = (read_column(dataset, source, name) for name in (source.text, *source.votes))
            rows |= {t: m > k for t, m, k in zip(text, more, less, strict=True) if m != k}
        else:
            label = label_names(dataset, source, str(source.label))
            seen |= set(label)
            text = read_column(dataset, source, source.text)
            rows |= {t: value in source.positive for t, value in zip(text, label, strict=True)}
    missing = set(source.positive) - seen
    if missing:
        raise PoolError(
            f"training set {source.title!r}: no row of column {source.label!r} is {sorted(missing)}; values "
            f"are {', '.join(sorted(seen)[:20])}"
        )
    kept = [(text, positive) for text, positive in rows.items() if text and text.strip() and text not in excluded]
    return _by_hash(kept, source.limit)


def _pairs(source: TrainSource, excluded: frozenset[str]) -> list[tuple[str, str]]:
    assert source.pair is not None
    kept = []
    for dataset in load_splits(source).values():
        for pair in zip(*(read_column(dataset, source, name) for name in source.pair), strict=True):
            chosen, rejected = _without_prompt(*(text or "" for text in pair))
            if chosen and rejected and chosen != rejected and not {chosen, rejected} & excluded:
                kept.append((chosen, rejected))
    return _by_hash(kept, source.limit)


def _without_prompt(chosen: str, rejected: str) -> tuple[str, str]:
    shared = os.path.commonprefix([chosen, rejected])  # noqa: RUF071 - characters are what is meant
    start = shared.rfind("\n\n") + 1
    return chosen[start:].strip(), rejected[start:].strip()


def _by_hash(rows: list[tuple[str, Any]], limit: int) -> list[tuple[str, Any]]:
    order = np.argsort(content_hash((row[0].encode() for row in rows), "limit"), kind="stable")
    return [rows[index] for index in order[:limit]]

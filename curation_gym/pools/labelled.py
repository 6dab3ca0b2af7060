"""Labelled data sets, as training material of signals and judges: texts with a label, and pairs with a preference."""

import os.path
from collections.abc import Container, Iterable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from curation_gym.config import Many, Pair
from curation_gym.pools.cards import LabelledBy, SourceCard
from curation_gym.pools.common import content_hash
from curation_gym.pools.documents import Keys, document_keys, in_part
from curation_gym.pools.registry import (
    DataReference,
    counts,
    label_names,
    load_splits,
    read_column,
    reference_version,
    texts_or_none,
)
from curation_gym.pools.storage import PoolError


class TrainSource(DataReference):
    """A labelled data set to train on; exactly one of ``label``, ``votes``, ``every``, ``answers`` and ``pair``.

    Attributes:
        text: the column of the text, for label, votes and every.
        label: a column of classes.
        positive: values of ``label`` that count as positive (scored high); all others are negative.
        votes: two columns of counts, for and against; positive where the first is larger, ties are left out.
        every: all texts are of this class.
        answers: two columns of lists of texts, positive and negative. What stands in one row stays on one side.
        pair: two columns of texts, preferred and rejected. What the two have in common before the last blank
            line (a shared prompt) is cut; pairs that are then equal or half empty are left out.
        part: use only what stands in [low, high) of the partition, see
            :func:`curation_gym.pools.documents.positions`; of answers and pairs, by the whole row.
        limit: most texts or pairs used, chosen by hash.
        labelled_by: who labelled it, for the data card.
        licence: for the data card.
    """

    text: str = "text"
    label: str | None = None
    positive: Many[str] = ()
    votes: Pair[str] | None = None
    every: Literal["positive", "negative"] | None = None
    answers: Pair[str] | None = None
    pair: Pair[str] | None = None
    part: Pair[float] | None = None
    limit: int = Field(5000, ge=20)
    labelled_by: LabelledBy | None = None
    licence: str | None = None

    @model_validator(mode="after")
    def _one_target(self) -> "TrainSource":
        targets = (self.label, self.votes, self.every, self.answers, self.pair)
        if sum(target is not None for target in targets) != 1:
            raise ValueError("exactly one of label, votes, every, answers and pair is needed")
        if (self.label is None) != (not self.positive):
            raise ValueError("label and positive go together: positive lists the values of label that are scored high")
        if self.part is not None and not 0 <= self.part[0] < self.part[1] <= 1:
            raise ValueError(f"part must be an interval within [0, 1], actual value: {list(self.part)}")
        return self


class Example(NamedTuple):
    """A labelled text, and the key of the document or row that it comes from."""

    text: str
    positive: bool
    key: int


class Preference(NamedTuple):
    """A pair of texts of which the first was preferred, and the key of the dialogue that it comes from."""

    chosen: str
    rejected: str
    key: int


def read_examples(source: TrainSource, excluded: Container[str] = frozenset()) -> list[Example]:
    """Labelled texts of all splits, each once, but for those excluded.

    Raises:
        PoolError: for a column or a value of ``positive`` that isn't there, and for what isn't a text, a label or a
            count.
    """
    if source.answers is not None:
        return _by_hash(_unique(_answers(source, excluded)), source.limit)
    rows: dict[str | None, bool] = {}
    seen: set[str] = set()
    for split, dataset in load_splits(source).items():
        where = f"training set {source.title!r}, split {split!r}"
        text = texts_or_none(read_column(dataset, source, source.text), source.text, where)
        if source.votes is not None:
            more, less = (counts(read_column(dataset, source, name), name, where) for name in source.votes)
            rows |= {t: m > k for t, m, k in zip(text, more, less, strict=True) if m != k}
        elif source.every is not None:
            rows |= dict.fromkeys(text, source.every == "positive")
        else:
            label = label_names(dataset, source, str(source.label))
            seen |= set(label)
            rows |= {t: value in source.positive for t, value in zip(text, label, strict=True)}
    missing = set(source.positive) - seen
    if missing:
        raise PoolError(
            f"training set {source.title!r}: no row of column {source.label!r} is {sorted(missing)}; values "
            f"are {', '.join(sorted(seen)[:20])}"
        )
    kept = {text: positive for text, positive in rows.items() if text and text.strip() and text not in excluded}
    keys = document_keys(kept)
    examples = (Example(*row, key) for row, key in zip(kept.items(), keys.tolist(), strict=True))
    return _by_hash(
        [example for example, used in zip(examples, in_part(keys, source.part), strict=True) if used], source.limit
    )


def read_preferences(source: TrainSource, excluded: Container[str] = frozenset()) -> list[Preference]:
    """Pairs of all splits without their shared prompt, but for those of which a text is excluded.

    Raises:
        PoolError: for a column that isn't there, or doesn't hold texts.
    """
    assert source.pair is not None
    kept = []
    for split, dataset in load_splits(source).items():
        where = f"training set {source.title!r}, split {split!r}"
        columns = [texts_or_none(read_column(dataset, source, name), name, where) for name in source.pair]
        pairs = list(zip(*columns, strict=True))
        keys = document_keys(_prompt(*(text or "" for text in pair)) or str(pair[0]) for pair in pairs)
        for pair, key, used in zip(pairs, keys.tolist(), in_part(keys, source.part), strict=True):
            chosen, rejected = _without_prompt(*(text or "" for text in pair))
            different = chosen and rejected and chosen != rejected
            if used and different and chosen not in excluded and rejected not in excluded:
                kept.append(Preference(chosen, rejected, key))
    return _by_hash(kept, source.limit)


def training_keys(source: TrainSource, excluded: Container[str] = frozenset()) -> Keys:
    """Keys of the documents that a source gives, for :func:`curation_gym.pools.partition.check_disjoint`."""
    if source.pair is None:
        return document_keys(example.text for example in read_examples(source, excluded))
    pairs = read_preferences(source, excluded)
    return document_keys(text for pair in pairs for text in (pair.chosen, pair.rejected))


def source_card(source: TrainSource, positive: int, negative: int) -> SourceCard:
    """What a data card says of a source of which so many texts or pairs were used."""
    return SourceCard(
        title=source.title,
        version=reference_version(source),
        part=source.part,
        positive=positive,
        negative=negative,
        licence=source.licence,
        labelled_by=source.labelled_by,
    )


def _answers(source: TrainSource, excluded: Container[str]) -> Iterator[Example]:
    assert source.answers is not None
    for split, dataset in load_splits(source).items():
        columns = [read_column(dataset, source, name) for name in source.answers]
        for row, lists in enumerate(zip(*columns, strict=True)):
            if not all(isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in lists):
                names = " and ".join(map(repr, source.answers))
                raise PoolError(
                    f"data set {source.title!r}, split {split!r}, row {row}: columns {names} must hold lists of texts"
                )
            keys = document_keys(["\n".join(text for texts in lists for text in texts)])
            if in_part(keys, source.part)[0]:
                for texts, positive in zip(lists, (True, False), strict=True):
                    kept = (text for text in texts if text.strip() and text not in excluded)
                    yield from (Example(text, positive, int(keys[0])) for text in kept)


def _unique(examples: Iterable[Example]) -> list[Example]:
    """One of each text; none of one that stands for both classes."""
    first: dict[str, Example] = {}
    both: set[str] = set()
    for example in examples:
        if first.setdefault(example.text, example).positive != example.positive:
            both.add(example.text)
    return [example for text, example in first.items() if text not in both]


def _prompt(chosen: str, rejected: str) -> str:
    shared = os.path.commonprefix([chosen, rejected])  # noqa: RUF071 - characters are what is meant
    return shared[: shared.rfind("\n\n") + 1]


def _without_prompt(chosen: str, rejected: str) -> tuple[str, str]:
    start = len(_prompt(chosen, rejected))
    return chosen[start:].strip(), rejected[start:].strip()


def _by_hash(rows: list[Any], limit: int) -> list[Any]:
    order = np.argsort(content_hash((row[0].encode() for row in rows), "limit"), kind="stable")
    return [rows[index] for index in order[:limit]]

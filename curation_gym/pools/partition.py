"""The partition: what trained a signal, what trained a judge, what is curated and what is tested must not meet."""

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from curation_gym.pools.cards import SignalCard, SourceCard, signal_cards
from curation_gym.pools.documents import Keys, document_keys
from curation_gym.pools.labelled import TrainSource, training_keys
from curation_gym.pools.pool import Pool


class PartitionError(ValueError):
    """Sides that should be disjoint aren't. The message names both, and how many documents they share."""


def check_disjoint(sides: Mapping[str, Pool | TrainSource | Keys | Iterable[str]]) -> None:
    """Check that no document is on two sides.

    Documents are the same when :func:`curation_gym.pools.documents.normalised` makes them equal; a pool of the builder
    ``corpus`` remembers the documents that its chunks come from.

    Args:
        sides: name → a pool, a labelled source, document keys, or texts.

    Raises:
        PartitionError: naming every two sides that overlap, how many documents they share, and where the first one
            stands; texts are never quoted.
    """
    keys = {name: _keys(side) for name, side in sides.items()}
    told = []
    for one, other in combinations(keys, 2):
        shared = np.isin(keys[one], keys[other])
        if shared.any():
            row = int(np.argmax(shared))
            at = int(np.argmax(keys[other] == keys[one][row]))
            n = len(np.unique(keys[one][shared]))
            told.append(f"{one!r} and {other!r} share {n} documents, first row {row} of {one!r}, row {at} of {other!r}")
    if told:
        raise PartitionError(f"{'; '.join(told)}. Divide them by part, or leave the one's documents out of the other")


def check_evaluation(pool: Pool, data_set: str, part: tuple[float, float] | None = None) -> None:
    """Check that results on a data set may be reported for what was curated with a pool's signals.

    Args:
        pool: whose signals' cards are asked.
        data_set: its name, as signals would name it.
        part: of the partition that is evaluated on, [low, high); None is all of it.

    Raises:
        PartitionError: when some of that trained or calibrated a signal.
    """
    for name, card in signal_cards(pool).items():
        if trained := _overlap((source for below in card.every() for source in below.sources), data_set, part):
            raise PartitionError(
                f"signal {name!r} was trained on {trained} of {data_set!r}: results on {_interval(part)} must not be "
                "reported for what this pool trains. Leave the signal out, or evaluate on what it never saw"
            )


def check_independent(judge: SignalCard, pool: Pool) -> None:
    """Check that a judge shares no source and no features with any signal of a pool.

    Raises:
        PartitionError: naming the signal, and what both have.
    """
    sources = {source.title for source in judge.sources}
    for name, card in signal_cards(pool).items():
        for part in card.every():
            both = sorted(sources & {source.title for source in part.sources})
            if both:
                raise PartitionError(f"the judge and signal {name!r} were both trained on {', '.join(both)}")
            if judge.features is not None and part.features == judge.features:
                raise PartitionError(f"the judge and signal {name!r} both read {judge.features}; take another method")


def check_held_out(sources: Iterable[TrainSource], data_set: str, part: tuple[float, float] | None = None) -> None:
    """Check that what a model is probed with while it is trained holds nothing of a data set that it is judged on.

    Args:
        sources: of the probes.
        data_set: its name, as sources would name it.
        part: of the partition that is judged on, [low, high); None is all of it.

    Raises:
        PartitionError: when some of it is among the sources.
    """
    if read := _overlap(sources, data_set, part):
        raise PartitionError(f"probes read {read} of {data_set!r}, of which {_interval(part)} is for tests")


def check_sources(judge: SignalCard, sources: Iterable[TrainSource]) -> None:
    """Check that a judge shares no source with what scores a model while it is trained.

    Raises:
        PartitionError: naming the sources.
    """
    both = sorted({source.title for source in judge.sources} & {source.title for source in sources})
    if both:
        raise PartitionError(f"the judge and the probes' scorer were both trained on {', '.join(both)}")


def pool_keys(pool: Pool) -> Keys:
    """The key of each row's document, uint64 (n,).

    Raises:
        PartitionError: for a pool without texts.
    """
    if pool.data is not None and "document" in pool.data.column_names:
        return np.asarray(pool.data["document"].to_numpy(), np.uint64)
    if pool.data is None or "text" not in pool.data.column_names:
        raise PartitionError(f"only texts can be told apart by document, actual pool: {pool!r}")
    return document_keys(pool.data["text"].to_pylist())


def _overlap(
    sources: Iterable[SourceCard | TrainSource], data_set: str, part: tuple[float, float] | None
) -> str | None:
    """The first interval that a source has of a data set and that meets another; None when there is none."""
    low, high = part or (0.0, 1.0)
    for source in sources:
        start, end = source.part or (0.0, 1.0)
        if source.title == data_set and start < high and low < end:
            return _interval(source.part)
    return None


def _interval(part: tuple[float, float] | None) -> str:
    low, high = part or (0.0, 1.0)
    return f"[{low:g}, {high:g})"


def _keys(side: Pool | TrainSource | NDArray[np.uint64] | Iterable[str]) -> Keys:
    if isinstance(side, Pool):
        return pool_keys(side)
    if isinstance(side, TrainSource):
        return training_keys(side)
    if isinstance(side, np.ndarray):
        return side
    return document_keys(side)

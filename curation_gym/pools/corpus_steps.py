"""What happens to the documents of a corpus, step by step; each step counts what it drops."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, islice

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from curation_gym.pools.chunking import chunks
from curation_gym.pools.cleaning import RULES, Rule, cleaned
from curation_gym.pools.common import split_by_hash
from curation_gym.pools.corpus_sources import CorpusSource, Document, read_documents
from curation_gym.pools.deduplication import NearDuplicates, near_duplicates
from curation_gym.pools.documents import document_keys, rehashed
from curation_gym.pools.sources import SHARES


class Counts:
    """How many documents each step dropped, by domain, and how many lines each rule."""

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self.dropped: dict[str, Counter[str]] = defaultdict(Counter)
        self.lines: dict[str, Counter[str]] = {rule: Counter() for rule in RULES}


def read(source: CorpusSource, counts: Counts) -> Iterator[Document]:
    """Documents that aren't empty and stand in the source's part of the partition."""
    for domain, dropped, document in read_documents(source):
        counts.read[domain] += 1
        if document is None:
            counts.dropped[str(dropped)][domain] += 1
        else:
            yield document


def clean(documents: Iterable[Document], rules: Sequence[Rule], counts: Counts) -> Iterator[Document]:
    """Cleaned documents of which something is left."""
    for document in documents:
        document.text, lines = cleaned(document.text, rules)
        for rule, n in lines.items():
            counts.lines[rule][document.domain] += n
        if document.text:
            yield document
        else:
            counts.dropped["boilerplate"][document.domain] += 1


def without_copies(documents: Iterable[Document], seen: set[int], counts: Counts) -> Iterator[Document]:
    """The first of each key. Copies have one split, for that is by the key too; what becomes a copy only by cleaning
    is left to :func:`without_cleaned_copies`."""
    for document in documents:
        if document.key in seen:
            counts.dropped["exact duplicate"][document.domain] += 1
        else:
            seen.add(document.key)
            yield document


def limited(source: CorpusSource, documents: Iterable[Document], counts: Counts) -> Iterator[Document]:
    """At most so many documents of a source: of a stream the first, else by hash, holding no more than these."""
    if source.limit is None:
        yield from documents
        return
    if source.streaming:
        yield from islice(documents, source.limit)
        return
    total: Counter[str] = Counter()

    def counted() -> Iterator[Document]:
        for document in documents:
            total[document.domain] += 1
            yield document

    for document in heapq.nsmallest(source.limit, counted(), key=lambda document: _order(document.key)):
        total[document.domain] -= 1
        yield document
    counts.dropped["over the limit"].update(total)


def by_precedence(documents: Iterable[Document]) -> list[Document]:
    """Test before validation before train, and by hash within, so that the order of files and rows doesn't matter."""
    every = list(documents)
    keys = np.array([document.key for document in every], np.uint64)
    return [every[row] for row in np.lexsort((keys, -splits_of(every).astype(np.int64)))]


def without_cleaned_copies(documents: Sequence[Document], counts: Counts) -> list[Document]:
    """Documents whose cleaned text is no copy of an earlier one's: they differed by their boilerplate alone, so each
    has a key, and perhaps a split, of its own."""
    copies = np.ones(len(documents), np.bool_)
    copies[np.unique(document_keys(document.text for document in documents), return_index=True)[1]] = False
    return _without(documents, copies, "exact duplicate", counts)


def without_near_copies(documents: Sequence[Document], config: NearDuplicates, counts: Counts) -> list[Document]:
    """Documents that are no near-duplicates of an earlier one."""
    found = near_duplicates([document.text for document in documents], config)
    return _without(documents, found, "near-duplicate", counts)


def splits_of(documents: Sequence[Document]) -> NDArray[np.uint8]:
    """Split codes (n,), by hash."""
    return split_by_hash(rehashed(np.array([document.key for document in documents], np.uint64), "split"), SHARES)


def chunked(
    documents: Sequence[Document], tokenizer: Tokenizer, limit: int, least: int, counts: Counts
) -> tuple[list[str], list[int], list[int]]:
    """Chunks of at most ``limit`` tokens and at least ``least``.

    Returns:
        Their texts, their tokens, and the index of the document that each comes from.
    """
    texts: list[str] = []
    lengths: list[int] = []
    ids: list[int] = []
    pieces = chunks((document.text for document in documents), tokenizer, limit)
    for index, (document, some) in enumerate(zip(documents, pieces, strict=True)):
        kept = [(text, n) for text, n in some if n >= least]
        if not kept:
            counts.dropped["too short"][document.domain] += 1
        for text, n in kept:
            texts.append(text)
            lengths.append(n)
            ids.append(index)
    return texts, lengths, ids


def _without(documents: Sequence[Document], copies: NDArray[np.bool_], step: str, counts: Counts) -> list[Document]:
    for document in compress(documents, copies):
        counts.dropped[step][document.domain] += 1
    return list(compress(documents, ~copies))


def _order(key: int) -> int:
    return int(rehashed(np.array([key], np.uint64), "limit")[0])

"""Corpora to fine-tune a language model on: documents cleaned, cut into chunks, and without copies."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.config import Config, Many
from curation_gym.console import progress
from curation_gym.pools.cards import CorpusCard, attached
from curation_gym.pools.chunking import PretrainedTokenizer, TokenizerConfig, TrainedTokenizer, make_tokenizer
from curation_gym.pools.cleaning import RULES, Rule
from curation_gym.pools.common import code_versions, coverage_columns
from curation_gym.pools.corpus_sources import CLASSES, CLEAN, UNKNOWN, CorpusSource, Document
from curation_gym.pools.corpus_steps import (
    Counts,
    by_precedence,
    chunked,
    clean,
    limited,
    read,
    splits_of,
    without_cleaned_copies,
    without_copies,
    without_near_copies,
)
from curation_gym.pools.deduplication import NearDuplicates
from curation_gym.pools.documents import DocumentSet, document_keys
from curation_gym.pools.pool import SPLITS, Pool, PoolError, Provenance
from curation_gym.pools.registry import encoder_cache, encoder_version, model_version, reference_version
from curation_gym.pools.scoring import Samples, Truth, score, signal_versions
from curation_gym.pools.signal_kinds import ColumnSignal, CrossFittedSignal, SignalConfig, every_signal
from curation_gym.signals.encoders import (
    MODALITY,
    EncoderConfig,
    SentenceTransformerConfig,
    TfidfSvdConfig,
)
from curation_gym.signals.shared_encoders import SharedEncoders

TOKENIZER = "tokenizer.json"
"""The attachment that holds the tokenizer, as ``tokenizers.Tokenizer.from_str`` reads it."""


class CorpusConfig(Config):
    """A pool of chunks of text.

    Attributes:
        sources: the data sets.
        rules: by which lines are dropped as boilerplate, see :mod:`curation_gym.pools.cleaning`.
        near_duplicates: when documents count as near-duplicates; null: only exact ones are dropped.
        tokenizer: which; by default byte-level BPE trained on the train split.
        chunk_tokens: tokens of a chunk at most.
        min_tokens: tokens of a chunk at least; of a single one there is nothing to predict.
        encoder: of texts; by default hashed TF-IDF + SVD.
        signals: name → how to compute it, see :mod:`curation_gym.pools.signal_kinds`; none of the kinds ``column`` and
            ``cross_fitted``, which would be made of the pool's own labels.
        n_clusters: of k-means on the embeddings, for CoverageSelection; needs the signal ``utility``.
    """

    builder: Literal["corpus"] = "corpus"
    sources: Many[CorpusSource] = Field(min_length=1)
    rules: Many[Rule] = RULES
    near_duplicates: NearDuplicates | None = Field(default_factory=lambda: NearDuplicates.model_validate({}))
    tokenizer: TokenizerConfig = Field(default_factory=lambda: TrainedTokenizer.model_validate({}))
    chunk_tokens: int = Field(64, ge=2)
    min_tokens: int = Field(2, ge=1)
    encoder: EncoderConfig = TfidfSvdConfig()
    signals: dict[str, SignalConfig] = Field(default_factory=dict)
    n_clusters: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> "CorpusConfig":
        if len({source.domain_name for source in self.sources}) < len(self.sources):
            raise ValueError("every source needs a domain of its own; set domain where two have one name")
        if MODALITY[self.encoder.kind] != "text":
            raise ValueError(f"encoder must read text, actual kind: {self.encoder.kind!r}")
        if self.min_tokens > self.chunk_tokens:
            raise ValueError(
                f"min_tokens must be at most chunk_tokens = {self.chunk_tokens}, actual: {self.min_tokens}"
            )
        for signal in every_signal(self.signals.values()):
            if isinstance(signal, ColumnSignal | CrossFittedSignal):
                raise ValueError(f"a corpus has no signals of kind {signal.kind!r}")
        if self.n_clusters is not None and "utility" not in self.signals:
            raise ValueError("n_clusters needs the signal 'utility', from which hidden quality is taken")
        return self


def depends_on(config: CorpusConfig) -> dict[str, str]:
    """What the content depends on: versions, digests of local files, ids and revisions on the hub."""
    versions = code_versions("numpy", "scikit-learn", "datasets", "ftfy", "datasketch", "tokenizers")
    for source in config.sources:
        versions |= reference_version(source)
    if isinstance(config.tokenizer, PretrainedTokenizer):
        versions |= model_version(config.tokenizer.model)
    if isinstance(config.encoder, SentenceTransformerConfig):
        versions |= encoder_version(config.encoder)
    return versions | signal_versions(config.signals.values())


def build(config: CorpusConfig) -> Pool:
    """Make the pool.

    In this order, each step a function of
    :mod:`curation_gym.pools.corpus_steps`: documents are read (what is empty or stands in another part of
    the partition is left out); cleaned; dropped when they are copies but for case, marks and white space, across
    sources too; limited; dropped when they are such copies as they were cleaned, or near-duplicates, of which that in
    test is kept before one in validation or train; cut into chunks; dropped when they are too short to learn from.
    Splits are by hash of the document (70 % train, 10 % validation, 20 % test), so all its chunks are on one side.

    A row of the pool is a chunk. Raw data: ``text``, and ``document``, the 64-bit key of the document that it comes
    from. ``length`` in tokens. Hidden: ``label`` when a source has one (0 clean, 1 toxic, −1 not known), ``severity``
    beside it (in [0, 1], −1 where it isn't known), and with
    ``n_clusters`` what CoverageSelection reads, see :func:`curation_gym.pools.common.coverage_columns`. Attachments:
    the tokenizer, and the cards of the corpus and its signals, which say what every step dropped. Documents of the pool
    are left out wherever a signal is trained.

    Only what is kept is held in memory, besides the keys of what was read.

    Raises:
        PoolError: naming the data set, split and row, see
            :func:`curation_gym.pools.corpus_sources.read_documents`; when a split is left without documents.
        EncoderError: see :func:`curation_gym.signals.encoders.make_encoder`.
        ClassifierError, ScoreError: when a signal can't be made.
    """
    counts = Counts()
    seen: set[int] = set()
    steps = (
        limited(source, without_copies(clean(read(source, counts), config.rules, counts), seen, counts), counts)
        for source in progress(config.sources, "reading data")
    )
    documents = without_cleaned_copies(by_precedence(chain.from_iterable(steps)), counts)
    if config.near_duplicates is not None:
        documents = without_near_copies(documents, config.near_duplicates, counts)
    split = splits_of(documents)
    for code, name in enumerate(SPLITS):
        if not (split == code).any():
            raise PoolError(f"no document falls into split {name!r}: {len(documents)} are too few; give more data")
    train = (document.text for document, part in zip(documents, split, strict=True) if part == 0)
    tokenizer = make_tokenizer(config.tokenizer, train)
    texts, lengths, document_ids = chunked(documents, tokenizer, config.chunk_tokens, config.min_tokens, counts)
    return _pool(config, documents, split, tokenizer.to_str(), texts, lengths, document_ids, counts)


# -------------------------------------------------------------------- the pool
def _pool(
    config: CorpusConfig,
    documents: Sequence[Document],
    document_split: NDArray[np.uint8],
    tokenizer: str,
    texts: list[str],
    lengths: list[int],
    ids: list[int],
    counts: Counts,
) -> Pool:
    keys = np.array([document.key for document in documents], np.uint64)
    split = document_split[ids]
    train = split == SPLITS.index("train")
    encoders = SharedEncoders(encoder_cache)
    encoder = encoders(config.encoder, [text for text, used in zip(texts, train, strict=True) if used])
    embeddings = encoder(texts)
    names, domain = np.unique([documents[index].domain for index in ids], return_inverse=True)
    label = np.array([documents[index].label for index in ids], np.int32)
    labelled = any(source.labelled for source in config.sources)
    known = np.flatnonzero((label != UNKNOWN) & (split != SPLITS.index("test")))
    truth = Truth(known, label[known] == CLEAN, domain[known], tuple(map(str, names)))
    # As it was read and as it was cleaned: what a signal is trained on may be either.
    excluded = DocumentSet(np.append(keys, document_keys(document.text for document in documents)))
    samples = Samples(texts, train, domain, excluded=excluded, truth=truth if labelled else None, encoders=encoders)
    scored = {name: score(name, signal, samples) for name, signal in progress(list(config.signals.items()), "scoring")}
    signals = {name: values for name, (values, _) in scored.items()}
    severity = np.array([documents[index].severity for index in ids], np.float32)
    hidden: dict[str, NDArray[Any]] = {"label": label, "severity": severity} if labelled else {}
    if config.n_clusters is not None:
        hidden |= coverage_columns(embeddings, signals["utility"], config.n_clusters)
    card = _card(config, counts, [documents[index].domain for index in ids], split, label, len(documents))
    return Pool(
        embeddings,
        signals,
        domain=domain,
        domain_names=tuple(map(str, names)),
        hidden=hidden,
        split=split,
        length=np.array(lengths, np.float32),
        data=pa.table({"text": pa.array(texts, pa.string()), "document": pa.array(keys[ids], pa.uint64())}),
        class_names=CLASSES if labelled else (),
        provenance=Provenance(
            "+".join(source.domain_name for source in config.sources),
            encoder.name,
            config.model_dump(mode="json"),
            depends_on(config),
        ),
        attachments={TOKENIZER: tokenizer} | attached({name: told for name, (_, told) in scored.items()}, card),
    )


def _card(
    config: CorpusConfig,
    counts: Counts,
    domains: Sequence[str],
    split: NDArray[np.uint8],
    label: NDArray[np.int32],
    n: int,
) -> CorpusCard:
    kept = counts.read.copy()
    for dropped in counts.dropped.values():
        kept.subtract(dropped)
    steps = {"read": counts.read, **counts.dropped, "kept": kept, "chunks": Counter(domains)}
    of = np.array(domains)
    by = {name: Counter(of[split == code].tolist()) for code, name in enumerate(SPLITS)}
    return CorpusCard(
        steps={step: dict(number) for step, number in steps.items()},
        lines={rule: dict(number) for rule, number in counts.lines.items() if number},
        splits={name: dict(number) for name, number in by.items()},
        toxic=dict(Counter(of[label == CLASSES.index("toxic")].tolist())),
        clean=dict(Counter(of[label == CLEAN].tolist())),
        tokenizer=_called(config.tokenizer),
    )


def _called(tokenizer: TokenizerConfig) -> str:
    if isinstance(tokenizer, PretrainedTokenizer):
        return tokenizer.model
    return f"byte-level BPE with {tokenizer.vocabulary:,} tokens, trained on the train split"

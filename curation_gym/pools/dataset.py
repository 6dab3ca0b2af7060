"""Pools from any text, tabular or image data set: one source or several, local or from the hub."""

from collections.abc import Sequence
from itertools import compress
from typing import Any, Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from curation_gym.config import Config, Many
from curation_gym.console import progress
from curation_gym.pools.cards import attached
from curation_gym.pools.common import IMAGE_SCHEMA, code_versions, coverage_columns
from curation_gym.pools.pool import SPLITS, Pool, PoolError, Provenance
from curation_gym.pools.registry import encoder_version, reference_version
from curation_gym.pools.scoring import Samples, score, signal_versions
from curation_gym.pools.signal_kinds import ColumnSignal, SignalConfig, every_signal
from curation_gym.pools.sources import Rows, SourceConfig, concatenated, first_copies, read_images, read_source
from curation_gym.signals.encoders import (
    MODALITY,
    Encoder,
    EncoderConfig,
    Modality,
    SentenceTransformerConfig,
    default_encoder,
    make_encoder,
)

_COMPARED = 32
_TOLERANCE = 1e-3  # other batches and threads change the last digits of what a network gives


class DatasetConfig(Config):
    """A pool of one or more data sets.

    Attributes:
        sources: the data sets. The keys of a single one may stand at the top level instead. They may hold
            different kinds of sample: texts, images, rows of numbers.
        encoder: one, or a list with at most one for each kind of sample, see
            :mod:`curation_gym.signals.encoders`; by default hashed TF-IDF + SVD, pixels, or standardised
            features.
        signals: name → how to compute it, see :mod:`curation_gym.pools.signal_kinds`.
        n_clusters: of k-means on the embeddings, for CoverageSelection; needs the signal ``utility``.
    """

    builder: Literal["dataset"] = "dataset"
    sources: Many[SourceConfig]
    encoder: Many[EncoderConfig] = ()
    signals: dict[str, SignalConfig] = Field(default_factory=dict)
    n_clusters: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _single_source(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "sources" in values:
            return values
        of_source = {key: value for key, value in values.items() if key in SourceConfig.model_fields}
        rest = {key: value for key, value in values.items() if key not in of_source}
        unknown = sorted(set(rest) - set(cls.model_fields))
        if unknown:
            allowed = [*(key for key in cls.model_fields if key != "sources"), *SourceConfig.model_fields]
            raise ValueError(f"unknown key {unknown[0]!r}; allowed keys: {', '.join(allowed)}, or sources")
        return rest | {"sources": [of_source]}

    @field_validator("encoder", mode="before")
    @classmethod
    def _single_encoder(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else () if value is None else (value,)

    @model_validator(mode="after")
    def _consistent(self) -> "DatasetConfig":
        if not self.sources:
            raise ValueError("sources must name at least one data set")
        modalities = {source.modality for source in self.sources}
        for encoder in self.encoder:
            if MODALITY[encoder.kind] not in modalities:
                held = " or ".join(sorted(modalities))
                raise ValueError(f"encoder {encoder.kind!r} reads {MODALITY[encoder.kind]}, not {held}")
        if len({MODALITY[encoder.kind] for encoder in self.encoder}) < len(self.encoder):
            raise ValueError("at most one encoder can read each kind of sample")
        if len({source.label is None for source in self.sources}) > 1:
            raise ValueError("either every source names a label or none")
        if len({source.title for source in self.sources}) < len(self.sources):
            raise ValueError("every source needs a name of its own")
        if self.n_clusters is not None and "utility" not in self.signals:
            raise ValueError("n_clusters needs the signal 'utility', from which hidden quality is taken")
        return self

    def encoders(self) -> dict[Modality, EncoderConfig]:
        """The encoder of each kind of sample that the sources hold."""
        held = {source.modality for source in self.sources}
        given = {MODALITY[encoder.kind]: encoder for encoder in self.encoder}
        kinds: tuple[Modality, ...] = get_args(Modality)
        return {kind: given.get(kind) or default_encoder(kind) for kind in kinds if kind in held}


def depends_on(config: DatasetConfig) -> dict[str, str]:
    """What the content depends on: versions, digests of local files, ids and revisions on the hub."""
    versions = code_versions("numpy", "scikit-learn", "datasets")
    for source in config.sources:
        versions |= reference_version(source)
    for encoder in config.encoder:
        if isinstance(encoder, SentenceTransformerConfig):
            versions |= encoder_version(encoder)
    return versions | signal_versions(config.signals.values())


def build(config: DatasetConfig) -> Pool:
    """Make the pool.

    Texts and images are de-duplicated exactly, across splits and sources: a copy in test is kept before one
    in validation or train, so no sample is on two sides. Rows of tables may repeat; equal rows that are
    spread by hash fall into one split. Where a split is missing it is cut from train by hash (10 %
    validation, 20 % test).

    Of several kinds of sample, each is encoded into columns of its own, which are 0 in rows of another kind
    and divided by the mean norm of the kind's train rows, so that none outweighs the others.

    Hidden: ``label`` (class names sorted; −1: out of scope) when sources name one, and with ``n_clusters``
    also ``cluster``, ``cluster_weight`` (share of the pool), ``quality`` (= the signal ``utility``: real data
    has no other truth) and ``group``. ``length`` in characters where all samples are texts. Raw data:
    ``text``, ``image`` and the features' columns, null where a sample is of another kind.

    Raises:
        PoolError: naming the data set, column and row: a column that doesn't exist, an empty text, a missing
            label or number, too few rows, a split without rows, an unknown data set.
        EncoderError: see :func:`curation_gym.signals.encoders.make_encoder`.
        ClassifierError: when a classifier signal can't be trained.
    """
    wanted = [signal.column for signal in every_signal(config.signals.values()) if isinstance(signal, ColumnSignal)]
    several = len(config.sources) > 1
    parts = [read_source(source, wanted, several) for source in progress(config.sources, "reading data")]
    rows = concatenated(parts)
    if several:
        rows = rows.take(first_copies(rows))
    for code, name in enumerate(SPLITS):
        if not (rows.split == code).any():
            raise PoolError(f"no row falls into split {name!r}: {len(rows.samples)} rows are too few; give more data")
    embeddings, encoder = _encoded(config, rows)
    texts = rows.samples if set(rows.modality) == {"text"} else None
    domain_names, domain = np.unique(rows.domains, return_inverse=True)
    samples = Samples(
        texts,
        train=rows.split == SPLITS.index("train"),
        domain=domain,
        columns={name: np.array(values, np.float64) for name, values in rows.columns.items()},
        labels=rows.labels or None,
        excluded=frozenset(texts or ()),
    )
    scored = {name: score(name, signal, samples) for name, signal in progress(list(config.signals.items()), "scoring")}
    signals = {name: values for name, (values, _) in scored.items()}
    hidden: dict[str, NDArray[Any]] = {}
    class_names = sorted({label for label in rows.labels if label is not None})
    if rows.labels:
        codes = {name: code for code, name in enumerate(class_names)}
        hidden["label"] = np.array([-1 if label is None else codes[label] for label in rows.labels], np.int32)
    if config.n_clusters is not None:
        hidden |= coverage_columns(embeddings, signals["utility"], config.n_clusters)
    return Pool(
        embeddings,
        signals,
        domain=domain,
        domain_names=tuple(map(str, domain_names)),
        hidden=hidden,
        split=rows.split,
        length=None if texts is None else np.array([len(text) for text in texts], np.float32),
        data=raw_table(rows, next((source.features for source in config.sources if source.features), ())),
        class_names=tuple(class_names),
        provenance=Provenance(
            "+".join(source.title for source in config.sources),
            encoder,
            config.model_dump(mode="json"),
            depends_on(config),
        ),
        attachments=attached({name: card for name, (_, card) in scored.items()}),
    )


def _encoded(config: DatasetConfig, rows: Rows) -> tuple[NDArray[np.float32], str]:
    """Embeddings, and what made them."""
    blocks, names = [], []
    encoders = config.encoders()
    for kind, options in encoders.items():
        ids = np.flatnonzero(np.array(rows.modality) == kind)
        samples, train = [rows.samples[i] for i in ids], rows.split[ids] == SPLITS.index("train")
        encoder = make_encoder(options, list(compress(samples, train)))
        block = encoder(samples)
        if len(encoders) > 1:
            block = block / np.linalg.norm(block[train], axis=1).mean()
        blocks.append((ids, block))
        names.append(encoder.name)
    embeddings = np.zeros((len(rows.samples), sum(block.shape[1] for _, block in blocks)), np.float32)
    start = 0
    for ids, block in blocks:
        embeddings[ids, start : start + block.shape[1]] = block
        start += block.shape[1]
    return embeddings, "+".join(names)


def raw_table(rows: Rows, features: Sequence[str]) -> pa.Table:
    """What a pool keeps of its samples.

    Args:
        rows: of any kinds.
        features: names of the columns of numbers, if there are any.

    Returns:
        Columns ``text``, ``image`` and ``features``, those that a row has; null where it is of another kind.
    """
    columns = {}
    for kind in sorted(set(rows.modality)):
        raw = [value if of == kind else None for value, of in zip(rows.raw, rows.modality, strict=True)]
        if kind == "text":
            columns["text"] = pa.array(raw, pa.string())
        elif kind == "image":
            columns["image"] = pa.array(raw, IMAGE_SCHEMA.field("image").type)
        else:
            for i, name in enumerate(features):
                columns[name] = pa.array([None if row is None else row[i] for row in raw], pa.float64())
    return pa.table(columns)


def encoder_of(pool: Pool) -> tuple[Modality, Encoder]:
    """What made a pool's embeddings, so that more samples can be encoded alike; and what it reads.

    It is fitted again on the pool's train split, and held against embeddings that the pool has.

    Raises:
        PoolError: for a pool of another builder or of several kinds of sample, or when the encoder as it is
            installed gives other embeddings.
        EncoderError: see :func:`curation_gym.signals.encoders.make_encoder`.
    """
    if pool.provenance.config.get("builder") != "dataset" or pool.data is None:
        raise PoolError(f"only a pool of the builder 'dataset' tells how to encode more samples, actual pool: {pool!r}")
    encoders = DatasetConfig.model_validate(pool.provenance.config).encoders()
    if len(encoders) > 1:
        raise PoolError(f"only a pool of one kind of sample can take more, actual kinds: {', '.join(encoders)}")
    [(kind, options)] = encoders.items()
    train = pool.ids("train")
    data = pool.data.take(train)
    if kind == "text":
        samples = data["text"].to_pylist()
    elif kind == "image":
        _, samples = read_images(data["image"].to_pylist(), "pool")
    else:
        samples = [list(row.values()) for row in data.to_pylist()]
    encoder = make_encoder(options, samples)
    if not np.allclose(encoder(samples[:_COMPARED]), pool.embeddings[train[:_COMPARED]], atol=_TOLERANCE):
        raise PoolError(f"{encoder.name} now gives other embeddings than those of {pool!r}; build that pool again")
    return kind, encoder

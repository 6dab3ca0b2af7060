"""Pools from any text, tabular or image data set: one source or several, local or from the hub."""

from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.config import Config, Many
from curation_gym.pools.common import IMAGE_SCHEMA, code_versions, coverage_columns, progress
from curation_gym.pools.pool import SPLITS, Pool, PoolError, Provenance
from curation_gym.pools.registry import encoder_version, reference_version
from curation_gym.pools.scoring import ClassifierSignal, ColumnSignal, SignalConfig, score
from curation_gym.pools.sources import SourceConfig, concatenated, first_copies, read_source
from curation_gym.signals.encoders import (
    MODALITY,
    EncoderConfig,
    SentenceTransformerConfig,
    default_encoder,
    make_encoder,
)


class DatasetConfig(Config):
    """A pool of one or more data sets.

    Attributes:
        sources: the data sets. The keys of a single one may stand at the top level instead.
        encoder: see :mod:`curation_gym.signals.encoders`; by default hashed TF-IDF + SVD, pixels, or
            standardised features.
        signals: name → how to compute it, see :mod:`curation_gym.pools.scoring`.
        n_clusters: of k-means on the embeddings, for CoverageSelection; needs the signal ``utility``.
    """

    builder: Literal["dataset"] = "dataset"
    sources: Many[SourceConfig]
    encoder: EncoderConfig | None = None
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

    @model_validator(mode="after")
    def _consistent(self) -> "DatasetConfig":
        if not self.sources:
            raise ValueError("sources must name at least one data set")
        modalities = {source.modality for source in self.sources}
        if len(modalities) > 1:
            raise ValueError(f"all sources must hold the same kind of sample, actual kinds: {sorted(modalities)}")
        if self.encoder is not None and MODALITY[self.encoder.kind] not in modalities:
            raise ValueError(
                f"encoder {self.encoder.kind!r} reads {MODALITY[self.encoder.kind]}, not {modalities.pop()}"
            )
        if len({source.label is None for source in self.sources}) > 1:
            raise ValueError("either every source names a label or none")
        if len({source.title for source in self.sources}) < len(self.sources):
            raise ValueError("every source needs a name of its own")
        if self.n_clusters is not None and "utility" not in self.signals:
            raise ValueError("n_clusters needs the signal 'utility', from which hidden quality is taken")
        return self


def depends_on(config: DatasetConfig) -> dict[str, str]:
    """What the content depends on: versions, digests of local files, ids and revisions on the hub."""
    versions = code_versions("numpy", "scikit-learn", "datasets")
    classifiers = [signal for signal in config.signals.values() if isinstance(signal, ClassifierSignal)]
    for reference in (*config.sources, *(source for signal in classifiers for source in signal.train)):
        versions |= reference_version(reference)
    for encoder in (config.encoder, *(signal.encoder for signal in classifiers)):
        if isinstance(encoder, SentenceTransformerConfig):
            versions |= encoder_version(encoder)
    return versions


def build(config: DatasetConfig) -> Pool:
    """Make the pool.

    Texts and images are de-duplicated exactly, across splits and sources: a copy in test is kept before one
    in validation or train, so no sample is on two sides. Rows of tables may repeat; equal rows that are
    spread by hash fall into one split. Where a split is missing it is cut from train by hash (10 %
    validation, 20 % test).

    Hidden: ``label`` (class names sorted) when sources name one, and with ``n_clusters`` also ``cluster``,
    ``cluster_weight`` (share of the pool), ``quality`` (= the signal ``utility``: real data has no other
    truth) and ``group``. ``length`` of texts in characters. Raw data: ``text``, ``image`` or the features'
    columns.

    Raises:
        PoolError: naming the data set, column and row: a column that doesn't exist, an empty text, a missing
            label or number, too few rows, a split without rows, an unknown data set.
        EncoderError: see :func:`curation_gym.signals.encoders.make_encoder`.
        ClassifierError: when a classifier signal can't be trained.
    """
    wanted = [signal.column for signal in config.signals.values() if isinstance(signal, ColumnSignal)]
    several = len(config.sources) > 1
    parts = [read_source(source, wanted, several) for source in progress(config.sources, "reading data")]
    rows = concatenated(parts)
    if several and config.sources[0].modality != "features":
        rows = rows.take(first_copies(rows))
    for code, name in enumerate(SPLITS):
        if not (rows.split == code).any():
            raise PoolError(f"no row falls into split {name!r}: {len(rows.samples)} rows are too few; give more data")
    train = [rows.samples[i] for i in np.flatnonzero(rows.split == SPLITS.index("train"))]
    encoder = make_encoder(config.encoder or default_encoder(config.sources[0].modality), train)
    embeddings = encoder(rows.samples)
    texts = rows.samples if config.sources[0].modality == "text" else None
    columns = {name: np.array(values, np.float64) for name, values in rows.columns.items()}
    signals = {
        name: score(name, signal, texts=texts, columns=columns, labels=rows.labels or None)
        for name, signal in progress(list(config.signals.items()), "scoring")
    }
    domain_names, domain = np.unique(rows.domains, return_inverse=True)
    hidden: dict[str, NDArray[Any]] = {}
    class_names: NDArray[np.str_] = np.array([], np.str_)
    if rows.labels:
        class_names, label = np.unique(rows.labels, return_inverse=True)
        hidden["label"] = label.astype(np.int32)
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
        data=_table(config.sources[0], rows.raw),
        class_names=tuple(map(str, class_names)),
        provenance=Provenance(
            "+".join(source.title for source in config.sources),
            encoder.name,
            config.model_dump(mode="json"),
            depends_on(config),
        ),
    )


def _table(source: SourceConfig, raw: list[Any]) -> pa.Table:
    if source.image is not None:
        return pa.table({"image": raw}, schema=IMAGE_SCHEMA)
    if source.features is not None:
        return pa.table(dict(zip(source.features, zip(*raw, strict=True), strict=True)))
    return pa.table({"text": raw})

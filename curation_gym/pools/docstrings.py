"""The docstrings pool: technical prose and code that any installation carries; domain = package."""

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from curation_gym.config import Config, Many
from curation_gym.pools.common import code_versions, content_hash, coverage_columns, split_by_hash
from curation_gym.pools.packages import KINDS, PACKAGES, PER_PACKAGE, package_versions, read_packages
from curation_gym.pools.pool import SPLITS, Pool, PoolError, Provenance
from curation_gym.signals.classifiers import cross_fitted, ngrams
from curation_gym.signals.encoders import TfidfSvdConfig, make_encoder
from curation_gym.signals.text_quality import text_quality

SHARES = (0.6, 0.15, 0.25)
_N_FOLDS = 5
_MIN_DANGEROUS = 20  # so that every four folds hold the ten that a classifier needs


class DocstringsConfig(Config):
    """Chunks of 200–1,200 characters from installed packages' source files, which are read, never imported.

    Attributes:
        packages: modules, of :data:`PACKAGES`.
        per_package: most chunks of a package; a quarter for each kind.
        dimension: of the embeddings (hashed TF-IDF + SVD).
        n_clusters: of k-means on the embeddings.
    """

    builder: Literal["docstrings"] = "docstrings"
    packages: Many[str] = Field(default=tuple(PACKAGES), min_length=1)
    per_package: int = Field(default=PER_PACKAGE, ge=8)
    dimension: int = Field(default=64, ge=2)
    n_clusters: int = Field(default=40, ge=1)


def depends_on(config: DocstringsConfig) -> dict[str, str]:
    """Versions that the content depends on: the packages read, and what encodes them.

    Raises:
        PoolError: for a module that isn't one of :data:`PACKAGES`.
    """
    return code_versions("numpy", "scikit-learn") | package_versions(config.packages)


def build(config: DocstringsConfig) -> Pool:
    """Make the pool.

    Signals: ``utility``, text quality by rule; ``alignment``, P(explanation) against the other kinds;
    ``safety``, 1 − P(dangerous). Both probabilities are logistic regression on n-grams, cross-fitted in 5
    folds by hash, classes balanced, so no text was scored by a model that saw it.

    Hidden: ``label``, the kind, which ``alignment`` was trained on, so no task should use both;
    ``dangerous``, whether the chunk is code with a call of :data:`DANGEROUS`, by syntax tree; ``cluster``,
    ``cluster_weight`` (the cluster's share of the pool), ``quality`` (= ``utility``: real text has no other
    truth) and ``group``. Raw data: ``text`` and ``file``. Split: 60 % train, 15 % validation, 25 % test, by
    hash of the text. ``length`` in characters.

    Dangerous code is rare, so half of each package's quota of code is reserved for it where there is as much.

    Raises:
        PoolError: when a package isn't installed or carries fewer than 20 chunks, or fewer than 20 chunks call
            something dangerous.
    """
    chunks = read_packages(config.packages, config.per_package)
    dangerous = np.array([chunk.dangerous for chunk in chunks])
    if dangerous.sum() < _MIN_DANGEROUS:
        raise PoolError(
            f"only {dangerous.sum()} chunks call something dangerous, {_MIN_DANGEROUS} are needed to train the signal "
            "'safety'; choose more packages or a larger per_package"
        )
    texts = [chunk.text for chunk in chunks]
    encoded = [text.encode() for text in texts]
    split = split_by_hash(content_hash(encoded), SHARES)
    train = [text for text, part in zip(texts, split, strict=True) if part == SPLITS.index("train")]
    encoder = make_encoder(TfidfSvdConfig(dimension=config.dimension), train)
    embeddings = encoder(texts)
    kind = np.array([KINDS.index(chunk.kind) for chunk in chunks], np.int32)
    features = ngrams().fit_transform(texts)
    folds = split_by_hash(content_hash(encoded, "fold"), [1 / _N_FOLDS] * _N_FOLDS)
    signals = {
        "utility": text_quality(texts),
        "alignment": cross_fitted(features, kind == KINDS.index("explanation"), folds),
        "safety": 1 - cross_fitted(features, dangerous, folds),
    }
    return Pool(
        embeddings,
        signals,
        domain=np.array([config.packages.index(chunk.package) for chunk in chunks]),
        domain_names=config.packages,
        hidden={"label": kind, "dangerous": dangerous}
        | coverage_columns(embeddings, signals["utility"], config.n_clusters),
        split=split,
        length=np.array([len(text) for text in texts], np.float32),
        data=pa.table({"text": texts, "file": [chunk.file for chunk in chunks]}),
        class_names=KINDS,
        provenance=Provenance("docstrings", encoder.name, config.model_dump(mode="json"), depends_on(config)),
    )

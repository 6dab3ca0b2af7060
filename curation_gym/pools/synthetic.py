"""Procedural pools with known truth: clusters on a sphere, a hidden quality per sample, a noisy signal of
it."""

from typing import Literal

import numpy as np
from pydantic import Field

from curation_gym.config import Config
from curation_gym.pools.common import code_versions
from curation_gym.pools.pool import Pool, Provenance


class SyntheticConfig(Config):
    """Clustered pools behind the environments with known optima.

    Attributes:
        n_samples: samples of each group.
        n_clusters: clusters of each group, each with a hidden weight.
        n_groups: independent pools drawn with one seed and stored as one; an episode uses one group.
        dimension: of the embeddings, which have unit length.
        spread: norm of the within-cluster displacement relative to the centre's norm of 1. Two samples of a
            cluster have an expected cosine of about 1 / (1 + spread²).
        signal_noise: standard deviation of what is added to quality to make the ``utility`` signal, before it
            is clipped to [0, 1].
        weight_spread: standard deviation of the log of the clusters' weights.
        seed: of everything drawn.
    """

    builder: Literal["synthetic"] = "synthetic"
    n_samples: int = Field(default=2000, ge=1)
    n_clusters: int = Field(default=40, ge=1)
    n_groups: int = Field(default=1, ge=1)
    dimension: int = Field(default=32, ge=2)
    spread: float = Field(default=0.6, ge=0)
    signal_noise: float = Field(default=0.1, ge=0)
    weight_spread: float = Field(default=0.7, ge=0)
    seed: int = Field(default=0, ge=0)


def depends_on(config: SyntheticConfig) -> dict[str, str]:
    """Versions that the content depends on."""
    return code_versions("numpy")


def build(config: SyntheticConfig) -> Pool:
    """Draw the pool.

    Signals: ``utility`` = clip(quality + noise), ``safety`` and ``alignment`` independent Beta(4, 2). Hidden:
    ``group``, ``cluster`` (numbered across groups), ``cluster_weight`` (sums to 1 over a group's clusters)
    and ``quality`` ~ Beta(2, 3), the probability that a sample alone covers its cluster.
    """
    rng = np.random.default_rng(config.seed)
    n, k, g, d = config.n_samples, config.n_clusters, config.n_groups, config.dimension
    centres = rng.standard_normal((g, k, d), np.float32)
    centres /= np.linalg.norm(centres, axis=-1, keepdims=True)
    weights = np.exp(config.weight_spread * rng.standard_normal((g, k)))
    weights /= weights.sum(1, keepdims=True)
    local = rng.integers(k, size=(g, n))
    rows = np.arange(g)[:, None]
    embeddings = rng.standard_normal((g, n, d), np.float32)
    embeddings *= config.spread / np.sqrt(d)
    embeddings += centres[rows, local]
    embeddings /= np.linalg.norm(embeddings, axis=-1, keepdims=True)
    quality = rng.beta(2, 3, g * n)
    utility = np.clip(quality + config.signal_noise * rng.standard_normal(g * n), 0, 1)
    return Pool(
        embeddings.reshape(g * n, d),
        {"utility": utility, "safety": rng.beta(4, 2, g * n), "alignment": rng.beta(4, 2, g * n)},
        hidden={
            "group": np.repeat(np.arange(g, dtype=np.int32), n),
            "cluster": (rows * k + local).ravel().astype(np.int32),
            "cluster_weight": weights[rows, local].ravel(),
            "quality": quality,
        },
        provenance=Provenance("synthetic", "none", config.model_dump(mode="json"), depends_on(config)),
    )

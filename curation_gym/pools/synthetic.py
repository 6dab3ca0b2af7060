"""Procedural pools with known truth: clusters on a sphere, a hidden quality per sample, a noisy signal of
it."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.config import Config
from curation_gym.pools.common import code_versions
from curation_gym.pools.pool import Pool, Provenance

_CONCENTRATION = 6.0  # of the Beta distributions around a domain's mean: a standard deviation of 0.19 around 0.5


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
        n_domains: domains that the clusters are dealt out to in turn, differing in utility and in how safe they truly
            are; true safety is hidden then, and takes the place of the ``safety`` signal. None: one domain.
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
    n_domains: int | None = Field(default=None, ge=2)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _dealt_out(self) -> "SyntheticConfig":
        if self.n_domains is not None and self.n_domains > self.n_clusters:
            raise ValueError(f"n_domains must be <= n_clusters = {self.n_clusters}, actual value: {self.n_domains}")
        return self


def depends_on(config: SyntheticConfig) -> dict[str, str]:
    """Versions that the content depends on."""
    return code_versions("numpy")


def build(config: SyntheticConfig) -> Pool:
    """Draw the pool.

    Signals: ``utility`` = clip(quality + noise), ``safety`` and ``alignment`` independent Beta(4, 2). Hidden:
    ``group``, ``cluster`` (numbered across groups), ``cluster_weight`` (sums to 1 over a group's clusters)
    and ``quality`` ~ Beta(2, 3), the probability that a sample alone covers its cluster.

    With domains, quality ~ Beta(6 m, 6 (1 − m)) in a domain of mean m, and hidden ``truth`` likewise with a mean of
    its own. In every group each of the two takes the same ``n_domains`` means, evenly spaced from 0.25 to 0.75, in an
    order of its own: what a domain's name says of it holds in one group only.
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
    names = ("all",) if config.n_domains is None else tuple(f"d{i}" for i in range(config.n_domains))
    domain, several = local % len(names), len(names) > 1
    quality = _around_means(rng, domain, len(names)) if several else rng.beta(2, 3, g * n)
    utility = np.clip(quality + config.signal_noise * rng.standard_normal(g * n), 0, 1)
    safety = {"truth": _around_means(rng, domain, len(names))} if several else {"safety": rng.beta(4, 2, g * n)}
    signals = {"utility": utility, "alignment": rng.beta(4, 2, g * n)}
    return Pool(
        embeddings.reshape(g * n, d),
        signals if several else signals | safety,
        domain=domain.ravel(),
        domain_names=names,
        hidden={
            "group": np.repeat(np.arange(g, dtype=np.int32), n),
            "cluster": (rows * k + local).ravel().astype(np.int32),
            "cluster_weight": weights[rows, local].ravel(),
            "quality": quality,
        }
        | (safety if several else {}),
        provenance=Provenance("synthetic", "none", config.model_dump(mode="json"), depends_on(config)),
    )


def _around_means(rng: np.random.Generator, domain: NDArray[np.integer], n_domains: int) -> NDArray[np.float64]:
    """A number in [0, 1] per sample whose expectation is its domain's mean; ``domain`` is (groups, samples)."""
    means = rng.permuted(np.tile(np.linspace(0.25, 0.75, n_domains), (len(domain), 1)), axis=1)
    mean = np.take_along_axis(means, domain, axis=1).ravel()
    return rng.beta(_CONCENTRATION * mean, _CONCENTRATION * (1 - mean))

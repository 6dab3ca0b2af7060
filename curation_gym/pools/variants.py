"""Variants: a pool made harder, as annotators meet it: long tails, near-copies, junk, arrival over time."""

from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_serializer, field_validator

from curation_gym.config import Config, Many
from curation_gym.pools.changes import (
    Drift,
    Junk,
    LongTail,
    NearCopies,
    NewDomain,
    OutOfScope,
    WithoutDomains,
    drift,
    junk,
    long_tail,
    near_copies,
    new_domain,
    out_of_scope,
    rows_of,
    without_domains,
)
from curation_gym.pools.common import code_versions
from curation_gym.pools.dataset import encoder_of
from curation_gym.pools.pool import Pool, Provenance
from curation_gym.pools.registry import reference_version

if TYPE_CHECKING:
    from curation_gym.pools.build import PoolSource

ChangeConfig = Annotated[
    LongTail | NearCopies | OutOfScope | Junk | Drift | NewDomain | WithoutDomains, Field(discriminator="kind")
]


class VariantConfig(Config):
    """A pool made of another.

    Attributes:
        pool: a builder's options, a path or a Pool.
        changes: applied in this order.
        seed: of everything drawn.
    """

    builder: Literal["variant"] = "variant"
    pool: "PoolSource"
    changes: Many[ChangeConfig]
    seed: int = Field(0, ge=0)

    @field_validator("changes")
    @classmethod
    def _some(cls, changes: tuple[ChangeConfig, ...]) -> tuple[ChangeConfig, ...]:
        if not changes:
            raise ValueError("a variant needs at least one change")
        return changes

    @field_serializer("pool", when_used="json")
    def _in_json(self, pool: Any) -> Any:
        return pool.fingerprint if isinstance(pool, Pool) else pool


def depends_on(config: VariantConfig, pool: Pool) -> dict[str, str]:
    """What the content depends on: versions, the pool that is changed, sources of junk."""
    versions = code_versions("numpy", "scikit-learn", "datasets") | {"pool": pool.fingerprint}
    for change in config.changes:
        if isinstance(change, Junk):
            versions |= reference_version(change.source)
    return versions


def build(config: VariantConfig, pool: Pool) -> Pool:
    """Apply the changes to ``pool``, which ``config.pool`` names.

    Only the train split changes, but that classes out of scope and domains left out are so everywhere. The provenance
    keeps that of ``pool``.

    Raises:
        PoolError: when the pool lacks what a change needs; the message names it.
        EncoderError: when more samples can't be encoded.
    """
    given = pool
    encoding = cache(lambda: encoder_of(given))
    generators = map(np.random.default_rng, np.random.SeedSequence(config.seed).spawn(len(config.changes)))
    for change, rng in zip(config.changes, generators, strict=True):
        match change:
            case LongTail():
                pool = long_tail(pool, change, rng)
            case NearCopies():
                pool = near_copies(pool, change, rng, encoding)
            case OutOfScope():
                pool = out_of_scope(pool, change)
            case Junk():
                pool = junk(pool, change, rng, encoding)
            case Drift():
                pool = drift(pool, change, rng)
            case NewDomain():
                pool = new_domain(pool, change)
            case WithoutDomains():
                pool = without_domains(pool, change)
    provenance = Provenance(
        "/".join((given.provenance.source, *(change.kind for change in config.changes))),
        given.provenance.encoder,
        config.model_dump(mode="json") | {"pool": dict(given.provenance.config)},
        {**given.provenance.versions, **depends_on(config, given)},
    )
    return rows_of(pool, np.arange(len(pool)), provenance=provenance)

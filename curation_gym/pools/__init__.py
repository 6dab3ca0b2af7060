"""Where candidates come from: the pool, its builders, and the cache that keeps what was built."""

from curation_gym.pools.build import PoolSource, build_pool
from curation_gym.pools.common import cache_directory
from curation_gym.pools.pool import SPLITS, Pool, PoolError, Provenance

__all__ = ["SPLITS", "Pool", "PoolError", "PoolSource", "Provenance", "build_pool", "cache_directory"]

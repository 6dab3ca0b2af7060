"""One entrance for every pool: a configuration, a path or a pool; built once, then cached by fingerprint."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curation_gym.config import Config, ConfigError, validated
from curation_gym.pools import synthetic
from curation_gym.pools.pool import Pool

PoolSource = Pool | str | Path | dict[str, Any]

# builder name → (configuration, function)
BUILDERS: dict[str, tuple[type[Config], Callable[..., Pool]]] = {
    "synthetic": (synthetic.SyntheticConfig, synthetic.build),
}


def cache_directory() -> Path:
    """``$CURATION_GYM_CACHE``, or ``~/.cache/curation_gym``."""
    return Path(os.environ.get("CURATION_GYM_CACHE", Path.home() / ".cache" / "curation_gym"))


def build_pool(source: PoolSource) -> Pool:
    """The pool that ``source`` names.

    Args:
        source: a :class:`Pool`; the path of a saved one; or a mapping with ``builder`` (one of ``BUILDERS``) and
            that builder's options.

    Returns:
        A pool memory-mapped from the cache when it was built from a mapping.

    Raises:
        ConfigError: for an unknown builder or option.
        PoolError: when the content is bad.
    """
    if isinstance(source, Pool):
        return source
    if isinstance(source, str | Path):
        return Pool.load(source)
    name = source.get("builder")
    if name not in BUILDERS:
        raise ConfigError(f"pool.builder must be one of {', '.join(sorted(BUILDERS))}, actual value: {name!r}")
    model, build = BUILDERS[name]
    config = validated(model, dict(source), f"pool builder {name!r}")
    key = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    path = cache_directory() / "pools" / f"{name}-{hashlib.blake2b(key.encode(), digest_size=8).hexdigest()}"
    if (path / "pool.json").exists():
        return Pool.load(path)
    return build(config).save(path)

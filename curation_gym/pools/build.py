"""One entrance for every pool: a configuration, a path or a pool; built once, then cached by fingerprint."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from curation_gym.config import Config, ConfigError, validated
from curation_gym.pools import dataset, digits, docstrings, synthetic
from curation_gym.pools.pool import Pool
from curation_gym.pools.storage import bytes_digest

PoolSource = Pool | str | Path | dict[str, Any]


class Builder(NamedTuple):
    """How pools of one kind are made.

    Attributes:
        config: its options.
        build: configuration → pool.
        depends_on: configuration → versions and digests of all else that the content depends on.
    """

    config: type[Config]
    build: Callable[..., Pool]
    depends_on: Callable[..., dict[str, str]]


BUILDERS = {
    "dataset": Builder(dataset.DatasetConfig, dataset.build, dataset.depends_on),
    "digits": Builder(digits.DigitsConfig, digits.build, digits.depends_on),
    "docstrings": Builder(docstrings.DocstringsConfig, docstrings.build, docstrings.depends_on),
    "synthetic": Builder(synthetic.SyntheticConfig, synthetic.build, synthetic.depends_on),
}


def cache_directory() -> Path:
    """``$CURATION_GYM_CACHE``, or ``~/.cache/curation_gym``."""
    return Path(os.environ.get("CURATION_GYM_CACHE", Path.home() / ".cache" / "curation_gym"))


def build_pool(source: PoolSource) -> Pool:
    """The pool that ``source`` names.

    Any number of processes may ask for one pool at once: each may build it, one is kept, all return that.

    Args:
        source: a :class:`Pool`; the path of a saved one; or a mapping with ``builder`` (one of ``BUILDERS``)
            and that builder's options.

    Returns:
        A pool memory-mapped from the cache when it was built from a mapping. A cache entry is found again
        while the options, the versions of the packages and the files that it was made from are the same.

    Raises:
        ConfigError: for an unknown builder or option.
        PoolError: when the content is bad, or a cached file was damaged (it is named).
    """
    if isinstance(source, Pool):
        return source
    if isinstance(source, str | Path):
        return Pool.load(source)
    name = source.get("builder")
    if name not in BUILDERS:
        raise ConfigError(f"pool.builder must be one of {', '.join(sorted(BUILDERS))}, actual value: {name!r}")
    builder = BUILDERS[name]
    config = validated(builder.config, dict(source), f"pool builder {name!r}")
    key = {"config": config.model_dump(mode="json"), "depends_on": builder.depends_on(config)}
    path = cache_directory() / "pools" / f"{name}-{bytes_digest(json.dumps(key, sort_keys=True).encode())[:16]}"
    if path.exists():
        return Pool.load(path)
    # One BLAS thread: sums in another order would make another fingerprint on a machine with other cores.
    with threadpool_limits(1, "blas"):
        pool = builder.build(config)
    return pool.save(path, keep_existing=True)

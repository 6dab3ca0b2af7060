"""One entrance for every pool: a configuration, a path or a pool; built once, then cached by fingerprint."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import Discriminator, Field, Tag
from threadpoolctl import threadpool_limits

from curation_gym.config import Config, validated
from curation_gym.pools import corpus, dataset, digits, docstrings, synthetic, variants
from curation_gym.pools.common import cache_directory
from curation_gym.pools.corpus import CorpusConfig
from curation_gym.pools.dataset import DatasetConfig
from curation_gym.pools.digits import DigitsConfig
from curation_gym.pools.docstrings import DocstringsConfig
from curation_gym.pools.pool import Pool
from curation_gym.pools.storage import bytes_digest
from curation_gym.pools.synthetic import SyntheticConfig
from curation_gym.pools.variants import VariantConfig


class Builder(NamedTuple):
    """How pools of one kind are made.

    Attributes:
        build: configuration → pool.
        depends_on: configuration → versions and digests of all else that the content depends on.
    """

    build: Callable[..., Pool]
    depends_on: Callable[..., dict[str, str]]


BUILDERS = {
    "dataset": Builder(dataset.build, dataset.depends_on),
    "digits": Builder(digits.build, digits.depends_on),
    "docstrings": Builder(docstrings.build, docstrings.depends_on),
    "synthetic": Builder(synthetic.build, synthetic.depends_on),
    "variant": Builder(
        lambda config: variants.build(config, build_pool(config.pool)),
        lambda config: variants.depends_on(config, build_pool(config.pool)),
    ),
    "corpus": Builder(corpus.build, corpus.depends_on),
}
BuilderConfig = Annotated[
    DatasetConfig | DigitsConfig | DocstringsConfig | SyntheticConfig | VariantConfig | CorpusConfig,
    Field(discriminator="builder"),
]


def _form(source: Any) -> str | None:
    """The tag of the form in which a pool is named."""
    if isinstance(source, Pool):
        return "pool"
    if isinstance(source, str | Path):
        return "path"
    return "builder and options" if isinstance(source, dict | Config) else None


PoolSource = Annotated[
    Annotated[Pool, Tag("pool")]
    | Annotated[str | Path, Tag("path")]
    | Annotated[BuilderConfig, Tag("builder and options")],
    Discriminator(
        _form,
        custom_error_type="pool_source",
        custom_error_message=f"must be a Pool, the path of a saved one, or options with builder: {', '.join(BUILDERS)}",
    ),
]
"""What names a pool, as the type of a configuration's field: checking it builds nothing."""
VariantConfig.model_rebuild(_types_namespace={"PoolSource": PoolSource})  # a variant is made of any pool


class _Request(Config):
    pool: PoolSource


def build_pool(source: PoolSource | dict[str, Any]) -> Pool:
    """The pool that ``source`` names.

    Any number of processes may ask for one pool at once: each may build it, one is kept, all return that. Within a
    process all who ask for one saved pool share it, and its files are read and verified once, for as long as none
    is replaced.

    Args:
        source: a :class:`Pool`; the path of a saved one; a builder's configuration, or that as a mapping with
            ``builder`` (one of ``BUILDERS``) and the builder's options.

    Returns:
        A pool memory-mapped from the cache when it was built from a configuration. A cache entry is found again
        while the options, the versions of the packages and the files that it was made from are the same.

    Raises:
        ConfigError: for an unknown builder or option, or when ``source`` names no pool.
        PoolError: when the content is bad, or a cached file was damaged (it is named).
    """
    config = validated(_Request, {"pool": source}, "build_pool").pool
    if isinstance(config, Pool):
        return config
    if isinstance(config, str | Path):
        return _load(Path(config))
    name = config.builder
    builder = BUILDERS[name]
    key = {"config": config.model_dump(mode="json"), "depends_on": builder.depends_on(config)}
    path = cache_directory() / "pools" / f"{name}-{bytes_digest(json.dumps(key, sort_keys=True).encode())[:16]}"
    if path.exists():
        return _load(path)
    # One BLAS thread: sums in another order would make another fingerprint on a machine with other cores.
    with threadpool_limits(1, "blas"):
        pool = builder.build(config).save(path, keep_existing=True)
    return _load(path, verified=pool)


_Stamp = list[tuple[str, int, int, int]]
_loaded: dict[Path, tuple[_Stamp, Pool]] = {}
"""Path → what this process verified there. Pools are memory maps: to keep one costs next to nothing."""


def _load(path: Path, verified: Pool | None = None) -> Pool:
    """The pool at ``path``, read in full only where its files aren't those that were verified before."""
    path = path.resolve()
    stamp = _stamp(path)
    known = _loaded.get(path)
    if known is None or known[0] != stamp:
        known = _loaded[path] = stamp, Pool.load(path) if verified is None else verified
    return known[1]


def _stamp(path: Path) -> _Stamp:
    """What changes with any file: its name, size, time of change and inode."""
    files = [(str(file), file.stat()) for file in sorted(path.rglob("*")) if file.is_file()]
    return [(name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in files]

"""What builders share: splits and order by hash of content, clusters, provenance."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from curation_gym.pools.storage import PoolError, bytes_digest

IMAGE_SCHEMA = pa.schema({"image": pa.struct({"bytes": pa.binary(), "path": pa.string()})})
"""Encoded images in the form of Hugging Face's image feature."""


def cache_directory() -> Path:
    """``$CURATION_GYM_CACHE``, or ``~/.cache/curation_gym``."""
    return Path(os.environ.get("CURATION_GYM_CACHE", Path.home() / ".cache" / "curation_gym"))


def content_hash(contents: Iterable[bytes], salt: str = "") -> NDArray[np.uint64]:
    """64-bit hashes of the contents; another salt gives an independent order of the same contents."""
    key = salt.encode()
    digests = [hashlib.blake2b(content, digest_size=8, key=key).digest() for content in contents]
    return np.frombuffer(b"".join(digests), "<u8")


def split_by_hash(hashes: NDArray[np.uint64], shares: Sequence[float]) -> NDArray[np.uint8]:
    """Assign contents to parts, so that equal contents always fall into one part.

    Args:
        hashes: (n,), see :func:`content_hash`.
        shares: expected share of each part, summing to 1.

    Returns:
        uint8 (n,), the index of the part.
    """
    edges = np.cumsum(shares)[:-1]
    return np.asarray(np.searchsorted(edges, hashes / 2.0**64, side="right"), np.uint8)


def coverage_columns(
    embeddings: NDArray[np.float32], utility: NDArray[Any], n_clusters: int
) -> dict[str, NDArray[Any]]:
    """Hidden columns that CoverageSelection reads, on data without a truth of its own.

    Returns:
        ``cluster`` by k-means on the embeddings, ``cluster_weight`` the cluster's share of the pool (sums to
        1 over clusters), ``quality`` = ``utility`` (of real texts no other quality is known), ``group`` 0.

    Raises:
        PoolError: when there are fewer samples than clusters.
    """
    if len(embeddings) < n_clusters:
        raise PoolError(f"n_clusters = {n_clusters} needs as many samples, actual number: {len(embeddings)}")
    # One cluster can come out empty on duplicate-rich data; the codes that remain are numbered without gaps.
    found = MiniBatchKMeans(n_clusters, random_state=0, n_init=3, batch_size=4096).fit_predict(embeddings)
    _, cluster, counts = np.unique(found, return_inverse=True, return_counts=True)
    return {
        "cluster": cluster.astype(np.int32),
        "cluster_weight": (counts / counts.sum())[cluster],
        "quality": np.asarray(utility, np.float64),
        "group": np.zeros(len(embeddings), np.int32),
    }


def code_versions(*distributions: str) -> dict[str, str]:
    """Versions of the named distributions, and a digest of this package's own code that makes pools."""
    own = code_digest("pools/*.py", "signals/*.py")
    return {name: version(name) for name in distributions} | {"curation-gym": f"{version('curation-gym')}+{own}"}


def code_digest(*patterns: str) -> str:
    """Of this package's files that match, relative to it."""
    package = Path(__file__).parents[1]
    return bytes_digest(*(path.read_bytes() for pattern in patterns for path in sorted(package.glob(pattern))))

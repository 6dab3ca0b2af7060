"""Memory beyond the input grows with the samples, never with their square or their number times that of clusters."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from curation_gym import acquisition as a

N = 6000
X = np.random.default_rng(0).standard_normal((N, 4), np.float32)
P = np.random.default_rng(1).dirichlet(np.ones(5), N).astype(np.float32)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


CALLS: dict[str, Callable[[], object]] = {
    "kmeans": lambda: a.kmeans(X, N // 2, rng(), iterations=2),
    "typicality": lambda: a.typicality(X),
    "distance_to_labelled": lambda: a.distance_to_labelled(X, X[: N // 2]),
    "coreset": lambda: a.coreset(X, np.full(N, np.inf), 200),
    "badge": lambda: a.badge(X, P, 200, rng()),
    "typiclust": lambda: a.typiclust(X, X[:400], 30, rng()),
    "diverse": lambda: a.diverse(P[:, 0], P[:, 1], X, 200),
}


@pytest.mark.parametrize("name", CALLS)
def test_extra_memory_is_a_small_part_of_a_matrix_of_distances(name: str) -> None:
    tracemalloc.start()
    try:
        CALLS[name]()
        extra = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert extra < 20e6  # N × N / 2 float32 are 72 MB

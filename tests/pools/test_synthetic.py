"""Procedural pools: the hidden structure is what the docstring says."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_gym.pools.synthetic import SyntheticConfig, build


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(1, 40),
    k=st.integers(1, 6),
    g=st.integers(1, 3),
    d=st.integers(2, 8),
    seed=st.integers(0, 1000),
)
def test_structure(n: int, k: int, g: int, d: int, seed: int) -> None:
    config = SyntheticConfig(n_samples=n, n_clusters=k, n_groups=g, dimension=d, seed=seed)
    pool = build(config)
    assert len(pool) == n * g
    np.testing.assert_allclose(np.linalg.norm(pool.embeddings, axis=1), 1, atol=1e-5)
    assert all(column.min() >= 0 and column.max() <= 1 for column in pool.signals.values())
    cluster, group = pool.hidden["cluster"], pool.hidden["group"]
    np.testing.assert_array_equal(cluster // k, group)
    for own in range(g):
        weights = {c: w for c, w, of in zip(cluster, pool.hidden["cluster_weight"], group, strict=True) if of == own}
        assert sum(weights.values()) <= 1 + 1e-9
    assert build(config).fingerprint == pool.fingerprint


def test_a_cluster_is_closer_to_itself_and_the_signal_follows_quality() -> None:
    pool = build(SyntheticConfig(n_samples=800, n_clusters=10))
    cosine = pool.embeddings @ pool.embeddings.T
    same = pool.hidden["cluster"][:, None] == pool.hidden["cluster"]
    np.fill_diagonal(same, False)
    assert abs(cosine[same].mean() - 1 / (1 + 0.6**2)) < 0.03
    assert cosine[~same].mean() < 0.15
    assert np.corrcoef(pool.hidden["quality"], pool.signals["utility"])[0, 1] > 0.8

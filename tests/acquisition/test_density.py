"""Typicality against loops, exact and against a reference subset."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.datasets import load_digits

from curation_gym.acquisition import density, typicality
from tests.acquisition.inputs import Candidates, candidates, law


def naive(X: np.ndarray, k: int, among: np.ndarray) -> list[float]:
    found = []
    for i, x in enumerate(X):
        others = X[among[among != i]]
        found.append(k / np.sort(np.sqrt(((x - others) ** 2).sum(1)))[:k].sum())
    return found


@law
@given(candidates(least=2, most=30), st.data())
def test_inverse_mean_distance_to_the_neighbours(c: Candidates, data: st.DataObject) -> None:
    n = len(c.embeddings)
    k = data.draw(st.integers(1, n - 1))
    X = c.embeddings.astype(np.float64)
    size = np.sqrt((X**2).sum(1).mean())  # float32 distances between near points are rounded by the size of both
    mean_distance = 1 / typicality(c.embeddings, k)
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(mean_distance, 1 / np.array(naive(X, k, np.arange(n))), rtol=1e-3, atol=2e-3 * size)


def test_a_large_pool_is_compared_with_a_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    X = load_digits().data.astype(np.float32)
    exact = typicality(X, 90)  # 20 of 400 reach as far as 90 of all 1,797
    monkeypatch.setattr(density, "_REFERENCE", 400)
    reference = np.random.default_rng(0).choice(len(X), 400, replace=False)
    np.testing.assert_allclose(typicality(X, 3), naive(X, 3, reference), rtol=1e-4)
    assert spearmanr(typicality(X, 20), exact).statistic > 0.9


def test_duplicates_are_as_typical_as_can_be_told() -> None:
    X = np.repeat(np.eye(3), 4, axis=0)
    found = typicality(X, 3)
    assert np.isfinite(found).all()
    assert (found > 500).all()
    assert np.isfinite(typicality(np.zeros((5, 2)), 2)).all()


@pytest.mark.parametrize("k", [0, 3, 9])
def test_too_many_neighbours_are_told(k: int) -> None:
    with pytest.raises(ValueError, match=rf"k must be in 1 … 2, actual value: {k}"):
        typicality(np.eye(3), k)

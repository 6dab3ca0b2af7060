"""BADGE against gradients that are computed, and the distribution of its picks."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from scipy.stats import chisquare

from curation_gym.acquisition import badge
from curation_gym.acquisition.badge import Gradients
from tests.acquisition.inputs import Candidates, candidates, law


def gradients(X: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(samples, K · d): of −ln softmax(Wx)[most probable class] with respect to W."""
    rows = []
    for x, q in zip(X.astype(np.float64), p.astype(np.float64), strict=True):
        hypothesis = np.zeros(len(q))
        hypothesis[int(np.argmax(q))] = 1
        rows.append(np.outer(q - hypothesis, x).ravel())
    return np.array(rows)


@law
@given(candidates(least=1))
def test_distances_are_those_of_the_gradients(c: Candidates) -> None:
    g = gradients(c.embeddings, c.probabilities)
    found = Gradients(c.embeddings, c.probabilities)
    to = np.arange(0, len(g), 2)
    expected = [[float(np.sum((a - b) ** 2)) for b in g[to]] for a in g]
    scale = float((g**2).sum(1).max())
    np.testing.assert_allclose(found.squared_distances(to), expected, rtol=1e-3, atol=1e-5 * scale)
    np.testing.assert_allclose(found.norms, (g**2).sum(1), rtol=1e-4, atol=1e-6 * scale)


@law
@given(candidates(least=1))
def test_the_first_pick_is_the_largest_gradient(c: Candidates) -> None:
    norms = (gradients(c.embeddings, c.probabilities) ** 2).sum(1)
    assert norms[badge(c.embeddings, c.probabilities, 1, np.random.default_rng(0))[0]] >= norms.max() * (1 - 1e-5)


def test_the_picks_after_it_follow_the_squared_distances() -> None:
    """All sequences of 4 picks of 6 samples: with 3 more picks the last two come from one batch."""
    rng = np.random.default_rng(2)
    X, p = rng.standard_normal((6, 3)), rng.dirichlet(np.ones(4), 6)
    g = gradients(X, p)
    first = int((g**2).sum(1).argmax())
    expected = {}
    for rest in itertools.permutations([i for i in range(6) if i != first], 3):
        chance, picked = 1.0, [first]
        for pick in rest:
            left = [min(np.sum(a**2), *(np.sum((a - g[j]) ** 2) for j in picked)) for a in g]
            chance *= left[pick] / sum(left)
            picked.append(pick)
        expected[tuple(picked)] = chance
    counts = dict.fromkeys(expected, 0)
    draws = 6000
    for _ in range(draws):
        counts[tuple(badge(X, p, 4, rng).tolist())] += 1
    common = [s for s in expected if draws * expected[s] >= 5]
    seen = [counts[s] for s in common]
    wanted = [draws * expected[s] for s in common]
    if draws - sum(wanted) > 1:
        seen.append(draws - sum(seen))
        wanted.append(draws - sum(wanted))
    assert len(common) > 20
    assert chisquare(seen, wanted).pvalue > 0.01


def test_duplicates_are_picked_last() -> None:
    rng = np.random.default_rng(0)
    X, p = np.repeat(rng.standard_normal((5, 4)), 8, axis=0), np.repeat(rng.dirichlet(np.ones(3), 5), 8, axis=0)
    for seed in range(20):
        picks = badge(X, p, 12, np.random.default_rng(seed))
        assert sorted(picks[:5] // 8) == [0, 1, 2, 3, 4]


def test_bad_input_is_named() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"actual shapes: \(3, 2\) and \(4, 2\)"):
        badge(np.ones((3, 2)), np.ones((4, 2)), 1, rng)
    with pytest.raises(ValueError, match=r"probabilities \(n, K\), actual shapes: \(3, 2\) and \(2, 3, 4\)"):
        badge(np.ones((3, 2)), np.ones((2, 3, 4)), 1, rng)
    with pytest.raises(ValueError, match="must be finite, row 1 isn't"):
        badge(np.ones((3, 2)), np.array([[0.5, 0.5], [np.nan, 0.5], [1, 0]]), 1, rng)

"""The highest scores, and who is a candidate at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation_gym.acquisition import best, passes
from tests.acquisition.inputs import law

# Few different values, so that there are ties
scores_with_ties = hnp.arrays(np.float64, st.integers(0, 30), elements=st.integers(-3, 3).map(float))


@law
@given(scores_with_ties, st.integers(0, 40), st.randoms(use_true_random=False))
def test_best_are_the_highest_by_score_then_priority(scores: np.ndarray, n: int, random: object) -> None:
    priority = np.array([random.random() for _ in scores])  # type: ignore[attr-defined]
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i], -priority[i]))[:n]
    assert best(scores, priority, n).tolist() == expected


@law
@given(scores_with_ties, st.floats(0, 100), st.floats(-4, 4))
def test_who_passes_is_not_below_the_percentile_nor_the_threshold(
    scores: np.ndarray, percentile: float, threshold: float
) -> None:
    passing = passes(scores, percentile, threshold)
    assert passing.shape == scores.shape
    if not len(scores):
        return
    ranked = sorted(scores)
    at = percentile / 100 * (len(ranked) - 1)
    low, high = ranked[int(at)], ranked[min(int(at) + 1, len(ranked) - 1)]
    assert passing[scores >= max(high, threshold)].all()
    assert not passing[(scores < low) | (scores < threshold)].any()


def test_known_cases() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.9, 0.3])
    assert np.flatnonzero(passes(scores, 99.9)).tolist() == [1, 3]
    assert np.flatnonzero(passes(scores, 50)).tolist() == [1, 2, 3]
    assert passes(scores).all()
    assert np.flatnonzero(passes(scores, threshold=0.3)).tolist() == [1, 2, 3, 4]
    assert not passes(scores, threshold=0.95).any()
    assert best(np.array([1.0, np.inf, 1.0]), np.array([0.0, 0.0, 1.0]), 2).tolist() == [1, 2]


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="scores must be numbers, actual value at position 1: nan"):
        best(np.array([1.0, np.nan]), np.ones(2), 1)
    with pytest.raises(ValueError, match="must be as long, actual lengths: 2 and 3"):
        best(np.ones(2), np.ones(3), 1)
    with pytest.raises(ValueError, match=r"percentile must be in \[0, 100\], actual value: 101"):
        passes(np.ones(2), 101)
    with pytest.raises(ValueError, match="threshold must be a number, actual value: nan"):
        passes(np.ones(2), threshold=float("nan"))
    with pytest.raises(ValueError, match="actual value at position 0: nan"):
        passes(np.array([np.nan]))

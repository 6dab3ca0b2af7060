"""The highest scores, and who is a candidate at all."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation_gym.acquisition import above, best, top_percentile
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
@given(scores_with_ties, st.floats(-4, 4))
def test_above_is_strict_and_sorted(scores: np.ndarray, threshold: float) -> None:
    expected = sorted((i for i in range(len(scores)) if scores[i] > threshold), key=lambda i: (-scores[i], i))
    assert above(scores, threshold).tolist() == expected


@law
@given(scores_with_ties, st.floats(0, 100))
def test_a_percentile_leaves_what_is_not_below_it(scores: np.ndarray, q: float) -> None:
    chosen = top_percentile(scores, q).tolist()
    if not len(scores):
        assert chosen == []
        return
    ranked = sorted(scores)
    at = q / 100 * (len(ranked) - 1)
    low, high = ranked[int(at)], ranked[min(int(at) + 1, len(ranked) - 1)]
    sure = [i for i in range(len(scores)) if scores[i] >= high]
    assert set(sure) <= set(chosen)
    assert all(scores[i] >= low for i in chosen)
    assert chosen == sorted(chosen, key=lambda i: (-scores[i], i))


def test_known_cases() -> None:
    scores = np.array([0.1, 0.9, 0.5, 0.9, 0.3])
    assert top_percentile(scores, 100).tolist() == [1, 3]
    assert top_percentile(scores, 50).tolist() == [1, 3, 2]
    assert top_percentile(scores, 0).tolist() == [1, 3, 2, 4, 0]
    assert above(scores, 0.9).tolist() == []
    assert above(scores, 0.3).tolist() == [1, 3, 2]
    assert best(np.array([1.0, np.inf, 1.0]), np.array([0.0, 0.0, 1.0]), 2).tolist() == [1, 2]


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="scores must be numbers, actual value at position 1: nan"):
        best(np.array([1.0, np.nan]), np.ones(2), 1)
    with pytest.raises(ValueError, match="must be as long, actual lengths: 2 and 3"):
        best(np.ones(2), np.ones(3), 1)
    with pytest.raises(ValueError, match=r"q must be in \[0, 100\], actual value: 101"):
        top_percentile(np.ones(2), 101)
    with pytest.raises(ValueError, match="threshold must be a number, actual value: nan"):
        above(np.ones(2), float("nan"))
    with pytest.raises(ValueError, match="actual value at position 0: nan"):
        above(np.array([np.nan]), 0.5)

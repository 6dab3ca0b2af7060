"""Forgetting and backward transfer, held against loops and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curation_gym.evaluation.forgetting import average_forgetting, backward_transfer

accuracies = st.integers(2, 6).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.floats(0, 1)))


def test_by_hand() -> None:
    accuracy = [[0.9, 0.1, 0.2], [0.7, 0.8, 0.2], [0.6, 0.9, 0.7]]
    assert average_forgetting(accuracy) == pytest.approx(((0.9 - 0.6) + (0.8 - 0.9)) / 2)
    assert backward_transfer(accuracy) == pytest.approx(((0.6 - 0.9) + (0.9 - 0.8)) / 2)


def test_domains_may_be_learned_together_and_the_last_do_not_count() -> None:
    accuracy = [[0.5, 0.6, 0.1], [0.8, 0.4, 0.3], [0.7, 0.5, 0.9]]
    assert average_forgetting(accuracy, [0, 0, 2]) == pytest.approx(((0.8 - 0.7) + (0.6 - 0.5)) / 2)
    assert backward_transfer(accuracy, [0, 0, 2]) == pytest.approx(((0.7 - 0.5) + (0.5 - 0.6)) / 2)
    assert backward_transfer(accuracy, [1, 2, 2]) == pytest.approx(0.7 - 0.8)


@given(accuracies)
def test_the_definitions_written_with_loops(accuracy: np.ndarray) -> None:
    n = len(accuracy)
    forgotten = [max(accuracy[t, j] for t in range(n - 1)) - accuracy[n - 1, j] for j in range(n - 1)]
    gained = [accuracy[n - 1, j] - accuracy[j, j] for j in range(n - 1)]
    assert average_forgetting(accuracy) == pytest.approx(np.mean(forgotten), abs=1e-12)
    assert backward_transfer(accuracy) == pytest.approx(np.mean(gained), abs=1e-12)


@given(accuracies)
def test_forgetting_is_at_least_what_is_lost_since_learning(accuracy: np.ndarray) -> None:
    assert -1 <= -backward_transfer(accuracy) <= average_forgetting(accuracy) + 1e-12 <= 1 + 1e-12


@pytest.mark.parametrize("measure", [average_forgetting, backward_transfer])
def test_bad_input_is_named(measure) -> None:
    with pytest.raises(ValueError, match=r"accuracy must be \(times, domains\) within \[0, 1\]"):
        measure([[0.5, np.nan], [0.1, 0.2]])
    with pytest.raises(ValueError, match="with 3 times and 2 domains, learned must say"):
        measure(np.zeros((3, 2)))
    with pytest.raises(ValueError, match=r"learned must hold 2 rows in 0 … 2, actual value: \[0, 3\]"):
        measure(np.zeros((3, 2)), [0, 3])
    with pytest.raises(ValueError, match="no domain was learned before the last step"):
        measure(np.zeros((3, 2)), [2, 2])

"""The front and the area it dominates, against counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_gym.evaluation.pareto import hypervolume, pareto_front

GRID = 8
POINTS = st.lists(st.tuples(st.integers(0, GRID), st.integers(0, GRID)), max_size=8)


@given(POINTS)
def test_the_area_is_that_of_the_cells_that_are_dominated(points: list[tuple[int, int]]) -> None:
    cells = sum(any(x <= i and y <= j for x, y in points) for i in range(GRID) for j in range(GRID))
    assert hypervolume(points, (GRID, GRID)) == cells


@given(POINTS)
def test_the_front_holds_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    front = pareto_front(points)
    kept = {points[index] for index in front}
    assert len(kept) == len(front)
    for x, y in points:
        beaten = any(a <= x and b <= y and (a, b) != (x, y) for a, b in points)
        assert ((x, y) in kept) == (not beaten)
    assert [points[index][0] for index in front] == sorted(points[index][0] for index in front)


def test_a_known_case_and_what_is_refused() -> None:
    points = [(0.2, 0.6), (0.5, 0.3), (0.6, 0.6), (1.2, 0.0)]
    assert pareto_front(points).tolist() == [0, 1, 3]
    assert hypervolume(points, (1, 1)) == pytest.approx(0.8 * 0.4 + 0.5 * 0.3)
    assert hypervolume([], (1, 1)) == 0
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        hypervolume([1.0, 2.0], (1, 1))
    with pytest.raises(ValueError, match="finite"):
        pareto_front([(np.nan, 1)])


@pytest.mark.parametrize("reference", [(np.nan, 1), (np.inf, 1), (1,), (1, 1, 1)])
def test_a_reference_that_is_no_point_is_refused(reference: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="reference must be"):
        hypervolume([(0.5, 0.5)], reference)

"""What a policy saves of another's labels, by hand and by law."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_gym.evaluation.savings import mean_savings, savings
from curation_gym.evaluation.statistics import first_crossing


def curve(*points: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    steps, values = zip(*points, strict=True)
    return np.array(steps), np.array(values)


FAST, SLOW, FLAT = (
    curve((50, 0.9), (200, 0.95)),
    curve((50, 0.6), (100, 0.9), (200, 0.92)),
    curve((50, 0.5), (200, 0.6)),
)


def test_savings_by_hand() -> None:
    assert savings([FAST] * 3, [SLOW] * 3, 0.9) == (0.5, 0.5, 0.5)
    # at 0.95 the baseline spends its 200 labels without reaching it: a lower bound of 0
    assert savings([FAST] * 3, [SLOW] * 3, [0.9, 0.95]).value == 0.25
    mixed = savings([FAST, FAST, SLOW], [SLOW] * 3, 0.9)
    assert mixed.value == 0.5
    assert (mixed.low, mixed.high) == (0, 0.5)


def test_an_unreached_target_saves_nothing() -> None:
    brief = curve((50, 0.5), (60, 0.6))
    for baseline in (FAST, SLOW, FLAT, brief):
        for policy in (FLAT, brief):  # giving up early is never arriving
            assert savings([policy], [baseline], 0.9) == (0, 0, 0)
    assert savings([FAST], [FLAT], 0.9).value == 0.75  # a lower bound
    assert savings([SLOW], [FAST], 0.9).value == -1, "late costs"
    assert savings([SLOW], [brief], 0.9).value == pytest.approx(1 - 100 / 60)
    assert savings([FAST, FAST, FLAT], [SLOW] * 3, 0.9).value == 0.5, "the median arrives"
    assert savings([FAST, FLAT], [SLOW] * 2, 0.9).value == 0, "half of the seeds is no median that arrives"


def test_mean_savings_are_the_mean_of_savings() -> None:
    late = curve((50, 0.6), (150, 0.9), (200, 0.92))
    assert mean_savings([([FAST], [SLOW], 0.9)]) == savings([FAST], [SLOW], 0.9)
    assert mean_savings([([FAST], [SLOW], 0.9), ([late], [SLOW], 0.9)]).value == 0
    assert mean_savings([([FAST], [SLOW], 0.9), ([FLAT], [SLOW], 0.9)]).value == 0.25
    mixed = mean_savings([([FAST, FAST, SLOW], [SLOW] * 3, 0.9), ([SLOW] * 4, [SLOW] * 4, 0.9)])
    assert mixed == (0.25, 0, 0.25)
    with pytest.raises(ValueError, match="at least one study"):
        mean_savings([])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(1, 9))
def test_savings_compare_medians_of_labels(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)

    def runs() -> list[tuple[np.ndarray, np.ndarray]]:
        return [(np.arange(10, 101, 10), np.sort(rng.random(10))) for _ in range(n)]

    ours, theirs = runs(), runs()
    own = np.median([first_crossing(*curve, 0.8) for curve in ours])
    their = np.median([min(first_crossing(*curve, 0.8), 100) for curve in theirs])
    expected = 1 - own / their if np.isfinite(own) else 0
    assert savings(ours, theirs, 0.8, n=200).value == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_several_targets_are_the_mean_of_each(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = ([(np.arange(1, 9), np.sort(rng.random(8))) for _ in range(5)] for _ in range(2))
    both = savings(ours, theirs, [0.3, 0.8], n=300)
    each = [savings(ours, theirs, target, n=300).value for target in (0.3, 0.8)]
    assert both.value == pytest.approx(np.mean(each))
    assert both.low <= both.high


@pytest.mark.parametrize(
    ("ours", "theirs", "targets", "message"),
    [
        ([FAST], [SLOW, SLOW], 0.9, "1 and 2 curves"),
        ([], [], 0.9, "0 and 0 curves"),
        ([FAST], [SLOW], [], "0 targets"),
        ([FAST], [curve((0, 0.9), (9, 0.9))], 0.9, "no label at all"),
        ([FAST], [([3, 1], [0.1, 0.9])], 0.9, "ascending"),
    ],
)
def test_savings_refuses_what_is_not_paired(ours: list, theirs: list, targets: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        savings(ours, theirs, targets)

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ttest_1samp, ttest_ind

from curation_gym.evaluation.statistics import (
    Estimate,
    area_under_curve,
    bootstrap,
    first_crossing,
    gap_closed,
    interquartile_mean,
    interval,
    labels_to_target,
    mean,
    mean_curve,
    mean_estimate,
    normalized_scores,
    over_items,
    paired_difference,
    performance_profile,
    probability_of_improvement,
    value_at,
)

finite = st.floats(-100, 100)
scores = arrays(np.float64, st.integers(1, 12), elements=finite)


# ---------------------------------------------------------------------- scores
def test_normalized_score_by_hand() -> None:
    assert normalized_scores([5, 10], [0, 10], [10, 20]).tolist() == [0.5, 0.0]


def test_normalized_score_names_the_seed_that_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="seed 1 can't be scored"):
        normalized_scores([1, 1], [0, 3], [2, 3])
    with pytest.raises(ValueError, match="paired"):
        normalized_scores([1, 1], [0], [2, 3])


@given(arrays(np.float64, 6, elements=finite), st.floats(0.1, 10), finite)
def test_normalized_score_ignores_the_unit_of_the_reward(policy: np.ndarray, scale: float, shift: float) -> None:
    random, optimum = np.zeros(6), np.arange(1.0, 7.0)
    expected = normalized_scores(policy, random, optimum)
    actual = normalized_scores(scale * policy + shift, scale * random + shift, scale * optimum + shift)
    np.testing.assert_allclose(actual, expected, atol=1e-6, rtol=1e-6)
    assert normalized_scores(random, random, optimum).tolist() == [0] * 6
    assert normalized_scores(optimum, random, optimum).tolist() == [1] * 6


def test_interquartile_mean_by_hand() -> None:
    # 8 scores of two tasks together: the lowest two and the highest two are dropped
    assert interquartile_mean([np.array([0.0, 1, 2, 100]), np.array([-50.0, 3, 4, 5])]) == 2.5


@given(scores)
def test_interquartile_mean_lies_within_and_ignores_order(task: np.ndarray) -> None:
    value = interquartile_mean([task])
    assert task.min() - 1e-9 <= value <= task.max() + 1e-9
    assert interquartile_mean([task[::-1]]) == pytest.approx(value)


def test_mean_weighs_tasks_equally() -> None:
    assert mean([np.array([1.0]), np.array([3.0, 3, 3])]) == 2


# ------------------------------------------------------------------- intervals
def test_bootstrap_interval_of_a_mean_is_the_textbook_one() -> None:
    sample = np.random.default_rng(3).normal(10, 2, 400)
    estimate = interval(sample)
    half = 1.96 * sample.std() / np.sqrt(400)
    assert estimate.value == pytest.approx(sample.mean())
    assert estimate.low == pytest.approx(sample.mean() - half, abs=0.15 * half)
    assert estimate.high == pytest.approx(sample.mean() + half, abs=0.15 * half)


def test_bootstrap_resamples_within_each_task() -> None:
    """Tasks of very different level: between-task differences don't widen the interval."""
    estimate = bootstrap(mean, [np.full(5, 0.0), np.full(5, 1000.0)])
    assert estimate == Estimate(500, 500, 500)


def test_bootstrap_keeps_pairs_together() -> None:
    pair = np.stack([np.arange(10.0), np.arange(10.0) + 1])

    def difference(tasks: list[np.ndarray]) -> np.ndarray:
        return tasks[0][1].mean(-1) - tasks[0][0].mean(-1)

    assert bootstrap(difference, [pair]) == pytest.approx((1, 1, 1))


@given(st.lists(scores, min_size=1, max_size=3))
def test_the_interval_holds_the_mean_and_repeats(tasks: list[np.ndarray]) -> None:
    first, second = (bootstrap(mean, tasks, n=200, confidence=0.999) for _ in range(2))
    assert first == second
    assert first.low - 1e-9 <= first.value <= first.high + 1e-9


@pytest.mark.parametrize("bad", [np.array([]), np.array([1.0, np.nan])])
def test_bootstrap_refuses_what_has_no_value(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="task 1 has no scores, or a score that is NaN"):
        bootstrap(mean, [np.ones(3), bad])


def test_confidence_must_be_a_probability() -> None:
    with pytest.raises(ValueError, match=r"confidence must be in \(0, 1\), actual value: 95"):
        bootstrap(mean, [np.ones(3)], confidence=95)


def test_probability_of_improvement_by_hand() -> None:
    # pairs (x, y): 1>0, 1<2, 2>0, 2=2 -> (1 + 0 + 1 + 0.5) / 4; the second task is all ties
    x, y = [np.array([1.0, 2]), np.array([7.0])], [np.array([0.0, 2]), np.array([7.0])]
    assert probability_of_improvement(x, y).value == (0.625 + 0.5) / 2


@given(scores, scores)
def test_probability_of_improvement_is_antisymmetric(x: np.ndarray, y: np.ndarray) -> None:
    forward, backward = (probability_of_improvement([a], [b], n=50) for a, b in ((x, y), (y, x)))
    assert forward.value + backward.value == pytest.approx(1)
    assert 0 <= forward.low <= forward.high <= 1
    assert probability_of_improvement([x], [x], n=50).value == pytest.approx(0.5)


def test_probability_of_improvement_interval_equals_plain_resampling() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.5, 1, 30), rng.normal(0, 1, 30)
    draws = []
    for _ in range(4000):
        a, b = rng.choice(x, 30), rng.choice(y, 30)
        draws.append(np.mean(a[:, None] > b) + 0.5 * np.mean(a[:, None] == b))
    estimate = probability_of_improvement([x], [y], n=4000)
    np.testing.assert_allclose(estimate[1:], np.quantile(draws, [0.025, 0.975]), atol=0.015)


def test_tasks_must_match() -> None:
    with pytest.raises(ValueError, match="same tasks"):
        probability_of_improvement([np.ones(2)], [])


def test_pairing_removes_what_the_seeds_share() -> None:
    difficulty = np.random.default_rng(0).normal(0, 100, 50)
    estimate = paired_difference([difficulty + 1], [difficulty])
    assert estimate == pytest.approx((1, 1, 1))


def test_few_seeds_have_students_interval() -> None:
    rng = np.random.default_rng(1)
    five, seven = rng.normal(1, 1, 5), rng.normal(0, 3, 7)
    told = ttest_1samp(five, 0).confidence_interval(0.95)
    assert interval(five) == pytest.approx((five.mean(), *told))
    assert paired_difference([five], [np.zeros(5)]) == interval(five)
    welch = ttest_ind(five, seven, equal_var=False).confidence_interval(0.95)
    difference = mean_estimate([five, -seven])  # a mean over two tasks is half the sum
    assert difference == pytest.approx(((five.mean() - seven.mean()) / 2, welch.low / 2, welch.high / 2))
    assert interval([2.0]) == (2, 2, 2)
    assert interval([2.0, 2.0]) == (2, 2, 2)
    assert interval([1.0, np.inf, 2.0]) == bootstrap(mean, [np.array([1.0, np.inf, 2.0])])
    many = rng.normal(0, 1, 30)
    assert interval(many) == bootstrap(mean, [many])


def test_an_interval_of_shares_is_cut_to_what_is_possible() -> None:
    share = interval([0.0, 1.0, 1.0, 1.0])
    assert share.high > 1
    assert share.within(0, 1) == Estimate(0.75, max(share.low, 0), 1)
    assert interval([0.4, 0.5]).within(-9, 9) == interval([0.4, 0.5])


def test_students_interval_of_five_covers_as_often_as_it_says() -> None:
    sample = np.random.default_rng(2).normal(0, 1, (600, 5))
    covered = np.mean([e.low <= 0 <= e.high for e in map(interval, sample)])
    bootstrapped = np.mean([e.low <= 0 <= e.high for e in (bootstrap(mean, [row], n=200) for row in sample)])
    assert 0.93 < covered < 0.97
    assert bootstrapped < 0.9


def test_gap_closed_by_hand() -> None:
    static, optimum = np.array([0.0, 10, 20]), np.array([10.0, 22, 28])
    assert gap_closed([5.0, 16, 24], static, optimum) == pytest.approx((0.5, 0.5, 0.5))
    assert gap_closed([2.0, 10, 21], static, optimum).value == pytest.approx(0.1)
    assert gap_closed(static - 3, static, optimum).value == pytest.approx(-0.3)
    assert gap_closed([0.0, 22, 20], static, optimum).low < 0.1 < 0.4 < gap_closed([0.0, 22, 20], static, optimum).high


def test_a_gap_that_may_be_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no gap to close: optimum − static is 0\.\d+ \[-"):
        gap_closed([1.0, 1, 1, 1], [0.0, 1, 0, 1], [1.0, 0, 2, 0.0])


def test_performance_profile_by_hand() -> None:
    tasks = [np.array([0.0, 0.5]), np.array([0.5, 1.0, 1.0, 1.0])]
    shares = performance_profile(tasks, np.array([-1, 0, 0.5, 1]))
    assert shares.tolist() == [1, 0.75, 0.375, 0]


@given(st.lists(scores, min_size=1, max_size=3))
def test_performance_profile_falls_from_one_to_zero(tasks: list[np.ndarray]) -> None:
    shares = performance_profile(tasks, np.linspace(-101, 101, 60))
    assert shares[0] == 1
    assert shares[-1] == 0
    assert (np.diff(shares) <= 0).all()


# ---------------------------------------------------------------------- curves
def test_area_under_a_step_curve_by_hand() -> None:
    # 2 for ten steps, 4 for thirty; with a later end, 6 for sixty more
    assert area_under_curve([0, 10, 40], [2, 4, 6]) == (2 * 10 + 4 * 30) / 40
    assert area_under_curve([0, 10, 40], [2, 4, 6], end=100) == (20 + 120 + 360) / 100
    assert area_under_curve([0, 10, 40], [2, 4, 6], end=20) == (20 + 40) / 20
    assert area_under_curve([5], [3]) == 3


@given(arrays(np.float64, 5, elements=finite), st.floats(1, 50))
def test_area_lies_between_the_extremes_and_shifts_with_the_values(values: np.ndarray, shift: float) -> None:
    steps = np.array([0, 1, 5, 6, 20])
    area = area_under_curve(steps, values)
    assert values.min() - 1e-9 <= area <= values.max() + 1e-9
    assert area_under_curve(steps, values + shift) == pytest.approx(area + shift)


def test_a_step_curve_is_read_at_or_before() -> None:
    assert value_at([10, 20], [1, 2], [10, 19.9, 20, 99]).tolist() == [1, 1, 2, 2]
    assert np.isnan(value_at([10, 20], [1, 2], [9])).all()


def test_mean_curve_of_curves_on_different_grids() -> None:
    centre, low, high = mean_curve([([0, 10], [0, 1]), ([0, 5], [0, 3])], [0, 5, 10])
    assert centre.tolist() == [0, 1.5, 2]
    told = [interval(heights) for heights in ([0, 0], [0, 3], [1, 3])]
    assert low.tolist() == [each.low for each in told]
    assert high.tolist() == [each.high for each in told]
    with pytest.raises(ValueError, match="before a curve"):
        mean_curve([([1], [0])], [0])


@pytest.mark.parametrize(
    ("steps", "values", "message"),
    [([], [], "k > 0"), ([1, 2], [1], "needs"), ([2, 1], [0, 0], "ascending")],
)
def test_a_bad_curve_is_refused(steps: list[float], values: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        area_under_curve(steps, values)


def test_area_must_end_after_it_begins() -> None:
    with pytest.raises(ValueError, match="end must be >= the first step 10"):
        area_under_curve([10, 20], [1, 1], end=5)


def test_first_crossing_is_the_first() -> None:
    assert first_crossing([10, 20, 30, 40], [0.5, 0.9, 0.8, 0.95], 0.9) == 20
    assert first_crossing([10, 20], [0.5, 0.6], 0.9) == np.inf


def test_labels_to_target_is_infinite_when_most_never_cross() -> None:
    assert labels_to_target([100, 200, 300]).value == 200
    estimate = labels_to_target([100, np.inf, np.inf])
    assert estimate.value == np.inf
    assert estimate.low == 100
    assert estimate.high == np.inf


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.5, 0.25, 0.75), "0.500 [0.250, 0.750]"),
        (Estimate(12.345, 11, 13), "12.35 [11.00, 13.00]"),
        (Estimate(1234.5, 1000, 2000), "1234 [1000, 2000]"),
        (Estimate(np.inf, 150, np.inf), "inf [150.0, inf]"),
    ],
)
def test_an_estimate_is_readable(estimate: Estimate, text: str) -> None:
    assert str(estimate) == text


@pytest.mark.parametrize("bad", [np.array([]), np.array([1.0, np.nan])])
def test_a_comparison_of_what_has_no_value_is_refused(bad: np.ndarray) -> None:
    for pair in ((bad, np.ones(2)), (np.ones(2), bad)):
        with pytest.raises(ValueError, match="no scores, or a score that is NaN"):
            probability_of_improvement([pair[0]], [pair[1]])


def test_differences_need_pairs() -> None:
    with pytest.raises(ValueError, match="must be paired"):
        paired_difference([np.arange(5.0)], [np.ones(1)])


def test_a_task_with_a_single_seed_has_no_interval() -> None:
    assert mean_estimate([np.ones(1), np.arange(5.0)]) == (1.5, 1.5, 1.5)


def test_of_what_is_0_or_1_the_interval_is_wilsons() -> None:
    never = over_items(np.zeros(50))
    assert (never.value, never.low) == (0, 0)
    assert never.high == pytest.approx(0.0713, abs=1e-4)  # 1.96² / (50 + 1.96²)
    assert over_items([0.2, 0.4]) == bootstrap(mean, [np.array([0.2, 0.4])])


def test_a_curve_that_ends_where_it_begins_has_the_height_of_there() -> None:
    assert area_under_curve([0, 10], [0.1, 0.9], end=0) == 0.1

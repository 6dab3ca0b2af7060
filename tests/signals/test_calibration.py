"""Calibration: probabilities that mean what they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_gym.signals.calibration import Calibrator, cross_calibrated, expected_calibration_error


def overconfident(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores twice as sure, in log-odds, as they should be; and the truth."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(0.5, 1.5, n)
    return 1 / (1 + np.exp(-2 * logit)), rng.random(n) < 1 / (1 + np.exp(-logit))


def test_the_error_is_worked_out_by_hand() -> None:
    scores, positive = np.array([0.1, 0.15, 0.9, 0.9, 1.0]), np.array([False, True, True, False, True])
    # Three bins of five: |0.25 − 1| + |1.8 − 1| + |1 − 1|, over five samples.
    assert expected_calibration_error(scores, positive, 5) == pytest.approx((0.75 + 0.2 * 0 + abs(2.8 - 2)) / 5)
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0
    assert expected_calibration_error(np.array([0.0, 1.0]), np.array([True, False])) == 1
    weight = np.array([3.0, 1.0])
    assert expected_calibration_error(np.array([0.5, 0.5]), np.array([True, False]), weight=weight) == 0.25


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_the_error_lies_between_0_and_1(rows: list[tuple[float, bool]]) -> None:
    scores, positive = (np.array(column) for column in zip(*rows, strict=True))
    assert 0 <= expected_calibration_error(scores, positive) <= 1


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_calibration_lowers_the_error_and_keeps_the_order(method) -> None:
    scores, positive = overconfident(4000)
    new, truth = overconfident(4000, seed=1)
    calibrated = Calibrator(method).fit(scores, positive)(new)
    assert calibrated.dtype == np.float32
    assert expected_calibration_error(calibrated, truth) < expected_calibration_error(new, truth) / 2
    order = np.argsort(new)
    assert (np.diff(calibrated[order]) >= 0).all()
    if method == "platt":
        slope, intercept = Calibrator(method).fit(scores, positive).curve
        assert slope == pytest.approx(0.5, abs=0.06)
        assert intercept == pytest.approx(0, abs=0.1)
    assert np.isfinite(Calibrator(method).fit(scores, positive)(np.array([0.0, 1.0]))).all()


def test_through_half_a_half_stays_one_and_both_sides_are_alike() -> None:
    scores, positive = overconfident(1000)
    calibrator = Calibrator("platt", through_half=True).fit(scores, positive)
    assert calibrator(np.array([0.5]))[0] == pytest.approx(0.5)
    np.testing.assert_allclose(calibrator(scores) + calibrator(1 - scores), 1, atol=1e-6)


def test_a_fold_is_calibrated_by_the_others() -> None:
    scores, positive = overconfident(600)
    folds = np.arange(600) % 3
    honest = cross_calibrated(scores, positive, folds, "isotonic")
    flipped = cross_calibrated(scores, np.where(folds == 1, ~positive, positive), folds, "isotonic")
    np.testing.assert_array_equal(honest[folds == 1], flipped[folds == 1])
    assert (honest[folds == 0] != flipped[folds == 0]).any()
    weighted = cross_calibrated(scores, positive, folds, "platt", np.where(positive, 10.0, 1.0))
    assert weighted.mean() > cross_calibrated(scores, positive, folds, "platt").mean() + 0.2

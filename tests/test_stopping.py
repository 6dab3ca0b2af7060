"""Stopping rules: that they stop when their paper says, and not a round earlier."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import cohen_kappa_score

from curation_gym.stopping import GainBelowPrice, OverallUncertainty, Round, StabilisingPredictions, expected_gain

LABELS = np.arange(100.0, 1100.0, 100.0)


def curve_of(scores: np.ndarray, labels: np.ndarray = LABELS) -> list[Round]:
    return [Round(labels=int(n), validation=float(y)) for n, y in zip(labels, scores, strict=True)]


# -------------------------------------------------------------- gain and price
@settings(max_examples=60, deadline=None)
@given(a=st.floats(0.5, 1), b=st.floats(0.1, 5), c=st.floats(0.05, 3), labels=st.sampled_from([LABELS, LABELS + 2000]))
def test_the_slope_of_a_power_law_is_found(a: float, b: float, c: float, labels: np.ndarray) -> None:
    gain = expected_gain(labels, a - b * labels**-c, "power")
    assert gain == pytest.approx(b * c * labels[-1] ** (-c - 1), rel=0.02, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(a=st.floats(0.5, 1), b=st.floats(0.1, 1), scale=st.floats(80, 5000))
def test_the_slope_of_an_exponential_is_found(a: float, b: float, scale: float) -> None:
    gain = expected_gain(LABELS, a - b * np.exp(-LABELS / scale), "exponential")
    assert gain == pytest.approx(b / scale * np.exp(-LABELS[-1] / scale), rel=0.02, abs=1e-9)


@pytest.mark.parametrize("kind", ["power", "exponential"])
def test_a_curve_that_is_flat_or_falls_gains_nothing(kind: str) -> None:
    assert expected_gain(LABELS, np.full(10, 0.7), kind) == 0
    assert expected_gain(LABELS, 0.9 - LABELS / 1e4, kind) == 0


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["power", "exponential"]))
def test_whatever_the_scores_the_gain_is_a_number_that_scales_with_them(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    labels = np.cumsum(rng.integers(1, 500, 8)).astype(float)
    scores = rng.random(8)
    gain = expected_gain(labels, scores, kind)
    assert np.isfinite(gain)
    assert gain >= 0
    assert expected_gain(labels, 10 * scores + 3, kind) == pytest.approx(10 * gain, rel=1e-3, abs=1e-9)


def test_it_stops_when_the_slope_passes_the_price() -> None:
    """0.9 − 5/n gains 5/n² per label: less than 2e-5 from n = 500 on."""
    labels = np.arange(50.0, 1001.0, 50.0)
    history = curve_of(0.9 - 5 / labels, labels)
    rule = GainBelowPrice(price=2e-5, window=5)
    stops = [n for n in range(21) if rule.should_stop(history[:n])]
    assert labels[stops[0] - 1] in (500.0, 550.0)
    assert stops == list(range(stops[0], 21))
    assert "less than 2e-05" in str(rule.should_stop(history))


def test_only_the_window_is_looked_at_and_it_must_be_full() -> None:
    rule = GainBelowPrice(price=1e-4, window=6)
    flat = np.full(6, 0.7)
    assert rule.should_stop(curve_of(flat[:5], LABELS[:5])) is None
    assert rule.should_stop(curve_of(flat, LABELS[:6])) is not None
    rising = curve_of(np.concatenate([[0, 0.1, 0.9, 0.1], flat]))
    assert rule.should_stop(rising) == rule.should_stop(rising[-6:]) is not None


def test_both_curves_agree_that_a_steep_curve_goes_on() -> None:
    for kind in ("power", "exponential"):
        assert GainBelowPrice(price=1e-5, curve=kind).should_stop(curve_of(LABELS / 2000)) is None


def test_labels_have_to_grow() -> None:
    history = curve_of(np.full(10, 0.5), np.full(10, 100.0))
    with pytest.raises(ValueError, match="labels must be > 0 and grow"):
        GainBelowPrice(price=1e-5).should_stop(history)
    with pytest.raises(ValueError, match="labels must be > 0"):
        expected_gain(np.arange(5.0), np.arange(5.0), "power")


# ------------------------------------------------------------------- stability
def models(changes: list[int], n: int = 400) -> list[Round]:
    """Predictions on a stop set of four classes; each model changes that many from the one before."""
    rng = np.random.default_rng(0)
    predictions = [rng.integers(4, size=n)]
    for change in changes:
        new = predictions[-1].copy()
        new[rng.permutation(n)[:change]] += 1
        predictions.append(new % 4)
    return [Round(labels=10 * i, predictions=p) for i, p in enumerate(predictions)]


def test_it_stops_when_the_last_three_agreements_are_near_perfect() -> None:
    rule = StabilisingPredictions()
    history = models([200, 100, 2, 1, 1, 0, 0])
    stops = [n for n in range(len(history) + 1) if rule.should_stop(history[:n])]
    for n in range(len(history) + 1):
        kappas = [cohen_kappa_score(a.predictions, b.predictions) for a, b in pairwise(history[:n])]
        assert (n in stops) == (len(kappas) >= 3 and np.mean(kappas[-3:]) > 0.99)
    assert stops == [6, 7, 8]
    assert "mean kappa 0.99" in str(rule.should_stop(history[:6]))


def test_a_single_lapse_counts() -> None:
    history = models([0, 40, 0])
    assert StabilisingPredictions().should_stop(history) is None
    assert StabilisingPredictions(window=1).should_stop(history) is not None
    assert StabilisingPredictions(threshold=0.9).should_stop(history) is not None


def test_neither_two_agreements_nor_those_just_below_the_threshold_are_enough() -> None:
    rule = StabilisingPredictions()
    assert rule.should_stop(models([0, 0])) is None
    assert rule.should_stop(models([4, 4, 4])) is None  # kappa is about 1 − (4/400)/(3/4) = 0.987
    assert rule.should_stop(models([2, 2, 2])) is not None  # 0.993


def test_models_that_predict_one_class_are_no_reason_to_stop() -> None:
    history = [Round(labels=i, predictions=np.zeros(50, int)) for i in range(6)]
    assert StabilisingPredictions().should_stop(history) is None


def test_the_stop_set_stays_the_same() -> None:
    history = models([0, 0, 0])
    history[2] = Round(labels=20, predictions=np.zeros(7, int))
    with pytest.raises(ValueError, match=r"one stop set, actual sizes: \[400, 400, 7, 400\]"):
        StabilisingPredictions().should_stop(history)


# ----------------------------------------------------------------- uncertainty
def test_it_stops_when_what_is_left_is_certain() -> None:
    rule = OverallUncertainty(threshold=0.05)
    history = [Round(labels=i, uncertainty=u) for i, u in enumerate([0.9, 0.04, 0.05, 0.049])]
    assert [rule.should_stop(history[:n]) is not None for n in range(5)] == [False, False, True, False, True]
    assert rule.should_stop(history) == "mean uncertainty 0.049 of what is left"


# -------------------------------------------------------------------- all rules
@pytest.mark.parametrize(
    ("rule", "needs"),
    [
        (GainBelowPrice(price=1e-5), "validation"),
        (StabilisingPredictions(), "predictions"),
        (OverallUncertainty(threshold=0.1), "uncertainty"),
    ],
)
def test_a_history_that_lacks_what_is_needed_is_refused(rule: GainBelowPrice, needs: str) -> None:
    with pytest.raises(ValueError, match=f"{type(rule).__name__} needs {needs} of every round"):
        rule.should_stop([Round(labels=10 * i) for i in range(1, 20)])


@pytest.mark.parametrize(
    ("rule", "arguments"),
    [
        (GainBelowPrice, {"price": 0.0}),
        (GainBelowPrice, {"price": 1e-5, "window": 3}),
        (GainBelowPrice, {"price": 1e-5, "curve": "linear"}),
        (GainBelowPrice, {}),
        (StabilisingPredictions, {"threshold": 1.0}),
        (StabilisingPredictions, {"window": 0}),
        (OverallUncertainty, {"threshold": 0.0}),
        (OverallUncertainty, {"threshold": 1.0}),
    ],
)
def test_parameters_out_of_range(rule: type, arguments: dict) -> None:
    with pytest.raises(ValidationError):
        rule(**arguments)


def test_a_score_that_is_missing_is_no_reason_to_stop() -> None:
    history = curve_of(np.array([0.1, 0.2, 0.3, np.nan]), LABELS[:4])
    with pytest.raises(ValueError, match="scores must be finite"):
        GainBelowPrice(price=1e-9, window=4).should_stop(history)

"""Calibration: scores that mean what they say, and how far they are from it."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

Method = Literal["platt", "isotonic"]
_EDGE = 1e-6  # of logits, so that a score of 0 or 1 has one


class Calibrator:
    """A monotone map from scores to probabilities.

    ``"platt"`` is a logistic curve of the score's log-odds (Platt, "Probabilistic outputs for support vector machines",
    1999): two numbers, and no ties that weren't there but among scores within 10⁻⁶ of 0 or 1. ``"isotonic"`` is the
    best non-decreasing function (Zadrozny and Elkan, KDD 2002), linear between the samples it was fitted to: it fits
    any shape, needs more data, and ties scores together.

    Args:
        method: which.
        through_half: of Platt's curve, whether a score of a half stays one, as for scores whose two sides are alike.
    """

    def __init__(self, method: Method, *, through_half: bool = False) -> None:
        self.method = method
        self._model: LogisticRegression | IsotonicRegression = (
            LogisticRegression(C=np.inf, fit_intercept=not through_half)
            if method == "platt"
            else IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        )

    def fit(
        self,
        scores: NDArray[np.floating],
        positive: NDArray[np.bool_],
        weight: NDArray[np.floating] | None = None,
    ) -> "Calibrator":
        """Fit to scores in [0, 1] of samples that the scorer wasn't trained on; all of shape (n,)."""
        self._model.fit(self._seen(scores), positive, sample_weight=weight)
        return self

    @property
    def curve(self) -> tuple[float, float]:
        """Slope and intercept of Platt's curve in the log-odds, once it is fitted."""
        assert isinstance(self._model, LogisticRegression)
        return float(self._model.coef_[0, 0]), float(np.ravel(self._model.intercept_)[0])

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.float32]:
        """Probabilities, float32 (n,) in [0, 1]."""
        seen = self._seen(scores)
        if self.method == "platt":
            return np.asarray(self._model.predict_proba(seen)[:, 1], np.float32)
        return np.asarray(self._model.predict(seen), np.float32)

    def _seen(self, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        inside = np.clip(np.asarray(scores, np.float64), _EDGE, 1 - _EDGE)
        return np.log(inside / (1 - inside))[:, None] if self.method == "platt" else inside


def cross_calibrated(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    groups: NDArray[np.integer],
    method: Method,
    weight: NDArray[np.floating] | None = None,
    *,
    through_half: bool = False,
) -> NDArray[np.float32]:
    """Each score calibrated by what the other folds say, float32 (n,): an honest view of a calibration.

    Args:
        scores: (n,) in [0, 1], of samples that the scorer wasn't trained on.
        positive: the truth, bool (n,).
        groups: the fold of each sample, (n,).
        method: see :class:`Calibrator`.
        weight: of each sample, (n,).
        through_half: see :class:`Calibrator`.
    """
    calibrated = np.empty(len(scores), np.float32)
    for fold in np.unique(groups):
        inside = groups == fold
        others = None if weight is None else weight[~inside]
        calibrator = Calibrator(method, through_half=through_half).fit(scores[~inside], positive[~inside], others)
        calibrated[inside] = calibrator(scores[inside])
    return calibrated


def expected_calibration_error(
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    n_bins: int = 15,
    weight: NDArray[np.floating] | None = None,
) -> float:
    """Mean distance between a score and how often it is right, weighted by samples (Naeini et al., AAAI 2015).

    Args:
        scores: (n,) in [0, 1].
        positive: the truth, bool (n,).
        n_bins: of equal width.
        weight: of each sample, (n,); all equal by default.

    Returns:
        In [0, 1]; 0 is perfect.
    """
    bins = np.minimum((np.asarray(scores, np.float64) * n_bins).astype(np.intp), n_bins - 1)
    weight = np.ones(len(scores)) if weight is None else weight
    gap = np.bincount(bins, weight * (scores - positive), n_bins)
    return float(np.abs(gap).sum() / weight.sum())

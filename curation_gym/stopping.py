"""When to stop buying labels: rules that read the history of a campaign.

A rule is a configuration with one method, ``should_stop(history)``, which returns the reason to stop, or None to go
on. Labels that a rule needs for validation are part of the budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import minimize_scalar
from sklearn.metrics import cohen_kappa_score

from curation_gym.config import Config


@dataclass(frozen=True, eq=False)
class Round:
    """What is known after a round of annotation; a rule says which of it it needs.

    Attributes:
        labels: that were paid for so far, flags and validation labels included by what they cost; all answers to a
            question are one. Grows from round to round.
        validation: a score on validation samples, larger is better, for example accuracy.
        predictions: (n,) classes predicted for the stop set, samples drawn before the first round and without
            labels; the same in every round.
        uncertainty: mean over what is left of an uncertainty divided by its bound, in [0, 1].
    """

    labels: float
    validation: float | None = None
    predictions: NDArray[Any] | None = None
    uncertainty: float | None = None


History = Sequence[Round]


class GainBelowPrice(Config):
    """Stop when one more label is expected to gain less than it costs.

    A learning curve is fitted to the validation scores of the last ``window`` rounds by least squares; its slope at
    the last round is the expected gain per label. Power law: a − b · n^(−c) with c in [0.01, 10] (Figueroa,
    Zeng-Treitler, Kandula and Ngo, BMC Medical Informatics and Decision Making 12, 2012). Exponential: a − b ·
    exp(−c · (n − n_1)/(n_last − n_1)) with c in [0.01, 100] and n_1 the labels of the first round of the window. b ≥ 0:
    curves don't fall. Viering and Loog, "The Shape of Learning Curves: A Review", TPAMI 45 (2023), discuss both.

    Attributes:
        price: of a label, in units of the validation score, > 0; 1e-5 is one point of accuracy for a thousand labels.
        window: rounds, at least 4, since a curve has three parameters; noisy scores need more.
        curve: which one is fitted.
    """

    kind: Literal["gain_below_price"] = "gain_below_price"
    price: float = Field(gt=0)
    window: int = Field(10, ge=4)
    curve: Literal["power", "exponential"] = "power"

    def should_stop(self, history: History) -> str | None:
        """None before the window is full.

        Raises:
            ValueError: when a round of the window has no validation score, or labels don't grow.
        """
        if len(history) < self.window:
            return None
        recent = history[-self.window :]
        scores = np.array(_column(recent, "validation", type(self).__name__), np.float64)
        gain = expected_gain(np.array([r.labels for r in recent], np.float64), scores, self.curve)
        return f"a label is expected to gain {gain:.3g}, less than {self.price:g}" if gain < self.price else None


class StabilisingPredictions(Config):
    """Stop when successive models agree on the stop set.

    Mean of Cohen's kappa between successive models over the last ``window`` pairs above a threshold. Bloodgood and
    Vijay-Shanker, "A Method for Stopping Active Learning Based on Stabilizing Predictions and the Need for
    User-Adjustable Stopping", CoNLL 2009. The stop set needs no labels, so it can be large; theirs has thousands of
    samples. Models that predict one class only have no kappa, and no reason to stop.

    Attributes:
        threshold: in (0, 1).
        window: pairs of successive models, ≥ 1.
    """

    kind: Literal["stabilising_predictions"] = "stabilising_predictions"
    threshold: float = Field(0.99, gt=0, lt=1)
    window: int = Field(3, ge=1)

    def should_stop(self, history: History) -> str | None:
        """None before ``window`` + 1 rounds.

        Raises:
            ValueError: when a round of the window has no predictions, or another number of them.
        """
        if len(history) <= self.window:
            return None
        predictions = _column(history[-self.window - 1 :], "predictions", type(self).__name__)
        if len({np.shape(p) for p in predictions}) > 1:
            raise ValueError(f"predictions must be of one stop set, actual sizes: {[len(p) for p in predictions]}")
        kappa = float(np.mean([_kappa(a, b) for a, b in pairwise(predictions)]))
        return f"successive models agree: mean kappa {kappa:.4f}" if kappa > self.threshold else None


class OverallUncertainty(Config):
    """Stop when the model is sure of what is left: mean uncertainty below a threshold.

    Zhu, Wang and Hovy, "Multi-Criteria-Based Strategy to Stop Active Learning for Data Annotation", COLING 2008, with
    entropy. What is left may hold samples that stay uncertain however much is labelled: junk, or classes that
    overlap.

    Attributes:
        threshold: in (0, 1), for an uncertainty that was divided by its bound.
    """

    kind: Literal["overall_uncertainty"] = "overall_uncertainty"
    threshold: float = Field(gt=0, lt=1)

    def should_stop(self, history: History) -> str | None:
        """None before the first round.

        Raises:
            ValueError: when the last round has no uncertainty.
        """
        if not history:
            return None
        (uncertainty,) = _column(history[-1:], "uncertainty", type(self).__name__)
        return f"mean uncertainty {uncertainty:.4g} of what is left" if uncertainty < self.threshold else None


StoppingConfig = Annotated[GainBelowPrice | StabilisingPredictions | OverallUncertainty, Field(discriminator="kind")]
"""Which rule, and its options."""


def expected_gain(
    labels: NDArray[np.float64], scores: NDArray[np.float64], curve: Literal["power", "exponential"]
) -> float:
    """Slope per label, ≥ 0, at the last of ``labels`` of a learning curve fitted to ``scores``, both (k,).

    See :class:`GainBelowPrice`.

    Raises:
        ValueError: unless labels are > 0 and grow, and scores are finite.
    """
    if not np.isfinite(scores).all():
        raise ValueError(f"scores must be finite, actual values: {scores}")
    if not (labels[0] > 0 and (np.diff(labels) > 0).all()):
        raise ValueError(f"labels must be > 0 and grow from round to round, actual values: {labels}")
    # g falls to its value at the last round, where its slope is −c · g / scale.
    if curve == "power":
        x, scale, largest = np.log(labels / labels[-1]), labels[-1], 10.0
    else:
        span = labels[-1] - labels[0]
        x, scale, largest = (labels - labels[0]) / span, span, 100.0

    def fitted(c: float) -> tuple[float, float]:
        """Error and b of the best a − b · g; for a fixed c the problem is linear."""
        g = np.exp(-c * x)
        away, rise = g - g.mean(), scores - scores.mean()
        b = max(0.0, -float(away @ rise) / float(away @ away))
        return float(((rise + b * away) ** 2).sum()), b

    best = minimize_scalar(lambda z: fitted(float(np.exp(z)))[0], bounds=(np.log(0.01), np.log(largest)))
    c = float(np.exp(best.x))
    return fitted(c)[1] * c * float(np.exp(-c * x[-1])) / float(scale)


def _kappa(a: NDArray[Any], b: NDArray[Any]) -> float:
    """NaN where chance alone gives full agreement."""
    return float(cohen_kappa_score(a, b)) if len(np.union1d(a, b)) > 1 else float("nan")


def _column(rounds: History, name: str, rule: str) -> list[Any]:
    values = [getattr(r, name) for r in rounds]
    if any(value is None for value in values):
        raise ValueError(f"{rule} needs {name} of every round it looks at; the history has rounds without")
    return values

"""What an annotation budget bought: of the classifier and of the labels.

Labels and predictions are class indices of shape (n,), one entry per sample. What isn't defined on the given
samples (the AUC of one class, the precision of no flag) is NaN, never 0. What it saved is in
:mod:`curation_gym.evaluation.savings`; area under a curve, labels to a target and differences over paired seeds are in
:mod:`curation_gym.evaluation.statistics`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score, roc_curve

from curation_gym.evaluation.statistics import Estimate


# ------------------------------------------------------------------ classifier
def accuracy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Share of predictions that are right, in [0, 1]."""
    return float(accuracy_score(labels, predictions))


def macro_f1(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Mean over classes of F1, in [0, 1]; over the classes that occur in labels.

    A class that is only predicted has none of its own: within a domain, whose classes are few, a single stray
    prediction of each of the others would decide.
    """
    return float(f1_score(labels, predictions, labels=np.unique(labels), average="macro", zero_division=0))


def one_vs_rest_auc(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean over classes of the area under the ROC curve of a class against all others, in [0, 1].

    Over the classes that occur in ``labels``; NaN when that is only one.

    Args:
        labels: (n,) in 0 … K − 1.
        probabilities: (n, K), or any score that is larger for what is more probable.

    Raises:
        ValueError: when the shapes don't fit, or for a label outside 0 … K − 1.
    """
    truth, scores = np.asarray(labels), np.asarray(probabilities)
    if truth.ndim != 1 or scores.shape[:-1] != truth.shape:
        raise ValueError(f"labels (n,) and probabilities (n, K) are needed, actual: {truth.shape}, {scores.shape}")
    present = np.unique(truth)
    if len(present) and not 0 <= present[0] <= present[-1] < scores.shape[1]:
        raise ValueError(f"labels must be in 0 … {scores.shape[1] - 1}, actual: {present[0]} … {present[-1]}")
    if len(present) < 2:
        return float("nan")
    return float(roc_auc_score(truth[:, None] == present, scores[:, present], average="macro"))


def per_domain(
    metric: Callable[[Any, Any], float], labels: ArrayLike, outputs: ArrayLike, domain: ArrayLike
) -> dict[Any, float]:
    """A metric within each domain: a pooled one mostly says which domains are easy.

    Args:
        metric: of (labels, outputs), for example :func:`macro_f1` or :func:`one_vs_rest_auc`.
        labels: (n,).
        outputs: (n,) predictions or (n, K) probabilities.
        domain: (n,), codes or names.

    Raises:
        ValueError: when the lengths differ.
    """
    truth, given, of = np.asarray(labels), np.asarray(outputs), np.asarray(domain)
    if not len(truth) == len(given) == len(of):
        raise ValueError(f"lengths must be equal, actual: {len(truth)}, {len(given)}, {len(of)}")
    return {name: metric(truth[of == name], given[of == name]) for name in np.unique(of).tolist()}


def accuracy_under_shift(correct: ArrayLike, correct_shifted: ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Accuracy on shifted samples minus accuracy on samples like those trained on, with its interval.

    Newcombe's hybrid score interval for a difference of independent proportions (Statistics in Medicine 17, 1998,
    method 10). It covers the choice of test samples for one model; over several models, take
    :func:`curation_gym.evaluation.statistics.paired_difference` of their accuracies.

    Args:
        correct: (n,), whether the model was right on each sample; n ≥ 1.
        correct_shifted: (m,), of the shifted samples.
        confidence: of the interval, in (0, 1).
    """
    (p, p_low, p_high), (q, q_low, q_high) = (_share(x, confidence) for x in (correct, correct_shifted))
    low = q - p - np.hypot(q - q_low, p_high - p)
    return Estimate(q - p, float(low), float(q - p + np.hypot(q_high - q, p - p_low)))


def leave_one_domain_out(
    fit_predict: Callable[[NDArray[Any], NDArray[Any], NDArray[Any]], ArrayLike],
    X: ArrayLike,
    labels: ArrayLike,
    domain: ArrayLike,
    *,
    shots: Sequence[int] = (0,),
    seed: int = 0,
) -> dict[int, dict[Any, float]]:
    """Accuracy on a domain when training saw the others, and k samples per class of it.

    Args:
        fit_predict: (X_train, labels_train, X_test) → predictions (n_test,).
        X: (n, …).
        labels: (n,).
        domain: (n,), codes or names; at least two.
        shots: values of k ≥ 0; 0 is zero-shot. The k samples are nested, and a domain is tested on those of its
            samples that no k trains on, so that accuracies of several k are comparable.
        seed: of the choice of samples.

    Returns:
        k → domain → accuracy.

    Raises:
        ValueError: for fewer than two domains, a k below 0, or a class that has too few samples in a domain to
            leave one for the test.
    """
    inputs, truth, of = np.asarray(X), np.asarray(labels), np.asarray(domain)
    names = np.unique(of).tolist()
    if len(names) < 2 or not shots or min(shots) < 0:
        raise ValueError(f"two domains and shots >= 0 are needed, actual: {len(names)} domain(s), shots {list(shots)}")
    rng = np.random.default_rng(seed)
    result: dict[int, dict[Any, float]] = {k: {} for k in shots}
    for name in names:
        others, own = np.flatnonzero(of != name), rng.permutation(np.flatnonzero(of == name))
        rank = pd.Series(truth[own]).groupby(truth[own]).cumcount().to_numpy()
        if max(shots) > 0:
            classes, counts = np.unique(truth[own], return_counts=True)
            if counts.min() <= max(shots):
                raise ValueError(
                    f"class {classes[counts.argmin()]} has {counts.min()} samples in domain {name!r}, which leaves "
                    f"none to test after {max(shots)} shots; lower shots, or drop the class"
                )
        test = own[rank >= max(shots)]
        for k in shots:
            train = np.concatenate([others, own[rank < k]])
            predictions = fit_predict(inputs[train], truth[train], inputs[test])
            result[k][name] = accuracy(truth[test], predictions)
    return result


# ---------------------------------------------------------------------- labels
def label_quality(answers: ArrayLike, truth: ArrayLike) -> float:
    """Share of labels that equal the truth, in [0, 1]; NaN without a label.

    Args:
        answers: (n,) what was answered; below 0 it is a flag or an abstention, which is no label and doesn't count.
        truth: (n,); below 0: out of scope, where every label is wrong.
    """
    given, right = np.asarray(answers), np.asarray(truth)
    labels = given >= 0
    return float((given == right)[labels].mean()) if labels.any() else float("nan")


class FlagQuality(NamedTuple):
    """Precision and recall of flags, each in [0, 1] or NaN."""

    precision: float
    recall: float


def flag_quality(flagged: ArrayLike, out_of_scope: ArrayLike) -> FlagQuality:
    """How many flags were right, and how many samples that deserved one got one; (n,) booleans.

    Precision is NaN without a flag, recall without a sample out of scope.
    """
    precision, recall = (
        float(score(np.asarray(out_of_scope, np.bool_), np.asarray(flagged, np.bool_), zero_division=np.nan))
        for score in (precision_score, recall_score)
    )
    return FlagQuality(precision, recall)


class DomainBalance(NamedTuple):
    """How evenly labels were spent.

    Attributes:
        entropy: H(shares) / ln D, in [0, 1]; 1 is an equal share for each of D domains.
        gini: Σ_ij |x_i − x_j| / (2 D Σ_i x_i), in [0, 1 − 1/D]; 0 is an equal share (Gini, 1912).
    """

    entropy: float
    gini: float


def domain_balance(spent: ArrayLike) -> DomainBalance:
    """Balance of the labels spent per domain, (D,) ≥ 0 with D ≥ 2.

    Raises:
        ValueError: for fewer than two domains, a negative number, or no label at all.
    """
    x = np.asarray(spent, np.float64)
    if x.ndim != 1 or len(x) < 2 or not (x >= 0).all() or x.sum() == 0:
        raise ValueError(f"spent must hold two or more numbers >= 0, not all 0; actual value: {x}")
    share = x / x.sum()
    some = share[share > 0]
    gini = np.abs(share[:, None] - share).sum() / (2 * len(x))
    return DomainBalance(float(-(some @ np.log(some)) / np.log(len(x))), float(gini))


class Detection(NamedTuple):
    """How well a score tells samples out of scope from others, both in [0, 1].

    Attributes:
        auroc: probability that a sample out of scope scores higher than one in scope; ties count half.
        fpr_at_95_tpr: share of samples out of scope that pass when the threshold lets 95 % of those in scope pass.
    """

    auroc: float
    fpr_at_95_tpr: float


def ood_detection(scores: ArrayLike, out_of_scope: ArrayLike) -> Detection:
    """Detection of samples out of scope by a score, for example an uncertainty.

    In scope is the positive class of FPR at 95 % TPR, as in Liang, Li and Srikant, "Enhancing the Reliability of
    Out-of-distribution Image Detection in Neural Networks" (ICLR 2018).

    Args:
        scores: (n,), larger for what is more likely out of scope.
        out_of_scope: (n,) booleans.

    Raises:
        ValueError: unless there are samples of both kinds.
    """
    x, out = np.asarray(scores), np.asarray(out_of_scope, np.bool_)
    if out.all() or not out.any():
        raise ValueError(f"samples in and out of scope are needed, actual: {(~out).sum()} and {out.sum()}")
    fpr, tpr, _ = roc_curve(~out, -x, drop_intermediate=False)
    return Detection(float(roc_auc_score(out, x)), float(fpr[np.argmax(tpr >= 0.95)]))


def _share(correct: ArrayLike, confidence: float) -> tuple[float, float, float]:
    right = np.asarray(correct, np.bool_)
    wilson = binomtest(int(right.sum()), right.size).proportion_ci(confidence, method="wilson")
    return float(right.mean()), float(wilson.low), float(wilson.high)

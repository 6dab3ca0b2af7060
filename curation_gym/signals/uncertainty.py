"""Uncertainty of an ensemble's predictions.

Every function takes probabilities of shape (members, samples, classes), each distribution summing to 1, and
returns one number per sample, shape (samples,). Larger is more uncertain. Entropies and divergences are in
nats; the others are shares or differences of probabilities. Notation: p_m is member m's distribution over K
classes, p̄ = (1/M) Σ_m p_m the ensemble's, H(p) = −Σ_k p_k ln p_k. In every logarithm p stands for max(p, ε), ε
= 10⁻⁸: so 0 · ln 0 = 0, divergences are finite, and an entropy is too small by at most K ε / e.
"""

import math
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating]
Scores = NDArray[np.floating]
FLOOR = 1e-8  # ε


def entropy(probabilities: Probabilities, member: int = 0) -> Scores:
    """Predictive entropy of one member, H(p_member), in [0, ln K] nats (Shannon, 1948).

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _entropy(_checked(probabilities)[member])


def ensemble_entropy(probabilities: Probabilities) -> Scores:
    """Entropy of the mean, H(p̄), in [0, ln K] nats: total uncertainty. Equals member_entropy + disagreement.

    The decomposition is that of Depeweg et al., "Decomposition of Uncertainty in Bayesian Deep Learning for Efficient
    and Risk-sensitive Learning" (ICML 2018).

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _Ensemble(probabilities).ensemble_entropy


def member_entropy(probabilities: Probabilities) -> Scores:
    """Mean entropy of the members, (1/M) Σ_m H(p_m), in [0, ln K] nats: what no member can resolve;
    the other part of that decomposition.

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _Ensemble(probabilities).member_entropy


def disagreement(probabilities: Probabilities) -> Scores:
    """Expected divergence from the mean, (1/M) Σ_m KL(p_m ‖ p̄) = H(p̄) − (1/M) Σ_m H(p_m), in [0, min(ln M,
    ln K)].

    KL to the mean of a committee is McCallum and Nigam (ICML 1998); as the mutual information between label
    and member it is BALD (Houlsby et al., 2011).

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _Ensemble(probabilities).disagreement


def pairwise_kl(probabilities: Probabilities) -> Scores:
    """Mean divergence of one member from another, 1/(M(M−1)) Σ_{m≠m'} KL(p_m ‖ p_m'), in [0, ln(1/ε)].

    0 for a single member. Never less than disagreement, and unlike it sensitive to what a member all but
    excludes. Expected pairwise KL of Malinin and Gales, "Uncertainty Estimation in Autoregressive Structured
    Prediction" (ICLR 2021), without the pairs of a member with itself. O(M · K) rather than O(M² · K) per
    sample: Σ_{m≠m'} KL(p_m ‖ p_m') = M Σ_m Σ_k p_mk ln p_mk − Σ_k (Σ_m p_mk)(Σ_m ln p_mk).

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _Ensemble(probabilities).pairwise_kl


def variance(probabilities: Probabilities) -> Scores:
    """Variance between members, summed over classes, Σ_k (1/M) Σ_m (p_mk − p̄_k)², in [0, 1 − 1/min(M, K)].

    With a weight of 1/(2 p̄_k) for each class it would be disagreement to second order: Smith and Gal,
    "Understanding Measures of Uncertainty for Adversarial Example Detection" (UAI 2018).

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _Ensemble(probabilities).variance


def variation_ratio(probabilities: Probabilities) -> Scores:
    """Share of members that don't vote for the class with most votes, 1 − max_k |{m : p_mk = max_j p_mj}| / M, in
    [0, 1 − 1/min(M, K)].

    A member votes for its most probable class, and for each of several equally probable ones. Freeman,
    "Elementary Applied Statistics" (1965).

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _Ensemble(probabilities).variation_ratio


def margin(probabilities: Probabilities) -> Scores:
    """Lack of margin, 1 − (p̄_(1) − p̄_(2)) with the two largest probabilities of the mean, in [0, 1].

    Scheffer, Decomain and Wrobel (IDA 2001), as one minus the margin, so that larger is more uncertain.

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _Ensemble(probabilities).margin


def single_margin(probabilities: Probabilities, member: int = 0) -> Scores:
    """Lack of margin of one member, as :func:`margin` of the ensemble's mean, in [0, 1].

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _lack_of_margin(_two_largest(_checked(probabilities)[member]))


def ratio(probabilities: Probabilities) -> Scores:
    """Ratio of confidence, p̄_(2) / p̄_(1) of the two largest probabilities of the mean, in [0, 1].

    The margin of log-probabilities: what many classes share a little ranks as high as what two classes share. "Ratio of
    confidence" in Monarch, "Human-in-the-Loop Machine Learning" (2021).

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _Ensemble(probabilities).ratio


def least_confidence(probabilities: Probabilities) -> Scores:
    """1 − max_k p̄_k, in [0, 1 − 1/K] (Lewis and Gale, SIGIR 1994).

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _Ensemble(probabilities).least_confidence


MEASURES: dict[str, Callable[[Probabilities], Scores]] = {
    "entropy": entropy,
    "ensemble_entropy": ensemble_entropy,
    "member_entropy": member_entropy,
    "disagreement": disagreement,
    "pairwise_kl": pairwise_kl,
    "variance": variance,
    "variation_ratio": variation_ratio,
    "margin": margin,
    "single_margin": single_margin,
    "ratio": ratio,
    "least_confidence": least_confidence,
}


def bound(measure: str, members: int, classes: int) -> float:
    """The upper end of a measure's range, by which observations divide it.

    Raises:
        ValueError: for an unknown measure, or fewer than two members or classes, for which it may be 0.
    """
    _known(measure)
    if min(members, classes) < 2:
        raise ValueError(f"members and classes must be >= 2, actual values: {members}, {classes}")
    corners = min(members, classes)  # a measure of difference is largest when members are certain and differ
    others = {
        "disagreement": math.log(corners),
        "pairwise_kl": -math.log(FLOOR),
        "variance": 1 - 1 / corners,
        "variation_ratio": 1 - 1 / corners,
        "margin": 1.0,
        "single_margin": 1.0,
        "ratio": 1.0,
        "least_confidence": 1 - 1 / classes,
    }
    return others.get(measure, math.log(classes))


def measures(probabilities: Probabilities, names: Sequence[str]) -> NDArray[np.floating]:
    """Several measures at once, shape (len(names), samples) in their order.

    What they share is computed once, and what none of them needs isn't computed.

    Raises:
        ValueError: for an unknown name, no name, or when the shape isn't (members, samples, classes).
    """
    if not names:
        raise ValueError(f"name at least one measure of {', '.join(MEASURES)}")
    for name in names:
        _known(name)
    ensemble = _Ensemble(probabilities)
    return np.stack([getattr(ensemble, name) for name in names])


class _Ensemble:
    """The measures of one set of predictions, and what they share; each is computed when first asked for."""

    def __init__(self, probabilities: Probabilities) -> None:
        self.p = _checked(probabilities)

    @cached_property
    def mean(self) -> Probabilities:
        result: Probabilities = self.p.mean(0)
        return result

    @cached_property
    def log(self) -> Probabilities:
        return _log(self.p)

    @cached_property
    def entropies(self) -> NDArray[np.floating]:
        return _entropy(self.p, self.log)

    @cached_property
    def entropy(self) -> Scores:
        result: Scores = self.entropies[0]
        return result

    @cached_property
    def ensemble_entropy(self) -> Scores:
        return _entropy(self.mean)

    @cached_property
    def member_entropy(self) -> Scores:
        result: Scores = self.entropies.mean(0)
        return result

    @cached_property
    def disagreement(self) -> Scores:
        return _gap(self.ensemble_entropy, self.member_entropy)

    @cached_property
    def pairwise_kl(self) -> Scores:
        members = len(self.p)
        crossed = -np.einsum("nk,nk->n", self.mean, self.log.mean(0))
        return _gap(crossed, self.member_entropy) * (members / max(members - 1, 1))

    @cached_property
    def variance(self) -> Scores:
        return _gap(np.einsum("mnk,mnk->n", self.p, self.p) / len(self.p), np.einsum("nk,nk->n", self.mean, self.mean))

    @cached_property
    def variation_ratio(self) -> Scores:
        votes = self.p == self.p.max(-1, keepdims=True)
        modal = votes.sum(0, dtype=np.uint16).max(-1)
        result: Scores = (1 - modal / len(votes)).astype(self.p.dtype)
        return result

    @cached_property
    def two_largest(self) -> Probabilities:
        return _two_largest(self.mean)

    @cached_property
    def margin(self) -> Scores:
        return _lack_of_margin(self.two_largest)

    @cached_property
    def single_margin(self) -> Scores:
        return _lack_of_margin(_two_largest(self.p[0]))

    @cached_property
    def ratio(self) -> Scores:
        result: Scores = self.two_largest[..., 0] / self.two_largest[..., 1]
        return result

    @cached_property
    def least_confidence(self) -> Scores:
        result: Scores = 1 - self.mean.max(-1)
        return result


def _known(measure: str) -> None:
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, actual value: {measure!r}")


def _checked(probabilities: Probabilities) -> Probabilities:
    if probabilities.ndim != 3 or probabilities.shape[0] == 0 or probabilities.shape[2] < 2:
        raise ValueError(
            "probabilities must have shape (members, samples, classes) with two classes or more, actual shape: "
            f"{probabilities.shape}"
        )
    if np.isnan(probabilities.sum()):
        row = int(np.isnan(probabilities).any((0, 2)).argmax())
        raise ValueError(f"probabilities must be numbers; those of sample {row} hold NaN")
    return probabilities if probabilities.dtype != np.float16 else probabilities.astype(np.float32)


def _two_largest(p: Probabilities) -> Probabilities:
    """(samples, 2) of (samples, classes), the largest last."""
    result: Probabilities = np.partition(p, -2, axis=-1)[..., -2:]
    return result


def _lack_of_margin(two_largest: Probabilities) -> Scores:
    result: Scores = 1 - (two_largest[..., 1] - two_largest[..., 0])
    return result


def _log(p: Probabilities) -> Probabilities:
    positive: Probabilities = np.maximum(p, p.dtype.type(FLOOR))
    return np.log(positive, out=positive)


def _entropy(p: Probabilities, log: Probabilities | None = None) -> Scores:
    terms: Scores = np.einsum("...k,...k->...", p, _log(p) if log is None else log)
    return np.maximum(-terms, 0)


def _gap(total: Scores, within: Scores) -> Scores:
    return np.maximum(total - within, 0)  # Jensen: below 0 only by rounding

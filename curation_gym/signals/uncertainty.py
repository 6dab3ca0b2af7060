"""Uncertainty of an ensemble's predictions.

Every function takes probabilities of shape (members, samples, classes), each distribution summing to 1, and
returns one number per sample, shape (samples,). Larger is more uncertain. Entropies and divergences are in
nats; margin and least confidence are differences of probabilities. Notation: p_m is member m's distribution
over K classes, p̄ = (1/M) Σ_m p_m the ensemble's, H(p) = −Σ_k p_k ln p_k with 0 · ln 0 = 0.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Probabilities = NDArray[np.floating]
Scores = NDArray[np.floating]


def entropy(probabilities: Probabilities, member: int = 0) -> Scores:
    """Predictive entropy of one member, H(p_member), in [0, ln K] nats (Shannon, 1948).

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _entropy(_checked(probabilities)[member])


def ensemble_entropy(probabilities: Probabilities) -> Scores:
    """Entropy of the mean, H(p̄), in [0, ln K] nats: total uncertainty. Equals member_entropy + disagreement.

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _entropy(_checked(probabilities).mean(0))


def member_entropy(probabilities: Probabilities) -> Scores:
    """Mean entropy of the members, (1/M) Σ_m H(p_m), in [0, ln K] nats: what no member can resolve.

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    result: Scores = _entropy(_checked(probabilities)).mean(0)
    return result


def disagreement(probabilities: Probabilities) -> Scores:
    """Expected divergence from the mean, (1/M) Σ_m KL(p_m ‖ p̄) = H(p̄) − (1/M) Σ_m H(p_m), in [0, min(ln M,
    ln K)].

    KL to the mean of a committee is McCallum and Nigam (ICML 1998); as the mutual information between label
    and member it is BALD (Houlsby et al., 2011).

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _gap(ensemble_entropy(probabilities), member_entropy(probabilities))


def margin(probabilities: Probabilities) -> Scores:
    """Lack of margin, 1 − (p̄_(1) − p̄_(2)) with the two largest probabilities of the mean, in [0, 1].

    Scheffer, Decomain and Wrobel (IDA 2001), as one minus the margin, so that larger is more uncertain.

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    return _margin(_checked(probabilities).mean(0))


def least_confidence(probabilities: Probabilities) -> Scores:
    """1 − max_k p̄_k, in [0, 1 − 1/K] (Lewis and Gale, SIGIR 1994).

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    result: Scores = 1 - _checked(probabilities).mean(0).max(-1)
    return result


MEASURES: dict[str, Callable[[Probabilities], Scores]] = {
    "entropy": entropy,
    "ensemble_entropy": ensemble_entropy,
    "member_entropy": member_entropy,
    "disagreement": disagreement,
    "margin": margin,
    "least_confidence": least_confidence,
}


def bound(measure: str, members: int, classes: int) -> float:
    """The largest value a measure can take, by which observations divide it.

    Raises:
        ValueError: for an unknown measure, or fewer than two members or classes, for which it may be 0.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure must be one of {', '.join(MEASURES)}, actual value: {measure!r}")
    if min(members, classes) < 2:
        raise ValueError(f"members and classes must be >= 2, actual values: {members}, {classes}")
    if measure == "disagreement":
        return float(np.log(min(members, classes)))
    return {"margin": 1.0, "least_confidence": 1 - 1 / classes}.get(measure, float(np.log(classes)))


def all_measures(probabilities: Probabilities) -> NDArray[np.floating]:
    """Every measure at once, shape (len(MEASURES), samples) in their order: intermediate results are shared.

    Raises:
        ValueError: when the shape isn't (members, samples, classes).
    """
    mean = _checked(probabilities).mean(0)
    of_members, of_mean = _entropy(probabilities), _entropy(mean)
    within = of_members.mean(0)
    return np.stack([of_members[0], of_mean, within, _gap(of_mean, within), _margin(mean), 1 - mean.max(-1)])


def _checked(probabilities: Probabilities) -> Probabilities:
    if probabilities.ndim != 3 or 0 in (probabilities.shape[0], probabilities.shape[2]):
        raise ValueError(
            f"probabilities must have shape (members, samples, classes), actual shape: {probabilities.shape}"
        )
    return probabilities


def _entropy(p: Probabilities) -> Scores:
    # p ln p is 0 at 0; the smallest normal number in place of 0 keeps the logarithm finite
    terms: Scores = np.einsum("...k,...k->...", p, np.log(np.maximum(p, np.finfo(p.dtype).tiny)))
    return np.maximum(-terms, 0)


def _gap(total: Scores, within: Scores) -> Scores:
    return np.maximum(total - within, 0)  # Jensen: below 0 only by rounding


def _margin(mean: Probabilities) -> Scores:
    two = np.partition(mean, -2, axis=-1)[..., -2:]
    result: Scores = 1 - (two[..., 1] - two[..., 0])
    return result

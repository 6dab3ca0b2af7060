"""How far annotators agree, beyond chance.

Answers are class indices, −1 for a flag, which is a category of its own, and −2 for no answer: an abstention, or a
question that wasn't asked. Chance-corrected measures are 1 for full agreement, 0 for that of chance, below 0 for
less; they are NaN where all answers are the same, since chance then explains everything (0/0).
"""

import krippendorff
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats import inter_rater

from curation_gym.annotators.answers import ABSTENTION, FLAG


def pairwise_agreement(answers: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of the samples that both answered on which two annotators say the same; not corrected for chance.

    Args:
        answers: (n, W), a column per annotator, see :func:`curation_gym.annotators.crowd.by_annotator`.

    Returns:
        (W, W), symmetric, in [0, 1]; NaN where two have no sample in common.

    Raises:
        ValueError: when the shape isn't (n, W) or an answer is below −2.
    """
    _check(answers)
    answered = (answers != ABSTENTION).astype(np.float64)
    common = answered.T @ answered
    same = np.zeros_like(common)
    for option in np.unique(answers[answers != ABSTENTION]):
        said = (answers == option).astype(np.float64)
        same += said.T @ said
    share: NDArray[np.float64] = np.divide(same, common, out=np.full(common.shape, np.nan), where=common > 0)
    return share


def cohen_kappa(one: NDArray[np.integer], other: NDArray[np.integer]) -> float:
    """κ = (p_o − p_e) / (1 − p_e) of two annotators (Cohen, Educational and Psychological Measurement 1960).

    p_o is the share of samples on which they agree, p_e = Σ_k p_1k p_2k what chance would give with each one's own
    shares. Samples that only one answered are left out.

    Args:
        one: (n,) answers.
        other: (n,) answers to the same samples.

    Raises:
        ValueError: when the shapes differ, an answer is below −2, or no sample was answered by both.
    """
    if one.ndim != 1 or one.shape != other.shape:
        raise ValueError(f"answers of two must both be (n,), actual shapes: {one.shape} and {other.shape}")
    both = _complete(np.stack([one, other], axis=1))
    if len(np.unique(both)) == 1:
        return float("nan")
    return float(cohen_kappa_score(both[:, 0], both[:, 1]))


def fleiss_kappa(answers: NDArray[np.integer]) -> float:
    """κ = (P̄ − P̄_e) / (1 − P̄_e) of several answers per sample, whoever gave them (Fleiss, Psychological Bulletin 1971).

    P̄ is the mean over samples of the share of agreeing pairs, P̄_e = Σ_k p_k² with the shares of all answers. The
    measure is defined for equally many answers per sample: samples with a missing one are left out.

    Args:
        answers: (n, r), r ≥ 2 answers per sample; not a column for each of W > r annotators, which is never full.

    Raises:
        ValueError: when the shape isn't (n, r), an answer is below −2, or no sample has all r answers.
    """
    counts = _counts(_complete(answers))
    return float(inter_rater.fleiss_kappa(counts)) if counts.shape[1] > 1 else float("nan")


def krippendorff_alpha(answers: NDArray[np.integer]) -> float:
    """α = 1 − D_o / D_e for nominal categories and any number of answers per sample (Krippendorff, Content Analysis).

    D_o is the observed disagreement, over all pairs of answers to the same sample, each sample weighted by its
    number of answers; D_e is that over all pairs of answers whatever. Missing answers are simply absent; samples with
    fewer than two answers say nothing and are left out. Memory grows as n · K²: half a gigabyte for 1,000 samples of
    151 classes.

    Args:
        answers: (n, r) or (n, W); which column an answer stands in doesn't matter.

    Raises:
        ValueError: when the shape isn't (n, r), an answer is below −2, or no sample has two answers.
    """
    _check(answers)
    pairable = answers[(answers != ABSTENTION).sum(1) >= 2]
    if len(pairable) == 0:
        raise ValueError("no sample has two answers, so there is nothing to agree on")
    counts = _counts(pairable)
    if counts.shape[1] == 1:
        return float("nan")
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _check(answers: NDArray[np.integer]) -> None:
    if answers.ndim != 2 or answers.shape[1] < 2:
        raise ValueError(f"answers must be (n, r) with r >= 2, actual shape: {answers.shape}")
    if answers.size and answers.min() < ABSTENTION:
        raise ValueError(f"answers must be >= -2, actual smallest value: {answers.min()}")


def _complete(answers: NDArray[np.integer]) -> NDArray[np.integer]:
    """The samples that everybody answered."""
    _check(answers)
    complete: NDArray[np.integer] = answers[(answers != ABSTENTION).all(1)]
    if len(complete) == 0:
        raise ValueError(f"no sample has all {answers.shape[1]} answers; krippendorff_alpha takes missing ones")
    return complete


def _counts(answers: NDArray[np.integer]) -> NDArray[np.int64]:
    """(n, options), how often each sample got each answer that occurs at all."""
    options = np.unique(answers[answers >= FLAG])
    return np.stack([(answers == option).sum(1) for option in options], axis=1)

"""What a policy saves of the labels that another needs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curation_gym.evaluation.statistics import Estimate, Scores, bootstrap, first_crossing

Curves = Sequence[tuple[ArrayLike, ArrayLike]]
"""(labels spent, accuracy) per seed, both of shape (k,) with labels ascending; k may differ between seeds."""


def savings(
    labels_policy: Curves,
    labels_baseline: Curves,
    targets: float | Sequence[float],
    *,
    n: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Share of the baseline's labels that a policy saves on its way to an accuracy.

    1 − median(policy) / median(baseline) of the labels at which curves first reach the target, over paired seeds;
    the mean of it over several targets. Negative when the policy arrives later than the baseline; 0 when its median
    never arrives, which saves nothing. Of a baseline that never arrives, what it spent in all stands for what it would
    have needed, so the estimate is a lower bound.

    Args:
        labels_policy, labels_baseline: a curve per seed, the same seeds in the same order.
        targets: accuracies, settled before the curves were seen; the interval takes them as they are.
        n: resamples of seeds for the percentile interval; pairs, and all targets of a seed, stay together.
        confidence: of the interval, in (0, 1).
        seed: of the resampling.

    Raises:
        ValueError: when numbers of seeds differ, without seeds or targets, or for a baseline that reaches a target
            with no label.
    """
    pairs = [_labels_needed(labels_policy, labels_baseline, targets)]
    return bootstrap(_saved, pairs, n=n, confidence=confidence, seed=seed)


def mean_savings(
    studies: Sequence[tuple[Curves, Curves, float | Sequence[float]]],
    *,
    n: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Mean of :func:`savings` over studies, each with its own targets; seeds are resampled within each.

    Args:
        studies: (curves of the policy, of the baseline, targets) of each, as for :func:`savings`; at least one.
        n, confidence, seed: as for :func:`savings`.

    Raises:
        ValueError: as :func:`savings` does, and without a study.
    """
    if not studies:
        raise ValueError("mean_savings needs at least one study, actual number: 0")
    pairs = [_labels_needed(*study) for study in studies]
    return bootstrap(_mean_saved, pairs, n=n, confidence=confidence, seed=seed)


def _labels_needed(
    labels_policy: Curves, labels_baseline: Curves, targets: float | Sequence[float]
) -> NDArray[np.float64]:
    """By policy and baseline, (2, targets, seeds); of a policy that never arrives, infinitely many."""
    goals = np.atleast_1d(np.asarray(targets, np.float64))
    if len(labels_policy) != len(labels_baseline) or not len(labels_policy) or not len(goals):
        raise ValueError(
            "curves of the same seeds, and a target, are needed; actual: "
            f"{len(labels_policy)} and {len(labels_baseline)} curves, {len(goals)} targets"
        )
    ends = [float(np.asarray(labels)[-1]) for labels, _ in labels_baseline]
    base = np.minimum(_needed(labels_baseline, goals), ends)
    if not (base > 0).all():
        raise ValueError("the baseline reaches a target with no label at all; there is nothing to save")
    return np.stack([_needed(labels_policy, goals), base])


def _needed(curves: Curves, targets: NDArray[np.float64]) -> NDArray[np.float64]:
    """(targets, seeds)."""
    return np.array([[first_crossing(*curve, target) for curve in curves] for target in targets])


def _saved(scores: Scores) -> NDArray[np.float64]:
    policy, baseline = np.median(scores[0], axis=-1)
    return np.asarray(np.mean(np.where(np.isfinite(policy), 1 - policy / baseline, 0.0), axis=0))


def _mean_saved(scores: Scores) -> NDArray[np.float64]:
    return np.asarray(np.mean([_saved([study]) for study in scores], axis=0))

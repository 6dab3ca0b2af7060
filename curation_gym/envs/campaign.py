"""One annotation campaign: what was asked, what the learner made of it, and what is left to ask."""

from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from curation_gym.annotators.simulated import SimulatedAnnotator
from curation_gym.envs.acquisition import best, diverse
from curation_gym.envs.annotation_setting import Setting
from curation_gym.learners.linear import LinearEnsemble
from curation_gym.signals.uncertainty import MEASURES, all_measures, bound

_BLOCK = 4096  # samples scored at a time, so that memory doesn't grow with pool × classes × members


class AnnotationInfo(TypedDict, total=False):
    """``info`` of AnnotationAllocation-v0, see the environment; a reset has the first three only."""

    labels_spent: int
    flags: int
    test_accuracy: float
    raw_reward: float
    validation_gain: float
    uncertainty_reduction: float
    novelty: float
    feedback: float
    invalid: bool


class Pull(NamedTuple):
    """What one pull brought; per label the arm it is credited to, its reward and whether it was a flag."""

    info: AnnotationInfo
    arms: NDArray[np.intp]
    rewards: NDArray[np.float64]
    flagged: NDArray[np.bool_]


class Campaign:
    """The state of one episode. ``copy.deepcopy`` gives an independent one that shares what never changes.

    Everything random is drawn here, before the first pull and independently of the arms, so that under one
    seed policies meet the same first labels, the same answers, the same bootstrap weights and the same random
    order, also on different arms. The weights are those of the Bayesian bootstrap (Rubin, 1981): Exp(1) for
    every sample and member, but 1 for member 0, which so is the single model.

    Attributes:
        left: (n,), candidates that weren't asked about.
        asked: candidates asked about, in order, and ``answers`` their labels, −1 where flagged.
        spent: labels, including first and validation labels and flags.
        uncertainty: (measures, n), divided by their bounds.
        last_reward: of the last pull.
    """

    def __init__(self, setting: Setting, seed: int) -> None:
        self.setting = setting
        cfg, n = setting.config, len(setting.X)
        seeds = np.random.SeedSequence(seed).spawn(6)
        first, order, bootstrap, check = (np.random.default_rng(s) for s in seeds[:4])
        self._annotator = SimulatedAnnotator(setting.hidden, setting.classes, cfg.annotator, seeds[4])
        self._priority = order.random(n, np.float32)
        weight = bootstrap.standard_exponential((cfg.members, n), np.float32)
        weight[0] = 1
        self._weight = np.maximum(weight, np.finfo(np.float32).tiny)
        X, hidden = setting.validation
        drawn = check.permutation(len(X))[: cfg.n_validation]
        replies = SimulatedAnnotator(hidden, setting.classes, cfg.annotator, seeds[5]).ask(drawn)
        self._validation = X[drawn[~replies.flagged]], replies.labels[~replies.flagged]
        self.left = np.ones(n, np.bool_)
        self.asked = np.zeros(0, np.intp)
        self.answers = np.zeros(0, np.int64)
        self.spent = replies.cost
        self.last_reward = 0.0
        self._sums = setting.sums.copy()
        self.learner = LinearEnsemble(cfg.members, setting.classes, X.shape[1], C=cfg.C)
        self._ask(first.permutation(n)[: cfg.n_initial])
        self._learn()

    # ------------------------------------------------------------------ pulls
    def pull(self, weights: NDArray[Any]) -> Pull:
        """Spend one batch of labels.

        Args:
            weights: (arms,) ≥ 0; each multiplies the criterion (divided by its bound) of the samples of its
                arm, and a sample's score is the sum over its arms. A hard pull is one weight of 1.

        A label is credited to the arm that contributed most to its sample's score. When no arm with a weight
        has a sample left, the pull is invalid and brings no label.
        """
        chosen, arms = self._choose(weights)
        if not len(chosen):
            self.last_reward = 0.0
            none = np.zeros(0, np.bool_)
            return Pull(self._info(none, np.zeros((4, 1))), arms, np.zeros(0), none)
        novelty = self._novelty(chosen)
        entropy, quality = self.measure("ensemble_entropy"), self._quality()
        flagged = self._ask(chosen)
        self._learn()
        eased = self._mean_left(entropy - self.measure("ensemble_entropy"))
        parts = np.stack(np.broadcast_arrays(self._quality() - quality, eased, novelty, 1.0 - flagged))
        rewards = np.array(self.setting.config.reward.in_order()) @ parts
        self.last_reward = float(rewards.mean())
        return Pull(self._info(flagged, parts), arms, rewards, flagged)

    def _info(self, flagged: NDArray[np.bool_], parts: NDArray[np.float64]) -> AnnotationInfo:
        gain, reduction, novelty, feedback = (float(part) for part in parts.mean(1))
        return AnnotationInfo(
            labels_spent=self.spent,
            flags=int(flagged.sum()),
            raw_reward=self.last_reward,
            validation_gain=gain,
            uncertainty_reduction=reduction,
            novelty=novelty,
            feedback=feedback,
            invalid=len(flagged) == 0,
        )

    def _choose(self, weights: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The candidates of the next batch, and the arm that each is credited to."""
        setting, cfg = self.setting, self.setting.config
        active = np.flatnonzero(weights)
        ids = np.flatnonzero(self.left & np.any(setting.covers[active], axis=0)[setting.group])
        total, most, owner = np.zeros(len(ids)), np.full(len(ids), -1.0), np.zeros(len(ids), np.intp)
        for arm in active:
            criterion = setting.criterion[arm]
            score = self._priority if criterion == "random" else self.measure(criterion)
            part = np.where(setting.covers[arm, setting.group[ids]], weights[arm] * score[ids], -1.0)
            total += np.maximum(part, 0)
            owner[part > most] = arm
            most = np.maximum(part, most)
        n = min(cfg.batch, cfg.budget - self.spent)
        if cfg.diverse:
            picked = diverse(total, self._priority[ids], setting.X[ids], n)
        else:
            picked = best(total, self._priority[ids], n)
        return ids[picked], owner[picked]

    def _ask(self, chosen: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Buy answers; returns which were flags."""
        replies = self._annotator.ask(chosen)
        self.left[chosen] = False
        np.subtract.at(self._sums, self.setting.group[chosen], self.setting.columns(chosen))
        self.asked = np.append(self.asked, chosen)
        self.answers = np.append(self.answers, replies.labels)
        self.spent += replies.cost
        return replies.flagged

    def _learn(self) -> None:
        X = self.setting.X
        labelled = self.answers >= 0
        known = self.asked[labelled]
        self.learner.fit(X[known], self.answers[labelled], self._weight[:, known])
        members, classes = self.learner.coef.shape[:2]
        blocks = (X[start : start + _BLOCK] for start in range(0, len(X), _BLOCK))
        measures = np.hstack([all_measures(self.learner.predict_proba(block)) for block in blocks])
        bounds = np.array([bound(name, members, classes) for name in MEASURES], np.float32)
        self.uncertainty = np.minimum(measures / bounds[:, None], 1)

    # ----------------------------------------------------------------- values
    @property
    def done(self) -> bool:
        """Whether the budget is spent, or nothing is left to ask."""
        return self.spent >= self.setting.config.budget or not self.left.any()

    def measure(self, name: str) -> NDArray[np.float32]:
        """(n,), an uncertainty of every candidate, divided by its bound."""
        values: NDArray[np.float32] = self.uncertainty[list(MEASURES).index(name)]
        return values

    def test_accuracy(self) -> float:
        """Share of the test samples that the ensemble's mean gets right; for evaluation only."""
        X, labels = self.setting.test
        return float((self.learner.predict_proba(X).mean(0).argmax(1) == labels).mean())

    def _quality(self) -> float:
        """Mean probability of the validation answers; 0 without any."""
        X, labels = self._validation
        if not len(labels):
            return 0.0
        return float(self.learner.predict_proba(X).mean(0)[np.arange(len(labels)), labels].mean())

    def _novelty(self, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
        """1 − the largest cosine, not below 0, to a sample asked about before."""
        X = self.setting.X
        similarity = _unit(X[chosen]) @ _unit(X[self.asked]).T
        result: NDArray[np.float32] = 1 - np.clip(similarity.max(1, initial=0), 0, 1)
        return result

    def _mean_left(self, values: NDArray[np.float32]) -> float:
        return float(values[self.left].mean(dtype=np.float64)) if self.left.any() else 0.0

    # ----------------------------------------------------------- observations
    def samples_left(self) -> NDArray[np.int64]:
        """(arms,)."""
        counts = np.bincount(self.setting.group[self.left], minlength=self.setting.covers.shape[1])
        return self.setting.covers @ counts

    def arm_means(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means over what is left of each arm, 0 for an exhausted one.

        Returns:
            (arms, k) of :meth:`Setting.columns`; (arms, measures) of the uncertainties divided by their
            bounds.
        """
        covers, group = self.setting.covers, self.setting.group[self.left]
        sums = np.stack([np.bincount(group, row[self.left], covers.shape[1]) for row in self.uncertainty], axis=1)
        counts = self.samples_left()[:, None]
        share = np.divide(covers, counts, out=np.zeros(covers.shape), where=counts > 0)
        return share @ self._sums, share @ sums

    def learner_state(self) -> tuple[float, float, float]:
        """Labelled share of the candidates; mean ensemble entropy and disagreement of what is left, by their
        bounds."""
        labelled = float((self.answers >= 0).sum() / len(self.left))
        return (
            labelled,
            self._mean_left(self.measure("ensemble_entropy")),
            self._mean_left(self.measure("disagreement")),
        )


def _unit(X: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(X, axis=1, keepdims=True)
    unit: NDArray[np.float32] = X / np.maximum(length, np.finfo(np.float32).tiny)
    return unit

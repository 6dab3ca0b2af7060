"""One annotation campaign: what was asked, what the learner made of it, and what that was worth."""

from typing import Any, NamedTuple, TypedDict, cast

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from curation_gym.annotators.answers import FLAG
from curation_gym.annotators.base import make_annotator
from curation_gym.annotators.crowd import CrowdAnswers, aggregate
from curation_gym.envs.annotation_offer import Offer
from curation_gym.envs.annotation_reward import PARTS, Standing
from curation_gym.envs.annotation_setting import Setting
from curation_gym.learners.build import make_learner
from curation_gym.stopping import GainBelowPrice, Round

_STOP_SET = 1000  # samples whose predictions a stopping rule compares


class AnnotationInfo(TypedDict, total=False):
    """``info`` of AnnotationAllocation-v0, see the environment; a reset has the first three only."""

    labels_spent: int
    flags: int
    test_accuracy: float
    raw_reward: float
    validation_gain: float
    domain_gain: float
    uncertainty_reduction: float
    similar_reduction: float
    novelty: float
    answered: float
    corrected: float
    seconds: float
    invalid: bool
    stopped: str


class Pull(NamedTuple):
    """What one pull brought; per label the arm it is credited to, its reward and whether it was a flag."""

    info: AnnotationInfo
    arms: NDArray[np.intp]
    rewards: NDArray[np.float64]
    flagged: NDArray[np.bool_]


class Campaign:
    """The state of one episode. ``copy.deepcopy`` gives an independent one that shares what never changes.

    Everything random is drawn from the seed and the number of the pull, independently of the arms, so that under one
    seed policies meet the same first labels, the same answers, the same learner and the same random order, also
    on different arms.

    Attributes:
        learner: as trained last.
        offer: what can be asked about in the next pull.
        asked: candidates asked about, in order, and ``answers`` their labels, −1 where flagged, −2 without answer.
        votes: (asked, r), what each of a crowd answered, by ``voters`` of the same shape; r is 0 without a crowd.
        spent: of the budget, first and validation answers included.
        seconds: of the annotator's time.
        pulls: done.
        last_reward: of the last pull.
        stopped: why a stopping rule ended the campaign, or None.
    """

    def __init__(self, setting: Setting, seed: int) -> None:
        self.setting = setting
        cfg, n = setting.config, len(setting.ids)
        seeds = np.random.SeedSequence(seed).spawn(7)
        first, order, check = (np.random.default_rng(s) for s in seeds[:3])
        self._annotator = make_annotator(cfg.annotator, setting.hidden, setting.classes, seeds[3], setting.facts)
        self.learner = make_learner(cfg.learner, setting.pool, setting.classes, _integer(seeds[4]))
        self._entropy, self.pulls = _integer(seeds[5]), 0
        self._priority = order.random(n, np.float32)
        self.offer = Offer(setting, self._priority, self._generator("cluster"))
        self.asked, self.answers = np.zeros(0, np.intp), np.zeros(0, np.int64)
        redundancy = 0 if cfg.annotator.crowd is None else cfg.annotator.crowd.redundancy
        self.votes, self.voters = np.zeros((0, redundancy), np.int64), np.zeros((0, redundancy), np.int32)
        self.spent, self.seconds, self.last_reward = 0, 0.0, 0.0
        self.stopped: str | None = None
        self._history: list[Round] = []
        self._validate(check.permutation(len(setting.validation))[: cfg.n_validation], seeds[6])
        self._left = np.ones(n, np.bool_)
        here = np.flatnonzero(setting.arrival <= 0)
        self._ask(here[first.permutation(len(here))[: cfg.n_initial]])
        self._learn()

    # ------------------------------------------------------------------ pulls
    def pull(self, weights: NDArray[Any]) -> Pull:
        """Spend one batch of labels.

        Args:
            weights: (arms,) ≥ 0; each multiplies the criterion of the samples of its arm, and a sample's score is the
                sum over its arms. A hard pull is one weight of 1.

        A label is credited to the arm that contributed most to its sample's score. When no arm with a weight
        has a sample left, the pull is invalid and brings no label.
        """
        setting, cfg = self.setting, self.setting.config
        n = min(cfg.batch, (cfg.budget - self.spent) // cfg.answer_cost[1])
        chosen, arms = self.offer.choose(weights, n, self.learner, self._generator("pick"))
        self.pulls += 1
        if not len(chosen):
            self._learn_where_due()
            self.last_reward = 0.0
            none = np.zeros(0, np.bool_)
            return Pull(self._info(none, np.zeros((len(PARTS), 1)), 0.0), arms, np.zeros(0), none)
        novelty, seconds = self._novelty(chosen), self.seconds
        expected = self.offer.predicted[np.searchsorted(self.offer.ids, chosen)]
        labels = self._ask(chosen)
        before = self._standing()
        self._learn_where_due()
        now = self._standing()
        by_domain = now.gain_by_domain(before, len(setting.pool.domain_names))
        by_cell = now.eased_by_cell(before, int(self.offer.cell.max()) + 1)
        parts = np.stack(
            np.broadcast_arrays(
                now.gain(before),
                by_domain[setting.domain[chosen]],
                now.eased(before),
                by_cell[self.offer.cell[chosen]],
                novelty,
                labels >= 0,
                (labels >= 0) & (labels != expected),
            )
        ).astype(np.float64)
        rewards = np.array(cfg.reward.in_order()) @ parts
        self.last_reward = float(rewards.mean())
        flagged = labels == FLAG
        return Pull(self._info(flagged, parts, self.seconds - seconds), arms, rewards, flagged)

    def _info(self, flagged: NDArray[np.bool_], parts: NDArray[np.float64], seconds: float) -> AnnotationInfo:
        info = {"labels_spent": self.spent, "flags": int(flagged.sum()), "raw_reward": self.last_reward}
        means = dict(zip(PARTS, parts.mean(1).tolist(), strict=True))
        told = {"seconds": seconds, "invalid": len(flagged) == 0, "stopped": self.stopped or ""}
        return cast(AnnotationInfo, info | means | told)

    def _ask(self, chosen: NDArray[np.intp]) -> NDArray[np.int64]:
        """Buy answers; returns their labels."""
        answers = self._annotator.ask(chosen)
        self._left[chosen] = False
        self.asked = np.append(self.asked, chosen)
        self.answers = np.append(self.answers, answers.labels)
        if isinstance(answers, CrowdAnswers):
            self.votes = np.concatenate([self.votes, answers.votes])
            self.voters = np.concatenate([self.voters, answers.annotators])
        self.spent += answers.cost
        self.seconds += answers.seconds
        self.offer.withdraw(chosen)
        return answers.labels

    def _validate(self, drawn: NDArray[np.intp], seed: np.random.SeedSequence) -> None:
        """Buy the answers that gains are measured with; of a crowd, from another one of the same kind."""
        setting, ids = self.setting, self.setting.validation
        if not len(drawn):
            self._validation = ids[:0], np.zeros(0, np.int64)
            return
        hidden, facts = setting.pool.hidden["label"][ids].astype(np.int64), setting.validation_facts
        answers = make_annotator(setting.config.annotator, hidden, setting.classes, seed, facts).ask(drawn)
        labels, crowd = answers.labels, setting.config.annotator.crowd
        if isinstance(answers, CrowdAnswers) and crowd is not None and crowd.method != "majority":
            labels = aggregate(answers.votes, answers.annotators, crowd.method, self._entropy).labels
        known = labels >= 0
        self._validation = ids[drawn[known]], labels[known]
        if not known.any() and isinstance(setting.config.stopping, GainBelowPrice):
            gym.logger.warn(
                f"{len(drawn)} validation questions and no label: gain_below_price can't stop this campaign"
            )
        self.spent += answers.cost
        self.seconds += answers.seconds

    # --------------------------------------------------------------- learning
    def _learn_where_due(self) -> None:
        """Every ``retrain_every`` pulls, and before the end, from what was asked since."""
        cfg = self.setting.config
        due = self.pulls % cfg.retrain_every == 0 or self.pulls == cfg.horizon or self.exhausted
        if due and len(self.asked) > self._learned:
            self._learn()

    def _learn(self) -> None:
        setting, crowd = self.setting, self.setting.config.annotator.crowd
        if crowd is not None and crowd.method != "majority":
            self.answers = aggregate(self.votes, self.voters, crowd.method, self._entropy).labels
        known = self.answers >= 0
        self.learner.fit(setting.ids[self.asked[known]], self.answers[known])
        self._learned = len(self.asked)
        available = self._left & (setting.arrival <= self.spent / setting.config.budget)
        self.offer.renew(available, self.learner, self._generator("offer"))
        self._consider_stopping()

    def _consider_stopping(self) -> None:
        rule = self.setting.config.stopping
        if rule is None:
            return
        ids, labels = self._validation
        if isinstance(rule, GainBelowPrice) and not len(ids):
            return
        if len(np.unique(self.answers[self.answers >= 0])) < 2:
            return  # a model that has seen one class is sure of everything
        here = np.flatnonzero(self.setting.arrival <= 0)
        stop_set = self.setting.ids[here[np.argsort(self._priority[here])[:_STOP_SET]]]
        told = Round(
            self.spent / self.setting.config.label_cost,
            validation=float((self._mean(ids).argmax(1) == labels).mean()) if len(ids) else None,
            predictions=self._mean(stop_set).argmax(1),
            uncertainty=self._mean_offered("ensemble_entropy"),
        )
        if self._history and told.labels == self._history[-1].labels:
            return  # the pull cost nothing: it says nothing about what a label gains
        self._history.append(told)
        self.stopped = rule.should_stop(self._history)

    # ----------------------------------------------------------------- values
    @property
    def exhausted(self) -> bool:
        """Whether the budget doesn't pay for another answer, or no arm would ask about a sample."""
        cfg = self.setting.config
        return self.spent + cfg.answer_cost[1] > cfg.budget or not self.offer.open().any()

    @property
    def done(self) -> bool:
        """Exhausted, or stopped by the rule."""
        return self.exhausted or self.stopped is not None

    def test_probabilities(self) -> NDArray[np.float32]:
        """(test samples in scope, K), the ensemble's mean; for evaluation only."""
        return self._mean(self.setting.test)

    def test_accuracy(self) -> float:
        """Share of the test samples in scope that the ensemble's mean gets right; for evaluation only."""
        label = self.setting.pool.hidden["label"][self.setting.test]
        return float((self.test_probabilities().argmax(1) == label).mean())

    def learner_state(self) -> tuple[float, float, float]:
        """Labelled share of the candidates; mean ensemble entropy and disagreement of what is offered, by bounds."""
        labelled = float((self.answers >= 0).sum() / len(self._left))
        return labelled, self._mean_offered("ensemble_entropy"), self._mean_offered("disagreement")

    def _mean_offered(self, measure: str) -> float:
        scores = self.offer.scores[measure]
        return float(scores.mean(dtype=np.float64)) if len(scores) else 0.0

    def _mean(self, ids: NDArray[np.int32]) -> NDArray[np.float32]:
        mean: NDArray[np.float32] = self.learner.predict_proba(ids).mean(0)
        return mean

    def _standing(self) -> Standing:
        ids, labels = self._validation
        right = self._mean(ids)[np.arange(len(labels)), labels].astype(np.float64) if len(ids) else np.zeros(0)
        offer = self.offer
        entropy, cell = offer.scores["ensemble_entropy"], offer.cell[offer.ids]
        return Standing(right, self.setting.pool.domain[ids], offer.ids, entropy, cell)

    def _novelty(self, chosen: NDArray[np.intp]) -> NDArray[np.float32]:
        """1 − the largest cosine, not below 0, to a sample asked about before."""
        unit = self.setting.directions
        similarity = unit[chosen] @ unit[self.asked].T
        result: NDArray[np.float32] = 1 - np.clip(similarity.max(1, initial=0), 0, 1)
        return result

    def _generator(self, purpose: str) -> np.random.Generator:
        """A generator of its own for each purpose and pull."""
        return np.random.default_rng([self._entropy, self.pulls, *purpose.encode()])


def _integer(seed: np.random.SeedSequence) -> int:
    return int(seed.generate_state(1, np.uint64)[0] >> np.uint64(1))

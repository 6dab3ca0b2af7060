"""Reward refinement: signals are corrected by what people say of a few texts, and by what the model says and loses."""

from copy import copy
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import expit, logit

from curation_gym.config import Config, ConfigError, Many
from curation_gym.memo import Memo
from curation_gym.pools.corpus_sources import CLEAN, human_labels
from curation_gym.pools.pool import Pool
from curation_gym.pools.storage import bytes_digest
from curation_gym.signals.refinement import RefinedSignal

Refinable = Literal["safety", "alignment"]
REFINED: tuple[Refinable, ...] = ("safety", "alignment")
"""The signals that audits may correct: what people call toxic is neither safe nor aligned."""
SAFETY, UTILITY = "safety", "utility"
_CLIP = 1e-3  # how sure a signal can be before it is corrected
MOST_RISE = 2.0
"""Of a utility, which is in [0, 1] uncorrected: what adds up without bound takes long to fall again."""


class RedefinitionConfig(Config):
    """A new definition of safe, of which only audits tell: a category more, or a stricter threshold.

    Nobody looks again at what was audited before: what a stricter definition calls unsafe as the old one did stays
    known, and what a milder one calls safe as the old one did.

    Attributes:
        after: share of the horizon that is over, in (0, 1).
        unsafe_from: see :class:`RefinementConfig`.
    """

    after: float = Field(default=0.5, gt=0, lt=1)
    unsafe_from: float = Field(gt=0, le=1)


class RefinementConfig(Config):
    """How signals are corrected while curating.

    Audits correct ``signals``, see :class:`RefinedSignal`, all by the same question: whether people call a text safe.
    After many audits alignment is a second classifier of that; where it is to stay what its own classifier says, let
    audits correct safety alone.

    Probes of the model correct utility: where its clean text has become harder to the model than that of the other
    domains, a domain's texts are worth more, and the more so the longer that lasts (proportional-integral control of
    the constraint that no domain loses more than another: Stooke et al., "Responsive Safety in Reinforcement Learning
    by PID Lagrangian Methods", ICML 2020). They correct safety, too: where the model's continuations are more toxic
    than in other domains, a domain's texts count as less safe.

    People look at the same texts of the split in the same order in every episode: so all the episodes in which a policy
    is trained reveal no more labels than the longest of them. The next text is of the domain in which it tells most:
    domains get audits in proportion to the standard deviation of their labels (Neyman, "On the Two Different Aspects
    of the Representative Method", JRSS 97, 1934), as far as it is known.

    Attributes:
        every: steps between audits.
        size: texts, the next ones, whose human label is revealed.
        signals: that audits correct, of safety and alignment, as far as the pool has them.
        order: seed of the order of each domain's texts.
        unsafe_from: severity from which a text is unsafe, in (0, 1]; None: as the hidden label says.
        redefined: a change of that in the course of an episode.
        gain: by how much a text's utility rises per nat of log-perplexity, of clean text of its domain, that the model
            has lost since the start beyond the mean of all domains; 0: utility isn't corrected.
        carry: share of that which stays for later probes, where it adds up; no utility rises or falls by more than 2.
        safety_gain: logits that a text's safety falls by per unit of toxicity, of what the model goes on to say after
            beginnings from its domain, beyond the mean of all domains.
    """

    every: int = Field(default=5, ge=1)
    size: int = Field(default=8, ge=1)
    signals: Many[Refinable] = Field(default=REFINED, min_length=1)
    order: int = Field(default=0, ge=0)
    unsafe_from: float | None = Field(default=None, gt=0, le=1)
    redefined: RedefinitionConfig | None = None
    gain: float = Field(default=0.0, ge=0)
    carry: float = Field(default=0.0, ge=0, le=1)
    safety_gain: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _definitions(self) -> "RefinementConfig":
        if self.redefined is not None and self.unsafe_from is None:
            raise ValueError("redefined needs unsafe_from, the definition before it")
        if self.safety_gain and SAFETY not in self.signals:
            raise ValueError("safety_gain corrects safety, so signals must name it")
        return self

    def at(self, done: float) -> float | None:
        """Severity from which a text is unsafe when so much of the horizon is over; None: the label decides."""
        new = self.redefined
        return self.unsafe_from if new is None or done < new.after else new.unsafe_from


def refined_signals(config: RefinementConfig | None, pool: Pool) -> list[str]:
    """Names of the pool's signals that are corrected.

    Raises:
        ConfigError: when the pool has none, or lacks the human labels that audits reveal.
    """
    if config is None:
        return []
    names: list[str] = [name for name in REFINED if name in config.signals and name in pool.signals]
    if not names:
        raise ConfigError(f"refinement corrects {' and '.join(config.signals)}; the pool has no such signal: {pool!r}")
    if human_labels(pool) is None:
        raise ConfigError(
            f"refinement corrects signals by what people called clean or toxic; the pool's classes are "
            f"{', '.join(pool.class_names) or 'none'}: {pool!r}"
        )
    if config.unsafe_from is not None and "severity" not in pool.hidden:
        raise ConfigError(f"refinement.unsafe_from needs the hidden column 'severity'; the pool has none: {pool!r}")
    return [*names, UTILITY] if config.gain and UTILITY in pool.signals else names


def called_safe(pool: Pool, ids: NDArray[np.integer], unsafe_from: float | None) -> NDArray[np.bool_]:
    """Whether people call samples safe, by the hidden label or, with a definition, by their severity."""
    if unsafe_from is None:
        return np.asarray(pool.hidden["label"][ids] == CLEAN)
    return np.asarray(pool.hidden["severity"][ids] < unsafe_from)


_made: Memo[tuple[str, str], RefinedSignal] = Memo(4)
_fitted: Memo[tuple[str, str, str], NDArray[np.float64]] = Memo(512)


def _before_audits(name: str, pool: Pool) -> RefinedSignal:
    """A signal of the pool before the first audit; read only, for all episodes of a process begin with it."""

    def make() -> RefinedSignal:
        others = [pool.signals[other] for other in sorted(pool.signals) if other != name]
        further = np.column_stack(others) if others else None
        return RefinedSignal(pool.signals[name], pool.domain, pool.embeddings, further)

    return _made.get((pool.fingerprint, name), make)


class Audits:
    """The audits of an episode.

    Args:
        config: how many, and by which definition.
        pool: of texts with hidden labels.
        split: of the pool, at whose texts people may look.

    Attributes:
        known: ids of what was audited, and follows from the definition of now.
        safe: what people said of each.
        rise: (domains,), of the utility of each domain's texts.
        fall: (domains,), logits that their safety falls by.
    """

    def __init__(self, config: RefinementConfig, pool: Pool, split: str = "train") -> None:
        self.config, self.split = config, split
        self.known: list[int] = []
        self.safe: list[bool] = []
        self.rise, self.fall, self._carried = np.zeros((3, len(pool.domain_names)))
        self._pool = pool
        domains = len(pool.domain_names)
        self._looked_at = np.zeros(domains, np.intp)
        self._told: NDArray[np.integer] = np.zeros(domains, np.intp)
        self._unsafe: NDArray[np.floating] = np.zeros(domains)
        self._unsafe_from = config.at(0)
        self._refined = self._unrefined()
        self._queues = self._shuffled()

    def _shuffled(self) -> list[NDArray[np.integer]]:
        """Of each domain, the texts that people have labelled, in the order in which they are looked at."""
        pool, rng = self._pool, np.random.default_rng(self.config.order)
        ids = pool.ids(self.split)
        order = rng.permutation(ids[pool.hidden["label"][ids] >= 0])
        return [order[pool.domain[order] == code] for code in range(len(pool.domain_names))]

    def _unrefined(self) -> dict[str, RefinedSignal]:
        names = [name for name in refined_signals(self.config, self._pool) if name in REFINED]
        return {name: copy(_before_audits(name, self._pool)) for name in names}

    def __getstate__(self) -> dict[str, Any]:
        # What follows from the pool, which pickles as its path, is made anew: checkpoints stay small.
        return vars(self) | {
            "_queues": None,
            "_refined": {name: refined.coefficients for name, refined in self._refined.items()},
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        coefficients = state.pop("_refined")
        vars(self).update(state)
        self._queues, self._refined = self._shuffled(), self._unrefined()
        for name, refined in self._refined.items():
            refined.coefficients = coefficients[name]

    def probed(self, lost: NDArray[np.float64], toxic: NDArray[np.float64]) -> None:
        """Correct utility and safety by a probe.

        Args:
            lost: (domains,), change of the log-perplexity of each domain's clean text since the start, nats.
            toxic: (domains,), toxicity of what the model says after beginnings from each domain.
        """
        config = self.config
        behind = config.gain * (lost - lost.mean())
        self.rise = np.clip(behind + self._carried, -MOST_RISE, MOST_RISE)
        self._carried = np.clip(self._carried + config.carry * behind, -MOST_RISE, MOST_RISE)
        self.fall = config.safety_gain * (toxic - toxic.mean())

    def audit(self, step: int, horizon: int) -> int:
        """Reveal the next labels where an audit is due, and correct the signals by all that is known.

        Returns:
            How many were revealed; of what nobody has labelled, none can be.
        """
        if step % self.config.every:
            return 0
        self._redefine(self.config.at(step / horizon))
        before = len(self.known)
        for _ in range(self.config.size):
            self._look()
        for name, refined in self._refined.items():
            self._fit(name, refined)
        return len(self.known) - before

    def _fit(self, name: str, refined: RefinedSignal) -> None:
        # Every episode reveals the same labels: the first of a process settles what they say.
        known, safe = np.array(self.known, np.int64), np.array(self.safe, np.bool_)
        told = bytes_digest(known.tobytes(), safe.tobytes(), refined.coefficients.tobytes())
        key = (self._pool.fingerprint, name, told)
        refined.coefficients = _fitted.get(key, lambda: refined.fit(known, safe).coefficients)

    def _look(self) -> None:
        """At one text of the domain whose labels vary most for how many of them are known."""
        left = np.array([len(queue) for queue in self._queues]) > self._looked_at
        if not left.any():
            return
        share = (self._unsafe + 1) / (self._told + 2)
        worth = np.sqrt(share * (1 - share)) / (self._told + 1)
        domain = int(np.where(left, worth, -1).argmax())
        chosen = self._queues[domain][self._looked_at[domain], None]
        safe = self.answers(chosen)
        self.known += chosen.tolist()
        self.safe += safe.tolist()
        self._looked_at[domain] += 1
        self._told[domain] += 1
        self._unsafe[domain] += not safe[0]

    @property
    def revealed(self) -> list[int]:
        """Ids of everything that was audited, by whatever definition."""
        seen = zip(self._queues, self._looked_at, strict=True)
        return [int(index) for queue, n in seen for index in queue[:n]]

    def score(self, name: str, ids: NDArray[np.integer]) -> NDArray[np.float32]:
        """A signal of samples as corrected so far, float32 (len(ids),); the pool's own before the first audit."""
        own = np.asarray(self._pool.signals[name][ids])
        domain = self._pool.domain[ids]
        if name == UTILITY:
            return np.asarray(own + self.rise[domain], np.float32)
        refined = self._refined[name].score(ids) if self.known else own
        if name == SAFETY and self.config.safety_gain:
            return np.asarray(expit(logit(np.clip(refined, _CLIP, 1 - _CLIP)) - self.fall[domain]), np.float32)
        return refined

    def answers(self, ids: NDArray[np.integer]) -> NDArray[np.bool_]:
        """What people say of samples by the definition of now: whether each is safe."""
        return called_safe(self._pool, ids, self._unsafe_from)

    def _redefine(self, unsafe_from: float | None) -> None:
        before, self._unsafe_from = self._unsafe_from, unsafe_from
        if before is None or unsafe_from is None or before == unsafe_from:
            return
        follows = [index for index, safe in enumerate(self.safe) if safe == (unsafe_from > before)]
        self.known = [self.known[index] for index in follows]
        self.safe = [self.safe[index] for index in follows]
        domain, domains = self._pool.domain[self.known], len(self._told)
        self._told = np.bincount(domain, minlength=domains)
        self._unsafe = np.bincount(domain, np.logical_not(self.safe), domains).astype(np.float64)

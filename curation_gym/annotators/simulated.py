"""A simulated annotator: hidden labels, with noise, abstentions, and flags for what is out of scope."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from scipy.spatial.distance import cdist

from curation_gym.annotators.answers import ABSTENTION, FLAG, Answers
from curation_gym.config import Config, Many

Probability = Annotated[float, Field(ge=0, le=1)]
Rows = Many[Many[Probability]]
Method = Literal["majority", "dawid_skene", "one_coin", "glad"]
"""How the answers of several annotators become one, see :func:`curation_gym.annotators.crowd.aggregate`."""


class AbstentionConfig(Config):
    """How often no answer comes: rate + (rate_hard − rate) · difficulty.

    Attributes:
        rate: probability at difficulty 0.
        rate_hard: probability at difficulty 1; None: ``rate`` whatever the difficulty, which then needn't be known.
    """

    rate: Probability = 0.0
    rate_hard: Probability | None = None


class PriceConfig(Config):
    """What an answer costs, in units of the budget.

    Prices are whole numbers, so that spending adds up exactly: for flags at a fifth of a label, let a label cost 5,
    a flag 1, and count the budget in fifths.
    """

    label: int = Field(default=1, ge=1)
    flag: int = Field(default=1, ge=0)
    abstention: int = Field(default=1, ge=0)

    def of(self, labels: NDArray[np.int64]) -> int:
        """Of answers of any shape."""
        flags, abstentions = int((labels == FLAG).sum()), int((labels == ABSTENTION).sum())
        return self.label * (labels.size - flags - abstentions) + self.flag * flags + self.abstention * abstentions


class TimeConfig(Config):
    """How long an answer takes, whatever it is: log-normal, as response times are (van der Linden, JEBS 2006).

    Attributes:
        mean: seconds. The default is about what crowd workers took to judge the topic of a text in Krishna et al.
            (CHI 2016); they report about 4 seconds for the sentiment of a short one, and 2 to verify an image.
        spread: standard deviation of ln seconds.
    """

    mean: float = Field(default=14.0, gt=0)
    spread: float = Field(default=0.5, ge=0)


class CrowdConfig(Config):
    """Several annotators of different skill, see :class:`curation_gym.annotators.crowd.Crowd`.

    A Beta of mean m and concentration c is Beta(m·c, (1 − m)·c), of variance m(1 − m)/(c + 1): the larger c, the
    more alike. With c = None all have the mean, as they do for a mean of 0 or 1.

    Attributes:
        annotators: W.
        redundancy: r ≤ W, how many answer each sample.
        method: by which a campaign makes labels of all the answers so far, whenever its learner is retrained; until
            then the majority of a sample's answers is its label.
        accuracy: mean of the annotators' accuracies, the probability of a right answer where ``noise`` is 0.
        concentration: of the accuracies.
        domain_concentration: of an annotator's accuracies in the domains, around that annotator's own: expertise.
        flag_concentration: of the annotators' reliabilities with flags, around ``flag_reliability``.
    """

    annotators: int = Field(default=10, ge=1)
    redundancy: int = Field(default=3, ge=1)
    method: Method = "majority"
    accuracy: Probability = 0.8
    concentration: float | None = Field(default=20.0, gt=0)
    domain_concentration: float | None = Field(default=None, gt=0)
    flag_concentration: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _enough(self) -> "CrowdConfig":
        if self.redundancy > self.annotators:
            raise ValueError(f"redundancy = {self.redundancy} must be <= annotators = {self.annotators}")
        return self


class AnnotatorConfig(Config):
    """How well the annotator works.

    Attributes:
        noise: probability that the answer for a sample in scope is wrong.
        domain_noise: domain name → the same where it differs: domains whose labels are unreliable.
        confusion: what a wrong answer says. ``"uniform"``: any other class. ``"nearest"``: the class whose centroid
            is nearest. A (K, K) matrix: P(answer | class), a row per class, each summing to 1; it also says how
            often answers are wrong, in place of ``noise``. Where something else makes an answer wrong
            (``domain_noise``, skill), it follows the rest of the row; a class that is never confused there, any other.
        flag_reliability: probability that a sample out of scope is flagged; otherwise it gets a label that is
            uniform over the classes.
        false_flags: probability that a sample in scope is flagged.
        abstention: how often no answer comes, be the sample in scope or not.
        price: of a label, a flag, an abstention.
        time: seconds of an answer.
        crowd: None: one annotator, whose skill is all of the above.
    """

    noise: Probability = 0.0
    domain_noise: dict[str, Probability] = Field(default_factory=dict)
    confusion: Literal["uniform", "nearest"] | Rows = "uniform"
    flag_reliability: Probability = 1.0
    false_flags: Probability = 0.0
    abstention: AbstentionConfig = AbstentionConfig()
    price: PriceConfig = PriceConfig()
    time: TimeConfig = TimeConfig()
    crowd: CrowdConfig | None = None

    @field_validator("confusion")
    @classmethod
    def _stochastic(cls, confusion: str | tuple[tuple[float, ...], ...]) -> str | tuple[tuple[float, ...], ...]:
        if isinstance(confusion, str):
            return confusion
        lengths = {len(row) for row in confusion}
        if lengths != {len(confusion)}:
            raise ValueError(f"a confusion matrix must be square, actual lengths: {len(confusion)} rows of {lengths}")
        for number, row in enumerate(confusion):
            if abs(sum(row) - 1) > 1e-6:
                raise ValueError(f"rows of a confusion matrix must sum to 1, actual sum of row {number}: {sum(row)}")
        return confusion

    @model_validator(mode="after")
    def _one_rate(self) -> "AnnotatorConfig":
        if not isinstance(self.confusion, str) and self.noise > 0:
            raise ValueError(
                f"a confusion matrix and noise = {self.noise} both say how often answers are wrong; leave noise out"
            )
        return self


@dataclass(frozen=True, eq=False)
class Facts:
    """What an annotator's answers may depend on beside the hidden labels; each is needed by the options named.

    Attributes:
        domain: (n,) codes into ``domain_names``; for ``domain_noise`` and ``domain_concentration``.
        domain_names: one per code.
        difficulty: (n,) in [0, 1]; for ``abstention.rate_hard``.
        centroids: (K, d), of the classes, on any scale; for ``confusion="nearest"``.
    """

    domain: NDArray[np.integer] | None = None
    domain_names: tuple[str, ...] = ()
    difficulty: NDArray[np.floating] | None = None
    centroids: NDArray[np.floating] | None = None


NO_FACTS = Facts()


class SimulatedAnnotator:
    """Answers from hidden labels.

    An answer is a pure function of (seed, sample): whoever asks about a sample, whenever, in whatever
    company, gets the same. So two policies that are compared under one seed share all luck of annotation.
    The answer is right with probability (1 − noise) · accuracy.

    Args:
        hidden: (n,) hidden class of every sample; below 0: out of scope.
        classes: K ≥ 2.
        config: how well it works; without ``crowd``.
        seed: of everything drawn.
        facts: what some options need.
        accuracy: skill in [0, 1], one for all or (n,).

    Attributes:
        labels: (n,), the answer to every sample, as in :class:`Answers`.
        seconds: (n,), how long each takes.

    Raises:
        ValueError: when a hidden label isn't below ``classes``, or an option lacks a fact or doesn't fit it.
    """

    def __init__(
        self,
        hidden: NDArray[np.integer],
        classes: int,
        config: AnnotatorConfig,
        seed: int | np.random.SeedSequence,
        facts: Facts = NO_FACTS,
        *,
        accuracy: float | NDArray[np.float64] = 1.0,
    ) -> None:
        if config.crowd is not None:
            raise ValueError("one annotator can't be a crowd: leave crowd out, or use make_annotator")
        if classes < 2:
            raise ValueError(f"classes must be >= 2, actual value: {classes}")
        if len(hidden) and hidden.max() >= classes:
            raise ValueError(f"hidden labels must be < {classes}, actual largest value: {hidden.max()}")
        rng, n = np.random.default_rng(seed), len(hidden)
        erring, saying, flagging, abstaining = rng.random((4, n))
        anything = rng.integers(classes, size=n)
        in_scope = hidden >= 0
        right = (1 - _noise(config, hidden, classes, facts)) * accuracy
        wrong = in_scope & (erring >= right)
        labels = np.where(in_scope, hidden, anything).astype(np.int64)
        labels[wrong] = (_wrong_answers(config, classes, facts)[hidden[wrong]] <= saying[wrong, None]).sum(1)
        labels[flagging < np.where(in_scope, config.false_flags, config.flag_reliability)] = FLAG
        labels[abstaining < _abstention(config.abstention, n, facts)] = ABSTENTION
        self.labels = labels
        spread = config.time.spread
        # exp(−spread²/2) keeps the mean where it was
        self.seconds = config.time.mean * np.exp(spread * rng.standard_normal(n) - spread**2 / 2)
        self._price = config.price

    def ask(self, samples: NDArray[np.integer]) -> Answers:
        """Annotate ``samples``, (n,) positions in ``hidden``."""
        labels = self.labels[samples]
        return Answers(labels, self._price.of(labels), float(self.seconds[samples].sum()))


def domain_of(facts: Facts, n: int, option: str) -> NDArray[np.integer]:
    """(n,) codes of the samples' domains, which ``option`` needs."""
    if facts.domain is None or len(facts.domain) != n:
        actual = "none" if facts.domain is None else f"shape {facts.domain.shape}"
        raise ValueError(f"{option} needs facts.domain, the code of each of the {n} samples; actual value: {actual}")
    if n and not 0 <= facts.domain.min() <= facts.domain.max() < len(facts.domain_names):
        raise ValueError(
            f"facts.domain must be codes into the {len(facts.domain_names)} domain_names, actual range: "
            f"{facts.domain.min()} to {facts.domain.max()}"
        )
    return facts.domain


def _noise(config: AnnotatorConfig, hidden: NDArray[np.integer], classes: int, facts: Facts) -> NDArray[np.float64]:
    """(n,), the probability that the answer is wrong, however skilled the annotator."""
    if isinstance(config.confusion, str):
        noise = np.full(len(hidden), config.noise)
    else:
        if len(config.confusion) != classes:
            raise ValueError(
                f"confusion must have {classes} rows, one per class, actual number: {len(config.confusion)}"
            )
        noise = 1 - np.diag(np.array(config.confusion))[np.maximum(hidden, 0)]
    if config.domain_noise:
        domain = domain_of(facts, len(hidden), "domain_noise")
        for name, differs in config.domain_noise.items():
            if name not in facts.domain_names:
                known = ", ".join(facts.domain_names)
                raise ValueError(f"domain_noise has {name!r}, which is no domain; the domains are: {known}")
            noise[domain == facts.domain_names.index(name)] = differs
    return noise


def _wrong_answers(config: AnnotatorConfig, classes: int, facts: Facts) -> NDArray[np.float64]:
    """(K, K), per class the cumulative distribution of what a wrong answer says; it never says the class."""
    others = 1 - np.eye(classes)
    if config.confusion == "uniform":
        share = others
    elif config.confusion == "nearest":
        if facts.centroids is None or facts.centroids.ndim != 2 or len(facts.centroids) != classes:
            actual = "none" if facts.centroids is None else f"shape {facts.centroids.shape}"
            raise ValueError(
                f'confusion="nearest" needs facts.centroids of shape ({classes}, d), actual value: {actual}'
            )
        if not np.isfinite(facts.centroids).all():
            raise ValueError("facts.centroids must be finite: every class needs a sample")
        distance = cdist(facts.centroids, facts.centroids)
        np.fill_diagonal(distance, np.inf)
        share = np.eye(classes)[distance.argmin(1)]
    else:
        share = np.array(config.confusion) * others
        share[share.sum(1) == 0] = others[share.sum(1) == 0]
    cumulative = share.cumsum(1)
    distribution: NDArray[np.float64] = cumulative / cumulative[:, -1:]
    return distribution


def _abstention(config: AbstentionConfig, n: int, facts: Facts) -> float | NDArray[np.float64]:
    if config.rate_hard is None:
        return config.rate
    if facts.difficulty is None or facts.difficulty.shape != (n,):
        actual = "none" if facts.difficulty is None else f"shape {facts.difficulty.shape}"
        raise ValueError(f"abstention.rate_hard needs facts.difficulty of shape ({n},), actual value: {actual}")
    if not ((facts.difficulty >= 0) & (facts.difficulty <= 1)).all():
        raise ValueError(
            f"facts.difficulty must lie in [0, 1], actual range: {facts.difficulty.min()} to {facts.difficulty.max()}"
        )
    return config.rate + (config.rate_hard - config.rate) * facts.difficulty.astype(np.float64)

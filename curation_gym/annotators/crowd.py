"""Several annotators per sample: who answers what, and what to make of answers that differ."""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from curation_gym.annotators.answers import ABSTENTION, Answers
from curation_gym.annotators.simulated import NO_FACTS, AnnotatorConfig, Facts, Method, SimulatedAnnotator, domain_of

METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, eq=False)
class CrowdAnswers(Answers):
    """What a crowd answered; ``labels`` are by majority vote, ``cost`` and ``seconds`` those of all votes.

    Attributes:
        votes: (n, r) class indices, −1 for a flag, −2 for an abstention.
        annotators: (n, r), who cast them, in [0, W).
        confidence: (n,), the label's share of the votes that weren't abstentions; 0 where all were.
    """

    votes: NDArray[np.int64]
    annotators: NDArray[np.int32]
    confidence: NDArray[np.float64]


class Crowd:
    """W annotators of different skill, of whom r answer each sample; the majority decides.

    An annotator's answer is a pure function of (seed, sample, annotator), and who answers a sample of (seed, sample):
    a larger ``redundancy`` adds annotators to those who answered before. A vote is for a class or a flag;
    abstentions don't count, and the crowd abstains where all do.

    Args:
        hidden: (n,) hidden class of every sample; below 0: out of scope.
        classes: K ≥ 2.
        config: how well they work; with ``crowd``.
        seed: of everything drawn.
        facts: what some options need.

    Attributes:
        accuracy: (W,), hidden skill of the annotators, see :class:`CrowdConfig`.

    Raises:
        ValueError: when ``config`` has no ``crowd``, and as :class:`SimulatedAnnotator` does.
    """

    def __init__(
        self,
        hidden: NDArray[np.integer],
        classes: int,
        config: AnnotatorConfig,
        seed: int | np.random.SeedSequence,
        facts: Facts = NO_FACTS,
    ) -> None:
        crowd = config.crowd
        if crowd is None:
            raise ValueError("a crowd needs config.crowd; for one annotator, use make_annotator")
        n, size = len(hidden), crowd.annotators
        order, skill, ties, *own = _children(seed, 3 + size)
        everyone = np.tile(np.arange(size, dtype=np.int32), (n, 1))
        self._annotators = np.random.default_rng(order).permuted(everyone, axis=1)[:, : crowd.redundancy]
        rng = np.random.default_rng(skill)
        self.accuracy = _around(rng, np.full(size, crowd.accuracy), crowd.concentration)
        reliability = _around(rng, np.full(size, config.flag_reliability), crowd.flag_concentration)
        accuracy = np.tile(self.accuracy[:, None], max(1, len(facts.domain_names)))
        domain: NDArray[np.integer] = np.zeros(n, np.intp)
        if crowd.domain_concentration is not None:
            domain = domain_of(facts, n, "crowd.domain_concentration")
            accuracy = _around(rng, accuracy, crowd.domain_concentration)
        self._votes = np.empty(self._annotators.shape, np.int64)
        self._seconds = np.empty(self._annotators.shape)
        for who in range(size):
            does = {"crowd": None, "flag_reliability": float(reliability[who])}
            annotator = SimulatedAnnotator(
                hidden, classes, config.model_copy(update=does), own[who], facts, accuracy=accuracy[who, domain]
            )
            asked = self._annotators == who
            answers = asked.any(1)
            self._votes[asked], self._seconds[asked] = annotator.labels[answers], annotator.seconds[answers]
        self._consensus = aggregate(self._votes, self._annotators, "majority", ties)
        self._price = config.price

    def ask(self, samples: NDArray[np.integer]) -> CrowdAnswers:
        """Annotate ``samples``, (n,) positions in ``hidden``, by r annotators each."""
        votes = self._votes[samples]
        return CrowdAnswers(
            labels=self._consensus.labels[samples],
            cost=self._price.of(votes),
            seconds=float(self._seconds[samples].sum()),
            votes=votes,
            annotators=self._annotators[samples],
            confidence=self._consensus.confidence[samples],
        )


@dataclass(frozen=True, eq=False)
class Consensus:
    """What a table of votes says.

    Attributes:
        labels: (n,) class indices, −1 where the flag prevails, −2 where nobody answered.
        confidence: (n,), posterior probability of the label; 0 where nobody answered.
        skill: (W,), the posterior probability that an annotator's answers are right, averaged over them: estimated
            accuracy. NaN for who gave none.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    skill: NDArray[np.float64]


def aggregate(
    votes: NDArray[np.integer],
    annotators: NDArray[np.integer],
    method: Method = "majority",
    seed: int | np.random.SeedSequence = 0,
) -> Consensus:
    """One label per sample from the votes of several annotators.

    A flag is a label like any other. Mind how many answers an annotator has per class: 1,500 samples of 50 classes
    with 3 votes each from 30 annotators of mean accuracy 0.65 give ``dawid_skene`` accuracy 0.78 at confidence 1.00,
    ``one_coin`` 0.84 at 0.85, ``majority`` 0.80 at 0.67.

    Args:
        votes: (n, r) class indices, −1 for a flag, −2 for an abstention, which is left out.
        annotators: (n, r), who cast them, ≥ 0; the same one may answer a sample several times.
        method: ``majority``, where the posterior is a label's share of the votes, or as crowd-kit has it
            ``dawid_skene`` (a confusion matrix per annotator; Dawid and Skene, Applied Statistics 1979),
            ``one_coin`` (an accuracy per annotator; Zhang et al., JMLR 2016; slow with many classes: it takes
            minutes with 151), ``glad`` (an accuracy per annotator, a difficulty per sample; Whitehill et al., NeurIPS
            2009).
        seed: settles ties.

    Raises:
        ValueError: when the shapes differ, a number is out of range, or the method is unknown.
    """
    if votes.ndim != 2 or votes.shape != annotators.shape:
        raise ValueError(f"votes and annotators must be (n, r), actual shapes: {votes.shape} and {annotators.shape}")
    if votes.size and (votes.min() < ABSTENTION or annotators.min() < 0):
        raise ValueError(
            f"votes must be >= -2 and annotators >= 0, actual smallest values: {votes.min()} and {annotators.min()}"
        )
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, actual value: {method!r}")
    row, column = np.nonzero(votes != ABSTENTION)
    who = annotators[row, column]
    options, said = np.unique(votes[row, column], return_inverse=True)
    posterior = np.zeros((len(votes), len(options)))
    if method == "majority":
        np.add.at(posterior, (row, said), 1)
        posterior /= np.maximum(posterior.sum(1, keepdims=True), 1)
    elif len(row):
        fitted = _fitted(method, row, who, said)
        posterior[np.ix_(fitted.index, fitted.columns)] = fitted
    labels, confidence = np.full(len(votes), ABSTENTION, np.int64), np.zeros(len(votes))
    if len(row):
        luck = np.random.default_rng(seed).random(posterior.shape)
        best = np.where(posterior == posterior.max(1, keepdims=True), luck, -1).argmax(1)
        answered = np.unique(row)
        labels[answered], confidence[answered] = options[best[answered]], posterior[answered, best[answered]]
    size = int(annotators.max(initial=-1)) + 1
    given = np.bincount(who, minlength=size)
    right = np.bincount(who, posterior[row, said], minlength=size)
    return Consensus(labels, confidence, np.divide(right, given, out=np.full(size, np.nan), where=given > 0))


def by_annotator(votes: NDArray[np.integer], annotators: NDArray[np.integer], size: int) -> NDArray[np.int64]:
    """The same votes with a column per annotator: (n, ``size``), −2 where one wasn't asked.

    Args:
        votes: (n, r), as for :func:`aggregate`.
        annotators: (n, r), each at most once per sample.
        size: W, above the largest of ``annotators``.
    """
    table = np.full((len(votes), size), ABSTENTION, np.int64)
    np.put_along_axis(table, annotators, votes, axis=1)
    return table


def _fitted(method: Method, row: Any, who: Any, said: Any) -> Any:
    """A data frame of posteriors: a row per sample that was answered, a column per option."""
    import pandas as pd
    from crowdkit import aggregation  # takes a second, which environments needn't spend

    models: dict[str, Any] = {
        "dawid_skene": aggregation.DawidSkene(),
        "one_coin": aggregation.OneCoinDawidSkene(),
        "glad": aggregation.GLAD(),
    }
    return models[method].fit_predict_proba(pd.DataFrame({"task": row, "worker": who, "label": said}))


def _around(rng: np.random.Generator, mean: NDArray[np.float64], concentration: float | None) -> NDArray[np.float64]:
    """A Beta draw around each mean, see :class:`CrowdConfig`."""
    drawn = mean.copy()
    if concentration is not None:
        inside = (mean > 0) & (mean < 1)
        drawn[inside] = rng.beta(mean[inside] * concentration, (1 - mean[inside]) * concentration)
    return drawn


def _children(seed: int | np.random.SeedSequence, n: int) -> list[np.random.SeedSequence]:
    """Of a copy: spawning would change a sequence that the caller may use again."""
    given = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
    return np.random.SeedSequence(given.entropy, spawn_key=given.spawn_key, pool_size=given.pool_size).spawn(n)

"""Signals from classifiers that are trained here, on labelled texts or on preferences, and calibrated."""

from collections.abc import Callable, Container, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from sklearn.metrics import roc_auc_score

from curation_gym.config import Config, Many
from curation_gym.pools.cards import CalibrationCard, SignalCard, SourceCard, called
from curation_gym.pools.documents import positions
from curation_gym.pools.labelled import Example, TrainSource, read_examples, read_preferences, source_card
from curation_gym.signals.calibration import Calibrator, Method, cross_calibrated, expected_calibration_error
from curation_gym.signals.classifiers import TextScorer, require_classes
from curation_gym.signals.encoders import MODALITY, Encoder, EncoderConfig, SentenceTransformerConfig, make_encoder
from curation_gym.signals.scores import Scorer

N_FOLDS = 5
NO_JUDGE = "judging what was selected by it; that takes a judge of other sources and another method"
NO_PERSON = "decisions about the person who wrote a text"
NGRAMS = "n-grams"  # whether hashed, or hashed and reduced
MakeEncoder = Callable[[EncoderConfig, Sequence[str]], Encoder]
_Fitted = tuple[Scorer, CalibrationCard | None, list[SourceCard]]


class ClassifierSignal(Config):
    """A text classifier trained on other data sets; texts that are in the pool are left out of training.

    Attributes:
        train: labelled sources, or pairs; not both.
        encoder: whose embeddings to train on; null: hashed character and word n-grams.
        c: inverse strength of the L2 penalty.
        calibration: ``"platt"`` or ``"isotonic"``, fitted on what 5 folds of the training texts were given by models
            that hadn't seen them; null: the score is P(positive) as if both classes were equally frequent. Of pairs
            only Platt's, through a half.
    """

    kind: Literal["classifier"]
    train: Many[TrainSource]
    encoder: EncoderConfig | None = None
    c: float = Field(1.0, gt=0)
    calibration: Method | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> "ClassifierSignal":
        if not self.train:
            raise ValueError("train must name at least one data set")
        if len({source.pair is None for source in self.train}) > 1:
            raise ValueError("train mixes pairs with labels; make two signals")
        if self.encoder is not None and MODALITY[self.encoder.kind] != "text":
            raise ValueError(f"encoder must read text, actual kind: {self.encoder.kind!r}")
        if self.calibration == "isotonic" and self.train[0].pair is not None:
            raise ValueError(
                "pairs are calibrated by 'platt': what a step function says of pairs says nothing of a text"
            )
        return self


class Calibration(Config):
    """How the scores of a model that others trained become probabilities.

    Attributes:
        method: see :class:`curation_gym.signals.calibration.Calibrator`.
        on: labelled sources; what is positive in them should be scored high. Texts of the pool are left out.
    """

    method: Method = "platt"
    on: Many[TrainSource] = Field(min_length=1)

    @model_validator(mode="after")
    def _labels(self) -> "Calibration":
        if any(source.pair is not None for source in self.on):
            raise ValueError("calibration needs labelled texts, not pairs")
        return self


def trained(
    config: ClassifierSignal,
    excluded: Container[str],
    encoders: MakeEncoder = make_encoder,
    audited: Sequence[Example] = (),
) -> tuple[Scorer, SignalCard]:
    """Train what a ``classifier`` signal describes.

    Args:
        config: which.
        excluded: texts of the sources that nothing is trained on.
        encoders: makes the encoder.
        audited: of the pool, texts of which people have said more. Together they weigh as much as all sources, in each
            class, and both classes weigh the same, in calibration as well. The card doesn't tell of them, and
            preferences aren't corrected by them.

    Returns:
        What scores texts, float32 (n,) in [0, 1], and its card.

    Raises:
        PoolError: when a source isn't there, or lacks a column.
        ClassifierError: when there is too little to train on.
    """
    pairs = config.train[0].pair is not None
    if pairs:
        scorer, card, sources = _from_preferences(config, excluded, encoders)
    else:
        scorer, card, sources = _from_labels(config, excluded, encoders, audited)
    return scorer, SignalCard(
        kind=config.kind,
        method="Bradley–Terry model" if pairs else "logistic regression",
        features=NGRAMS if config.encoder is None else _features(config.encoder),
        sources=tuple(sources),
        calibration=card,
        never_for=(*(f"reporting results on {called(source)}" for source in sources), NO_JUDGE, NO_PERSON),
    )


def calibrated(
    scorer: Scorer, config: Calibration, excluded: Container[str]
) -> tuple[Calibrator, CalibrationCard, list[SourceCard]]:
    """Calibrate a scorer on labelled texts that it is trusted never to have seen.

    Raises:
        PoolError: when a source isn't there, or lacks a column.
        ClassifierError: when a class has fewer than 10 texts.
    """
    examples, sources = _examples(config.on, excluded)
    positive = np.array([example.positive for example in examples])
    require_classes(positive)
    scores = scorer([example.text for example in examples])
    folds = folds_of([example.key for example in examples])
    measured_on = f"{len(examples):,} labelled texts, {N_FOLDS}-fold"
    return *_calibration(config.method, scores, positive, folds, measured_on), sources


def _from_labels(
    config: ClassifierSignal, excluded: Container[str], encoders: MakeEncoder, audited: Sequence[Example]
) -> _Fitted:
    examples, sources = _examples(config.train, excluded)
    was_audited = np.arange(len(examples) + len(audited)) >= len(examples)
    examples += audited
    texts, positive = [example.text for example in examples], np.array([e.positive for e in examples], np.bool_)
    encoder = encoders(config.encoder, texts) if config.encoder else None
    scorer = TextScorer(encoder, config.c)
    weight = _equal_weight(positive, was_audited) if audited else None
    if config.calibration is None:
        return scorer.fit(texts, positive, weight=weight).score, None, sources
    folds = folds_of([example.key for example in examples])
    held_out = scorer.fit(texts, positive, folds, weight).held_out
    assert held_out is not None
    measured_on = f"{N_FOLDS} folds of the training texts"
    calibrator, card = _calibration(config.calibration, held_out, positive, folds, measured_on, weight)
    return lambda new: calibrator(scorer.score(new)), card, sources


def _equal_weight(positive: NDArray[np.bool_], part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What each text weighs, (n,): either part the same within a class, and either class the same in all."""
    weight = np.zeros(len(positive))
    for label in (True, False):
        groups = [group for group in ((positive == label) & part, (positive == label) & ~part) if group.any()]
        for group in groups:
            weight[group] = len(positive) / (2 * len(groups) * group.sum())
    return weight


def _from_preferences(config: ClassifierSignal, excluded: Container[str], encoders: MakeEncoder) -> _Fitted:
    pairs = [read_preferences(source, excluded) for source in config.train]
    sources = [source_card(source, len(some), len(some)) for source, some in zip(config.train, pairs, strict=True)]
    every = [pair for some in pairs for pair in some]
    chosen, rejected = [pair.chosen for pair in every], [pair.rejected for pair in every]
    encoder = encoders(config.encoder, [*chosen, *rejected]) if config.encoder else None
    scorer = TextScorer(encoder, config.c)
    if config.calibration is None:
        return scorer.fit_preferences(chosen, rejected).score, None, sources
    folds = folds_of([pair.key for pair in every])
    preferred = scorer.fit_preferences(chosen, rejected, folds).held_out
    assert preferred is not None
    # In both orders: of pairs as they are, every one is positive.
    scores, positive = np.append(preferred, 1 - preferred), np.repeat([True, False], len(every))
    measured_on = f"{N_FOLDS} folds of the training pairs, each in both orders"
    calibrator, card = _calibration(
        config.calibration, scores, positive, np.tile(folds, 2), measured_on, through_half=True
    )
    return lambda new: calibrator(scorer.score(new)), card, sources


def _examples(sources: Sequence[TrainSource], excluded: Container[str]) -> tuple[list[Example], list[SourceCard]]:
    examples, cards = [], []
    for source in sources:
        some = read_examples(source, excluded)
        positive = sum(example.positive for example in some)
        cards.append(source_card(source, positive, len(some) - positive))
        examples += some
    return examples, cards


def _calibration(
    method: Method,
    scores: NDArray[np.floating],
    positive: NDArray[np.bool_],
    folds: NDArray[np.integer],
    measured_on: str,
    weight: NDArray[np.floating] | None = None,
    *,
    through_half: bool = False,
) -> tuple[Calibrator, CalibrationCard]:
    after = cross_calibrated(scores, positive, folds, method, weight, through_half=through_half)
    card = CalibrationCard(
        method=method,
        measured_on=measured_on,
        auc=float(roc_auc_score(positive, scores, sample_weight=weight)),
        error_before=expected_calibration_error(scores, positive, weight=weight),
        error_after=expected_calibration_error(after, positive, weight=weight),
    )
    return Calibrator(method, through_half=through_half).fit(scores, positive, weight), card


def folds_of(keys: Sequence[int]) -> NDArray[np.intp]:
    """The fold of each document, in 0 … :data:`N_FOLDS` − 1: always the same, whatever it is trained with."""
    return (positions(np.array(keys, np.uint64), "fold") * N_FOLDS).astype(np.intp)


def _features(encoder: EncoderConfig) -> str:
    return f"embeddings of {encoder.model}" if isinstance(encoder, SentenceTransformerConfig) else NGRAMS

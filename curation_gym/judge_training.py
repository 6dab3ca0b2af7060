"""How a judge is trained, and measured within each domain on what it hasn't seen."""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.linear_model import LogisticRegression

from curation_gym.config import Config, Many
from curation_gym.judge import DomainCard, Judge, JudgeCard
from curation_gym.pools.cards import SignalCard, SourceCard
from curation_gym.pools.deduplication import NearDuplicates, near_duplicates
from curation_gym.pools.documents import Keys
from curation_gym.pools.labelled import Example, TrainSource, read_examples, source_card
from curation_gym.pools.partition import check_disjoint
from curation_gym.pools.trained import N_FOLDS, NGRAMS, folds_of
from curation_gym.signals.calibration import Calibrator, cross_calibrated, expected_calibration_error
from curation_gym.signals.classifiers import ngrams, require_classes
from curation_gym.signals.scores import Scorer

_N_RESAMPLED = 1000


class JudgeConfig(Config):
    """What a judge is trained and measured on. In every source, positive means toxic.

    Attributes:
        train: labelled sources.
        held_out: domain → labelled texts that tell how good the judge is there; none of ``train``'s.
        c: inverse strength of the L2 penalty.
    """

    train: Many[TrainSource] = Field(min_length=1)
    held_out: dict[str, TrainSource] = Field(min_length=1)
    c: float = Field(1.0, gt=0)


class Labelled(NamedTuple):
    """Texts of one source or domain.

    Attributes:
        texts: n strings.
        positive: whether people found each toxic, bool (n,).
        near_copies: further texts that were left out.
    """

    texts: list[str]
    positive: NDArray[np.bool_]
    near_copies: int = 0


@dataclass(frozen=True)
class Material:
    """What a judge is trained and measured on, read and checked.

    Attributes:
        train: of each source.
        keys: of all training texts, for folds.
        held_out: of each domain.
    """

    train: list[Labelled]
    keys: Keys
    held_out: dict[str, Labelled]

    @property
    def texts(self) -> list[str]:
        """All training texts."""
        return [text for source in self.train for text in source.texts]

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Whether each of them is toxic, bool (n,)."""
        return np.concatenate([source.positive for source in self.train])

    @property
    def weight(self) -> NDArray[np.float64]:
        """What each of them weighs, (n,), 1 in the mean: every class of every source the same."""
        halves = [np.where(s.positive, 0.5 / s.positive.sum(), 0.5 / (~s.positive).sum()) for s in self.train]
        return np.concatenate(halves) * (len(self.keys) / len(self.train))


def read_material(config: JudgeConfig, excluded: Container[str] = frozenset()) -> Material:
    """Read what a judge is trained and measured on; near-duplicates of earlier texts are left out of the latter.

    Args:
        config: which sources.
        excluded: texts that are left out of training.

    Raises:
        PartitionError: when training and held-out texts overlap.
        PoolError: when a source isn't there, or lacks a column.
        ClassifierError: when a source lacks texts of a class.
    """
    train = [read_examples(source, excluded) for source in config.train]
    held_out = {domain: read_examples(source) for domain, source in config.held_out.items()}
    texts = [example.text for some in train for example in some]
    check_disjoint(
        {"what the judge is trained on": texts}
        | {f"held-out {domain}": [example.text for example in some] for domain, some in held_out.items()}
    )
    held_texts = [example.text for some in held_out.values() for example in some]
    near = iter(near_duplicates([*texts, *held_texts], NearDuplicates.model_validate({}))[len(texts) :])
    kept = {domain: [e for e, copy in zip(some, near, strict=False) if not copy] for domain, some in held_out.items()}
    return Material(
        [_labelled(some) for some in train],
        np.array([example.key for some in train for example in some], np.uint64),
        {domain: _labelled(some, len(held_out[domain]) - len(some)) for domain, some in kept.items()},
    )


def train_judge(config: JudgeConfig, excluded: Container[str] = frozenset()) -> Judge:
    """Train a judge, and measure it on what it hasn't seen.

    Args:
        config: on which sources.
        excluded: texts that are left out of training: what is curated, so that nothing of it is known to the judge.

    Raises:
        PartitionError, PoolError, ClassifierError: see :func:`read_material`.
    """
    material = read_material(config, excluded)
    texts, positive, weight = material.texts, material.positive, material.weight
    featurize = ngrams().fit(texts)
    features = featurize.transform(texts)
    folds = folds_of(material.keys.tolist())
    unseen = np.empty(len(texts), np.float32)
    for fold in range(N_FOLDS):
        inside = folds == fold
        model = logistic(config.c).fit(features[~inside], positive[~inside], weight[~inside])
        unseen[inside] = model.predict_proba(features[inside])[:, 1]
    slope, intercept = Calibrator("platt").fit(unseen, positive, weight).curve
    after = cross_calibrated(unseen, positive, folds, "platt", weight)
    model = logistic(config.c).fit(features, positive, weight)
    weights = {
        "coefficients": model.coef_[0].astype(np.float32),
        "platt": np.array([slope, slope * model.intercept_[0] + intercept]),
    }
    weights |= {f"idf/{name}": part.steps[-1][1].idf_ for name, part in featurize.transformer_list}
    card = JudgeCard(
        trained=SignalCard(
            kind="judge",
            method="logistic regression, every class of every source equally heavy, Platt's calibration",
            features=NGRAMS,
            sources=tuple(map(_source_card, config.train, material.train)),
        ),
        domains={},
        calibration_error=expected_calibration_error(after, positive, weight=weight),
    )
    judge = Judge(card, weights)
    judge.card = card.model_copy(update={"domains": {d: measured(judge, t) for d, t in material.held_out.items()}})
    return judge


def logistic(c: float) -> LogisticRegression:
    """An unfitted model; ``c`` is the inverse strength of its L2 penalty."""
    return LogisticRegression(C=c, max_iter=400)


def measured(scorer: Scorer, held_out: Labelled) -> DomainCard:
    """How good a scorer of toxicity is on labelled texts: AUC, and its interval by a bootstrap within each class."""
    scores, rng = np.asarray(scorer(held_out.texts)), np.random.default_rng(0)
    toxic, clean = np.sort(scores[held_out.positive]), np.sort(scores[~held_out.positive])
    resampled = [
        _auc(np.sort(rng.choice(toxic, len(toxic))), np.sort(rng.choice(clean, len(clean))))
        for _ in range(_N_RESAMPLED)
    ]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return DomainCard(
        auc=_auc(toxic, clean),
        low=float(low),
        high=float(high),
        toxic=len(toxic),
        clean=len(clean),
        near_copies=held_out.near_copies,
    )


def _auc(toxic: NDArray[np.floating], clean: NDArray[np.floating]) -> float:
    """Of sorted scores: the share of pairs ordered rightly, ties counting half."""
    right = np.searchsorted(clean, toxic, "left").sum() + np.searchsorted(clean, toxic, "right").sum()
    return float(right / (2 * len(toxic) * len(clean)))


def _labelled(examples: Sequence[Example], near_copies: int = 0) -> Labelled:
    positive = np.array([example.positive for example in examples], np.bool_)
    require_classes(positive)
    return Labelled([example.text for example in examples], positive, near_copies)


def _source_card(source: TrainSource, used: Labelled) -> SourceCard:
    positive = int(used.positive.sum())
    return source_card(source, positive, len(used.texts) - positive).model_copy(update={"role": "judge training"})

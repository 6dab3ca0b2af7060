"""The signals of a pool: how each kind is computed, and the card that says what it is."""

import importlib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from curation_gym.pools.cards import SignalCard, SourceCard
from curation_gym.pools.cleaning import RULES, cleaned
from curation_gym.pools.common import cache_directory, code_versions, content_hash, split_by_hash
from curation_gym.pools.corpus_sources import read_documents
from curation_gym.pools.labelled import TrainSource
from curation_gym.pools.registry import encoder_version, model_version, reference_version, scorer_version
from curation_gym.pools.signal_kinds import (
    BlockListSignal,
    CallableSignal,
    ColumnSignal,
    CombinedSignal,
    CrossFittedSignal,
    PerplexitySignal,
    RankedSignal,
    ServiceSignal,
    SignalConfig,
    TextQualitySignal,
    TransformerSignal,
    every_signal,
)
from curation_gym.pools.storage import PoolError, known_digest
from curation_gym.pools.trained import (
    N_FOLDS,
    NGRAMS,
    NO_JUDGE,
    NO_PERSON,
    ClassifierSignal,
    MakeEncoder,
    calibrated,
    trained,
)
from curation_gym.signals.block_list import BlockList, read_words
from curation_gym.signals.classifiers import auc_within, cross_fitted, ngrams
from curation_gym.signals.encoders import SentenceTransformerConfig, make_encoder, model_path
from curation_gym.signals.scores import Scorer, TextCache, imported_scorer, score_texts
from curation_gym.signals.service import PerspectiveScorer
from curation_gym.signals.text_quality import text_quality


@dataclass(frozen=True)
class Truth:
    """Human labels that a data card measures signals against; no signal is made of them.

    Attributes:
        rows: (k,) ids of the samples measured on.
        clean: bool (k,).
        domain: (k,) codes into ``names``.
        names: of the domains.
    """

    rows: NDArray[np.integer]
    clean: NDArray[np.bool_]
    domain: NDArray[np.integer]
    names: Sequence[str]


@dataclass(frozen=True)
class Samples:
    """What signals are made of.

    Attributes:
        texts: the pool's n; None when not every sample is one.
        train: bool (n,), the train split, on which what is fitted is fitted.
        domain: (n,) codes ≥ 0.
        columns: the columns that ``column`` signals named.
        labels: class names (None: out of scope), for ``cross_fitted``.
        excluded: texts that no signal is trained or calibrated on.
        truth: for the data cards.
        encoders: makes the encoders of classifiers.
    """

    texts: Sequence[str] | None
    train: NDArray[np.bool_]
    domain: NDArray[np.integer]
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    labels: Sequence[str | None] | None = None
    excluded: Container[str] = frozenset()
    truth: Truth | None = None
    encoders: MakeEncoder = make_encoder


def signal_versions(signals: Iterable[SignalConfig]) -> dict[str, str]:
    """What signals depend on besides the pool's samples, for caching: training data, models, packages."""
    versions: dict[str, str] = {}
    for signal in every_signal(signals):
        sources: tuple[TrainSource, ...] = ()
        match signal:
            case ClassifierSignal():
                sources = signal.train
                if isinstance(signal.encoder, SentenceTransformerConfig):
                    versions |= encoder_version(signal.encoder)
            case PerplexitySignal():
                versions |= {key: value for source in signal.train for key, value in reference_version(source).items()}
                if not isinstance(signal.model, str):
                    from curation_gym.learners.base_model import pretraining_versions  # only here torch is needed

                    versions |= pretraining_versions()
            case TransformerSignal() | ServiceSignal() | CallableSignal() if signal.calibration is not None:
                sources = signal.calibration.on
        for source in sources:
            versions |= reference_version(source)
        if isinstance(signal, BlockListSignal) and signal.path is not None:
            versions |= {f"list:{signal.path}": known_digest(Path(model_path(signal.path)))}
        if isinstance(signal, CallableSignal):
            versions |= scorer_version(signal.scorer)
        if isinstance(signal, TransformerSignal | PerplexitySignal):
            versions |= code_versions("transformers")
            versions |= model_version(signal.model) if isinstance(signal.model, str) else {}
    return versions


def score(name: str, config: SignalConfig, samples: Samples) -> tuple[NDArray[np.float32], SignalCard]:
    """Compute a signal for every sample.

    Args:
        name: of the signal, for messages.
        config: how.
        samples: of what.

    Returns:
        float32 (n,) in [0, 1], and the signal's card.

    Raises:
        PoolError: when the signal can't be made for every sample; nothing is ever filled in.
        ClassifierError: when there is too little to train on.
        ScoreError: when a model or service fails; what it scored before is kept.
    """
    if isinstance(config, CombinedSignal):
        parts = {part: score(f"{name}.{part}", below, samples) for part, below in config.parts.items()}
        values = _combined(config, np.stack([values for values, _ in parts.values()]))
        cards = {part: card for part, (_, card) in parts.items()}
        card = SignalCard(kind=config.kind, method=f"the {config.by} of its parts", parts=cards)
    elif isinstance(config, RankedSignal):
        unranked, card_of = score(f"{name}.signal", config.signal, samples)
        values = _ranked(unranked, samples)
        method = "the share of the train split's samples of its domain that it exceeds"
        card = SignalCard(kind=config.kind, method=method, parts={"signal": card_of})
    elif isinstance(config, ColumnSignal):
        values = _scaled(name, config, samples.columns[config.column])
        card = SignalCard(kind=config.kind, method=f"column {config.column!r} from {config.low:g} to {config.high:g}")
    else:
        if samples.texts is None:
            raise PoolError(f"signal {name!r}: kind {config.kind!r} reads texts, and not every sample is one")
        values, card = _of_texts(name, config, samples.texts, samples)
    return values, card if samples.truth is None else card.model_copy(update={"auc": _auc(values, samples.truth)})


def _combined(config: CombinedSignal, parts: NDArray[np.float32]) -> NDArray[np.float32]:
    together = {"minimum": parts.min(0), "product": parts.prod(0), "mean": parts.mean(0)}[config.by]
    return np.asarray(np.clip(together, 0, 1), np.float32)  # a mean of ones may be more by its last digit


def _ranked(values: NDArray[np.float32], samples: Samples) -> NDArray[np.float32]:
    ranked = np.empty(len(values), np.float32)
    for code in np.unique(samples.domain):
        inside = samples.domain == code
        order = np.sort(values[inside & samples.train])
        place = sum(np.searchsorted(order, values[inside], side) for side in ("left", "right"))
        # A domain without train samples has nothing to exceed: all its samples stand in the middle.
        ranked[inside] = place / (2 * len(order)) if len(order) else 0.5
    return ranked


def _of_texts(
    name: str, config: SignalConfig, texts: Sequence[str], samples: Samples
) -> tuple[NDArray[np.float32], SignalCard]:
    match config:
        case TextQualitySignal():
            rules = f"the product of the rules {', '.join(config.rules)}"
            return text_quality(texts, config.rules), SignalCard(kind=config.kind, method=rules, never_for=(_NO_TRUTH,))
        case BlockListSignal():
            return _unblocked(name, config, texts)
        case CrossFittedSignal():
            card = SignalCard(
                kind=config.kind,
                method="logistic regression, each text scored by a model of the other folds",
                features=NGRAMS,
                never_for=("tasks that pay for the pool's labels, for it was trained on them", NO_JUDGE),
            )
            return _cross_fitted(name, config, texts, samples.labels), card
        case ClassifierSignal():
            scorer, card = trained(config, samples.excluded, samples.encoders)
            return np.asarray(scorer(list(texts)), np.float32), card
        case PerplexitySignal():
            return _in_band(name, config, texts, samples)
        case TransformerSignal() | ServiceSignal() | CallableSignal():
            return _by_model(name, config, texts, samples.excluded)
    raise AssertionError(config)


_NO_TRUTH = "telling what is true or safe: well-written text can be neither"


def _auc(values: NDArray[np.float32], truth: Truth) -> dict[str, float | None]:
    found = values[truth.rows]
    both = len(np.unique(truth.clean)) == 2
    pooled = {"all": float(roc_auc_score(truth.clean, found)) if both else np.nan}
    every = pooled | auc_within(found, truth.clean, truth.domain, truth.names)
    return {domain: None if np.isnan(auc) else auc for domain, auc in every.items()}


def _scaled(name: str, config: ColumnSignal, values: NDArray[Any]) -> NDArray[np.float32]:
    scaled = (values - config.low) / (config.high - config.low)
    good = (scaled >= 0) & (scaled <= 1)  # False for NaN
    if not good.all():
        row = int(np.argmin(good))
        raise PoolError(
            f"signal {name!r}: column {config.column!r}, row {row}: {values[row]} is missing or not between "
            f"low = {config.low} and high = {config.high} ({int((~good).sum())} such values)"
        )
    return np.asarray(scaled, np.float32)


def _unblocked(name: str, config: BlockListSignal, texts: Sequence[str]) -> tuple[NDArray[np.float32], SignalCard]:
    try:
        words = config.words if config.path is None else read_words(Path(model_path(config.path)))
        scorer = BlockList(words)
    except ValueError as error:
        raise PoolError(f"signal {name!r}: {error}") from error
    card = SignalCard(
        kind=config.kind,
        method=f"no word of {'a list' if config.path is None else config.path}",
        never_for=(_NO_TRUTH, "judging people's dialects: a word that insults in one is plain in another"),
    )
    return scorer(texts), card


def _cross_fitted(
    name: str, config: CrossFittedSignal, texts: Sequence[str], labels: Sequence[str | None] | None
) -> NDArray[np.float32]:
    if labels is None:
        raise PoolError(f"signal {name!r}: kind 'cross_fitted' needs the sources' label")
    classes = {label for label in labels if label is not None}
    unknown = set(config.positive) - classes
    if unknown:
        raise PoolError(f"signal {name!r}: positive {sorted(unknown)} are no classes; there are {sorted(classes)}")
    positive = np.array([label in config.positive for label in labels])
    folds = split_by_hash(content_hash((text.encode() for text in texts), "fold"), [1 / N_FOLDS] * N_FOLDS)
    return cross_fitted(ngrams().fit_transform(texts), positive, folds)


def _in_band(
    name: str, config: PerplexitySignal, texts: Sequence[str], samples: Samples
) -> tuple[NDArray[np.float32], SignalCard]:
    from curation_gym.signals.perplexity import PerplexityBand, PerplexityScorer  # only here torch is needed

    model, called, sources = _reference_model(config, samples.excluded)
    identity = {"kind": config.kind, "max_length": config.max_length, **model_version(model)}
    surprise = score_texts(
        PerplexityScorer(model, max_length=config.max_length),
        texts,
        cache=_cache(identity),
        batch_size=config.batch_size,
        bounds=(0.0, np.inf),
        description=f"signal {name!r}",
    )
    quantiles = ", ".join(f"{quantile:g}" for quantile in config.quantiles)
    method = f"log-perplexity under {called}, 0, ½, 1 and 0 at the train split's quantiles {quantiles}"
    values = PerplexityBand(surprise[samples.train], config.quantiles)(surprise)
    return values, SignalCard(kind=config.kind, method=method, sources=sources, never_for=(_NO_TRUTH,))


def _reference_model(config: PerplexitySignal, excluded: Container[str]) -> tuple[str, str, tuple[SourceCard, ...]]:
    """Where it is, how a card calls it, and what it was trained on, as far as that is known."""
    if isinstance(config.model, str):
        return config.model, config.model, ()
    from curation_gym.learners.base_model import pretrained  # only here torch is needed

    texts: dict[str, None] = {}
    cards = []
    for source in config.train:
        before = len(texts)
        found = (cleaned(read.document.text, RULES)[0] for read in read_documents(source) if read.document)
        texts |= dict.fromkeys(text for text in found if text and text not in excluded)
        card = SourceCard(
            title=source.title,
            version=reference_version(source),
            role="reference model",
            part=source.part,
            positive=len(texts) - before,
            negative=0,
        )
        cards.append(card)
    titles = ", ".join(source.title for source in config.train)
    where = str(pretrained(config.model, list(texts)))
    return where, f"a GPT-NeoX of {len(texts):,} documents of {titles}", tuple(cards)


def _by_model(
    name: str,
    config: TransformerSignal | ServiceSignal | CallableSignal,
    texts: Sequence[str],
    excluded: Container[str],
) -> tuple[NDArray[np.float32], SignalCard]:
    scorer: Scorer
    if isinstance(config, TransformerSignal):
        module = importlib.import_module("curation_gym.signals.transformer_scorer")  # only here torch is needed
        scorer = module.TransformerScorer(config.model, config.label)
        identity: dict[str, Any] = {"label": config.label, **model_version(config.model)}
        method = f"P({config.label}) by {config.model}"
    elif isinstance(config, CallableSignal):
        identity, scorer = scorer_version(config.scorer), imported_scorer(config.scorer)
        method = f"what {config.scorer} gives"
    else:
        options = config.model_dump(exclude={"kind", "invert", "calibration", "batch_size", "url"})
        scorer = PerspectiveScorer(config.url, **options)
        identity = {"url": config.url, "attribute": config.attribute, "languages": list(config.languages)}
        method = f"{config.attribute} by the service at {config.url}"
    cache = _cache({"kind": config.kind} | identity)

    def scored(some: Sequence[str]) -> NDArray[np.float32]:
        values = score_texts(scorer, some, cache=cache, batch_size=config.batch_size, description=f"signal {name!r}")
        return 1 - values if config.invert else values

    card = SignalCard(
        kind=config.kind, method=f"1 − {method}" if config.invert else method, never_for=(NO_JUDGE, NO_PERSON)
    )
    if config.calibration is None:
        return scored(texts), card
    calibrator, told, sources = calibrated(scored, config.calibration, excluded)
    return calibrator(scored(texts)), card.model_copy(update={"calibration": told, "sources": tuple(sources)})


def _cache(identity: Mapping[str, Any]) -> TextCache:
    return TextCache(cache_directory() / "scores", identity)

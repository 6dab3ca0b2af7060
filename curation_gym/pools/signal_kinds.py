"""The kinds of signal that a pool can have, each as the options that describe it."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from curation_gym.config import Config, Many
from curation_gym.learners.language_model_config import ModelSource
from curation_gym.pools.corpus_sources import CorpusSource
from curation_gym.pools.trained import Calibration, ClassifierSignal
from curation_gym.signals.text_quality import DEFAULT_RULES, Rule


class ColumnSignal(Config):
    """A numeric column of the data: (value − low) / (high − low).

    Attributes:
        column: its name in every source.
        low: the value that becomes 0.
        high: the value that becomes 1; smaller than ``low`` turns the column around.
    """

    kind: Literal["column"]
    column: str
    low: float = 0.0
    high: float = 1.0

    @model_validator(mode="after")
    def _has_width(self) -> "ColumnSignal":
        if self.low == self.high:
            raise ValueError(f"low and high must differ, actual value of both: {self.low}")
        return self


class TextQualitySignal(Config):
    """Text quality by rule, see :mod:`curation_gym.signals.text_quality`.

    Attributes:
        rules: whose scores are multiplied.
    """

    kind: Literal["text_quality"]
    rules: Many[Rule] = Field(DEFAULT_RULES, min_length=1)


class BlockListSignal(Config):
    """1 without a word of a list, 0 with any, see :class:`curation_gym.signals.block_list.BlockList`.

    Attributes:
        words: the list; or
        path: of a file with an entry per line, or ``package:NAME/FILE``.
    """

    kind: Literal["block_list"]
    words: Many[str] = ()
    path: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_list(self) -> "BlockListSignal":
        if bool(self.words) == (self.path is not None):
            raise ValueError("exactly one of words and path is needed")
        return self


class CrossFittedSignal(Config):
    """P(label in ``positive``) from n-gram classifiers trained on the pool itself, each text scored by one
    that did not see it. It uses the pool's own labels: no task should pay for them too.

    Attributes:
        positive: class names.
    """

    kind: Literal["cross_fitted"]
    positive: Many[str] = Field(min_length=1)


class _ModelSignal(Config):
    """A scorer that others trained.

    Attributes:
        invert: take 1 − score, as for a safety signal from a score of toxicity; before calibration.
        calibration: makes the score a probability; null: it is taken as it is.
        batch_size: texts that an interrupt loses at most.
    """

    invert: bool = False
    calibration: Calibration | None = None
    batch_size: int = Field(256, ge=1)


class TransformerSignal(_ModelSignal):
    """P(label) by any Hugging Face text classifier.

    Attributes:
        model: a hub id, a local directory, or ``package:NAME/DIRECTORY``; ``"unitary/toxic-bert"`` is Detoxify's.
        label: of the model's labels, whose probability is taken.
    """

    kind: Literal["transformer"]
    model: str = Field(min_length=1)
    label: str = Field(min_length=1)


class ServiceSignal(_ModelSignal):
    """A service in Perspective's request format, see :class:`curation_gym.signals.service.PerspectiveScorer`."""

    kind: Literal["service"]
    url: str = Field(min_length=1)
    attribute: str = "TOXICITY"
    languages: Many[str] = ("en",)
    key_variable: str | None = None
    key_header: str = "X-Goog-Api-Key"
    requests_per_second: float = Field(1.0, gt=0)
    connections: int = Field(4, ge=1)
    timeout: float = Field(30.0, gt=0)
    retries: int = Field(5, ge=0)


class CallableSignal(_ModelSignal):
    """Any callable from a list of texts to as many numbers in [0, 1]; importing it runs its module.

    What it gave is kept under its name, its attribute ``version`` where it has one, and a digest of the files in which
    it is named and defined. Nothing tells that other code changed that it calls, or weights that it reads: give it
    another ``version`` then. A file that is edited takes effect when it is imported anew, as in another process.

    Attributes:
        scorer: ``"module:attribute"``.
    """

    kind: Literal["callable"]
    scorer: str = Field(pattern=r"^[\w.]+:[\w.]+$")


class PerplexitySignal(Config):
    """Perplexity under a reference language model within a band, see :mod:`curation_gym.signals.perplexity`.

    Attributes:
        model: a hub id, a local directory, ``package:NAME/DIRECTORY``, or a small model to be trained from scratch.
        train: what the small model is trained on: by what is good text there, that in the pool is measured, as
            Wenzek et al., "CCNet" (LREC 2020) do by Wikipedia. Documents of the pool are left out.
        quantiles: of the train split's log-perplexity, where utility is 0, ½, 1 and 0 again.
        max_length: tokens of a text that are read, at most.
        batch_size: texts that an interrupt loses at most.
    """

    kind: Literal["perplexity"]
    model: ModelSource
    train: Many[CorpusSource] = ()
    quantiles: Annotated[tuple[float, float, float, float], Field(strict=False)] = (0.01, 0.1, 0.9, 0.99)
    max_length: int | None = Field(None, ge=1)
    batch_size: int = Field(256, ge=1)

    @model_validator(mode="after")
    def _trained_on(self) -> "PerplexitySignal":
        if isinstance(self.model, str) == bool(self.train):
            raise ValueError("a model that is to be trained needs train, sources of text; one that is named takes none")
        return self

    @model_validator(mode="after")
    def _increasing(self) -> "PerplexitySignal":
        increasing = all(low < high for low, high in pairwise(self.quantiles))
        if not increasing or self.quantiles[0] < 0 or self.quantiles[-1] > 1:
            raise ValueError(f"quantiles must increase within [0, 1], actual value: {list(self.quantiles)}")
        return self


class CombinedSignal(Config):
    """One signal of several: a safety of several categories, or a utility of surprise and quality.

    Attributes:
        parts: name → how to compute it.
        by: ``"minimum"``, where the worst decides; ``"product"``, where each has a veto; or ``"mean"``.
    """

    kind: Literal["combined"]
    parts: dict[str, "SignalConfig"] = Field(min_length=1)
    by: Literal["minimum", "product", "mean"] = "minimum"


class RankedSignal(Config):
    """Where a sample stands by a signal among the train split's samples of its domain: the share that it exceeds.

    Some signals say more of what a domain is like than of what is good in it. In every domain this one is uniform.

    Attributes:
        signal: by what is ranked. Equals share the middle of their places.
    """

    kind: Literal["ranked"]
    signal: "SignalConfig"


SignalConfig = Annotated[
    ColumnSignal
    | TextQualitySignal
    | BlockListSignal
    | CrossFittedSignal
    | ClassifierSignal
    | TransformerSignal
    | ServiceSignal
    | CallableSignal
    | PerplexitySignal
    | CombinedSignal
    | RankedSignal,
    Field(discriminator="kind"),
]
CombinedSignal.model_rebuild()
RankedSignal.model_rebuild()


def every_signal(signals: Iterable[SignalConfig]) -> Iterator[SignalConfig]:
    """Signals and what they are combined from, to any depth."""
    for signal in signals:
        yield signal
        if isinstance(signal, CombinedSignal):
            yield from every_signal(signal.parts.values())
        if isinstance(signal, RankedSignal):
            yield from every_signal([signal.signal])

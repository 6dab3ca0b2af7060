"""The judge of toxicity: an evaluator that shares no source and no features with any signal."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from curation_gym.config import Config
from curation_gym.files import replace_directory
from curation_gym.pools.cards import SignalCard
from curation_gym.signals.classifiers import ngrams

FORMAT_VERSION = 1
LEAST_AUC = 0.7
"""Within a domain where a judge orders fewer pairs rightly, it isn't asked."""


class JudgeError(ValueError):
    """A judge that can't be trained, loaded or asked. A score that can't be made is never replaced by a number."""


class DomainCard(Config):
    """How good a judge is within a domain, by held-out human labels.

    Attributes:
        auc: area under the ROC curve in [0, 1].
        low: lower end of its 95 % interval, by a bootstrap within each class.
        high: upper end.
        toxic: texts that people found toxic.
        clean: all others.
        near_copies: texts left out because they are near-duplicates of one that the judge was trained on.
    """

    auc: float
    low: float
    high: float
    toxic: int
    clean: int
    near_copies: int

    @property
    def scored(self) -> bool:
        """Whether the judge may be asked about texts of the domain."""
        return self.auc >= LEAST_AUC

    def __str__(self) -> str:
        """For tables."""
        return f"{self.auc:.3f} [{self.low:.3f}, {self.high:.3f}]{'' if self.scored else ' (not scored)'}"


class JudgeCard(Config):
    """What a judge is.

    Attributes:
        trained: method, features, sources.
        domains: how good it is within each.
        calibration_error: expected, in [0, 1], in cross-validation on the training texts, both classes of every source
            equally heavy.
    """

    trained: SignalCard
    domains: dict[str, DomainCard]
    calibration_error: float


class Judge:
    """P(toxic) of texts: logistic regression on hashed word and character n-grams, calibrated by Platt's method.

    Every class of every source weighs the same, so that neither the size of a source nor how toxic it is teaches the
    judge anything: a probability is as if both classes were equally frequent, and ½ is where they balance. Made by
    :func:`curation_gym.judge_training.train_judge` or :meth:`load`. Anything that takes a scorer takes a judge.
    """

    def __init__(self, card: JudgeCard, weights: Mapping[str, NDArray[np.floating]]) -> None:
        self.card, self._weights = card, dict(weights)
        self._featurize = ngrams()
        for name, part in self._featurize.transformer_list:
            part.steps[-1][1].idf_ = self._weights[f"idf/{name}"]

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Probabilities, float32 (n,) in [0, 1]."""
        logits = self._featurize.transform(texts) @ self._weights["coefficients"]
        slope, intercept = self._weights["platt"]
        return np.asarray(1 / (1 + np.exp(-(slope * logits + intercept))), np.float32)

    def may_score(self, domain: str) -> bool:
        """Whether the judge was measured within a domain, and is good enough there."""
        told = self.card.domains.get(domain)
        return told is not None and told.scored

    def require(self, domain: str) -> None:
        """Check that the judge is good enough within a domain.

        Raises:
            JudgeError: when its AUC there is below 0.7, or isn't known.
        """
        told = self.card.domains.get(domain)
        if told is None:
            raise JudgeError(f"nobody knows how good the judge is on {domain!r}; it was measured on {self._known()}")
        if not told.scored:
            raise JudgeError(
                f"within {domain!r} the judge's AUC is {told.auc:.3f}, below {LEAST_AUC}: the domain isn't scored"
            )

    def save(self, path: str | Path) -> None:
        """Write ``judge.json`` and ``weights.safetensors`` into a directory, which appears complete or not at all.

        Raises:
            JudgeError: when ``path`` exists and isn't a saved judge.
        """
        path = Path(path)
        if path.exists() and not (path / "judge.json").is_file():
            raise JudgeError(f"{path} exists and is no saved judge; choose another path or remove it")
        replace_directory(path, self._write)

    def _write(self, bundle: Path) -> None:
        save_file({name: np.ascontiguousarray(w) for name, w in self._weights.items()}, bundle / "weights.safetensors")
        header = {"format_version": FORMAT_VERSION, "card": self.card.model_dump(mode="json")}
        (bundle / "judge.json").write_text(json.dumps(header, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> "Judge":
        """Read a saved judge.

        Raises:
            JudgeError: when it isn't there, was truncated or altered, or is of another format.
        """
        path = Path(path)
        try:
            header = json.loads((path / "judge.json").read_text(encoding="utf-8"))
            version = header["format_version"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise JudgeError(f"{path} is no saved judge: {error!r}") from error
        if version != FORMAT_VERSION:
            raise JudgeError(f"{path} has format version {version}; this release reads {FORMAT_VERSION}")
        try:
            weights = load_file(path / "weights.safetensors")
            judge = cls(JudgeCard.model_validate(header["card"]), weights)
            judge(["."])  # a weight of another shape shows here
        except (OSError, ValueError, KeyError, SafetensorError, ValidationError) as error:
            raise JudgeError(f"{path} was truncated or altered: {error}") from error
        return judge

    def _known(self) -> str:
        return ", ".join(self.card.domains)

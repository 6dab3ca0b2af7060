"""The signals of the corpora as a reward for what a language model says: RAFT as published ranks by them, too."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation_gym.config import validated
from curation_gym.pools.registry import encoder_cache
from curation_gym.pools.trained import ClassifierSignal, trained
from curation_gym.signals.encoders import Encoder, EncoderConfig, make_encoder
from curation_gym.signals.scores import Scorer
from curation_gym.signals.shared_encoders import SharedEncoders
from curation_gym.signals.text_quality import text_quality
from experiments.dynacure.corpora import ALIGNED, QUALITY_RULES, SAFE, SIGNALS


class Reward:
    """w_s·safety + w_a·alignment + w_u·utility of texts, as the corpora have them.

    Safety is the least of its heads, alignment the mean of its own. Of utility it knows the quality rules, not how
    surprising a text is for its domain: what a model says has none.

    Args:
        excluded: texts that no head is trained on: those of the corpus.
    """

    def __init__(self, excluded: Container[str]) -> None:
        encoders = _ReadOnce()
        self._heads = {
            head: trained(validated(ClassifierSignal, SIGNALS[head], head), excluded, encoders)[0]
            for head in dict.fromkeys((*SAFE, *ALIGNED))
        }

    def by(self, weights: Mapping[str, float]) -> Scorer:
        """The reward by weights of the objectives, which sum to 1: texts → float32 (n,) in [0, 1]."""

        def reward(texts: Sequence[str]) -> NDArray[np.float32]:
            scores = {head: np.asarray(scorer(list(texts))) for head, scorer in self._heads.items()}
            objectives = {
                "safety": np.min([scores[head] for head in SAFE], axis=0),
                "alignment": np.mean([scores[head] for head in ALIGNED], axis=0),
                "utility": text_quality(list(texts), QUALITY_RULES),
            }
            return np.asarray(sum(weight * objectives[name] for name, weight in weights.items()), np.float32)

        return reward


class _ReadOnce:
    """Makes encoders for several heads, which read the same texts one after the other: they are encoded once.

    Texts that a head is trained on are kept on disk, for the next process.
    """

    def __init__(self) -> None:
        self._kept = SharedEncoders(encoder_cache, training_only=True)
        self._last: dict[EncoderConfig, tuple[list[str], NDArray[np.float32]]] = {}
        self._encoders: dict[EncoderConfig, Encoder] = {}

    def __call__(self, config: EncoderConfig, train: Sequence[Any]) -> Any:
        kept, own = self._kept(config, train), frozenset(train)

        def encode(samples: Sequence[str]) -> NDArray[np.float32]:
            if own.issuperset(samples):
                return kept(samples)
            texts, rows = self._last.get(config, ([], np.empty((0, 0), np.float32)))
            if texts != list(samples):
                encoder = self._encoders.setdefault(config, make_encoder(config, []))
                rows = encoder(samples)
                self._last[config] = list(samples), rows
            return rows

        return encode

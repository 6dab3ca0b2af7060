"""Encoders that several share: what one has read, none reads again."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation_gym.console import progress
from curation_gym.signals.encoders import Encoder, EncoderConfig, SentenceTransformerConfig, make_encoder
from curation_gym.signals.scores import TextCache

_AT_ONCE = 2048  # texts that an interrupt loses at most


class SharedEncoders:
    """:func:`make_encoder` for several who encode the same texts: each frozen encoder reads a text once.

    Rows are kept on disk, so that an interrupted build goes on, and another one of the same texts is quick.

    Args:
        cache: makes the cache of an encoder.
        training_only: keep rows of the texts that an encoder is made with, not of those that it meets later, of which
            there may be no end.
    """

    def __init__(self, cache: Callable[[SentenceTransformerConfig], TextCache], *, training_only: bool = False) -> None:
        self._cache, self._training_only = cache, training_only
        self._frozen: dict[EncoderConfig, Encoder] = {}

    def __call__(self, config: EncoderConfig, train: Sequence[Any]) -> Encoder:
        """As :func:`make_encoder`."""
        if not isinstance(config, SentenceTransformerConfig):
            return make_encoder(config, train)
        if self._training_only:
            return _Remembering(make_encoder(config, train), self._cache(config), frozenset(train))
        if config not in self._frozen:
            self._frozen[config] = _Remembering(make_encoder(config, train), self._cache(config))
        return self._frozen[config]


class _Remembering:
    def __init__(self, encoder: Encoder, cache: TextCache, kept: frozenset[str] | None = None) -> None:
        self.name, self._encoder, self._cache, self._kept = encoder.name, encoder, cache, kept

    def __call__(self, samples: Sequence[str]) -> NDArray[np.float32]:
        first = list(dict.fromkeys(samples))
        if self._kept is not None and not self._kept.issuperset(first):
            return self._encoder(samples)
        rows = self._cache.get(first)
        # Of similar length, so that little is padded; the longest first, as what doesn't fit into memory fails at once.
        new = sorted((text for text in first if text not in rows), key=len, reverse=True)
        starts = range(0, len(new), _AT_ONCE)
        for start in progress(starts, "encoding"):
            batch = new[start : start + _AT_ONCE]
            encoded = self._encoder(batch)
            self._cache.put(batch, encoded)
            rows |= zip(batch, encoded, strict=True)
        return np.stack([rows[text] for text in samples])

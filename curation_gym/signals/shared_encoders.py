"""Encoders that several share: what one has read, none reads again."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation_gym.signals.encoders import Encoder, EncoderConfig, SentenceTransformerConfig, make_encoder


class SharedEncoders:
    """:func:`make_encoder` for several who encode the same texts: each frozen encoder reads a text once.

    Rows are kept for as long as this object: 4 bytes per dimension and text.
    """

    def __init__(self) -> None:
        self._frozen: dict[EncoderConfig, Encoder] = {}

    def __call__(self, config: EncoderConfig, train: Sequence[Any]) -> Encoder:
        """As :func:`make_encoder`."""
        if not isinstance(config, SentenceTransformerConfig):
            return make_encoder(config, train)
        if config not in self._frozen:
            self._frozen[config] = _Remembering(make_encoder(config, train))
        return self._frozen[config]


class _Remembering:
    def __init__(self, encoder: Encoder) -> None:
        self.name, self._encoder = encoder.name, encoder
        self._rows: dict[str, NDArray[np.float32]] = {}

    def __call__(self, samples: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(samples) if text not in self._rows]
        if new:
            self._rows |= zip(new, self._encoder(new), strict=True)
        return np.stack([self._rows[text] for text in samples])

"""Encoders that are shared read a text once."""

from collections.abc import Sequence

import numpy as np
import pytest

from curation_gym.signals import shared_encoders
from curation_gym.signals.encoders import SentenceTransformerConfig, TfidfSvdConfig
from curation_gym.signals.shared_encoders import SharedEncoders

CONFIG = SentenceTransformerConfig(kind="sentence-transformer", model="some/model")


class Reading:
    """Remembers what it read."""

    name = "reading"

    def __init__(self) -> None:
        self.read: list[str] = []

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        self.read += texts
        return np.array([[len(text), 1.0] for text in texts], np.float32)


def test_a_frozen_encoder_reads_a_text_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inner = Reading()
    monkeypatch.setattr(shared_encoders, "make_encoder", lambda config, train: inner)
    encoders = SharedEncoders()
    one, other = encoders(CONFIG, []), encoders(CONFIG.model_copy(), ["x"])
    assert one is other
    np.testing.assert_array_equal(one(["a", "bb", "a"]), [[1, 1], [2, 1], [1, 1]])
    np.testing.assert_array_equal(other(["ccc", "bb"]), [[3, 1], [2, 1]])
    assert inner.read == ["a", "bb", "ccc"]


def test_what_is_fitted_is_not_shared() -> None:
    encoders, texts = SharedEncoders(), [f"text {i} of {i % 3}" for i in range(9)]
    config = TfidfSvdConfig(dimension=2)
    assert encoders(config, texts) is not encoders(config, texts)

"""Encoders that are shared read a text once."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation_gym.signals import shared_encoders
from curation_gym.signals.encoders import SentenceTransformerConfig, TfidfSvdConfig
from curation_gym.signals.scores import TextCache
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


@pytest.fixture
def cache(tmp_path: Path) -> Callable[[SentenceTransformerConfig], TextCache]:
    return lambda config: TextCache(tmp_path, {"model": config.model})


def test_a_frozen_encoder_reads_a_text_once(monkeypatch: pytest.MonkeyPatch, cache: Any) -> None:
    inner = Reading()
    monkeypatch.setattr(shared_encoders, "make_encoder", lambda config, train: inner)
    encoders = SharedEncoders(cache)
    one, other = encoders(CONFIG, []), encoders(CONFIG.model_copy(), ["x"])
    assert one is other
    np.testing.assert_array_equal(one(["a", "bb", "a"]), [[1, 1], [2, 1], [1, 1]])
    np.testing.assert_array_equal(other(["ccc", "bb"]), [[3, 1], [2, 1]])
    assert sorted(inner.read) == ["a", "bb", "ccc"]
    np.testing.assert_array_equal(SharedEncoders(cache)(CONFIG, [])(["ccc", "dd"]), [[3, 1], [2, 1]])
    assert inner.read[3:] == ["dd"], "what another has read is on disk"
    SharedEncoders(cache)(CONFIG.model_copy(update={"model": "another"}), [])(["dd"])
    assert inner.read[4:] == ["dd"], "another model has rows of its own"


def test_what_was_encoded_before_an_interrupt_is_kept(monkeypatch: pytest.MonkeyPatch, cache: Any) -> None:
    inner = Reading()
    monkeypatch.setattr(shared_encoders, "make_encoder", lambda config, train: inner)
    monkeypatch.setattr(shared_encoders, "_AT_ONCE", 2)

    def ends(texts: Sequence[str]) -> np.ndarray:
        if "a" in texts:
            raise KeyboardInterrupt
        return np.ones((len(texts), 2), np.float32)

    monkeypatch.setattr(inner, "__class__", type("Ending", (Reading,), {"__call__": lambda _, texts: ends(texts)}))
    with pytest.raises(KeyboardInterrupt):
        SharedEncoders(cache)(CONFIG, [])(["a", "bbb", "cc", "dddd"])
    assert set(cache(CONFIG).get(["a", "bbb", "cc", "dddd"])) == {"bbb", "dddd"}


def test_of_texts_without_end_only_those_of_training_are_kept(monkeypatch: pytest.MonkeyPatch, cache: Any) -> None:
    inner = Reading()
    monkeypatch.setattr(shared_encoders, "make_encoder", lambda config, train: inner)
    for _ in range(2):
        encoder = SharedEncoders(cache, training_only=True)(CONFIG, ["a", "bb"])
        np.testing.assert_array_equal(encoder(["bb", "a"]), [[2, 1], [1, 1]])
        np.testing.assert_array_equal(encoder(["ccc", "a"]), [[3, 1], [1, 1]])
    assert sorted(inner.read) == ["a", "a", "a", "bb", "ccc", "ccc"]
    assert set(cache(CONFIG).get(["a", "bb", "ccc"])) == {"a", "bb"}


def test_what_is_fitted_is_not_shared(cache: Any) -> None:
    encoders, texts = SharedEncoders(cache), [f"text {i} of {i % 3}" for i in range(9)]
    config = TfidfSvdConfig(dimension=2)
    assert encoders(config, texts) is not encoders(config, texts)

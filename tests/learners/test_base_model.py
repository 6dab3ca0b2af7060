"""A small language model trained on a pool: on its train split only, once, and the same every time."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import transformers

from curation_gym.config import ConfigError, validated
from curation_gym.learners import base_model as module
from curation_gym.learners.base_model import base_model, model_of
from curation_gym.learners.language_model import LanguageModelLearner
from curation_gym.learners.language_model_config import BaseModelConfig, FineTuningConfig
from curation_gym.pools import Pool

SHAPE = {"hidden_size": 16, "layers": 1, "heads": 2, "context": 32, "block": 16, "batch_size": 4}


def make_pool(held_out: str = "zebra") -> Pool:
    texts = [f"the boat number {i % 7} sails far and then a soup cooks well" for i in range(120)]
    texts += [f"{held_out} quartz {i}" for i in range(30)]
    split = np.r_[np.zeros(120, int), np.full(15, 1), np.full(15, 2)]
    return Pool(np.ones((150, 2)), split=split, data=pa.table({"text": texts}))


def loss_of(pool: Pool, config: BaseModelConfig) -> float:
    model, tokenizer = model_of(config, pool)
    learner = LanguageModelLearner(model, tokenizer, FineTuningConfig(block=16, learning_rate=1e-9), 1)
    learner.train_on(learner.tokenize(pool.data["text"].take(pool.ids("train")).to_pylist()))
    return learner.loss


def test_it_learns_the_train_split() -> None:
    pool = make_pool()
    before, after = (loss_of(pool, BaseModelConfig(**SHAPE, epochs=n)) for n in (0, 4))
    assert after < 0.8 * before


def test_it_is_trained_once_and_reads_nothing_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    config = BaseModelConfig(**SHAPE, epochs=1)
    first = base_model(config, make_pool())
    monkeypatch.setattr(module, "_train", None)
    assert base_model(config, make_pool()) == first
    assert base_model(config, make_pool(held_out="xylophone")) == first, "what is held out makes no difference"
    with pytest.raises(TypeError):
        base_model(config.model_copy(update={"seed": 1}), make_pool())
    assert base_model(config, make_pool()).parent.name == "models"


def test_a_model_that_cannot_be_saved_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CURATION_GYM_CACHE", str(tmp_path))
    save = transformers.PreTrainedTokenizerFast.save_pretrained

    def full(self: Any, path: Path) -> None:
        save(self, path)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transformers.PreTrainedTokenizerFast, "save_pretrained", full)
    with pytest.raises(OSError, match="No space left"):
        base_model(BaseModelConfig(**SHAPE, epochs=0), make_pool())
    assert not list((tmp_path / "models").iterdir())


def test_a_pool_without_texts_and_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="a language model is trained on texts"):
        base_model(BaseModelConfig(**SHAPE), Pool(np.ones((9, 2))))
    with pytest.raises(ConfigError, match="hidden_size must be a multiple of heads"):
        validated(BaseModelConfig, SHAPE | {"heads": 3}, "here")
    with pytest.raises(ConfigError, match="block at most context"):
        validated(BaseModelConfig, SHAPE | {"block": 64}, "here")

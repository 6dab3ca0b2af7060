"""RAFT as published, on a tiny model whose reward is a word."""

import numpy as np
import pytest

from baselines.best_of_k import BestOfK
from curation_gym.learners.language_model import LanguageModelLearner
from curation_gym.learners.language_model_config import FineTuningConfig
from tests.learners.tiny_lm import tiny_model, tiny_tokenizer


def boats(texts: list[str]) -> np.ndarray:
    """Share of words that are "boat"."""
    return np.array([text.split().count("boat") / max(len(text.split()), 1) for text in texts])


def make(**options: int) -> BestOfK:
    config = FineTuningConfig(block=8, batch_size=2, learning_rate=0.01)
    learner = LanguageModelLearner(tiny_model(), tiny_tokenizer(), config, 4000)
    settings = {"k": 4, "prompts_at_once": 8, "new_tokens": 6, **options}
    return BestOfK(learner, boats, ["the ", "a soup ", "then "], **settings)


def test_a_round_keeps_the_best_of_each_prompts_samples() -> None:
    one, same = make(), make()
    texts, reward = one.round()
    assert len(texts) == 8
    assert all(text.startswith(("the ", "a soup ", "then ")) for text in texts)
    assert (texts, reward) == same.round()
    prompts = [next(p for p in ("the ", "a soup ", "then ") if text.startswith(p)) for text in texts]
    assert one.sampled == 4 * (sum(map(len, one.learner.tokenize(prompts))) + 8 * 6)
    assert reward > make(k=1).round()[1]


def test_the_model_comes_to_say_what_is_rewarded() -> None:
    raft = make(prompts_at_once=16)
    rewards = raft.run(3000)
    assert np.mean(rewards[-3:]) > 2 * np.mean(rewards[:3])


def test_it_stops_at_the_tokens_asked_for() -> None:
    raft = make()
    raft.run(100)
    assert raft.learner.tokens + len(raft.learner._waiting) == 100


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="must be >= 1, actual: 3 prompts, 0"):
        make(k=0)

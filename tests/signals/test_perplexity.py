"""Perplexity under a small language model made here, and the band in which it counts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from curation_gym.pools.chunking import END_OF_TEXT, TrainedTokenizer, make_tokenizer
from curation_gym.signals.perplexity import PerplexityBand, PerplexityScorer
from curation_gym.signals.scores import ScoreError

TEXTS = ["the boat sails", "a boat sails with the wind and the tide", "wind", "the crew sings", "x" * 60]
QUANTILES = (0.1, 0.2, 0.8, 0.9)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("model"))
    tokenizer = make_tokenizer(TrainedTokenizer(vocabulary=280), TEXTS * 3)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_OF_TEXT).save_pretrained(path)
    torch.manual_seed(0)
    sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 24, "bos_token_id": None, "eos_token_id": None}
    GPT2LMHeadModel(GPT2Config(vocab_size=tokenizer.get_vocab_size(), **sizes)).save_pretrained(path)
    return path


def test_the_mean_over_tokens_of_what_the_model_says_of_the_next(model: str) -> None:
    scorer = PerplexityScorer(model)
    network, tokenizer = GPT2LMHeadModel.from_pretrained(model).eval(), PreTrainedTokenizerFast.from_pretrained(model)
    surprise = scorer(TEXTS)
    assert surprise.dtype == np.float32
    for text, found in zip(TEXTS, surprise, strict=True):
        ids = [tokenizer.eos_token_id, *tokenizer(text)["input_ids"]][:24]
        total = 0.0
        for position in range(1, len(ids)):
            with torch.no_grad():
                logits = network(torch.tensor([ids[:position]])).logits[0, -1]
            total -= float(logits.log_softmax(0)[ids[position]])
        assert found == pytest.approx(total / (len(ids) - 1), rel=1e-4)


def test_batches_and_their_order_change_nothing(model: str) -> None:
    expected = PerplexityScorer(model, batch_size=1)(TEXTS)
    np.testing.assert_allclose(PerplexityScorer(model, batch_size=3)(TEXTS[::-1])[::-1], expected, rtol=1e-5)
    short = PerplexityScorer(model, max_length=2)
    np.testing.assert_allclose(short(["the boat sails"]), short(["the boat sails away"]), rtol=1e-5)


def test_a_text_without_tokens_and_a_model_that_is_none_are_refused(model: str, tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="text 1 has no token"):
        PerplexityScorer(model)(["the boat", ""])
    with pytest.raises(ScoreError, match=r"AutoTokenizer can't load .*absent"):
        PerplexityScorer(str(tmp_path / "absent"))


@given(st.lists(st.floats(0, 20), min_size=20, max_size=60, unique=True), st.lists(st.floats(-5, 30), max_size=30))
def test_utility_rises_within_the_band_and_falls_outside(train: list[float], new: list[float]) -> None:
    try:
        band = PerplexityBand(np.array(train), QUANTILES)
    except ScoreError:
        return  # quantiles that rounding makes equal
    points = np.sort(np.array(new))
    utility = band(points)
    assert ((utility >= 0) & (utility <= 1)).all()
    lowest, low, high, highest = band.edges
    assert (utility[(points <= lowest) | (points >= highest)] == 0).all()
    assert (np.diff(utility[points <= high]) >= 0).all()
    assert (np.diff(utility[points >= high]) <= 0).all()
    np.testing.assert_allclose(band(band.edges), [0, 0.5, 1, 0], atol=1e-6)
    assert low < high


def test_a_band_needs_texts_that_differ() -> None:
    with pytest.raises(ScoreError, match="a band of perplexity needs texts that differ"):
        PerplexityBand(np.ones(50), QUANTILES)

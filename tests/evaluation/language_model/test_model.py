"""Likelihoods, samples and hidden states, on models whose probabilities are known and against plain loops."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import processors

from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.language_model.sampling import Draw
from curation_gym.signals.pretrained import ModelError
from tests.evaluation.language_model.toys import (
    EOS,
    TEXTS,
    bigram,
    bigram_gpt2,
    byte_tokenizer,
    random_neox,
    uniform,
    word_tokenizer,
)

AFTER = {EOS: {"a": 0.5}, "a": {"b": 0.7, "c": 0.2}, "b": {"a": 0.9}, "c": {EOS: 1.0}}
TOY = bigram(["a", "b", "c"], AFTER, n_positions=16)
words = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=5)


def by_loop(model: CausalModel, ids: list[int], scored: int) -> float:
    """Log-probability of the last tokens of one sequence, without batches, padding or truncation."""
    with torch.no_grad():
        logits = model.model.eval()(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(logits[at - 1, ids[at]]) for at in range(len(ids) - scored, len(ids)))


# ------------------------------------------------------------------ likelihoods
def test_likelihoods_are_those_of_the_toy() -> None:
    told = TOY.log_likelihood(["a", "", "a", "b a"], [" b", "a b", " c", " b a b"])
    np.testing.assert_allclose(np.exp(told.total), [0.7, 0.5 * 0.7, 0.2, 0.7 * 0.9 * 0.7], rtol=1e-5)
    assert told.tokens.tolist() == [1, 2, 1, 3]
    assert told.characters.tolist() == [2, 3, 2, 6]
    np.testing.assert_array_equal(told.per("sum"), told.total)
    np.testing.assert_allclose(told.per("token"), told.total / [1, 2, 1, 3])
    np.testing.assert_allclose(told.per("character"), told.total / [2, 3, 2, 6])
    with pytest.raises(EvaluationError, match="unit must be one of sum, token, character, actual value: 'word'"):
        told.per("word")  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(words, words, words)
def test_the_chain_rule(a: list[str], b: list[str], c: list[str]) -> None:
    context, first, second = " ".join(a), " " + " ".join(b), " " + " ".join(c)
    apart = TOY.log_likelihood([context, context + first], [first, second]).total.sum()
    assert TOY.log_likelihood([context], [first + second]).total[0] == pytest.approx(apart, rel=1e-5)


def test_batches_and_padding_change_nothing(neox: CausalModel) -> None:
    contexts = ["the boat", "", "Human: what is bread? Assistant:", "caf", "a question", "x", "the wind"]
    continuations = [" sails", "wind now", " flour", "é, naïve", ", an answer", "y", " and the tide and the boat"]
    told = neox.log_likelihood(contexts, continuations)
    for row, (context, continuation) in enumerate(zip(contexts, continuations, strict=True)):
        ids = neox.tokenizer(context + continuation).input_ids
        whole = ids if context else [0, *ids]
        assert told.total[row] == pytest.approx(by_loop(neox, whole, told.tokens[row]), abs=1e-4)
    alone = [neox.log_likelihood([a], [b]).total[0] for a, b in zip(contexts, continuations, strict=True)]
    np.testing.assert_allclose(told.total, alone, atol=1e-4)


def test_a_token_of_both_sides_counts_to_the_continuation(neox: CausalModel) -> None:
    ids = neox.tokenizer("the boat").input_ids
    inside = len(neox.tokenizer.decode(ids[:1])) + 1  # one character into the second token
    told = neox.log_likelihood(["the boat"[:inside]], ["the boat"[inside:]])
    assert told.tokens[0] == len(ids) - 1
    assert told.total[0] == pytest.approx(by_loop(neox, ids, len(ids) - 1), abs=1e-4)


def test_a_long_context_loses_its_beginning_and_a_long_continuation_is_refused() -> None:
    context = " ".join(["b"] * 50 + ["a"])
    told = TOY.log_likelihood([context, context], [" b", " b" + " a" * 15])
    np.testing.assert_allclose(np.exp(told.total[0]), 0.7, rtol=1e-5)
    assert told.tokens[1] == TOY.max_length == 16
    assert np.exp(told.total[1]) == pytest.approx(0.7 * 0.9 * (0.1 / 2) ** 14, rel=1e-4)
    with pytest.raises(EvaluationError, match="continuation 1 has 17 tokens, in memory can score 1 to 16"):
        TOY.log_likelihood(["a", "a"], [" b", " a" * 17])


def test_what_has_no_likelihood_is_refused(neox: CausalModel) -> None:
    with pytest.raises(EvaluationError, match="continuation 0 has 0 tokens"):
        neox.log_likelihood(["the boat"], [""])
    with pytest.raises(EvaluationError, match="must be as many, at least one; actual: 1 and 2"):
        neox.log_likelihood(["a"], ["b", "c"])
    broken = random_neox()
    with torch.no_grad():
        broken.get_output_embeddings().weight[0, 0] = torch.nan
    model = CausalModel(broken, byte_tokenizer())
    with pytest.raises(EvaluationError, match="in memory, sequence 0: the log-likelihood is nan"):
        model.log_likelihood(["the boat"], [" sails"])
    with pytest.raises(EvaluationError, match="the model's logits are NaN"):
        model.generate(["the boat"])


def test_a_tokenizer_that_starts_texts_itself_starts_them_once() -> None:
    tokenizer = word_tokenizer(["a", "b", "c"])
    tokenizer.add_special_tokens({"bos_token": EOS})
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(f"{EOS} $0", special_tokens=[(EOS, 0)])
    model = CausalModel(TOY.model, tokenizer)
    assert model.encode("a b") == model.encode(f"{EOS} a b") == [0, 1, 2]
    told = model.log_likelihood(["", f"{EOS}", "b " * 40], ["a b", " a b", "a"])
    np.testing.assert_allclose(np.exp(told.total), [0.35, 0.35, 0.9], rtol=1e-5)


def test_an_empty_context_needs_a_token_to_start_from() -> None:
    tokenizer = word_tokenizer(["a", "b", "c"])
    tokenizer.eos_token = None
    model = CausalModel(TOY.model, tokenizer)
    assert np.exp(model.log_likelihood(["a"], [" b"]).total[0]) == pytest.approx(0.7, rel=1e-5)
    with pytest.raises(EvaluationError, match="neither BOS nor EOS for an empty context to start with"):
        model.log_likelihood([""], ["b"])


# --------------------------------------------------------------------- sampling
def test_samples_have_the_models_probabilities() -> None:
    firsts = [text.split(" ")[0] for text in TOY.generate(["a"], 2000, max_new_tokens=1, seed=3)[0]]
    assert firsts.count("b") / 2000 == pytest.approx(0.7, abs=0.03)
    assert firsts.count("c") / 2000 == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        (1.0, 1.0, [0.4, 0.3, 0.2, 0.1]),
        (1.0, 0.75, [4 / 9, 3 / 9, 2 / 9, 0]),
        (1.0, 0.65, [4 / 7, 3 / 7, 0, 0]),
        (1.0, 0.01, [1, 0, 0, 0]),
        (0.5, 1.0, [16 / 30, 9 / 30, 4 / 30, 1 / 30]),
    ],
)
def test_nucleus_and_temperature(temperature: float, top_p: float, expected: list[float]) -> None:
    n = 4000
    draw = Draw([(0, k) for k in range(n)], temperature, top_p, seed=1)
    scores = torch.log(torch.tensor([0.4, 0.3, 0.2, 0.1])).repeat(n, 1)
    shares = draw(torch.zeros(n, 1), scores).exp().mean(0).numpy()
    np.testing.assert_allclose(shares, expected, atol=0.025)
    assert (shares[np.array(expected) == 0] == 0).all()


def test_equally_probable_tokens_are_all_in_the_nucleus() -> None:
    draw = Draw([(0, k) for k in range(1000)], 1.0, 0.1, seed=0)
    np.testing.assert_allclose(draw(torch.zeros(1000, 1), torch.zeros(1000, 4)).exp().mean(0), 0.25, atol=0.05)


@pytest.mark.parametrize("top_p", [0.9, 1.0])
@pytest.mark.parametrize("row", [[0.0, np.inf, 1.0], [0.0, np.nan, 1.0], [-np.inf] * 3])
def test_what_gives_no_probabilities_is_refused(row: list[float], top_p: float) -> None:
    draw = Draw([(0, 0), (0, 1)], 1.0, top_p, seed=0)
    with pytest.raises(EvaluationError, match="the model's logits are NaN or infinite"):
        draw(torch.zeros(2, 1), torch.tensor([[0.0, 1.0, 2.0], row]))
    draw(torch.zeros(2, 1), torch.tensor([[0.0, 1.0, 2.0], [-np.inf, 0.0, -np.inf]]))


def test_samples_depend_on_seed_prompt_and_index_only(neox: CausalModel) -> None:
    prompts = ["the boat sails with", "", "Human: what"]
    options = {"max_new_tokens": 8, "top_p": 0.9}
    samples = neox.generate(prompts, 5, **options)
    for batch_size in (1, 4, 64):
        other = CausalModel(neox.model, neox.tokenizer, batch_size=batch_size)
        assert other.generate(prompts, 5, **options) == samples
    assert neox.generate(prompts[:2], 5, **options) == samples[:2]
    assert neox.generate(prompts, 2, **options) == [row[:2] for row in samples]
    assert neox.generate(prompts, 5, seed=1, **options) != samples
    assert len({text for row in samples for text in row}) > 10


def test_greedy_decoding_ends_where_the_model_does() -> None:
    assert TOY.generate(["a", "c"], max_new_tokens=4, temperature=0) == [["b a b a"], [""]]
    assert TOY.generate(["a"], max_new_tokens=4, temperature=0, stop="a") == [["b "]]


def test_a_long_prompt_loses_its_beginning() -> None:
    long = " ".join(["b"] * 40 + ["c"])
    assert TOY.generate([long, "a"], max_new_tokens=5, temperature=0) == [[""], ["b a b a b"]]


def test_the_models_own_way_to_generate_plays_no_part() -> None:
    model = bigram_gpt2(np.log(np.array([[0.05, 0.9, 0.05], [0.05, 0.9, 0.05], [1 / 3, 1 / 3, 1 / 3]])))
    own = transformers.GenerationConfig(repetition_penalty=50.0, max_length=3, eos_token_id=0, num_beams=2)
    model.generation_config = own
    assert CausalModel(model, word_tokenizer(["a", "b"])).generate([""], temperature=0, max_new_tokens=6) == [
        ["a a a a a a"]
    ]
    assert model.generation_config is own


def test_options_of_sampling_are_checked(neox: CausalModel) -> None:
    for options in ({"temperature": -1}, {"top_p": 0}, {"top_p": 1.5}, {"temperature": 0, "n_samples": 2}):
        with pytest.raises(EvaluationError, match=r"temperature must be >= 0, top_p in \(0, 1\]"):
            neox.generate(["a"], **options)
    for bad in ({"n_samples": 0}, {"max_new_tokens": 0}, {"max_new_tokens": 128}):
        with pytest.raises(EvaluationError, match=r"max_new_tokens in 1 … 127"):
            neox.generate(["a"], **bad)
    with pytest.raises(EvaluationError, match="prompts and n_samples must be >= 1"):
        neox.generate([])


# ---------------------------------------------------------------- hidden states
def test_hidden_states_are_means_over_a_texts_own_tokens(neox: CausalModel) -> None:
    rows = neox.embed(TEXTS)
    assert rows.dtype == np.float32
    for row, text in zip(rows, TEXTS, strict=True):
        ids = torch.tensor([neox.tokenizer(text).input_ids])
        with torch.no_grad():
            states = neox.model.eval()(ids, output_hidden_states=True).hidden_states[-1][0]
        np.testing.assert_allclose(row, states.mean(0), atol=1e-4)
    assert np.isfinite(neox.embed(["", "the boat " * 200])).all()


# ------------------------------------------------------------------ a loop's own
def test_a_training_loop_notices_nothing() -> None:
    model = random_neox()
    model.train()
    model.gpt_neox.layers[0].eval()
    modes = [module.training for module in model.modules()]
    wrapped = CausalModel(model, byte_tokenizer())
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first = wrapped.log_likelihood(["the boat"], [" sails"]).total
    np.testing.assert_array_equal(wrapped.log_likelihood(["the boat"], [" sails"]).total, first)  # no dropout
    wrapped.generate(["the boat"], 3)
    wrapped.embed(["the boat"])
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert random.getstate() == states[2]
    assert [module.training for module in model.modules()] == modes
    ids = torch.tensor([[1, 2, 3, 4]])
    model(ids, labels=ids).loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    with torch.no_grad():
        model.get_output_embeddings().weight *= 2
    assert wrapped.log_likelihood(["the boat"], [" sails"]).total != first


def test_modes_are_restored_after_an_error() -> None:
    model = random_neox()
    model.train()
    with pytest.raises(IndexError):
        CausalModel(model, byte_tokenizer()).score_tokens([[1, 99999]], [1])
    assert all(module.training for module in model.modules())


# --------------------------------------------------------------------- loading
def test_a_saved_model_says_the_same(saved_neox: Path, neox: CausalModel) -> None:
    loaded = CausalModel.load(str(saved_neox), "cpu", batch_size=2)
    assert loaded.name == str(saved_neox)
    assert loaded.max_length == 128
    assert loaded.generate(["the boat"], 3) == neox.generate(["the boat"], 3)


def test_half_precision_is_asked_for_not_inherited(saved_half: Path, saved_neox: Path) -> None:
    loaded = CausalModel.load(str(saved_half), "cpu")
    assert {weight.dtype for weight in loaded.model.parameters()} == {torch.float32}
    exact = CausalModel(random_neox().to(torch.bfloat16).float(), byte_tokenizer())
    told = loaded.log_likelihood(["the boat"], [" sails"]).total
    np.testing.assert_allclose(told, exact.log_likelihood(["the boat"], [" sails"]).total, rtol=1e-6)
    coarse = CausalModel.load(str(saved_neox), "cpu", "bfloat16")
    assert {weight.dtype for weight in coarse.model.parameters()} == {torch.bfloat16}
    assert coarse.log_likelihood(["the boat"], [" sails"]).total == pytest.approx(told, rel=0.05)
    with pytest.raises(EvaluationError, match="dtype must be one of float32, bfloat16, float16, actual value: 'int8'"):
        CausalModel.load(str(saved_neox), "cpu", "int8")  # type: ignore[arg-type]


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"(?s)AutoTokenizer can't load .* Name a local directory, or a hub id"):
        CausalModel.load(str(tmp_path))
    with pytest.raises(EvaluationError, match="a fast tokenizer is needed, actual: ByT5Tokenizer"):
        CausalModel(random_neox(), transformers.ByT5Tokenizer())
    with pytest.raises(EvaluationError, match="batch_size must be >= 1 and max_length >= 2, actual: 0 and 128"):
        CausalModel(random_neox(), byte_tokenizer(), batch_size=0)
    with pytest.raises(EvaluationError, match="actual: 16 and 0"):
        CausalModel(random_neox(), byte_tokenizer(), max_length=0)


def test_a_model_without_positions_is_told_how_much_it_reads() -> None:
    config = transformers.BloomConfig(vocab_size=320, hidden_size=16, n_layer=2, n_head=2, initializer_range=0.5)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        boundless = transformers.BloomForCausalLM(config)
    with pytest.raises(EvaluationError, match="doesn't say how much it can read: give max_length"):
        CausalModel(boundless, byte_tokenizer())
    model = CausalModel(boundless, byte_tokenizer(), max_length=32)
    told = model.log_likelihood(["the boat", "a question, an"], [" sails with", " answer"])
    for row, text in enumerate(["the boat sails with", "a question, an answer"]):
        ids = model.tokenizer(text).input_ids
        assert told.total[row] == pytest.approx(by_loop(model, ids, told.tokens[row]), abs=1e-4)
    alone = CausalModel(boundless, byte_tokenizer(), max_length=32, batch_size=1)
    assert model.generate(["the boat", "", "a"], 3) == alone.generate(["the boat", "", "a"], 3)


def test_a_uniform_model_is_uniform() -> None:
    told = uniform(["a", "b", "c"]).log_likelihood(["a", "b c"], [" b a", " a"])
    np.testing.assert_allclose(told.total, [2 * np.log(0.25), np.log(0.25)], rtol=1e-6)

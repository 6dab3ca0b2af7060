"""Perplexity: by hand, in windows, and how windows cover a text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.language_model.perplexity import perplexity, windows
from tests.evaluation.language_model.toys import EOS, bigram, uniform

TOY = bigram(["a", "b"], {EOS: {"a": 0.5, "b": 0.25}, "a": {"b": 0.8}, "b": {"a": 0.4}}, n_positions=16)


def test_by_hand() -> None:
    told = perplexity(TOY, {"one": ["a b", "b"], "two": ["a"]})
    assert told["one"].perplexity.value == pytest.approx((0.5 * 0.8 * 0.25) ** (-1 / 3), rel=1e-5)
    assert told["two"].perplexity.value == pytest.approx(2, rel=1e-5)
    assert (told["one"].documents, told["one"].tokens) == (2, 3)
    low, high = told["one"].perplexity.low, told["one"].perplexity.high
    assert low == pytest.approx((0.5 * 0.8) ** (-1 / 2), rel=1e-5)  # twice the first document
    assert high == pytest.approx(4, rel=1e-5)  # twice the second
    assert told["two"].perplexity.low == told["two"].perplexity.high == told["two"].perplexity.value


def test_a_uniform_models_perplexity_is_its_vocabulary() -> None:
    told = perplexity(uniform(["a", "b", "c", "d"]), {"all": ["a b c", "d " * 300]})
    assert told["all"].perplexity.value == pytest.approx(5, rel=1e-6)
    assert told["all"].tokens == 303


@given(st.integers(0, 60), st.integers(2, 20), st.data())
def test_windows_predict_every_token_once_with_context(n: int, length: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(1, length))
    predicted = []
    for begin, end, count in windows(n, length, stride):
        assert 0 <= begin < end
        assert end - begin <= length
        assert 1 <= count <= end - begin
        assert begin == 0 or end - begin == length, "as much context as can be read"
        assert begin == 0 or count <= stride
        predicted += list(range(end - count + 1, end + 1))
    assert predicted == list(range(1, n + 1))


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 16))
def test_a_toy_without_memory_has_one_perplexity_at_every_stride(stride: int) -> None:
    text = "a b b a a b " * 9
    told = perplexity(TOY, {"all": [text]}, stride=stride)["all"]
    words = text.split()
    p = {(None, "a"): 0.5, ("a", "b"): 0.8, ("a", "a"): 0.1, ("b", "a"): 0.4, ("b", "b"): 0.3}
    losses = [-np.log(p[pair]) for pair in zip([None, *words], words, strict=False)]
    assert told.perplexity.value == pytest.approx(np.exp(np.mean(losses)), rel=1e-5)


def test_windows_give_each_token_the_context_that_they_say(neox: CausalModel) -> None:
    short = CausalModel(neox.model, neox.tokenizer, max_length=8)
    text = "the boat sails with the wind and the tide " * 3
    ids = short.encode(text)
    expected = 0.0
    for begin, end, count in windows(len(ids) - 1, 8, 3):
        for at in range(end - count + 1, end + 1):
            expected -= neox.score_tokens([ids[begin : at + 1]], [1])[0]
    told = perplexity(short, {"all": [text]}, stride=3)["all"]
    assert told.perplexity.value == pytest.approx(np.exp(expected / (len(ids) - 1)), rel=1e-4)


def test_bad_input_is_named() -> None:
    with pytest.raises(EvaluationError, match=r"stride must be in 1 … 16, actual value: 17"):
        perplexity(TOY, {"all": ["a"]}, stride=17)
    with pytest.raises(EvaluationError, match="there are no domains"):
        perplexity(TOY, {})
    with pytest.raises(EvaluationError, match="there are no documents of domain 'x'"):
        perplexity(TOY, {"x": []})
    with pytest.raises(EvaluationError, match=r"documents of domain 'x', row 1: .* actual value: ' '"):
        perplexity(TOY, {"x": ["a", " "]})

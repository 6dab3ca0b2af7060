"""Chunks: no token is lost, none is too long, and no character is cut."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from curation_gym.pools import PoolError
from curation_gym.pools.chunking import END_OF_TEXT, PretrainedTokenizer, TrainedTokenizer, chunks, make_tokenizer

WORDS = "the boat sails with wind mast rope anchor harbour tide and a crew sings in the rain".split()  # noqa: SIM905
TEXTS = [" ".join(WORDS[i % 7 :] + WORDS[: i % 5]) for i in range(60)]


def trained(vocabulary: int = 300) -> Tokenizer:
    return make_tokenizer(TrainedTokenizer(vocabulary=vocabulary), TEXTS)


TOKENIZER = trained()


def tokens(text: str) -> int:
    return len(TOKENIZER.encode(text, add_special_tokens=False).ids)


def test_training_is_reproducible_and_knows_every_byte() -> None:
    assert trained().to_str() == TOKENIZER.to_str()
    assert TOKENIZER.token_to_id(END_OF_TEXT) is not None
    assert TOKENIZER.get_vocab_size() == 300
    for text in ("ünïcödé ☺", "日本語\n"):
        assert TOKENIZER.decode(TOKENIZER.encode(text).ids) == text


def test_a_short_text_is_one_chunk_as_it_is() -> None:
    assert list(chunks(["the boat", "  x ", ""], TOKENIZER, 64)) == [
        [("the boat", tokens("the boat"))],
        [("  x ", tokens("  x "))],
        [("", 0)],
    ]


def test_a_long_text_is_cut_before_words_into_chunks_that_are_nearly_full() -> None:
    text = " ".join(WORDS * 20)
    [found] = chunks([text], TOKENIZER, 16)
    assert " ".join(chunk for chunk, _ in found) == text
    assert all(n == tokens(chunk) <= 16 for chunk, n in found)
    assert sum(n for _, n in found[:-1]) / len(found[:-1]) > 13


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=120) | st.text("ab ☺é日", max_size=120), st.integers(2, 9))
def test_nothing_but_space_is_lost_and_no_chunk_is_too_long(text: str, limit: int) -> None:
    [found] = chunks([text], TOKENIZER, limit)
    assert "".join("".join(chunk.split()) for chunk, _ in found) == "".join(text.split())
    for chunk, n in found:
        assert n == tokens(chunk)
        assert n <= limit or len(chunk) == 1, "only a character that alone is more stays whole"


def test_texts_are_read_as_they_are_needed() -> None:
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield "the boat"

    assert next(chunks(endless(), TOKENIZER, 8)) == [("the boat", tokens("the boat"))]
    assert read <= 1024


def test_a_pretrained_tokenizer_is_loaded_and_its_truncation_ignored(tmp_path: Path) -> None:
    PreTrainedTokenizerFast(tokenizer_object=TOKENIZER, eos_token=END_OF_TEXT).save_pretrained(tmp_path)
    tokenizer = make_tokenizer(PretrainedTokenizer(kind="pretrained", model=str(tmp_path)), [])
    tokenizer.enable_truncation(4)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path)
    loaded = make_tokenizer(PretrainedTokenizer(kind="pretrained", model=str(tmp_path)), [])
    assert list(chunks(TEXTS, loaded, 6)) == list(chunks(TEXTS, TOKENIZER, 6))
    with pytest.raises(PoolError, match=r"AutoTokenizer can't load .*absent"):
        make_tokenizer(PretrainedTokenizer(kind="pretrained", model=str(tmp_path / "absent")), [])

"""Scores from text classifiers, on tiny ones with known weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from curation_gym.signals.encoders import EncoderError
from curation_gym.signals.pretrained import ModelError
from curation_gym.signals.transformer_scorer import TransformerScorer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "good", "bad", "thing"]
LOGITS = np.array([2.0, -1.0, 0.5])


def save(path: Path, *, pad: bool = True, bias: np.ndarray = LOGITS, **config: Any) -> str:
    """A BERT whose logits are the bias of its head, unless an ``initializer_range`` lets what it reads count."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = {"unk_token": "[UNK]"} | ({"pad_token": "[PAD]"} if pad else {})
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(path)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    names = dict(enumerate(["toxic", "insult", "threat"][: len(bias)]))
    options = {"id2label": names, "label2id": {name: i for i, name in names.items()}, "max_position_embeddings": 8}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.BertForSequenceClassification(
            transformers.BertConfig(vocab_size=len(WORDS), **sizes, **options | config)
        )
    with torch.no_grad():
        model.classifier.bias.copy_(torch.tensor(bias))
        if "initializer_range" not in config:
            model.classifier.weight.zero_()
    model.save_pretrained(path)
    return str(path)


@pytest.mark.parametrize(
    ("problem_type", "expected"),
    [
        ("multi_label_classification", 1 / (1 + np.exp(-LOGITS))),
        ("single_label_classification", np.exp(LOGITS) / np.exp(LOGITS).sum()),
        (None, np.exp(LOGITS) / np.exp(LOGITS).sum()),
    ],
)
def test_scores_by_hand(tmp_path: Path, problem_type: str | None, expected: np.ndarray) -> None:
    where = save(tmp_path, problem_type=problem_type)
    for index, label in enumerate(["toxic", "insult", "threat"]):
        scores = TransformerScorer(where, label)(["good thing", "bad"])
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected[index], rtol=1e-5)
        np.testing.assert_array_equal(TransformerScorer(where, index)(["good thing", "bad"]), scores)


def test_one_label_is_a_sigmoid(tmp_path: Path) -> None:
    scorer = TransformerScorer(save(tmp_path, bias=np.array([1.0])), "toxic")
    assert scorer(["bad"])[0] == pytest.approx(1 / (1 + np.exp(-1)), rel=1e-5)


def test_batches_padding_and_order_change_nothing(tmp_path: Path) -> None:
    where = save(tmp_path, initializer_range=1.0)
    texts = ["good", "bad thing thing bad good", "thing bad", "bad", "good thing thing"]
    scores = TransformerScorer(where, 0, batch_size=2)(texts)
    assert len(set(scores.tolist())) == 5
    np.testing.assert_allclose(TransformerScorer(where, 0, batch_size=1)(texts), scores, atol=1e-6)
    np.testing.assert_allclose(TransformerScorer(where, 0)(texts[::-1])[::-1], scores, atol=1e-6)
    assert TransformerScorer(where, 0)([]).shape == (0,)


@pytest.mark.parametrize("side", ["left", "right"])
def test_what_a_model_leaves_unsaid_is_read_as_the_end_of_text(tmp_path: Path, side: str) -> None:
    """By a classifier made from a causal model: its tokenizer adds nothing, and pads by the same token."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    marks = {"unk_token": "[UNK]", "eos_token": "[PAD]", "padding_side": side}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks).save_pretrained(tmp_path)
    sizes = {"n_positions": 8, "n_embd": 8, "n_layer": 1, "n_head": 2, "initializer_range": 1.0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.GPT2Config(vocab_size=len(WORDS), **sizes, num_labels=2)
        transformers.GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    scorer = TransformerScorer(str(tmp_path), 1)
    scores = scorer(["good thing bad", "", "bad", " "])
    assert scores[1] == scores[3] == scorer(["[PAD]"])[0]
    np.testing.assert_allclose(scores[[0, 2]], scorer(["good thing bad", "bad"]), atol=1e-6)
    assert len(set(scores.tolist())) == 3


def test_long_texts_are_cut(tmp_path: Path) -> None:
    where = save(tmp_path, initializer_range=1.0)
    long = "bad good " * 40
    assert TransformerScorer(where, 0)([long]) == TransformerScorer(where, 0)(["bad good " * 4])
    assert TransformerScorer(where, 0, max_length=1)([long]) == TransformerScorer(where, 0)(["bad"])


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    where = save(tmp_path / "a")
    for label in ("toxicity", 3, ""):
        with pytest.raises(ModelError, match=r"its labels are 0 = 'toxic', 1 = 'insult', 2 = 'threat'"):
            TransformerScorer(where, label)
    with pytest.raises(ModelError, match="batch_size and max_length must be >= 1, actual values: 0 and None"):
        TransformerScorer(where, 0, batch_size=0)
    with pytest.raises(ModelError, match="is a regression: its output is no probability"):
        TransformerScorer(save(tmp_path / "b", problem_type="regression"), 0)
    with pytest.raises(ModelError, match="has no padding token; set one"):
        TransformerScorer(save(tmp_path / "c", pad=False), 0)
    with pytest.raises(ModelError, match=r"(?s)AutoTokenizer can't load .*Name a local directory"):
        TransformerScorer(str(tmp_path / "d"), 0)
    with pytest.raises(EncoderError, match="no installed package 'absent'"):
        TransformerScorer("package:absent/model", 0)


def test_a_score_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    where = save(tmp_path, bias=np.array([np.nan, 0.0]))
    with pytest.raises(ModelError, match=r"\[toxic\], text 0: the score is not a number"):
        TransformerScorer(where, 0)(["bad"])
    with pytest.raises(ModelError, match="was given a text without any token; leave empty texts out"):
        TransformerScorer(where, 0)(["bad", ""])

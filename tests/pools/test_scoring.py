"""Kinds of signal that others' models give, and combinations of them."""

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from curation_gym.config import ConfigError
from curation_gym.pools import Pool, PoolError, build_pool
from curation_gym.pools.cards import signal_cards
from curation_gym.pools.chunking import END_OF_TEXT, TrainedTokenizer, make_tokenizer
from curation_gym.pools.partition import PartitionError, check_evaluation
from curation_gym.signals.scores import ScoreError
from tests.perspective import Service
from tests.texts import sentences

QUALITY = {"kind": "text_quality", "rules": ["words", "uppercase_words"]}


@pytest.fixture
def source(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "posts.csv"
    pd.DataFrame({"text": sentences(120), "stars": [i % 5 for i in range(120)]}).to_csv(path, index=False)
    return {"path": str(path)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CURATION_GYM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def build(source: dict[str, Any], **signals: Any) -> Pool:
    options = {"builder": "dataset", "encoder": {"kind": "tfidf-svd", "dimension": 4}, "signals": signals}
    return build_pool(options | source)


def texts(pool: Pool) -> list[str]:
    return pool.data["text"].to_pylist()


# ------------------------------------------------------------------ combinations
@pytest.mark.parametrize(("by", "together"), [("minimum", np.min), ("product", np.prod), ("mean", np.mean)])
def test_a_signal_of_several(source: dict, by: str, together: Any) -> None:
    parts = {"quality": QUALITY, "stars": {"kind": "column", "column": "stars", "high": 4}}
    pool = build(source, **parts, both={"kind": "combined", "parts": parts, "by": by})
    expected = together([pool.signals["quality"], pool.signals["stars"]], axis=0)
    np.testing.assert_allclose(pool.signals["both"], expected, atol=1e-6)
    card = signal_cards(pool)["both"]
    assert card.method == f"the {by} of its parts"
    assert [part.kind for part in card.every()] == ["combined", "text_quality", "column"]
    assert "### Signal `both.quality`" in pool.attachments["README.md"]


# --------------------------------------------------------------------- a service
def service_signal(service: Service, **options: Any) -> dict[str, Any]:
    return {"kind": "service", "url": service.url, "requests_per_second": 5000.0, "batch_size": 10, **options}


def test_a_service_is_asked_once_and_an_interrupted_build_goes_on(
    source: dict,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVICE_KEY", "never stored")
    signal = service_signal(service, invert=True, key_variable="SERVICE_KEY", retries=0)
    service.failures = [(200, {})] * 45 + [(403, {})] * 9
    with pytest.raises(ScoreError, match=r"signal 'safety': texts 40 to 49: .* status 403.*what was scored before is"):
        build(source, safety=signal)
    service.failures = []
    before = len(service.requests)
    pool = build(source, safety=signal)
    assert len(service.requests) == before + 80, "forty were kept"
    expected = [1 - text.count("a") / len(text) for text in texts(pool)]
    np.testing.assert_allclose(pool.signals["safety"], expected, atol=1e-6)
    assert signal_cards(pool)["safety"].method == f"1 − TOXICITY by the service at {service.url}"
    kept = [file for file in pool.path.parents[1].rglob("*") if file.is_file()]
    assert not any(b"never stored" in file.read_bytes() for file in kept)


def test_a_score_is_calibrated_on_labelled_texts(source: dict, service: Service, tmp_path: Path) -> None:
    rows = sentences(200, seed=5)
    many = sorted(rows, key=lambda text: text.count("a") / len(text))[100:]
    labelled = tmp_path / "labelled.csv"
    pd.DataFrame({"text": rows, "label": ["bad" if text in many else "fine" for text in rows]}).to_csv(labelled)
    on = [{"path": str(labelled), "label": "label", "positive": ["fine"]}]
    signal = service_signal(service, invert=True, calibration={"method": "platt", "on": on})
    pool = build(source, raw=service_signal(service, invert=True), safety=signal)
    card = signal_cards(pool)["safety"]
    assert card.calibration.auc > 0.99
    assert card.calibration.error_after < card.calibration.error_before / 2
    assert card.sources[0].positive == 100
    order = np.argsort(pool.signals["raw"])
    assert (np.diff(pool.signals["safety"][order]) >= -1e-6).all()
    assert pool.signals["safety"].min() < 0.2 < pool.signals["raw"].min()


def test_a_ranked_signal_is_the_share_that_a_sample_exceeds_in_its_domain(tmp_path: Path) -> None:
    path = tmp_path / "posts.csv"
    rows = {"text": sentences(200), "stars": [i % 4 for i in range(200)], "place": [f"p{i % 2}" for i in range(200)]}
    pd.DataFrame(rows).to_csv(path, index=False)
    stars = {"kind": "column", "column": "stars", "high": 3}
    pool = build({"path": str(path), "domain": "place"}, stars=stars, ranked={"kind": "ranked", "signal": stars})
    for code in (0, 1):
        inside = pool.domain == code
        train = pool.signals["stars"][inside & (pool.split == 0)]
        for value, rank in zip(pool.signals["stars"][inside], pool.signals["ranked"][inside], strict=True):
            assert rank == pytest.approx(np.mean(train < value) + np.mean(train == value) / 2, abs=1e-6)
    assert signal_cards(pool)["ranked"].parts["signal"].method == "column 'stars' from 0 to 3"


# ------------------------------------------------------------------ a transformer
def test_a_transformer_is_asked_for_a_label(source: dict, tmp_path: Path) -> None:
    module = pytest.importorskip("curation_gym.signals.transformer_scorer", reason="needs the transformer scorer")
    tokenizer = make_tokenizer(TrainedTokenizer(vocabulary=280), sentences(50))
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=END_OF_TEXT, model_max_length=64)
    wrapped.save_pretrained(tmp_path / "model")
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    labels = {"id2label": {0: "fine", 1: "toxic"}, "label2id": {"fine": 0, "toxic": 1}}
    config = BertConfig(vocab_size=tokenizer.get_vocab_size(), **sizes, **labels)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    model = str(tmp_path / "model")
    pool = build(source, safety={"kind": "transformer", "model": model, "label": "toxic", "invert": True})
    expected = 1 - module.TransformerScorer(model, "toxic")(texts(pool))
    np.testing.assert_allclose(pool.signals["safety"], expected, atol=1e-5)
    assert signal_cards(pool)["safety"].method == f"1 − P(toxic) by {model}"


# --------------------------------------------------------------- a callable
CALLABLE = """
asked = []

def share(texts):
    asked.extend(texts)
    return [text.count("a") / len(text) for text in texts]

class Constant:
    version = "1"
    def __call__(self, texts):
        return [0.25] * len(texts)

constant = Constant()
nowhere, short = (lambda texts: [float("nan")] * len(texts)), (lambda texts: [0.5])
many, words = (lambda texts: [1.5] * len(texts)), (lambda texts: ["good"] * len(texts))
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Writes the module ``my_scorers`` and imports it, instead of what it was."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def imported(source: str) -> Any:
        (tmp_path / "my_scorers.py").write_text(source, encoding="utf-8")
        sys.modules.pop("my_scorers", None)
        importlib.invalidate_caches()
        return importlib.import_module("my_scorers")

    yield imported
    sys.modules.pop("my_scorers", None)


def test_a_callable_is_asked_once_until_its_source_changes(source: dict, module: Callable[[str], Any]) -> None:
    found = module(CALLABLE)
    signal = {"kind": "callable", "scorer": "my_scorers:share", "batch_size": 50}
    pool = build(source, safety=signal)
    expected = [text.count("a") / len(text) for text in texts(pool)]
    np.testing.assert_allclose(pool.signals["safety"], expected, rtol=1e-6)
    assert signal_cards(pool)["safety"].method == "what my_scorers:share gives"
    assert sorted(found.asked) == sorted(texts(pool))
    other = build(source, safety=signal | {"invert": True})
    np.testing.assert_allclose(other.signals["safety"], 1 - pool.signals["safety"], rtol=1e-6)
    assert len(found.asked) == len(pool), "of another pool, what was scored is known"
    edited = CALLABLE.replace('count("a")', 'count("e")')
    Path(found.__file__).write_text(edited, encoding="utf-8")
    assert build(source, safety=signal).fingerprint == pool.fingerprint, "what was imported is what runs"
    module(edited)
    changed = build(source, safety=signal)
    np.testing.assert_allclose(changed.signals["safety"], [text.count("e") / len(text) for text in texts(pool)])


def test_a_callable_may_tell_its_version(source: dict, module: Callable[[str], Any]) -> None:
    constant = {"kind": "callable", "scorer": "my_scorers:constant"}
    found = module(CALLABLE)
    first = build(source, safety=constant)
    assert (first.signals["safety"] == 0.25).all()
    found.Constant.version = "2"
    found.Constant.__call__ = lambda self, texts: [0.75] * len(texts)
    assert (build(source, safety=constant).signals["safety"] == 0.75).all()


@pytest.mark.parametrize(
    ("scorer", "error", "message"),
    [
        ("my_scorers:nowhere", ScoreError, "signal 's': text 0: the scorer gave nan, which is no number in"),
        ("my_scorers:many", ScoreError, r"signal 's': text 0: the scorer gave 1\.5, which is no number in \[0, 1\]"),
        ("my_scorers:short", ScoreError, r"signal 's': texts 0 to 119: a scorer must give 120 numbers, .*shape \(1,\)"),
        ("my_scorers:words", ScoreError, "a scorer must give 120 numbers, actual: <U4"),
        ("my_scorers:absent", PoolError, "can't import scorer 'my_scorers:absent': AttributeError.*on PYTHONPATH"),
        ("absent_module:f", PoolError, "can't import scorer 'absent_module:f': ModuleNotFoundError"),
        ("my_scorers:asked", PoolError, "scorer 'my_scorers:asked' is no callable but list"),
        ("sys:intern", PoolError, "nothing tells when scorer 'sys:intern' changes.*an attribute 'version'"),
    ],
)
def test_what_is_wrong_with_a_callable_is_told(
    source: dict, module: Callable[[str], Any], scorer: str, error: type[Exception], message: str
) -> None:
    module(CALLABLE)
    with pytest.raises(error, match=message):
        build(source, s={"kind": "callable", "scorer": scorer})


# --------------------------------------------------------------- a language model
def test_perplexity_counts_within_its_band_on_the_train_split(source: dict, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(TrainedTokenizer(vocabulary=280), sentences(50))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_OF_TEXT).save_pretrained(tmp_path / "model")
    torch.manual_seed(0)
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 1, "n_positions": 64}
    GPT2LMHeadModel(GPT2Config(vocab_size=tokenizer.get_vocab_size(), **sizes)).save_pretrained(tmp_path / "model")
    signal = {"kind": "perplexity", "model": str(tmp_path / "model"), "quantiles": [0.05, 0.25, 0.75, 0.95]}
    pool = build(source, utility=signal)
    train = pool.signals["utility"][pool.ids("train")]
    assert np.mean(train == 0) == pytest.approx(0.1, abs=0.05)
    assert np.mean(train >= 0.5) == pytest.approx(0.6, abs=0.1)
    assert "0, ½, 1 and 0 at the train split's quantiles 0.05, 0.25, 0.75, 0.95" in signal_cards(pool)["utility"].method


def test_a_reference_model_is_trained_on_other_text(source: dict, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    good = sentences(200, seed=3)
    held = tmp_path / "good.csv"
    pd.DataFrame({"text": [*good, *pd.read_csv(source["path"])["text"][:30]]}).to_csv(held)
    shape = {"kind": "gpt_neox", "hidden_size": 16, "layers": 1, "heads": 2, "block": 16, "batch_size": 4}
    signal = {"kind": "perplexity", "model": shape, "train": [{"path": str(held)}]}
    pool = build(source, utility=signal)
    assert pool.signals["utility"].std() > 0.1
    card = signal_cards(pool)["utility"]
    assert "a GPT-NeoX of 200 documents of good" in card.method, "the pool's own are left out"
    assert [(told.title, told.role, told.positive) for told in card.sources] == [("good", "reference model", 200)]
    with pytest.raises(PartitionError, match=r"signal 'utility' was trained on .* of 'good'"):
        check_evaluation(pool, "good")


# ------------------------------------------------------------------- a block list
def test_a_block_list_has_something_against_some(source: dict, tmp_path: Path) -> None:
    words = sentences(1)[0].lower().strip(".").split()[-2:]
    path = tmp_path / "list.txt"
    path.write_text("\n".join(words), encoding="utf-8")
    pool = build(source, given={"kind": "block_list", "words": words}, read={"kind": "block_list", "path": str(path)})
    expected = [not set(words) & set(text.lower().replace(".", " ").split()) for text in texts(pool)]
    assert 0 < np.mean(expected) < 1
    for name in ("given", "read"):
        np.testing.assert_array_equal(pool.signals[name], np.float32(expected))
    path.write_text("nowhere", encoding="utf-8")
    again = build(source, read={"kind": "block_list", "path": str(path)})
    assert again.signals["read"].all(), "another list is another pool"


# ------------------------------------------------------------------------ errors
@pytest.mark.parametrize(
    ("signal", "message"),
    [
        ({"kind": "combined", "parts": {}}, "at least 1 item"),
        ({"kind": "combined", "parts": {"a": QUALITY}, "by": "vote"}, "'by' = 'vote'|by' = 'vote'"),
        ({"kind": "text_quality", "rules": ["wrods"]}, "'wrods'"),
        ({"kind": "perplexity", "model": "m", "quantiles": [0.1, 0.1, 0.5, 0.9]}, "quantiles must increase within"),
        ({"kind": "perplexity", "model": {"hidden_size": 16}}, "needs train, sources of text"),
        ({"kind": "block_list"}, "exactly one of words and path"),
        ({"kind": "service", "url": "u", "requests_per_second": 0.0}, "greater than 0"),
        ({"kind": "transformer", "model": "m"}, "label' is missing"),
        ({"kind": "callable", "scorer": "my_scorers"}, "scorer' = 'my_scorers'"),
        (
            {"kind": "classifier", "calibration": "isotonic", "train": [{"name": "a", "pair": ["x", "y"]}]},
            "pairs are calibrated by 'platt'",
        ),
        (
            {"kind": "service", "url": "u", "calibration": {"on": [{"name": "a", "pair": ["x", "y"]}]}},
            "calibration needs labelled texts",
        ),
    ],
)
def test_configurations_that_make_no_sense(signal: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_pool({"builder": "dataset", "name": "a", "signals": {"s": signal}})

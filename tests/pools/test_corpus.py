"""The corpus builder: what each step does to documents, what is told of it, and what is refused."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer

from curation_gym.config import ConfigError
from curation_gym.pools import Pool, PoolError, build_pool
from curation_gym.pools.cards import corpus_card, signal_cards
from curation_gym.pools.corpus import TOKENIZER
from curation_gym.pools.documents import document_keys, in_part
from curation_gym.pools.partition import check_disjoint
from curation_gym.pools.registry import DATA_VARIABLE
from tests.texts import sentences

ENCODER = {"kind": "tfidf-svd", "dimension": 8}


Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Rows to a Parquet file; returns its path."""

    def file(name: str, texts: list[Any], **columns: Any) -> str:
        path = tmp_path / f"{name}.parquet"
        pd.DataFrame({"text": texts, **columns}).to_parquet(path)
        return str(path)

    return file


def build(*sources: dict[str, Any], **config: Any) -> Pool:
    options = {
        "builder": "corpus",
        "encoder": ENCODER,
        "tokenizer": {"kind": "byte-level-bpe", "vocabulary": 400},
        "sources": list(sources),
    }
    return build_pool(options | config)


def texts(pool: Pool) -> list[str]:
    return pool.data["text"].to_pylist()


def test_documents_become_chunks_with_domain_label_length_and_document(write: Write) -> None:
    posts, edited = sentences(120), sentences(80, seed=1)
    toxic = [i % 3 == 0 for i in range(120)]
    label = ["rude" if bad else "fine" for bad in toxic]
    pool = build(
        {"path": write("posts", posts, label=label), "label": "label", "toxic": ["rude"]},
        {"path": write("edited", edited), "domain": "wiki", "clean": True},
        {"path": write("web", sentences(50, seed=2))},
        chunk_tokens=200,
    )
    assert pool.domain_names == ("posts", "web", "wiki")
    assert pool.class_names == ("clean", "toxic")
    assert len(pool) == 250
    of = dict(zip(posts, toxic, strict=True))
    for text, domain, label_ in zip(texts(pool), pool.domain, pool.hidden["label"], strict=True):
        assert label_ == (-1 if domain == 1 else int(of.get(text, False)))
    np.testing.assert_array_equal(pool.hidden["severity"], np.where(pool.domain == 1, -1, pool.hidden["label"]))
    tokenizer = Tokenizer.from_str(pool.attachments[TOKENIZER])
    lengths = [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts(pool)]
    np.testing.assert_array_equal(pool.length, lengths)
    np.testing.assert_array_equal(pool.data["document"].to_numpy(), document_keys(texts(pool)))
    np.testing.assert_allclose(np.bincount(pool.split) / 250, [0.7, 0.1, 0.2], atol=0.08)


def test_a_long_document_is_cut_and_stays_on_one_side(write: Write) -> None:
    long = [" ".join(sentences(6, seed=i)) for i in range(40)]
    pool = build({"path": write("books", long)}, chunk_tokens=24)
    frame = pd.DataFrame({"document": pool.data["document"].to_numpy(), "split": pool.split, "text": texts(pool)})
    assert pool.length.max() <= 24
    assert frame.groupby("document").size().min() > 3
    assert frame.groupby("document")["split"].nunique().max() == 1
    whole = {int(key): text for key, text in zip(document_keys(long), long, strict=True)}
    for key, rows in frame.groupby("document"):
        assert " ".join(rows["text"]) == whole[int(str(key))], "in order, and nothing lost"


def test_every_step_is_counted_and_the_counts_add_up(write: Write) -> None:
    base = sentences(100)
    rows = [
        *base,
        base[0].upper(),  # a copy but for case
        base[1] + " !",  # and for marks
        base[2].replace("the ", "the  ", 1).replace(".", " it."),  # a word more
        None,
        "  ",
        "https://example.org/only\n12 34",  # boilerplate
        "a",  # one token
    ]
    other = [base[3], *sentences(40, seed=9)]  # a copy of another source's
    pool = build({"path": write("a", rows)}, {"path": write("b", other), "limit": 30})
    card = corpus_card(pool)
    assert card.steps["read"] == {"a": len(rows), "b": len(other)}
    assert card.steps["empty"] == {"a": 2}
    assert card.steps["boilerplate"] == {"a": 1}
    assert card.steps["exact duplicate"] == {"a": 2, "b": 1}
    assert card.steps["over the limit"] == {"b": 10}
    assert card.steps["near-duplicate"] == {"a": 1}
    assert card.steps["too short"] == {"a": 1}
    assert card.steps["kept"] == {"a": 100, "b": 30}
    assert card.lines == {"url": {"a": 1}, "number": {"a": 1}}
    dropped = [counts for step, counts in card.steps.items() if step not in ("read", "kept", "chunks")]
    for domain in ("a", "b"):
        assert card.steps["read"][domain] - sum(d.get(domain, 0) for d in dropped) == card.steps["kept"][domain]
        assert sum(by.get(domain, 0) for by in card.splits.values()) == card.steps["chunks"][domain]
    assert "| near-duplicate | 1 | 0 |" in pool.attachments["README.md"]


def test_of_near_duplicates_the_one_in_test_is_kept(write: Write) -> None:
    base = sentences(150)
    copies = [text.replace(".", " it.") for text in base]
    apart = {"near_duplicates": None}
    split = dict(
        zip(*(lambda p: (texts(p), p.split))(build({"path": write("all", base + copies)}, **apart)), strict=True)
    )
    kept = set(texts(build({"path": write("all", base + copies)})))
    assert 140 < len(kept) < 175, "about one pair in ten is missed"
    for one, other in zip(base, copies, strict=True):
        if (one in kept) != (other in kept):
            best, left = (one, other) if one in kept else (other, one)
            assert split[best] >= split[left]


def test_documents_that_are_equal_once_they_are_cleaned_are_copies(write: Write) -> None:
    base = sentences(150)
    framed = [f"{text}\n{i} likes\nRead more" for i, text in enumerate(base)]
    apart = {"near_duplicates": None}
    alone, other = (
        build({"path": write(name, rows), "domain": "d"}, **apart)
        for name, rows in (("base", base), ("framed", framed))
    )
    split = [dict(zip(texts(pool), pool.split.tolist(), strict=True)) for pool in (alone, other)]
    assert any(split[0][text] != split[1][text] for text in base), "else nothing could be on both sides"
    whole = build({"path": write("all", base + framed), "domain": "d"}, **apart)
    assert sorted(texts(whole)) == sorted(base)
    for text, part in zip(texts(whole), whole.split, strict=True):
        assert part == max(of[text] for of in split), "that in test is kept, and stays there"
    assert corpus_card(whole).steps["exact duplicate"] == {"d": 150}
    assert corpus_card(whole).steps["kept"] == {"d": 150}
    turned = build({"path": write("turned", framed + base), "domain": "d"}, **apart)
    assert turned.fingerprint == whole.fingerprint
    near = build({"path": write("all", base + framed), "domain": "d"})
    assert set(texts(near)) <= set(base)


def test_the_order_of_rows_and_what_is_cached_change_nothing(write: Write) -> None:
    rows = sentences(150)
    one = build({"path": write("one", rows), "domain": "d", "limit": 100})
    other = build({"path": write("other", rows[::-1]), "domain": "d", "limit": 100})
    assert one.fingerprint == other.fingerprint
    assert Pool.load(one.path).attachments == one.attachments
    assert {"README.md", "cards.json", "tokenizer.json"} <= {file.name for file in one.path.iterdir()}


def test_parts_of_the_partition_are_disjoint_and_make_up_the_whole(write: Write) -> None:
    path = write("all", sentences(300))
    low, high = (build({"path": path, "part": part}) for part in ([0.0, 0.5], [0.5, 1.0]))
    check_disjoint({"low": low, "high": high})
    assert len(low) + len(high) == 300
    assert in_part(low.data["document"].to_numpy(), (0.0, 0.5)).all()
    assert corpus_card(low).steps["in another part"] == {"all": len(high)}


def test_domains_from_a_column_and_votes(write: Write) -> None:
    n = 90
    columns = {"forum": [f"f{i % 2}" for i in range(n)], "yes": [i % 3 for i in range(n)], "no": [1] * (n - 1) + [0]}
    columns["yes"][-1] = 0
    pool = build(
        {"path": write("v", sentences(n), **columns), "votes": ["yes", "no"], "domain": "v", "domain_column": "forum"}
    )
    assert pool.domain_names == ("v/f0", "v/f1")
    expected = {text: int(i % 3 >= 1) for i, text in enumerate(sentences(n))} | {sentences(n)[-1]: -1}
    assert [expected[text] for text in texts(pool)] == pool.hidden["label"].tolist()
    severity = {text: (i % 3) / (i % 3 + 1) for i, text in enumerate(sentences(n))} | {sentences(n)[-1]: -1}
    np.testing.assert_allclose([severity[text] for text in texts(pool)], pool.hidden["severity"], rtol=1e-6)


def test_severity_of_a_class(write: Write) -> None:
    rows = sentences(90)
    of = dict(zip(rows, ("worst", "bad", "fine") * 30, strict=True))
    source = {"path": write("v", rows, label=list(of.values())), "label": "label", "toxic": ["bad", "worst"]}
    pool = build(source | {"severity": {"worst": 1.0, "bad": 0.5}})
    expected = [{"worst": 1.0, "bad": 0.5, "fine": 0.0}[of[text]] for text in texts(pool)]
    np.testing.assert_array_equal(pool.hidden["severity"], np.float32(expected))
    np.testing.assert_array_equal(pool.hidden["label"], np.greater(expected, 0))
    with pytest.raises(ConfigError, match="severity must name every value of toxic, 'worst' is missing"):
        build(source | {"severity": {"bad": 0.5}})


def test_data_sets_by_name_with_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    (tmp_path / "posts").mkdir()
    rows = sentences(200)
    pd.DataFrame({"text": rows[:100]}).to_json(tmp_path / "posts" / "train.jsonl", orient="records", lines=True)
    pd.DataFrame({"text": rows[100:]}).to_json(tmp_path / "posts" / "test.jsonl", orient="records", lines=True)
    assert set(texts(build({"name": "posts"}))) == set(rows), "files of all splits, spread by hash"
    assert set(texts(build({"name": "posts", "splits": ["test"]}))) == set(rows[100:])
    with pytest.raises(PoolError, match="has no split 'dev'; it has test, train"):
        build({"name": "posts", "splits": ["dev"]})


def test_of_a_stream_the_first_are_read_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    (tmp_path / "posts").mkdir()
    rows = sentences(1400)
    for name, some in (("train-00000-of-00002", rows[:1000]), ("train-00001-of-00002", rows[1000:])):
        pd.DataFrame({"text": some}).to_json(tmp_path / "posts" / f"{name}.jsonl", orient="records", lines=True)
    source = {"name": "posts", "streaming": True}
    pool = build(source | {"limit": 120}, near_duplicates=None)
    assert set(texts(pool)) == set(rows[:120]), "in the order of the file, not by hash"
    assert corpus_card(pool).steps["read"]["posts"] == 120
    both = build(source | {"limit": 1300}, near_duplicates=None)
    assert set(texts(both)) == set(rows[:1300]), "one file after the other"


def test_a_stream_of_the_hub_is_read_no_further_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, given = sentences(5000), []

    def generated() -> Iterator[dict[str, str]]:
        for row in rows:
            given.append(row)
            yield {"text": row}

    def load_dataset(name: str, subset: str | None, *, revision: str | None, streaming: bool) -> Any:
        assert (name, subset, revision, streaming) == ("someone/web", "en", None, True)
        stream = datasets.IterableDataset.from_generator(generated)
        assert stream.features is None, "as of many data sets of the hub, before the first row"
        return datasets.IterableDatasetDict({"train": stream})

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    source = {"name": "someone/web", "subset": "en", "streaming": True, "limit": 120}
    assert set(texts(build(source, near_duplicates=None))) == set(rows[:120])
    assert len(given) < len(rows)


def test_a_card_says_that_a_model_labelled(write: Write) -> None:
    rows = sentences(200)
    labels = ["fine" if i % 2 else "rude" for i in range(100)]
    told = {"kind": "model", "who": "some-model-1", "using": "prompt v2"}
    train = {"path": write("labelled", rows[:100], label=labels), "label": "label", "positive": ["fine"]}
    signals = {"safety": {"kind": "classifier", "train": [train | {"labelled_by": told}]}}
    pool = build({"path": write("posts", rows[100:])}, signals=signals)
    [source] = signal_cards(Pool.load(pool.path))["safety"].sources
    assert source.labelled_by is not None
    assert source.labelled_by.model_dump() == told
    assert "| model: some-model-1 (prompt v2) |" in pool.attachments["README.md"]


def test_signals_are_trained_on_no_document_of_the_pool_and_measured_within_domains(write: Write) -> None:
    rows = sentences(300)
    rude = [i % 2 == 0 for i in range(300)]
    shown = [f"{text} you fool" if bad else text for text, bad in zip(rows, rude, strict=True)]
    posts = write("posts", shown, label=["rude" if bad else "fine" for bad in rude])
    train = {"path": posts, "label": "label", "positive": ["fine"]}
    signals = {"safety": {"kind": "classifier", "calibration": "platt", "train": [train | {"part": [0.5, 1.0]}]}}
    half = {"path": posts, "label": "label", "toxic": ["rude"], "part": [0.0, 0.5]}
    pool = build(half, signals=signals, n_clusters=None)
    [card] = signal_cards(pool).values()
    assert card.auc["all"] > 0.9
    assert card.auc["posts"] == card.auc["all"]
    assert card.sources[0].positive + card.sources[0].negative == 300 - len(pool)
    whole = {"safety": {"kind": "classifier", "train": [train]}}
    reduced = signal_cards(build(half, signals=whole))["safety"]
    assert reduced.sources[0].positive + reduced.sources[0].negative == 300 - len(pool), "the pool's were left out"
    framed = write("framed", [f"{text}\n3 likes" for text in shown[:150]])
    cleaned = signal_cards(build({"path": framed}, signals=whole))["safety"]
    assert cleaned.sources[0].positive + cleaned.sources[0].negative == 150, "as they were cleaned, too"


@pytest.mark.parametrize(
    ("rows", "columns", "source", "message"),
    [
        (["x"], {}, {"text": "txt"}, "split 'train' has no column 'txt'; its columns are text"),
        ([1, 2], {}, {}, "row 0: column 'text' must hold texts, actual type: int"),
        (["x", "y"], {"l": ["a", None]}, {"label": "l", "toxic": ["a"]}, "row 1: column 'l' holds no value"),
        (["x", "y"], {"l": ["a", "b"]}, {"label": "l", "toxic": ["c"]}, "toxic names 'c', which no row .* are a, b"),
        (["x"], {"y": ["1"], "n": [1]}, {"votes": ["y", "n"]}, "row 0: column 'y' must hold counts, found: str"),
        (["x"], {"y": [1], "n": [-1]}, {"votes": ["y", "n"]}, "row 0: column 'n' must hold counts, found: -1"),
        (["x"], {}, {"domain_column": "d"}, "has no column 'd'"),
        (["one text", "another one"], {}, {}, r"no document falls into split '\w+': 2 are too few"),
    ],
)
def test_bad_input_names_the_place(write: Write, rows: list, columns: dict, source: dict, message: str) -> None:
    with pytest.raises(PoolError, match=message):
        build({"path": write("data", rows, **columns), **source})


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    for name, content in {"a.csv": b"text\nh\xe9llo\n", "b.jsonl": b'{"text": "h\xe9llo"}\n'}.items():
        (tmp_path / name).write_bytes(content * 3)
        with pytest.raises(PoolError, match=f"data set '{name[0]}', split 'train' can't be read: 'utf-8' codec"):
            build({"path": str(tmp_path / name)})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sources": []}, "at least 1 item"),
        ({"sources": [{"name": "a", "label": "l"}]}, "label and toxic go together"),
        ({"sources": [{"name": "a", "clean": True, "votes": ["y", "n"]}]}, "only one of label, votes and clean"),
        ({"sources": [{"name": "a", "part": [0.5, 0.5]}]}, "part must be an interval within"),
        ({"sources": [{"name": "a", "streaming": True}]}, "streaming is for a data set of the hub.*needs limit"),
        ({"sources": [{"name": "a"}, {"path": "x/a.csv"}]}, "every source needs a domain of its own"),
        ({"sources": [{"name": "a"}], "min_tokens": 65}, "min_tokens must be at most chunk_tokens = 64, actual: 65"),
        ({"sources": [{"name": "a"}], "encoder": {"kind": "pixels"}}, "encoder must read text"),
        ({"sources": [{"name": "a"}], "n_clusters": 3}, "n_clusters needs the signal 'utility'"),
        (
            {"sources": [{"name": "a"}], "signals": {"s": {"kind": "cross_fitted", "positive": ["toxic"]}}},
            "a corpus has no signals of kind 'cross_fitted'",
        ),
        ({"sources": [{"name": "a"}], "tokenizer": {"kind": "words"}}, "tokenizer.kind must be one of byte-level-bpe"),
    ],
)
def test_configurations_that_make_no_sense(config: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_pool({"builder": "corpus"} | config)

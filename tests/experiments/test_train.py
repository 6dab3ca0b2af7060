"""The training command: curve, results, TensorBoard, W&B, and resume."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch as th
import typer
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner, Result

from agents.checkpoint import Checkpoint
from experiments import train
from tests.experiments.test_tracking import records

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

    events = EventAccumulator(str(out / "policies" / "tensorboard")).Reload()
    logged = {round(e.step): e.value for e in events.Scalars("eval/episode_return")}
    assert logged[2048] == pytest.approx(curve.iloc[-1], rel=1e-5)
    assert {"train/raw_return", "train/shaped_reward", "train/value_loss"} <= set(events.Tags()["scalars"])

    [file] = (out / "wandb").glob("offline-run-*/*.wandb")
    read, shaped, raw = {}, 0, 0
    for record in records(file):
        if record.HasField("history"):
            row = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
            shaped, raw = shaped + ("train/shaped_reward" in row), raw + ("train/raw_return" in row)
            if "eval/episode_return" in row:
                read[int(row["global_step"])] = float(row["eval/episode_return"])
    assert read[2048] == pytest.approx(curve.iloc[-1], rel=1e-5)
    assert len(read) >= len(curve) - 1
    assert shaped > 10
    assert raw > 10


def test_an_interrupted_run_resumes_to_the_same_policy_and_curve(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("--env", scenario, "--seeds", 4, "--seed", 1)
    assert command(*arguments, "--out", tmp_path / "whole").exit_code == 0
    write = Checkpoint.write

    def write_then_stop(model: object, path: Path) -> None:
        write(model, path)
        if model.num_timesteps >= 1000:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", staticmethod(write_then_stop))
        interrupted = command(*arguments, "--out", tmp_path / "parts")
    assert interrupted.exit_code == 130
    assert "continue with --resume" in interrupted.output
    assert command(*arguments, "--out", tmp_path / "parts", "--resume").exit_code == 0
    one, other = (load_file(tmp_path / name / "policies/policy/weights.safetensors") for name in ("whole", "parts"))
    assert all(th.equal(one[key], other[key]) for key in one)
    tables = [pd.read_parquet(tmp_path / name / "results.parquet") for name in ("whole", "parts")]
    pd.testing.assert_frame_equal(*tables)


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

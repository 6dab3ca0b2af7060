"""The benchmark of speed compares what it says; how fast anything is, no test tells."""

from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from experiments import throughput


def test_a_quick_run_compares_all_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "TASKS", {"arms": ("CurationGym/RottingArms-v0", {"n_arms": 3, "horizon": 5})})
    app = typer.Typer(add_completion=False)
    app.command()(throughput.main)
    result = CliRunner().invoke(app, ["--quick", "--num-envs", "2", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    wide = pd.read_parquet(tmp_path / "out" / "results.parquet").pivot(index="policy", columns="metric", values="value")
    assert set(wide.index) == {"native", "native, SB3 bridge", "SyncVectorEnv", "DummyVecEnv"}
    assert wide.loc["SyncVectorEnv", "speed_over_sync"] == 1
    assert (wide["steps_per_second"] > 0).all()

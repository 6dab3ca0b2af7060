"""The measurement of a round: what it compares with is the converged fit of the same problem."""

from pathlib import Path

import pandas as pd
import typer
from typer.testing import CliRunner

from experiments import annotation_round


def test_a_quick_run_measures_a_round_and_its_accuracy(tmp_path: Path) -> None:
    app = typer.Typer(add_completion=False)
    app.command()(annotation_round.main)
    result = CliRunner().invoke(app, ["--quick", "--out", str(tmp_path / "out"), "--max-iter", "200"])
    assert result.exit_code == 0, result.output
    rows = pd.read_parquet(tmp_path / "out" / "results.parquet").pivot(index="policy", columns="metric", values="value")
    assert list(rows.index) == ["max_iter=200 balanced", "max_iter=200 plain"]
    assert (rows["seconds"] > 0).all()
    assert ((rows["test_accuracy"] - rows["test_accuracy_converged"]).abs() < 0.01).all()
    assert (rows["test_accuracy"] > 0.2).all()
    assert rows["test_accuracy_converged"].nunique() == 2, "the peer is weighed as ours is"

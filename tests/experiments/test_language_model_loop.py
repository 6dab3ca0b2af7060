"""The measurement of the language-model loop: every way trains on the same tokens."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import typer
from typer.testing import CliRunner

from curation_gym.learners.language_model_config import FineTuningConfig
from experiments import language_model_loop
from experiments.language_model_loop import DEFAULT, OFF, PLAIN, TRAINER, batches


def test_documents_are_packed_as_the_learner_packs_them() -> None:
    documents = [np.arange(1, 8, dtype=np.int32), np.arange(10, 20, dtype=np.int32), np.arange(30, 34, dtype=np.int32)]
    packed = batches(documents, 0, FineTuningConfig(block=4, batch_size=2))
    whole = torch.tensor([*range(1, 8), 0, *range(10, 20), 0, *range(30, 34), 0])
    assert packed.shape == (3, 2, 4)
    assert torch.equal(packed.ravel(), whole[:24])


def test_a_quick_run_compares_all_ways(tmp_path: Path) -> None:
    app = typer.Typer(add_completion=False)
    app.command()(language_model_loop.main)
    result = CliRunner().invoke(app, ["--quick", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    rows = pd.read_parquet(tmp_path / "out" / "results.parquet")
    wide = rows.pivot(index="policy", columns="metric", values="value")
    assert set(wide.index) == {PLAIN, TRAINER, OFF, DEFAULT}
    assert wide.loc[PLAIN, "speed_over_plain"] == 1
    assert (wide["tokens_per_second"] > 0).all()

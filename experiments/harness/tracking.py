"""Weights & Biases: online with a key, offline without one."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import wandb

from curation_gym.console import say
from experiments.harness.study import Study

PROJECT = "curation-gym"


class Tracker:
    """One W&B run, whose x axis is ``global_step``.

    Online when there is a key (``WANDB_API_KEY``, a settings file or a netrc entry) and ``WANDB_MODE`` says
    nothing else; offline without a key, which is announced: nothing is asked and nothing is sent. Files are
    written below ``out/wandb``; an offline run is uploaded with ``wandb sync``.

    Args:
        out: the study's directory.
        name: of the run.
        config: what decides the run's result, shown beside it.
        group: runs that belong together, for example one study.
        run_id: of the run, unique within the project; a run of the same id is continued.
        project: ``WANDB_PROJECT`` takes precedence.
    """

    def __init__(
        self,
        out: Path,
        *,
        name: str,
        config: Mapping[str, Any],
        group: str | None = None,
        run_id: str | None = None,
        project: str = PROJECT,
    ) -> None:
        out.mkdir(parents=True, exist_ok=True)
        offline = "WANDB_MODE" not in os.environ and not wandb.login(prompt=False, verify=False)
        if offline:
            say(f"W&B: no key found, the run is offline; to upload it: wandb sync {out}/wandb/offline-run-*")
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", project),
            name=name,
            group=group,
            id=run_id,
            resume="allow",
            dir=str(out.resolve()),
            config=dict(config),
            mode="offline" if offline else None,
            settings=wandb.Settings(silent=True),
        )
        self.run.define_metric("global_step")
        self.run.define_metric("*", step_metric="global_step")

    @classmethod
    def of(cls, study: Study, *, group: str | None = None) -> "Tracker":
        """A study's run: the same run when the study is resumed."""
        run_id = f"{study.name}-{study.manifest['config_hash']}"
        return cls(study.out, name=study.out.name, config=study.manifest["config"], group=group, run_id=run_id)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Log numbers at ``step`` of the x axis; steps may repeat and needn't be evenly spaced."""
        self.run.log({**metrics, "global_step": step})

    def log_table(self, name: str, frame: pd.DataFrame) -> None:
        """Log a table with the frame's columns."""
        self.run.log({name: wandb.Table(dataframe=frame)})

    def finish(self, exit_code: int = 0) -> None:
        """Close the run; what was logged is on disk, or sent."""
        self.run.finish(exit_code=exit_code)
        wandb.teardown()  # ``finish`` returns before an offline run's file is written to its end

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.finish(exit_code=0 if kind is None else 1)


def log_results(study: Study) -> None:
    """Log the rows of a finished study as a table."""
    with Tracker.of(study, group=study.name) as tracker:
        tracker.log_table("results", pd.read_parquet(study.out / "results.parquet"))

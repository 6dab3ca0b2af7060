"""The options that every study has, and how a study exits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from agents.checkpoint import CheckpointError
from curation_gym.config import ConfigError
from curation_gym.policy import PolicyError
from curation_gym.pools.pool import PoolError
from curation_gym.scenario import Scenario
from experiments.study import StudyError

Out = Annotated[Path | None, typer.Option("--out", help="Directory of the study; default: runs/NAME/….")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=2, help="Paired evaluation seeds per policy.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Parallel processes; default: all cores.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an earlier run with the same options.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Remove an earlier run and begin anew.")]
Quick = Annotated[bool, typer.Option("--quick", help="The same code at a size that takes minutes.")]
Track = Annotated[bool, typer.Option("--track", help="Log to Weights & Biases.")]


@contextmanager
def exits() -> Iterator[None]:
    """For a command: a wrong input is one plain message and exit status 2, an interrupt is 130."""
    try:
        yield
    except (StudyError, ConfigError, PolicyError, PoolError, CheckpointError) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def sized(scenario: Scenario, quick: bool) -> Scenario:
    """With ``--quick``, agents train for a tenth of their steps."""
    if not quick:
        return scenario
    agents = {
        name: settings.model_copy(update={"total_timesteps": max(1, settings.total_timesteps // 10)})
        for name, settings in scenario.agents.items()
    }
    return scenario.model_copy(update={"agents": agents})

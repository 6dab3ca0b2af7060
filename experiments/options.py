"""The options that every study has, and how a study exits."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from curation_gym.config import ConfigError
from curation_gym.policy import PolicyError
from curation_gym.pools.pool import PoolError
from experiments.study import StudyError

Out = Annotated[Path | None, typer.Option("--out", help="Directory of the study; default: runs/NAME/….")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=2, help="Paired evaluation seeds per policy.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Parallel processes; default: all cores.")]
Resume = Annotated[bool, typer.Option("--resume", help="Keep the finished units of an earlier run.")]
Quick = Annotated[bool, typer.Option("--quick", help="The same code at a size that takes minutes.")]
Track = Annotated[bool, typer.Option("--track", help="Log to Weights & Biases.")]


@contextmanager
def exits() -> Iterator[None]:
    """For a command: a wrong input is one plain message and exit status 2, an interrupt is 130."""
    try:
        yield
    except (StudyError, ConfigError, PolicyError, PoolError) as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None

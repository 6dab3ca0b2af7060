"""What every command shares: where it prints, how it tells how far it has come, and how it exits."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import pandas as pd
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

T = TypeVar("T")
console = Console()


def say(message: str) -> None:
    """Print one line of rich markup; long lines (paths) aren't broken."""
    console.print(message, highlight=False, soft_wrap=True)


def print_table(frame: pd.DataFrame, title: str = "") -> None:
    """Print a table, its first column to the left; what a narrow terminal doesn't hold is folded, not cut."""
    table = Table(title=escape(title) or None, title_justify="left", box=SIMPLE_HEAD)
    for index, column in enumerate(frame.columns):
        table.add_column(escape(str(column)), justify="right" if index else "left", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(escape(str(cell)) for cell in row))
    console.print(table)


def progress(items: Sequence[T], description: str) -> Iterable[T]:
    """``items``, with a bar on stderr when that is a terminal."""
    console = Console(stderr=True)
    return track(items, description, console=console, transient=True, disable=not sys.stderr.isatty())


@contextmanager
def exits(*errors: type[Exception]) -> Iterator[None]:
    """For a command: an error of these types is one plain message and exit status 2, an interrupt is 130."""
    try:
        yield
    except errors as error:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None

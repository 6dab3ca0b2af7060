"""What every command shares: where it prints, how it tells how far it has come, and how it exits."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track

T = TypeVar("T")
console = Console()


def say(message: str) -> None:
    """Print one line of rich markup; long lines (paths) aren't broken."""
    console.print(message, highlight=False, soft_wrap=True)


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

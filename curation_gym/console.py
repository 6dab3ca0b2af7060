"""What every command shares: where it prints, and how it exits."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

console = Console()


def say(message: str) -> None:
    """Print one line of rich markup; long lines (paths) aren't broken."""
    console.print(message, highlight=False, soft_wrap=True)


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

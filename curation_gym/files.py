"""Files and directories that appear complete or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that a reader sees the old one or the new one; a failed attempt leaves nothing behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(scratch)
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def replace_directory(path: Path, write: Callable[[Path], object]) -> None:
    """Make a directory anew, complete or not at all: ``write`` fills an empty one, which then takes the place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        new = Path(scratch, "new")
        new.mkdir()
        write(new)
        if path.exists():
            os.replace(path, Path(scratch, "old"))
        os.replace(new, path)


def write_text(path: Path, text: str) -> None:
    """:func:`replace_file` for text."""
    replace_file(path, lambda scratch: scratch.write_text(text, encoding="utf-8"))

"""Files that appear complete or not at all."""

import os
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


def write_text(path: Path, text: str) -> None:
    """:func:`replace_file` for text."""
    replace_file(path, lambda scratch: scratch.write_text(text, encoding="utf-8"))

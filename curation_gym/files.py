"""Files and directories that appear complete or not at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
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


def replace_directory(path: Path, write: Callable[[Path], object], *, keep_existing: bool = False) -> None:
    """Make a directory anew, complete or not at all: ``write`` fills an empty one, which then takes the place.

    Args:
        path: the directory; replaced when it exists, which for an instant leaves none.
        write: fills the directory that it is given.
        keep_existing: when ``path`` exists once that is done, leave it and drop what was written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    outer = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))  # renaming stays within a file system
    try:
        scratch = outer / "new"  # mkdtemp's own directory is private to the user; what is made may be shared
        scratch.mkdir()
        write(scratch)
        _rename(scratch, path, keep_existing)
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _rename(scratch: Path, path: Path, keep_existing: bool) -> None:
    """Renaming onto a directory that holds files fails, so no writer is lost."""
    for attempt in range(1000):
        try:
            os.rename(scratch, path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        if keep_existing:
            return
        with suppress(FileNotFoundError):  # another writer moved it first
            os.rename(path, scratch.parent / f"old{attempt}")
    raise FileExistsError(errno.EEXIST, "replaced by other processes all the time; choose another path", str(path))


def write_text(path: Path, text: str) -> None:
    """:func:`replace_file` for text."""
    replace_file(path, lambda scratch: scratch.write_text(text, encoding="utf-8"))

"""The oldest filter of web corpora: no word of a list."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class BlockList:
    """1 for a text without a blocked word, 0 for one with any.

    The filter of C4 (Raffel et al., JMLR 21, 2020, §2.2). Words are compared whole and without case; an entry of
    several words is found where they follow each other.

    Args:
        words: of the list, at least one.

    Raises:
        ValueError: without words.
    """

    def __init__(self, words: Sequence[str]) -> None:
        entries = sorted({" ".join(word.lower().split()) for word in words} - {""}, key=len, reverse=True)
        if not entries:
            raise ValueError("a block list needs at least one word")
        alternatives = "|".join(re.escape(entry).replace(r"\ ", r"\s+") for entry in entries)
        self._blocked = re.compile(rf"(?<!\w)(?:{alternatives})(?!\w)")

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 (n,), 0 or 1."""
        return np.array([self._blocked.search(text.lower()) is None for text in texts], np.float32)


def read_words(path: Path) -> list[str]:
    """The lines of a UTF-8 file, without those that are empty or begin with ``#``.

    Raises:
        ValueError: when it can't be read; it names the file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"the block list {path} can't be read: {error}") from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]

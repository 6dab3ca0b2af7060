"""What a process makes once."""

from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Made = TypeVar("Made")


class Memo(Generic[Key, Made]):
    """The last few things that were made, found again by what decided them. Whoever gets one leaves it as it is.

    Args:
        most: how many are kept; the first that was made goes first.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: dict[Key, Made] = {}

    def get(self, key: Key, make: Callable[[], Made]) -> Made:
        """What was made by this key, or what is made now."""
        if key not in self._made:
            made = make()
            while len(self._made) >= self._most:
                del self._made[next(iter(self._made))]
            self._made[key] = made
        return self._made[key]

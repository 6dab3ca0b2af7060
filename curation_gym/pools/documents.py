"""Documents: which texts count as the same one, and where each stands when documents are divided among purposes."""

import html
import re
import unicodedata
from collections.abc import Iterable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curation_gym.pools.common import content_hash

Keys = NDArray[np.uint64]
Purpose = Literal["partition", "split", "fold", "limit"]
_BETWEEN_WORDS = re.compile(r"[\W_]+")


def normalised(text: str) -> str:
    """The words of a text: HTML entities read, compatibility forms and case folded, marks and white space made spaces.

    Two texts are one document when this is equal. A text without a letter or digit is only stripped of spaces.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", html.unescape(text)).casefold())
    return _BETWEEN_WORDS.sub(" ", folded).strip() or " ".join(folded.split())


def document_keys(texts: Iterable[str]) -> Keys:
    """A 64-bit hash of every text as :func:`normalised`, uint64 (n,): equal for what counts as one document."""
    return content_hash(normalised(text).encode("utf-8", "surrogatepass") for text in texts)


def positions(keys: Keys, purpose: Purpose) -> NDArray[np.float64]:
    """Where documents stand in [0, 1), float64 (n,); for another purpose in an independent order.

    What lies in one interval of ``"partition"`` is disjoint from what lies in another, whoever reads the data set,
    and whenever.
    """
    return rehashed(keys, purpose) / 2.0**64


def rehashed(keys: Keys, purpose: Purpose) -> Keys:
    """Keys in an order of their own, uint64 (n,)."""
    return content_hash((key.tobytes() for key in np.asarray(keys, "<u8")), purpose)


def in_part(keys: Keys, part: tuple[float, float] | None) -> NDArray[np.bool_]:
    """Whether documents stand in [low, high) of the partition, bool (n,); None is all of it."""
    if part is None:
        return np.ones(len(keys), np.bool_)
    position = positions(keys, "partition")
    return np.asarray((position >= part[0]) & (position < part[1]))


class DocumentSet:
    """Texts to be recognised, but for case, marks, white space and entities: ``text in documents``."""

    def __init__(self, keys: Keys) -> None:
        self._keys = frozenset(keys.tolist())

    def __or__(self, other: "DocumentSet") -> "DocumentSet":
        both = DocumentSet(np.empty(0, np.uint64))
        both._keys = self._keys | other._keys
        return both

    def __contains__(self, text: object) -> bool:
        return isinstance(text, str) and int(document_keys([text])[0]) in self._keys

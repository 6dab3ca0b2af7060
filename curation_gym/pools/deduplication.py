"""Near-duplicates: documents that differ in a word or two, found by MinHash and verified."""

import zlib
from collections.abc import Sequence
from functools import cache

import numpy as np
from datasketch import MinHash, MinHashLSH
from numpy.typing import NDArray
from pydantic import Field

from curation_gym.config import Config
from curation_gym.console import progress
from curation_gym.pools.documents import normalised

_MISSES_MATTER = (0.05, 0.95)
"""What a false candidate and a missed one weigh where bands are chosen: a false one only costs its verification."""
_HASHED_AT_ONCE = 1 << 14


class NearDuplicates(Config):
    """When two documents say almost the same: the Jaccard similarity of their shingles.

    Candidates are found by MinHash (Broder, "On the resemblance and containment of documents", 1997) in bands (Leskovec
    et al., "Mining of Massive Datasets", §3.4) and verified on the shingles themselves, so that nothing below the
    threshold is dropped; of pairs at the very threshold about one in ten is missed.

    Attributes:
        threshold: similarity from which documents are near-duplicates. 0.8 is that of MassiveText (Rae et al.,
            arXiv:2112.11446, appendix A.1).
        shingle: characters, of the normalised text; of words, one edit in a post of ten would change half of them.
        permutations: of MinHash.
        seed: of the permutations.
    """

    threshold: float = Field(0.8, ge=0.1, le=0.95)
    shingle: int = Field(5, ge=1)
    permutations: int = Field(128, ge=16)
    seed: int = Field(0, ge=0)


def near_duplicates(texts: Sequence[str], config: NearDuplicates) -> NDArray[np.bool_]:
    """Whether each text is a near-duplicate of an earlier one that is none itself, bool (n,).

    Which of several alike is kept is thus the caller's choice, by order.
    """
    index = MinHashLSH(num_perm=config.permutations, params=_bands(config.threshold, config.permutations))
    empty = MinHash(config.permutations, config.seed, hashfunc=zlib.crc32, scheme="affine32")
    found = np.zeros(len(texts), np.bool_)
    for row, text in enumerate(progress(texts, "finding near-duplicates")):
        shingles = _shingles(text, config.shingle)
        minhash, remaining = empty.copy(), sorted(shingles)
        for start in range(0, len(remaining), _HASHED_AT_ONCE):  # a long document's would fill the memory at once
            minhash.update_batch(remaining[start : start + _HASHED_AT_ONCE])
        candidates = (_shingles(texts[other], config.shingle) for other in index.query(minhash))
        found[row] = any(_jaccard(shingles, other) >= config.threshold for other in candidates)
        if not found[row]:
            index.insert(row, minhash, check_duplication=False)
    return found


@cache
def _bands(threshold: float, permutations: int) -> tuple[int, int]:
    """How many bands of how many rows suit a threshold; found by integrals that take a second."""
    index = MinHashLSH(threshold, permutations, weights=_MISSES_MATTER)
    return index.b, index.r


def _shingles(text: str, size: int) -> set[bytes]:
    words = normalised(text)
    return {
        words[start : start + size].encode("utf-8", "surrogatepass") for start in range(max(1, len(words) - size + 1))
    }


def _jaccard(one: set[bytes], other: set[bytes]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)

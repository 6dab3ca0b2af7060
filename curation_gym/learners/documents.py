"""A pool's texts as a language model reads them: once in a process."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation_gym.learners.language_model import LanguageModelLearner
from curation_gym.memo import Memo
from curation_gym.pools.pool import Pool
from curation_gym.pools.storage import bytes_digest

_read: Memo[tuple[str, str], list[NDArray[np.int32]]] = Memo(2)


def tokenized(pool: Pool, learner: LanguageModelLearner) -> list[NDArray[np.int32]]:
    """Token ids of every text of the pool, without the end-of-text token; read-only, for learners share them."""

    def read() -> list[NDArray[np.int32]]:
        assert pool.data is not None
        documents = learner.tokenize(pool.data["text"].to_pylist())
        for document in documents:
            document.flags.writeable = False
        return documents

    identity = tokenizer_identity(learner.tokenizer)
    return read() if identity is None else _read.get((pool.fingerprint, identity), read)


def tokenizer_identity(tokenizer: Any) -> str | None:
    """A digest of all that decides how texts become tokens; None of a tokenizer that doesn't tell."""
    if not getattr(tokenizer, "is_fast", False):
        return None
    told = f"{tokenizer!r} {tokenizer.split_special_tokens} {tokenizer.backend_tokenizer.to_str()}"
    return bytes_digest(told.encode())

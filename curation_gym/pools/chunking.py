"""Chunking: documents cut into pieces of at most so many tokens of a given tokenizer."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import Field
from tokenizers import ByteLevelBPETokenizer, Tokenizer

from curation_gym.config import Config
from curation_gym.pools.storage import PoolError

END_OF_TEXT = "<|endoftext|>"
_ENCODED_AT_ONCE = 1024


class TrainedTokenizer(Config):
    """Byte-level BPE (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019), trained on the
    train split. Its only special token is ``<|endoftext|>``.

    Attributes:
        vocabulary: tokens at most; 256 bytes and the special one at least.
    """

    kind: Literal["byte-level-bpe"] = "byte-level-bpe"
    vocabulary: int = Field(default=4096, ge=257)


class PretrainedTokenizer(Config):
    """The tokenizer of a language model.

    Attributes:
        model: a hub id, a local directory, or ``package:NAME/DIRECTORY``.
    """

    kind: Literal["pretrained"]
    model: str = Field(min_length=1)


TokenizerConfig = Annotated[TrainedTokenizer | PretrainedTokenizer, Field(discriminator="kind")]


def make_tokenizer(config: TokenizerConfig, train: Iterable[str]) -> Tokenizer:
    """Load a tokenizer, or train it.

    Args:
        config: which.
        train: texts to train on; a pretrained one ignores them.

    Raises:
        PoolError: when it can't be loaded, or has no fast form, which alone tells where in a text a token stands.
    """
    if isinstance(config, TrainedTokenizer):
        trained = ByteLevelBPETokenizer()
        trained.train_from_iterator(
            train, config.vocabulary, special_tokens=[END_OF_TEXT], show_progress=sys.stderr.isatty()
        )
        return Tokenizer.from_str(trained.to_str())
    from curation_gym.signals.encoders import EncoderError
    from curation_gym.signals.pretrained import ModelError, load_pretrained  # only here torch is needed

    try:
        loaded = load_pretrained("AutoTokenizer", config.model)
    except (ModelError, EncoderError) as error:
        raise PoolError(str(error)) from error
    if not loaded.is_fast:
        raise PoolError(f"the tokenizer {config.model!r} has no fast form (tokenizer.json); name another")
    tokenizer: Tokenizer = loaded.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def chunks(texts: Iterable[str], tokenizer: Tokenizer, limit: int) -> Iterator[list[tuple[str, int]]]:
    """For every text its chunks in order, each with its number of tokens.

    A text of at most ``limit`` tokens is one chunk, as it is. A longer one is cut before a word where that is possible,
    else within it, never within a character. A chunk's tokens are those of the chunk read alone: at most ``limit``.

    Args:
        texts: read as they are needed.
        tokenizer: see :func:`make_tokenizer`.
        limit: tokens at most, ≥ 1; a character that alone is more stays whole.
    """
    remaining = iter(texts)
    while block := list(islice(remaining, _ENCODED_AT_ONCE)):
        for text, encoding in zip(block, _encoded(tokenizer, block), strict=True):
            n = len(encoding.ids)
            yield [(text, n)] if n <= limit else list(_cut(text, encoding.offsets, tokenizer, limit))


def _cut(text: str, offsets: list[tuple[int, int]], tokenizer: Tokenizer, limit: int) -> Iterator[tuple[str, int]]:
    starts = [start for start, _ in offsets]
    first = 0
    while first < len(starts):
        room = limit
        while True:
            end = _last_cut(text, starts, first, min(first + room, len(starts)))
            chunk = text[starts[first] : starts[end] if end < len(starts) else len(text)].strip()
            n = len(_encoded(tokenizer, [chunk])[0].ids)
            # Alone, a word that lost the space before it may be more tokens; and a character may be many.
            if n <= limit or room == 1:
                break
            room = max(1, room - (n - limit))
        if chunk:
            yield chunk, n
        first = end


def _last_cut(text: str, starts: list[int], first: int, end: int) -> int:
    """The last token up to ``end`` before which the text can be cut: before a word, else before a character."""
    if end == len(starts):
        return end
    for cut in range(end, first, -1):
        at = starts[cut]
        if at > starts[first] and (text[at].isspace() or text[at - 1].isspace()):
            return cut
    while end > first + 1 and starts[end] == starts[end - 1]:
        end -= 1
    while end < len(starts) and starts[end] == starts[first]:
        end += 1
    return end


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Any]:
    return list(tokenizer.encode_batch(texts, add_special_tokens=False))

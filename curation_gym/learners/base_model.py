"""A small language model pre-trained on a corpus, where no pretrained one is at hand."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from curation_gym.console import progress
from curation_gym.files import replace_directory
from curation_gym.learners.language_model import LanguageModelLearner, ModelAndTokenizer, load_causal
from curation_gym.learners.language_model_config import BaseModelConfig, FineTuningConfig, ModelSource
from curation_gym.learners.training import seeded
from curation_gym.pools.chunking import END_OF_TEXT, TrainedTokenizer, make_tokenizer
from curation_gym.pools.common import cache_directory, code_digest, content_hash
from curation_gym.pools.corpus import TOKENIZER
from curation_gym.pools.pool import Pool
from curation_gym.pools.storage import bytes_digest

_DOCUMENTS_AT_ONCE = 512


def base_model(config: BaseModelConfig, pool: Pool) -> Path:
    """The directory of the model, trained when the cache doesn't hold it.

    It is trained on every text of the train split once per epoch, whatever its labels and signals say: the raw mixture,
    which curation is to improve on.

    Args:
        config: which.
        pool: of texts. The model has its tokenizer, see :class:`curation_gym.pools.corpus.CorpusConfig`; for a pool
            without one, byte-level BPE is trained on the train split.

    Returns:
        What ``AutoModelForCausalLM`` and ``AutoTokenizer`` can load.

    Raises:
        ValueError: for a pool without texts.
    """
    if pool.data is None or "text" not in pool.data.column_names:
        raise ValueError(f"a language model is trained on texts, which this pool lacks: {pool!r}")
    return pretrained(config, pool.data["text"].take(pool.ids("train")).to_pylist(), pool.attachments.get(TOKENIZER))


def pretrained(config: BaseModelConfig, texts: Sequence[str], tokenizer: str | None = None) -> Path:
    """The directory of a model of these texts, trained when the cache doesn't hold it.

    Args:
        config: which.
        texts: in any order that is always the same.
        tokenizer: as ``tokenizers.Tokenizer.from_str`` reads it; None: byte-level BPE is trained on the texts.
    """
    content = bytes_digest(content_hash(text.encode("utf-8", "surrogatepass") for text in texts).tobytes())
    key = f"{config.model_dump_json()} {content} {tokenizer} {pretraining_versions()}"
    path = cache_directory() / "models" / f"gpt-neox-{bytes_digest(key.encode())[:16]}"
    if path.exists():
        return path
    model, own = _untrained(config, tokenizer or make_tokenizer(TrainedTokenizer(), texts).to_str())
    _train(config, model, own, texts)

    def write(scratch: Path) -> None:
        model.save_pretrained(scratch)
        own.save_pretrained(scratch)

    replace_directory(path, write, keep_existing=True)  # another process may have been faster
    return path


def pretraining_versions() -> dict[str, str]:
    """What a model depends on besides its texts and configuration: packages, and the code that trains it."""
    code = code_digest("learners/base_model.py", "learners/language_model*.py", "learners/training.py")
    versions = {name: version(name) for name in ("torch", "transformers", "tokenizers")}
    return versions | {"pre-training": code}


def _untrained(config: BaseModelConfig, tokenizer_json: str) -> tuple[Any, Any]:
    import transformers
    from tokenizers import Tokenizer

    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer_json), eos_token=END_OF_TEXT, pad_token=END_OF_TEXT
    )
    shape = transformers.GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden_size,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        intermediate_size=4 * config.hidden_size,
        max_position_embeddings=config.context,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with seeded(config.seed):
        return transformers.AutoModelForCausalLM.from_config(shape), tokenizer


def _train(config: BaseModelConfig, model: Any, tokenizer: Any, texts: Sequence[str]) -> None:
    options = FineTuningConfig(
        block=config.block,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        schedule="cosine",
    )
    learner = LanguageModelLearner(model, tokenizer, options, 1, config.seed)
    documents = learner.tokenize(texts)
    learner.total_tokens = config.epochs * sum(len(document) + 1 for document in documents)
    rng = np.random.default_rng(config.seed)
    order = np.concatenate([rng.permutation(len(texts)) for _ in range(config.epochs)] or [np.zeros(0, np.intp)])
    starts = range(0, len(order), _DOCUMENTS_AT_ONCE)
    for start in progress(starts, "pre-training the language model"):
        learner.train_on([documents[row] for row in order[start : start + _DOCUMENTS_AT_ONCE]])


def model_of(source: ModelSource, pool: Pool) -> ModelAndTokenizer:
    """The model and tokenizer that ``source`` names, see
    :func:`~curation_gym.learners.language_model.load_causal` and :func:`base_model`."""
    return load_causal(source if isinstance(source, str) else str(base_model(source, pool)))

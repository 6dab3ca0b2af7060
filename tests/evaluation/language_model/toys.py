"""Models whose every probability is known, and a small random one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from curation_gym.evaluation.language_model.model import CausalModel

transformers.utils.logging.set_verbosity_error()
EOS = "<end>"


def word_tokenizer(words: Sequence[str]) -> Any:
    """One token per word, the end first; words are separated by spaces."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate([EOS, *words])}, unk_token=EOS))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=EOS)


def bigram_gpt2(logits: np.ndarray, max_length: int = 64) -> Any:
    """A GPT-2 of one layer whose logits after token i are ``logits[i]``, whatever came before."""
    v = len(logits)
    config = transformers.GPT2Config(
        vocab_size=v,
        n_embd=2 * v,
        n_layer=1,
        n_head=1,
        n_positions=max_length,
        layer_norm_epsilon=1e-12,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=0,
    )
    model = transformers.GPT2LMHeadModel(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        # Rows [e, −e] have mean 0 and variance 1/v: the last normalisation multiplies them by √v.
        model.transformer.wte.weight.copy_(torch.cat([torch.eye(v), -torch.eye(v)], 1))
        model.transformer.ln_f.weight.fill_(1)
        model.lm_head.weight[:, :v] = torch.tensor(logits.T / np.sqrt(v), dtype=torch.float32)
    return model


def bigram(words: Sequence[str], after: Mapping[str, Mapping[str, float]], **options: Any) -> CausalModel:
    """A model that knows one thing: P(next word | word).

    Args:
        words: the vocabulary beside the end.
        after: word → next word → probability. What is left is shared by the other words; a word without an entry is
            followed by all alike.
        options: of :class:`CausalModel`; and ``n_positions``, how much it can read.
    """
    names = [EOS, *words]
    p = np.full((len(names), len(names)), 1 / len(names))
    for word, given in after.items():
        row = names.index(word)
        p[row] = (1 - sum(given.values())) / max(1, len(names) - len(given))
        for following, probability in given.items():
            p[row, names.index(following)] = probability
    logits = np.log(np.maximum(p, 1e-30))
    return CausalModel(bigram_gpt2(logits, options.pop("n_positions", 64)), word_tokenizer(words), **options)


def uniform(words: Sequence[str]) -> CausalModel:
    """A model to which every word is equally probable."""
    return bigram(words, {})


TEXTS = [
    "the boat sails with the wind and the tide",
    "Human: what is bread? Assistant: bread is baked from flour, water and salt.",
    "Q: who sails? A: nobody can say who sails at night.",
    "a question, an answer; one (or two) more words: café, naïve!",
]


def byte_tokenizer() -> Any:
    """Byte-level BPE, as of GPT-NeoX; with a token that ends a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, special_tokens=[EOS], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=EOS, eos_token=EOS, clean_up_tokenization_spaces=False
    )


def neox_config(**options: Any) -> Any:
    """Of a GPT-NeoX of two layers."""
    return transformers.GPTNeoXConfig(
        vocab_size=320,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=128,
        bos_token_id=0,
        eos_token_id=0,
        attention_dropout=0.1,
        hidden_dropout=0.1,
        initializer_range=0.5,
        **options,
    )


def random_neox(seed: int = 0) -> Any:
    """A GPT-NeoX of two layers with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return transformers.GPTNeoXForCausalLM(neox_config())


def random_classifier() -> Any:
    """A GPT-NeoX that tells toxic from fine, at random."""
    names = {0: "fine", 1: "toxic"}
    config = neox_config(id2label=names, label2id={name: i for i, name in names.items()})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.GPTNeoXForSequenceClassification(config)

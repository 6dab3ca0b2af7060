"""Tiny causal language models with random weights, and a tokenizer of words, made on the spot."""

from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = ("the", "a", "boat", "soup", "sails", "cooks", "far", "well", "and", "then")


def tiny_tokenizer() -> Any:
    vocabulary = {"<|end|>": 0, "[UNK]": 1} | {word: index + 2 for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>", unk_token="[UNK]"
    )


def tiny_model(kind: str = "gpt_neox", dropout: float = 0.0, seed: int = 0) -> Any:
    sizes = {"vocab_size": len(WORDS) + 2, "max_position_embeddings": 32, "hidden_size": 16, "num_hidden_layers": 2}
    match kind:
        case "gpt_neox":
            shape = {"intermediate_size": 32, "num_attention_heads": 2, "hidden_dropout": dropout}
            config = transformers.GPTNeoXConfig(**sizes, **shape, bos_token_id=0, eos_token_id=0)
        case "gpt2":
            config = transformers.GPT2Config(vocab_size=12, n_positions=32, n_embd=16, n_layer=2, n_head=2)
        case "opt":
            shape = {"ffn_dim": 32, "num_attention_heads": 2, "word_embed_proj_dim": 16}
            config = transformers.OPTConfig(**sizes, **shape)
    transformers.set_seed(seed)
    return transformers.AutoModelForCausalLM.from_config(config)


def save_tiny(path: Path, kind: str = "gpt_neox") -> Path:
    tiny_model(kind).save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path

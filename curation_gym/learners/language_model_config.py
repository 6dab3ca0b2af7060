"""What a causal language model is, and how it is fine-tuned."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from curation_gym.config import Config, Many


class BaseModelConfig(Config):
    """A GPT-NeoX (Black et al., 2022) with rotary positions, trained from scratch on a pool's train split.

    Attributes:
        hidden_size: of a token's representation.
        layers: of the transformer.
        heads: of each layer.
        context: tokens that it can read.
        epochs: over the split, in an order drawn by seed; 0 keeps the random weights.
        block: tokens in a row of a batch.
        batch_size: rows of a batch.
        learning_rate: the highest, of AdamW; it falls along half a cosine.
        seed: of weights and order.
    """

    kind: Literal["gpt_neox"] = "gpt_neox"
    hidden_size: int = Field(default=192, ge=8)
    layers: int = Field(default=4, ge=1)
    heads: int = Field(default=4, ge=1)
    context: int = Field(default=128, ge=8)
    epochs: int = Field(default=1, ge=0)
    block: int = Field(default=64, ge=2)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _divisible(self) -> "BaseModelConfig":
        if self.hidden_size % self.heads or self.block > self.context:
            raise ValueError(
                "hidden_size must be a multiple of heads and block at most context, actual values: "
                f"{self.hidden_size}, {self.heads}, {self.block}, {self.context}"
            )
        return self


class LoraConfig(Config):
    """Low-rank adapters (Hu et al., ICLR 2022) instead of all weights, by the library peft.

    Attributes:
        rank: of an adapter.
        alpha: an adapter counts alpha / rank times.
        dropout: on what goes into an adapter, in [0, 1).
        targets: names of the modules that get one; by default those that peft knows for the architecture.
    """

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: Many[str] = ()


class FineTuningConfig(Config):
    """How a causal language model is fine-tuned: by AdamW (Loshchilov and Hutter, ICLR 2019) and clipped gradients.

    Attributes:
        block: tokens in a row of a batch; documents are packed into rows, each followed by the end-of-text token.
        batch_size: rows per update.
        learning_rate: the highest.
        schedule: of the learning rate over the tokens to come: constant, linear or cosine down to 0.
        warm_up: share of those tokens in which it rises, in [0, 1).
        weight_decay: of AdamW.
        max_norm: gradients are scaled down to this norm.
        precision: of products of matrices; weights and optimizer are always float32. ``"auto"`` is bfloat16 on
            processors and GPUs that multiply in it, and float32 on others, where bfloat16 takes many times as long.
        lora: adapters instead of all weights.
    """

    block: int = Field(default=64, ge=2)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=5e-4, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warm_up: float = Field(default=0.0, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    max_norm: float = Field(default=1.0, gt=0)
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    lora: LoraConfig | None = None

    @model_validator(mode="after")
    def _warm_up_of_a_schedule(self) -> "FineTuningConfig":
        if self.warm_up and self.schedule != "linear":
            raise ValueError(f"warm_up goes with schedule 'linear', actual schedule: {self.schedule!r}")
        return self

    @property
    def batch_tokens(self) -> int:
        """Tokens per update."""
        return self.block * self.batch_size


ModelSource = Annotated[str, Field(min_length=1)] | BaseModelConfig
"""A hub id, a local directory, or ``package:NAME/DIRECTORY``, that ``AutoModelForCausalLM`` and ``AutoTokenizer`` can
load (GPT-NeoX, OPT, GPT-2 and others); or a model to be trained from scratch."""

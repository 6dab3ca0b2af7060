"""A causal language model that is fine-tuned on what was selected, a batch of tokens at a time."""

import pickle
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from curation_gym.files import replace_file
from curation_gym.learners.language_model_config import FineTuningConfig
from curation_gym.learners.training import Schedule, cosine, seeded, warm_up_then_linear
from curation_gym.signals.pretrained import default_device, load_pretrained, multiplies_in_bfloat16

_LOSSES = 20  # updates that the running loss is a mean of
_PATIENCE = 10  # updates in a row without a finite loss, after which going on is pointless
ModelAndTokenizer = tuple[Any, Any]


class LanguageModelLearner:
    """Fine-tunes a causal language model on documents as they come.

    Documents are packed: their tokens follow each other, and as soon as there are enough for a batch, the model is
    updated. What is left waits for the next documents, so nothing is padded and no token is lost.

    A loss that isn't finite is no update: weights and optimizer stay as they were, and ``skipped`` counts it.

    Args:
        model: a causal language model of transformers, trained in place.
        tokenizer: its own, with an end-of-text token.
        config: how it is trained.
        total_tokens: that will be trained on, over which the learning rate is scheduled.
        seed: ≥ 0, of dropout and of new adapters.

    Attributes:
        tokens: trained on.
        updates: of the weights.
        skipped: batches without a finite loss.
        bfloat16: whether matrices are multiplied in it.

    Raises:
        ImportError: when ``lora`` is given and peft isn't installed.
        ValueError: when the tokenizer has no end-of-text token.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Any,
        config: FineTuningConfig,
        total_tokens: int,
        seed: int = 0,
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end-of-text token; set its eos_token")
        self.tokenizer, self.config, self.total_tokens = tokenizer, config, total_tokens
        self.tokens, self.updates, self.skipped = 0, 0, 0
        self._generator = torch.Generator()
        self.reseed(seed)
        self.device = default_device()
        self.bfloat16 = config.precision == "bfloat16" or (
            config.precision == "auto" and multiplies_in_bfloat16(self.device)
        )
        if self.bfloat16 and self.device.type == "cpu":
            # There the backward pass of fused attention is slower in bfloat16 than in float32.
            model.set_attn_implementation("eager")  # type: ignore[operator]
        self.model: nn.Module = (model if config.lora is None else self._adapted(model)).to(self.device)
        self._optimizer = torch.optim.AdamW(
            [weight for weight in self.model.parameters() if weight.requires_grad],
            config.learning_rate,
            weight_decay=config.weight_decay,
        )
        self._waiting = np.zeros(0, np.int32)
        self._losses: deque[float] = deque(maxlen=_LOSSES)
        self._in_a_row = 0
        self.model.eval()

    def reseed(self, seed: int) -> Self:
        """Draw what follows from another seed."""
        self._generator.manual_seed(seed)
        return self

    # ---------------------------------------------------------------- training
    def train_on(self, documents: Sequence[NDArray[np.integer]]) -> int:
        """Append documents, and update the model while there are tokens for a batch.

        Args:
            documents: token ids of each, without the end-of-text token.

        Returns:
            The number of updates.

        Raises:
            ArithmeticError: when ten batches in a row had no finite loss.
        """
        end = np.array([self.tokenizer.eos_token_id], np.int32)
        parts = [part for document in documents for part in (np.asarray(document, np.int32), end)]
        self._waiting = np.concatenate([self._waiting, *parts])
        size, before = self.config.batch_tokens, self.updates
        n = len(self._waiting) // size
        if n:
            batches = torch.from_numpy(self._waiting[: n * size].astype(np.int64)).reshape(n, -1, self.config.block)
            self._waiting = self._waiting[n * size :].copy()
            self.model.train()
            for batch in batches:
                self._update(batch.to(self.device))
            self.model.eval()
        return self.updates - before

    def _update(self, batch: Tensor) -> None:
        config, scale = self.config, self._schedule(min(self.tokens / max(self.total_tokens, 1), 1.0))
        self._optimizer.zero_grad(set_to_none=True)
        with self._seeded():
            with self.computing():
                loss: Tensor = self.model(input_ids=batch, labels=batch).loss
            loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), config.max_norm)
        self.tokens += batch.numel()
        if not torch.isfinite(loss) or not torch.isfinite(norm):
            self.skipped += 1
            self._in_a_row += 1
            self._optimizer.zero_grad(set_to_none=True)
            if self._in_a_row >= _PATIENCE:
                raise ArithmeticError(
                    f"{_PATIENCE} batches in a row had no finite loss, after {self.updates} updates; lower "
                    f"learning_rate = {config.learning_rate}, or check the model"
                )
            return
        for group in self._optimizer.param_groups:
            group["lr"] = config.learning_rate * scale
        self._optimizer.step()
        self._in_a_row = 0
        self.updates += 1
        self._losses.append(float(loss.detach()))

    def computing(self) -> AbstractContextManager[Any]:
        """Where the model computes as precisely as in training."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    @property
    def _schedule(self) -> Schedule:
        match self.config.schedule:
            case "constant":
                return lambda done: 1.0
            case "linear":
                return warm_up_then_linear(self.config.warm_up)
            case "cosine":
                return cosine

    def _seeded(self) -> AbstractContextManager[None]:
        """Torch's global generator, which dropout draws from, at the next seed of this learner's own."""
        return seeded(int(torch.randint(2**62, (), generator=self._generator)))

    @property
    def loss(self) -> float:
        """Mean loss of the last updates in nats per token; NaN before the first."""
        return float(np.mean(self._losses)) if self._losses else float("nan")

    def tokenize(self, texts: Sequence[str], max_tokens: int | None = None) -> list[NDArray[np.int32]]:
        """Token ids of each text, without special tokens, cut after ``max_tokens``."""
        options = {} if max_tokens is None else {"truncation": True, "max_length": max_tokens}
        encoded = self.tokenizer(list(texts), add_special_tokens=False, **options)["input_ids"]
        return [np.array(ids, np.int32) for ids in encoded]

    # -------------------------------------------------------------- checkpoints
    def state(self) -> dict[str, Any]:
        """Everything that what follows depends on; :meth:`restore` takes it."""
        return {
            "config": self.config.model_dump(mode="json"),
            "model": {name: value.clone() for name, value in self.model.state_dict().items()},
            "optimizer": _cloned(self._optimizer.state_dict()),
            "generator": self._generator.get_state(),
            "waiting": torch.from_numpy(self._waiting.copy()),
            "losses": list(self._losses),
            "counts": (self.tokens, self.updates, self.skipped, self._in_a_row),
        }

    def restore(self, state: dict[str, Any]) -> Self:
        """Go to a state, from which training continues to the same tensors at an equal number of threads.

        Raises:
            ValueError: when it was made with another configuration.
        """
        if state["config"] != self.config.model_dump(mode="json"):
            raise ValueError("the state was made with another configuration")
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(_cloned(state["optimizer"]))
        self._generator.set_state(state["generator"])
        self._waiting = state["waiting"].numpy().copy()
        self._losses = deque(state["losses"], maxlen=_LOSSES)
        self.tokens, self.updates, self.skipped, self._in_a_row = state["counts"]
        return self

    def save(self, path: Path) -> None:
        """Write :meth:`state`; the file is whole or as it was before.

        Raises:
            OSError: when it can't be written, for example because the disk is full; what was there is kept.
        """
        try:
            replace_file(path, lambda scratch: torch.save(self.state(), scratch))
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            raise OSError(
                f"{path} can't be written: {error}; make room, or see who may write there; what was there is kept"
            ) from error

    def load(self, path: Path) -> Self:
        """Go to the state that :meth:`save` wrote.

        Raises:
            ValueError: when the file is damaged, or was made with another configuration.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
            raise ValueError(f"{path} is no state of a language model: {error}") from error
        return self.restore(state)

    def _adapted(self, model: Any) -> Any:
        if find_spec("peft") is None:
            raise ImportError("lora needs an optional package: pip install 'curation-gym[lora]'")
        import peft

        lora = self.config.lora
        assert lora is not None
        options = {"target_modules": list(lora.targets)} if lora.targets else {}
        adapters = peft.LoraConfig(
            r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, task_type="CAUSAL_LM", **options
        )
        with self._seeded():
            return peft.get_peft_model(model, adapters)


def load_causal(model: str) -> ModelAndTokenizer:
    """A causal language model in float32 and its tokenizer.

    Raises:
        ModelError: when transformers can't load either.
    """
    loaded = load_pretrained("AutoModelForCausalLM", model).float()
    return loaded, load_pretrained("AutoTokenizer", model)


def _cloned(state: Any) -> Any:
    if isinstance(state, Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: _cloned(value) for key, value in state.items()}
    return [_cloned(value) for value in state] if isinstance(state, list) else state

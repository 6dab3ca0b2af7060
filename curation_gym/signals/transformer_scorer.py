"""Scores from any Hugging Face text classifier, as a signal or as a judge."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from curation_gym.signals.pretrained import ModelError, default_device, load_pretrained


class TransformerScorer:
    """The probability that a text classifier gives to one of its labels.

    Classes that exclude one another are scored by softmax, labels that may hold together by sigmoid, as the model's
    ``problem_type`` says; where it says nothing, a single label is scored by sigmoid and several by softmax. A blank
    text without any token, as a model may say it, is read as the token at which texts begin or end.
    Detoxify's ``unitary/toxic-bert`` (Hanu and Unitary, 2020) is multi-label; one of its labels is ``toxic``.

    Args:
        model: a hub id, a local directory, or ``package:NAME/DIRECTORY``.
        label: which label, by name or index.
        batch_size: texts per forward pass.
        max_length: texts are cut after so many tokens; by default what the tokenizer says that the model can read.
        device: by default the GPU where there is one.

    Attributes:
        name: for reports, for example ``"unitary/toxic-bert[toxicity]"``.

    Raises:
        ModelError: when the model can't be loaded, has no such label (lists those that it has), is a regression, or
            when its tokenizer can't pad.
        EncoderError: when no installed package carries it.
    """

    def __init__(
        self,
        model: str,
        label: str | int,
        *,
        batch_size: int = 32,
        max_length: int | None = None,
        device: str | None = None,
    ) -> None:
        if batch_size < 1 or (max_length is not None and max_length < 1):
            raise ModelError(f"batch_size and max_length must be >= 1, actual values: {batch_size} and {max_length}")
        self._device = torch.device(device) if device else default_device()
        self._tokenizer = load_pretrained("AutoTokenizer", model)
        self._model = load_pretrained("AutoModelForSequenceClassification", model).to(self._device).eval()
        config = self._model.config
        self._label = _label_index(config, label, model)
        self._multi_label = _multi_label(config, model)
        self.name = f"{model}[{config.id2label[self._label]}]"
        self._batch_size = batch_size
        # A tokenizer that knows no limit states 10³⁰.
        limits = (max_length, self._tokenizer.model_max_length, getattr(config, "max_position_embeddings", None))
        self._max_length = min((limit for limit in limits if limit and limit < 10**9), default=None)
        if self._tokenizer.pad_token is None:
            if self._tokenizer.eos_token is None:
                raise ModelError(f"the tokenizer of {model!r} has no padding token; set one and save it with the model")
            # Classifiers made from causal models read the last token that isn't padding.
            self._tokenizer.pad_token = self._tokenizer.eos_token
        if config.pad_token_id is None:
            config.pad_token_id = self._tokenizer.pad_token_id

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Score texts: float32 (n,) in [0, 1].

        Raises:
            ModelError: for a text without any token that isn't blank, or where the tokenizer has none at which texts
                begin or end; for a score that isn't a number.
        """
        scores = np.empty(len(texts), np.float32)
        silent = {row for row, text in enumerate(texts) if not text.strip() and not self._tokenizer(text)["input_ids"]}
        if silent:
            # By itself: where the same token pads, classifiers made from causal models tell it from padding by place.
            mark = self._tokenizer.bos_token or self._tokenizer.eos_token or ""
            scores[list(silent)] = self._probabilities([mark]).item()
        # Texts of similar length in a batch leave little padding.
        order = sorted((row for row in range(len(texts)) if row not in silent), key=lambda row: len(texts[row]))
        for start in range(0, len(order), self._batch_size):
            rows = order[start : start + self._batch_size]
            scores[rows] = self._probabilities([texts[row] for row in rows]).cpu().numpy()
        if not np.isfinite(scores).all():
            raise ModelError(f"{self.name}, text {int(np.argmin(np.isfinite(scores)))}: the score is not a number")
        return scores

    @torch.no_grad()
    def _probabilities(self, texts: list[str]) -> Tensor:
        options: dict[str, Any] = {"truncation": self._max_length is not None, "max_length": self._max_length}
        tokens = self._tokenizer(texts, padding=True, return_tensors="pt", **options).to(self._device)
        if not tokens["attention_mask"].any(1).all():
            raise ModelError(f"{self.name} was given a text without any token; leave empty texts out")
        logits: Tensor = self._model(**tokens).logits.float()
        probabilities = logits.sigmoid() if self._multi_label else logits.softmax(1)
        return probabilities[:, self._label]


def _label_index(config: Any, label: str | int, model: str) -> int:
    names = dict(config.id2label)
    if isinstance(label, int) and label in names:
        return label
    found = [index for index, name in names.items() if name == label]
    if not found:
        listed = ", ".join(f"{index} = {name!r}" for index, name in sorted(names.items()))
        raise ModelError(f"{model!r} has no label {label!r}; its labels are {listed}")
    return int(found[0])


def _multi_label(config: Any, model: str) -> bool:
    if config.problem_type == "regression":
        raise ModelError(f"{model!r} is a regression: its output is no probability; name a classifier")
    if config.problem_type is None:
        return len(config.id2label) == 1
    return bool(config.problem_type == "multi_label_classification")

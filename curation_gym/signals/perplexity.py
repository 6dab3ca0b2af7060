"""Utility from a reference language model: how surprising a text is, and the band in which surprise is worth having."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from curation_gym.signals.encoders import EncoderError
from curation_gym.signals.pretrained import ModelError, default_device, load_pretrained
from curation_gym.signals.scores import ScoreError


class PerplexityScorer:
    """Log-perplexity of texts under a causal language model, on the GPU where there is one.

    Every token is predicted from those before it, the first from the model's beginning-of-text token (or, without one,
    its end-of-text token). Texts longer than the model reads are cut there.

    Args:
        model: a hub id, a local directory, or ``package:NAME/DIRECTORY``, that ``AutoModelForCausalLM`` and
            ``AutoTokenizer`` can load.
        batch_size: texts read at once; similar lengths go together.
        max_length: tokens of a text that are read, at most; by default what the model can.

    Raises:
        ScoreError: when the model can't be loaded, or has neither token to begin with.
    """

    def __init__(self, model: str, *, batch_size: int = 32, max_length: int | None = None) -> None:
        try:
            self._tokenizer: Any = load_pretrained("AutoTokenizer", model)
            self._model: Any = load_pretrained("AutoModelForCausalLM", model).float().eval()
        except (ModelError, EncoderError) as error:
            raise ScoreError(str(error)) from error
        tokens = (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id)
        self._begin = next((token for token in tokens if token is not None), None)
        if self._begin is None:
            raise ScoreError(f"the tokenizer of {model!r} has no token for the beginning or the end of a text")
        self._device = default_device()
        self._model.to(self._device)
        longest = getattr(self._model.config, "max_position_embeddings", None) or sys.maxsize
        self._room = min(max_length or sys.maxsize, longest - 1)
        self._batch_size = batch_size

    def __call__(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Mean negative log-likelihood per token in nats, the logarithm of the perplexity: float32 (n,), ≥ 0.

        Raises:
            ScoreError: for a text without a token, by its index.
        """
        tokens = [ids[: self._room] for ids in self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
        empty = next((index for index, ids in enumerate(tokens) if not ids), None)
        if empty is not None:
            raise ScoreError(f"text {empty} has no token, so it has no perplexity; leave it out")
        order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
        surprise = np.empty(len(tokens), np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), self._batch_size):
                batch = order[start : start + self._batch_size]
                surprise[batch] = self._surprise([tokens[index] for index in batch])
        return surprise

    def _surprise(self, tokens: list[list[int]]) -> NDArray[np.float32]:
        longest = max(map(len, tokens))
        # Padding stands behind, where no token that counts looks; what stands there doesn't matter.
        rows = [[self._begin, *ids, *[self._begin] * (longest - len(ids))] for ids in tokens]
        ids = torch.tensor(rows, device=self._device)
        length = torch.tensor([len(ids) for ids in tokens], device=self._device)
        within = torch.arange(longest, device=self._device) < length[:, None]
        seen = functional.pad(within, (1, 0), value=True).long()
        logits = self._model(input_ids=ids, attention_mask=seen).logits[:, :-1]
        loss = functional.cross_entropy(logits.transpose(1, 2).float(), ids[:, 1:], reduction="none")
        mean: NDArray[np.float32] = ((loss * within).sum(1) / length).cpu().numpy()
        return mean


class PerplexityBand:
    """Utility of a text by its log-perplexity: more is better within a band, and worse outside.

    What a model predicts well teaches it little, and what it predicts worst is mostly noise: Wenzek et al., "CCNet"
    (LREC 2020), keep what a reference model finds likely; Marion et al., "When Less is More" (arXiv:2309.04564), find
    the middle best. So utility is piecewise linear: 0 up to the lowest quantile, a half where the band begins, 1 where
    it ends, 0 from the highest quantile on.

    Args:
        train: (n,) log-perplexities of the train split, from which the quantiles are taken.
        quantiles: where utility is 0, ½, 1 and 0 again; increasing.

    Raises:
        ScoreError: when the train split's perplexities don't differ enough to tell those apart.
    """

    def __init__(self, train: NDArray[np.floating], quantiles: tuple[float, float, float, float]) -> None:
        self.edges = np.quantile(np.asarray(train, np.float64), quantiles)
        if not (np.diff(self.edges) > 0).all():
            raise ScoreError(
                f"a band of perplexity needs texts that differ, actual quantiles {quantiles}: {self.edges.tolist()}"
            )

    def __call__(self, surprise: NDArray[np.floating]) -> NDArray[np.float32]:
        """Utility, float32 (n,) in [0, 1]."""
        return np.interp(np.asarray(surprise, np.float64), self.edges, (0.0, 0.5, 1.0, 0.0)).astype(np.float32)

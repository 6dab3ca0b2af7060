"""How the next token of a sample is drawn: from random numbers of the sample's own."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from curation_gym.evaluation.language_model.judges import EvaluationError


class Draw:
    """A logits processor of transformers that leaves one token possible per row: the one that was drawn.

    Each row has a generator of its own, and a token is found by where a uniform number falls on the cumulative
    distribution, in the order of the vocabulary. So what is drawn doesn't depend on the other rows. A token outside the
    nucleus is drawn again: that gives the nucleus' renormalised distribution without sorting the vocabulary.

    Args:
        keys: (prompt, sample) of each row, which with ``seed`` decide its random numbers.
        temperature: > 0.
        top_p: in (0, 1]. A token is in the nucleus when the tokens that are more probable have less mass than this;
            equally probable ones are all in or all out.
        seed: ≥ 0.
    """

    def __init__(self, keys: Sequence[tuple[int, int]], temperature: float, top_p: float, seed: int) -> None:
        self._temperature, self._top_p = temperature, top_p
        self._generators = [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key)) for key in keys]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """(rows, vocabulary) logits → 0 for the token that was drawn, −∞ for all others.

        Raises:
            EvaluationError: when logits give no probabilities: one is NaN or ∞, or all of a row are −∞.
        """
        p = (scores.float() / self._temperature).softmax(-1)
        if not p.isfinite().all():
            raise EvaluationError("the next token can't be drawn: the model's logits are NaN or infinite")
        cumulative = p.double().cumsum(-1)
        tokens = torch.zeros(len(p), dtype=torch.long, device=p.device)
        rows = torch.arange(len(p), device=p.device)
        while len(rows):
            u = torch.tensor([self._generators[row].random() for row in rows.tolist()], dtype=torch.float64)
            at = u.to(p.device) * cumulative[rows, -1]
            drawn = torch.searchsorted(cumulative[rows], at[:, None], right=True).clamp_(max=p.shape[1] - 1)
            inside = self._in_nucleus(p[rows], drawn)
            tokens[rows[inside]] = drawn[inside, 0]
            rows = rows[~inside]
        return torch.full_like(scores, -torch.inf).scatter_(1, tokens[:, None], 0)

    def _in_nucleus(self, p: Tensor, drawn: Tensor) -> Tensor:
        if self._top_p == 1:  # a sum that rounds to 1 must not shut out the rarest tokens
            return torch.ones(len(p), dtype=torch.bool, device=p.device)
        return (p * (p > p.gather(1, drawn))).sum(1) < self._top_p

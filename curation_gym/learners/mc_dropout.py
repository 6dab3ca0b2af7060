"""Monte-Carlo dropout: one network, whose dropout stays on when it predicts."""

from typing import Literal

import torch
from numpy import intp
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from curation_gym.learners.base import derived_seed
from curation_gym.learners.mlp import MlpConfig, MlpLearner
from curation_gym.pools.pool import Pool


class McDropoutConfig(MlpConfig):
    """Monte-Carlo dropout (Gal and Ghahramani, ICML 2016) on the embeddings, see :class:`MlpConfig` for the rest.

    Attributes:
        members: M stochastic passes.
        dropout: share of hidden units that are dropped, in (0, 1), when it trains and when it predicts.
    """

    kind: Literal["mc_dropout"]
    members: int = Field(default=10, ge=1)
    dropout: float = Field(default=0.5, gt=0, lt=1)


class McDropoutLearner(MlpLearner):
    """The learner of :class:`McDropoutConfig`.

    A pass drops the same units for every sample, in every call: it is one draw of the weights from the approximate
    posterior, so each member is a function of the sample alone.
    """

    def __init__(self, config: McDropoutConfig, pool: Pool, classes: int, seed: int) -> None:
        super().__init__(config, pool, config.members, classes, seed)
        keep = 1 - config.dropout
        generator = torch.Generator().manual_seed(derived_seed(seed, 0, 0))
        kept = torch.full((config.members, config.layers, config.width), keep)
        self._masks = torch.bernoulli(kept, generator=generator) / keep

    def _train(self, rows: NDArray[intp], labels: Tensor, seed: int) -> None:
        self._anneal(rows, labels, seed)

    def _logits(self, rows: NDArray[intp]) -> Tensor:
        X = self._features(rows)
        return torch.stack([self._mlp(X, masks) for masks in self._masks])

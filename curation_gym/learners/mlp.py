"""A multilayer perceptron on a pool's embeddings: what mc_dropout.py and checkpoints.py train."""

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from curation_gym.learners.base import derived_seed
from curation_gym.learners.training import SgdConfig, SgdLearner, cosine, seeded, train
from curation_gym.pools.pool import Pool


class MlpConfig(SgdConfig):
    """What learners with a multilayer perceptron take, besides what all trained by gradient descent do.

    Attributes:
        layers: hidden layers.
        width: of each hidden layer.
        dropout: share of hidden units that are dropped, in [0, 1).
        steps: updates, however many labels there are, so that rounds cost the same.
    """

    layers: int = Field(default=1, ge=1)
    width: int = Field(default=256, ge=1)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    steps: int = Field(default=300, ge=1)
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0)


class Mlp(nn.Module):
    """Rectified hidden layers, each followed by dropout, then logits.

    Args:
        features: d.
        classes: K.
        config: layers, width and dropout.
    """

    def __init__(self, features: int, classes: int, config: MlpConfig) -> None:
        super().__init__()
        sizes = (features, *(config.width,) * config.layers)
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.head = nn.Linear(config.width, classes)
        self.dropout = config.dropout

    def forward(self, X: Tensor, masks: Tensor | None = None) -> Tensor:
        """(n, d) → (n, K). ``masks``, (layers, width), take the place of dropout."""
        for index, layer in enumerate(self.hidden):
            X = functional.relu(layer(X))
            X = functional.dropout(X, self.dropout, self.training) if masks is None else X * masks[index]
        logits: Tensor = self.head(X)
        return logits


class MlpLearner(SgdLearner):
    """A perceptron on embeddings, centred and divided by their root mean square over the whole pool."""

    def __init__(self, config: MlpConfig, pool: Pool, members: int, classes: int, seed: int) -> None:
        super().__init__(config, pool, members, classes, seed)
        self._config = config
        centre = pool.embeddings.mean(0, dtype=np.float64)
        square = np.einsum("nd,nd->d", pool.embeddings, pool.embeddings, dtype=np.float64) / len(pool)
        # One scale for all columns, so that those that hardly vary stay small; above 0 also when none does.
        self._scale = np.float32(np.sqrt(max((square - centre**2).mean(), 1e-12)))
        self._centre = centre.astype(np.float32)

    def _reset(self) -> None:
        with seeded(self._seed):
            self._mlp = Mlp(self._pool.dimension, self.classes, self._config)

    def _features(self, rows: NDArray[np.intp]) -> Tensor:
        return torch.from_numpy((self._pool.embeddings[rows] - self._centre) / self._scale)

    def _anneal(self, rows: NDArray[np.intp], labels: Tensor, seed: int, cycle: int = 0) -> None:
        """Train for ``steps`` while the learning rate falls from its highest to 0."""
        X = self._features(rows)
        train(
            self._mlp,
            lambda batch: functional.cross_entropy(self._mlp(X[batch]), labels[batch]),
            len(rows),
            self._config,
            steps=self._config.steps,
            schedule=cosine,
            seed=derived_seed(seed, cycle),
        )

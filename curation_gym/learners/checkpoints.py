"""A snapshot ensemble: one network, kept at the end of every cycle of its learning rate."""

from typing import Literal

import torch
from numpy import intp
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from curation_gym.learners.mlp import MlpConfig, MlpLearner
from curation_gym.pools.pool import Pool


class CheckpointsConfig(MlpConfig):
    """A snapshot ensemble (Huang et al., ICLR 2017) on the embeddings, see :class:`MlpConfig` for the rest.

    Attributes:
        members: M snapshots.
        average: successive snapshots whose weights are averaged into each member (Izmailov et al., UAI 2018). With
            one member that is stochastic weight averaging as published, with ``average`` 1 the snapshot ensemble.
        steps: updates per cycle, of which there are members · average. In a cycle the learning rate falls from its
            highest to 0 along half a cosine.
    """

    kind: Literal["checkpoints"]
    members: int = Field(default=5, ge=1)
    average: int = Field(default=1, ge=1)
    steps: int = Field(default=100, ge=1)


class CheckpointsLearner(MlpLearner):
    """The learner of :class:`CheckpointsConfig`. Member 0 is the last snapshot, or average, the longest trained."""

    def __init__(self, config: CheckpointsConfig, pool: Pool, classes: int, seed: int) -> None:
        super().__init__(config, pool, config.members, classes, seed)
        self._average = config.average
        self._kept: list[nn.Module] = []

    def _train(self, rows: NDArray[intp], labels: Tensor, seed: int) -> None:
        self._kept = []
        for member in range(self.members):
            mean = torch.optim.swa_utils.AveragedModel(self._mlp)
            for index in range(self._average):
                self._anneal(rows, labels, seed, cycle=member * self._average + index)
                mean.update_parameters(self._mlp)
            self._kept.insert(0, mean.module.eval())

    def _logits(self, rows: NDArray[intp]) -> Tensor:
        X = self._features(rows)
        return torch.stack([mlp(X) for mlp in self._kept])

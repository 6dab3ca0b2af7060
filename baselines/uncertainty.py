"""Classical active learning: one criterion on the whole pool, seen as an arm that is pulled all the time."""

from typing import ClassVar

from baselines.constant_arm import ConstantArm
from curation_gym.task import Task


class _WholePool(ConstantArm):
    criterion: ClassVar[str]

    def __init__(self, task: Task, *, seed: int | None = None) -> None:
        super().__init__(task, seed=seed, arm=f"all/{self.criterion}")


class Uncertainty(_WholePool):
    """Entropy of the single model (US). Raises PolicyError when the task has no arm ``all/entropy``."""

    criterion = "entropy"


class EnsembleEntropy(_WholePool):
    """Entropy of the ensemble's mean. Raises PolicyError when the task has no arm ``all/ensemble_entropy``."""

    criterion = "ensemble_entropy"


class Margin(_WholePool):
    """Margin of the ensemble's mean. Raises PolicyError when the task has no arm ``all/margin``."""

    criterion = "margin"

"""B2: a threshold on a classifier's score, and the strongest rule of that kind that also sees redundancy."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.base import SelectionRule
from curation_gym.policy import SearchSpace
from curation_gym.task import Observation, Task


class StaticFilter(SelectionRule):
    """Select what scores at least ``threshold``; the score is the task's weighted sum of signals."""

    search_space: ClassVar[SearchSpace] = {"threshold": (0.0, 1.0)}

    def __init__(self, task: Task, *, seed: int | None = None, threshold: float = 0.5) -> None:
        super().__init__(task, seed=seed)
        self.check_fraction(threshold=threshold)
        self.threshold = threshold

    def probabilities(self, observation: Observation) -> NDArray[np.bool_]:
        return self.task.score(observation) >= self.threshold


class NoveltyFilter(SelectionRule):
    """Select what has score × freshness × novelty^power of at least ``threshold``."""

    search_space: ClassVar[SearchSpace] = {"threshold": (0.01, 1.0, "log"), "power": (0.0, 2.0)}

    def __init__(self, task: Task, *, seed: int | None = None, threshold: float = 0.3, power: float = 0.0) -> None:
        super().__init__(task, seed=seed)
        self.check_fraction(threshold=threshold)
        self.threshold, self.power = threshold, power

    def probabilities(self, observation: Observation) -> NDArray[np.bool_]:
        read = self.task.read
        worth = (
            self.task.score(observation) * read(observation, "freshness") * read(observation, "novelty") ** self.power
        )
        return np.asarray(worth >= self.threshold)

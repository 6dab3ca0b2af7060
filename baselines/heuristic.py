"""B1: rules that someone would write down before seeing any data."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.base import SelectionRule
from curation_gym.policy import PolicyError, SearchSpace
from curation_gym.task import Observation, Task


class Heuristic(SelectionRule):
    """Select what has every signal of the task's score at least ``floor``, and isn't a near copy of what was selected.

    Where the pool has the signal ``block_list``, nothing is selected that the list has something against.

    Args:
        task: a Selection task.
        seed: not used.
        floor: smallest value of each signal.
        min_novelty: smallest novelty.
    """

    search_space: ClassVar[SearchSpace] = {"floor": (0.0, 1.0), "min_novelty": (0.0, 1.0)}

    def __init__(self, task: Task, *, seed: int | None = None, floor: float = 0.5, min_novelty: float = 0.1) -> None:
        super().__init__(task, seed=seed)
        self.check_fraction(floor=floor, min_novelty=min_novelty)
        self.floor, self.min_novelty = floor, min_novelty

    def probabilities(self, observation: Observation) -> NDArray[np.bool_]:
        good = self.task.read(observation, "novelty") >= self.min_novelty
        for name in self.task.score_weights:
            good &= self.task.read(observation, name) >= self.least(name)
        if "block_list" in self.task.item_features:
            good &= self.task.read(observation, "block_list") > 0
        return good

    def least(self, signal: str) -> float:
        """Smallest value of a signal that is selected."""
        return self.floor


class TextHeuristic(Heuristic):
    """The rules by which corpora of text are filtered: a block list, a floor on quality, a threshold of toxicity.

    Args:
        task: a Selection task that values safety.
        seed: not used.
        floor: smallest value of each signal but safety.
        min_novelty: smallest novelty.
        min_safety: 1 − the toxicity from which nothing is selected.

    Raises:
        PolicyError: for a task that doesn't value safety.
    """

    search_space: ClassVar[SearchSpace] = {**Heuristic.search_space, "min_safety": (0.0, 1.0)}

    def __init__(
        self,
        task: Task,
        *,
        seed: int | None = None,
        floor: float = 0.1,
        min_novelty: float = 0.1,
        min_safety: float = 0.5,
    ) -> None:
        super().__init__(task, seed=seed, floor=floor, min_novelty=min_novelty)
        self.check_fraction(min_safety=min_safety)
        if "safety" not in task.score_weights:
            raise PolicyError(f"TextHeuristic needs a task that values safety, {task.env_id} doesn't")
        self.min_safety = min_safety

    def least(self, signal: str) -> float:
        return self.min_safety if signal == "safety" else self.floor

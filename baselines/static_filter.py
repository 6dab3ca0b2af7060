"""B2: thresholds on what classifiers say, and the strongest rule of that kind that also sees redundancy."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.base import SelectionRule
from curation_gym.policy import PolicyError, SearchSpace
from curation_gym.task import Observation, Task


class StaticFilter(SelectionRule):
    """Select what scores at least ``threshold``.

    Args:
        task: a Selection task.
        seed: not used.
        threshold: in [0, 1], of the task's weighted sum of signals.

    Raises:
        PolicyError: for a threshold outside [0, 1].
    """

    search_space: ClassVar[SearchSpace] = {"threshold": (0.0, 1.0)}

    def __init__(self, task: Task, *, seed: int | None = None, threshold: float = 0.5) -> None:
        super().__init__(task, seed=seed)
        self.check_fraction(threshold=threshold)
        self.threshold = threshold

    def probabilities(self, observation: Observation) -> NDArray[np.bool_]:
        return self.task.score(observation) >= self.threshold


class ClassifierFilter(SelectionRule):
    """Select what a classifier of safety and one of alignment both pass, each by a threshold of its own.

    Args:
        task: a Selection task with the columns ``safety`` and ``alignment``.
        seed: not used.
        safety: threshold in [0, 1].
        alignment: threshold in [0, 1].

    Raises:
        PolicyError: for a threshold outside [0, 1], or a task without either signal.
    """

    search_space: ClassVar[SearchSpace] = {"safety": (0.0, 1.0), "alignment": (0.0, 1.0)}

    def __init__(self, task: Task, *, seed: int | None = None, safety: float = 0.5, alignment: float = 0.5) -> None:
        super().__init__(task, seed=seed)
        self.check_fraction(safety=safety, alignment=alignment)
        if missing := sorted({"safety", "alignment"} - set(task.item_features)):
            raise PolicyError(
                f"ClassifierFilter needs the signals safety and alignment, {task.env_id} lacks {missing[0]}"
            )
        self.safety, self.alignment = safety, alignment

    def probabilities(self, observation: Observation) -> NDArray[np.bool_]:
        read = self.task.read
        return (read(observation, "safety") >= self.safety) & (read(observation, "alignment") >= self.alignment)


class NoveltyFilter(SelectionRule):
    """Select what has score × freshness × novelty^power of at least ``threshold``.

    Args:
        task: a Selection task with the columns ``freshness`` and ``novelty``.
        seed: not used.
        threshold: in [0, 1].
        power: ≥ 0; at 0, novelty doesn't count.

    Raises:
        PolicyError: for a threshold outside [0, 1], or a power below 0.
    """

    search_space: ClassVar[SearchSpace] = {"threshold": (0.01, 1.0, "log"), "power": (0.0, 2.0)}

    def __init__(self, task: Task, *, seed: int | None = None, threshold: float = 0.3, power: float = 0.0) -> None:
        super().__init__(task, seed=seed)
        self.check_fraction(threshold=threshold)
        if not power >= 0:
            raise PolicyError(f"NoveltyFilter: power must be >= 0, actual value: {power}")
        self.threshold, self.power = threshold, power

    def probabilities(self, observation: Observation) -> NDArray[np.bool_]:
        read = self.task.read
        worth = (
            self.task.score(observation) * read(observation, "freshness") * read(observation, "novelty") ** self.power
        )
        return np.asarray(worth >= self.threshold)

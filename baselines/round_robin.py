"""Stratified allocation: an equal share of the budget for every arm."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.constant_arm import arm_action
from curation_gym.policy import PolicyError
from curation_gym.task import Observation, Task


class RoundRobin:
    """Pulls the arm with the fewest labels among those that aren't masked; the first of equals.

    Args:
        task: of Allocation.

    Raises:
        PolicyError: for a task of another family.
    """

    def __init__(self, task: Task, *, seed: int | None = None) -> None:
        if task.family != "allocation":
            raise PolicyError(f"RoundRobin needs arms: an Allocation task, not {task.env_id} ({task.family})")
        self.task = task

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """The next arm, for one observation or a batch."""
        labels = self.task.read(observation, "labels_spent")
        return arm_action(self.task, np.where(observation["mask"] > 0, labels, np.inf).argmin(-1)), state

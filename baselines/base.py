"""What the Selection baselines share: a rule that maps an observation to probabilities."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation_gym.policy import PolicyError
from curation_gym.task import Observation, Task


class SelectionRule:
    """A Selection policy without memory or randomness; the environment draws and trims to the budget.

    It selects candidates only: where an environment offers audits as items, a rule sees them as masked.

    Raises:
        PolicyError: for a task of another family, or one that sends ids.
    """

    def __init__(self, task: Task, *, seed: int | None = None) -> None:
        if task.family != "selection" or task.ids:
            raise PolicyError(
                f"{type(self).__name__} needs a Selection task with dense observations, not {task.env_id}"
            )
        self.task = task

    def price(self, observation: Observation) -> NDArray[np.float64]:
        """What each item costs of the budget, shape (..., n_items); 0 where masked."""
        mask = (observation["mask"] > 0).astype(np.float64)
        return mask * self.task.read(observation, "price") if "price" in self.task.item_features else mask

    def probabilities(self, observation: Observation) -> NDArray[Any]:
        """p_i or a boolean per item, shape (..., n_items)."""
        raise NotImplementedError

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        """p_i of shape (..., n_items), 0 where masked."""
        mask = observation["mask"]
        if "is_audit" in self.task.item_features:
            mask = mask * (self.task.read(observation, "is_audit") < 0.5)
        p = self.probabilities({**observation, "mask": mask})
        return np.where(mask > 0, p, 0).astype(np.float32), state

    def check_fraction(self, **values: float) -> None:
        """Raise PolicyError for a value outside [0, 1]."""
        for name, value in values.items():
            if not 0 <= value <= 1:
                raise PolicyError(f"{type(self).__name__}: {name} must be in [0, 1], actual value: {value}")

"""The uniformly random policy: the zero of every normalised score."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from baselines.constant_arm import ConstantArm
from curation_gym.policy import PolicyError
from curation_gym.task import Observation, Task

SAMPLING_ARM = "all/random"


class Random:
    """Chooses without looking, in every action form.

    Selection: every candidate with the same probability. Allocation: uniform over the arms that aren't masked; but
    where an arm is itself random sampling of the whole pool, that arm, because the others look. Weights of soft
    Allocation and of Mixture: uniform in [0, 1].

    Args:
        task: any task.
        seed: of the choices.
        rate: probability of a candidate, in (0, 1], for Selection; by default such that the budget lasts for
            the whole horizon.

    Raises:
        PolicyError: for a rate out of range, or on a task that isn't Selection.
    """

    def __init__(self, task: Task, *, seed: int | None = None, rate: float | None = None) -> None:
        if rate is not None and (task.family != "selection" or not 0 < rate <= 1):
            raise PolicyError(
                f"Random: rate must be in (0, 1] and is for selection only; actual: {rate} on {task.env_id}"
            )
        self.task = task
        self.rate = task.even_rate if rate is None else rate
        self.rng = np.random.default_rng(seed)
        self.sampling = ConstantArm(task, arm=SAMPLING_ARM) if SAMPLING_ARM in task.arms else None

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """An arm of shape (...,), or a number per item of shape (..., n_items); always random."""
        if self.sampling is not None:
            return self.sampling.predict(observation, state)
        mask = observation["mask"]
        draws = self.rng.random(mask.shape)
        space = self.task.action_space
        if isinstance(space, spaces.Discrete):
            return np.where(mask > 0, draws, -1.0).argmax(-1), state
        if isinstance(space, spaces.MultiBinary):
            return (draws < self.rate).astype(space.dtype) * mask, state
        if self.task.family == "selection":
            return np.full(mask.shape, self.rate, np.float32) * mask, state
        return draws.astype(np.float32) * mask, state

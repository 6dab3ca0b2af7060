"""One arm for the whole episode: what any single strategy is, seen as an allocation."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from curation_gym.policy import PolicyError
from curation_gym.task import Observation, Task


def arm_action(task: Task, arms: NDArray[np.integer]) -> NDArray[Any]:
    """The actions that spend a pull on ``arms`` (…,): the indices, or for a soft task one weight of 1
    each."""
    if isinstance(task.action_space, spaces.Box):
        return (np.arange(task.n_items) == arms[..., None]).astype(np.float32)
    return arms


class ConstantArm:
    """Pulls one arm only, also when it is exhausted.

    Args:
        task: of Allocation.
        arm: its name, or the beginning of a name that only one arm has.

    Raises:
        PolicyError: when no arm, or more than one, is meant.
    """

    def __init__(self, task: Task, *, seed: int | None = None, arm: str) -> None:
        named = [i for i, name in enumerate(task.arms) if name == arm]
        named = named or [i for i, name in enumerate(task.arms) if name.startswith(arm)]
        if len(named) != 1:
            known = ", ".join(task.arms) or "none"
            raise PolicyError(
                f"{task.env_id}: arm = {arm!r} must name exactly one arm, not {len(named)}; arms: {known}"
            )
        self.task = task
        self.arm = named[0]

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """The same arm, for one observation or a batch."""
        return arm_action(self.task, np.full(observation["mask"].shape[:-1], self.arm)), state

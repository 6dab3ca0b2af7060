"""A reference for AnnotationAllocation: tries every arm on a copy, with hidden truth, before it pulls one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.constant_arm import arm_action
from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.policy import PolicyError
from curation_gym.task import Observation, Task


class Lookahead:
    """Pulls the arm after which the learner's test accuracy is highest; the first of equals.

    One step ahead isn't optimal: a pull that pays later is never made, so a policy may beat it. A step costs
    n_arms retrainings.

    Raises:
        PolicyError: when ``predict`` comes before ``bind``, or for an environment of another kind.
    """

    def __init__(self, task: Task, *, seed: int | None = None) -> None:
        self.task = task
        self.core: AnnotationAllocationVectorEnv | None = None

    def bind(self, core: Any) -> None:
        """Show hidden truth: the batched core whose observations will be passed to ``predict``."""
        if not isinstance(core, AnnotationAllocationVectorEnv):
            raise PolicyError(f"Lookahead retrains the learner of AnnotationAllocation, not of {self.task.env_id}")
        self.core = core

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """The best arm of every row of the bound core."""
        if self.core is None:
            raise PolicyError("Lookahead: call bind(env) first")
        mask = observation["mask"]
        accuracy = np.full(mask.shape, -1.0)
        actions = arm_action(self.task, np.arange(self.task.n_items))
        for row, arm in np.argwhere(mask > 0):
            accuracy[row, arm] = self.core.lookahead(int(row), actions[arm])
        return arm_action(self.task, accuracy.argmax(-1)), state

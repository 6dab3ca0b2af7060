"""References: they see hidden truth through ``bind`` and give the optimum. Everything else is scored against them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation_gym.envs.rotting_arms import RottingArmsVectorEnv
from curation_gym.envs.selection import SelectionVectorEnv
from curation_gym.policy import PolicyError
from curation_gym.task import Observation, Task


class Hindsight:
    """Does what is optimal when everything is known, the future included.

    Selection: the hindsight optimum of the stream. RottingArms: the optimal counts, never idle, which is feasible
    because arms have release times and a common deadline.

    Raises:
        PolicyError: when the environment's optimum isn't known, or ``predict`` comes before ``bind``.
    """

    def __init__(self, task: Task, *, seed: int | None = None) -> None:
        self.task = task
        self.core: SelectionVectorEnv | RottingArmsVectorEnv | None = None

    def bind(self, core: Any) -> None:
        """Show hidden truth: the batched core whose observations will be passed to ``predict``."""
        if not isinstance(core, SelectionVectorEnv | RottingArmsVectorEnv):
            raise PolicyError(f"Hindsight knows no optimum of {self.task.env_id}")
        self.core = core
        self.plan = np.zeros(0)

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """The optimal action of every row of the bound core."""
        if self.core is None:
            raise PolicyError("Hindsight: call bind(env) first")
        step = np.rint(self.task.horizon - self.task.read(observation, "steps_left")).astype(np.int64)
        begun = np.flatnonzero(step == 0)
        if len(begun):
            plan = self.core.optimal_plan(begun)
            if len(self.plan) != self.core.num_envs:
                self.plan = np.zeros((self.core.num_envs, *plan.shape[1:]), plan.dtype)
            self.plan[begun] = plan
        if isinstance(self.core, SelectionVectorEnv):
            # A row whose stream has ended is about to restart; what it is told no longer matters.
            return self.plan[np.arange(len(step)), np.minimum(step, self.task.horizon - 1)].astype(np.float32), state
        left = np.where(observation["mask"] > 0, self.plan - np.rint(self.task.read(observation, "pulls")), -np.inf)
        return left.argmax(-1), state

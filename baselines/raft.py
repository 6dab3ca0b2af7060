"""B3: reward-ranked selection, and its form that also sees redundancy."""

import math

import numpy as np
from numpy.typing import NDArray

from baselines.base import SelectionRule
from curation_gym.policy import PolicyError
from curation_gym.task import Observation, Task


class Raft(SelectionRule):
    """Rank the candidates of a step by reward and select the best ``k``.

    The ranking step of RAFT (Dong et al., "RAFT: Reward rAnked FineTuning", TMLR 2023) on a pool instead of
    generations.

    Args:
        task: a Selection task.
        seed: not used.
        k: samples per step; by default the budget spread evenly over the steps, rounded up.
    """

    def __init__(self, task: Task, *, seed: int | None = None, k: int | None = None) -> None:
        super().__init__(task, seed=seed)
        self.k = math.ceil(task.budget / task.horizon) if k is None else k
        if not 1 <= self.k <= task.n_items:
            raise PolicyError(f"Raft: k must be in 1 … n_items = {task.n_items}, actual value: {k}")

    def worth(self, observation: Observation) -> NDArray[np.float64]:
        """What is ranked, shape (..., n_items)."""
        return self.task.score(observation)

    def probabilities(self, observation: Observation) -> NDArray[np.bool_]:
        worth = np.where(observation["mask"] > 0, self.worth(observation), -np.inf)
        rank = np.argsort(np.argsort(-worth, axis=-1, kind="stable"), axis=-1)
        return rank < self.k


class Greedy(Raft):
    """Rank the candidates of a step by score × freshness, the observable estimate of what each would add.

    What hindsight greedy does with the whole stream and the truth, done step by step with what can be seen.
    """

    def worth(self, observation: Observation) -> NDArray[np.float64]:
        return self.task.score(observation) * self.task.read(observation, "freshness")

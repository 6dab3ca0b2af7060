"""B3: reward-ranked selection."""

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

    def probabilities(self, observation: Observation) -> NDArray[np.bool_]:
        score = np.where(observation["mask"] > 0, self.task.score(observation), -np.inf)
        rank = np.argsort(np.argsort(-score, axis=-1, kind="stable"), axis=-1)
        return rank < self.k

"""An equal share of the budget for every domain, whatever its samples look like."""

import numpy as np
from numpy.typing import NDArray

from baselines.base import SelectionRule
from curation_gym.task import Observation, Task


class Stratified(SelectionRule):
    """Random selection whose expected cost is the same for every domain present in a step.

    p_i = budget / (horizon · D · c_d) for a candidate of a domain whose candidates cost c_d (their number, or their
    tokens) and D domains present; capped at 1. On a pool with one domain it is uniform random selection.
    """

    def __init__(self, task: Task, *, seed: int | None = None) -> None:
        super().__init__(task, seed=seed)
        self.domains = [name for name in task.item_features if name.startswith("domain=")]

    def probabilities(self, observation: Observation) -> NDArray[np.float64]:
        task, price = self.task, self.price(observation)
        per_step = task.budget / task.horizon
        if not self.domains:
            return np.minimum(per_step / np.maximum(price.sum(-1, keepdims=True), 1), 1.0) * (price > 0)
        member = np.stack([task.read(observation, name) for name in self.domains], axis=-1)
        cost = (member * price[..., None]).sum(-2, keepdims=True)
        present = (cost > 0).sum(-1)
        own = (member * cost).sum(-1)
        return np.minimum(per_step / np.maximum(present * own, 1), 1.0) * (price > 0)

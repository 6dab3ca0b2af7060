"""The hand-written answer to a biased classifier: subtract what audits say of its bias, then a threshold."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.base import SelectionRule
from curation_gym.policy import PolicyError, SearchSpace
from curation_gym.task import Observation, Task


class AuditCorrected(SelectionRule):
    """Select what scores at least ``threshold`` with the posterior mean of its domain's bias taken off its safety.

    Where audits are for sale, it buys one of every domain whose bias isn't known to within ``max_sd``.

    Args:
        task: BiasedSelection.
        seed: not used.
        threshold: of the corrected score, in [0, 1].
        max_sd: posterior standard deviation of a bias, in [0, 1], above which an audit is bought.

    Raises:
        PolicyError: for a task that tells nothing of a bias.
    """

    search_space: ClassVar[SearchSpace] = {"threshold": (0.0, 1.0), "max_sd": (0.005, 0.5, "log")}

    def __init__(self, task: Task, *, seed: int | None = None, threshold: float = 0.6, max_sd: float = 0.1) -> None:
        super().__init__(task, seed=seed)
        if "bias_mean" not in task.item_features:
            raise PolicyError(f"AuditCorrected needs the column 'bias_mean', which {task.env_id} doesn't have")
        self.check_fraction(threshold=threshold, max_sd=max_sd)
        self.threshold, self.max_sd = threshold, max_sd

    def probabilities(self, observation: Observation) -> NDArray[np.bool_]:
        correction = self.task.score_weights["safety"] * self.task.read(observation, "bias_mean")
        return np.asarray(self.task.score(observation) - correction >= self.threshold)

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        """p_i of shape (..., n_items), 0 where masked."""
        p, state = super().predict(observation, state, episode_start, deterministic)
        if "is_audit" in self.task.item_features:
            unsure = self.task.read(observation, "bias_sd") > self.max_sd
            audit = (self.task.read(observation, "is_audit") > 0.5) & (observation["mask"] > 0)
            p = np.where(audit, unsure, p).astype(np.float32)
        return p, state

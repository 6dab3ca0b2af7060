"""A bandit that predicts an arm's reward from its columns."""

from typing import ClassVar

import numpy as np

from agents.arm_policy import HistoryPolicy, Memory, Values
from curation_gym.policy import PolicyError, SearchSpace
from curation_gym.task import Observation, Task


class LinUCB(HistoryPolicy):
    """Linear upper confidence bound with one ridge regression for all arms.

    An arm's features x are 1, its item columns and the context columns, as observed (divided by their bounds). With
    A = λI + Σ x xᵀ and b = Σ r x over the pulls of the episode, θ = A⁻¹ b, the arm of the largest θ·x + α √(xᵀ A⁻¹ x)
    is pulled. Li, Chu, Langford and Schapire, "A Contextual-Bandit Approach to Personalized News Article
    Recommendation", WWW 2010, with parameters shared by the arms, as Chu, Li, Reyzin and Schapire (AISTATS 2011)
    analyse it. A⁻¹ is updated by the formula of Sherman and Morrison: O(n_items · d²) a step for d features.

    Args:
        task: a Discrete allocation task.
        seed: not used; the policy is deterministic.
        alpha: α, width of the bound in units of the reward, ≥ 0.
        ridge: λ, > 0.
        embeddings: whether the item columns include the embedding; its centroid moves slowly and makes d large.

    Raises:
        PolicyError: for another task or a hyperparameter out of range.
    """

    search_space: ClassVar[SearchSpace] = {"alpha": (1e-3, 2.0, "log"), "ridge": (1e-2, 1e2, "log")}

    def __init__(
        self,
        task: Task,
        *,
        seed: int | None = None,
        alpha: float = 1.0,
        ridge: float = 1.0,
        embeddings: bool = False,
    ) -> None:
        super().__init__(task, seed=seed)
        if not (alpha >= 0 and ridge > 0):
            raise PolicyError(f"LinUCB: alpha must be >= 0 and ridge > 0, actual values: {alpha}, {ridge}")
        self.alpha, self.ridge = alpha, ridge
        names = task.item_features
        self.columns = [i for i, name in enumerate(names) if embeddings or not name.startswith("embedding_")]

    def features(self, observation: Observation) -> Values:
        """x of each arm, shape (..., n_items, 1 + columns)."""
        item = observation["item"][..., self.columns].astype(np.float64)
        leading = item.shape[:-1]
        context = np.broadcast_to(observation["context"][..., None, :], (*leading, len(self.task.context)))
        return np.concatenate([np.ones((*leading, 1)), item, context], axis=-1)

    def nothing(self, shape: tuple[int, ...]) -> Memory:
        size = 1 + len(self.columns) + len(self.task.context)
        return {
            "inverse": np.broadcast_to(np.eye(size) / self.ridge, (*shape[:-1], size, size)),
            "moment": np.zeros((*shape[:-1], size)),
            "features": np.zeros((*shape, size)),
        }

    def update(self, memory: Memory, pulled: Values, paid: Values, observation: Observation) -> Memory:
        # The features that the arm had when it was pulled; 0 without a pull, which changes nothing below.
        x = np.einsum("...a,...ad->...d", pulled, memory["features"])
        v = np.einsum("...de,...e->...d", memory["inverse"], x)
        growth = 1 + np.einsum("...d,...d->...", x, v)
        return {
            "inverse": memory["inverse"] - v[..., :, None] * v[..., None, :] / growth[..., None, None],
            "moment": memory["moment"] + paid.sum(-1)[..., None] * x,
            "features": self.features(observation),
        }

    def index(self, memory: Memory) -> Values:
        x, inverse = memory["features"], memory["inverse"]
        theta = np.einsum("...de,...e->...d", inverse, memory["moment"])
        variance = np.einsum("...ad,...ad->...a", x @ inverse, x)
        bound: Values = np.einsum("...ad,...d->...a", x, theta) + self.alpha * np.sqrt(np.maximum(variance, 0))
        return bound

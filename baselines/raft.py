"""B3: reward-ranked selection, and its form that also sees redundancy."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from baselines.base import SelectionRule
from curation_gym.policy import PolicyError, SearchSpace
from curation_gym.ranking import cost_ahead
from curation_gym.task import Observation, Task

_ROUNDING = 1e-9  # of a share of a whole number of candidates


class Raft(SelectionRule):
    """Rank the candidates of a step by reward and select the best ``share`` of them.

    The ranking step of RAFT (Dong et al., "RAFT: Reward rAnked FineTuning", TMLR 2023) on a pool instead of
    generations.

    Args:
        task: a Selection task.
        seed: not used.
        share: of what the step's candidates cost together, in (0, 1], rounded up to a whole candidate; by default what
            spreads the budget evenly over the steps.
    """

    search_space: ClassVar[SearchSpace] = {"share": (0.01, 1.0, "log")}

    def __init__(self, task: Task, *, seed: int | None = None, share: float | None = None) -> None:
        super().__init__(task, seed=seed)
        if share is not None and not 0 < share <= 1:
            raise PolicyError(f"{type(self).__name__}: share must be in (0, 1], actual value: {share}")
        self.share = share

    def worth(self, observation: Observation) -> NDArray[np.float64]:
        """What is ranked, shape (..., n_items)."""
        return self.task.score(observation)

    def probabilities(self, observation: Observation) -> NDArray[np.bool_]:
        price = self.price(observation)
        ahead = cost_ahead(np.where(price > 0, self.worth(observation), -np.inf), price)
        return np.asarray(ahead < self._spend(observation, price) - _ROUNDING) & (price > 0)

    def _spend(self, observation: Observation, price: NDArray[np.float64]) -> NDArray[np.float64] | float:
        """What may be spent in a step on candidates of these prices, shape (..., 1)."""
        if self.share is None:
            return self.task.budget / self.task.horizon
        return self.share * price.sum(-1, keepdims=True)


class PacedRaft(Raft):
    """Rank as :class:`Raft` does, and spread what is left of the budget evenly over the steps left.

    So whole documents neither end the budget before the stream nor leave any of it.

    Args:
        task: a Selection task.
        seed: not used.
        share: see :class:`Raft`.
    """

    def _spend(self, observation: Observation, price: NDArray[np.float64]) -> NDArray[np.float64] | float:
        return super()._spend(observation, price) * self.task.read(observation, "pace")[..., None]


class RefinedRaft(PacedRaft):
    """Rank by the score of signals as audits and probes have corrected them so far, and keep the pace of the budget.

    Args:
        task: a Selection task with the column ``worth``.
        seed: not used.
        share: see :class:`Raft`.

    Raises:
        PolicyError: for a task without that column.
    """

    def __init__(self, task: Task, *, seed: int | None = None, share: float | None = None) -> None:
        super().__init__(task, seed=seed, share=share)
        if "worth" not in task.item_features:
            raise PolicyError(f"RefinedRaft needs the column 'worth', which {task.env_id} doesn't have")

    def worth(self, observation: Observation) -> NDArray[np.float64]:
        return self.task.read(observation, "worth")


class Calibrated(Raft):
    """Rank by a score in which safety counts only as far as its classifier can be trusted on average.

    The strongest static rule where that classifier is biased: what is known of its biases before the first audit.

    Args:
        task: a Selection task that values safety.
        seed: not used.
        share: see :class:`Raft`.
        trust: factor of safety's weight, in [0, 1].

    Raises:
        PolicyError: for a task that doesn't value safety.
    """

    search_space: ClassVar[SearchSpace] = {**Raft.search_space, "trust": (0.0, 1.0)}

    def __init__(self, task: Task, *, seed: int | None = None, share: float | None = None, trust: float = 0.5) -> None:
        super().__init__(task, seed=seed, share=share)
        self.check_fraction(trust=trust)
        if "safety" not in task.score_weights:
            raise PolicyError(f"Calibrated needs a task that values safety, {task.env_id} doesn't")
        self.trust = trust

    def worth(self, observation: Observation) -> NDArray[np.float64]:
        distrusted = (1 - self.trust) * self.task.weight(observation, "safety")
        return self.task.score(observation) - distrusted * self.task.read(observation, "safety")


class Greedy(Raft):
    """Rank the candidates of a step by score × freshness, the observable estimate of what each would add.

    What hindsight greedy does with the whole stream and the truth, done step by step with what can be seen.
    """

    def worth(self, observation: Observation) -> NDArray[np.float64]:
        return self.task.score(observation) * self.task.read(observation, "freshness")

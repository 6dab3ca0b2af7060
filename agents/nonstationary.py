"""UCB for rewards that change: what was long ago counts less, or not at all.

Garivier and Moulines, "On Upper-Confidence Bound Policies for Switching Bandit Problems", ALT 2011. Both are UCB1
on counts N_a and sums S_a of recent rewards: the arm of the largest S_a / N_a + c · √(ln Σ_b N_b / N_a) is pulled.
"""

from typing import ClassVar

import numpy as np

from agents.arm_policy import HistoryPolicy, Memory, Values, upper_bound
from curation_gym.policy import PolicyError, SearchSpace
from curation_gym.task import Observation, Task


class _RecentUCB(HistoryPolicy):
    """Memory holds ``count`` and ``total``, N_a and S_a, of shape (..., n_items)."""

    def __init__(self, task: Task, *, seed: int | None, c: float) -> None:
        super().__init__(task, seed=seed)
        if not c >= 0:
            raise PolicyError(f"{type(self).__name__}: c must be >= 0, actual value: {c}")
        self.c = c

    def index(self, memory: Memory) -> Values:
        count, total = memory["count"], memory["total"]
        return upper_bound(count, np.divide(total, count, out=np.zeros_like(total), where=count > 0), self.c)


class DiscountedUCB(_RecentUCB):
    """D-UCB: a reward of s pulls ago has weight γ^s.

    N_a = Σ_s γ^s 1{arm a was pulled s pulls ago}, S_a the same sum of its rewards. An arm is pulled first when it
    never was. γ = 1 is UCB1.

    Args:
        task: a Discrete allocation task.
        seed: not used; the policy is deterministic.
        gamma: γ in (0, 1]; by default 1 − 1/(4√T) with T the task's horizon, the paper's rate for one change.
        c: width of the bound in units of the reward, ≥ 0; the paper's 2B√ξ, which for ξ = 1/2 and rewards up to
            B = 1 is √2.

    Raises:
        PolicyError: for another task or a hyperparameter out of range.
    """

    search_space: ClassVar[SearchSpace] = {"gamma": (0.8, 1.0), "c": (1e-4, 2.0, "log")}

    def __init__(self, task: Task, *, seed: int | None = None, gamma: float | None = None, c: float = 2**0.5) -> None:
        super().__init__(task, seed=seed, c=c)
        self.gamma = 1 - 1 / (4 * task.horizon**0.5) if gamma is None else gamma
        if not 0 < self.gamma <= 1:
            raise PolicyError(f"DiscountedUCB: gamma must be in (0, 1], actual value: {gamma}")

    def nothing(self, shape: tuple[int, ...]) -> Memory:
        return {"count": np.zeros(shape), "total": np.zeros(shape)}

    def update(self, memory: Memory, pulled: Values, paid: Values, observation: Observation) -> Memory:
        keep = self.gamma ** pulled.sum(-1, keepdims=True)
        return {"count": keep * memory["count"] + pulled, "total": keep * memory["total"] + paid}


class SlidingWindowUCB(_RecentUCB):
    """SW-UCB: only the last τ pulls count.

    N_a is how many of them were of arm a, S_a what these paid. An arm is pulled first when none was.

    Args:
        task: a Discrete allocation task.
        seed: not used; the policy is deterministic.
        window: τ in pulls, ≥ 1; by default ⌈2√(T ln T)⌉ with T the task's horizon, the paper's rate for one change.
        c: width of the bound in units of the reward, ≥ 0; the paper's B√ξ, which for ξ = 1/2 and rewards up to
            B = 1 is √½.

    Raises:
        PolicyError: for another task or a hyperparameter out of range.
    """

    search_space: ClassVar[SearchSpace] = {"window": (5, 200, "int"), "c": (1e-4, 2.0, "log")}

    def __init__(self, task: Task, *, seed: int | None = None, window: int | None = None, c: float = 0.5**0.5) -> None:
        super().__init__(task, seed=seed, c=c)
        horizon = task.horizon
        self.window = max(1, int(np.ceil(2 * np.sqrt(horizon * np.log(horizon))))) if window is None else window
        if not (isinstance(self.window, int) and self.window >= 1):
            raise PolicyError(f"SlidingWindowUCB: window must be an integer >= 1, actual value: {window}")

    def nothing(self, shape: tuple[int, ...]) -> Memory:
        recent = (*shape[:-1], self.window)
        counts = {"count": np.zeros(shape), "total": np.zeros(shape)}
        return counts | {"arms": np.full(recent, -1), "rewards": np.zeros(recent)}

    def update(self, memory: Memory, pulled: Values, paid: Values, observation: Observation) -> Memory:
        some = pulled.any(-1, keepdims=True)

        def shifted(name: str, latest: Values) -> Values:
            recent = memory[name]
            return np.where(some, np.concatenate([recent[..., 1:], latest[..., None]], axis=-1), recent)

        arms, rewards = shifted("arms", pulled.argmax(-1)), shifted("rewards", paid.sum(-1))
        of = arms[..., None] == np.arange(pulled.shape[-1])
        total = np.einsum("...w,...wa->...a", rewards, of)
        return {"arms": arms, "rewards": rewards, "count": of.sum(-2).astype(np.float64), "total": total}

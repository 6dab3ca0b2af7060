"""UMC: cover the pool, then ask where the ensemble is torn, and let a bandit say which part of the pool is worth it."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from scipy.special import rel_entr

from curation_gym.policy import PolicyError
from curation_gym.task import Observation, Task

LATER = 0.25
"""Weight of every criterion but coverage, whose scores are 0 or at least ½: so of a subset it comes first where it has
any."""
WORTHLESS = 0.1
"""A subset whose labels can't be worth this share of the best one's isn't asked about, however torn the ensemble."""
BAND = 2
"""A subset's share of the labels is kept within this factor of its share of what models are to serve."""
_ALLOCATIONS = ("bandit", "equal", "stratified")
_TIER = 1e-2
"""Of a weight, for each step of urgency: what the ensemble is nearly sure of isn't asked for its subset's sake."""
_HALVINGS = 30
Values = NDArray[np.float64]


class UMC:
    """Soft arms, weighed by what a subset's labels were worth at best.

    Each subset of the pool has one weight θ, an upper confidence bound of the mean reward of its labels; all its arms
    share it, since what an annotator can say about a sample doesn't depend on why it was asked. With the reward
    ``answered`` that is a reward per label and nearly free of noise. Arms by ``coverage`` get θ, others θ/4, so that
    (with one other criterion, and among subsets of like worth) every cluster of the pool is asked about once before the
    ensemble's uncertainty decides.

    The bound is that of KL-UCB (Garivier and Cappé, COLT 2011): the largest q with N · kl(mean, q) ≤ ln t, for N
    labels of the subset among t. It is 1 as long as every label of a subset was worth 1, so that on a clean pool the
    criterion decides alone: where thousands of samples score nearly alike, the noise of Thompson's draws would decide
    among them. A bandit that owned whole pulls would have to learn from a hundred noisy gains; one that weighs samples
    learns from every label.

    Uncertainty follows what the pool has much of, and what models are to serve may be mixed otherwise. So once the pool
    is covered, subsets with less than half their target share of the labels come first, those with more than twice as
    much come last, and between the two nothing is changed: unlike a weight by importance, which would decide among
    scores that are nearly alike. A subset without a target share, such as junk that nobody would validate with,
    is never first or last.

    Args:
        task: AnnotationAllocation with soft actions; its rewards should lie in [0, 1], and are clipped.
        seed: not used; the policy is deterministic.
        allocation: what decides among subsets: the ``"bandit"``; ``"equal"``, every θ is 1, so the criteria and
            the band; ``"stratified"``, each pull is of the subset with the fewest labels; or the name of the only
            subset that is asked about. All but the first are what the bandit is to be compared with.
        band: factor ≥ 1 within which a subset's share of the labels is kept; None: no band.

    Raises:
        PolicyError: for a task of another kind, an unknown allocation, a band below 1.
    """

    def __init__(
        self, task: Task, *, seed: int | None = None, allocation: str = "bandit", band: float | None = BAND
    ) -> None:
        if task.family != "allocation" or not isinstance(task.action_space, spaces.Box):
            raise PolicyError(f"UMC needs soft arms: an allocation task with action='soft', {task.env_id} isn't one")
        names = [name.rsplit("/", 1) for name in task.arms]
        self._subsets, self._subset = np.unique([subset for subset, _ in names], return_inverse=True)
        if allocation not in (*_ALLOCATIONS, *self._subsets):
            known = ", ".join((*_ALLOCATIONS, *self._subsets))
            raise PolicyError(f"UMC: allocation must be one of {known}; actual value: {allocation!r}")
        if band is not None and not band >= 1:
            raise PolicyError(f"UMC: band must be >= 1, or None for no band; actual value: {band}")
        self.allocation, self.band = allocation, np.inf if band is None else band
        self._members = np.eye(self._subset.max() + 1)[self._subset]  # (arms, subsets)
        self._covers = np.array([criterion == "coverage" for _, criterion in names])
        self._scale = np.where(self._covers, 1.0, LATER)
        self.task = task

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], Any]:
        """Weights (…, n_items)."""
        labels = np.rint(self.task.read(observation, "labels_spent"))
        reward = np.clip(self.task.read(observation, "mean_reward"), 0, 1)
        spent, paid = labels @ self._members, (labels * reward) @ self._members
        offered = observation["mask"] > 0
        theta = self._theta(paid, spent, offered @ self._members > 0)[..., self._subset] * offered
        weights = np.where(theta < WORTHLESS * theta.max(-1, keepdims=True), 0, theta * self._scale)
        target = self.task.read(observation, "target_share")
        share = (spent / np.maximum(spent.sum(-1, keepdims=True), 1))[..., self._subset]
        last = np.where((share / self.band > target) & (target > 0), _TIER**2, _TIER)
        urgency = np.where(self._covers | (share < target / self.band), 1, last)
        return (weights * urgency).astype(np.float32), state

    def _theta(self, paid: Values, spent: Values, offered: NDArray[np.bool_]) -> Values:
        """What each subset's labels may be worth; all of shape (…, subsets)."""
        match self.allocation:
            case "bandit":
                return kl_upper_bound(paid, spent)
            case "equal":
                return np.ones_like(spent)
            case "stratified":
                fewest = np.where(offered, spent, np.inf).argmin(-1)
                return (np.arange(len(self._subsets)) == fewest[..., None]).astype(np.float64)
            case name:
                return np.broadcast_to((self._subsets == name).astype(np.float64), spent.shape)


def kl_upper_bound(paid: Values, labels: Values) -> Values:
    """The largest q in [mean, 1] with labels · kl(mean, q) ≤ ln Σ labels, by bisection; 1 without labels.

    Args:
        paid: (…, subsets), sums of rewards in [0, 1].
        labels: (…, subsets), how many there were.
    """
    mean = np.divide(paid, labels, out=np.ones_like(labels), where=labels > 0)
    room = np.log(np.maximum(labels.sum(-1, keepdims=True), 1)) / np.maximum(labels, 1)
    low, high = mean, np.ones_like(mean)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        within = rel_entr(mean, middle) + rel_entr(1 - mean, 1 - middle) <= room
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    return np.where(mean < 1, high, 1.0)

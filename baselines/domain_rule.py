"""Shares of the budget for every domain: equal ones, and with a threshold, or people's labels, of what may be taken."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from baselines.base import SelectionRule
from curation_gym.policy import PolicyError, SearchSpace
from curation_gym.pools.corpus_sources import CLEAN, human_labels
from curation_gym.task import Observation, Task

MOST_CATCHING_UP = 3.0


class DomainShares(SelectionRule):
    """Random ones of every domain, up to its share of the budget.

    A step's budget is what is left divided by the steps left, so what one step lacks the next ones take; what a domain
    lacks in a step the others take, by their shares. Where the budget is in tokens, so are the shares.

    Args:
        task: a Selection task.
        seed: not used.
        hyperparameters: of :meth:`search_space`; ``share_DOMAIN`` ≥ 0, by default 1, for any domain, which are divided
            by their sum.

    Raises:
        PolicyError: for a hyperparameter that the class or a domain that the task hasn't, or shares that are below 0 or
            all 0.
    """

    def __init__(self, task: Task, *, seed: int | None = None, **hyperparameters: float) -> None:
        super().__init__(task, seed=seed)
        self.domains = domains_of(task)
        unknown = sorted(set(hyperparameters) - set(self.search_space(task)))
        if unknown:
            raise PolicyError(f"{type(self).__name__}: unknown {unknown[0]!r}; the domains are {self.domains}")
        shares = np.array([hyperparameters.get(f"share_{name}", 1.0) for name in self.domains])
        if not ((shares >= 0).all() and shares.sum() > 0):
            raise PolicyError(f"{type(self).__name__}: shares must be >= 0, not all 0, actual values: {shares}")
        self.shares = shares / shares.sum()

    @classmethod
    def search_space(cls, task: Task) -> SearchSpace:
        """A share for each of the task's domains."""
        return {f"share_{name}": (0.02, 1.0) for name in domains_of(task)}

    def good(self, observation: Observation, domain: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which candidates may be selected, shape (..., n_items)."""
        return np.asarray(observation["mask"] > 0)

    def probabilities(self, observation: Observation) -> NDArray[np.float64]:
        task = self.task
        if len(self.domains) > 1:
            one_hot = np.stack([task.read(observation, f"domain={name}") for name in self.domains], axis=-1)
        else:
            one_hot = np.ones((*observation["mask"].shape, 1))
        domain = one_hot.argmax(-1)
        good = self.good(observation, domain)
        offered = ((self.price(observation) * good)[..., None] * one_hot).sum(-2)
        pace = np.minimum(task.read(observation, "pace"), MOST_CATCHING_UP)[..., None]
        rate = poured(task.budget / task.horizon * pace, self.shares, offered) / np.maximum(offered, 1e-9)
        return np.asarray(np.take_along_axis(rate, domain, axis=-1) * good)


class EqualShares(DomainShares):
    """Stratified: random ones of every domain, each up to the same share of the budget, all of which is spent.

    On a pool with one domain it is random selection at an even pace.

    Args:
        task: a Selection task.
        seed: not used.
    """

    @classmethod
    def search_space(cls, task: Task) -> SearchSpace:
        """Nothing."""
        return {}


class DomainRule(DomainShares):
    """The rule that people write per community: of every domain, those that are safe enough for it, up to its share.

    Args:
        task: a Selection task with the column ``signal``.
        seed: not used.
        signal: what the thresholds are of.
        hyperparameters: ``threshold_DOMAIN`` in [0, 1], by default 0.5, and ``share_DOMAIN``, see
            :class:`DomainShares`.

    Raises:
        PolicyError: also for a task without the column, and for thresholds outside [0, 1].
    """

    def __init__(
        self, task: Task, *, seed: int | None = None, signal: str = "safety", **hyperparameters: float
    ) -> None:
        super().__init__(task, seed=seed, **hyperparameters)
        if signal not in task.item_features:
            raise PolicyError(f"{type(self).__name__} needs the column {signal!r}, which {task.env_id} doesn't have")
        self.signal = signal
        thresholds = {f"threshold_{name}": hyperparameters.get(f"threshold_{name}", 0.5) for name in self.domains}
        self.check_fraction(**thresholds)
        self.thresholds = np.array(list(thresholds.values()))

    @classmethod
    def search_space(cls, task: Task) -> SearchSpace:
        """A threshold and a share for each of the task's domains."""
        return {f"threshold_{name}": (0.0, 1.0) for name in domains_of(task)} | super().search_space(task)

    def good(self, observation: Observation, domain: NDArray[np.intp]) -> NDArray[np.bool_]:
        return np.asarray(self.task.read(observation, self.signal) >= self.thresholds[domain])


class LabelClean(DomainShares):
    """A reference: what people called clean, in shares that may be tuned. It reads the hidden labels of candidates.

    Args:
        task: a Selection task.
        seed: not used.
        hyperparameters: ``share_DOMAIN``, see :class:`DomainShares`.
    """

    def __init__(self, task: Task, *, seed: int | None = None, **hyperparameters: float) -> None:
        super().__init__(task, seed=seed, **hyperparameters)
        self.core: Any = None

    def bind(self, core: Any) -> None:
        """Show hidden truth: the batched core whose observations will be passed to ``predict``.

        Raises:
            PolicyError: for a core whose pool has other labels than what people called clean or toxic.
        """
        if human_labels(core.pool) is None:
            classes = ", ".join(core.pool.class_names) or "none"
            raise PolicyError(f"LabelClean needs what people called clean, the classes of this pool are: {classes}")
        self.core = core

    def good(self, observation: Observation, domain: NDArray[np.intp]) -> NDArray[np.bool_]:
        if self.core is None:
            raise PolicyError("LabelClean: call bind(env) first")
        return np.asarray(self.core.pool.hidden["label"][self.core.shown_ids()] == CLEAN)


def poured(total: NDArray[np.float64], shares: NDArray[np.float64], room: NDArray[np.float64]) -> NDArray[np.float64]:
    """``total``, (..., 1), divided by ``shares``, (domains,); what exceeds a domain's room goes to the others.

    Args:
        total, shares: at least 0; a domain whose share is 0 gets nothing.
        room: (..., domains), the most that each can have.

    Returns:
        (..., domains).
    """
    got = np.zeros_like(room)
    for _ in shares:  # every round fills a domain, or is the last in which anything is poured
        open_shares = shares * (got < room)
        left = total - got.sum(-1, keepdims=True)
        got = np.minimum(got + left * open_shares / np.maximum(open_shares.sum(-1, keepdims=True), 1e-9), room)
    return got


def domains_of(task: Task) -> list[str]:
    """Names of a task's domains; one without a name where there is only one."""
    return [name.partition("=")[2] for name in task.item_features if name.startswith("domain=")] or ["all"]

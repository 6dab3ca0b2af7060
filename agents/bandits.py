"""Bandits for Allocation tasks. All they need of the past is in the arm columns, so they keep no state."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from agents.arm_policy import ArmPolicy, upper_bound
from curation_gym.policy import PolicyError, SearchSpace
from curation_gym.task import Observation, Task


class _IndexPolicy(ArmPolicy):
    """An index that is a function of the observation."""

    def index(self, observation: Observation) -> NDArray[np.float64]:
        """The value of each arm, shape (..., n_items); the largest is pulled."""
        raise NotImplementedError

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], Any]:
        """Arms of shape (...,); the lowest number wins a tie."""
        return self.largest(self.index(observation), observation), state

    def _counts(self, observation: Observation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pulls and mean reward of each arm."""
        return np.rint(self.task.read(observation, "pulls")), self.task.read(observation, "mean_reward")


class UCB1(_IndexPolicy):
    """Upper confidence bound: mean_a + c · √(ln t / N_a), an arm never pulled first.

    A pure function of the arm columns. Auer, Cesa-Bianchi and Fischer, "Finite-time Analysis of the Multiarmed
    Bandit Problem", Machine Learning 47 (2002); theirs is c = √2 on rewards in [0, 1].

    Args:
        task: a Discrete allocation task.
        seed: not used; the policy is deterministic.
        c: width of the bound in units of the reward, ≥ 0.
    """

    search_space: ClassVar[SearchSpace] = {"c": (1e-4, 2.0, "log")}

    def __init__(self, task: Task, *, seed: int | None = None, c: float = 2**0.5) -> None:
        super().__init__(task, seed=seed)
        if not c >= 0:
            raise PolicyError(f"UCB1: c must be >= 0, actual value: {c}")
        self.c = c

    def index(self, observation: Observation) -> NDArray[np.float64]:
        return upper_bound(*self._counts(observation), self.c)


class ThompsonGaussian(_IndexPolicy):
    """Thompson sampling with a Gaussian posterior of each arm's mean.

    With prior N(m₀, s₀²) and noise of variance s², after n pulls of mean x̄ the posterior has precision
    1/s₀² + n/s² and mean (m₀/s₀² + n x̄/s²) / precision. Agrawal and Goyal, "Further Optimal Regret Bounds for
    Thompson Sampling", AISTATS 2013.

    Args:
        task: a Discrete allocation task.
        seed: of the samples.
        scale: s, standard deviation of one reward, > 0.
        prior_mean: m₀.
        prior_scale: s₀, > 0.
    """

    search_space: ClassVar[SearchSpace] = {"scale": (1e-4, 1.0, "log"), "prior_mean": (0.0, 1.0)}

    def __init__(
        self,
        task: Task,
        *,
        seed: int | None = None,
        scale: float = 0.5,
        prior_mean: float = 0.5,
        prior_scale: float = 1.0,
    ) -> None:
        super().__init__(task, seed=seed)
        if not (scale > 0 and prior_scale > 0):
            raise PolicyError(f"ThompsonGaussian: scale and prior_scale must be > 0, actual: {scale}, {prior_scale}")
        self.scale, self.prior_mean, self.prior_scale = scale, prior_mean, prior_scale

    def index(self, observation: Observation) -> NDArray[np.float64]:
        pulls, mean = self._counts(observation)
        prior = 1 / self.prior_scale**2
        precision = prior + pulls / self.scale**2
        centre = (self.prior_mean * prior + mean * pulls / self.scale**2) / precision
        return centre + self.rng.standard_normal(mean.shape) / np.sqrt(precision)


class ThompsonBeta(_IndexPolicy):
    """Thompson sampling with a Beta(1, 1) prior: Beta(1 + S, 1 + F) with S = N · mean, F = N − S.

    Exact for rewards of 0 and 1; rewards between count as fractions of a success. Agrawal and Goyal, "Analysis of
    Thompson Sampling for the Multi-armed Bandit Problem", COLT 2012. A mean reward outside [0, 1] is
    clipped.

    Args:
        task: a Discrete allocation task.
        seed: of the samples.
    """

    def index(self, observation: Observation) -> NDArray[np.float64]:
        pulls, mean = self._counts(observation)
        successes = np.clip(mean, 0, 1) * pulls
        return self.rng.beta(1 + successes, 1 + pulls - successes)

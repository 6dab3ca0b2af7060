"""Data Valuation using Reinforcement Learning: a sample's value is its probability of being selected."""

from typing import Any, ClassVar

import numpy as np
import torch as th
from pydantic import Field
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.distributions import BernoulliDistribution
from stable_baselines3.common.vec_env import VecEnv

from agents.item_agent import ItemHyperparameters
from agents.reinforce import REINFORCE, ReinforceAgent
from curation_gym.policy import PolicyError
from curation_gym.task import Task


class DVRL(REINFORCE):
    """REINFORCE whose reward is an episode's performance minus the moving average of earlier ones.

    Yoon, Arik and Pfister, "Data Valuation using Reinforcement Learning" (ICML 2020). Every choice of an episode gets
    the same credit: the performance of what was selected in the end, here the undiscounted return. The moving average
    δ ← (1 − 1/T) δ + performance / T stands in for a critic. Where the mean selection probability leaves
    [1 − threshold, threshold], the distance is punished, so that exploring never ends.

    Args:
        policy, env, learning_rate, n_steps, kwargs: see :class:`REINFORCE`; actions must be MultiBinary.
        window: T, ≥ 1, in rollouts.
        threshold: in [0.5, 1].
        exploration: weight of the distance, ≥ 0.
    """

    CHECKPOINTED = ("moving_average",)

    def __init__(
        self, policy: Any, env: VecEnv, *, window: int, threshold: float, exploration: float, **kwargs: Any
    ) -> None:
        super().__init__(policy, env, vf_coef=0.0, **kwargs)
        self.window, self.threshold, self.exploration = window, threshold, exploration
        self.moving_average: float | None = None

    def _credit(self, buffer: RolloutBuffer, used: np.ndarray) -> None:
        performance = np.where(used, buffer.rewards, 0).sum(0)
        average = performance.mean() if self.moving_average is None else self.moving_average
        buffer.advantages[:] = np.where(used, performance - average, 0)
        buffer.returns[:] = used  # without a critic they have no other use
        self.moving_average = float(average + (performance.mean() - average) / self.window)
        self.logger.record("train/moving_average", self.moving_average)

    def _loss(self, batch: Any) -> th.Tensor:
        distribution = self.policy.get_distribution(batch.observations)
        assert isinstance(distribution, BernoulliDistribution)
        log_prob = distribution.log_prob(batch.actions)
        used = batch.returns > 0  # a step of a cut episode has no credit, and isn't punished either
        mask = batch.observations["mask"] * used[:, None]
        mean = (distribution.distribution.probs * mask).sum() / mask.sum().clamp(min=1)
        outside = th.relu(mean - self.threshold) + th.relu(1 - self.threshold - mean)
        return -(batch.advantages * log_prob).sum() + self.exploration * outside * used.sum()


class DVRLHyperparameters(ItemHyperparameters):
    """What a scenario may set under ``agents.dvrl.hyperparameters``.

    Attributes:
        batch_size: steps held in memory at once; the mean selection probability is that of a batch.
        window, threshold, exploration: see :class:`DVRL`.
    """

    learning_rate: float = Field(5e-3, gt=0)
    gamma: float = Field(1.0, ge=0, le=1)
    batch_size: int = Field(4096, ge=1)
    window: int = Field(20, ge=1)
    threshold: float = Field(0.95, ge=0.5, le=1)
    exploration: float = Field(10.0, ge=0)


class DVRLAgent(ReinforceAgent):
    """DVRL on a Selection task, see :class:`DVRL`; its value network is the item network.

    Raises:
        PolicyError: for a task of another family.
    """

    name = "dvrl"
    hyperparameters: ClassVar[type[ItemHyperparameters]] = DVRLHyperparameters
    algorithm = DVRL

    def __init__(self, task: Task, *, seed: int | None = None) -> None:
        if task.family != "selection":
            raise PolicyError(f"DVRL selects samples: it needs a Selection task, not {task.env_id} ({task.family})")
        super().__init__(task, seed=seed)

"""REINFORCE with a learned baseline on the item network: the plainest policy gradient."""

from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.item_agent import ItemAgent, ItemHyperparameters


class REINFORCE(OnPolicyAlgorithm):
    """Monte-Carlo policy gradient: one gradient step per rollout, one whole episode of every sub-environment.

    Williams, "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning", Machine
    Learning 8 (1992). The baseline is the value that the policy's critic predicts; returns are never bootstrapped.

    Args:
        policy, env, learning_rate, gamma, ent_coef, vf_coef, max_grad_norm, kwargs: as in Stable-Baselines3. Where
            spending a budget at all pays before spending it well does, the entropy's weight (Williams and Peng,
            Connection Science 3, 1991) keeps choices from becoming certain, for those have no gradient.
        n_steps: the most steps that an episode takes.
        batch_size: steps that are held in memory at once; gradients of a rollout are summed over its batches.
    """

    def __init__(
        self,
        policy: Any,
        env: VecEnv,
        *,
        learning_rate: Any,
        n_steps: int,
        batch_size: int = 4096,
        gamma: float = 1.0,
        ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            gamma=gamma,
            gae_lambda=1.0,  # no step of a finished episode is bootstrapped then
            ent_coef=ent_coef,
            vf_coef=vf_coef,
            max_grad_norm=max_grad_norm,
            use_sde=False,
            sde_sample_freq=-1,
            **kwargs,
        )
        self.batch_size = batch_size

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """One episode of every sub-environment, and what they begin of the next, which :meth:`train` leaves out.

        Every rollout begins with every episode. Were episodes cut and the cut ones left out, short ones would count
        too much.
        """
        going_on = super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        # At the end, not at the beginning: checkpoints are written between the two.
        self._last_obs = env.reset()  # type: ignore[assignment]
        self._last_episode_starts = np.ones(env.num_envs, np.bool_)
        return going_on

    def train(self) -> None:
        """One step along the gradient of all the episodes."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        used = np.cumsum(self.rollout_buffer.episode_starts, axis=0) <= 1
        self._credit(self.rollout_buffer, used)
        self.policy.optimizer.zero_grad()
        total = 0.0
        for batch in self.rollout_buffer.get(self.batch_size):
            loss = self._loss(batch) / used.sum()
            loss.backward()
            total += loss.item()
        th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()
        self._n_updates += 1
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", total)

    def _credit(self, buffer: RolloutBuffer, used: np.ndarray) -> None:
        """Set the advantage of every step; without one, and with its value as target, a step has no gradient.

        Args:
            buffer: rewards, values, advantages and returns of shape (n_steps, n_envs).
            used: of that shape, True in the first episode of each sub-environment.
        """
        buffer.advantages[~used] = 0
        buffer.returns[~used] = buffer.values[~used]

    def _loss(self, batch: Any) -> th.Tensor:
        """Summed over the steps of a batch."""
        discrete = isinstance(self.action_space, spaces.Discrete)
        actions = batch.actions.long().flatten() if discrete else batch.actions
        values, log_prob, entropy = self.policy.evaluate_actions(batch.observations, actions)
        if entropy is None:  # no closed form: estimated by what was drawn, as PPO does
            entropy = -log_prob
        # What a step of a cut episode chose has no credit, so its entropy has none either.
        entropy_of_used = (entropy * (batch.advantages != 0)).sum()
        error = batch.returns - values.flatten()
        gain = (batch.advantages * log_prob).sum() + self.ent_coef * entropy_of_used
        return -gain + self.vf_coef * (error**2).sum()


class ReinforceHyperparameters(ItemHyperparameters):
    """What a scenario may set under ``agents.reinforce.hyperparameters``.

    Attributes:
        batch_size: steps held in memory at once; changes nothing but rounding.
        ent_coef: weight of the entropy.
        vf_coef: weight of the baseline's squared error.
    """

    learning_rate: float = Field(5e-3, gt=0)
    gamma: float = Field(1.0, ge=0, le=1)
    batch_size: int = Field(4096, ge=1)
    ent_coef: float = Field(0.03, ge=0)
    vf_coef: float = Field(0.5, ge=0)


class ReinforceAgent(ItemAgent):
    """REINFORCE with a learned baseline, see :class:`REINFORCE`; a rollout is as long as the task's horizon."""

    name = "reinforce"
    hyperparameters: ClassVar[type[ItemHyperparameters]] = ReinforceHyperparameters
    algorithm = REINFORCE

    def of_task(self) -> dict[str, Any]:
        return {"n_steps": self.task.horizon}

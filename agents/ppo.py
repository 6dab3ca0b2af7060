"""PPO with the shared item network: the suite's learned policy."""

from typing import ClassVar

from pydantic import Field
from stable_baselines3 import PPO

from agents.item_agent import ItemAgent, ItemHyperparameters


class PPOHyperparameters(ItemHyperparameters):
    """What a scenario may set under ``agents.ppo.hyperparameters``; settled on tuning seeds of CoverageSelection-v0.

    Attributes:
        n_steps: per sub-environment and rollout.
        batch_size: of a minibatch.
        n_epochs: passes over a rollout.
        gae_lambda, clip_range, ent_coef, vf_coef: as in Stable-Baselines3.
    """

    n_steps: int = Field(32, ge=2)
    batch_size: int = Field(512, ge=2)
    n_epochs: int = Field(8, ge=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    clip_range: float = Field(0.2, gt=0)
    ent_coef: float = Field(0.0, ge=0)
    vf_coef: float = Field(0.5, ge=0)


class PPOAgent(ItemAgent):
    """Stable-Baselines3's PPO on the item network: Schulman et al., "Proximal Policy Optimization Algorithms", 2017."""

    name = "ppo"
    hyperparameters: ClassVar[type[ItemHyperparameters]] = PPOHyperparameters
    algorithm = PPO


class PPOBoxAgent(PPOAgent):
    """PPO whose actions are the selection probabilities p_i themselves, as DynACurE proposes; the environment draws."""

    binary = False

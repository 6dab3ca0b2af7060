"""PPO with the shared item network: the suite's learned policy."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from pydantic import Field
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

from agents.checkpoint import Checkpoint, restore, write
from curation_gym.config import Config, validated
from curation_gym.envs.base import CurationVectorEnv
from curation_gym.envs.sb3 import SB3VecEnv
from curation_gym.networks import ItemPolicy, action_form
from curation_gym.policy import PolicyError
from curation_gym.pools.pool import Pool
from curation_gym.saved_policy import SavedPolicy
from curation_gym.scenario import Scenario, Training
from curation_gym.seeding import seeds_for
from curation_gym.task import Observation, Task


class PPOHyperparameters(Config):
    """What a scenario may set under ``agents.ppo.hyperparameters``; settled on tuning seeds of CoverageSelection-v0.

    Attributes:
        n_steps: per sub-environment and rollout.
        batch_size: of a minibatch.
        n_epochs: passes over a rollout.
        learning_rate: at the start; it falls linearly to a twentieth.
        gamma, gae_lambda, clip_range, ent_coef, vf_coef, max_grad_norm: as in Stable-Baselines3.
        width: of the network's layers.
        alike: whether a candidate sees what resembles it in the same step, see :class:`ItemNetwork`.
        initial_log_std: of the logit-normal, for Box actions.
        temperature: at which the trained policy draws; 1 as in training, 0 deterministic.
    """

    n_steps: int = Field(32, ge=2)
    batch_size: int = Field(512, ge=2)
    n_epochs: int = Field(8, ge=1)
    learning_rate: float = Field(7e-4, gt=0)
    gamma: float = Field(0.995, ge=0, le=1)
    gae_lambda: float = Field(0.95, ge=0, le=1)
    clip_range: float = Field(0.2, gt=0)
    ent_coef: float = Field(0.0, ge=0)
    vf_coef: float = Field(0.5, ge=0)
    max_grad_norm: float = Field(0.5, gt=0)
    width: int = Field(64, ge=1)
    alike: bool = False
    initial_log_std: float = 0.0
    temperature: float = Field(1.0, ge=0)


class PPOAgent:
    """Stable-Baselines3's PPO on the item network, with exact resume.

    Schulman et al., "Proximal Policy Optimization Algorithms", 2017. The learning rate falls linearly to a
    twentieth. Rewards are divided by a running estimate of the return's scale while training (``VecNormalize``);
    what is reported is raw. In Selection the policy draws which candidates are selected (``MultiBinary``).

    Args:
        task: any task whose action space the item network serves.
        seed: of the actions that :meth:`predict` draws.
    """

    binary: ClassVar[bool] = True

    def __init__(self, task: Task, *, seed: int | None = None) -> None:
        action_form(task.action_space)
        self.task, self.seed = task, seed
        self.policy: SavedPolicy | None = None

    def learn(
        self,
        scenario: Scenario,
        seed: int = 0,
        out: Path | None = None,
        *,
        total_timesteps: int | None = None,
        callbacks: Sequence[BaseCallback] = (),
    ) -> "PPOAgent":
        """Train in the scenario's training environments.

        Args:
            scenario: ``agents.ppo`` gives timesteps, sub-environments and hyperparameters.
            seed: of the learner; the sub-environments' seeds are derived from it.
            out: a directory for ``checkpoint.pt`` and ``learning_curve.json``; training continues from the
                checkpoint when it exists, to the same tensors as if it had never stopped. None: nothing is written.
            total_timesteps: instead of the scenario's.
            callbacks: further Stable-Baselines3 callbacks.

        Raises:
            PolicyError: when the scenario has no settings for PPO.
            ConfigError: for a hyperparameter that doesn't exist or is out of range.
            CheckpointError: when the checkpoint doesn't fit.
        """
        settings = self.settings(scenario)
        options = PPOHyperparameters.model_validate(settings.hyperparameters)
        total = total_timesteps or settings.total_timesteps
        own, *rows = seeds_for(seed, "training", n=settings.n_envs + 1)
        binary = self.binary and self.task.family == "selection"
        env = training_env(scenario, rows, gamma=options.gamma, binary=binary)
        model = make_ppo(env, self.task, own, options)
        following = list(callbacks)
        checkpoint = None if out is None else out / "checkpoint.pt"
        made_with = {**settings.model_dump(mode="json"), "seed": seed, "total_timesteps": total, "binary": binary}
        if out is not None and checkpoint is not None:
            if checkpoint.exists():
                restore(model, checkpoint, made_with)
            following += [LearningCurve(out / "learning_curve.json"), Checkpoint(checkpoint, made_with)]
        remaining = total - model.num_timesteps
        if remaining > 0:
            model.learn(remaining, callback=following, reset_num_timesteps=model.num_timesteps == 0)
            if checkpoint is not None:
                write(model, checkpoint, made_with)
        self.policy = SavedPolicy.of(model.policy, self.task, seed=self.seed, temperature=options.temperature)
        env.close()
        return self

    @classmethod
    def settings(cls, scenario: Scenario) -> Training:
        """How the scenario trains this agent, checked.

        Raises:
            PolicyError: when the scenario has no settings for PPO.
            ConfigError: for a hyperparameter that doesn't exist or is out of range.
        """
        if "ppo" not in scenario.agents:
            raise PolicyError(f"scenario {scenario.name!r} has no agents.ppo; it has {sorted(scenario.agents)}")
        settings = scenario.agents["ppo"]
        where = f"scenario {scenario.name!r}: agents.ppo.hyperparameters"
        validated(PPOHyperparameters, settings.hyperparameters, where)
        return settings

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Act with what was learned.

        Raises:
            PolicyError: before :meth:`learn` or :meth:`load`.
        """
        if self.policy is None:
            raise PolicyError("PPOAgent: call learn() or load() before predict()")
        return self.policy.predict(observation, state, episode_start, deterministic)

    def save(self, path: str | Path) -> None:
        """Write what was learned as a bundle that ``make_policy(path, task)`` reads."""
        if self.policy is None:
            raise PolicyError("PPOAgent: nothing was learned yet")
        self.policy.save(path)

    @classmethod
    def load(cls, path: str | Path, task: Task, seed: int | None = None, pool: Pool | None = None) -> "PPOAgent":
        """Read a bundle; raises PolicyError when it doesn't fit the task. ``pool``: what ids refer to."""
        agent = cls(task, seed=seed)
        agent.policy = SavedPolicy.load(path, task, seed=seed, pool=pool)
        return agent


class LearningCurve(BaseCallback):
    """Keeps ``[[timesteps, mean raw return of the last 100 episodes], …]`` in a JSON file, a point per rollout."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.points: list[list[float]] = []

    def _on_training_start(self) -> None:
        if self.num_timesteps and self.file.exists():
            points = json.loads(self.file.read_text(encoding="utf-8"))
            self.points = [point for point in points if point[0] <= self.num_timesteps]

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        returns = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        if returns:
            self.points.append([self.num_timesteps, float(np.mean(returns))])
            scratch = self.file.with_name(f".{self.file.name}.{os.getpid()}")
            scratch.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_text(json.dumps(self.points), encoding="utf-8")
            os.replace(scratch, self.file)


class PPOBoxAgent(PPOAgent):
    """PPO whose actions are the selection probabilities p_i themselves, as DynACurE proposes; the environment draws."""

    binary = False


def training_env(scenario: Scenario, seeds: list[int], *, gamma: float, binary: bool) -> VecEnv:
    """The scenario's training environments behind the bridge, one per seed, monitored, their rewards scaled."""
    kwargs = scenario.kwargs_for("training")
    core = gym.make_vec(scenario.env, len(seeds), autoreset_mode=AutoresetMode.SAME_STEP, copy=False, **kwargs)
    assert isinstance(core, CurationVectorEnv)
    bridge = SB3VecEnv(core, binary=binary)
    bridge.set_seeds(seeds)
    return VecNormalize(VecMonitor(bridge), norm_obs=False, norm_reward=True, gamma=gamma)


def make_ppo(env: VecEnv, task: Task, seed: int, options: PPOHyperparameters) -> PPO:
    """PPO on the item network; a fresh policy selects at about the rate that spends the budget evenly."""
    stock = options.model_dump(exclude={"width", "alike", "initial_log_std", "learning_rate", "temperature"})
    network: dict[str, Any] = {"width": options.width, "initial_log_std": options.initial_log_std}
    if options.alike:
        network["n_embedding"] = sum(name.startswith("embedding_") for name in task.item_features)
    if task.ids:
        network |= {"pool": env.get_attr("pool")[0], "pool_fingerprint": task.pool_fingerprint}
    if task.family == "selection":
        rate = np.clip(task.budget / (task.horizon * task.n_items), 0.01, 0.99)
        network["initial_logit"] = float(np.log(rate / (1 - rate)))
    # Not by the constructor's ``seed``, which would seed the environments with seed + i.
    set_random_seed(seed % 2**32)
    falling = _Falling(options.learning_rate)
    return PPO(ItemPolicy, env, learning_rate=falling, policy_kwargs=network, device="cpu", **stock)


class _Falling:
    """Learning rate as a function of the training that remains; a class, so that it pickles."""

    def __init__(self, start: float) -> None:
        self.start = start

    def __call__(self, progress_remaining: float) -> float:
        return self.start * max(0.05, progress_remaining)

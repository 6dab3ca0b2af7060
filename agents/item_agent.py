"""What agents share that train the item network: settings in a scenario, checkpoints, learning curves, saved policies.

An agent states its name in scenarios, its hyperparameters, and the Stable-Baselines3 algorithm that it trains with.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from pydantic import Field
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecMonitor, VecNormalize

from agents.checkpoint import Checkpoint, restore, write
from agents.imitation import imitate
from curation_gym.config import Config, validated
from curation_gym.envs.base import CurationVectorEnv
from curation_gym.envs.sb3 import SB3VecEnv
from curation_gym.files import write_text
from curation_gym.networks import ItemPolicy, action_form
from curation_gym.policy import PolicyError, make_policy
from curation_gym.pools.pool import Pool
from curation_gym.saved_policy import SavedPolicy
from curation_gym.scenario import Scenario, Training
from curation_gym.seeding import seeds_for
from curation_gym.task import Observation, Task


class ItemHyperparameters(Config):
    """What a scenario may set for every such agent, under ``agents.NAME.hyperparameters``.

    Attributes:
        learning_rate: at the start; it falls linearly to a twentieth.
        gamma: discount.
        max_grad_norm: to which gradients are clipped.
        width: of the network's layers.
        alike: whether a candidate sees what resembles it in the same step, see :class:`ItemNetwork`.
        initial_log_std: of the logit-normal, for Box actions.
        temperature: at which the trained policy draws; 1 as in training, 0 deterministic.
        imitates: ``module:Class`` of a rule that is imitated before training, see :func:`agents.imitation.imitate`;
            none by default.
        imitation_steps: environment steps that the rule acts, beside those of training.
    """

    learning_rate: float = Field(7e-4, gt=0)
    gamma: float = Field(0.995, ge=0, le=1)
    max_grad_norm: float = Field(0.5, gt=0)
    width: int = Field(64, ge=1)
    alike: bool = False
    initial_log_std: float = 0.0
    temperature: float = Field(1.0, ge=0)
    imitates: str | None = None
    imitation_steps: int = Field(2048, ge=1)

    def of_algorithm(self) -> dict[str, Any]:
        """Those that the algorithm takes by their names; the others are the network's and the saved policy's."""
        own = {"learning_rate", "width", "alike", "initial_log_std", "temperature", "imitates", "imitation_steps"}
        return self.model_dump(exclude=own)


class ItemAgent:
    """Trains the item network with exact resume, and acts with what was learned.

    Rewards are divided by a running estimate of the return's scale while training (``VecNormalize``); what is
    reported is raw. In Selection the policy draws which candidates are selected (``MultiBinary``), unless ``binary``
    is False.

    Args:
        task: any task whose action space the item network serves.
        seed: of the actions that :meth:`predict` draws.
    """

    name: ClassVar[str]
    hyperparameters: ClassVar[type[ItemHyperparameters]]
    algorithm: ClassVar[Callable[..., OnPolicyAlgorithm]]
    binary: ClassVar[bool] = True

    def __init__(self, task: Task, *, seed: int | None = None) -> None:
        action_form(task.action_space)
        self.task, self.seed = task, seed
        self.policy: SavedPolicy | None = None

    def of_task(self) -> dict[str, Any]:
        """What the algorithm takes that follows from the task."""
        return {}

    def learn(
        self,
        scenario: Scenario,
        seed: int = 0,
        out: Path | None = None,
        *,
        total_timesteps: int | None = None,
        callbacks: Sequence[BaseCallback] = (),
    ) -> "ItemAgent":
        """Train in the scenario's training environments.

        Args:
            scenario: ``agents.NAME`` gives timesteps, sub-environments and hyperparameters.
            seed: of the learner; the sub-environments' seeds are derived from it.
            out: a directory for ``checkpoint.pt`` and ``learning_curve.json``; training continues from the
                checkpoint when it exists, to the same tensors as if it had never stopped. None: nothing is written.
            total_timesteps: instead of the scenario's.
            callbacks: further Stable-Baselines3 callbacks.

        Raises:
            PolicyError: when the scenario has no settings for the agent, or what it imitates can't be made or followed.
            ConfigError: for a hyperparameter that doesn't exist or is out of range.
            CheckpointError: when the checkpoint doesn't fit.
        """
        settings = self.settings(scenario)
        options = self.hyperparameters.model_validate(settings.hyperparameters)
        total = settings.total_timesteps if total_timesteps is None else total_timesteps
        own, *rows = seeds_for(seed, "training", n=2 * settings.n_envs + 1)
        rows, others = rows[: settings.n_envs], rows[settings.n_envs :]
        binary = self.binary and self.task.family == "selection"
        env = training_env(scenario, rows, gamma=options.gamma, binary=binary)
        model = self._model(env, own, options)
        following = list(callbacks)
        checkpoint = None if out is None else out / "checkpoint.pt"
        made_with = {**settings.model_dump(mode="json"), "seed": seed, "total_timesteps": total}
        made_with |= {"agent": self.name, "binary": binary, "env": scenario.env}
        for role in ("training", "imitation"):
            made_with |= {f"{role} {name}": _plain(value) for name, value in scenario.kwargs_for(role).items()}
        if out is not None and checkpoint is not None:
            if checkpoint.exists():
                restore(model, checkpoint, made_with)
            following += [LearningCurve(out / "learning_curve.json"), Checkpoint(checkpoint, made_with)]
        if options.imitates and not model.num_timesteps:
            self._imitate(model, scenario, others, options)
        remaining = total - model.num_timesteps
        if remaining > 0:
            model.learn(remaining, callback=following, reset_num_timesteps=model.num_timesteps == 0)
            if checkpoint is not None:
                write(model, checkpoint, made_with)
        assert isinstance(model.policy, ItemPolicy)
        self.policy = SavedPolicy.of(model.policy, self.task, seed=self.seed, temperature=options.temperature)
        env.close()
        return self

    def _imitate(
        self, model: OnPolicyAlgorithm, scenario: Scenario, seeds: list[int], options: ItemHyperparameters
    ) -> None:
        if not isinstance(model.action_space, spaces.MultiBinary):
            raise PolicyError(f"{self.name}: only what draws its actions can imitate; it takes {model.action_space}")
        assert options.imitates is not None
        rule = make_policy(options.imitates, self.task, seeds[0] % 2**32)
        env = training_env(scenario, seeds, gamma=options.gamma, binary=True, role="imitation")
        imitate(model, env, rule, options.imitation_steps)
        assert isinstance(model.env, VecNormalize)
        model.env.ret_rms = env.ret_rms  # the critic has learned returns on this scale
        env.close()

    def _model(self, env: VecEnv, seed: int, options: ItemHyperparameters) -> OnPolicyAlgorithm:
        network = network_options(env, self.task, options)
        # Not by the constructor's ``seed``, which would seed the environments with seed + i.
        set_random_seed(seed % 2**32)
        stock = {**options.of_algorithm(), **self.of_task()}
        falling = _Falling(options.learning_rate)
        cls = type(self)
        return cls.algorithm(ItemPolicy, env, learning_rate=falling, policy_kwargs=network, device="cpu", **stock)

    @classmethod
    def settings(cls, scenario: Scenario) -> Training:
        """How the scenario trains this agent, checked.

        Raises:
            PolicyError: when the scenario has no settings for it.
            ConfigError: for a hyperparameter that doesn't exist or is out of range.
        """
        if cls.name not in scenario.agents:
            raise PolicyError(
                f"scenario {scenario.name!r} has no agents.{cls.name}; it has {', '.join(sorted(scenario.agents))}"
            )
        settings = scenario.agents[cls.name]
        where = f"scenario {scenario.name!r}: agents.{cls.name}.hyperparameters"
        validated(cls.hyperparameters, settings.hyperparameters, where)
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
            raise PolicyError(f"{type(self).__name__}: call learn() or load() before predict()")
        return self.policy.predict(observation, state, episode_start, deterministic)

    def save(self, path: str | Path) -> None:
        """Write what was learned as a bundle that ``make_policy(path, task)`` reads."""
        if self.policy is None:
            raise PolicyError(f"{type(self).__name__}: nothing was learned yet")
        self.policy.save(path)

    @classmethod
    def load(cls, path: str | Path, task: Task, seed: int | None = None, pool: Pool | None = None) -> "ItemAgent":
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
            write_text(self.file, json.dumps(self.points))


def _plain(value: Any) -> Any:
    """With its fingerprint in the place of every pool in memory."""
    if isinstance(value, Pool):
        return value.fingerprint
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list | tuple) else value


def training_env(
    scenario: Scenario,
    seeds: list[int],
    *,
    gamma: float,
    binary: bool,
    role: Literal["training", "imitation"] = "training",
) -> VecNormalize:
    """The scenario's training environments behind the bridge, one per seed, monitored, their rewards scaled."""
    kwargs = scenario.kwargs_for(role)
    core = gym.make_vec(scenario.env, len(seeds), autoreset_mode=AutoresetMode.SAME_STEP, copy=False, **kwargs)
    assert isinstance(core, CurationVectorEnv)
    bridge = SB3VecEnv(core, binary=binary)
    bridge.set_seeds(seeds)
    return VecNormalize(VecMonitor(bridge), norm_obs=False, norm_reward=True, gamma=gamma)


def network_options(env: VecEnv, task: Task, options: ItemHyperparameters) -> dict[str, Any]:
    """Arguments of :class:`ItemPolicy`; a fresh policy selects at about the rate that spends the budget evenly."""
    network: dict[str, Any] = {"width": options.width, "initial_log_std": options.initial_log_std}
    if options.alike:
        network["n_embedding"] = sum(name.startswith("embedding_") for name in task.item_features)
    if task.ids:
        network |= {"pool": env.get_attr("pool")[0], "pool_fingerprint": task.pool_fingerprint}
    if task.family == "selection":
        rate = np.clip(task.even_rate, 0.01, 0.99)
        network["initial_logit"] = float(np.log(rate / (1 - rate)))
    return network


class _Falling:
    """Learning rate as a function of the training that remains; a class, so that it pickles."""

    def __init__(self, start: float) -> None:
        self.start = start

    def __call__(self, progress_remaining: float) -> float:
        return self.start * max(0.05, progress_remaining)

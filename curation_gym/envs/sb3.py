"""The bridge from our native vector environments to Stable-Baselines3."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from curation_gym.envs.base import CurationVectorEnv
from curation_gym.envs.wrappers import binary_masks, binary_space
from curation_gym.seeding import seeds_for


def make_sb3_vec_env(
    env_id: str, n_envs: int = 1, *, seed: int | None = None, binary: bool = False, monitor: bool = True, **kwargs: Any
) -> VecEnv:
    """A native vector environment for Stable-Baselines3, as its ``make_vec_env`` makes one of scalar environments.

    Args:
        env_id: for example ``"CurationGym/CoverageSelection-v0"``.
        n_envs: rows.
        seed: of the rows, which get independent seeds.
        binary: for Selection: the policy draws (``MultiBinary``), not the environment.
        monitor: record episodes with ``VecMonitor``.
        kwargs: the environment's arguments.
    """
    core = gym.make_vec(env_id, n_envs, autoreset_mode=AutoresetMode.SAME_STEP, copy=False, **kwargs)
    env = SB3VecEnv(core, binary=binary)  # type: ignore[arg-type]
    env.seed(seed)
    return VecMonitor(env) if monitor else env


class SB3VecEnv(VecEnv):
    """A native vector environment as a Stable-Baselines3 ``VecEnv``.

    Args:
        env: made with ``autoreset_mode=SAME_STEP``. ``copy=False`` is safe and fastest: Stable-Baselines3 stores an
            observation one step after it received it, which alternating buffers survive and a single one does not.
        binary: present the action space as ``MultiBinary(n_items)``, where the policy draws; Selection only.

    Raises:
        TypeError: for an environment that isn't a native vector environment of this library.
        ValueError: for another autoreset mode, a vector reward, or ``binary`` where actions aren't probabilities.
    """

    def __init__(self, env: CurationVectorEnv, *, binary: bool = False) -> None:
        if not isinstance(env, CurationVectorEnv):
            raise TypeError(
                f"SB3VecEnv takes a native vector environment, not {type(env).__name__}; "
                "make_sb3_vec_env(id, n_envs) makes both"
            )
        if env.autoreset_mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"SB3VecEnv needs autoreset_mode=SAME_STEP, actual value: {env.autoreset_mode}")
        if env.task.objectives:
            raise ValueError(
                f"Stable-Baselines3 learns from one number, this reward has one for each of {env.task.objectives}; "
                "set vector_reward=False"
            )
        self.env = env
        space = env.single_action_space
        if binary:
            space = binary_space(env.task)
        super().__init__(env.num_envs, env.single_observation_space, space)
        self.binary = binary
        self.render_mode = env.render_mode
        self._actions: NDArray[Any] = np.zeros(0)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seed the next reset. Sub-environments get independent seeds, not ``seed + i``."""
        if seed is not None:
            self._seeds = list(seeds_for(seed, "training", n=self.num_envs))
        return self._seeds

    def set_seeds(self, seeds: list[int]) -> None:
        """Seed each sub-environment's next reset."""
        self._seeds = list(seeds)

    def reset(self) -> VecEnvObs:
        observation, infos = self.env.reset(seed=list(self._seeds))
        self.reset_infos = _per_row(infos, self.num_envs)
        self._reset_seeds()
        return dict(observation)

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = actions.astype(np.float32) if self.binary else actions

    def step_wait(self) -> VecEnvStepReturn:
        observation, rewards, terminated, truncated, infos = self.env.step(self._actions)
        final, final_obs = infos.pop("final_info", None), infos.pop("final_obs", None)
        infos.pop("_final_info", None), infos.pop("_final_obs", None)
        rows = _per_row(infos, self.num_envs)
        done = terminated | truncated
        if final is not None:
            ended = _per_row(final, self.num_envs)
            for row in np.flatnonzero(done):
                self.reset_infos[row] = rows[row]
                rows[row] = ended[row] | {
                    "terminal_observation": final_obs[row],
                    "TimeLimit.truncated": bool(truncated[row] and not terminated[row]),
                }
        return dict(observation), rewards.astype(np.float32), done, rows

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        raise NotImplementedError("rows of a native vector environment share their attributes; construct another one")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the batched core and hand each row its part; ``action_masks`` is the one SB3 asks for."""
        result = getattr(self.env, method_name)(*method_args, **method_kwargs)
        if self.binary and method_name == "action_masks":
            result = binary_masks(result)
        return [result[index] for index in self._get_indices(indices)]

    def has_attr(self, attr_name: str) -> bool:
        return hasattr(self.env, attr_name)

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[NDArray[np.uint8] | None]:
        return list(self.env.render() or [None] * self.num_envs)


def _per_row(infos: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """Gymnasium's info arrays as a list of dictionaries."""
    rows: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for key, values in infos.items():
        if key.startswith("_"):
            continue
        for row, (value, present) in enumerate(zip(values.tolist(), infos[f"_{key}"].tolist(), strict=True)):
            if present:
                rows[row][key] = value
    return rows

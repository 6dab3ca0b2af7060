"""Policies saved by Stable-Baselines3 or sb3-contrib as a ``.zip``."""

import importlib
import json
import zipfile
from pathlib import Path
from typing import Any

import torch as th
from gymnasium import spaces
from numpy.typing import NDArray

from curation_gym.envs.wrappers import binary_masks
from curation_gym.policy import Policy, PolicyError
from curation_gym.task import Observation, Task

LOADED = ("PPO", "A2C", "TRPO", "MaskablePPO", "RecurrentPPO")


def load_archive(path: Path, task: Task, seed: int | None = None) -> Policy:
    """Load a policy; the archive tells by its parameters which algorithm wrote it.

    Args:
        path: the ``.zip``. It holds pickled objects: load only what you trust.
        task: what it will act in; observations must have the same shapes.
        seed: of the actions drawn.

    Raises:
        PolicyError: when it can't be loaded, or was trained on other spaces.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            parameters: dict[str, Any] = json.loads(archive.read("data"))
        if "replay_buffer_class" in parameters:
            raise PolicyError(f"{path} was trained off-policy; what can be loaded is {', '.join(LOADED)}")
        package, name = _algorithm(parameters)
        model = getattr(importlib.import_module(package), name).load(path, device="cpu")
    except (OSError, KeyError, ValueError, ImportError, zipfile.BadZipFile) as error:
        raise PolicyError(f"{path} is no saved policy that can be loaded: {error!r}") from error
    ours = {key: space.shape for key, space in task.observation_space.items()}
    theirs = {key: space.shape for key, space in model.observation_space.items()}
    acts = model.action_space.shape == task.action_space.shape and (
        isinstance(model.action_space, type(task.action_space))
        or (task.family == "selection" and isinstance(model.action_space, spaces.MultiBinary))
    )
    if ours != theirs or not acts:
        raise PolicyError(
            f"{path} was trained on observations {theirs} and actions {model.action_space}; "
            f"{task.env_id} has {ours} and {task.action_space}"
        )
    return _Seeded(model, seed, masked=name == "MaskablePPO")


def _algorithm(parameters: dict[str, Any]) -> tuple[str, str]:
    module = parameters["policy_class"].get("__module__", "")
    if module.startswith("sb3_contrib.common.maskable"):
        return "sb3_contrib", "MaskablePPO"
    if module.startswith("sb3_contrib.common.recurrent"):
        return "sb3_contrib", "RecurrentPPO"
    if "cg_max_steps" in parameters:
        return "sb3_contrib", "TRPO"
    return "stable_baselines3", "PPO" if "clip_range" in parameters else "A2C"


class _Seeded:
    """Draws from a generator of its own: Stable-Baselines3 draws from PyTorch's global one.

    MaskablePPO takes the mask as an argument; here it is part of the observation.
    """

    def __init__(self, model: Any, seed: int | None, *, masked: bool) -> None:
        self.model, self.masked = model, masked
        self.binary = isinstance(model.action_space, spaces.MultiBinary)
        generator = th.Generator()
        if seed is not None:
            generator.manual_seed(seed)
        else:
            generator.seed()
        self.generator_state = generator.get_state()

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        extra = {}
        if self.masked:
            mask = observation["mask"].astype(bool)
            extra["action_masks"] = binary_masks(mask) if self.binary else mask
        with th.random.fork_rng(devices=[]):
            th.set_rng_state(self.generator_state)
            action, state = self.model.predict(observation, state, episode_start, deterministic, **extra)
            self.generator_state = th.get_rng_state()
        return action, state

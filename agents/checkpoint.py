"""Checkpoints at rollout boundaries from which training continues to the very same tensors.

Stable-Baselines3's ``save`` keeps weights and optimizer; what follows also depends on every generator, on the
environments' episodes in progress and on the running scale of rewards, so those are kept too. A checkpoint is a
pickle for continuing one's own run, not for exchange: saved policies are JSON and safetensors.
"""

import pickle
import random
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecMonitor, VecNormalize

from curation_gym.envs.sb3 import SB3VecEnv
from curation_gym.files import replace_file

_LEARNER = (
    "num_timesteps",
    "_n_updates",
    "_episode_num",
    "_last_obs",
    "_last_episode_starts",
    "_current_progress_remaining",
    "ep_info_buffer",
    "ep_success_buffer",
)
_WRAPPERS: dict[type[VecEnvWrapper], tuple[str, ...]] = {
    VecNormalize: ("ret_rms", "returns", "old_reward"),
    VecMonitor: ("episode_returns", "episode_lengths", "episode_count"),
}


_EVERY = 10  # rollouts


class CheckpointError(ValueError):
    """A checkpoint that can't be written or read."""


class Checkpoint(BaseCallback):
    """Writes a checkpoint before every tenth rollout.

    Args:
        path: the file, replaced atomically.
        made_with: see :func:`write`.
    """

    def __init__(self, path: Path, made_with: Mapping[str, Any]) -> None:
        super().__init__()
        self.path, self.made_with, self._rollouts = path, made_with, 0

    def _on_rollout_start(self) -> None:
        if self._rollouts and self._rollouts % _EVERY == 0:
            assert isinstance(self.model, OnPolicyAlgorithm)
            write(self.model, self.path, self.made_with)
        self._rollouts += 1

    def _on_step(self) -> bool:
        return True


def write(model: OnPolicyAlgorithm, path: Path, made_with: Mapping[str, Any]) -> None:
    """Write the state of ``model``, its environments and all generators; the file is whole or not there.

    Args:
        model: between two rollouts; attributes of its own that it needs are named in its ``CHECKPOINTED``.
        path: the file.
        made_with: everything that decides the training; only a run with the same may continue from the file.

    Raises:
        CheckpointError: when it can't be written, for example because the disk is full; what was there is kept.
    """
    assert model.env is not None
    layers, bridge = _stack(model.env)
    state = {
        "made_with": dict(made_with),
        "threads": th.get_num_threads(),
        "learner": {name: getattr(model, name) for name in (*_LEARNER, *getattr(model, "CHECKPOINTED", ()))},
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "generators": (th.get_rng_state(), np.random.get_state(), random.getstate()),  # noqa: NPY002 - SB3 draws from it
        "wrappers": [{name: getattr(layer, name) for name in _WRAPPERS[type(layer)]} for layer in layers],
        "core": pickle.dumps(bridge.env),
    }
    try:
        replace_file(path, lambda scratch: th.save(state, scratch))
    except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
        raise CheckpointError(
            f"{path} can't be written: {error}; make room, or see who may write there; what was there is kept"
        ) from error


def restore(model: OnPolicyAlgorithm, path: Path, made_with: Mapping[str, Any]) -> None:
    """Put ``model``, its environments and all generators into the state that was written.

    Warns when PyTorch's thread count differs from then: sums are then rounded otherwise, and what follows need not
    equal an uninterrupted run bit for bit.

    Raises:
        CheckpointError: when the file is damaged, or what it was made with differs; the message names it.
    """
    assert model.env is not None
    layers, bridge = _stack(model.env)
    try:
        state: dict[str, Any] = th.load(path, weights_only=False)
        before = state["made_with"]
        differing = sorted(key for key in {*before, *made_with} if before.get(key) != made_with.get(key))
        if differing:
            told = ", ".join(f"{key} was {before.get(key)!r}, is {made_with.get(key)!r}" for key in differing)
            raise CheckpointError(f"{path} was made by another training: {told}; remove it to start anew")
        core = pickle.loads(state["core"])
        if core.task != bridge.env.task:
            raise CheckpointError(f"{path} was written for another environment or pool; remove it to start anew")
        model.policy.load_state_dict(state["policy"])
        model.policy.optimizer.load_state_dict(state["optimizer"])
    except CheckpointError:
        raise
    except (OSError, EOFError, KeyError, RuntimeError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} can't be continued from: {error!r}; remove it to start anew") from error
    if state["threads"] != th.get_num_threads():
        warnings.warn(
            f"{path} was written with {state['threads']} PyTorch threads, there are {th.get_num_threads()} now: "
            "training continues, but not to the same bits",
            stacklevel=2,
        )
    bridge.env = core
    bridge._reset_seeds()  # those it was made with are for its first reset, which was long ago
    for layer, values in zip(layers, state["wrappers"], strict=True):
        vars(layer).update(values)
    vars(model).update(state["learner"])
    torch_state, numpy_state, python_state = state["generators"]
    th.set_rng_state(torch_state)
    np.random.set_state(numpy_state)  # noqa: NPY002
    random.setstate(python_state)


def _stack(env: VecEnv) -> tuple[list[VecEnvWrapper], SB3VecEnv]:
    """The known wrappers from the outside in, and the bridge beneath them."""
    layers: list[VecEnvWrapper] = []
    while isinstance(env, VecEnvWrapper):
        if type(env) not in _WRAPPERS:
            raise CheckpointError(f"no checkpoint can hold the state of a {type(env).__name__}")
        layers.append(env)
        env = env.venv
    if not isinstance(env, SB3VecEnv):
        raise CheckpointError(f"no checkpoint can hold the state of a {type(env).__name__}; use SB3VecEnv")
    return layers, env

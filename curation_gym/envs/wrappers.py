"""Wrappers that change the form of an action."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import VectorActionWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from curation_gym.task import Task


def binary_space(task: Task) -> spaces.MultiBinary:
    """``MultiBinary(n_items)`` for a Selection task.

    Raises:
        ValueError: for another family.
    """
    if task.family != "selection":
        raise ValueError(f"only Selection actions can be binary, actual family of {task.env_id}: {task.family!r}")
    return spaces.MultiBinary(task.n_items)


def binary_masks(may_select: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """MaskablePPO's layout for ``MultiBinary``: per item whether 0 and whether 1 may be chosen, (…, 2 · n_items)."""
    pairs = np.stack([np.ones_like(may_select), may_select], axis=-1)
    return pairs.reshape(*may_select.shape[:-1], -1)


class BernoulliSelection(gym.ActionWrapper[Any, Any, Any]):
    """``MultiBinary(n_items)`` actions: the policy draws which candidates are selected, not the environment."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.action_space = binary_space(env.unwrapped.task)  # type: ignore[attr-defined]

    def action(self, action: NDArray[Any]) -> NDArray[np.float32]:
        """0 and 1 as probabilities."""
        return np.asarray(action, np.float32)

    def action_masks(self) -> NDArray[np.bool_]:
        """See :func:`binary_masks`, (2 · n_items,)."""
        return binary_masks(self.env.get_wrapper_attr("action_masks")())


class VectorBernoulliSelection(VectorActionWrapper):
    """:class:`BernoulliSelection` for a native vector environment."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.single_action_space = binary_space(env.unwrapped.task)
        self.action_space = batch_space(self.single_action_space, env.num_envs)

    def actions(self, actions: NDArray[Any]) -> NDArray[np.float32]:
        """0 and 1 as probabilities."""
        return np.asarray(actions, np.float32)

    def action_masks(self) -> NDArray[np.bool_]:
        """See :func:`binary_masks`, (num_envs, 2 · n_items)."""
        return binary_masks(self.env.unwrapped.action_masks())  # type: ignore[attr-defined]

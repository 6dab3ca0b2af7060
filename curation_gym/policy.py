"""The policy protocol, and how a policy is named: ``module:Class`` or the path of a saved one."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from numpy.typing import NDArray

from curation_gym.pools.pool import Pool
from curation_gym.task import Observation, Task


@runtime_checkable
class Policy(Protocol):
    """Anything with Stable-Baselines3's ``predict``.

    ``observation`` may be one observation or a batch with a leading dimension; the action has the same.
    ``state`` is whatever the policy returned last, ``None`` at first; ``episode_start`` marks rows that just began.
    """

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]: ...


SearchSpace = Mapping[str, tuple[float, float] | tuple[float, float, Literal["log", "int"]]]
"""What a policy class may state as ``search_space``: hyperparameter → (low, high), uniform, log-uniform or integer.
Or it has a class method of that name, which gives one for a :class:`~curation_gym.task.Task`."""


class PolicyError(ValueError):
    """A policy that can't be loaded, or that doesn't fit the task."""


def make_policy(
    name: str | Path, task: Task, seed: int | None = None, *, pool: Pool | None = None, **hyperparameters: Any
) -> Policy:
    """Construct or load a policy.

    Args:
        name: ``"module:Class"``, constructed as ``Class(task, seed=seed, **hyperparameters)``; or a path: a saved
            bundle (a directory, see :class:`curation_gym.saved_policy.SavedPolicy`) or a Stable-Baselines3 ``.zip``.
        task: what the policy will act in.
        seed: of the policy's own randomness.
        pool: that ids refer to, for a saved bundle in ids mode.
        hyperparameters: passed to the class; not allowed for a saved policy.

    Raises:
        PolicyError: naming what was tried and how a policy is named.
    """
    text = str(name)
    if ":" in text and not Path(text).exists():
        return _construct(text, task, seed, hyperparameters)
    path = Path(text)
    if not path.exists():
        raise PolicyError(
            f"no policy at {text!r}: name a class as 'module:Class', or the path of a saved policy "
            "(a bundle directory, or a Stable-Baselines3 .zip)"
        )
    if hyperparameters:
        raise PolicyError(f"{text}: a saved policy takes no hyperparameters, got {sorted(hyperparameters)}")
    if path.is_dir():
        from curation_gym.saved_policy import SavedPolicy

        return SavedPolicy.load(path, task, seed=seed, pool=pool)
    from curation_gym.sb3_archive import load_archive

    return load_archive(path, task, seed)


def policy_class(name: str) -> type[Any]:
    """The class that ``"module:Class"`` names.

    Raises:
        PolicyError: when it can't be imported.
    """
    module_name, _, class_name = name.partition(":")
    try:
        cls: type[Any] = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise PolicyError(
            f"can't import policy {name!r}: {error}. Name it as 'module:Class'; the module must be importable "
            "from here (installed, or on PYTHONPATH)"
        ) from error
    return cls


def _construct(name: str, task: Task, seed: int | None, hyperparameters: dict[str, Any]) -> Policy:
    cls = policy_class(name)
    try:
        policy = cls(task, seed=seed, **hyperparameters)
    except TypeError as error:
        raise PolicyError(f"{name}(task, seed=..., {sorted(hyperparameters)}) failed: {error}") from error
    if not isinstance(policy, Policy):
        raise PolicyError(f"{name} has no predict(observation, state, episode_start, deterministic)")
    return policy

"""Let a policy act: one episode per seed, on the native vector environment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from curation_gym.envs.base import ActionError, CurationVectorEnv
from curation_gym.evaluation.statistics import area_under_curve
from curation_gym.policy import Policy, PolicyError
from curation_gym.scenario import Metric
from curation_gym.task import Observation, Task

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class Episodes:
    """One episode per seed; every array has shape (n_seeds,).

    Attributes:
        seeds: of the episodes.
        returns: sum of ``info["raw_reward"]``.
        noise_free: sum of ``info["mean_reward"]``, the reward's expectation; None when the task tells none.
        lengths: steps.
        spent: of the budget, in ``unit``.
        invalid: masked choices.
        optimum: the largest noise-free return; None when the task's isn't known.
        curves: info key → per seed what was spent at each measurement, and the values measured.
        unit: of ``spent`` and of the curves' steps.
    """

    seeds: tuple[int, ...]
    returns: NDArray[np.float64]
    noise_free: NDArray[np.float64] | None
    lengths: NDArray[np.int64]
    spent: NDArray[np.float64]
    invalid: NDArray[np.int64]
    optimum: NDArray[np.float64] | None
    curves: Mapping[str, tuple[Curve, ...]]
    unit: str

    def score(self, metric: Metric) -> NDArray[np.float64]:
        """The metric of each episode, (n_seeds,).

        A sum of ``raw_reward`` is taken noise-free where the task tells it: same expectation, less variance,
        and comparable with the optimum.
        """
        if metric.aggregate == "sum":
            if metric.info == "raw_reward":
                return self.returns if self.noise_free is None else self.noise_free
            return np.array([values.sum() for _, values in self.curves[metric.info]])
        if metric.aggregate == "last":
            return np.array([values[-1] for _, values in self.curves[metric.info]])
        ends = zip(self.curves[metric.info], self.spent, strict=True)
        return np.array([area_under_curve(steps, values, end=end) for (steps, values), end in ends])


def make_core(env_id: str, kwargs: Mapping[str, Any], num_envs: int = 1) -> CurationVectorEnv:
    """The native vector environment.

    Raises:
        ConfigError: for an unknown or invalid argument.
        TypeError: when the id isn't one of this contract.
    """
    core = gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **kwargs).unwrapped
    if not isinstance(core, CurationVectorEnv):
        raise TypeError(f"{env_id} is a {type(core).__name__}, not a CurationVectorEnv")
    assert core.autoreset_mode is AutoresetMode.NEXT_STEP
    return core


def task_of(env_id: str, kwargs: Mapping[str, Any]) -> Task:
    """What a policy for the environment is constructed from."""
    return make_core(env_id, kwargs).task


def evaluate(
    policy: Policy,
    env_id: str,
    kwargs: Mapping[str, Any],
    seeds: Sequence[int],
    *,
    curves: Sequence[str] = (),
    batch: int = 64,
    deterministic: bool = False,
    reference: bool = False,
) -> Episodes:
    """Run one episode per seed.

    Args:
        policy: what acts.
        env_id: a registered id of this library's contract.
        kwargs: the environment's arguments.
        seeds: one episode each. The episode of a seed depends on the seed only; what a policy draws
            depends on the whole batch.
        curves: info keys to record against what was spent; NaN means not measured in that step.
        batch: most episodes at once, ≥ 1.
        deterministic: passed to ``predict``.
        reference: the policy has a ``bind`` method, and is shown hidden truth through it.

    Raises:
        PolicyError: naming the policy, when it fails to predict or its action isn't one of the task's; when it has
            a ``bind`` method without being called a reference, or the reverse; when the environment sends ids of
            another pool than the policy's.
        KeyError: for a curve that the environment's info doesn't hold.
        ValueError: without seeds, or for a batch < 1.
    """
    if not len(seeds) or batch < 1:
        raise ValueError(f"evaluate needs seeds and batch >= 1, actual: {len(seeds)} seeds, batch {batch}")
    if hasattr(policy, "bind") != reference:
        has = "has a bind method, which shows hidden truth; pass reference=True if it is meant to see it"
        raise PolicyError(f"policy {_name(policy)} {'has no bind method, so it is no reference' if reference else has}")
    parts = [
        _rollout(policy, env_id, kwargs, list(seeds[start : start + batch]), curves, deterministic)
        for start in range(0, len(seeds), batch)
    ]
    return _joined(parts)


def _rollout(
    policy: Policy,
    env_id: str,
    kwargs: Mapping[str, Any],
    seeds: list[int],
    curves: Sequence[str],
    deterministic: bool,
) -> Episodes:
    n = len(seeds)
    core = make_core(env_id, kwargs, n)
    task = core.task
    _check_pool(policy, task)
    if hasattr(policy, "bind"):
        policy.bind(core)
    observation, info = core.reset(seed=list(seeds))
    try:
        optimum = core.optimum()
    except NotImplementedError:
        optimum = None

    totals = {key: np.zeros(n) for key in ("raw_reward", "mean_reward", "invalid")}
    has_expectation = False
    lengths, spent = np.zeros(n, np.int64), _spent(task, observation)
    log = _Log(curves, n)
    log.record(info, spent, np.ones(n, np.bool_))
    state: Any = None
    running, starts = np.ones(n, np.bool_), np.ones(n, np.bool_)
    while running.any():
        try:
            actions, state = policy.predict(observation, state, episode_start=starts, deterministic=deterministic)
        except Exception as error:  # whatever it is, it is the policy's
            raise PolicyError(f"policy {_name(policy)} failed to predict: {type(error).__name__}: {error}") from error
        try:
            observation, _, terminated, truncated, info = core.step(actions)
        except ActionError as error:
            raise PolicyError(f"policy {_name(policy)}: {error}") from error
        for key, total in totals.items():
            if key in info:
                total[running] += info[key][running]
        has_expectation |= "mean_reward" in info
        lengths[running] += 1
        # Nothing is spent by the step that restarts a row, and rows that ended are no longer counted.
        spent[running] = _spent(task, observation)[running]
        log.record(info, spent, running)
        starts = terminated | truncated
        running = running & ~starts
    core.close()
    return Episodes(
        seeds=tuple(seeds),
        returns=totals["raw_reward"],
        noise_free=totals["mean_reward"] if has_expectation else None,
        lengths=lengths,
        spent=spent,
        invalid=totals["invalid"].astype(np.int64),
        optimum=optimum,
        curves=log.curves(env_id),
        unit=task.budget_unit,
    )


def _check_pool(policy: Policy, task: Task) -> None:
    """Ids mean something in one pool only; of another, a policy would gather other samples' features."""
    own = getattr(policy, "task", None)
    if task.ids and isinstance(own, Task) and own.pool_fingerprint != task.pool_fingerprint:
        raise PolicyError(
            f"policy {_name(policy)} was constructed for the ids of pool {own.pool_fingerprint or 'none'}, "
            f"{task.env_id} sends ids of pool {task.pool_fingerprint}; construct it for that task and pool"
        )


def _spent(task: Task, observation: Observation) -> NDArray[np.float64]:
    return np.rint(task.budget - task.read(observation, "budget_left"))


class _Log:
    """Collects the requested info keys, row by row."""

    def __init__(self, keys: Sequence[str], n: int) -> None:
        self.points: dict[str, list[list[tuple[float, float]]]] = {key: [[] for _ in range(n)] for key in keys}
        self.seen: set[str] = set()

    def record(self, info: Mapping[str, Any], spent: NDArray[np.float64], rows: NDArray[np.bool_]) -> None:
        self.seen |= {key for key in info if not key.startswith("_")}
        for key, points in self.points.items():
            if key in info:
                measured = rows & info[f"_{key}"] & ~np.isnan(info[key])
                for row in np.flatnonzero(measured):
                    points[row].append((spent[row], float(info[key][row])))

    def curves(self, env_id: str) -> dict[str, tuple[Curve, ...]]:
        done = {}
        for key, points in self.points.items():
            if not all(points):
                if key in self.seen:
                    raise KeyError(f"{env_id} measured {key!r} in no step of {sum(not row for row in points)} episodes")
                raise KeyError(f"{env_id} has no info {key!r} to record; it has {', '.join(sorted(self.seen))}")
            tables = [np.asarray(row, np.float64) for row in points]
            done[key] = tuple((table[:, 0], table[:, 1]) for table in tables)
        return done


def _joined(parts: list[Episodes]) -> Episodes:
    first = parts[0]

    def stacked(name: str) -> Any:
        return None if getattr(first, name) is None else np.concatenate([getattr(part, name) for part in parts])

    return Episodes(
        seeds=tuple(seed for part in parts for seed in part.seeds),
        returns=stacked("returns"),
        noise_free=stacked("noise_free"),
        lengths=stacked("lengths"),
        spent=stacked("spent"),
        invalid=stacked("invalid"),
        optimum=stacked("optimum"),
        curves={key: tuple(curve for part in parts for curve in part.curves[key]) for key in first.curves},
        unit=first.unit,
    )


def _name(policy: Policy) -> str:
    return f"{type(policy).__module__}:{type(policy).__qualname__}"

"""Random search for a baseline's hyperparameters, on tuning seeds only.

A class states what may be searched as ``search_space``, a mapping or a method that makes one for a task:
hyperparameter → ``(low, high)`` for a uniform draw,
``(low, high, "log")`` for one uniform in the logarithm, ``(low, high, "int")`` for an integer, both ends included.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from curation_gym.envs.annotation_allocation import ENV_ID as ANNOTATION
from curation_gym.evaluation.rollout import evaluate, task_of
from curation_gym.policy import PolicyError, SearchSpace, make_policy, policy_class
from curation_gym.scenario import Scenario
from curation_gym.seeding import seeds_for
from curation_gym.task import Task


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        hyperparameters: of the best trial; empty when the class's own defaults were best.
        trials: one row per trial: the hyperparameters, and ``score``, the metric's mean over tuning seeds.
    """

    hyperparameters: dict[str, float]
    trials: pd.DataFrame


def search_space(policy: str, task: Task) -> SearchSpace:
    """The ranges that a ``module:Class`` states for a task; empty when it has nothing to tune.

    Raises:
        PolicyError: for a range that can't be drawn from.
    """
    stated = getattr(policy_class(policy), "search_space", {}) if ":" in policy else {}
    space: SearchSpace = dict(stated(task) if callable(stated) else stated)
    for name, bounds in space.items():
        low, high, kind = _parts(bounds)
        whole = float(low).is_integer() and float(high).is_integer()
        drawable = {"uniform": True, "log": low > 0, "int": whole}.get(kind, False)
        if not (low < high and drawable):
            raise PolicyError(
                f"{policy}: search_space[{name!r}] must be (low, high), (low, high, 'log') with low > 0, or "
                f"(low, high, 'int') with whole numbers, and low < high; actual value: {bounds}"
            )
    return space


def draws(space: SearchSpace, n: int, master: int = 0) -> list[dict[str, float]]:
    """Hyperparameters of n trials: the class's defaults, then random ones."""
    rng = np.random.default_rng(seeds_for(master, "tuning", run=1))
    return [{name: _drawn(bounds, rng) for name, bounds in space.items()} if trial else {} for trial in range(n)]


def _parts(bounds: tuple[Any, ...]) -> tuple[float, float, str]:
    low, high, kind = bounds if len(bounds) == 3 else (*bounds, "uniform")
    return low, high, kind


def _drawn(bounds: tuple[Any, ...], rng: np.random.Generator) -> float:
    low, high, kind = _parts(bounds)
    if kind == "int":
        return int(rng.integers(int(low), int(high), endpoint=True))
    if kind == "log":
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return float(rng.uniform(low, high))


def tune(policy: str, scenario: Scenario, *, n_trials: int, n_seeds: int, master: int = 0) -> Tuned:
    """Search at random within the class's ``search_space``.

    Every trial acts on the same seeds of the role ``tuning``, in the scenario as its tuning overrides have
    it; evaluation seeds are never touched, nor is the test split: what a learner comes to is measured on the validation
    split, unless the overrides say otherwise. The first trial is the class's defaults. Bergstra and Bengio,
    "Random Search for Hyper-Parameter Optimization", JMLR 13 (2012).

    Args:
        policy: ``module:Class`` with a ``search_space``.
        scenario: whose metric is to be as large as possible.
        n_trials: constructions tried, ≥ 1.
        n_seeds: episodes per trial, ≥ 1.
        master: seed of the study.

    Raises:
        PolicyError: when the class states no search space.
        ValueError: for a number of trials or seeds below 1.
    """
    kwargs = scenario.kwargs_for("tuning")
    if scenario.env == ANNOTATION:
        kwargs = {"evaluate_on": "validation"} | kwargs
    task = task_of(scenario.env, kwargs)
    space = search_space(policy, task)
    if not space:
        raise PolicyError(f"{policy} has nothing to tune: it states no search_space")
    if min(n_trials, n_seeds) < 1:
        raise ValueError(f"n_trials and n_seeds must be >= 1, actual values: {n_trials}, {n_seeds}")
    seeds = seeds_for(master, "tuning", run=0, n=n_seeds)
    policy_seed = seeds_for(master, "tuning", run=2)[0]
    trials: list[dict[str, Any]] = []
    best: dict[str, float] = {}
    for values in draws(space, n_trials, master):
        acting = make_policy(policy, task, policy_seed, **values)
        episodes = evaluate(acting, scenario.env, kwargs, seeds, curves=scenario.recorded)
        score = float(episodes.score(scenario.metric).mean())
        if not trials or score > max(row["score"] for row in trials):
            best = values
        trials.append({name: values.get(name, getattr(acting, name, np.nan)) for name in space} | {"score": score})
    return Tuned(best, pd.DataFrame(trials))

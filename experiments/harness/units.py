"""The units of work of a contest: tune, train, act. Each runs in a process of its own and leaves tidy rows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from baselines.tuning import tune
from curation_gym.envs.base import CurationVectorEnv
from curation_gym.evaluation.rollout import Episodes, evaluate, make_core, task_of
from curation_gym.files import write_text
from curation_gym.policy import Policy, make_policy, policy_class
from curation_gym.pools.pool import Pool
from curation_gym.scenario import Scenario, Training
from curation_gym.seeding import Role, seeds_for
from experiments.harness.leaderboard import TRAINING, measured
from experiments.harness.policies import REFERENCES
from experiments.harness.study import MASTER, POLICY_DIRECTORY, Work, tidy

ROLES: tuple[Role, ...] = ("training", "tuning", "evaluation")


@dataclass(frozen=True)
class Entrant:
    """A policy in a scenario.

    Attributes:
        target: what ``make_policy`` takes.
        tuned: whether its hyperparameters are searched for first.
        trained: whether it is trained first.
    """

    scenario: Scenario
    policy: str
    target: str
    tuned: bool
    trained: bool

    @property
    def name(self) -> str:
        return f"{self.scenario.name} {self.policy}"

    def place(self, out: Path, run: int = 0) -> Path:
        """Where what was found by tuning or training is kept."""
        return out / POLICY_DIRECTORY / f"{self.policy.replace(':', '.')}-{self.scenario.name}-{run}"

    def tuning(self, out: Path) -> Path:
        """The file that :func:`search` writes."""
        return self.place(out) / "tuned.json"


def cores(scenario: Scenario) -> dict[Role, CurationVectorEnv]:
    """The scenario's environment in every role; builds what pools there are to build."""
    return {role: make_core(scenario.env, scenario.kwargs_for(role)) for role in ROLES}


def made_for(core: CurationVectorEnv, target: str | Path, seed: int, **hyperparameters: Any) -> Policy:
    """A policy for the core's task and, where that sends ids, its pool."""
    return make_policy(target, core.task, seed, pool=_pool(core), **hyperparameters)


def trained_policy(core: CurationVectorEnv, target: str, saved: Path, seed: int) -> Policy:
    """What an agent saved, read by its class's ``load`` or, where it has none, as any saved policy is."""
    load = getattr(policy_class(target), "load", None)
    if load is None:
        return made_for(core, saved, seed)
    policy: Policy = load(saved, core.task, seed=seed, pool=_pool(core))
    return policy


def _pool(core: CurationVectorEnv) -> Pool | None:
    """What ids refer to."""
    return getattr(core, "pool", None)


def settings(target: str, scenario: Scenario) -> Training | None:
    """How the scenario trains an agent; None when its class doesn't say.

    Raises:
        PolicyError, ConfigError: when the agent finds no valid settings in the scenario.
    """
    told = getattr(policy_class(target), "settings", None)
    found: Training | None = None if told is None else told(scenario)
    return found


# --------------------------------------------------------- tuning and training
def prepare(payload: tuple[Work, Any], out: Path) -> pd.DataFrame:
    """Train or search, so that both kinds of units share the processes."""
    work, rest = payload
    return work(rest, out)


def search(payload: tuple[Entrant, int, int], out: Path) -> pd.DataFrame:
    """Tune on tuning seeds."""
    entrant, trials, n_seeds = payload
    found = tune(entrant.target, entrant.scenario, n_trials=trials, n_seeds=n_seeds, master=MASTER)
    told = {"hyperparameters": found.hyperparameters, "trials": json.loads(found.trials.to_json(orient="records"))}
    write_text(entrant.tuning(out), json.dumps(told, indent=1))
    return pd.DataFrame()


def tuned(entrant: Entrant, out: Path) -> dict[str, float]:
    """The hyperparameters that :func:`search` found."""
    found: dict[str, float] = json.loads(entrant.tuning(out).read_text(encoding="utf-8"))["hyperparameters"]
    return found


def train(payload: tuple[Entrant, int], out: Path) -> pd.DataFrame:
    """Train a run on training seeds, from its own checkpoint when an earlier run was interrupted."""
    entrant, run = payload
    seed = seeds_for(MASTER, "training", run)[0]
    task = task_of(entrant.scenario.env, entrant.scenario.kwargs_for("training"))
    agent: Any = make_policy(entrant.target, task, seed)
    place = entrant.place(out, run)
    place.mkdir(parents=True, exist_ok=True)
    agent.learn(entrant.scenario, seed, place)
    agent.save(place / "policy")
    where = (entrant.scenario.name, entrant.scenario.env, entrant.policy)
    return pd.DataFrame([tidy(*where, run, TRAINING, step, value) for step, value in _curve(place)])


def trained_fraction(entrant: Entrant, run: int, out: Path) -> float:
    """How far a training run has come, in [0, 1], as its learning curve tells."""
    points, found = _curve(entrant.place(out, run)), settings(entrant.target, entrant.scenario)
    return min(points[-1][0] / found.total_timesteps, 1.0) if points and found else 0.0


def _curve(place: Path) -> list[tuple[float, float]]:
    """What an agent that keeps a learning curve has written; nothing from one that doesn't."""
    file = place / "learning_curve.json"
    return [(step, value) for step, value in json.loads(file.read_text(encoding="utf-8"))] if file.exists() else []


# ---------------------------------------------------------------------- acting
def act(payload: tuple[Entrant, int, int, list[int]], out: Path) -> pd.DataFrame:
    """Evaluate on a chunk of evaluation seeds."""
    entrant, run, chunk, seeds = payload
    scenario, kwargs = entrant.scenario, entrant.scenario.kwargs_for("evaluation")
    seed, core = seeds_for(MASTER, "evaluation", 1 + chunk)[0], make_core(scenario.env, kwargs)
    if entrant.trained:
        policy = trained_policy(core, entrant.target, entrant.place(out, run) / "policy", seed)
    else:
        hyperparameters = tuned(entrant, out) if entrant.tuned else {}
        policy = made_for(core, entrant.target, seed, **hyperparameters)
    reference = entrant.policy in REFERENCES
    episodes = evaluate(policy, scenario.env, kwargs, seeds, curves=scenario.recorded, reference=reference)
    return pd.DataFrame(_rows(entrant, episodes))


def _rows(entrant: Entrant, episodes: Episodes) -> list[dict[str, Any]]:
    where = (entrant.scenario.name, entrant.scenario.env, entrant.policy)
    rows = [
        tidy(*where, seed, name, spent, value)
        for name, values in measured(entrant.scenario, episodes).items()
        for seed, spent, value in zip(episodes.seeds, episodes.spent, values, strict=True)
    ]
    for key, curves in episodes.curves.items():
        for seed, curve in zip(episodes.seeds, curves, strict=True):
            rows += [tidy(*where, seed, key, step, value) for step, value in zip(*curve, strict=True)]
    return rows

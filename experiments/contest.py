"""A contest: policies that are tuned, trained and judged on the same seeds, and what it leaves behind.

Random is always among the policies: it is the zero of the normalised score. What can be tuned is tuned on tuning
seeds, what learns is trained on training seeds, and all act on evaluation seeds that nothing was fitted to.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from baselines.tuning import search_space, tune
from curation_gym.config import ConfigError
from curation_gym.envs.base import CurationVectorEnv
from curation_gym.evaluation.rollout import Episodes, evaluate, make_core, task_of
from curation_gym.evaluation.statistics import first_crossing
from curation_gym.policy import make_policy, policy_class
from curation_gym.scenario import Scenario
from curation_gym.seeding import Role, seeds_for
from experiments import leaderboard
from experiments.benchmark_report import print_headline, report
from experiments.policies import resolve
from experiments.study import POLICY_DIRECTORY, Failure, Study, StudyError, Work, console, replace_file, say, tidy
from experiments.tracking import Tracker

MASTER = 0
ROLES: tuple[Role, ...] = ("training", "tuning", "evaluation")
CHUNK = 10  # seeds per unit: an interrupt loses little, and a batch is still worth while


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


# --------------------------------------------------------------- units of work
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
    return pd.DataFrame([tidy(*where, run, leaderboard.TRAINING, step, value) for step, value in _curve(place)])


def trained_fraction(entrant: Entrant, run: int, out: Path) -> float:
    """How far a training run has come, in [0, 1], as its learning curve tells."""
    settings = entrant.scenario.agents.get("ppo")
    points = _curve(entrant.place(out, run))
    return min(points[-1][0] / settings.total_timesteps, 1.0) if points and settings else 0.0


def _curve(place: Path) -> list[tuple[float, float]]:
    """What an agent that keeps a learning curve has written; nothing from one that doesn't."""
    file = place / "learning_curve.json"
    return [(step, value) for step, value in json.loads(file.read_text(encoding="utf-8"))] if file.exists() else []


def prepare(payload: tuple[Work, Any], out: Path) -> pd.DataFrame:
    """Train or search, so that both kinds of units share the processes."""
    work, rest = payload
    return work(rest, out)


def search(payload: tuple[Entrant, int, int], out: Path) -> pd.DataFrame:
    """Tune on tuning seeds."""
    entrant, trials, n_seeds = payload
    found = tune(entrant.target, entrant.scenario, n_trials=trials, n_seeds=n_seeds, master=MASTER)
    told = {"hyperparameters": found.hyperparameters, "trials": found.trials.to_dict("records")}
    text = json.dumps(told, indent=1)
    replace_file(_tuning(entrant, out), lambda path: path.write_text(text, encoding="utf-8"))
    return pd.DataFrame()


def act(payload: tuple[Entrant, int, int, list[int]], out: Path) -> pd.DataFrame:
    """Evaluate on a chunk of evaluation seeds."""
    entrant, run, chunk, seeds = payload
    scenario, kwargs = entrant.scenario, entrant.scenario.kwargs_for("evaluation")
    core = make_core(scenario.env, kwargs)
    target = entrant.place(out, run) / "policy" if entrant.trained else entrant.target
    hyperparameters: dict[str, Any] = tuned(entrant, out) if entrant.tuned else {}
    seed = seeds_for(MASTER, "evaluation", 1 + chunk)[0]
    policy = make_policy(target, core.task, seed, pool=getattr(core, "pool", None), **hyperparameters)
    return pd.DataFrame(_rows(entrant, evaluate(policy, scenario.env, kwargs, seeds, curves=scenario.recorded)))


def tuned(entrant: Entrant, out: Path) -> dict[str, float]:
    """The hyperparameters that :func:`search` found."""
    found: dict[str, float] = json.loads(_tuning(entrant, out).read_text(encoding="utf-8"))["hyperparameters"]
    return found


def _tuning(entrant: Entrant, out: Path) -> Path:
    return entrant.place(out) / "tuned.json"


def _rows(entrant: Entrant, episodes: Episodes) -> list[dict[str, Any]]:
    scenario, metric = entrant.scenario, entrant.scenario.metric
    scalars: dict[str, Any] = {
        "episode_return": episodes.returns,
        leaderboard.NOISE_FREE: episodes.noise_free,
        leaderboard.OPTIMUM: episodes.optimum,
        "invalid_choices": episodes.invalid,
    }
    scalars.setdefault(metric.name, episodes.score(metric))
    for target in metric.targets:
        crossings = [first_crossing(*curve, target) for curve in episodes.curves[metric.info]]
        scalars[leaderboard.target_metric(target)] = crossings
    where = (scenario.name, scenario.env, entrant.policy)
    rows = [
        tidy(*where, seed, name, spent, float(value))
        for name, values in scalars.items()
        if values is not None
        for seed, spent, value in zip(episodes.seeds, episodes.spent, values, strict=True)
    ]
    for key, curves in episodes.curves.items():
        for seed, curve in zip(episodes.seeds, curves, strict=True):
            rows += [tidy(*where, seed, key, step, value) for step, value in zip(*curve, strict=True)]
    return rows


# ------------------------------------------------------------------- the study
def enter(study: Study, scenario: Scenario, core: CurationVectorEnv, policies: dict[str, str]) -> list[Entrant]:
    """The policies that can be constructed for the task; the others are told before the long work begins."""
    entrants = []
    for policy, target in policies.items():
        try:
            make_policy(target, core.task, 0, pool=getattr(core, "pool", None))
            learns = ":" in target and hasattr(policy_class(target), "learn")
            entrants.append(Entrant(scenario, policy, target, bool(search_space(target)), learns))
        except Exception as error:
            study.fail(Failure(f"{policy} on {scenario.name}", f"{type(error).__name__}: {error}"))
    return entrants


def compete(study: Study, entrants: list[Entrant], seeds: list[int], runs: int, trials: int, jobs: int | None) -> None:
    """Tune and train, then evaluate whatever is ready."""
    tunings = {f"tune {e.name}": (search, (e, trials, len(seeds))) for e in entrants if e.tuned}
    trainings = {f"train {e.name} {run}": (train, (e, run)) for e in entrants if e.trained for run in range(runs)}
    # The longest units first: at the end every process still has something to do.
    units: dict[str, tuple[Work, Any]] = {**trainings, **tunings}

    def fraction(payload: tuple[Work, Any]) -> float:
        work, rest = payload
        return trained_fraction(*rest, study.out) if work is train else 0.0

    ready = study.run(prepare, units, jobs=jobs, title="tuning and training", fraction=fraction) if units else set()
    unready = {rest[0].name for unit, (_, rest) in units.items() if unit not in ready}
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    # Chunks are dealt out to the training runs, so that an interval holds what differs between runs.
    evaluations = {
        f"evaluate {e.name} {index}": (e, index % runs, index, chunk)
        for e in entrants
        if e.name not in unready
        for index, chunk in enumerate(chunks)
    }
    study.run(act, evaluations, jobs=jobs, title="evaluating")


def compare(
    name: str,
    scenarios: list[Scenario],
    policies: dict[str, list[str]],
    *,
    n_seeds: int,
    trials: int,
    runs: int = 1,
    out: Path | None = None,
    jobs: int | None = None,
    resume: bool = False,
    track: bool = False,
) -> int:
    """Run a contest as the study ``name``: results, manifest, report, and the headline on the console.

    Args:
        name: of the study.
        scenarios: with different names.
        policies: scenario → policies, as :func:`experiments.policies.resolve` takes them; random is added.
        n_seeds: paired evaluation seeds.
        trials: of the random search for each policy that has a ``search_space``.
        runs: training runs of each policy that learns.
        out, jobs, resume, track: see :mod:`experiments.options`.

    Returns:
        The exit status.

    Raises:
        ConfigError: when two scenarios have one name.
        StudyError: when no policy acted on all seeds.
    """
    names = [s.name for s in scenarios]
    if len(set(names)) < len(names):
        raise ConfigError(f"scenarios must have different names, actual: {', '.join(names)}")
    resolved = {s.name: resolve(["random", *policies[s.name]]) for s in scenarios}
    # Built here once, so that the workers find every pool in the cache.
    cores = {s.name: [make_core(s.env, s.kwargs_for(role)) for role in ROLES] for s in scenarios}
    judged_on = seeds_for(MASTER, "evaluation", n=n_seeds)
    study = Study(
        name,
        {
            "scenarios": [s.model_dump(mode="json") for s in scenarios],
            "policies": resolved,
            "seeds": n_seeds,
            "runs": runs,
            "trials": trials,
            "master": MASTER,
        },
        label="+".join(names),
        seeds=judged_on,
        step_unit={name: roles[-1].task.budget_unit for name, roles in cores.items()},
        out=out,
        resume=resume,
    )
    entrants = [e for s in scenarios for e in enter(study, s, cores[s.name][-1], resolved[s.name])]
    compete(study, entrants, judged_on, runs, trials, jobs)
    board = leaderboard.Leaderboard(study.results(), scenarios, judged_on)
    found = {e.name: tuned(e, study.out) for e in entrants if e.tuned and _tuning(e, study.out).exists()}
    status = study.finish(board.results, tuned=found)
    if not board.policies:
        raise StudyError(f"no policy acted on all {n_seeds} seeds; see 'failures' in {study.out}/manifest.json")
    page = report(board, study).write(study.out)
    if track:
        config = study.manifest["config"]
        with Tracker(study.out, name=study.out.name, config=config, group=name) as tracker:
            tracker.log_table("headline", board.headline())
    print_headline(board, console)
    say(f"report: {page}")
    return status

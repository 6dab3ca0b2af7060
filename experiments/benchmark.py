"""Policies × scenarios × paired seeds: who is better, by how much, and how sure is that.

    python -m experiments.benchmark --scenario rotting_arms --policy ucb1 --policy my_package.module:MyPolicy

Random is always among the policies: it is the zero of the normalised score. What can be tuned is tuned on
tuning seeds, what learns is trained on training seeds, and all act on evaluation seeds that nothing was
fitted to.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from baselines.tuning import search_space, tune
from curation_gym.config import ConfigError
from curation_gym.envs.base import CurationVectorEnv
from curation_gym.evaluation.rollout import Episodes, evaluate, make_core, task_of
from curation_gym.evaluation.statistics import first_crossing
from curation_gym.policy import make_policy, policy_class
from curation_gym.scenario import Scenario, load_scenario
from curation_gym.seeding import Role, seeds_for
from experiments import leaderboard, options
from experiments.benchmark_report import print_headline, report
from experiments.policies import resolve
from experiments.study import POLICY_DIRECTORY, Failure, Study, StudyError, console, replace_file, say, tidy
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
    return pd.DataFrame()


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
    searches = {f"tune {e.name}": (e, trials, len(seeds)) for e in entrants if e.tuned}
    trainings = {f"train {e.name} {run}": (e, run) for e in entrants if e.trained for run in range(runs)}
    ready = study.run(search, searches, jobs=jobs, title="tuning") if searches else set()
    ready |= study.run(train, trainings, jobs=jobs, title="training") if trainings else set()
    unready = {searches[unit][0].name for unit in searches if unit not in ready}
    unready |= {trainings[unit][0].name for unit in trainings if unit not in ready}
    chunks = [seeds[start : start + CHUNK] for start in range(0, len(seeds), CHUNK)]
    # Chunks are dealt out to the training runs, so that an interval holds what differs between runs.
    evaluations = {
        f"evaluate {e.name} {index}": (e, index % runs, index, chunk)
        for e in entrants
        if e.name not in unready
        for index, chunk in enumerate(chunks)
    }
    study.run(act, evaluations, jobs=jobs, title="evaluating")


def main(
    scenario: Annotated[list[str], typer.Option(help="Name or path of a scenario; repeatable.")],
    policy: Annotated[
        list[str] | None,
        typer.Option(help="Short name, module:Class or saved policy; repeatable. Default: the scenario's list."),
    ] = None,
    seeds: options.Seeds = None,
    runs: Annotated[int, typer.Option(min=1, help="Training runs of an agent that learns.")] = 1,
    trials: Annotated[int | None, typer.Option(min=1, help="Random-search trials that tune a baseline.")] = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Compare policies on scenarios over paired seeds, and write a report."""
    with options.exits():
        scenarios = [_sized(load_scenario(name), quick) for name in scenario]
        names = [s.name for s in scenarios]
        if len(set(names)) < len(names):
            raise ConfigError(f"scenarios must have different names, actual: {', '.join(names)}")
        policies = {s.name: resolve(["random", *(policy or s.policies)]) for s in scenarios}
        n_seeds, n_trials = seeds or (10 if quick else 50), trials or (8 if quick else 32)
        # Built here once, so that the workers find every pool in the cache.
        cores = {s.name: [make_core(s.env, s.kwargs_for(role)) for role in ROLES] for s in scenarios}
        judged_on = seeds_for(MASTER, "evaluation", n=n_seeds)
        study = Study(
            "benchmark",
            {
                "scenarios": [s.model_dump(mode="json") for s in scenarios],
                "policies": policies,
                "seeds": n_seeds,
                "runs": runs,
                "trials": n_trials,
                "master": MASTER,
            },
            label="+".join(names),
            seeds=judged_on,
            step_unit={name: roles[-1].task.budget_unit for name, roles in cores.items()},
            out=out,
            resume=resume,
        )
        entrants = [e for s in scenarios for e in enter(study, s, cores[s.name][-1], policies[s.name])]
        compete(study, entrants, judged_on, runs, n_trials, jobs)
        board = leaderboard.Leaderboard(study.results(), scenarios, judged_on)
        found = {e.name: tuned(e, study.out) for e in entrants if e.tuned and _tuning(e, study.out).exists()}
        status = study.finish(board.results, tuned=found)
        if not board.policies:
            raise StudyError(f"no policy acted on all {n_seeds} seeds; see 'failures' in {study.out}/manifest.json")
        page = report(board, study).write(study.out)
        if track:
            config = study.manifest["config"]
            with Tracker(study.out, name=study.out.name, config=config, group="benchmark") as tracker:
                tracker.log_table("headline", board.headline())
        print_headline(board, console)
        say(f"report: {page}")
    raise typer.Exit(status)


def _sized(scenario: Scenario, quick: bool) -> Scenario:
    """With ``--quick``, agents train for a tenth of their steps."""
    if not quick:
        return scenario
    agents = {
        name: settings.model_copy(update={"total_timesteps": max(1, settings.total_timesteps // 10)})
        for name, settings in scenario.agents.items()
    }
    return scenario.model_copy(update={"agents": agents})


if __name__ == "__main__":
    typer.run(main)

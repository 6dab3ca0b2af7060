"""A contest: policies that are tuned, trained and judged on the same seeds, and what it leaves behind.

Random is always among the policies: it is the zero of the normalised score. What can be tuned is tuned on tuning
seeds, what learns is trained on training seeds, and all act on evaluation seeds that nothing was fitted to.
"""

import traceback
from pathlib import Path
from typing import Any

from baselines.tuning import search_space
from curation_gym.config import ConfigError
from curation_gym.console import say
from curation_gym.envs.base import CurationVectorEnv
from curation_gym.policy import policy_class
from curation_gym.scenario import Scenario
from curation_gym.seeding import seeds_for
from experiments.benchmark.report import print_headline, report
from experiments.harness.leaderboard import TRAINING, Leaderboard
from experiments.harness.policies import REFERENCES, digest, resolve
from experiments.harness.study import MASTER, Failure, Study, StudyError, Work
from experiments.harness.tracking import Tracker
from experiments.harness.units import (
    Entrant,
    act,
    cores,
    made_for,
    prepare,
    search,
    settings,
    train,
    trained_fraction,
    tuned,
)

CHUNK = 10  # most seeds per unit: an interrupt loses little, and a batch is still worth while


def enter(study: Study, scenario: Scenario, core: CurationVectorEnv, policies: dict[str, str]) -> list[Entrant]:
    """The policies that can be constructed for the task; the others are told before the long work begins."""
    entrants = []
    for policy, target in policies.items():
        try:
            made_for(core, target, 0)
            learns = ":" in target and hasattr(policy_class(target), "learn")
            if learns:
                settings(target, scenario)
            tunable = policy not in REFERENCES and bool(search_space(target, core.task))
            entrants.append(Entrant(scenario, policy, target, tunable, learns))
        except Exception as error:
            told = f"{type(error).__name__}: {error}"
            study.fail(Failure(f"{policy} on {scenario.name}", told, traceback.format_exc()))
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
    # Chunks are dealt out to the training runs, so that an interval holds what differs between runs.
    size = min(CHUNK, -(-len(seeds) // runs))
    chunks = [seeds[start : start + size] for start in range(0, len(seeds), size)]
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
    overwrite: bool = False,
    track: bool = False,
    next_steps: str = "",
) -> int:
    """Run a contest as the study ``name``: results, manifest, report, and the headline on the console.

    Args:
        name: of the study.
        scenarios: with different names.
        policies: scenario → policies, as :func:`experiments.harness.policies.resolve` takes them; random is added.
        n_seeds: paired evaluation seeds.
        trials: of the random search for each policy that has a ``search_space``.
        runs: training runs of each policy that learns.
        out, jobs, resume, overwrite, track: see :mod:`experiments.harness.options`.
        next_steps: commands to try next, for the end of the report.

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
    built = {s.name: cores(s) for s in scenarios}
    judged_on = seeds_for(MASTER, "evaluation", n=n_seeds)
    study = Study(
        name,
        {
            "scenarios": [s.model_dump(mode="json") for s in scenarios],
            "policies": resolved,
            "digests": {target: digest(target) for targets in resolved.values() for target in targets.values()},
            "pools": {n: {r: core.task.pool_fingerprint for r, core in roles.items()} for n, roles in built.items()},
            "seeds": n_seeds,
            "runs": runs,
            "trials": trials,
            "master": MASTER,
        },
        label="+".join(names) if len(names) <= 3 else f"{names[0]}+{len(names) - 1}-more",
        seeds=judged_on,
        step_unit={name: roles["evaluation"].task.budget_unit for name, roles in built.items()},
        out=out,
        resume=resume,
        overwrite=overwrite,
    )
    entrants = [e for s in scenarios for e in enter(study, s, built[s.name]["evaluation"], resolved[s.name])]
    compete(study, entrants, judged_on, runs, trials, jobs)
    board = Leaderboard(study.results(), scenarios, judged_on)
    found = {e.name: tuned(e, study.out) for e in entrants if e.tuned and e.tuning(study.out).exists()}
    learned = [e.name for e in entrants if e.trained]
    budgets = {name: roles["evaluation"].task.budget for name, roles in built.items()}
    status = study.finish(board.results, budget=budgets, tuned=found, trained=learned)
    if not board.policies:
        raise StudyError(f"no policy acted on all {n_seeds} seeds; see 'failures' in {study.out}/manifest.json")
    page = report(board, study)
    if next_steps:
        page.add_heading("What to try next").add_code(next_steps)
    if track:
        _track(study, board)
    print_headline(board)
    say(f"report: {page.write(study.out)}")
    return status


def _track(study: Study, board: Leaderboard) -> None:
    """The headline, and every curve as the policy's mean over seeds."""
    with Tracker.of(study, group=study.name) as tracker:
        tracker.log_table("headline", board.headline())
        for task in board.tasks:
            for key in (*task.scenario.recorded, TRAINING):
                for policy, (steps, mean, _, _) in task.curves(key).items():
                    for step, value in zip(steps, mean, strict=True):
                        tracker.log({f"{task.scenario.name}/{key}/{policy}": float(value)}, int(step))

"""DynACurE: policies that curate what a small language model is fine-tuned on, at equal tokens.

    python -m experiments.dynacure --corpus mixed --seeds 5

In this order, each resumable: a judge is trained that shares no document and no features with any signal (people who
labelled the same sources are asked by audits); the base model is pre-trained on the raw mixture; what can be tuned is
tried in more short episodes than a learned policy fine-tunes models in; what learns is trained; then every policy
selects at five operating points (weights of safety against utility) and seeds, the same base model is fine-tuned on
each selection, and judged on held-out text. While this was designed, judged runs were looked at, on another seed and
other texts of the test split.
"""

from typing import Annotated, Any

import pandas as pd
import typer

from baselines.tuning import draws, search_space
from curation_gym.config import ConfigError
from curation_gym.console import say
from curation_gym.evaluation.rollout import make_core
from curation_gym.policy import SearchSpace, policy_class
from curation_gym.scenario import Scenario, load_scenario, merged
from curation_gym.seeding import seeds_for
from experiments import options
from experiments.corpora import CORPORA, JUDGE, OTHER_JUDGE, PROBES, cut_by
from experiments.dynacure_evaluation import EvaluationConfig
from experiments.dynacure_report import add_corpus, print_headline
from experiments.dynacure_results import MAIN_POINT
from experiments.dynacure_runs import BEST_OF_K, UNGUIDED, Run, judge_of, judged_run
from experiments.dynacure_tuning import Candidates, Trials, choose, chosen, ranked, try_out
from experiments.policies import resolve
from experiments.report import Report
from experiments.study import Failure, Study
from experiments.units import MASTER, Entrant, prepare, settings, train

SCENARIO = "dynacure"
POLICIES = {
    "none": "random",
    "stratified": "stratified",
    "heuristic": "heuristic",
    "static_filter": "classifier_filter",
    "raft": "raft",
    "raft_refined": "raft_refined",
    BEST_OF_K: "baselines.best_of_k:BestOfK",
    "domain_rule": "domain_rule",
    "dynacure": "ppo",
    "label_clean": "label_clean",
}
"""As shown in results → as :func:`experiments.policies.resolve` takes it."""
POINTS = {
    f"safety {safety:g}": {"safety": safety, "alignment": 0.1, "utility": round(0.9 - safety, 2)}
    for safety in (0.5, 0.6, 0.7, 0.8, 0.9)
}
BY_SCORE = ("raft", "raft_refined")
"""Policies that rank by the weights: what is tried at an operating point tells of that one only."""
EPISODE: dict[str, Any] = {
    "n_items": 32,
    "horizon": 128,
    "budget": 40_000,
    "refinement": {"every": 16, "size": 160, "gain": 5.0, "carry": 0.25},
    "probes": PROBES | {"every": 64, "prompts": 32, "clean": 24, "pairs": 16},
}
"""Of training and tuning, begun at the base model."""
TRIAL: dict[str, Any] = {"probes": {"prompts": 192, "clean": 64}}
"""Of tuning, where single probes decide."""
WHOLE: dict[str, Any] = {
    "horizon": 1280,
    "budget": 400_000,
    "fine_tuning": {"learning_rate": 0.001},
    "refinement": {"size": 16},
    "probes": {"every": 64, "clean": 64},
}
"""Of what is judged: nearly all of the corpus is shown once, less than half of its tokens is paid for. People look at
1,280 texts at most, the same ones as in an episode of training."""
SHORTER: dict[str, dict[str, Any]] = {"without_tweets": {"horizon": 960, "budget": 300_000}}
"""Of what is judged, where the corpus is shorter."""
SEEDS, QUICK_SEEDS = 5, 2
TRIALS, QUICK_TRIALS = 80, 3
"""Episodes; in no more of them does a policy learn by training the model."""
LOOKED_AT = 25
"""Draws per trial, most of which don't spend the budget."""


def main(
    corpus: Annotated[list[str] | None, typer.Option("--corpus", help="mixed or without_tweets; repeatable.")] = None,
    config: Annotated[
        str, typer.Option(help="Name or YAML path of the scenario; its pool and probes are those of the corpus.")
    ] = SCENARIO,
    policy: Annotated[list[str] | None, typer.Option(help="As shown in results; repeatable. Default: all.")] = None,
    seeds: options.Seeds = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Episodes in which a policy's hyperparameters are tried.")
    ] = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
) -> None:
    """Curate, fine-tune, judge."""
    with options.exits():
        scenarios = [scenario_of(name, config, quick) for name in corpus or CORPORA]
        policies = _chosen(policy)
        n_seeds = seeds or (QUICK_SEEDS if quick else SEEDS)
        n_trials = trials or (QUICK_TRIALS if quick else TRIALS)
        judged_on = judged_seeds(n_seeds)
        study = Study(
            "dynacure",
            {
                "scenarios": [scenario.model_dump(mode="json") for scenario in scenarios],
                "policies": policies,
                "points": POINTS,
                "judge": JUDGE,
                "other_judge": OTHER_JUDGE,
                "evaluation": EvaluationConfig().model_dump(),
                "trials": n_trials,
                "seeds": n_seeds,
                "master": MASTER,
            },
            label="+".join(scenario.name for scenario in scenarios) + ("-quick" if quick else ""),
            seeds=judged_on,
            step_unit={scenario.name: "tokens" for scenario in scenarios},
            out=out,
            resume=resume,
            overwrite=overwrite,
        )
        judge_of(study, *scenarios)
        for scenario in scenarios:
            _curate(study, scenario, policies, judged_on, n_trials, jobs)
        results = study.results()
        status = study.finish(results)
        report = Report("Curated fine-tuning").add_text((__doc__ or "").split("\n\n", 2)[2].strip())
        for scenario in scenarios:
            add_corpus(report, results[results["scenario"] == scenario.name], scenario.name)
        print_headline(results)
        say(f"report: {report.write(study.out)}")
    raise typer.Exit(status)


def judged_seeds(n: int) -> list[int]:
    """Seeds of the episodes, fine-tuning and samples that are judged; those of run 0 were looked at while the study was
    designed."""
    return seeds_for(MASTER, "evaluation", run=1, n=n)


def scenario_of(corpus: str, config: str = SCENARIO, quick: bool = False) -> Scenario:
    """The scenario on a corpus of :data:`experiments.corpora.CORPORA`.

    Its arguments are those of the packaged scenario, of :data:`EPISODE` and :data:`WHOLE`; what another scenario says
    holds instead.

    Raises:
        ConfigError: for an unknown corpus.
    """
    if corpus not in CORPORA:
        raise ConfigError(f"no corpus {corpus!r}; there are {', '.join(CORPORA)}")
    scenario = load_scenario(config)
    whole = {} if quick else WHOLE | SHORTER.get(corpus, {})
    packaged = load_scenario(SCENARIO)
    kwargs, evaluation = merged(packaged.kwargs, EPISODE), merged(packaged.overrides.evaluation, whole)
    if scenario != packaged:
        kwargs, evaluation = merged(kwargs, scenario.kwargs), merged(evaluation, scenario.overrides.evaluation)
        evaluation = {name: value for name, value in evaluation.items() if kwargs.get(name, value) is not None}
    model = kwargs.get("language_model")
    pool = cut_by(CORPORA[corpus], model) if isinstance(model, str) else CORPORA[corpus]
    kwargs |= {"pool": pool, "probes": merged(kwargs.get("probes", {}), EPISODE.get("probes", {}))}
    tuning = merged(TRIAL, scenario.overrides.tuning)
    overrides = scenario.overrides.model_copy(update={"evaluation": evaluation, "tuning": tuning})
    scenario = scenario.model_copy(update={"name": corpus, "kwargs": kwargs, "overrides": overrides})
    return options.sized(scenario, quick)


def _chosen(names: list[str] | None) -> dict[str, str]:
    if unknown := sorted(set(names or ()) - set(POLICIES)):
        raise ConfigError(f"unknown policy {unknown[0]!r}; there are {', '.join(POLICIES)}")
    wanted = dict.fromkeys(["none", *(names or POLICIES)])
    return {name: next(iter(resolve([POLICIES[name]]).values())) for name in wanted}


def _curate(
    study: Study, scenario: Scenario, policies: dict[str, str], seeds: list[int], n_trials: int, jobs: int | None
) -> None:
    """Tune, train and judge on one corpus."""
    # Built here once, so that the workers find pool and base model in the cache, and what can't be judged fails now.
    core, _ = (make_core(scenario.env, scenario.kwargs_for(role)) for role in ("tuning", "evaluation"))
    spaces = {name: search_space(target, core.task) for name, target in policies.items()}
    trials = {
        f"{scenario.name} try {trial.label}, {part}": (try_out, trial)
        for name, space in spaces.items()
        if space
        for part, trial in enumerate(_trials(scenario, name, policies[name], space, n_trials))
    }
    learners = [name for name, target in policies.items() if hasattr(policy_class(target), "learn")]
    entrants = {name: Entrant(scenario, name, policies[name], tuned=False, trained=True) for name in learners}
    units = {f"{scenario.name} train {name}": (train, (entrant, 0)) for name, entrant in entrants.items()}
    done = study.run(prepare, units | trials, jobs=jobs, title="training and tuning")
    failed = {payload[1].policy for unit, payload in trials.items() if unit not in done}
    failed |= {name for name in entrants if f"{scenario.name} train {name}" not in done}
    tuned = [name for name in policies if spaces[name] and name not in failed]
    results = study.results()
    choices = {
        f"{scenario.name} choose {name}@{point}": candidates
        for name in tuned
        for point in POINTS
        if (candidates := _candidates(results, scenario, name, policies[name], point)).ranked
    }
    done = study.run(choose, choices, jobs=jobs, title="choosing")
    failed |= {candidates.policy for unit, candidates in choices.items() if unit not in done}
    results = study.results()
    runs: dict[str, Run] = {}
    for name, target in policies.items():
        if name in failed:
            continue
        points = points_of(results, scenario, name, name in tuned)
        if not points:
            reason = f"none of {LOOKED_AT * n_trials} draws spends the budget at every point"
            study.fail(Failure(f"{scenario.name} choose {name}", reason))
            continue
        made = str(entrants[name].place(study.out) / "policy") if name in entrants else target
        episodes = _trained_in(scenario, target) if name in entrants else n_trials if name in tuned else 0
        for point, found in points.items():
            for seed in seeds:
                unit = f"{scenario.name} {name}@{point} {seed}"
                further = point == MAIN_POINT
                runs[unit] = Run(scenario, name, made, point, POINTS[point], found, seed, further, episodes=episodes)
    # Seeds first: an interrupted study has all policies on some seeds, not some policies on all.
    order = sorted(runs, key=lambda unit: seeds.index(runs[unit].seed))
    study.run(judged_run, {unit: runs[unit] for unit in order}, jobs=jobs, title=f"fine-tuning on {scenario.name}")


def _trained_in(scenario: Scenario, target: str) -> int:
    """Episodes in which a learned policy trains models; those in which it imitates a rule have none."""
    found = settings(target, scenario)
    return 0 if found is None else found.total_timesteps // int(scenario.kwargs_for("training")["horizon"])


def _trials(scenario: Scenario, name: str, target: str, space: SearchSpace, n: int) -> list[Trials]:
    """The trials of a policy, in parts that can run at the same time; the first draw is the class's defaults."""
    every, trials = list(enumerate(draws(space, LOOKED_AT * n, MASTER))), []
    for part, (point, weights) in enumerate(POINTS.items()):
        some = every if name in BY_SCORE else every[part :: len(POINTS)]
        weights = weights if name in BY_SCORE else POINTS[MAIN_POINT]
        wanted = -(-n // len(POINTS))
        trials.append(Trials(scenario, name, target, weights, dict(some), wanted, label=tried_as(name, point)))
    return trials


def _candidates(results: pd.DataFrame, scenario: Scenario, name: str, target: str, point: str) -> Candidates:
    """What was tried of a policy, for a point."""
    label, weights = tried_as(name, point), POINTS[point]
    trials = _trials_of(results, scenario, label)
    in_order = ranked(trials, weights) if len(trials) else {}
    return Candidates(scenario, name, target, point, weights, in_order, label)


def _trials_of(results: pd.DataFrame, scenario: Scenario, label: str) -> pd.DataFrame:
    return results[(results["scenario"] == scenario.name) & (results["policy"] == label)]


def tried_as(policy: str, point: str) -> str:
    """What a policy's trials for an operating point are called."""
    return f"{policy} for {point}" if policy in BY_SCORE else policy


def tuned_at(results: pd.DataFrame, scenario: Scenario, policy: str, point: str) -> dict[str, float] | None:
    """The hyperparameters that were chosen for a policy at an operating point, where any were; none are the class's
    defaults."""
    return chosen(_trials_of(results, scenario, tried_as(policy, point)), point)


def points_of(results: pd.DataFrame, scenario: Scenario, name: str, tuned: bool) -> dict[str, dict[str, float]]:
    """Operating point → hyperparameters of a policy there; empty when at some point nothing was chosen.

    What doesn't see the weights does the same at two points for which the same hyperparameters were found: it stands at
    one of them, the main one if that is among them.
    """
    if name in UNGUIDED:
        return {MAIN_POINT: {}}
    if not tuned:
        return {point: {} for point in POINTS}
    found = {
        point: hyperparameters
        for point in POINTS
        if (hyperparameters := tuned_at(results, scenario, name, point)) is not None
    }
    if len(found) < len(POINTS):
        return {}
    if name in BY_SCORE:
        return found
    first = {str(found[point]): point for point in (*reversed(POINTS), MAIN_POINT)}
    return {point: found[point] for point in POINTS if point in first.values()}


if __name__ == "__main__":
    typer.run(main)

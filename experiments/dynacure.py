"""DynACurE: policies that curate what a small language model is fine-tuned on, at equal tokens.

    python -m experiments.dynacure --corpus mixed --seeds 5

In this order, each resumable: a judge is trained that shares no document and no features with any signal (people who
labelled the same sources are asked by audits); the base model is pre-trained on the raw mixture; what learns is
trained; thresholds, shares and weights are tried on tuning seeds, and chosen for five operating points by what the
model then says and reads; every policy selects at each of them, on seeds that nothing was tried on, the same base model
is fine-tuned on each selection, and judged on held-out text. While this was designed, judged runs were looked at, on
other seeds and on prompts and clean texts that were drawn anew since.
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
from experiments.dynacure_results import BASE, MAIN_POINT
from experiments.dynacure_runs import BEST_OF_K, UNGUIDED, Run, judge_of, judged_run
from experiments.dynacure_tuning import SHORT, WHOLE, Hyperparameters, Trials, promising, ranked, try_out, weighted
from experiments.policies import resolve
from experiments.report import Report
from experiments.study import Failure, Study, Work
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
POINTS: dict[str, dict[str, float] | None] = {
    "no domain pays": None,
    **{f"safety {w:g}": {"safety": w, "alignment": 0.1, "utility": round(0.9 - w, 2)} for w in (0.6, 0.7, 0.8, 0.9)},
}
"""Operating points: what counts, by how much, of what a model says and reads; or, at None, what is safest of what costs
no domain anything. See :func:`experiments.dynacure_tuning.ranked`."""
WEIGHED = POINTS[MAIN_POINT] or {}
"""The environment's weights where they aren't tuned: for what doesn't rank by them."""
BY_WEIGHTS = ("raft", "raft_refined", "dynacure")
"""Policies that rank by the environment's weights. So these are what is tuned of them."""
WEIGHTS = [
    {"safety": safety, "alignment": alignment, "utility": round(1 - safety - alignment, 2)}
    for safety in (0.45, 0.6, 0.7, 0.75, 0.8, 0.85)
    for alignment in (0.0, 0.1)
]
EPISODE: dict[str, Any] = {
    "n_items": 32,
    "horizon": 128,
    "budget": 40_000,
    "refinement": {"every": 16, "size": 160, "gain": 5.0, "carry": 0.25},
    "probes": PROBES | {"every": 64, "prompts": 32, "clean": 24, "pairs": 16},
}
"""Of training and tuning, begun at the base model."""
JUDGED: dict[str, Any] = {
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
TRIALS, QUICK_TRIALS = 64, 4
"""Short episodes in which thresholds and shares are tried: as many as those in which a learned policy trains models."""
PROMISING = len(WEIGHTS)
"""Of them, how many are tried in whole episodes, too: as many as there are weights to choose from."""
LOOKED_AT = 25
"""Draws per trial, most of which don't spend the budget."""
PARTS = 4
"""In which a policy's trials can run at the same time."""


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
                "weights": WEIGHTS,
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
            rows = results[results["scenario"] == scenario.name]
            add_corpus(report, rows, scenario.name, {name: points_of(rows, name) for name in policies})
        print_headline(results)
        say(f"report: {report.write(study.out)}")
    raise typer.Exit(status)


def judged_seeds(n: int) -> list[int]:
    """Seeds of the episodes, fine-tuning and samples that are judged; those of runs 0 and 1 were looked at while the
    study was designed."""
    return seeds_for(MASTER, "evaluation", run=2, n=n)


def scenario_of(corpus: str, config: str = SCENARIO, quick: bool = False) -> Scenario:
    """The scenario on a corpus of :data:`experiments.corpora.CORPORA`.

    Its arguments are those of the packaged scenario, of :data:`EPISODE` and :data:`JUDGED`; what another scenario says
    holds instead.

    Raises:
        ConfigError: for an unknown corpus.
    """
    if corpus not in CORPORA:
        raise ConfigError(f"no corpus {corpus!r}; there are {', '.join(CORPORA)}")
    scenario = load_scenario(config)
    whole = {} if quick else JUDGED | SHORTER.get(corpus, {})
    packaged = load_scenario(SCENARIO)
    kwargs, evaluation = merged(packaged.kwargs, EPISODE), merged(packaged.overrides.evaluation, whole)
    if scenario != packaged:
        kwargs, evaluation = merged(kwargs, scenario.kwargs), merged(evaluation, scenario.overrides.evaluation)
        evaluation = {name: value for name, value in evaluation.items() if kwargs.get(name, value) is not None}
    model = kwargs.get("language_model")
    pool = cut_by(CORPORA[corpus], model) if isinstance(model, str) else CORPORA[corpus]
    kwargs |= {"pool": pool, "probes": merged(kwargs.get("probes", {}), EPISODE.get("probes", {}))}
    overrides = scenario.overrides.model_copy(update={"evaluation": evaluation})
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
    """Train, tune and judge on one corpus."""
    # Built here once, so that the workers find pool and base model in the cache, and what can't be judged fails now.
    core, _ = (make_core(scenario.env, scenario.kwargs_for(role)) for role in (SHORT, WHOLE))
    learners = [name for name, target in policies.items() if hasattr(policy_class(target), "learn")]
    entrants = {name: Entrant(scenario, name, policies[name], tuned=False, trained=True) for name in learners}
    training = {f"{scenario.name} train {name}": (train, (entrant, 0)) for name, entrant in entrants.items()}
    by_hand = [name for name in policies if name not in (*UNGUIDED, *BY_WEIGHTS)]
    spaces: dict[str, SearchSpace] = {name: search_space(policies[name], core.task) for name in by_hand}
    short = [trials for name in (BASE, *by_hand) for trials in _short(scenario, name, policies, spaces, n_trials)]
    done = study.run(prepare, training | _units(short), jobs=jobs, title="training, and trials in short episodes")

    made = {name: str(entrants[name].place(study.out) / "policy") for name in learners}
    missing = {name for name in learners if f"{scenario.name} train {name}" not in done}
    results = _of(study, scenario)
    whole = [
        trials
        for name in (BASE, *by_hand, *(name for name in policies if name in BY_WEIGHTS and name not in missing))
        for trials in _whole(results, scenario, name, made.get(name, policies[name]))
    ]
    study.run(prepare, _units(whole), jobs=jobs, title="trials in whole episodes")

    results = _of(study, scenario)
    runs: dict[str, Run] = {}
    for name, target in policies.items():
        if name in missing:
            continue
        points = points_of(results, name)
        if not points:
            reason = f"none of {LOOKED_AT * n_trials} draws spends the budget"
            study.fail(Failure(f"{scenario.name} choose {name}", reason))
            continue
        before = tokens_before(scenario, target, results, name)
        for point, found in points.items():
            weights, own = weighted(found, WEIGHED)
            for seed in seeds:
                unit = f"{scenario.name} {name}@{point} {seed}"
                further = point == MAIN_POINT
                where = (scenario, name, made.get(name, target), point, weights, own, seed, further)
                runs[unit] = Run(*where, tokens_before=before)
    # Seeds first: an interrupted study has all policies on some seeds, not some policies on all.
    order = sorted(runs, key=lambda unit: seeds.index(runs[unit].seed))
    study.run(judged_run, {unit: runs[unit] for unit in order}, jobs=jobs, title=f"fine-tuning on {scenario.name}")


def _of(study: Study, scenario: Scenario) -> pd.DataFrame:
    results = study.results()
    return results[results["scenario"] == scenario.name]


def _units(every: list[Trials]) -> dict[str, tuple[Work, Trials]]:
    """Name of the unit → the trials."""
    names = [f"{one.scenario.name} try {one.policy} in {one.role}, {next(iter(one.draws))}" for one in every]
    return {name: (try_out, one) for name, one in zip(names, every, strict=True)}


def _short(
    scenario: Scenario, name: str, policies: dict[str, str], spaces: dict[str, SearchSpace], n: int
) -> list[Trials]:
    """Trials of what is set by hand, in parts that can run at the same time; the first draw is the class's defaults."""
    about = (scenario, name, policies[name], SHORT)
    if name not in spaces:
        return [Trials(*about, {0: {}}, 1)]
    every = list(enumerate(draws(spaces[name], LOOKED_AT * n, MASTER)))
    return [Trials(*about, dict(every[part::PARTS]), -(-n // PARTS)) for part in range(PARTS)]


def _whole(results: pd.DataFrame, scenario: Scenario, name: str, target: str) -> list[Trials]:
    """Trials in whole episodes: of each of the weights, or of what is promising."""
    about = (scenario, name, target, WHOLE)
    if name in BY_WEIGHTS:
        return [Trials(*about, {number: {}}, 1, weights) for number, weights in enumerate(WEIGHTS)]
    every = [(0, {})] if name == BASE else list(promising(results, name, POINTS.values()).items())
    return [Trials(*about, dict(every[part::PARTS]), PROMISING // PARTS) for part in range(PARTS) if every[part:]]


def points_of(results: pd.DataFrame, name: str) -> dict[str, Hyperparameters]:
    """Operating point → what was chosen for a policy there; empty when nothing was tried.

    What does the same at two points stands at one of them, the main one if that is among them.
    """
    if name in UNGUIDED:
        return {MAIN_POINT: {}}
    found = {
        point: next(iter(order.values()))
        for point, weights in POINTS.items()
        if (order := ranked(results, WHOLE, name, weights))
    }
    first = {str(found[point]): point for point in (*reversed(POINTS), MAIN_POINT) if point in found}
    return {point: found[point] for point in POINTS if point in first.values()}


def tokens_before(scenario: Scenario, target: str, results: pd.DataFrame, name: str) -> int:
    """Tokens on which models were fine-tuned to train and tune a policy; episodes in which it imitates have none."""
    found = None if name in UNGUIDED else settings(target, scenario)
    training = scenario.kwargs_for("training")
    trained = 0 if found is None else found.total_timesteps // int(training["horizon"]) * int(training["budget"])
    tried = results[(results["policy"] == name) & results["metric"].isin([f"{role}/safety" for role in (SHORT, WHOLE)])]
    return trained + int(tried["step"].sum())


if __name__ == "__main__":
    typer.run(main)

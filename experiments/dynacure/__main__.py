"""DynACurE: policies that curate what a small language model is fine-tuned on, at equal tokens.

    python -m experiments.dynacure --corpus mixed --seeds 5

In this order, each resumable: a judge is trained that knows no document of the corpora, and shares no source and no
features with any signal (people who labelled the same sources are asked by audits); the base model is pre-trained on
the raw mixture; what learns is trained; thresholds, shares and weights are tried on tuning seeds, and chosen for five
operating points by what the model then says and reads; every policy selects at each of them, on seeds that nothing was
tried on, the same base model is fine-tuned on each selection, and judged on held-out text. While this was designed,
judged runs were looked at, on other seeds. Prompts and clean texts are of another draw since, but what a domain has few
of was drawn then, too: about 280 of the 300 clean tweets, and half of the clean forum posts.
"""

from collections.abc import Iterable
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from baselines.tuning import draws, search_space
from curation_gym.config import ConfigError
from curation_gym.console import say
from curation_gym.envs.language_model_selection import LanguageModelSelectionVectorEnv
from curation_gym.evaluation.rollout import make_core
from curation_gym.policy import policy_class
from curation_gym.pools.common import cache_directory
from curation_gym.scenario import Scenario
from curation_gym.task import Task
from experiments.dynacure.changes import AS_WRITTEN, changed
from experiments.dynacure.contenders import (
    BY_WEIGHTS,
    POINTS,
    POLICIES,
    RULES,
    SHORT_FIRST,
    WEIGHED,
    WEIGHTS,
    choices_of,
    points_of,
    tokens_before,
)
from experiments.dynacure.corpora import CORPORA
from experiments.dynacure.further import read_all
from experiments.dynacure.report import add_corpus, headline, hypervolumes, judges, print_headline
from experiments.dynacure.results import BASE, BASE_MODEL, MAIN_POINT, PRICE, SPENT, WORST, CorpusResults
from experiments.dynacure.runs import (
    WRITTEN,
    Run,
    base_of,
    evaluation_of,
    judge_cards,
    judge_of,
    judged_by,
    judged_run,
)
from experiments.dynacure.scenario import SCENARIO, judged_seeds, scenario_of
from experiments.dynacure.tuning import (
    ASKED,
    ROLES,
    SHORT,
    WHOLE,
    Trials,
    Units,
    by_weights,
    in_parts,
    promising,
    units_of,
    weighted,
)
from experiments.harness import options
from experiments.harness.leaderboard import TRAINING
from experiments.harness.policies import resolve
from experiments.harness.report import Report
from experiments.harness.study import MASTER, Failure, Study, StudyError
from experiments.harness.tracking import Tracker
from experiments.harness.units import Entrant, prepare, train

SEEDS, QUICK_SEEDS, QUICK_WEIGHTS = 5, 2, 2
TRIALS, QUICK_TRIALS = 64, 4
"""Short episodes in which thresholds, shares and weights are tried: as many as a learned policy trains models in."""
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
        int | None, typer.Option(min=1, help="Short episodes in which thresholds, shares and weights are tried.")
    ] = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Curate, fine-tune, judge."""
    with options.exits():
        scenarios = [scenario_of(name, config, quick) for name in corpus or CORPORA]
        policies = _chosen(policy)
        n_seeds = seeds or (QUICK_SEEDS if quick else SEEDS)
        n_trials = trials or (QUICK_TRIALS if quick else TRIALS)
        weights = WEIGHTS[:: len(WEIGHTS) // QUICK_WEIGHTS] if quick else WEIGHTS
        judged_on = judged_seeds(n_seeds)
        study = Study(
            "dynacure",
            {
                "scenarios": [scenario.model_dump(mode="json") for scenario in scenarios],
                "policies": policies,
                "points": POINTS,
                "tuning": {
                    "weights": weights,
                    "drawn": _drawn_weights(n_trials),
                    "looked_at": LOOKED_AT,
                    "asked": ASKED,
                    "price": PRICE,
                    "spent": SPENT,
                    "worst": WORST,
                },
                "as_written": AS_WRITTEN._asdict(),
                "trials": n_trials,
                "seeds": judged_on,
                "judged_by": judged_by(),
                "master": MASTER,
            },
            label="+".join(scenario.name for scenario in scenarios) + ("-quick" if quick else ""),
            seeds=judged_on,
            step_unit={scenario.name: "tokens" for scenario in scenarios},
            out=out,
            resume=resume,
            overwrite=overwrite,
        )
        read_all()
        judge_of(study, *scenarios)
        # Built here once, so that the workers find pool and base model in the cache, and what can't be judged, of any
        # corpus, fails before the long work begins.
        ready = [_ready(study, scenario) for scenario in scenarios]
        for scenario, (task, base) in zip(scenarios, ready, strict=True):
            _curate(study, scenario, task, base, policies, weights, judged_on, n_trials, jobs)
        results = study.results()
        status = study.finish(results)
        report = Report("Curated fine-tuning", __doc__)
        report.add_table(
            judges(judge_cards(study.out)),
            "How well the judges tell toxic from clean text within each domain: AUC on held-out human labels, with "
            "its 95 % interval by bootstrap.",
        )
        for scenario in scenarios:
            rows = results[results["scenario"] == scenario.name]
            add_corpus(report, rows, scenario.name, {name: choices_of(rows, name) for name in policies})
        page = report.write(study.out)
        if track:
            _track(study, results)
        print_headline(results)
        say(f"report: {page}")
    raise typer.Exit(status)


def _chosen(names: list[str] | None) -> dict[str, str]:
    if unknown := sorted(set(names or ()) - set(POLICIES)):
        raise ConfigError(f"unknown policy {unknown[0]!r}; there are {', '.join(POLICIES)}")
    wanted = dict.fromkeys(["none", *(names or POLICIES)])
    return {name: next(iter(resolve([POLICIES[name]]).values())) for name in wanted}


def _ready(study: Study, scenario: Scenario) -> tuple[Task, int]:
    """The task that rules are tuned for and a digest of the base model, once it is known that all can be made."""
    tuning, judged = (make_core(scenario.env, scenario.kwargs_for(role)) for role in ROLES.values())
    assert isinstance(judged, LanguageModelSelectionVectorEnv)
    evaluation_of(judged, study.out)
    return tuning.task, base_of(judged)


def _curate(
    study: Study,
    scenario: Scenario,
    task: Task,
    base: int,
    policies: dict[str, str],
    weights: list[dict[str, float]],
    seeds: list[int],
    n_trials: int,
    jobs: int | None,
) -> None:
    """Train, tune and judge on one corpus.

    Every policy is chosen by what the trials of all come to: from a stage of which something failed, nothing goes on,
    or what is judged now and what a resumed study judges under the same name would be chosen by different measures.
    """
    entrants = {
        name: Entrant(_for(scenario, name), name, target, tuned=False, trained=True)
        for name, target in policies.items()
        if hasattr(policy_class(target), "learn")
    }
    short = units_of([Trials(scenario, BASE, policies[BASE], SHORT, {0: {}}, 1)])
    for name, target in policies.items():
        if name in entrants:
            short[f"{scenario.name} train {name}"] = (train, (entrants[name], 0))
        elif name in RULES:
            short |= units_of(_short(scenario, name, target, task, n_trials))
        elif name in SHORT_FIRST:
            drawn = dict(enumerate(_drawn_weights(n_trials)))
            short |= units_of(by_weights(scenario, name, target, SHORT, drawn))
    if not _done(study, short, jobs, "training, and trials in short episodes"):
        return

    made = policies | {name: str(entrant.place(study.out) / "policy") for name, entrant in entrants.items()}
    results = _of(study, scenario)
    whole = units_of([Trials(scenario, BASE, policies[BASE], WHOLE, {0: {}}, 1)])
    for name, target in made.items():
        if name in RULES:
            whole |= units_of(_whole(results, scenario, name, target, len(weights)))
        elif name in SHORT_FIRST:
            found = list(promising(results, name, POINTS.values()).items())[: len(weights)]
            best = {number: weighted(one, WEIGHED)[0] for number, one in found}
            whole |= units_of(by_weights(scenario, name, target, WHOLE, best))
        elif name in BY_WEIGHTS:
            whole |= units_of(by_weights(scenario, name, target, WHOLE, dict(enumerate(weights))))
    if not _done(study, whole, jobs, "trials in whole episodes"):
        return

    results = _of(study, scenario)
    runs: dict[str, Run] = {}
    for name, target in policies.items():
        points = points_of(results, name)
        if not points:
            study.fail(Failure(f"{scenario.name} choose {name}", "nothing that was tried spends the budget"))
            continue
        own_scenario = _for(scenario, name)
        before = tokens_before(own_scenario, target, results, name)
        for point, found in points.items():
            at, own = weighted(found, WEIGHED)
            for seed in seeds:
                unit = f"{scenario.name} {name}@{point} {seed}"
                more = {"further": point == MAIN_POINT, "drawn": name == WRITTEN, "tokens_before": before}
                runs[unit] = Run(own_scenario, name, made[name], point, at, own, seed, **more)
    _check_base(study, scenario, runs.values(), base)
    # Seeds first: an interrupted study has all policies on some seeds, not some policies on all.
    order = sorted(runs, key=lambda unit: seeds.index(runs[unit].seed))
    study.run(judged_run, {unit: runs[unit] for unit in order}, jobs=jobs, title=f"fine-tuning on {scenario.name}")


def _check_base(study: Study, scenario: Scenario, runs: Iterable[Run], base: int) -> None:
    """Models that are compared on a seed are to be fine-tuned alike: another machine trains another base model, and may
    compute in another precision.

    Raises:
        StudyError: when a seed was judged in part, from another base model or in another precision than here.
    """
    rows = _of(study, scenario)
    rows = rows[rows["metric"] == BASE_MODEL]
    done = set(zip(rows["policy"], rows["seed"], strict=True))
    left = {run.seed for run in runs if (f"{run.policy}@{run.point}", run.seed) not in done}
    if begun := sorted(left & set(rows.loc[rows["value"] != base, "seed"])):
        raise StudyError(
            f"{scenario.name}, seed {begun[0]}: was judged in part, from another machine's base model or in another "
            f"precision; bring along {cache_directory() / 'models'} from there and give fine_tuning the precision of "
            "there, or remove the parts "
            f"'{scenario.name} *@* {begun[0]}.parquet' ('@' may be written '%40') from {study.out / 'parts'}"
        )


def _for(scenario: Scenario, name: str) -> Scenario:
    """The scenario in which a policy is trained and acts."""
    if name != WRITTEN:
        return scenario
    environment = {**AS_WRITTEN.environment, "weights": WEIGHED}
    return changed(scenario, AS_WRITTEN._replace(environment=environment))


def _drawn_weights(n: int) -> list[dict[str, float]]:
    """First those of the main operating point and :data:`WEIGHTS`, then others, drawn from where these are."""
    drawn = np.random.default_rng(MASTER).uniform((0.4, 0.0), (0.9, 0.1), (n, 2)).tolist()
    others = ({"safety": safety, "alignment": some, "utility": 1 - safety - some} for safety, some in drawn)
    return [WEIGHED, *(weights for weights in WEIGHTS if weights != WEIGHED), *others][:n]


def _done(study: Study, units: Units, jobs: int | None, title: str) -> bool:
    """Whether all of a stage is done; what isn't is told."""
    left = units.keys() - study.run(prepare, units, jobs=jobs, title=title)
    if left:
        study.warn(f"{title}: {len(left)} of {len(units)} failed, and nothing is chosen from a part; --resume goes on")
    return not left


def _of(study: Study, scenario: Scenario) -> pd.DataFrame:
    results = study.results()
    return results[results["scenario"] == scenario.name]


def _short(scenario: Scenario, name: str, target: str, task: Task, n: int) -> list[Trials]:
    """Of what is set by hand, in parts that can run at the same time; the first draw is the class's defaults."""
    every = list(enumerate(draws(search_space(target, task), LOOKED_AT * n, MASTER)))
    return in_parts(scenario, name, target, SHORT, every, n)


def _whole(results: pd.DataFrame, scenario: Scenario, name: str, target: str, n: int) -> list[Trials]:
    """Of those, the promising ones."""
    return in_parts(scenario, name, target, WHOLE, list(promising(results, name, POINTS.values()).items()), n)


def _track(study: Study, results: pd.DataFrame) -> None:
    """What every policy comes to, and the returns of training."""
    with Tracker.of(study, group=study.name) as tracker:
        for corpus, rows in results.groupby("scenario", sort=False):
            for row in rows[rows["metric"] == TRAINING].itertuples():
                tracker.log({f"{corpus}/{TRAINING}/{row.policy}": row.value}, row.step)
            if (r := CorpusResults(rows)).seeds:
                tracker.log_table(f"{corpus}/headline", headline(r))
                tracker.log_table(f"{corpus}/hypervolumes", hypervolumes(r))


if __name__ == "__main__":
    typer.run(main)

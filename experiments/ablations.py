"""What DynACurE owes to its parts: one is changed at a time, and the policy trained and judged anew.

    python -m experiments.ablations --corpus mixed --seeds 3

The changes: refinement by audits and by what the model has lost or says, and where training begins; of what begins at
chance, the probes' weight λ in the reward, what the policy sees of the state, REINFORCE or DVRL in the place of PPO.
They are compared at one operating point; the unchanged policy, which learned all trade-offs at once, also over the
corners of the weights. What begins at chance draws its actions, of which it may prefer none; so does dynacure_drawn,
the unchanged policy that it is compared with.
"""

from typing import Annotated

import numpy as np
import pandas as pd
import typer

from curation_gym.console import say
from curation_gym.evaluation.rollout import make_core
from curation_gym.evaluation.statistics import interval, paired_difference
from curation_gym.scenario import Scenario
from experiments.dynacure.changes import FROM_SCRATCH, Change, changed
from experiments.dynacure.contenders import WEIGHED
from experiments.dynacure.report import add_missing
from experiments.dynacure.results import BASE, MAIN_POINT, OURS, SPENT, CorpusResults
from experiments.dynacure.runs import Run, judge_of, judged_by, judged_run
from experiments.dynacure.scenario import SCENARIO, judged_seeds, scenario_of
from experiments.harness import options
from experiments.harness.policies import POLICIES
from experiments.harness.report import Report, shown
from experiments.harness.study import Study, StudyError
from experiments.harness.tracking import log_results
from experiments.harness.units import Entrant, train

SEEDS, QUICK_SEEDS = 3, 2
HIDEABLE = ("embedding", "signals", "state", "metadata", "context")
WITHOUT_IMITATION = "without_imitation"
DRAWN = f"{OURS}_drawn"
"""The unchanged policy, acting as one does that began at chance: by actions that are drawn."""
AT_CHANCE = {"imitates": None, "learning_rate": 0.005}
"""Hyperparameters of REINFORCE and DVRL where they don't begin at a rule."""
CHANGES = {
    OURS: Change(),
    "without_gain": Change({"refinement": {"gain": 0.0}}),
    "without_carry": Change({"refinement": {"carry": 0.0}}),
    "with_safety_gain": Change({"refinement": {"safety_gain": 4.0}}),
    "without_refinement": Change({"refinement": None}),
    "imitation_only": Change(timesteps=0),
    WITHOUT_IMITATION: Change(hyperparameters=FROM_SCRATCH, base=DRAWN),
    # After imitation few and small steps are taken, in which neither reward nor algorithm can show.
    "probe_weight_0": Change({"probe_weight": 0.0}, FROM_SCRATCH, base=WITHOUT_IMITATION),
    "probe_weight_5": Change({"probe_weight": 5.0}, FROM_SCRATCH, base=WITHOUT_IMITATION),
    "reinforce": Change({}, AT_CHANCE, agent="reinforce", base=WITHOUT_IMITATION),
    "dvrl": Change({}, AT_CHANCE, agent="dvrl", base=WITHOUT_IMITATION),
    # A rule can't be followed by what doesn't see what the rule sees.
    **{f"without_{group}": Change({"hide": [group]}, FROM_SCRATCH, base=WITHOUT_IMITATION) for group in HIDEABLE},
}
CORNERS = {
    "safety 1": {"safety": 1.0, "alignment": 0.0, "utility": 0.0},
    "alignment 1": {"safety": 0.0, "alignment": 1.0, "utility": 0.0},
    "utility 1": {"safety": 0.0, "alignment": 0.0, "utility": 1.0},
    "equal": {"safety": 0.34, "alignment": 0.33, "utility": 0.33},
}
COMPARED = {
    "toxicity": "mean toxicity",
    "toxic_fraction": "fraction toxic",
    "perplexity": "perplexity",
    "preference_accuracy": "preference accuracy",
    "toxic_share": "toxic share",
    "budget_spent": "tokens spent ÷ budget",
}

UNBOUNDED = ("perplexity", "budget_spent")
"""Of these, what isn't a share."""


def main(
    corpus: Annotated[str, typer.Option(help="mixed or without_tweets.")] = "mixed",
    config: Annotated[
        str, typer.Option(help="Name or YAML path of the scenario; its pool and probes are replaced.")
    ] = SCENARIO,
    change: Annotated[list[str] | None, typer.Option(help="Repeatable. Default: all.")] = None,
    seeds: options.Seeds = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Change a part, train, judge."""
    with options.exits():
        scenario = scenario_of(corpus, config, quick)
        entrants = _chosen(scenario, change)
        judged_on = judged_seeds(seeds or (QUICK_SEEDS if quick else SEEDS))
        study = Study(
            "ablations",
            {
                "scenario": scenario.model_dump(mode="json"),
                "changes": {name: CHANGES[name]._asdict() for name in entrants},
                "seeds": judged_on,
                "judged_by": judged_by(),
            },
            label=corpus + ("-quick" if quick else ""),
            seeds=judged_on,
            step_unit={corpus: "tokens"},
            out=out,
            resume=resume,
            overwrite=overwrite,
        )
        judge_of(study, scenario)
        # Built here once, so that the workers find pool and base model in the cache.
        make_core(scenario.env, scenario.kwargs_for("evaluation"))
        trained = study.run(
            train, {f"train {name}": (entrant, 0) for name, entrant in entrants.items()}, jobs=jobs, title="training"
        )
        runs = {
            f"{run.policy}@{run.point} {run.seed}": run
            for seed in judged_on
            for run in _runs(study, scenario, entrants, trained, seed)
        }
        study.run(judged_run, runs, jobs=jobs, title=f"fine-tuning on {corpus}")
        results = study.results()
        status = study.finish(results)
        report = Report("Ablations", __doc__)
        say(f"report: {_add_tables(report, CorpusResults(results)).write(study.out)}")
        if track:
            log_results(study)
    raise typer.Exit(status)


def _chosen(scenario: Scenario, names: list[str] | None) -> dict[str, Entrant]:
    """Name → what is trained; what each is compared with is, too."""
    if unknown := sorted(set(names or ()) - set(CHANGES)):
        raise StudyError(f"unknown change {unknown[0]!r}; there are {', '.join(CHANGES)}")
    wanted = {OURS, *(names or CHANGES)}
    wanted |= {CHANGES[name].base for name in wanted}
    return {  # DRAWN is trained as OURS
        name: Entrant(changed(scenario, change), name, POLICIES[change.agent], tuned=False, trained=True)
        for name, change in CHANGES.items()
        if name in wanted
    }


def _runs(study: Study, scenario: Scenario, entrants: dict[str, Entrant], trained: set[str], seed: int) -> list[Run]:
    runs = [Run(scenario, BASE, POLICIES["random"], MAIN_POINT, WEIGHED, {}, seed)]
    for name, entrant in entrants.items():
        if f"train {name}" in trained:
            path = str(entrant.place(study.out) / "policy")
            points = {MAIN_POINT: WEIGHED} | (CORNERS if name == OURS else {})
            if name == OURS and any(CHANGES[other].base == DRAWN for other in entrants):
                runs.append(Run(entrant.scenario, DRAWN, path, MAIN_POINT, WEIGHED, {}, seed, drawn=True))
            runs += [
                Run(entrant.scenario, name, path, point, weights, {}, seed, drawn=CHANGES[name].from_scratch)
                for point, weights in points.items()
            ]
    return runs


def _add_tables(report: Report, r: CorpusResults) -> Report:
    if not r.seeds:
        return report.add_text("No seed has been judged yet.")
    changes = [name for name in r.points if name != BASE and _base(name) in r.points]
    report.add_table(
        pd.DataFrame([_row(r, name) for name in changes]),
        f"At {MAIN_POINT}, {len(r.seeds)} seeds: value, and its difference to what it is compared with, with 95 % "
        "intervals (Student's t). Every change was trained once; seeds are of stream, fine-tuning and samples. Weights "
        "aren't tuned here: they are the point's own. "
        f"A dash: nothing was selected on some seed; of a difference also, less than {SPENT:.0%} of the tokens were "
        "spent: who trains a model less makes it less toxic.",
    )
    add_missing(report, r)
    corners = [{"weights": name.partition("@")[2]} | _values(r, name) for name in r.points.get(OURS, [])]
    return report.add_table(pd.DataFrame(corners), f"{OURS} over the weights of the objectives.")


def _base(change: str) -> str:
    return OURS if change == DRAWN else CHANGES[change].base


def _values(r: CorpusResults, name: str) -> dict[str, str]:
    domains = {metric: metric.replace("perplexity/", "perplexity ÷ none, ") for metric in r.metrics("perplexity/")}
    compared = {title: _value(r, name, metric) if r.has(name, metric) else "–" for metric, title in COMPARED.items()}
    return compared | {title: shown(r.relative(name, metric)) for metric, title in domains.items()}


def _value(r: CorpusResults, name: str, metric: str) -> str:
    most = np.inf if metric in UNBOUNDED else 1
    return shown(interval(r.values(name, metric)).within(0, most))


def _row(r: CorpusResults, change: str) -> dict[str, str]:
    base = _base(change)
    row = {"change": change, "compared with": "" if change == base else base}
    for metric, title in COMPARED.items():
        names = [f"{name}@{MAIN_POINT}" for name in (change, base)]
        ours, theirs = (r.values(name, metric) for name in names)
        row[title] = _value(r, names[0], metric) if r.has(names[0], metric) else "–"
        row[f"{title}, difference"] = ""
        if change != base:
            equal = all(r.has(name, metric) and (r.values(name, "budget_spent") >= SPENT).all() for name in names)
            row[f"{title}, difference"] = shown(paired_difference([ours], [theirs])) if equal else "–"
    return row


if __name__ == "__main__":
    typer.run(main)

"""What DynACurE owes to its parts: one is changed at a time, and the policy trained and judged anew.

    python -m experiments.ablations --corpus mixed --seeds 3

The changes: the probes' weight λ in the reward, refinement by audits and by what the model has lost, what the policy
sees of the state, where training begins, REINFORCE in the place of PPO. They are compared at one operating point; the
unchanged policy, which learned all trade-offs at once, also over the corners of the weights.
"""

from typing import Annotated, Any

import pandas as pd
import typer

from curation_gym.evaluation.rollout import make_core
from curation_gym.evaluation.statistics import interval, paired_difference
from curation_gym.learners.base_model import model_of
from curation_gym.scenario import Scenario
from curation_gym.seeding import seeds_for
from experiments import options
from experiments.dynacure import MAIN_POINT, POINTS, SCENARIO, scenario_of
from experiments.dynacure_report import BASE, OURS, CorpusResults
from experiments.dynacure_runs import Run, judged_run, make_judge
from experiments.policies import POLICIES
from experiments.report import Report
from experiments.study import Study, StudyError, say
from experiments.umc_report import shown
from experiments.units import MASTER, Entrant, train

SEEDS, QUICK_SEEDS = 3, 2
HIDEABLE = ("embedding", "signals", "state", "metadata", "context")
CHANGES: dict[str, dict[str, Any]] = {
    OURS: {},
    "probe_weight_0": {"probe_weight": 0.0},
    "probe_weight_20": {"probe_weight": 20.0},
    "without_gain": {"refinement": {"gain": 0.0}},
    "without_refinement": {"refinement": None},
    **{f"without_{group}": {"hide": [group]} for group in HIDEABLE},
}
"""Name → arguments of the environment, in every role."""
WITHOUT_IMITATION, REINFORCE = "without_imitation", "reinforce"
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
}


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
) -> None:
    """Change a part, train, judge."""
    with options.exits():
        scenario = scenario_of(corpus, config, quick)
        entrants = _chosen(scenario, change)
        judged_on = seeds_for(MASTER, "evaluation", n=seeds or (QUICK_SEEDS if quick else SEEDS))
        study = Study(
            "ablations",
            {"scenario": scenario.model_dump(mode="json"), "changes": list(entrants), "seeds": len(judged_on)},
            label=corpus + ("-quick" if quick else ""),
            seeds=judged_on,
            step_unit={corpus: "tokens"},
            out=out,
            resume=resume,
            overwrite=overwrite,
        )
        study.run(make_judge, {"judge": None}, jobs=1, title="the judge")
        # Built here once, so that the workers find pool and base model in the cache.
        core = make_core(scenario.env, scenario.kwargs_for("evaluation"))
        model_of(core.config.language_model, core.pool)  # type: ignore[attr-defined]
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
        report = Report("Ablations").add_text((__doc__ or "").split("\n\n", 2)[2].strip())
        say(f"report: {_add_tables(report, CorpusResults(results)).write(study.out)}")
    raise typer.Exit(status)


def changed(scenario: Scenario, change: dict[str, Any]) -> Scenario:
    """The scenario with other arguments of its environment in every role; mappings are merged, None removes."""
    kwargs = dict(scenario.kwargs)
    roles = scenario.overrides.model_dump()
    for name, value in change.items():
        kwargs[name] = {**kwargs.get(name, {}), **value} if isinstance(value, dict) else value
        if value is None:
            for override in roles.values():
                override.pop(name, None)
    return scenario.model_copy(update={"kwargs": kwargs, "overrides": scenario.overrides.model_validate(roles)})


def _chosen(scenario: Scenario, names: list[str] | None) -> dict[str, Entrant]:
    """Name → what is trained; the unchanged policy always."""
    known = (*CHANGES, WITHOUT_IMITATION, REINFORCE)
    if unknown := sorted(set(names or ()) - set(known)):
        raise StudyError(f"unknown change {unknown[0]!r}; there are {', '.join(known)}")
    wanted = dict.fromkeys([OURS, *(names or known)])
    return {name: _entrant(scenario, name) for name in wanted}


def _entrant(scenario: Scenario, name: str) -> Entrant:
    if name == REINFORCE:
        return Entrant(scenario, name, POLICIES["reinforce"], tuned=False, trained=True)
    if name == WITHOUT_IMITATION:
        settings = scenario.agents["ppo"]
        without = settings.model_copy(update={"hyperparameters": settings.hyperparameters | {"imitates": None}})
        scenario = scenario.model_copy(update={"agents": scenario.agents | {"ppo": without}})
    else:
        scenario = changed(scenario, CHANGES[name])
    return Entrant(scenario, name, POLICIES["ppo"], tuned=False, trained=True)


def _runs(study: Study, scenario: Scenario, entrants: dict[str, Entrant], trained: set[str], seed: int) -> list[Run]:
    main_point = POINTS[MAIN_POINT]
    runs = [Run(scenario, BASE, POLICIES["random"], MAIN_POINT, main_point, {}, seed)]
    for name, entrant in entrants.items():
        if f"train {name}" in trained:
            path = str(entrant.place(study.out) / "policy")
            points = {MAIN_POINT: main_point} | (CORNERS if name == OURS else {})
            runs += [Run(entrant.scenario, name, path, point, weights, {}, seed) for point, weights in points.items()]
    return runs


def _add_tables(report: Report, r: CorpusResults) -> Report:
    if not r.seeds:
        return report.add_text("No seed has all changes yet.")
    changes = [name for name in r.points if name != BASE]
    ours = f"{OURS}@{MAIN_POINT}"
    report.add_table(
        pd.DataFrame([_row(r, f"{name}@{MAIN_POINT}", ours) for name in changes]),
        f"At {MAIN_POINT}, {len(r.seeds)} seeds: value, and its difference to {OURS}, with 95 % intervals.",
    )
    corners = [{"weights": name.partition("@")[2]} | _values(r, name) for name in r.points[OURS]]
    return report.add_table(pd.DataFrame(corners), f"{OURS} over the weights of the objectives.")


def _values(r: CorpusResults, name: str) -> dict[str, str]:
    domains = {metric: metric.replace("perplexity/", "perplexity ÷ none, ") for metric in r.metrics("perplexity/")}
    return {title: shown(interval(r.values(name, metric))) for metric, title in COMPARED.items()} | {
        title: shown(r.relative(name, metric)) for metric, title in domains.items()
    }


def _row(r: CorpusResults, name: str, ours: str) -> dict[str, str]:
    row = {"change": name.partition("@")[0]}
    for metric, title in COMPARED.items():
        row[title] = shown(interval(r.values(name, metric)))
        difference = (
            "" if name == ours else shown(paired_difference([r.values(name, metric)], [r.values(ours, metric)]))
        )
        row[f"{title}, difference"] = difference
    return row


if __name__ == "__main__":
    typer.run(main)

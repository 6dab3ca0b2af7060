"""Which uncertainty to ask by: every measure, of every kind of ensemble, on every pool.

    python -m experiments.measures --publish

A campaign asks about the samples of the whole pool that score highest. What counts is the area under its curve of test
accuracy: minus that of random sampling with the same learner and seed, which tells what a measure is worth, and minus
that of one model asked by margin, which tells what an ensemble is worth. No learner weighs classes, since not every
kind can.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from curation_gym.console import say
from curation_gym.evaluation.labelling import ood_detection
from curation_gym.evaluation.statistics import Estimate, area_under_curve, interval, paired_difference
from curation_gym.scenario import Scenario, load_scenario
from curation_gym.seeding import seeds_for
from curation_gym.signals.uncertainty import MEASURES
from experiments.harness import options
from experiments.harness.publishing import RESULTS, place_page, require_whole
from experiments.harness.publishing import publish as put
from experiments.harness.report import Report, shown
from experiments.harness.study import MASTER, Study, StudyError, tidy
from experiments.harness.tracking import log_results
from experiments.umc.campaign import pulls
from experiments.umc.strategies import whole_pool

SEEDS, QUICK_SEEDS = 5, 2
PUBLISHED = "measures_"
"""What names of published studies begin with."""
RANDOM, SINGLE = "random", "single"
PEER = f"{SINGLE}/margin"
"""What an ensemble has to be worth more than."""
ENSEMBLES: dict[str, dict[str, Any]] = {
    SINGLE: {"kind": "linear", "members": 1},
    "bootstrap": {"kind": "linear", "members": 5},
    "subspaces": {"kind": "subspaces", "members": 5},
    "mc_dropout": {"kind": "mc_dropout", "members": 10},
    "snapshots": {"kind": "checkpoints", "members": 5},
}
OF_ONE = ("entropy", "margin", "ratio", "least_confidence")
"""What a single model's probabilities tell; of one member the others are these again, or 0."""
SCALES: dict[str, dict[str, int]] = {
    "umc_digits": {"budget": 300, "batch": 10, "n_initial": 10},
    "umc_mixed_text": {"budget": 1500, "batch": 50, "n_initial": 50},
    "umc_clinc150": {"budget": 1500, "batch": 75, "n_initial": 75},
    "umc_pacs": {"budget": 1500, "batch": 50, "n_initial": 50},
}
"""Coarser than in the study of budgets: there are many campaigns, and networks retrain slowly."""


@dataclass(frozen=True)
class Campaign:
    """What a unit of the study runs."""

    scenario: Scenario
    ensemble: str
    criterion: str
    seed: int


def campaigns(scenario: Scenario, seeds: list[int]) -> dict[str, Campaign]:
    """Every criterion of every ensemble under every seed, by the unit's name."""
    return {
        f"{scenario.name} {ensemble} {criterion} {index}": Campaign(scenario, ensemble, criterion, seed)
        for index, seed in enumerate(seeds)
        for ensemble in ENSEMBLES
        for criterion in (RANDOM, *(OF_ONE if ensemble == SINGLE else MEASURES))
    }


def run(campaign: Campaign, out: Path) -> pd.DataFrame:
    """Rows of the area; of random ones also how well each measure of the last learner detects what is out of scope."""
    scenario, criterion, strategy = campaign.scenario, campaign.criterion, whole_pool(campaign.criterion)
    kwargs = scenario.kwargs_for("evaluation") | SCALES[scenario.name] | strategy.kwargs
    kwargs |= {"learner": ENSEMBLES[campaign.ensemble]}
    accuracy = {}
    for spending, test_accuracy, _ in pulls(kwargs, strategy, campaign.seed):
        accuracy[spending.spent] = test_accuracy
    area = area_under_curve(list(accuracy), list(accuracy.values()), end=kwargs["budget"])
    found = {"test_accuracy_area": area}
    pool, learner = spending.setting.pool, spending.learner
    test = pool.ids("test")
    outside = pool.hidden["label"][test] < 0
    if criterion == RANDOM and outside.any():
        p = learner.predict_proba(test)
        known = OF_ONE if campaign.ensemble == SINGLE else MEASURES
        found |= {f"ood_auroc/{name}": ood_detection(MEASURES[name](p), outside).auroc for name in known}
    policy_name = f"{campaign.ensemble}/{criterion}"
    rows = (
        tidy(scenario.name, scenario.env, policy_name, campaign.seed, m, kwargs["budget"], v) for m, v in found.items()
    )
    return pd.DataFrame(rows)


def ahead(results: pd.DataFrame, scenario: str, policy: str, other: str) -> Estimate | None:
    """Area minus another's, paired by seed; None without two seeds that have both, since a unit may have failed."""
    rows = results[(results["scenario"] == scenario) & (results["metric"] == "test_accuracy_area")]
    area = rows.pivot(index="seed", columns="policy", values="value")
    both = area.reindex(columns=list(dict.fromkeys((policy, other)))).dropna()
    return paired_difference([both[policy]], [both[other]]) if len(both) > 1 else None


def gains(results: pd.DataFrame, scenario: str, over: str | None = None) -> pd.DataFrame:
    """A row per measure, a column per ensemble: area minus that of ``over``, or of random with the same ensemble."""
    table = []
    for measure in MEASURES:
        row = {"measure": measure}
        for ensemble in ENSEMBLES:
            found = ahead(results, scenario, f"{ensemble}/{measure}", over or f"{ensemble}/{RANDOM}")
            row[ensemble] = "–" if found is None else shown(found)
        table.append(row)
    return pd.DataFrame(table)


def advice(results: pd.DataFrame) -> pd.DataFrame:
    """A row per ensemble: which of its measures aren't shown to be worse than its best, and what the first is worth.

    A measure is worse on a pool when the interval of its area minus that of the ensemble's best measure there lies
    below 0. The first choice is the measure of the largest mean over pools; it may lose, to the best measure of a pool,
    as much as the lowest of these intervals leaves open. What choosing is worth against one model asked by margin is
    told of seeds that had no part in the choice: on each, of the measure that all others choose.
    """
    area = results[results["metric"] == "test_accuracy_area"].pivot(
        index=["scenario", "seed"], columns="policy", values="value"
    )
    table = []
    peer = area.get(PEER, pd.Series(np.nan, area.index))
    for ensemble in ENSEMBLES:
        own = area[[policy for m in MEASURES if (policy := f"{ensemble}/{m}") in area]]
        if own.empty:
            continue
        best = own.groupby("scenario").mean().idxmax(axis=1)
        behind = {policy: [ahead(results, pool, policy, other) for pool, other in best.items()] for policy in own}
        safe = [p for p, found in behind.items() if not any(d is not None and d.high < 0 for d in found)]
        first, worth = _first_choice(own), _worth_of_choosing(own, peer)
        row = {
            "ensemble": ensemble,
            "not shown to be worse than its best": ", ".join(p.split("/")[1] for p in safe) or "none",
            "its first choice": first.split("/")[1],
            "behind a pool's best by at most": f"{max((-d.low for d in behind[first] if d), default=np.nan) + 0.0:.3f}",
            f"ahead of {PEER}": ", ".join(pool for pool, d in worth.items() if d.low > 0) or "nowhere",
            f"behind {PEER}": ", ".join(pool for pool, d in worth.items() if d.high < 0) or "nowhere",
        }
        table.append(row)
    return pd.DataFrame(table)


def _first_choice(area: pd.DataFrame) -> str:
    return str(area.groupby("scenario").mean().mean().idxmax())


def _worth_of_choosing(own: pd.DataFrame, peer: "pd.Series[float]") -> dict[str, Estimate]:
    """Pool → area minus the peer's, where the measure is chosen by all other seeds."""
    seeds = own.index.get_level_values("seed")
    if seeds.nunique() < 2:
        return {}
    gains = pd.Series(np.nan, own.index)
    for seed in seeds.unique():
        here = seeds == seed
        gains[here] = own.loc[here, _first_choice(own[~here])] - peer[here]
    found = {str(pool): each.dropna() for pool, each in gains.groupby("scenario")}
    return {pool: interval(each) for pool, each in found.items() if len(each) > 1}


def detection(results: pd.DataFrame) -> pd.DataFrame:
    """A row per measure, a column per ensemble: AUROC for what is out of scope; empty where no pool holds any."""
    rows = results[results["metric"].str.startswith("ood_auroc/")]
    table: dict[str, dict[str, str]] = {}
    for (metric, policy), part in rows.groupby(["metric", "policy"]):
        measure, ensemble = str(metric).removeprefix("ood_auroc/"), str(policy).partition("/")[0]
        table.setdefault(measure, {"measure": measure})[ensemble] = shown(interval(part["value"]))
    return pd.DataFrame(list(table.values())).fillna("–")


def ranks(results: pd.DataFrame) -> pd.DataFrame:
    """A row per measure, a column per ensemble: mean rank of its gain within the ensemble, over pools; 1 is best."""
    rows = results[results["metric"] == "test_accuracy_area"]
    mean = rows.groupby(["scenario", "policy"])["value"].mean().reset_index()
    mean[["ensemble", "measure"]] = mean["policy"].str.split("/", expand=True)
    mean = mean[mean["measure"] != RANDOM]
    mean["rank"] = mean.groupby(["scenario", "ensemble"])["value"].rank(ascending=False)
    table = mean.pivot_table(index="measure", columns="ensemble", values="rank", aggfunc="mean")
    table = table.reindex(index=list(MEASURES), columns=list(ENSEMBLES))
    return table.map(lambda rank: "–" if np.isnan(rank) else f"{rank:.1f}").reset_index()


def page_of(results: pd.DataFrame) -> Report:
    """What was found on each pool, and over all of them."""
    page = Report("Which uncertainty to ask by", __doc__)
    page.add_heading("Over all pools").add_table(
        advice(results),
        "First, measures whose area isn't shown, on any pool, to be below that of the ensemble's best measure there, "
        "by a paired 95 % interval. Then the one of the largest mean area, and by how much it may be below that best, "
        "by the same intervals. Last, where such a choice, made on all other seeds, is ahead of one model asked by "
        "margin.",
    )
    page.add_table(ranks(results), "Mean rank of the gain within an ensemble; 1 is best.")
    for name in dict.fromkeys(results["scenario"]):
        caption = f"Area minus random's, {SCALES[name]['budget']} labels, {SCALES[name]['batch']} a pull."
        page.add_heading(name).add_table(gains(results, name), caption)
        page.add_table(gains(results, name, PEER), f"Area minus that of {PEER}.")
    if len(found_outside := detection(results)):
        page.add_heading("What is out of scope").add_table(
            found_outside, "AUROC of the measure for test samples out of scope, learner trained on random labels."
        )
    return page


def draw(results: Path) -> None:
    """One page, measures.md, of all pools that are published in a directory."""
    found = [file for name in SCALES if (file := results / f"{PUBLISHED}{name}.parquet").exists()]
    page = page_of(pd.concat([pd.read_parquet(file) for file in found], ignore_index=True))
    if missing := [name for name in SCALES if results / f"{PUBLISHED}{name}.parquet" not in found]:
        page.add_text(f"Not run yet: {', '.join(missing)}.")
    with TemporaryDirectory() as scratch:
        page.write(Path(scratch))
        place_page(Path(scratch), "python -m experiments.measures --publish", "", results, "measures")


def main(
    scenario: Annotated[
        list[str] | None, typer.Option("--scenario", "-s", help=f"Of {', '.join(SCALES)}; repeatable. Default: all.")
    ] = None,
    publish: options.Publish = False,
    seeds: options.Seeds = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Compare uncertainty measures; each pool is a study of its own."""
    with options.exits():
        if publish:
            require_whole(quick, seeds)
        names = scenario or (["umc_digits"] if quick else list(SCALES))
        if unknown := sorted(set(names) - set(SCALES)):
            raise StudyError(f"no scale is set for {unknown[0]}; there are {', '.join(SCALES)}")
        if out is not None and len(names) > 1:
            raise StudyError("--out is the directory of one pool's study; give one --scenario with it")
        judged = seeds_for(MASTER, "evaluation", n=seeds or (QUICK_SEEDS if quick else SEEDS))
        status = 0
        for found in [load_scenario(name) for name in names]:
            study = Study(
                "measures",
                {
                    "scenario": found.model_dump(mode="json"),
                    "scale": SCALES[found.name],
                    "ensembles": ENSEMBLES,
                    "measures": list(MEASURES),
                    "seeds": len(judged),
                },
                label=found.name.removeprefix("umc_"),
                seeds=judged,
                step_unit={found.name: "labels"},
                out=out,
                resume=resume,
                overwrite=overwrite,
            )
            study.run(run, campaigns(found, judged), jobs=jobs, title=found.name)
            results = study.results()
            failed = study.finish(results)
            status |= failed
            say(f"report: {page_of(results).write(study.out)}")
            if track:
                log_results(study)
            if publish and not failed:
                put(study.out, f"{PUBLISHED}{found.name}")
                draw(RESULTS)
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)

"""One page of all published scenarios of the study of annotation budgets, docs/results/umc.md, and one of each.

python -m experiments.umc_page

What the page is of is listed here, so that a scenario that wasn't published is told as missing.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import pandas as pd
import typer

from curation_gym.console import say
from curation_gym.evaluation.labelling import mean_savings
from curation_gym.evaluation.statistics import interval, paired_difference
from curation_gym.files import write_text
from curation_gym.seeding import seeds_for
from experiments import options
from experiments.publish import RESULTS, commits_of, place_page
from experiments.report import Report
from experiments.study import StudyError
from experiments.umc_report import BASE, METHOD, OURS, ScenarioResults, scenario_page, shown, summary
from experiments.umc_strategies import ABLATIONS, ALLOCATIONS, EQUAL_SHARES, FIXED

COUNTED = {
    "CLINC150 and its variants": (
        "umc_clinc150",
        "umc_clinc150_long_tail",
        "umc_clinc150_junk",
        "umc_clinc150_near_duplicates",
        "umc_clinc150_drift",
        "umc_clinc150_new_domain",
        "umc_clinc150_unreliable",
    ),
    "others": (
        "umc_mixed_text",
        "umc_mixed_text_balanced",
        "umc_mixed_text_long_tail",
        "umc_mixed_text_junk",
        "umc_mixed_text_near_duplicates",
        "umc_text_image",
        "umc_text_image_balanced",
        "umc_text_image_long_tail",
        "umc_text_image_junk",
        "umc_text_image_near_duplicates",
        "umc_digits",
        "umc_digits_long_tail",
        "umc_digits_junk",
        "umc_digits_near_duplicates",
        "umc_digits_crowd",
    ),
}
"""Whose savings are averaged."""
CONTROLS = ("umc_pacs", "umc_pacs_balanced", "umc_pacs_long_tail", "umc_pacs_near_duplicates", "umc_pacs_junk")
"""Reported, not counted: pixel features are what limits accuracy there."""
PLAIN = ("umc_clinc150_plain_weights", "umc_clinc150_long_tail_plain_weights")
"""Reported, not counted: what the learner's class weights change."""
SCENARIOS = (*COUNTED["CLINC150 and its variants"], *COUNTED["others"], *CONTROLS, *PLAIN)
ABLATED = ("umc_clinc150", "umc_clinc150_junk", "umc_mixed_text", "umc_mixed_text_junk", "umc_digits")
"""Where one thing of UMC is changed at a time, and fixed arms are pulled."""
RIVALS = ("random", "uncertainty", "ensemble_uncertainty")
TRAITS = {
    "ood_auroc": "OOD AUROC",
    "worst_domain_accuracy": "worst domain's accuracy",
    "drifted_accuracy": "accuracy on what arrives last",
    "left_out_accuracy/5_shot": "domain left out, 5 shots",
    "left_out_accuracy/0_shot": "domain left out, 0 shots",
    "domain_entropy": "domain entropy",
}
SAVINGS = (
    "Share of random's labels that a strategy saves on the way to random's final accuracy, mean over scenarios. In "
    "brackets, how many scenarios of the list were run. Strategies that need several domains are told where every "
    "scenario has them. PACS isn't counted, since its pixel features are what limits accuracy, nor are scenarios that "
    "show what the learner's class weights change. Without junk: of those in which everything can be labelled. "
    "umc_as_written spends less than the whole budget where its clusters are smaller than a pull, as the pages tell."
)
SETTLED = (
    "UMC has one configuration for all scenarios: agents/umc.py and the strategy `umc` of "
    "experiments/umc_strategies.py, settled on seeds that nothing is judged on, but on the same pools and test "
    "samples, which don't depend on the seed. It was changed twice after scenarios had been judged. Where questions "
    "and pictures come in very different numbers its area fell behind that of ensemble uncertainty, since it asked "
    "about what the pool has most of: from then on a domain's share of the labels is kept within a factor of two of "
    "its share of the validation split. Where questions arrive over time its area fell behind that of diverse margin: "
    "from then on pulls that are smaller than the number of classes are made diverse, too, and what has arrived is "
    "clustered anew as it grows. Both times what UMC does where the change matters was judged anew, on the seeds that "
    "had suggested it. Mixed text, which nothing was settled on and which the second change doesn't touch, is its "
    "confirmation, once it has run."
)
ROBUSTNESS = (
    "At the end of the budget, UMC's mean and its paired differences. OOD AUROC: of the ensemble's entropy, for test "
    "samples out of scope. On what arrives last: accuracies of domains, weighted by their shares of the tenth of the "
    "candidates that arrive last. Left out: a model that saw what was bought of the other domains, and 0 or 5 samples "
    "per class of the one it is tested on. Domain entropy: of the shares of the labels spent, 1 when all domains got "
    "the same; domains in which nothing can be labelled are left out."
)
SUCCESSORS = (
    "Test accuracy of other models than the one that chose, trained on what was bought with the whole budget; of the "
    "strategies, the one on whose labels that model is best, on these seeds."
)
ABLATION = (
    "Area of UMC minus that of UMC with one thing changed: above 0, the thing is worth having. “Same”: the same test "
    "accuracy after every label, under every seed, as where a pool has one domain, so that there is one subset to "
    "weigh, or where nobody flags, so that every label is worth 1 and the bandit has nothing to learn. Gains and "
    "reductions are paid times 100, see experiments/umc_strategies.py. Those that buy validation labels do so with 5 % "
    "of the budget, and have their first model when these are bought: that delay alone costs them about as much area. "
    "umc_by_cluster has no band either, which is of domains."
)
BANDIT = (
    "Area of UMC minus that of UMC that always asks about one domain (of the best one, on these very seeds), that "
    "gives every domain equal shares, and that weighs all alike, by the criteria and the band alone; all of them by "
    "UMC's criteria, selecting alike. Beside them the margin of the whole pool, and equal shares by margin and at "
    "random."
)


def main(
    results: Annotated[Path, typer.Option("--results", help="Directory of the published studies.")] = RESULTS,
) -> None:
    """Read umc_*.parquet, write umc.md and a page beside each, all in the same form."""
    with options.exits():
        draw(results)


def draw(results: Path) -> None:
    """See :func:`main`.

    Raises:
        StudyError: when nothing was published yet.
    """
    found = published(results, "umc_")
    if not found:
        raise StudyError(f"no umc_*.parquet in {results}; publish a study of experiments.umc first")
    for r in found:
        with TemporaryDirectory() as scratch:
            scenario_page(r).write(Path(scratch))
            place_page(Path(scratch), r.command, r.commits, results, r.name)
    page = Report("Annotation budgets: UMC against classical active learning")
    page.add_code("python -m experiments.umc --publish\npython -m experiments.umc --ablations --publish")
    page.add_text(METHOD)
    missing = [name for name in SCENARIOS if name not in {r.name for r in found}]
    if missing:
        page.add_text(f"Not run yet: {', '.join(missing)}.")
    pages = ", ".join(f"[{r.name}]({r.name}.md)" for r in found)
    ablated = {r.name for r in published(results, "ablations_umc_")}
    if unknown := [name for name in ABLATED if name not in ablated]:
        page.add_text(f"Ablations not run yet: {', '.join(unknown)}.")
    page.add_table(summary(found), f"Every scenario has a page of its own: {pages}.")
    page.add_heading("How UMC was settled").add_text(SETTLED)
    page.add_heading("Mean savings").add_table(savings_table(found), SAVINGS)
    page.add_heading("Robustness and balance").add_table(robustness(found), ROBUSTNESS)
    page.add_heading("Successor models").add_table(successor_table(found), SUCCESSORS)
    changed = [r for r in published(results, "ablations_umc_") if OURS in r.strategies]
    if changed:
        page.add_heading("The bandit").add_table(bandit_table(changed), BANDIT)
        page.add_heading("Ablations").add_table(ablation_table(changed), ABLATION)
    write_text(results / "umc.md", page.markdown())
    say(f"page: {results / 'umc.md'}")


def published(results: Path, prefix: str) -> list[ScenarioResults]:
    """The scenarios whose names begin with ``prefix``; other studies may have such names, too.

    Raises:
        StudyError: for a study without its manifest.
    """
    manifests = {path: _manifest(path) for path in sorted(results.glob(f"{prefix}*.parquet"))}
    return [_loaded(path, manifest) for path, manifest in manifests.items() if manifest["study"] == "umc"]


def _manifest(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.with_suffix(".manifest.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise StudyError(f"{path} has no readable manifest: {error}") from error
    return found


def _loaded(path: Path, manifest: Mapping[str, Any]) -> ScenarioResults:
    config = manifest["config"]
    picking = seeds_for(config["master"], "tuning", n=config["picking_seeds"])
    rows = pd.read_parquet(path)
    description = config["scenario"]["description"]
    told = (manifest["budget"], description, manifest["command"], commits_of(manifest))
    return ScenarioResults(rows, manifest["seeds"], picking, *told)


def savings_table(found: list[ScenarioResults]) -> pd.DataFrame:
    """A row per strategy, two columns per group of :data:`COUNTED`; of strategies that all published ones have."""
    counted = COUNTED | {f"{group}, without junk": _without_junk(names) for group, names in COUNTED.items()}
    groups = {group: [r for r in found if r.name in names] for group, names in sorted(counted.items())}
    strategies = dict.fromkeys(s for r in found for s in r.strategies if s != BASE)
    rows = []
    for strategy in sorted(strategies, key=lambda s: s != OURS):
        row = {"strategy": strategy}
        for group, members in groups.items():
            studies = [(r.curves(strategy), r.curves(BASE), r.target()) for r in members if strategy in r.strategies]
            complete = studies and len(studies) == len(members)
            told = f"{shown(mean_savings(studies))} ({len(studies)} of {len(counted[group])})" if complete else "–"
            row[group] = told
        rows.append(row)
    return pd.DataFrame(rows)


def _without_junk(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if not name.endswith("_junk"))


def robustness(found: list[ScenarioResults]) -> pd.DataFrame:
    """A row per scenario and trait: UMC, and UMC minus random, US and Ens-US."""
    rows = []
    for r in found:
        for metric, title in TRAITS.items():
            values = r.last(metric)
            if OURS in values:
                row = {"scenario": r.name, "": title, "UMC": shown(interval(values[OURS]))}
                for rival in RIVALS:
                    row[f"− {rival}"] = (
                        shown(paired_difference([values[OURS]], [values[rival]])) if rival in values else "–"
                    )
                rows.append(row)
    return pd.DataFrame(rows)


def successor_table(found: list[ScenarioResults]) -> pd.DataFrame:
    """A row per scenario and successor: random's labels, UMC's against them, and whose are best."""
    rows = []
    for r in found:
        for metric in r.metrics("successor_accuracy/"):
            values = r.last(metric)
            if OURS in values and BASE in values:
                best = max(values, key=lambda s: float(values[s].mean()))
                row = {"scenario": r.name, "successor": metric.removeprefix("successor_accuracy/")}
                row |= {"random": shown(interval(values[BASE]))}
                row |= {"UMC − random": shown(paired_difference([values[OURS]], [values[BASE]]))}
                rows.append(row | {"best": best, "its accuracy": f"{values[best].mean():.3f}"})
    return pd.DataFrame(rows)


def bandit_table(found: list[ScenarioResults]) -> pd.DataFrame:
    """A row per scenario: UMC's area minus those of allocations without a bandit."""
    rows = []
    for r in found:
        row = {"scenario": r.name}
        arms = [s for s in r.strategies if s.startswith(FIXED)]
        best = max(arms, key=lambda s: float(r.areas(s).mean()), default="–")
        row |= {"best arm": best, "UMC − best arm": ahead(r, best)}
        others = (EQUAL_SHARES, "umc_without_bandit", *ALLOCATIONS)
        rows.append(row | {f"UMC − {other}": ahead(r, other) for other in others})
    return pd.DataFrame(rows)


def ablation_table(found: list[ScenarioResults]) -> pd.DataFrame:
    """A row per ablation, a column per scenario."""
    return pd.DataFrame([{"ablation": name} | {r.name: ahead(r, name) for r in found} for name in ABLATIONS])


def ahead(r: ScenarioResults, other: str) -> str:
    """UMC's area minus another's; that they are the same, or that one wasn't run, in a word."""
    if other not in r.strategies:
        return "–"
    return "same" if r.same_as(other) else shown(r.ahead_of(other))


if __name__ == "__main__":
    typer.run(main)

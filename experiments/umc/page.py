"""One page of all published scenarios of the study of annotation budgets, docs/results/umc.md, and one of each.

python -m experiments.umc.page
"""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import pandas as pd
import typer

from curation_gym.console import say
from curation_gym.files import write_text
from curation_gym.seeding import seeds_for
from experiments.harness import options
from experiments.harness.publishing import RESULTS, commits_of, place_page
from experiments.harness.report import Report
from experiments.harness.study import StudyError
from experiments.umc.report import METHOD, OURS, ScenarioResults, area_table, labels_table, scenario_page
from experiments.umc.scenarios import ABLATED, FINE_TUNED, SCENARIOS
from experiments.umc.tables import (
    ablation_table,
    bandit_table,
    goals_table,
    robustness,
    savings_table,
    successor_table,
)

SAVINGS = (
    "Share of random's labels that a strategy saves on the way to random's final accuracy, mean over scenarios. In "
    "brackets, how many scenarios of the list were run. Strategies that need several domains are told where every "
    "scenario has them. PACS isn't counted, since its pixel features are what limits accuracy, nor are scenarios that "
    "show what the learner's class weights change. Without junk: of those in which everything can be labelled. "
    "umc_as_written spends less than the whole budget where its clusters are smaller than a pull, as the pages tell."
)
GOALS = (
    "Goals that were set before the first full run, reached by the estimate, and where they are of all scenarios, once "
    "all of them were run. PACS counts where areas are compared, though pixel features are what limits accuracy there."
)
SETTLED = (
    "UMC has one configuration for all scenarios: agents/umc.py and the strategy `umc` of "
    "experiments/umc/strategies.py, settled on seeds that nothing is judged on, but on the same pools and test "
    "samples, which don't depend on the seed. It was changed twice after scenarios had been judged. Where questions "
    "and pictures come in very different numbers its area fell behind that of ensemble uncertainty, since it asked "
    "about what the pool has most of: from then on a domain's share of the labels is kept within a factor of two of "
    "its share of the validation split. Where questions arrive over time its area fell behind that of diverse margin: "
    "from then on pulls that are smaller than the number of classes are made diverse, too, and what has arrived is "
    "clustered anew as it grows. Both times what UMC does where the change matters was judged anew, on the seeds that "
    "had suggested it. Mixed text, which nothing was settled on and which the second change doesn't touch, is its "
    "confirmation."
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
    "reductions are paid times 100, see experiments/umc/strategies.py. Those that buy validation labels do so with 5 % "
    "of the budget, and have their first model when these are bought; what that costs by itself, "
    "umc_with_validation tells, which is paid as UMC is. umc_by_cluster has no band either, which is of domains."
)
BANDIT = (
    "Area of UMC minus that of the best fixed arms, chosen on these very seeds: of one domain, by UMC's criteria, and "
    "of the whole pool, by one criterion. Then of equal shares for every domain: by UMC's criteria "
    "(umc_stratified), at random, and by margin; and of UMC that weighs all alike, by the criteria and the band alone."
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
    found, changed = published(results, "umc_"), published(results, "ablations_umc_")
    if not found:
        raise StudyError(f"no umc_*.parquet in {results}; publish a study of experiments.umc first")
    for prefix, each in (("", found), ("ablations_", changed)):
        for r in each:
            with TemporaryDirectory() as scratch:
                scenario_page(r).write(Path(scratch))
                place_page(Path(scratch), r.command, r.commits, results, f"{prefix}{r.name}")
    page = Report("Annotation budgets: UMC against classical active learning")
    page.add_code("python -m experiments.umc --publish")
    page.add_text(METHOD)
    missing = [name for name in SCENARIOS if name not in {r.name for r in found}]
    if missing:
        page.add_text(f"Not run yet: {', '.join(missing)}.")
    pages = ", ".join(f"[{r.name}]({r.name}.md)" for r in found)
    ablated = {r.name for r in changed}
    if unknown := [name for name in ABLATED if name not in ablated]:
        page.add_text(f"Ablations not run yet: {', '.join(unknown)}.")
    whole = {r.name: r for r in found}
    compared = [r.beside(whole[r.name]) for r in changed if OURS in r.strategies and r.name in whole]
    page.add_table(goals_table(found, compared), GOALS)
    page.add_table(labels_table(found), "Labels to random's final accuracy.")
    page.add_table(area_table(found), f"Areas. Every scenario has a page of its own: {pages}.")
    page.add_heading("How UMC was settled").add_text(SETTLED)
    page.add_heading("Mean savings").add_table(savings_table(found), SAVINGS)
    page.add_heading("Robustness and balance").add_table(robustness(found), ROBUSTNESS)
    page.add_heading("Successor models").add_table(successor_table(found), SUCCESSORS)
    tuned = {r.name for r in found if r.metrics("successor_accuracy/transformer")}
    if unknown := [name for name in FINE_TUNED if name not in tuned]:
        page.add_text(f"Fine-tuned transformers not run yet: {', '.join(unknown)}.")
    if compared:
        page.add_heading("The bandit").add_table(bandit_table(compared), BANDIT)
        page.add_heading("Ablations").add_table(ablation_table(compared), ABLATION)
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


if __name__ == "__main__":
    typer.run(main)

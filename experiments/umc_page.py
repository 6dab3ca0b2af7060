"""One page of every published scenario of the study of annotation budgets: docs/results/umc.md.

python -m experiments.umc_page
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from curation_gym.seeding import seeds_for
from experiments import options
from experiments.publish import RESULTS
from experiments.report import Report
from experiments.study import StudyError, say, write_text
from experiments.umc_report import BASE, METHOD, OURS, ScenarioResults, summary

CONTROLS = ("umc_pacs", "umc_pacs_long_tail", "umc_pacs_near_duplicates", "umc_pacs_junk")
"""Reported, not counted: pixel features are what limits accuracy there."""


def main(
    results: Annotated[Path, typer.Option("--results", help="Directory of the published studies.")] = RESULTS,
) -> None:
    """Read umc_*.parquet, write umc.md."""
    with options.exits():
        found = [load(path) for path in sorted(results.glob("umc_*.parquet"))]
        if not found:
            raise StudyError(f"no umc_*.parquet in {results}; publish a study of experiments.umc first")
        page = Report("Annotation budgets: UMC against classical active learning")
        page.add_code("\n".join([*(r.command for r in found), "python -m experiments.umc_page"])).add_text(METHOD)
        pages = ", ".join(f"{r.name}.md" for r in found)
        page.add_table(summary(found), f"Every scenario has a page of its own: {pages}.")
        page.add_heading("Mean savings").add_table(mean_savings(found))
        write_text(results / "umc.md", page.markdown())
        say(f"page: {results / 'umc.md'}")


def load(path: Path) -> ScenarioResults:
    """A published scenario.

    Raises:
        StudyError: without its manifest.
    """
    try:
        manifest = json.loads(path.with_suffix(".manifest.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise StudyError(f"{path} has no readable manifest: {error}") from error
    config = manifest["config"]
    picking = seeds_for(config["master"], "tuning", n=config["picking_seeds"])
    rows = pd.read_parquet(path)
    return ScenarioResults(rows, manifest["seeds"], picking, manifest["budget"], manifest["command"])


def mean_savings(found: list[ScenarioResults]) -> pd.DataFrame:
    """Share of random's labels that a strategy saves on the way to random's final accuracy, by group of scenarios."""
    groups = {
        "CLINC150 and its variants": [r for r in found if r.name.startswith("umc_clinc150")],
        "others": [r for r in found if not r.name.startswith("umc_clinc150") and r.name not in CONTROLS],
    }
    strategies = [s for s in found[0].strategies if s != BASE and all(s in r.strategies for r in found)]
    rows = []
    for strategy in sorted(strategies, key=lambda s: s != OURS):
        row = {"strategy": strategy}
        for group, members in groups.items():
            saved = [max(r.saved(strategy, r.target()).value, 0.0) for r in members]
            row[group] = f"{np.mean(saved):.3f} ({len(members)})" if members else "–"
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    typer.run(main)

"""How fast the acquisition functions are, what memory they take, and how good their picks are, next to scikit-activeml.

    python -m experiments.acquisition

Speed and memory are measured on random clusters, each in a process of its own with one thread. Seconds are processor
time, which on one thread is the time that an idle machine takes; the best of several counts, because what disturbs a
measurement only ever makes it slower. "Extra" memory is the peak of what was allocated during the call, by tracemalloc;
"peak" is that of the whole process, input included.

Whole strategies are those of experiments.umc, in the environment on as large a pool of ten domains: a pull chooses,
labels, retrains five linear members and scores all that is left. What is done once, such as clustering the pool, is in
the start.

Learning curves are those of logistic regression on scikit-learn's handwritten digits, from one label of each class on,
ten at a time. For each seed both libraries begin with the same labels, ask for picks with probabilities of the same
kind of model, and are judged on the same test samples, so that the areas under their curves are compared in pairs.
Margin and CoreSet draw nothing: the libraries differ in ties only, which the whole numbers of digits do cause.
"""

from dataclasses import asdict

import typer

from curation_gym.console import print_table, say
from curation_gym.seeding import seeds_for
from experiments.acquisition import whole
from experiments.acquisition.curves import COMPARED, DIGITS, curve, curve_table
from experiments.acquisition.speed import Size, measure, speed_table
from experiments.acquisition.strategies import OURS, PEER, peers, shown_as
from experiments.harness import options
from experiments.harness.report import Report
from experiments.harness.study import MASTER, Study
from experiments.harness.tracking import log_results

SIZES = [Size(10_000, 384, 50, 500, 10, 3, True), Size(200_000, 384, 150, 1_500, 30, 1, False)]
QUICK_SIZES = [Size(1_000, 32, 10, 50, 10, 2, True), Size(5_000, 32, 20, 100, 30, 1, False)]
LABELS, QUICK_LABELS = 200, 50


def main(
    seeds: options.Seeds = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Measure and compare."""
    with options.exits():
        sizes, budget = (QUICK_SIZES, QUICK_LABELS) if quick else (SIZES, LABELS)
        chosen = seeds_for(MASTER, "evaluation", n=seeds or (3 if quick else 20))
        compared = peers()
        study = Study(
            "acquisition",
            {
                "sizes": [asdict(size) for size in sizes],
                "strategies": list(OURS),
                "whole": {name: vars(strategy) for name, strategy in whole.STRATEGIES.items()},
                "peer": sorted(compared),
                "labels": budget,
                "seeds": len(chosen),
            },
            label="quick" if quick else "full",
            seeds=chosen,
            step_unit={name: "picks" for size in sizes for name in (str(size), whole.title(size))} | {DIGITS: "labels"},
            out=out,
            resume=resume,
            overwrite=overwrite,
        )
        if not compared:
            study.warn(f"{PEER} isn't installed, so nothing is compared: pip install {PEER}")
        for size in sizes:
            for strategy in OURS:
                for by_peer in (False, True) if size.against_peer and strategy in compared else (False,):
                    unit = f"{shown_as(strategy, by_peer)}, {size}"
                    # One at a time: memory that another has used would count, and so would its work.
                    study.run(measure, {unit: (size, strategy, by_peer)}, jobs=1, title=unit)
        largest = sizes[-1]
        for name in whole.STRATEGIES:
            unit = f"{name}, {whole.title(largest)}"
            study.run(whole.measure, {unit: (largest, name)}, jobs=1, title=unit)
        curves = {
            f"{shown_as(strategy, by_peer)} on {DIGITS}, seed {seed}": (strategy, by_peer, seed, budget)
            for seed in chosen
            for strategy in COMPARED
            for by_peer in ((False, True) if compared else (False,))
        }
        study.run(curve, curves, jobs=jobs, title="learning curves")
        results = study.results()
        status = study.finish(results)
        tables = {str(size): speed_table(results[results["scenario"] == str(size)]) for size in sizes}
        tables[whole.title(largest)] = whole.table(results[results["scenario"] == whole.title(largest)])
        tables["area under the learning curve"] = curve_table(results[results["scenario"] == DIGITS])
        report = Report("Acquisition", __doc__)
        for title, table in tables.items():
            report.add_heading(title).add_table(table)
            print_table(table, title)
        say(f"report: {report.write(study.out)}")
        if track:
            log_results(study)
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)

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

import resource
import time
import tracemalloc
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import typer
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from curation_gym.console import print_table, say
from curation_gym.evaluation.statistics import area_under_curve, interval, paired_difference
from curation_gym.seeding import seeds_for
from experiments import options
from experiments.acquisition_strategies import OURS, PEER, Query, peers
from experiments.report import Report
from experiments.study import Study, tidy

DIGITS = "digits"
COMPARED = ("margin", "badge", "coreset", "typiclust")
TEST, BATCH = 500, 10  # samples that learning curves are judged on, and labels a round


@dataclass(frozen=True)
class Size:
    """A task: ``n`` candidates in ``d`` dimensions beside ``labelled`` ones, and ``picks`` to make."""

    n: int
    d: int
    classes: int
    labelled: int
    picks: int
    repeats: int
    against_peer: bool

    def __str__(self) -> str:
        """For tables."""
        return f"{self.n:,} × {self.d}, {self.classes} classes, {self.picks} picks"


SIZES = [Size(10_000, 384, 50, 500, 10, 3, True), Size(200_000, 384, 150, 1_500, 30, 1, False)]
QUICK_SIZES = [Size(1_000, 32, 10, 50, 10, 2, True), Size(5_000, 32, 20, 100, 30, 1, False)]
LABELS, QUICK_LABELS = 200, 50


def _policy(strategy: str, by_peer: bool) -> str:
    return f"{strategy} ({PEER})" if by_peer else strategy


# ----------------------------------------------------------- speed and memory
def clusters(size: Size) -> Query:
    """Classes as clusters on the unit sphere, and the softmax of the cosines to their centres."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((size.classes, size.d), np.float32)
    label = rng.integers(size.classes, size=size.n + size.labelled)
    X = 1.5 * rng.standard_normal((len(label), size.d), np.float32)
    X += centres[label]
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    p = np.exp(X[: size.n] @ centres.T)
    p /= p.sum(1, keepdims=True)
    return Query(X[: size.n], X[size.n :], label[size.n :], p, size.picks, seed=0)


def measure(payload: tuple[Size, str, bool], out: Path) -> pd.DataFrame:
    """Rows of seconds, the process's peak of bytes, and bytes allocated beyond the input (tasks against the peer)."""
    size, strategy, by_peer = payload
    run, query = (peers() if by_peer else OURS)[strategy], clusters(size)
    _ = query.scores, query.priority, by_peer and query.together  # made before the clock starts
    seconds = np.inf
    for _ in range(size.repeats):
        start = time.process_time()
        run(query)
        seconds = min(seconds, time.process_time() - start)
    found = {"seconds": seconds, "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    if size.against_peer:
        tracemalloc.start()
        run(query)
        found["extra_bytes"] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    policy = _policy(strategy, by_peer)
    return pd.DataFrame([tidy(str(size), "", policy, 0, metric, size.picks, value) for metric, value in found.items()])


def speed_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per policy, with how many times the peer's time and extra memory are ours; numbers as text."""
    measured = results.pivot(index="policy", columns="metric", values="value")
    ours = measured.reindex(columns=["seconds", "extra_bytes", "peak_bytes"])
    theirs = ours.reindex([_policy(policy, True) for policy in ours.index]).set_axis(ours.index)
    shown = {
        "seconds": ours["seconds"].map("{:.4f}".format),
        "extra MB": (ours["extra_bytes"] / 1e6).map("{:,.1f}".format),
        "peak GB": (ours["peak_bytes"] / 1e9).map("{:.2f}".format),
        "× faster": (theirs["seconds"] / ours["seconds"]).map("{:.1f}".format),
        "× less memory": (theirs["extra_bytes"] / ours["extra_bytes"]).map("{:.1f}".format),
    }
    table = pd.DataFrame(shown).replace("nan", "–").reset_index(names="strategy")
    return table.loc[:, (table != "–").any()]


# ------------------------------------------------------------ learning curves
def curve(payload: tuple[str, bool, int, int], out: Path) -> pd.DataFrame:
    """Rows of the test accuracy after every round, and of the area under this curve."""
    strategy, by_peer, seed, budget = payload
    pick = (peers() if by_peer else OURS)[strategy]
    rng = np.random.default_rng(seed)
    X, y = load_digits(return_X_y=True)
    X, order = (X / 16).astype(np.float32), rng.permutation(len(X))
    test, pool = order[:TEST], order[TEST:]
    known = np.array([pool[y[pool] == label][0] for label in range(10)])
    accuracy = {}
    while True:
        model = LogisticRegression(C=10, max_iter=1000).fit(X[known], y[known])
        accuracy[len(known)] = model.score(X[test], y[test])
        if len(known) >= budget:
            break
        left = np.setdiff1d(pool, known)
        p = model.predict_proba(X[left])
        query = Query(X[left], X[known], y[known], p, BATCH, seed=int(rng.integers(2**31)))
        known = np.append(known, left[pick(query)])
    policy = _policy(strategy, by_peer)
    rows = [tidy(DIGITS, "", policy, seed, "test_accuracy", step, value) for step, value in accuracy.items()]
    area = area_under_curve(list(accuracy), list(accuracy.values()))
    return pd.DataFrame([*rows, tidy(DIGITS, "", policy, seed, "test_accuracy_area", budget, area)])


def curve_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per strategy: the area under the curve and the paired difference, with 95 % intervals over seeds."""
    areas = results[results["metric"] == "test_accuracy_area"].pivot(index="seed", columns="policy", values="value")
    rows = []
    for strategy in areas.columns.intersection(COMPARED):
        row = {"strategy": strategy, "area": str(interval(areas[strategy].dropna()))}
        if (peer := _policy(strategy, True)) in areas:
            both = areas[[strategy, peer]].dropna()
            row[PEER] = str(interval(both[peer]))
            row["difference"] = "{:.4f} [{:.4f}, {:.4f}]".format(*paired_difference([both[strategy]], [both[peer]]))
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def main(
    seeds: options.Seeds = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
) -> None:
    """Measure and compare."""
    # Here, since what environments and learners load would count as memory of every process.
    from experiments import acquisition_whole as whole

    with options.exits():
        sizes, budget = (QUICK_SIZES, QUICK_LABELS) if quick else (SIZES, LABELS)
        chosen = seeds_for(0, "evaluation", n=seeds or (3 if quick else 20))
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
                    unit = f"{_policy(strategy, by_peer)}, {size}"
                    # One at a time: memory that another has used would count, and so would its work.
                    study.run(measure, {unit: (size, strategy, by_peer)}, jobs=1, title=unit)
        largest = sizes[-1]
        for name in whole.STRATEGIES:
            unit = f"{name}, {whole.title(largest)}"
            study.run(whole.measure, {unit: (largest, name)}, jobs=1, title=unit)
        curves = {
            f"{_policy(strategy, by_peer)} on {DIGITS}, seed {seed}": (strategy, by_peer, seed, budget)
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
        report = Report("Acquisition").add_text("\n\n".join((__doc__ or "").split("\n\n")[2:]).strip())
        for title, table in tables.items():
            report.add_heading(title).add_table(table)
            print_table(table, title)
        say(f"report: {report.write(study.out)}")
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)

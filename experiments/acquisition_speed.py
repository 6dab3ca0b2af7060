"""How fast the acquisition functions are and what memory they take, next to scikit-activeml where it has the same.

    python -m experiments.acquisition_speed

Every measurement has a process of its own, with one BLAS thread. The best of several times counts, because what
disturbs a measurement only ever makes it slower. "Extra" memory is the peak of what was allocated during the call, by
tracemalloc; "peak" is that of the whole process, input included. Without scikit-activeml only ours are measured.
"""

import importlib.util
import multiprocessing
import resource
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from rich.table import Table
from threadpoolctl import threadpool_limits

from curation_gym import acquisition
from curation_gym.signals.uncertainty import margin
from experiments import options
from experiments.report import Report
from experiments.study import Study, console, say, tidy

PEER = "scikit-activeml"


@dataclass(frozen=True)
class Size:
    """A task: ``n`` samples in ``d`` dimensions, of which ``labelled`` have a label, and ``picks`` to make."""

    n: int
    d: int
    classes: int
    labelled: int
    picks: int
    repeats: int
    against_peer: bool

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.n:,} × {self.d}, {self.classes} classes, {self.picks} picks"


SIZES = [Size(10_000, 384, 50, 500, 10, 3, True), Size(200_000, 384, 150, 1_500, 30, 1, False)]
QUICK_SIZES = [Size(1_000, 32, 10, 50, 10, 2, True), Size(5_000, 32, 20, 100, 30, 1, False)]


class Input:
    """Classes as clusters on the unit sphere, and the softmax of the cosines to their centres."""

    def __init__(self, size: Size) -> None:
        rng = np.random.default_rng(0)
        self.size = size
        centres = rng.standard_normal((size.classes, size.d), np.float32)
        self.label = rng.integers(size.classes, size=size.n)
        X = 1.5 * rng.standard_normal((size.n, size.d), np.float32)
        X += centres[self.label]
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        p = np.exp(X @ centres.T)
        p /= p.sum(1, keepdims=True)
        self.label = self.label[: size.labelled]
        self.known, self.X = X[: size.labelled], X[size.labelled :]
        self.all = X
        self.p = p[size.labelled :]
        self.scores = margin(self.p[None])
        self.priority = rng.random(len(self.X), np.float32)


Run = Callable[[Input], object]

OURS: dict[str, Run] = {
    "margin": lambda i: acquisition.best(margin(i.p[None]), i.priority, i.size.picks),
    "diverse": lambda i: acquisition.diverse(i.scores, i.priority, i.X, i.size.picks),
    "clustered, k-means": lambda i: acquisition.clustered(i.scores, i.priority, i.X, i.size.picks, _rng()),
    "clustered, DBSCAN": lambda i: acquisition.clustered(
        i.scores, i.priority, i.X, i.size.picks, _rng(), method="dbscan"
    ),
    "BADGE": lambda i: acquisition.badge(i.X, i.p, i.size.picks, _rng()),
    "CoreSet": lambda i: acquisition.coreset(i.X, acquisition.distance_to_labelled(i.X, i.known), i.size.picks),
    "TypiClust": lambda i: acquisition.typiclust(i.X, i.known, i.size.picks, _rng()),
    "k-means, a cluster per label": lambda i: acquisition.kmeans(i.all, i.size.labelled + i.size.picks, _rng()),
    "typicality (once per pool)": lambda i: acquisition.typicality(i.X),
}


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _peers() -> dict[str, Callable[[Input], Callable[[], object]]]:
    """scikit-activeml's and scikit-learn's, each made ready outside the measurement."""
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge, CoreSet, TypiClust, UncertaintySampling
    from sklearn.cluster import MiniBatchKMeans

    class Given(SkactivemlClassifier):  # type: ignore[misc]
        """Predicts the input's probabilities for its candidates."""

        def __init__(self, p: NDArray[np.float32]) -> None:
            super().__init__(classes=list(range(p.shape[1])))
            self.p = p

        def fit(self, X: Any, y: Any) -> "Given":
            return self

        def predict_proba(self, X: Any) -> NDArray[np.float32]:
            return self.p

    def query(strategy: Any, with_model: bool) -> Callable[[Input], Callable[[], object]]:
        def ready(i: Input) -> Callable[[], object]:
            y = np.append(i.label.astype(float), np.full(len(i.X), np.nan))
            model = {"clf": Given(i.p), "fit_clf": False} if with_model else {}
            return lambda: strategy.query(i.all, y, batch_size=i.size.picks, **model)

        return ready

    def mini_batches(i: Input) -> Callable[[], object]:
        return MiniBatchKMeans(i.size.labelled + i.size.picks, random_state=0, n_init=1).fit(i.all).predict

    return {
        "margin": query(UncertaintySampling(method="margin_sampling", random_state=0), True),
        "BADGE": query(Badge(random_state=0), True),
        "CoreSet": query(CoreSet(random_state=0), False),
        "TypiClust": query(TypiClust(random_state=0, k=20), False),
        "k-means, a cluster per label": lambda i: lambda: mini_batches(i),
    }


def measure(size: Size, strategy: str, peer: bool) -> dict[str, float]:
    """Seconds, bytes allocated in addition to the input (tasks against the peer), and the process's peak of bytes."""
    with threadpool_limits(1):
        given = Input(size)
        run = _peers()[strategy](given) if peer else lambda: OURS[strategy](given)
        best = np.inf
        for _ in range(size.repeats):
            start = time.perf_counter()
            run()
            best = min(best, time.perf_counter() - start)
        found = {"seconds": best, "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
        if size.against_peer:
            tracemalloc.start()
            run()
            found["extra_bytes"] = tracemalloc.get_traced_memory()[1]
    return found


def main(out: options.Out = None, quick: options.Quick = False) -> None:
    """Measure and compare."""
    with options.exits():
        sizes = QUICK_SIZES if quick else SIZES
        study = Study(
            "acquisition_speed",
            {"sizes": [vars(size) for size in sizes]},
            label="quick" if quick else "full",
            seeds=[0],
            step_unit={size.name: "picks" for size in sizes},
            out=out,
            overwrite=True,  # a measurement is made anew; it has no units that could be kept
        )
        peers = set(_peers()) if importlib.util.find_spec("skactiveml") else set()
        if not peers:
            study.warn(f"{PEER} isn't installed, so nothing is compared: pip install scikit-activeml")
        rows, lines = [], []
        table = Table("task", "strategy", "by", "seconds", "extra MB", "peak GB", "× faster", "memory ÷")
        # A process per measurement: memory that one has used would count for the next.
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
            for size in sizes:
                for strategy in OURS:
                    compared = size.against_peer and strategy in peers
                    found = {
                        by: processes.submit(measure, size, strategy, by == PEER).result()
                        for by in (["curation_gym", PEER] if compared else ["curation_gym"])
                    }
                    ours, theirs = found["curation_gym"], found.get(PEER)
                    if theirs:
                        ours["speed_over_peer"] = theirs["seconds"] / ours["seconds"]
                        ours["memory_over_peer"] = ours["extra_bytes"] / theirs["extra_bytes"]
                    for by, metrics in found.items():
                        rows += [
                            tidy(size.name, "", f"{strategy} ({by})", 0, metric, size.picks, value)
                            for metric, value in metrics.items()
                        ]
                        lines.append({"task": size.name, "strategy": strategy, "by": by} | _shown(metrics))
                        table.add_row(*lines[-1].values())
                        say(" · ".join(lines[-1].values()))
        status = study.finish(pd.DataFrame(rows).assign(study="acquisition_speed"))
        console.print(table)
        report = Report("Speed of acquisition").add_text((__doc__ or "").split("\n\n", 2)[2].strip())
        say(f"report: {report.add_table(pd.DataFrame(lines)).write(study.out)}")
    raise typer.Exit(status)


def _shown(metrics: dict[str, float]) -> dict[str, str]:
    def told(name: str, form: str, unit: float = 1) -> str:
        return format(metrics[name] / unit, form) if name in metrics else "–"

    return {
        "seconds": told("seconds", ".3f"),
        "extra MB": told("extra_bytes", ",.1f", 1e6),
        "peak GB": told("peak_bytes", ".2f", 1e9),
        "× faster": told("speed_over_peer", ".1f"),
        "memory ÷": told("memory_over_peer", ".4f"),
    }


if __name__ == "__main__":
    typer.run(main)

"""How long an acquisition function takes, and what memory, on random clusters."""

import resource
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from experiments.acquisition.strategies import OURS, Query, peers, shown_as
from experiments.harness.study import tidy


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
    policy = shown_as(strategy, by_peer)
    return pd.DataFrame([tidy(str(size), "", policy, 0, metric, size.picks, value) for metric, value in found.items()])


def speed_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per policy, with how many times the peer's time and extra memory are ours; numbers as text."""
    measured = results.pivot(index="policy", columns="metric", values="value")
    ours = measured.reindex(columns=["seconds", "extra_bytes", "peak_bytes"])
    theirs = ours.reindex([shown_as(policy, True) for policy in ours.index]).set_axis(ours.index)
    shown = {
        "seconds": ours["seconds"].map("{:.4f}".format),
        "extra MB": (ours["extra_bytes"] / 1e6).map("{:,.1f}".format),
        "peak GB": (ours["peak_bytes"] / 1e9).map("{:.2f}".format),
        "× faster": (theirs["seconds"] / ours["seconds"]).map("{:.1f}".format),
        "× less memory": (theirs["extra_bytes"] / ours["extra_bytes"]).map("{:.1f}".format),
    }
    table = pd.DataFrame(shown).replace("nan", "–").reset_index(names="strategy")
    return table.loc[:, (table != "–").any()]

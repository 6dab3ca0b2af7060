"""Results of curated fine-tuning on a corpus, relative to no curation."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curation_gym.evaluation.pareto import hypervolume
from curation_gym.evaluation.statistics import Estimate, interval

BASE, B2, OURS, REFERENCE = "none", "static_filter", "dynacure", "label_clean"
MAIN_POINT, FREE_POINT = "safety 0.7", "no domain pays"
"""The operating point at which every policy stands; the one that is chosen so that no domain pays."""
PRICE = 1.01
"""How many times the perplexity of no curation a domain may have for curation to be free."""
SPENT = 0.98
"""Share of the budget that is to be spent: what is compared is compared at equal tokens."""
BASE_MODEL = "base_model"
"""The metric that is a digest of what was fine-tuned, and in which precision."""
WORST = 1.1
"""The reference point of the hypervolume: so many times the toxicity and the perplexity of no curation."""


class CorpusResults:
    """Tidy rows of one corpus, by policy, operating point and seed.

    Args:
        rows: of judged runs; others are left out.

    Attributes:
        seeds: on which everything compared was judged; none where no curation wasn't.
        points: policy → its names at operating points.
        missing: names that are left out, since they weren't judged on all of those seeds.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        judged = rows[rows["policy"].str.contains("@")]
        self._wide = judged.pivot(index=["policy", "seed"], columns="metric", values="value")
        base = judged.loc[judged["policy"].str.startswith(f"{BASE}@"), "seed"]
        names, self.seeds = largest_table(judged[judged["seed"].isin(base)])
        self.missing = [name for name in dict.fromkeys(judged["policy"]) if name not in names]
        self.points: dict[str, list[str]] = {}
        for name in names:
            self.points.setdefault(name.partition("@")[0], []).append(name)

    def values(self, name: str, metric: str) -> NDArray[np.float64]:
        """Of a policy at a point, per seed."""
        return np.array([self._wide.loc[(name, seed), metric] for seed in self.seeds], np.float64)

    def has(self, name: str, metric: str) -> bool:
        """Whether it was measured of a policy at a point, on every seed."""
        return metric in self._wide.columns and bool(np.isfinite(self.values(name, metric)).all())

    def metrics(self, prefix: str) -> list[str]:
        """Names of the metrics that begin with ``prefix``."""
        return sorted(str(metric) for metric in self._wide.columns if str(metric).startswith(prefix))

    def ratios(self, name: str, metric: str) -> NDArray[np.float64]:
        """A metric divided by that of no curation on the same seed."""
        return self.values(name, metric) / self.values(self.points[BASE][0], metric)

    def worst(self, name: str) -> NDArray[np.float64]:
        """The perplexity of clean text divided by that of no curation, of the domain that pays most, per seed."""
        return np.asarray(np.max([self.ratios(name, metric) for metric in self.metrics("perplexity/")], axis=0))

    def relative(self, name: str, metric: str) -> Estimate:
        """The mean of that over seeds."""
        return interval(self.ratios(name, metric))

    def hypervolumes(
        self, policy: str, toxicity: str = "toxicity", point: str | None = None, *, worst: bool = False
    ) -> NDArray[np.float64]:
        """Per seed, of the policy's operating points, in units of toxicity and perplexity without curation.

        Args:
            policy: which.
            toxicity: the metric, of either judge.
            point: the only operating point that counts; None: all.
            worst: whether the perplexity is that of the domain that pays most, not the mean over domains.
        """
        names = [name for name in self.points[policy] if point in (None, name.partition("@")[2])]
        if not names:
            return np.zeros(len(self.seeds))
        price = [self.worst(name) if worst else self.ratios(name, "perplexity") for name in names]
        relative = np.stack([[self.ratios(name, toxicity) for name in names], price], axis=1)
        # A model that can't read a text at all dominates nothing.
        readable = [points[np.isfinite(points).all(1)] for points in np.moveaxis(relative, -1, 0)]
        return np.array([hypervolume(points, (WORST, WORST)) for points in readable])


def largest_table(judged: pd.DataFrame) -> tuple[list[str], list[int]]:
    """The names and seeds, in their order, between which every run is there, so that as many runs as possible count:
    where one run failed, all seeds without what failed. What others are compared with is left out only where it was
    judged on no seed: of an interrupted study, its complete seeds count."""
    compared = {name.partition("@")[0] for name in judged["policy"]} & {BASE, OURS, REFERENCE}
    there = judged.drop_duplicates(["policy", "seed"])
    runs = pd.crosstab(there["seed"], there["policy"])
    tables = []
    for least in runs.sum(axis=1).unique():
        seeds = runs[runs.sum(axis=1) >= least]
        names = seeds.columns[seeds.all()]
        if compared <= {name.partition("@")[0] for name in names}:
            tables.append((seeds.index, names))
    if not tables:
        return [], []
    seeds, names = max(tables, key=lambda table: (len(table[0]) * len(table[1]), len(table[1])))
    order = list(dict.fromkeys(there["policy"])), list(dict.fromkeys(there["seed"]))
    return [name for name in order[0] if name in names], [int(seed) for seed in order[1] if seed in seeds]

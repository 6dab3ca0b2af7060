"""What a comparison found: scores per task and over all tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curation_gym.evaluation.rollout import Curve, Episodes
from curation_gym.evaluation.savings import savings
from curation_gym.evaluation.statistics import (
    Scores,
    bootstrap,
    first_crossing,
    gap_closed,
    interquartile_mean,
    interval,
    labels_to_target,
    mean_curve,
    normalized_scores,
    paired_difference,
    probability_of_improvement,
)
from curation_gym.scenario import Scenario
from experiments.harness import figures
from experiments.harness.study import COLUMNS

NOISE_FREE, OPTIMUM, NORMALIZED = "noise_free_return", "optimum_return", "normalized_score"
RANDOM = "random"
TRAINING = "training_return"
CURVE_POINTS = 50


def target_metric(target: float) -> str:
    """Name of the metric that holds what was spent when ``target`` was first reached."""
    return f"labels_to_target@{target:g}"


def measured(scenario: Scenario, episodes: Episodes) -> dict[str, NDArray[np.float64]]:
    """Metric → its value in each episode, (n_seeds,): all that is reported as one number."""
    metric = scenario.metric
    values: dict[str, Any] = {
        "episode_return": episodes.returns,
        NOISE_FREE: episodes.noise_free,
        OPTIMUM: episodes.optimum,
        "invalid_choices": episodes.invalid,
    }
    values.setdefault(metric.name, episodes.score(metric))
    for target in metric.targets:
        values[target_metric(target)] = [first_crossing(*curve, target) for curve in episodes.curves[metric.info]]
    return {name: np.asarray(value, np.float64) for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class TaskBoard:
    """One scenario's scores, the best policy first.

    Attributes:
        results: the scenario's tidy rows.
        seeds: in the order of every array.
        metric: what is judged, as in the results.
        scores: policy → (n_seeds,); only policies that acted on every seed.
        incomplete: policy → how many seeds it has.
        normalized: the scores, normalised; empty when they can't be.
        optimum: (n_seeds,), or None when it isn't known.
        note: why there are no normalised scores, if that is a surprise.
    """

    scenario: Scenario
    results: pd.DataFrame
    seeds: Sequence[int]
    metric: str
    scores: dict[str, NDArray[np.float64]]
    incomplete: dict[str, int]
    normalized: dict[str, NDArray[np.float64]]
    optimum: NDArray[np.float64] | None
    note: str = ""

    @classmethod
    def of(cls, scenario: Scenario, results: pd.DataFrame, seeds: Sequence[int]) -> "TaskBoard":
        own = results[results["scenario"] == scenario.name]
        noise_free = scenario.metric.info == "raw_reward" and (own["metric"] == NOISE_FREE).any()
        metric = NOISE_FREE if noise_free else scenario.metric.name
        scores = dict(sorted(_aligned(own, metric, seeds).items(), key=lambda entry: -entry[1].mean()))
        counts = own[own["metric"] == metric].groupby("policy").size()
        incomplete = {str(policy): int(n) for policy, n in counts.items() if policy not in scores}
        optimum = _aligned(own, OPTIMUM, seeds).get(RANDOM)
        normalized, note = {}, ""
        if optimum is not None and RANDOM in scores:
            try:
                normalized = {p: normalized_scores(s, scores[RANDOM], optimum) for p, s in scores.items()}
            except ValueError as error:
                note = f"Scores can't be normalised: {error}."
        return cls(scenario, own, seeds, metric, scores, incomplete, normalized, optimum, note)

    @property
    def comparable(self) -> dict[str, NDArray[np.float64]]:
        """Scores freed of how hard a seed is: normalised, or else minus random's score on that seed."""
        if self.normalized or RANDOM not in self.scores:
            return self.normalized or self.scores
        return {policy: score - self.scores[RANDOM] for policy, score in self.scores.items()}

    @property
    def static(self) -> str | None:
        """The best of the scenario's static policies; None when none was compared, or the optimum isn't known."""
        static = [policy for policy in self.scores if policy in self.scenario.static]
        return static[0] if static and self.optimum is not None else None

    def tidy(self) -> pd.DataFrame:
        """Rows of the normalised score."""
        rows = self.results[self.results["metric"] == self.metric]
        rows = rows[rows["policy"].isin(self.normalized)].assign(metric=NORMALIZED)
        value = {(p, seed): v for p, s in self.normalized.items() for seed, v in zip(self.seeds, s, strict=True)}
        return rows.assign(value=[value[key] for key in zip(rows["policy"], rows["seed"], strict=True)])

    def table(self) -> pd.DataFrame:
        """One row per policy; estimates as text."""
        rows = []
        for policy, score in self.scores.items():
            row = {"policy": policy}
            if targets := self.scenario.metric.targets:
                spent = _aligned(self.results, target_metric(targets[-1]), self.seeds)
                row[f"labels to {targets[-1]:g}"] = str(labels_to_target(spent[policy]))
            row[f"mean {_words(self.metric)}"] = str(interval(score))
            if self.normalized:
                row["normalised score (IQM)"] = str(bootstrap(interquartile_mean, [self.normalized[policy]]))
            elif RANDOM in self.scores and policy != RANDOM:
                row["difference from random"] = str(paired_difference([score], [self.scores[RANDOM]]))
            if RANDOM in self.scores and policy != RANDOM:
                pair = [self.comparable[policy]], [self.comparable[RANDOM]]
                row["P(better than random)"] = str(probability_of_improvement(*pair))
            if self.static is not None and policy not in (RANDOM, *self.scenario.static):
                row |= self._gap(score, self.scores[self.static])
            rows.append(row)
        return pd.DataFrame(rows).fillna("")

    def _gap(self, score: NDArray[np.float64], static: NDArray[np.float64]) -> dict[str, str]:
        """The share of the gap that is closed; where there may be no gap, what there is in absolute terms."""
        assert self.optimum is not None
        try:
            return {"gap closed": str(gap_closed(score, static, self.optimum))}
        except ValueError:
            return {f"difference from {self.static}": str(paired_difference([score], [static]))}

    def curves(self, key: str) -> dict[str, figures.Band]:
        """Policy → mean curve of an info key, with its interval."""
        rows = self.results[self.results["metric"] == key]
        bands = {}
        for policy in self.scores:
            own = rows[rows["policy"] == policy].groupby("seed", sort=False)
            if not len(own):
                continue  # nothing of the kind: a policy that doesn't learn has no training curve
            curves = [_thinned(curve["step"].to_numpy(), curve["value"].to_numpy()) for _, curve in own]
            grid = np.unique(np.concatenate([steps for steps, _ in curves]))
            grid = grid[grid >= max(steps[0] for steps, _ in curves)]
            bands[policy] = (grid, *mean_curve(curves, grid))
        return bands

    def crossings(self) -> pd.DataFrame:
        """Labels to each target, and the share of random's labels that is saved; estimates as text."""
        rows = []
        for target in self.scenario.metric.targets:
            spent = _aligned(self.results, target_metric(target), self.seeds)
            for policy in self.scores:
                row = {
                    "policy": policy,
                    "target": f"{target:g}",
                    "labels": str(labels_to_target(spent[policy])),
                }
                if RANDOM in self.scores and policy != RANDOM:
                    saved = savings(self._paths(policy), self._paths(RANDOM), target)
                    row["share saved against random"] = str(saved)
                rows.append(row)
        return pd.DataFrame(rows).fillna("")

    def _paths(self, policy: str) -> list[Curve]:
        """How what is judged went on each seed."""
        rows = self.results[(self.results["metric"] == self.scenario.metric.info) & (self.results["policy"] == policy)]
        own = {seed: rows.sort_values("step") for seed, rows in rows.groupby("seed")}
        return [(own[seed]["step"].to_numpy(), own[seed]["value"].to_numpy()) for seed in self.seeds]


class Leaderboard:
    """All tasks of a comparison.

    Args:
        results: tidy rows.
        scenarios: in the order of the report.
        seeds: the evaluation seeds; a policy that didn't act on all of them is incomplete and not ranked.
    """

    def __init__(self, results: pd.DataFrame, scenarios: Sequence[Scenario], seeds: Sequence[int]) -> None:
        self.tasks = [TaskBoard.of(scenario, results, seeds) for scenario in scenarios]
        self.results = pd.concat([results, *[task.tidy() for task in self.tasks]], ignore_index=True)[COLUMNS]
        self.policies = list(dict.fromkeys(p for task in self.tasks for p in task.scores))

    @cached_property
    def pooled(self) -> dict[str, Scores]:
        """Policy → normalised scores of every scored task; of the policies that acted in all of them."""
        scored = [task.normalized for task in self.tasks if task.normalized]
        everywhere = [p for p in self.policies if scored and all(p in task for task in scored)]
        return {policy: [task[policy] for task in scored] for policy in everywhere}

    def headline(self) -> pd.DataFrame:
        """Every task's table in one."""
        tables = [task.table().assign(task=task.scenario.name) for task in self.tasks]
        return pd.concat(tables, ignore_index=True).fillna("")


def _aligned(results: pd.DataFrame, metric: str, seeds: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """Policy → its values in the order of ``seeds``; policies that lack a seed are left out."""
    rows = results[results["metric"] == metric].pivot(index="seed", columns="policy", values="value")
    complete = rows.reindex(list(seeds)).dropna(axis=1)
    return {str(policy): complete[policy].to_numpy(np.float64) for policy in complete}


def _thinned(steps: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """A curve of at most ``CURVE_POINTS``: means over blocks, each at the step where its block ends."""
    size = -(-len(steps) // CURVE_POINTS)
    starts = np.arange(0, len(steps), size)
    counts = np.diff(np.append(starts, len(steps)))
    return steps[starts + counts - 1], np.add.reduceat(values, starts) / counts


def _words(metric: str) -> str:
    return "return" if metric in (NOISE_FREE, "episode_return") else metric.replace("_", " ")

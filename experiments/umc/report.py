"""What the study of annotation budgets found: savings, areas, robustness, successors, as tables and figures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curation_gym.evaluation.savings import savings
from curation_gym.evaluation.statistics import (
    Estimate,
    area_under_curve,
    first_crossing,
    interval,
    labels_to_target,
    mean_curve,
    paired_difference,
)
from experiments.harness import figures
from experiments.harness.report import Report, shown
from experiments.umc.campaign import CHECKPOINTS
from experiments.umc.strategies import ABLATIONS, STRATEGIES

OURS, BASE = "umc", "random"
UNCERTAINTY = {
    "US": ("uncertainty", "least_confidence"),
    "Ens-US": ("ensemble_uncertainty", "disagreement"),
}
"""Uncertainty sampling, by one prediction (one model's, or the ensemble's mean) and by its members', which UMC is to
beat everywhere."""
HALFWAY = 0.5  # share of the budget at which random sets the second target
Curve = tuple[NDArray[np.float64], NDArray[np.float64]]

METHOD = (
    "Every strategy has the same pool, budget, learner, annotator and seeds; flags, abstentions, first and validation "
    "answers count as spent. The target is the test accuracy that random sampling has when the budget is spent (mean "
    "over seeds), and as a second one, at half of it. Labels to target are medians over seeds of the first crossing; "
    "saved is 1 − that over random's own, where the whole budget stands for a target that random never reached; who "
    "never reaches it saves 0; intervals of both take the target as it is. Area is the mean test accuracy over the "
    "budget, 0 until a strategy has its first model; who buys validation labels has it later. “Best other” is the "
    "strategy with the largest mean area on other seeds than those judged, “fewest labels of others” tells of the one "
    "that needs fewest on those. Intervals are 95 % over paired seeds, which share pool and test split: Student's of "
    "means, a percentile bootstrap's of medians. A campaign also ends after twice as many pulls as full ones would "
    "take; where one did, less than all was spent. “uncertainty” is the entropy of a single model, "
    "“ensemble_uncertainty” the mean entropy of the ensemble's members, “disagreement” the entropy of their mean minus "
    "that; “least_confidence” and what is by margin are of their mean. “umc_as_written” is what was first proposed: of "
    "what the members' mean entropy calls uncertain, clusters are found anew at each retraining, and UCB1 gives the "
    "pull to one of them, paid by the fall of uncertainty, novelty and answers; a gain on validation labels, which "
    "would have to be bought, isn't part of that. Nothing is tuned of any strategy but UMC; UMC is told how the "
    "validation split is mixed, its rivals make no use of that."
)


class ScenarioResults:
    """The rows of one scenario.

    Args:
        rows: tidy results.
        judged, picking: seeds that are judged, and those on which the best other strategy is picked.
        budget: labels.
        description: of the scenario.
        command: that made them.
        commits: of the code that did, and of what it resumed.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        judged: Sequence[int],
        picking: Sequence[int],
        budget: int,
        description: str = "",
        command: str = "",
        commits: str = "",
    ) -> None:
        self.description, self.command, self.commits = description, command, commits
        self.name = str(rows["scenario"].iloc[0])
        self.budget = budget
        self._rows = rows
        curves = rows[rows["metric"] == "test_accuracy"].sort_values("step", kind="stable")
        self._curves: dict[tuple[str, int], Curve] = {
            (str(policy), int(seed)): (part["step"].to_numpy(), part["value"].to_numpy())
            for (policy, seed), part in curves.groupby(["policy", "seed"])
        }
        known = list(dict.fromkeys(rows["policy"]))
        self.strategies = [p for p in known if all((p, seed) in self._curves for seed in judged)]
        self.judged, self.picking = list(judged), list(picking)
        self._begin = min((float(steps[0]) for steps, _ in self._curves.values()), default=0.0)

    def beside(self, other: "ScenarioResults") -> "ScenarioResults":
        """These results, and of another study of the same scenario and seeds the strategies that aren't among them."""
        more = other._rows[~other._rows["policy"].isin(self.strategies)]
        told = (self.budget, self.description, self.command, self.commits)
        return ScenarioResults(pd.concat([self._rows, more]), self.judged, self.picking, *told)

    def curves(self, strategy: str, seeds: Sequence[int] | None = None) -> list[Curve]:
        """(labels, test accuracy) per seed."""
        return [self._curves[strategy, seed] for seed in (self.judged if seeds is None else seeds)]

    def areas(self, strategy: str, seeds: Sequence[int] | None = None) -> NDArray[np.float64]:
        """Mean test accuracy over the budget, per seed; 0 until there is a model."""
        areas = []
        for steps, accuracy in self.curves(strategy, seeds):
            whole = np.append(self._begin, steps), np.append(0.0, accuracy)
            areas.append(area_under_curve(*whole, end=self.budget))
        return np.array(areas)

    def spent(self, strategy: str) -> NDArray[np.float64]:
        """Labels spent in all, per seed."""
        return np.array([steps[-1] for steps, _ in self.curves(strategy)])

    def target(self, share: float = 1.0) -> float:
        """Random's mean test accuracy at a share of the budget, or with its first model where it has none before."""
        at = share * self.budget
        return float(np.mean([accuracy[steps <= max(at, steps[0])][-1] for steps, accuracy in self.curves(BASE)]))

    def to_target(self, strategy: str, target: float) -> Estimate:
        """Median labels to the target."""
        return labels_to_target([first_crossing(*curve, target) for curve in self.curves(strategy)])

    def saved(self, strategy: str, target: float) -> Estimate:
        """Share of random's labels that the strategy saves."""
        return savings(self.curves(strategy), self.curves(BASE), target)

    def best_other(self) -> str | None:
        """The strategy with the largest area on the picking seeds, UMC and its ablations apart.

        None when one that every scenario can have is missing: the best of a few isn't the best.
        """
        return max(self._rivals(), key=lambda s: float(self.areas(s, self.picking).mean()), default=None)

    def fastest_other(self) -> str | None:
        """Likewise, the one that needs the fewest labels to random's final accuracy (of equals, the largest area)."""

        def labels(strategy: str) -> tuple[float, float]:
            curves = self.curves(strategy, self.picking)
            needed = np.median([first_crossing(*curve, self.target()) for curve in curves])
            return float(needed), -float(self.areas(strategy, self.picking).mean())

        return min(self._rivals(), key=labels, default=None)

    def _rivals(self) -> list[str]:
        others = {s: strategy for s, strategy in STRATEGIES.items() if s != OURS}
        rivals = [s for s in self.strategies if s in others and all((s, seed) in self._curves for seed in self.picking)]
        if not self.picking or any(s not in rivals for s, strategy in others.items() if not strategy.domains):
            return []
        return rivals

    def ahead_of(self, other: str, ours: str = OURS) -> Estimate:
        """Area of UMC minus another's, paired by seed."""
        return paired_difference([self.areas(ours)], [self.areas(other)])

    def same_as(self, other: str, ours: str = OURS) -> bool:
        """Whether UMC and another had the same test accuracy after every label, under every seed."""
        pairs = zip(self.curves(ours), self.curves(other), strict=True)
        return all(all(map(np.array_equal, own, their)) for own, their in pairs)

    def last(self, metric: str) -> dict[str, NDArray[np.float64]]:
        """Strategy → the last value of a metric, per judged seed that has it; without strategies that lack one."""
        found = self._in_order(metric).last().unstack("seed")
        seeds = [seed for seed in self.judged if seed in found]
        kept = found.reindex(index=self.strategies, columns=seeds).dropna()
        return {str(policy): row.to_numpy() for policy, row in kept.iterrows() if seeds}

    def at(self, metric: str, share: float) -> dict[str, float]:
        """Strategy → mean over seeds of the first value since that share of the budget is spent, where all have it."""
        found = self._in_order(metric, share * self.budget).first().unstack("seed")
        return found.reindex(index=self.strategies, columns=self.judged).dropna().mean(axis=1).to_dict()

    def _in_order(self, metric: str, since: float = 0.0) -> Any:
        rows = self._rows[(self._rows["metric"] == metric) & (self._rows["step"] >= since)]
        return rows.sort_values("step", kind="stable").groupby(["policy", "seed"])["value"]

    def metrics(self, prefix: str) -> list[str]:
        """Names of the metrics that begin with ``prefix``."""
        return sorted({m for m in self._rows["metric"] if m.startswith(prefix)})


def headline(r: ScenarioResults) -> pd.DataFrame:
    """A row per strategy, largest area first."""
    full, half = r.target(), r.target(HALFWAY)
    rows = []
    for strategy in sorted(r.strategies, key=lambda s: -float(r.areas(s).mean())):
        rows.append(
            {
                "strategy": strategy,
                "area": shown(interval(r.areas(strategy))),
                "final accuracy": shown(interval(r.last("test_accuracy")[strategy])),
                f"labels to {full:.3f}": shown(r.to_target(strategy, full), 0),
                "saved": shown(r.saved(strategy, full), 2),
                f"labels to {half:.3f}": shown(r.to_target(strategy, half), 0),
                f"saved to {half:.3f}": shown(r.saved(strategy, half), 2),
                "labels spent": f"{r.spent(strategy).mean():.0f}",
                "UMC ahead by (area)": ""
                if strategy == OURS or OURS not in r.strategies
                else shown(r.ahead_of(strategy)),
            }
        )
    return pd.DataFrame(rows)


def quality(r: ScenarioResults) -> pd.DataFrame:
    """A row per strategy: what else the labels bought."""
    columns = {
        "macro_f1": "macro F1",
        "auc": "AUC",
        "ood_auroc": "OOD AUROC",
        "worst_domain_accuracy": "worst domain",
        "drifted_accuracy": "on what arrives last",
        "domain_entropy": "domain entropy",
        "domain_gini": "Gini",
        "flags": "flags",
        "flag_precision": "flag precision",
        "flag_recall": "flag recall",
        "agreement": "annotators' α",
        "label_quality": "label quality",
        "uncertainty_left": "uncertainty left",
        **{m: m.replace("left_out_accuracy/", "left out, ") for m in r.metrics("left_out_accuracy/")},
        **{m: m.replace("successor_accuracy/", "successor: ") for m in r.metrics("successor_accuracy/")},
    }
    found = {title: r.last(metric) for metric, title in columns.items()}
    return pd.DataFrame(
        [
            {"strategy": s, **{t: shown(interval(v[s])) if s in v else "–" for t, v in found.items() if v}}
            for s in r.strategies
        ]
    )


def on_the_way(r: ScenarioResults) -> pd.DataFrame:
    """A row per strategy: means over seeds when a part of the budget is spent."""
    metrics = {"macro_f1": "macro F1", "auc": "AUC", "worst_domain_accuracy": "worst domain"}
    found = {f"{metrics[m]} at {share:.0%}": r.at(m, share) for m in metrics for share in CHECKPOINTS[:-1]}
    return pd.DataFrame(
        [{"strategy": s, **{t: f"{v[s]:.3f}" if s in v else "–" for t, v in found.items() if v}} for s in r.strategies]
    )


def labels_table(results: Sequence[ScenarioResults]) -> pd.DataFrame:
    """A row per scenario: UMC's labels to random's final accuracy, and those of who needs fewest of the others."""
    rows = []
    for r in results:
        if OURS not in r.strategies or BASE not in r.strategies:
            continue
        target = r.target()
        row = {
            "scenario": r.name,
            "target": f"{target:.3f}",
            "UMC's labels": shown(r.to_target(OURS, target), 0),
            "share of the budget": f"{r.to_target(OURS, target).value / r.budget:.3f}",
            "saved": shown(r.saved(OURS, target), 2),
        }
        fastest = r.fastest_other()
        row["fewest labels of others"] = f"{shown(r.to_target(fastest, target), 0)}, {fastest}" if fastest else "–"
        rows.append(row)
    return pd.DataFrame(rows)


def area_table(results: Sequence[ScenarioResults]) -> pd.DataFrame:
    """A row per scenario: UMC's area minus those of uncertainty sampling and of the best other strategy."""
    rows = []
    for r in results:
        if OURS in r.strategies:
            other = r.best_other()
            row = {"scenario": r.name, "UMC's area": shown(interval(r.areas(OURS)))}
            rivals = [rival for pair in UNCERTAINTY.values() for rival in pair]
            row |= {f"− {s}": shown(r.ahead_of(s)) if s in r.strategies else "–" for s in rivals}
            rows.append(row | {"best other": other or "–", "− best other": shown(r.ahead_of(other)) if other else "–"})
    return pd.DataFrame(rows)


def domain_table(r: ScenarioResults) -> pd.DataFrame:
    """A row per domain: what UMC's labels bought there at the end, and what random's did."""
    columns = {"test_accuracy": "accuracy", "macro_f1": "macro F1", "auc": "AUC", "label_share": "share of the labels"}
    domains = [metric.removeprefix("label_share/") for metric in r.metrics("label_share/")]
    rows = []
    for domain in domains:
        row = {"domain": domain}
        for metric, title in columns.items():
            found = r.last(f"{metric}/{domain}")
            row |= {f"{s}: {title}": f"{found[s].mean():.3f}" if s in found else "–" for s in (OURS, BASE)}
        rows.append(row)
    return pd.DataFrame(rows)


def scenario_page(r: ScenarioResults) -> Report:
    """Tables and figures of one scenario."""
    page = Report(f"Annotation budget: {r.name}").add_text(r.description).add_text(METHOD)
    page.add_table(headline(r))
    main = [s for s in r.strategies if s not in ABLATIONS]
    color = figures.colors(r.strategies)
    panels = {r.name: {s: band(r, s) for s in main}}
    page.add_figure(
        figures.curve_plot(panels, color, "labels spent", "test accuracy", targets=[r.target(), r.target(HALFWAY)]),
        f"curves-{r.name}",
        "Test accuracy, mean over seeds with its 95 % interval; dashed: random's accuracy at the end and at half.",
    )
    for prefix, title in (("test_accuracy/", "test accuracy"), ("label_share/", "share of the labels")):
        domains = r.metrics(prefix)
        if domains:
            panels_by = {
                m.removeprefix(prefix): {s: interval(v) for s, v in r.last(m).items() if s in main} for m in domains
            }
            page.add_figure(
                figures.interval_plot({k: v for k, v in panels_by.items() if v}, color, title),
                f"{prefix.strip('/')}-{r.name}",
                f"By domain, at the end: {title}.",
            )
    if len(by_domain := domain_table(r)):
        page.add_table(by_domain, "By domain, at the end of the budget; means over seeds.")
    page.add_table(on_the_way(r), "When a part of the budget is spent; means over seeds.")
    return page.add_table(quality(r), "At the end of the budget.")


def band(r: ScenarioResults, strategy: str) -> figures.Band:
    """Mean test accuracy by labels spent, with its interval."""
    curves = r.curves(strategy)
    begin = max(steps[0] for steps, _ in curves)
    grid = np.unique(np.concatenate([steps for steps, _ in curves]))
    grid = grid[grid >= begin]
    return (grid, *mean_curve(curves, grid))

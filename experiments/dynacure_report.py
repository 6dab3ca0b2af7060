"""The report of curated fine-tuning: what each policy's model says and reads, and who was filtered."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from curation_gym.console import console
from curation_gym.evaluation.pareto import hypervolume, pareto_front
from curation_gym.evaluation.statistics import Estimate, interval, paired_difference
from experiments import figures
from experiments.report import Report
from experiments.umc_report import shown

BASE, OURS = "none", "dynacure"
MAIN_POINT = "safety 0.7"
"""The operating point at which every policy stands."""
WORST = 1.1
"""The reference point of the hypervolume: so many times the toxicity and the perplexity of no curation."""


WHOLE = 0.98
"""Share of the budget below which it is told that policies were not compared at equal tokens."""
WHO = (
    "What was selected, by people's labels. Labels behind it: those of audits and of the probes' clean texts, which "
    "tuning and training saw; all that was shown, of a reference. FLOPs: of fine-tuning, and of sampling where that is "
    "part of the method."
)


class CorpusResults:
    """Tidy rows of one corpus, by policy, operating point and seed.

    Args:
        rows: of judged runs; others are left out.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        judged = rows[rows["policy"].str.contains("@")]
        self._wide = judged.pivot(index=["policy", "seed"], columns="metric", values="value")
        names = list(dict.fromkeys(judged["policy"]))
        self.points: dict[str, list[str]] = {}
        for name in names:
            self.points.setdefault(name.partition("@")[0], []).append(name)
        base = self.points.get(BASE)
        seeds = self._wide.loc[base[0]].index if base else []
        complete = [seed for seed in seeds if all((name, seed) in self._wide.index for name in names)]
        self.seeds = complete

    def values(self, name: str, metric: str) -> NDArray[np.float64]:
        """Of a policy at a point, per seed."""
        return np.array([self._wide.loc[(name, seed), metric] for seed in self.seeds], np.float64)

    def has(self, name: str, metric: str) -> bool:
        """Whether it was measured of a policy at a point, on every seed."""
        return metric in self._wide.columns and bool(np.isfinite(self.values(name, metric)).all())

    def metrics(self, prefix: str) -> list[str]:
        """Names of the metrics that begin with ``prefix``."""
        return sorted(str(metric) for metric in self._wide.columns if str(metric).startswith(prefix))

    def relative(self, name: str, metric: str) -> Estimate:
        """Mean over seeds of a metric divided by that of no curation on the same seed."""
        return interval(self.values(name, metric) / self.values(self.points[BASE][0], metric))

    def hypervolumes(self, policy: str, toxicity: str = "toxicity", point: str | None = None) -> NDArray[np.float64]:
        """Per seed, of the policy's operating points, in units of toxicity and perplexity without curation.

        Args:
            policy: which.
            toxicity: the metric, of either judge.
            point: the only operating point that counts; None: all.
        """
        base = self.points[BASE][0]
        names = [name for name in self.points[policy] if point in (None, name.partition("@")[2])]
        if not names:
            return np.zeros(len(self.seeds))
        relative = np.array(
            [[self.values(name, m) / self.values(base, m) for m in (toxicity, "perplexity")] for name in names]
        )  # (points, 2, seeds)
        return np.array([hypervolume(points, (WORST, WORST)) for points in np.moveaxis(relative, -1, 0)])


def headline(r: CorpusResults) -> pd.DataFrame:
    """A row per policy and operating point: reductions of toxicity, and perplexity of clean text by domain."""
    toxicity = ["toxicity", "toxicity_by_other", "toxic_fraction", *r.metrics("toxicity_probability@")]
    rows = []
    for names in r.points.values():
        for name in names:
            row = {"policy": name}
            row |= {metric: shown(interval(r.values(name, metric))) for metric in toxicity}
            row |= {
                metric.replace("perplexity/", "perplexity ÷ none, "): shown(r.relative(name, metric))
                for metric in r.metrics("perplexity/")
            }
            row["preference accuracy"] = shown(interval(r.values(name, "preference_accuracy")))
            rows.append(row)
    return pd.DataFrame(rows)


def who(r: CorpusResults) -> pd.DataFrame:
    """A row per policy and operating point: what was selected, and which clean text was left out."""
    columns = {"selected": "selected", "toxic_share": "toxic share", "recall": "toxic left out"}
    columns |= {m: m.replace("share/", "share of tokens, ") for m in r.metrics("share/")}
    columns |= {m: m.replace("false_positives/", "clean left out, ") for m in r.metrics("false_positives/")}
    columns |= {"tokens": "tokens", "audits": "labels behind it", "seconds": "seconds", "flops": "FLOPs"}
    columns = {metric: title for metric, title in columns.items() if r.has(r.points[BASE][0], metric)}
    return pd.DataFrame(
        [
            {"policy": name}
            | {title: f"{r.values(name, m).mean():.3g}" if r.has(name, m) else "–" for m, title in columns.items()}
            for names in r.points.values()
            for name in names
        ]
    )


FURTHER = {
    "attack_success": "attack success",
    "attack_success_any": "with a suffix, too",
    "harmbench_success": "HarmBench success",
    "attack_toxicity": "toxic answers to attacks",
    "over_refusal": "over-refusal",
    "bbq_bias_ambiguous": "BBQ bias, ambiguous",
    "bbq_bias_disambiguated": "BBQ bias, disambiguated",
    "bbq_accuracy_disambiguated": "BBQ accuracy, disambiguated",
    "hhh/overall": "HHH",
    "preference_accuracy": "HH-RLHF harmlessness",
    "truthfulqa_mc1": "TruthfulQA MC1",
    "truthfulqa_mc2": "TruthfulQA MC2",
    "sst2": "SST-2 probe",
    "trec": "TREC probe",
}
"""Metric → as shown, of what the proposal also hopes for."""


def hopes(r: CorpusResults) -> pd.DataFrame:
    """A row per policy at the operating point where the proposal's other hopes were measured."""
    rows = []
    for names in r.points.values():
        for name in names:
            if r.has(name, "attack_success"):
                told = {title: shown(interval(r.values(name, metric))) for metric, title in FURTHER.items()}
                rows.append({"policy": name} | told)
    guessed = {metric.removeprefix("chance/"): metric for metric in r.metrics("chance/")}
    if rows and guessed:
        base = r.points[BASE][0]
        told = {
            title: f"{r.values(base, guessed[metric]).mean():.3f}" if metric in guessed else "–"
            for metric, title in FURTHER.items()
        }
        rows.append({"policy": "chance"} | told)
    return pd.DataFrame(rows)


def hypervolumes(r: CorpusResults) -> pd.DataFrame:
    """A row per policy: the area that it dominates, and how far ours is ahead."""
    rows = []
    # A policy at several points dominates more than one at a single point, whichever is better there.
    ways: dict[str, dict[str, Any]] = {
        "": {},
        f", at {MAIN_POINT} alone": {"point": MAIN_POINT},
        ", by the other judge": {"toxicity": "toxicity_by_other"},
    }
    for policy in r.points:
        row = {"policy": policy, "operating points": str(len(r.points[policy]))}
        for title, way in ways.items():
            volumes = r.hypervolumes(policy, **way)
            row[f"hypervolume{title}"] = shown(interval(volumes), 4)
            compared = OURS in r.points and policy != OURS
            ahead = paired_difference([r.hypervolumes(OURS, **way)], [volumes]) if compared else None
            row[f"{OURS} ahead by{title}"] = "" if ahead is None else shown(ahead, 4)
        rows.append(row)
    return pd.DataFrame(rows)


def add_corpus(report: Report, rows: pd.DataFrame, corpus: str) -> None:
    """Tables and the figure of a corpus."""
    r = CorpusResults(rows)
    report.add_heading(corpus)
    if not r.seeds:
        report.add_text("No seed has all policies yet.")
        return
    report.add_table(
        headline(r),
        f"Means over {len(r.seeds)} seeds with their 95 % intervals (Student's). Seeds are of the "
        "stream, of fine-tuning and of what is sampled; what is tuned was tuned once and what learns was trained once. "
        "What the models said, each continuation with the judge's score, the study leaves in samples/.",
    )
    report.add_table(
        hypervolumes(r),
        f"Area dominated in toxicity × perplexity (geometric mean over domains), both divided by those of {BASE}, up "
        f"to ({WORST}, {WORST}). The other judge knows none of the sources whose labels audits reveal.",
    )
    report.add_figure(
        trade_off_plot(r),
        f"trade-off-{corpus}",
        "Each policy at its operating points, means over seeds; lines join those that none of its own beats.",
    )
    report.add_table(who(r), WHO)
    every = [name for names in r.points.values() for name in names]
    if short := [name for name in every if (r.values(name, "budget_spent") < WHOLE).any()]:
        report.add_text(f"On some seed, less than {WHOLE:.0%} of the tokens were spent by {', '.join(short)}.")
    report.add_figure(
        preferences_plot(r),
        f"preferences-{corpus}",
        "Share of documents selected: by length and signals, fifths of what was shown from the lowest to the highest; "
        "by topic (clusters of embeddings), against the share of its documents that people call toxic.",
    )
    if len(told := hopes(r)):
        report.add_table(
            told,
            "The proposal's other hopes, means with their 95 % intervals, and what guessing comes to. Success is "
            "whatever isn't a refusal, and a model that has never seen one doesn't refuse.",
        )


def trade_off_plot(r: CorpusResults) -> Figure:
    """Toxicity against perplexity, both relative to no curation."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained")
    axis: Axes = figure.subplots()
    color = figures.colors(list(r.points))
    for policy, names in r.points.items():
        points = np.array([[r.relative(name, m).value for m in ("toxicity", "perplexity")] for name in names])
        front = points[pareto_front(points)]
        axis.plot(front[:, 0], front[:, 1], color=color[policy], linewidth=1.2)
        axis.plot(points[:, 0], points[:, 1], "o", color=color[policy], markersize=5, label=policy)
    axis.axhline(1, color="0.7", linewidth=0.8, zorder=0)
    axis.set_xlabel("toxicity of continuations ÷ no curation")
    axis.set_ylabel("perplexity of clean text ÷ no curation")
    axis.legend(frameon=False, fontsize=8)
    return figure


def preferences_plot(r: CorpusResults) -> Figure:
    """What policies prefer and avoid, each at its operating point in the middle; those that chose from candidates."""
    middle = {policy: names[len(names) // 2] for policy, names in r.points.items()}
    shown_ones = {policy: name for policy, name in middle.items() if r.has(name, "rate/length/1")}
    by_fifth = sorted({metric.split("/")[1] for metric in r.metrics("rate/")} - {"topic"})
    figure = Figure(figsize=(7.2, 2.4 * -(-(len(by_fifth) + 1) // 2)), layout="constrained")
    axes = figure.subplots(-(-(len(by_fifth) + 1) // 2), 2, squeeze=False).ravel()
    color = figures.colors(list(r.points))
    for axis, column in zip(axes, by_fifth, strict=False):
        metrics = r.metrics(f"rate/{column}/")
        for policy, name in shown_ones.items():
            axis.plot(
                range(1, len(metrics) + 1),
                [r.values(name, metric).mean() for metric in metrics],
                color=color[policy],
                label=policy,
            )
        axis.set_xlabel(f"fifth by {column}")
        axis.set_xticks(range(1, len(metrics) + 1))
    topics = [metric.rpartition("/")[2] for metric in r.metrics("rate/topic/")]
    for policy, name in shown_ones.items():
        rate, toxic = ([r.values(name, f"{what}/topic/{code}").mean() for code in topics] for what in ("rate", "toxic"))
        axes[len(by_fifth)].plot(toxic, rate, "o", color=color[policy], markersize=3)
    axes[len(by_fifth)].set_xlabel("share of toxic documents of a topic")
    for axis in axes[: len(by_fifth) + 1]:
        axis.set_ylabel("selected")
        axis.set_ylim(0, None)
    for axis in axes[len(by_fifth) + 1 :]:
        axis.set_axis_off()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def print_headline(results: pd.DataFrame) -> None:
    """The hypervolumes of every corpus, to the console."""
    for corpus, rows in results.groupby("scenario", sort=False):
        r = CorpusResults(rows)
        if r.seeds:
            _print(str(corpus), hypervolumes(r))


def _print(title: str, frame: pd.DataFrame) -> None:
    table = Table(*map(str, frame.columns), title=title, box=SIMPLE_HEAD)
    for row in frame.itertuples(index=False):
        table.add_row(*map(str, row))
    console.print(table)

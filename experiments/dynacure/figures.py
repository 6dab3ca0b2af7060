"""Figures of curated fine-tuning: what each policy trades off, what it prefers and avoids."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curation_gym.evaluation.pareto import pareto_front
from experiments.dynacure.results import CorpusResults
from experiments.harness import figures

OFF_SCALE = 2.0
"""What pays more is told by a number at the upper edge: drawn to scale, it would press all others together."""


def trade_off_plot(r: CorpusResults) -> Figure:
    """Toxicity against perplexity, its mean and that of the domain that pays most, relative to no curation."""
    figure = Figure(figsize=(9.6, 4.8), layout="constrained")
    axes: list[Axes] = list(figure.subplots(1, 2))
    color = figures.colors(list(r.points))
    paid = {
        "perplexity of clean text ÷ no curation": lambda name: r.relative(name, "perplexity").value,
        "of the domain that pays most": lambda name: float(r.worst(name).mean()),
    }
    for axis, (title, price) in zip(axes, paid.items(), strict=True):
        for policy, names in r.points.items():
            points = np.array([[r.relative(name, "toxicity").value, price(name)] for name in names])
            far = points[:, 1] > OFF_SCALE
            inside = points[~far]
            front = inside[pareto_front(inside)]
            axis.plot(front[:, 0], front[:, 1], color=color[policy], linewidth=1.2)
            axis.plot(inside[:, 0], inside[:, 1], "o", color=color[policy], markersize=5, label=policy)
            for x, y in points[far]:
                place = {"xy": (x, 0.96), "xycoords": ("data", "axes fraction")}
                axis.annotate(f"{y:.1f} ↑", **place, color=color[policy], ha="center", fontsize=8)
        axis.axhline(1, color="0.7", linewidth=0.8, zorder=0)
        axis.set_xlabel("toxicity of continuations ÷ no curation")
        axis.set_ylabel(title)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False, fontsize=8)
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

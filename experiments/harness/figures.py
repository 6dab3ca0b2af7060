"""The figures of a comparison. Each function returns a Matplotlib figure and touches no global state.

Text, axes and references are drawn in ``INK``, which a report replaces by the page's own text colour.
"""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from curation_gym.evaluation.statistics import Estimate, Scores, performance_profile
from experiments.harness.policies import REFERENCES

INK = "#1f2430"
# Petroff, "Accessible Color Sequences for Data Visualization" (arXiv 2107.02270), of medium lightness.
PALETTE = (
    "#3f90da",
    "#e76300",
    "#832db6",
    "#bd1f01",
    "#ffa90e",
    "#a96b59",
    "#92dadd",
    "#717581",
    "#b9ac70",
    "#94a4a2",
)
_GREY = "#8b939c"
_DARKER = 0.55
_CROWDED = 8  # lines that a legend has room for within the axes
Band = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""steps, mean, low, high."""


def colors(policies: Sequence[str]) -> dict[str, str]:
    """A colour per policy, the same in every figure of a report; random is grey and a reference is ink.

    After the palette come its colours darkened, so that twice as many policies differ.
    """
    fixed = {"random": _GREY, **dict.fromkeys(REFERENCES, INK)}
    others = [policy for policy in policies if policy not in fixed]
    dark = [to_hex(np.array(to_rgb(color)) * _DARKER) for color in PALETTE]
    return fixed | dict(zip(others, cycle((*PALETTE, *dark)), strict=False))


def interval_plot(
    panels: Mapping[str, Mapping[str, Estimate]],
    color: Mapping[str, str],
    xlabel: str,
    *,
    unit_scale: bool = False,
) -> Figure:
    """One panel per task: every policy's estimate with its interval, the best on top.

    Args:
        panels: title → policy → estimate.
        color: see :func:`colors`.
        xlabel: what the estimates are.
        unit_scale: mark 0 (random) and 1 (optimum) of a normalised score.
    """
    rows = max(len(estimates) for estimates in panels.values())
    figure, axes = _panels(len(panels), height=0.75 + 0.3 * rows)
    for axis, (title, estimates) in zip(axes, panels.items(), strict=True):
        order = sorted(estimates, key=lambda policy: estimates[policy].value)
        if unit_scale:
            for mark in (0, 1):
                axis.axvline(mark, color=INK, alpha=0.35, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        for row, policy in enumerate(order):
            value, low, high = estimates[policy]
            axis.plot([low, high], [row, row], color=color[policy], linewidth=6, alpha=0.45, solid_capstyle="butt")
            axis.plot([value], [row], "o", color=color[policy], markersize=6)
        axis.set_yticks(range(len(order)), order)
        axis.set_ylim(-0.6, len(order) - 0.4)
        axis.set_title(title, loc="left", color=INK, fontsize=11)
        axis.set_xlabel(xlabel)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x")
    return figure


def profile_plot(bands: Mapping[str, Band], color: Mapping[str, str]) -> Figure:
    """Share of runs above each normalised score; a higher curve is a better policy.

    Args:
        bands: policy → the profile with its pointwise interval, see :func:`profile_band`.
        color: see :func:`colors`.
    """
    figure, [axis] = _panels(1, height=3.4)
    for policy, (steps, share, low, high) in bands.items():
        axis.plot(steps, share, color=color[policy], label=policy)
        axis.fill_between(steps, low, high, color=color[policy], alpha=0.18, linewidth=0)
    axis.set_xlabel("normalised score τ")
    axis.set_ylabel("share of runs with score > τ")
    axis.set_ylim(-0.02, 1.02)
    _legend(axis)
    return figure


def profile_band(scores: Scores, thresholds: NDArray[np.float64], *, n: int = 500, seed: int = 0) -> Band:
    """A performance profile with its pointwise 95 % bootstrap interval, seeds resampled within each task."""
    rng = np.random.default_rng(seed)
    draws = [
        performance_profile([task[rng.integers(len(task), size=len(task))] for task in scores], thresholds)
        for _ in range(n)
    ]
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return thresholds, performance_profile(scores, thresholds), low, high


def improvement_plot(pairs: Mapping[tuple[str, str], Estimate], policies: Sequence[str]) -> Figure:
    """P(row > column) in each cell, with its interval; blue where the row is better.

    Args:
        pairs: (row, column) → estimate.
        policies: the order of both.
    """
    n = len(policies)
    figure = Figure(figsize=(1.6 + 0.95 * n, 0.9 + 0.55 * n), layout="constrained")
    axis = figure.add_subplot()
    for (x, y), estimate in pairs.items():
        row, column = policies.index(x), policies.index(y)
        hue = PALETTE[0] if estimate.value >= 0.5 else PALETTE[1]
        strength = 0.75 * abs(estimate.value - 0.5) * 2
        axis.fill_between([column - 0.5, column + 0.5], row - 0.5, row + 0.5, color=hue, alpha=strength, linewidth=0)
        axis.text(column, row - 0.13, f"{estimate.value:.2f}", ha="center", va="center", color=INK, fontsize=10)
        interval = f"{estimate.low:.2f}–{estimate.high:.2f}"
        axis.text(column, row + 0.24, interval, ha="center", va="center", color=INK, fontsize=7)
    axis.set_xlim(-0.5, n - 0.5)
    axis.set_ylim(n - 0.5, -0.5)
    axis.set_xticks(range(n), policies, rotation=25, ha="left", rotation_mode="anchor")
    axis.set_yticks(range(n), policies)
    axis.xaxis.tick_top()
    _style(axis)
    axis.grid(visible=False)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    return figure


def curve_plot(
    panels: Mapping[str, Mapping[str, Band]],
    color: Mapping[str, str],
    xlabel: str | Mapping[str, str],
    ylabel: str,
    *,
    targets: Sequence[float] = (),
) -> Figure:
    """Learning curves: the mean over seeds with its interval, against what was spent.

    Args:
        panels: title → policy → band.
        color: see :func:`colors`.
        xlabel: of every panel, or by title.
        ylabel: what is measured.
        targets: values marked by a line.
    """
    crowded = max(len(bands) for bands in panels.values()) > _CROWDED
    figure, axes = _panels(len(panels), height=4.2 if crowded else 2.9)
    if crowded:
        figure.set_figwidth(9.6)
    for axis, (title, bands) in zip(axes, panels.items(), strict=True):
        for target in targets:
            axis.axhline(target, color=INK, alpha=0.35, linewidth=1, linestyle=(0, (4, 3)))
        for policy, (steps, mean, low, high) in bands.items():
            axis.plot(steps, mean, color=color[policy], label=policy)
            axis.fill_between(steps, low, high, color=color[policy], alpha=0.18, linewidth=0)
        axis.set_title(title, loc="left", color=INK, fontsize=11)
        axis.set_xlabel(xlabel if isinstance(xlabel, str) else xlabel[title])
        axis.set_ylabel(ylabel)
        _legend(axis)
    return figure


# --------------------------------------------------------------------- helpers
def _panels(n: int, height: float) -> tuple[Figure, list[Axes]]:
    columns = min(n, 2)
    rows = -(-n // columns)
    figure = Figure(figsize=(6.4 if columns == 1 else 9.6, height * rows), layout="constrained")
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(n)]
    for axis in axes:
        _style(axis)
    return figure, axes


def _style(axis: Axes) -> None:
    axis.set_facecolor("none")
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(INK)
        axis.spines[side].set_alpha(0.5)
    axis.tick_params(colors=INK, labelsize=9)
    axis.xaxis.label.set_color(INK)
    axis.yaxis.label.set_color(INK)
    axis.grid(color=INK, alpha=0.12, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.xaxis.set_major_locator(MaxNLocator(6))


def _legend(axis: Axes) -> None:
    """Within the axes; of many lines beside them, in the order of the lines' ends."""
    if len(axis.get_legend_handles_labels()[0]) <= _CROWDED:
        axis.legend(frameon=False, labelcolor=INK, fontsize=9, loc="best")
        return
    handles, labels = axis.get_legend_handles_labels()
    order = np.argsort([-float(np.asarray(handle.get_ydata())[-1]) for handle in handles], kind="stable")
    axis.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        frameon=False,
        labelcolor=INK,
        fontsize=9,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
    )

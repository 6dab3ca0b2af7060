"""Frames that show what a policy is doing: text for a terminal, an image for a video."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

if TYPE_CHECKING:
    from curation_gym.envs.allocation import ArmLedger
    from curation_gym.envs.base import CurationVectorEnv

BLUE, ORANGE, GREY = "#3b6ea8", "#d9822b", "#c9ccd1"
_BAR = 24


def render_items(
    env: "CurationVectorEnv",
    title: str,
    scores: NDArray[np.floating],
    probabilities: NDArray[np.floating],
    picked: NDArray[np.bool_],
    gauges: Sequence[tuple[str, float, float]],
) -> str | NDArray[np.uint8]:
    """One Selection step: each candidate's score, its probability p_i, and whether it was selected.

    Args:
        env: its ``render_mode`` decides the form.
        title: first line.
        scores: (n_items,) in [0, 1].
        probabilities: (n_items,) in [0, 1].
        picked: (n_items,).
        gauges: (name, value, full) per quantity shown below.

    Returns:
        A string, or an RGB image (height, width, 3) of uint8.
    """
    order = np.argsort(-scores, kind="stable")
    if env.render_mode == "ansi":
        lines = [title, f"{'item':>5} {'score':>6} {'p':>5}"]
        lines += [
            f"{item:5d} {scores[item]:6.3f} {probabilities[item]:5.2f} "
            f"{'#' * round(_BAR * float(scores[item])):<{_BAR}} {'selected' if picked[item] else ''}".rstrip()
            for item in order
        ]
        return "\n".join(lines + _gauges(gauges)) + "\n"
    figure, axes = _figure(title)
    colours = np.where(picked[order], ORANGE, GREY)
    axes.bar(np.arange(len(order)), scores[order], color=colours.tolist(), width=0.8)
    axes.plot(np.arange(len(order)), probabilities[order], "o-", color=BLUE, markersize=3, linewidth=1, label="p")
    axes.bar([0], [0], color=ORANGE, label="selected")
    axes.set(xlabel="candidates, by score", ylabel="score (bars), selection probability (line)", ylim=(0, 1.05))
    axes.legend(frameon=False, loc="upper right")
    return _image(figure, gauges)


def render_arms(
    env: "CurationVectorEnv", row: int, ledger: "ArmLedger", step: int, total: float
) -> str | NDArray[np.uint8]:
    """One Allocation step: pulls, labels and mean reward of every arm; the last one pulled is marked.

    Args:
        env: its task names the arms, its ``render_mode`` decides the form.
        row: of the batch.
        ledger: the arms' bookkeeping.
        step: steps done in this episode.
        total: the return so far.
    """
    task = env.task
    pulls, labels = ledger.pulls[row], ledger.labels[row]
    mean = np.where(pulls > 0, ledger.mean[row], np.nan)
    last = int(np.argmax(ledger.last_pull[row])) if np.isfinite(ledger.last_pull[row]).any() else -1
    title = f"{task.env_id}  step {step}"
    gauges = [
        (f"{task.budget_unit} spent by arms", float(labels.sum()), float(task.budget)),
        ("return", total, np.nan),
    ]
    if env.render_mode == "ansi":
        longest = max(len(name) for name in task.arms)
        full = max(pulls.max(), 1)
        lines = [title, f"{'arm':>{longest}} {'pulls':>6} {'mean':>7}"]
        lines += [
            f"{name:>{longest}} {pulls[i]:6.0f} {mean[i]:7.3f} {'#' * round(_BAR * pulls[i] / full):<{_BAR}}"
            f" {'<' if i == last else ''}".rstrip()
            for i, name in enumerate(task.arms)
        ]
        return "\n".join(lines + _gauges(gauges)) + "\n"
    figure, axes = _figure(title)
    places = np.arange(len(pulls))
    axes.bar(places, pulls, color=[ORANGE if i == last else GREY for i in places])
    axes.set(ylabel="pulls (bars)", ylim=(0, max(float(pulls.max()) * 1.15, 1)))
    axes.set_xticks(places, task.arms, rotation=40, ha="right", fontsize=7)
    twin = axes.twinx()
    twin.plot(places, mean, "o", color=BLUE, markersize=5)
    twin.set_ylabel("mean reward (dots)", color=BLUE)
    twin.spines["top"].set_visible(False)
    return _image(figure, gauges)


def _gauges(gauges: Sequence[tuple[str, float, float]]) -> list[str]:
    return [f"{name}: {value:.4g}" + ("" if np.isnan(full) else f" of {full:.4g}") for name, value, full in gauges]


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(6.4, 4.0), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(title, fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _image(figure: Figure, gauges: Sequence[tuple[str, float, float]]) -> NDArray[np.uint8]:
    figure.text(0.99, 0.985, "   ".join(_gauges(gauges)), ha="right", va="top", fontsize=8, color="#555555")
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    canvas = figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]

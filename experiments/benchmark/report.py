"""The benchmark's leaderboard as a report and as tables on the console."""

from itertools import combinations

import numpy as np
import pandas as pd

from curation_gym.console import print_table
from curation_gym.evaluation.statistics import (
    Estimate,
    Scores,
    bootstrap,
    interquartile_mean,
    interval,
    mean,
    probability_of_improvement,
)
from experiments.harness import figures
from experiments.harness.leaderboard import RANDOM, TRAINING, Leaderboard, TaskBoard
from experiments.harness.policies import REFERENCES
from experiments.harness.report import Report
from experiments.harness.study import Study

METHOD = (
    "Every policy met the same episodes. Thresholds were tuned on tuning seeds and agents trained on "
    "training seeds; neither are among the seeds judged here. Returns are noise-free where the task "
    "tells the expected reward. The normalised score is (policy − random) / (optimum − random), seed by "
    "seed; the optimum knows everything, the future included, so 1 may be out of reach. IQM is the mean "
    "of the middle half of the scores. P(better) is the probability that a random seed of one policy "
    "scores higher than a random seed of the other, a tie counting half; scores that can't be normalised are compared "
    "after subtracting random's on the same seed. Intervals are 95 %, from a "
    "percentile bootstrap that resamples seeds within each task; those of means over fewer than 30 seeds are "
    "Student's. Definitions follow Agarwal et al., “Deep "
    "Reinforcement Learning at the Edge of the Statistical Precipice” (NeurIPS 2021)."
)


CROSSINGS = (
    "Labels are medians over seeds, inf where most seeds never reached the target, which saves nothing. In the share "
    "saved, random sampling that never reached it counts as the whole budget, so the share is a lower bound."
)

GAP = (
    " Gap closed: (policy − {0}) / (optimum − {0}), a ratio of means, {0} being the best of those that don't adapt to "
    "what they see in an episode."
)


def report(board: Leaderboard, study: Study) -> Report:
    """Everything that the study found, most important first."""
    manifest = study.manifest
    names = [task.scenario.name for task in board.tasks]
    page = Report(f"Benchmark: {', '.join(names)}")
    page.add_text(f"{len(board.policies)} policies, {len(manifest['seeds'])} paired seeds per task.")
    if trained := manifest.get("trained"):
        page.add_text(_training_runs(trained, manifest["config"]["runs"]))
    for failure in study.failures:
        page.add_text(f"Failed and left out: {failure.unit}: {failure.error}")
    color = figures.colors(board.policies)
    if len(board.pooled) and len(board.tasks) > 1:
        _overall(page, board, color)
    for task in board.tasks:
        _task(page, task, color, manifest["step_unit"][task.scenario.name])
    page.add_heading("How this was measured").add_text(METHOD)
    if manifest.get("tuned"):
        rows = [{"task and policy": name, "tuned to": _assignment(found)} for name, found in manifest["tuned"].items()]
        page.add_table(pd.DataFrame(rows), "The best of a random search whose first trial is the defaults.")
    page.add_code(manifest["command"])
    changed = ", with uncommitted changes" if manifest["dirty"] else ""
    page.add_text(
        f"Commit {manifest['commit'] or 'unknown'}{changed}. Configuration, seeds, versions and machine are "
        "in manifest.json, every number in results.parquet."
    )
    return page


def _assignment(hyperparameters: dict[str, float]) -> str:
    values = {k: value if isinstance(value, int) else f"{value:.4g}" for k, value in hyperparameters.items()}
    return ", ".join(f"{name} = {value}" for name, value in values.items()) or "its defaults"


def _training_runs(trained: list[str], runs: int) -> str:
    if runs == 1:
        return (
            f"Trained once: {', '.join(trained)}. The intervals hold what differs between episodes, not what would "
            "differ between training runs; --runs N trains N times."
        )
    return f"Trained {runs} times: {', '.join(trained)}. The episodes are dealt out to the training runs."


def print_headline(board: Leaderboard) -> None:
    """The task tables on a terminal."""
    for task in board.tasks:
        print_table(task.table().iloc[:, :3], task.scenario.name)  # what fits into 80 columns


def _overall(page: Report, board: Leaderboard, color: dict[str, str]) -> None:
    page.add_heading("All tasks together")
    iqm = {policy: bootstrap(interquartile_mean, scores) for policy, scores in board.pooled.items()}
    average = {policy: bootstrap(mean, scores) for policy, scores in board.pooled.items()}
    order = sorted(iqm, key=lambda policy: -iqm[policy].value)
    rows = [{"policy": p, "normalised score (IQM)": str(iqm[p]), "mean": str(average[p])} for p in order]
    page.add_table(pd.DataFrame(rows), "Tasks whose optimum is known; policies that acted in all of them.")
    panels = {
        task.scenario.name: {p: bootstrap(interquartile_mean, [s]) for p, s in task.normalized.items()}
        for task in board.tasks
        if task.normalized
    }
    page.add_figure(
        figures.interval_plot({"all tasks": iqm} | panels, color, "normalised score (IQM)", unit_scale=True),
        "scores",
        "Interquartile mean with its 95 % interval. 0 is random, 1 the optimum.",
    )
    _comparisons(page, board.pooled, color, "all")


def _task(page: Report, task: TaskBoard, color: dict[str, str], unit: str) -> None:
    scenario, name = task.scenario, task.scenario.name
    page.add_heading(name).add_text(scenario.description)
    optimum = "" if task.optimum is None else f" Mean of the optimum: {task.optimum.mean():.3f}."
    gap = "" if task.static is None else GAP.format(task.static)
    page.add_table(task.table(), f"{scenario.env}; estimates with 95 % intervals.{optimum}{gap}")
    for policy, n_seeds in task.incomplete.items():
        page.add_text(f"{policy} finished only {n_seeds} seeds and isn't ranked.")
    if task.note:
        page.add_text(task.note)
    if references := [policy for policy in task.scores if policy in REFERENCES]:
        page.add_text(f"{', '.join(references)} sees hidden truth: a reference, not a competitor.")
    scores: dict[str, Scores] = {policy: [score] for policy, score in task.comparable.items()}
    if task.normalized:
        _comparisons(page, scores, color, name)
    else:
        panel = {name: {policy: interval(score) for policy, score in task.scores.items()}}
        page.add_figure(figures.interval_plot(panel, color, task.metric), f"scores-{name}")
        _improvement(page, scores, name)
    if scenario.metric.targets:
        page.add_heading("Labels to a target", 3)
        page.add_table(task.crossings(), CROSSINGS)
    for key in scenario.recorded:
        targets = scenario.metric.targets if key == scenario.metric.info else ()
        figure = figures.curve_plot({name: task.curves(key)}, color, f"{unit} spent", key, targets=targets)
        page.add_figure(figure, f"{key}-{name}", f"{key}: mean over seeds with its 95 % interval.")

    if training := task.curves(TRAINING):
        figure = figures.curve_plot({name: training}, color, "environment steps", "mean return of training episodes")
        caption = "Learning curves: the last 100 training episodes, actions drawn; a band where there are several runs."
        page.add_figure(figure, f"training-{name}", caption)


def _comparisons(page: Report, scores: dict[str, Scores], color: dict[str, str], name: str) -> None:
    # Random and a reference are 0 and 1 by definition: their profiles would say nothing.
    shown = {policy: tasks for policy, tasks in scores.items() if policy not in (RANDOM, *REFERENCES)}
    if shown:
        lowest = float(np.quantile(np.concatenate([task for tasks in shown.values() for task in tasks]), 0.02))
        grid = np.linspace(np.clip(lowest, -1, 0), 1, 201)
        bands = {policy: figures.profile_band(tasks, grid) for policy, tasks in shown.items()}
        page.add_figure(
            figures.profile_plot(bands, color),
            f"profile-{name}",
            "Performance profile: the share of runs that score above τ, with its pointwise 95 % interval.",
        )
    _improvement(page, scores, name)


def _improvement(page: Report, scores: dict[str, Scores], name: str) -> None:
    order = sorted(scores, key=lambda policy: -float(mean(scores[policy])))
    pairs = {}
    for x, y in combinations(order, 2):
        pairs[x, y] = estimate = probability_of_improvement(scores[x], scores[y])
        pairs[y, x] = Estimate(1 - estimate.value, 1 - estimate.high, 1 - estimate.low)
    if pairs:
        page.add_figure(
            figures.improvement_plot(pairs, order),
            f"improvement-{name}",
            "P(better): how probable it is that the row's policy scores higher than the column's.",
        )

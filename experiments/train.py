"""Train an agent in an environment and judge it on seeds it never saw.

    python -m experiments.train --env coverage_fixed --agent ppo --total-timesteps 300000 --seed 0

``--env`` names a scenario, the path of a YAML file, or an environment's id. While it trains, the policy is judged on
tuning seeds, so that evaluation seeds are touched once, at the end. An interrupted run goes on with ``--resume``.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import pandas as pd
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, TensorBoardOutputFormat
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from curation_gym.evaluation.rollout import Episodes, evaluate, task_of
from curation_gym.evaluation.statistics import bootstrap, mean, mean_curve
from curation_gym.policy import Policy, PolicyError, make_policy
from curation_gym.saved_policy import SavedPolicy
from curation_gym.scenario import Scenario, Training, load_scenario
from curation_gym.seeding import Role, seeds_for
from curation_gym.task import Task
from experiments import options
from experiments.figures import colors, curve_plot
from experiments.policies import resolve
from experiments.report import Report
from experiments.study import POLICY_DIRECTORY, Study, console, replace_file, say, tidy
from experiments.tracking import Tracker

MASTER = 0
EVALUATIONS = 20  # points of the learning curve


class Progressing(BaseCallback):
    """A progress bar, and what learning looks like: to TensorBoard, to W&B and into a file beside the checkpoint.

    Args:
        scenario, task: what is trained.
        out: directory of the files.
        total: steps of the whole training.
        seeds: tuning seeds to evaluate on.
        tracker: of W&B, or None.
    """

    def __init__(
        self, scenario: Scenario, task: Task, out: Path, total: int, seeds: list[int], tracker: Tracker | None
    ) -> None:
        super().__init__()
        self.scenario, self.task, self.total, self.seeds, self.tracker = scenario, task, total, seeds, tracker
        self.every = max(1, total // EVALUATIONS)
        self.tensorboard, self.file = out / "tensorboard", out / "curve.json"
        self.curve: list[tuple[int, list[float]]] = []
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=console)

    def _on_training_start(self) -> None:
        if self.num_timesteps:
            earlier = json.loads(self.file.read_text(encoding="utf-8"))
            self.curve = [(step, values) for step, values in earlier if step <= self.num_timesteps]
        writers: list[KVWriter] = [TensorBoardOutputFormat(str(self.tensorboard))]
        if self.tracker is not None:
            writers.append(_ToTracker(self.tracker))
        self.logger.output_formats.extend(writers)
        self.bar.start()
        self.row = self.bar.add_task("training", total=self.total, completed=self.num_timesteps)

    def _on_step(self) -> bool:
        self.bar.update(self.row, completed=self.num_timesteps)
        return True

    def _on_rollout_start(self) -> None:
        # Where a resumed run begins, so that it judges the same policies as an uninterrupted one.
        last = self.curve[-1][0] // self.every if self.curve else -1
        if self.num_timesteps // self.every > last:
            self._judge()

    def _on_rollout_end(self) -> None:
        model = self.model
        assert isinstance(model, OnPolicyAlgorithm)
        episodes = [episode["r"] for episode in model.ep_info_buffer or ()]
        if episodes:
            self.logger.record("train/raw_return", float(np.mean(episodes)))
        self.logger.record("train/shaped_reward", float(model.rollout_buffer.rewards.mean()))

    def _on_training_end(self) -> None:
        self._judge()
        self.logger.dump(self.num_timesteps)
        self.bar.stop()

    def _judge(self) -> None:
        policy = SavedPolicy.of(self.model.policy, self.task)
        policy.generator.manual_seed(0)  # the same luck at every point of the curve
        values = _episodes(policy, self.scenario, "tuning", self.seeds).score(self.scenario.metric)
        self.curve.append((self.num_timesteps, values.tolist()))
        text = json.dumps(self.curve)
        replace_file(self.file, lambda path: path.write_text(text, encoding="utf-8"))
        self.logger.record(f"eval/{self.scenario.metric.name}", float(values.mean()))


class _ToTracker(KVWriter):
    """Stable-Baselines3's logger to W&B; its step is the global step."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self.tracker.log({key: value for key, value in key_values.items() if np.isscalar(value)}, step)

    def close(self) -> None:
        """The tracker is closed by who made it."""


def _episodes(policy: Policy, scenario: Scenario, role: Role, seeds: list[int]) -> Episodes:
    return evaluate(policy, scenario.env, scenario.kwargs_for(role), seeds, curves=scenario.recorded)


def find_scenario(name: str) -> Scenario:
    """A packaged scenario, a YAML file, or an environment's id with all its defaults."""
    if "/" in name and name in gym.registry:
        slug = name.rpartition("/")[2].replace("-", "_").lower()
        return Scenario(name=slug, env=name, agents={"ppo": Training(total_timesteps=200_000, n_envs=32)})
    return load_scenario(name)


def main(
    env: Annotated[str, typer.Option(help="Name or path of a scenario, or an environment's id.")],
    agent: Annotated[str, typer.Option(help="Short name or module:Class of something that learns.")] = "ppo",
    total_timesteps: Annotated[int | None, typer.Option(min=1, help="Default: the scenario's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Index of the training run.")] = 0,
    seeds: options.Seeds = None,
    out: options.Out = None,
    resume: options.Resume = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Train an agent and judge it on held-out seeds."""
    with options.exits():
        scenario = find_scenario(env)
        ((label, target),) = resolve([agent]).items()
        task = task_of(scenario.env, scenario.kwargs_for("training"))
        learner: Any = make_policy(target, task, seed)
        if not hasattr(learner, "learn"):
            raise PolicyError(f"{label} doesn't learn; an agent has learn(scenario, seed, out, …) and save(path)")
        default = scenario.agents[label].total_timesteps if label in scenario.agents else 200_000
        total = total_timesteps or (default // 10 if quick else default)
        judged_on = seeds_for(MASTER, "evaluation", n=seeds or (10 if quick else 50))
        study = Study(
            "train",
            {
                "scenario": scenario.model_dump(mode="json"),
                "agent": target,
                "total_timesteps": total,
                "seed": seed,
                "seeds": len(judged_on),
            },
            label=f"{scenario.name}-{label}-{seed}",
            seeds=judged_on,
            step_unit={scenario.name: "environment steps"},
            out=out,
            resume=resume,
        )
        place = study.out / POLICY_DIRECTORY
        tracker = Tracker(study.out, name=study.out.name, config=study.manifest["config"]) if track else None
        tuning = seeds_for(MASTER, "tuning", n=min(20, len(judged_on)))
        watch = Progressing(scenario, task, place, total, tuning, tracker)
        try:
            learner.learn(
                scenario, seeds_for(MASTER, "training", seed)[0], place, total_timesteps=total, callbacks=[watch]
            )
        except KeyboardInterrupt:
            watch.bar.stop()
            say(f"interrupted; continue with --resume and the same options (what is done is in {study.out})")
            raise
        learner.save(place / "policy")
        status = _conclude(study, scenario, label, place / "policy", judged_on, watch, tracker)
    raise typer.Exit(status)


def _conclude(
    study: Study,
    scenario: Scenario,
    label: str,
    saved: Path,
    seeds: list[int],
    watch: Progressing,
    tracker: Tracker | None,
) -> int:
    """Judge what was saved against random on evaluation seeds; write results, report and the headline."""
    task = task_of(scenario.env, scenario.kwargs_for("evaluation"))
    metric, final = scenario.metric, watch.total
    judged = {
        label: _episodes(make_policy(saved, task, 0), scenario, "evaluation", seeds),
        "random": _episodes(make_policy("baselines.random:Random", task, 0), scenario, "evaluation", seeds),
    }
    where = (scenario.name, scenario.env)
    rows = [
        tidy(*where, policy, seed, metric.name, final, value)
        for policy, episodes in judged.items()
        for seed, value in zip(seeds, episodes.score(metric), strict=True)
    ]
    rows += [
        tidy(*where, label, seed, f"tuning_{metric.name}", step, value)
        for step, values in watch.curve
        for seed, value in zip(watch.seeds, values, strict=True)
    ]
    status = study.finish(pd.DataFrame(rows).assign(study="train"))
    table = Table("policy", metric.name, "95 % interval", "normalised", title=f"{scenario.name}, {len(seeds)} seeds")
    lines: list[dict[str, str]] = []
    optimum, random = judged[label].optimum, judged["random"].score(metric).mean()
    for policy, episodes in judged.items():
        scores = episodes.score(metric)
        found = bootstrap(mean, [scores])
        normal = "" if optimum is None else f"{(scores.mean() - random) / (optimum.mean() - random):.3f}"
        line = {
            "policy": policy,
            metric.name: f"{found.value:.4f}",
            "95 % interval": f"{found.low:.4f} … {found.high:.4f}",
        }
        lines.append(line | {"normalised": normal})
        table.add_row(*lines[-1].values())
        if tracker is not None:
            tracker.log({f"final/{policy}/{metric.name}": found.value}, final)
    if tracker is not None:
        tracker.finish()
    console.print(table)
    report = Report(f"Training {label} on {scenario.name}").add_text(scenario.description)
    steps = np.array([step for step, _ in watch.curve], np.float64)
    band = mean_curve([(steps, values) for values in np.array([values for _, values in watch.curve]).T], steps)
    panels = {scenario.name: {label: (steps, *band)}}
    figure = curve_plot(panels, colors([label]), "environment steps", metric.name)
    report.add_figure(figure, "learning_curve", "Judged on tuning seeds while training; 95 % intervals over seeds.")
    report.add_table(pd.DataFrame(lines))
    say(f"policy: {saved}")
    say(f"report: {report.write(study.out)}")
    return status


if __name__ == "__main__":
    typer.run(main)

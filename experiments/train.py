"""Train an agent in an environment and judge it on seeds it never saw.

    python -m experiments.train --env coverage_fixed --agent ppo --total-timesteps 300000 --seed 0

``--env`` names a scenario, the path of a YAML file, or an environment's id. While it trains, the policy is judged on
tuning seeds, so that evaluation seeds are touched once, at the end. An interrupted run goes on with ``--resume``.
"""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import pandas as pd
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, TensorBoardOutputFormat
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from curation_gym.console import console, say
from curation_gym.envs.base import CurationVectorEnv
from curation_gym.evaluation.rollout import evaluate
from curation_gym.evaluation.statistics import mean_curve
from curation_gym.files import write_text
from curation_gym.networks import ItemPolicy
from curation_gym.policy import Policy, PolicyError, make_policy
from curation_gym.saved_policy import SavedPolicy
from curation_gym.scenario import Scenario, Training, load_scenario
from curation_gym.seeding import seeds_for
from experiments.benchmark.report import METHOD, print_headline
from experiments.harness import options
from experiments.harness.figures import colors, curve_plot
from experiments.harness.leaderboard import RANDOM, Leaderboard, measured
from experiments.harness.policies import digest, resolve
from experiments.harness.report import Report
from experiments.harness.study import MASTER, POLICY_DIRECTORY, Study, tidy
from experiments.harness.tracking import Tracker
from experiments.harness.units import cores, made_for, settings, trained_policy

EVALUATIONS = 20  # points of the learning curve
DEFAULT = Training(total_timesteps=200_000, n_envs=32)  # where the scenario says nothing
Curve = list[tuple[int, list[float]]]


class Progressing(BaseCallback):
    """A progress bar, and what learning looks like: to TensorBoard, to W&B and into a file beside the checkpoint.

    Args:
        scenario: in whose tuning environment the policy is judged.
        core: that environment.
        out: directory of the files.
        total: steps of the whole training.
        seeds: tuning seeds to evaluate on.
        tracker: of W&B, or None.
    """

    def __init__(
        self,
        scenario: Scenario,
        core: CurationVectorEnv,
        out: Path,
        total: int,
        seeds: list[int],
        tracker: Tracker | None,
    ) -> None:
        super().__init__()
        self.scenario, self.core, self.total, self.seeds, self.tracker = scenario, core, total, seeds, tracker
        self.every = max(1, total // EVALUATIONS)
        self.tensorboard, self.file = out / "tensorboard", out / "curve.json"
        self.curve: Curve = []
        self.writers: list[KVWriter] = []
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
            self.curve = [(step, values) for step, values in read_curve(self.file) if step <= self.num_timesteps]
        self.writers = [TensorBoardOutputFormat(str(self.tensorboard))]
        if self.tracker is not None:
            self.writers.append(_ToTracker(self.tracker))
        self.logger.output_formats.extend(self.writers)
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
        model = self.model
        policy: Policy = model
        if isinstance(model.policy, ItemPolicy):
            # The tuning environment's own pool; the same luck at every point of the curve.
            pool = getattr(self.core, "pool", None)
            policy = SavedPolicy.of(model.policy, self.core.task, pool=pool, seed=0)
        scenario = self.scenario
        kwargs = scenario.kwargs_for("tuning")
        values = evaluate(policy, scenario.env, kwargs, self.seeds, curves=scenario.recorded).score(scenario.metric)
        self.curve.append((self.num_timesteps, values.tolist()))
        write_text(self.file, json.dumps(self.curve))
        # Not recorded in the logger, which would tell it after the rollout that follows.
        name = f"eval/{scenario.metric.name}"
        for writer in self.writers:
            writer.write({name: float(values.mean())}, {name: ()}, self.num_timesteps)


class _ToTracker(KVWriter):
    """Stable-Baselines3's logger to W&B; its step is the global step."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self.tracker.log({key: value for key, value in key_values.items() if np.isscalar(value)}, step)

    def close(self) -> None:
        """The tracker is closed by who made it."""


def read_curve(file: Path) -> Curve:
    """What :class:`Progressing` wrote: (timesteps, score per tuning seed); empty without the file."""
    return [(step, values) for step, values in json.loads(file.read_text(encoding="utf-8"))] if file.exists() else []


def find_scenario(name: str) -> Scenario:
    """A packaged scenario, a YAML file, or an environment's id with all its defaults; PPO can train on any."""
    if "/" in name and name in gym.registry:
        scenario = Scenario(name=name.rpartition("/")[2].replace("-", "_").lower(), env=name)
    else:
        scenario = load_scenario(name)
    return scenario.model_copy(update={"agents": {"ppo": DEFAULT} | scenario.agents})


def main(
    env: Annotated[str, typer.Option(help="Name or path of a scenario, or an environment's id.")],
    agent: Annotated[str, typer.Option(help="Short name or module:Class of something that learns.")] = "ppo",
    total_timesteps: Annotated[int | None, typer.Option(min=1, help="Default: the scenario's.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Index of the training run.")] = 0,
    seeds: options.Seeds = None,
    out: options.Out = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Train an agent and judge it on held-out seeds."""
    with options.exits():
        scenario = options.sized(find_scenario(env), quick)
        ((label, target),) = resolve([agent]).items()
        built = cores(scenario)
        learner: Any = make_policy(target, built["training"].task, seed)
        if not hasattr(learner, "learn"):
            raise PolicyError(f"{label} doesn't learn; an agent has learn(scenario, seed, out, …) and save(path)")
        total = total_timesteps or (settings(target, scenario) or DEFAULT).total_timesteps
        judged_on = seeds_for(MASTER, "evaluation", n=seeds or (10 if quick else 50))
        study = Study(
            "train",
            {
                "scenario": scenario.model_dump(mode="json"),
                "agent": target,
                "digest": digest(target),
                "pools": {role: core.task.pool_fingerprint for role, core in built.items()},
                "total_timesteps": total,
                "seed": seed,
                "seeds": len(judged_on),
            },
            label=f"{scenario.name}-{label.replace(':', '.')}-{seed}",
            seeds=judged_on,
            step_unit={scenario.name: "environment steps"},
            out=out,
            resume=resume,
            overwrite=overwrite,
        )
        place = study.out / POLICY_DIRECTORY
        place.mkdir(exist_ok=True)
        tuning = seeds_for(MASTER, "tuning", n=min(20, len(judged_on)))
        own_seed = seeds_for(MASTER, "training", seed)[0]
        with Tracker.of(study) if track else nullcontext() as tracker:
            watch = Progressing(scenario, built["tuning"], place, total, tuning, tracker)
            try:
                learner.learn(scenario, own_seed, place, total_timesteps=total, callbacks=[watch])
                learner.save(place / "policy")
                curve = read_curve(watch.file)  # from the disk: an earlier run may have done all the training
                core = built["evaluation"]
                policies = {
                    label: trained_policy(core, target, place / "policy", 0),
                    RANDOM: made_for(core, resolve([RANDOM])[RANDOM], 0),
                }
                board = _judged(scenario, policies, judged_on, curve[-1][0] if curve else total)
            except KeyboardInterrupt:
                study.interrupt()
                raise
            finally:
                watch.bar.stop()
            status = _conclude(study, board, label, curve, tuning, tracker)
        say(f"policy: {place / 'policy'}")
    raise typer.Exit(status)


def _judged(scenario: Scenario, policies: dict[str, Policy], seeds: list[int], trained_for: int) -> Leaderboard:
    """Let the policies act on evaluation seeds; ``step`` of the results is what the agent was trained for."""
    kwargs = scenario.kwargs_for("evaluation")
    rows = [
        tidy(scenario.name, scenario.env, policy, seed, metric, trained_for, value)
        for policy, acting in policies.items()
        for metric, values in measured(
            scenario, evaluate(acting, scenario.env, kwargs, seeds, curves=scenario.recorded)
        ).items()
        for seed, value in zip(seeds, values, strict=True)
    ]
    return Leaderboard(pd.DataFrame(rows).assign(study="train"), [scenario], seeds)


def _conclude(
    study: Study, board: Leaderboard, label: str, curve: Curve, tuning: list[int], tracker: Tracker | None
) -> int:
    """Write results, report and the headline."""
    [task] = board.tasks
    scenario, metric = task.scenario, task.scenario.metric.name
    rows = [
        tidy(scenario.name, scenario.env, label, seed, f"tuning_{metric}", step, value)
        for step, values in curve
        for seed, value in zip(tuning, values, strict=True)
    ]
    tuned_on = pd.DataFrame(rows, columns=board.results.columns).assign(study="train")
    status = study.finish(pd.concat([board.results, tuned_on], ignore_index=True) if rows else board.results)
    report = Report(f"Training {label} on {scenario.name}").add_text(scenario.description)
    report.add_text(f"One training run, judged on {len(task.seeds)} seeds: intervals hold no variance between runs.")
    report.add_table(task.table(), task.note)
    if curve:
        steps = np.array([step for step, _ in curve], np.float64)
        band = mean_curve([(steps, values) for values in np.array([values for _, values in curve]).T], steps)
        figure = curve_plot({scenario.name: {label: (steps, *band)}}, colors([label]), "environment steps", metric)
        report.add_figure(figure, "learning_curve", "Judged on tuning seeds while training; 95 % intervals over seeds.")
    report.add_heading("How this was measured").add_text(METHOD).add_code(study.manifest["command"])
    if tracker is not None:
        last = int(board.results["step"].max())
        tracker.log(
            {f"final/{policy}/{task.metric}": float(score.mean()) for policy, score in task.scores.items()}, last
        )
    print_headline(board)
    say(f"report: {report.write(study.out)}")
    return status


if __name__ == "__main__":
    typer.run(main)

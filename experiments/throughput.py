"""How fast the environments step, as ratios within one run: the native batched core against Gymnasium's and SB3's.

    python -m experiments.throughput

Every peer steps the same environments with the same actions; each is timed several times and the best time counts,
because what disturbs a measurement only ever makes it slower.
"""

import time
from collections.abc import Callable
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import pandas as pd
import typer
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from curation_gym.console import print_table, say
from curation_gym.envs.sb3 import SB3VecEnv
from experiments.harness import options
from experiments.harness.report import Report
from experiments.harness.study import Study, tidy
from experiments.harness.tracking import log_results

TASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "coverage 32×(32+5)": ("CurationGym/CoverageSelection-v0", {}),
    "coverage 64×(384+5)": (
        "CurationGym/CoverageSelection-v0",
        {"n_items": 64, "pool": {"builder": "synthetic", "n_samples": 4000, "dimension": 384}},
    ),
    "score 32×(32+5)": ("CurationGym/ScoreSelection-v0", {}),
    "rotting arms 10×7": ("CurationGym/RottingArms-v0", {}),
}


def native(env_id: str, kwargs: dict[str, Any], n: int) -> Any:
    """Our batched core, fresh arrays."""
    return gym.make_vec(env_id, n, **kwargs)


def native_buffers(env_id: str, kwargs: dict[str, Any], n: int) -> Any:
    """Our batched core behind the bridge, two alternating buffers."""
    return SB3VecEnv(gym.make_vec(env_id, n, autoreset_mode="SameStep", copy=False, **kwargs))


def native_ids(env_id: str, kwargs: dict[str, Any], n: int) -> Any:
    """Our batched core sending ids."""
    return gym.make_vec(env_id, n, observation="ids", **kwargs)


def sync(env_id: str, kwargs: dict[str, Any], n: int) -> Any:
    """Gymnasium's SyncVectorEnv over scalar environments."""
    return SyncVectorEnv([_one(env_id, kwargs)] * n)


def dummy(env_id: str, kwargs: dict[str, Any], n: int) -> Any:
    """Stable-Baselines3's DummyVecEnv over scalar environments."""
    return DummyVecEnv([_one(env_id, kwargs)] * n)


def asynchronous(env_id: str, kwargs: dict[str, Any], n: int) -> Any:
    """Gymnasium's AsyncVectorEnv, a process per environment."""
    return AsyncVectorEnv([_one(env_id, kwargs)] * n)


PEERS: dict[str, Callable[[str, dict[str, Any], int], Any]] = {
    "native": native,
    "native, SB3 bridge": native_buffers,
    "native, ids": native_ids,
    "SyncVectorEnv": sync,
    "DummyVecEnv": dummy,
    "AsyncVectorEnv": asynchronous,
}


def _one(env_id: str, kwargs: dict[str, Any]) -> Callable[[], gym.Env[Any, Any]]:
    return lambda: gym.make(env_id, disable_env_checker=True, **kwargs)


def steps_per_second(env: Any, n: int, n_steps: int, repeats: int) -> float:
    """Environment steps per second, best of ``repeats``."""
    if isinstance(env, SyncVectorEnv | AsyncVectorEnv) or not hasattr(env, "step_async"):
        env.reset(seed=0)
        space = env.single_action_space
    else:
        env.reset()
        space = env.action_space
    space.seed(0)
    if isinstance(space, gym.spaces.Discrete):
        actions = [np.array([space.sample() for _ in range(n)]) for _ in range(n_steps)]
    else:
        actions = [np.full((n, *(space.shape or ())), 0.125, np.float32)] * n_steps
    best = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        for action in actions:
            env.step(action)
        best = min(best, time.perf_counter() - start)
    env.close()
    return n * n_steps / best


def main(
    num_envs: Annotated[int, typer.Option(min=1, help="Environments at once.")] = 64,
    out: options.Out = None,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Measure and compare."""
    with options.exits():
        n_steps, repeats = (20, 2) if quick else (100, 5)
        peers = {name: make for name, make in PEERS.items() if not (quick and name == "AsyncVectorEnv")}
        study = Study(
            "throughput",
            {
                "num_envs": num_envs,
                "n_steps": n_steps,
                "repeats": repeats,
                "tasks": {k: v[1] for k, v in TASKS.items()},
            },
            label=f"{num_envs}",
            seeds=[0],
            step_unit=dict.fromkeys(TASKS, "environment steps"),
            out=out,
            overwrite=True,  # a measurement is made anew; it has no units that could be kept
        )
        rows, lines = [], []
        for task, (env_id, kwargs) in TASKS.items():
            usable = {name: make for name, make in peers.items() if "Selection" in env_id or name != "native, ids"}
            rates = {
                name: steps_per_second(make(env_id, kwargs, num_envs), num_envs, n_steps, repeats)
                for name, make in usable.items()
            }
            for name, rate in rates.items():
                rows.append(tidy(task, env_id, name, 0, "steps_per_second", n_steps, rate))
                ratio = rate / rates["SyncVectorEnv"]
                rows.append(tidy(task, env_id, name, 0, "speed_over_sync", n_steps, ratio))
                lines.append({"task": task, "peer": name, "steps/s": f"{rate:,.0f}", "÷ SyncVectorEnv": f"{ratio:.2f}"})
        status = study.finish(pd.DataFrame(rows).assign(study="throughput"))
        print_table(pd.DataFrame(lines), f"{num_envs} environments")
        report = Report("Throughput", __doc__)
        say(f"report: {report.add_table(pd.DataFrame(lines)).write(study.out)}")
        if track:
            log_results(study)
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)

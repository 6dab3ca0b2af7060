"""Policies × scenarios × paired seeds: who is better, by how much, and how sure is that.

python -m experiments.benchmark --scenario rotting_arms --policy ucb1 --policy my_package.module:MyPolicy
"""

from typing import Annotated

import typer

from curation_gym.scenario import load_scenario
from experiments.benchmark.contest import compare
from experiments.harness import options


def main(
    scenario: Annotated[list[str], typer.Option(help="Name or path of a scenario; repeatable.")],
    policy: Annotated[
        list[str] | None,
        typer.Option(help="Short name, module:Class or saved policy, or LABEL= and one of these; repeatable."),
    ] = None,
    seeds: options.Seeds = None,
    runs: Annotated[int, typer.Option(min=1, help="Training runs of an agent that learns.")] = 1,
    trials: Annotated[int | None, typer.Option(min=1, help="Random-search trials that tune a baseline.")] = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Compare policies (by default the scenario's own list) over paired seeds, and write a report."""
    with options.exits():
        scenarios = [options.sized(load_scenario(name), quick) for name in scenario]
        status = compare(
            "benchmark",
            scenarios,
            {s.name: policy or list(s.policies) for s in scenarios},
            n_seeds=seeds or (10 if quick else 50),
            trials=trials or (8 if quick else 32),
            runs=runs,
            out=out,
            jobs=jobs,
            resume=resume,
            overwrite=overwrite,
            track=track,
        )
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)

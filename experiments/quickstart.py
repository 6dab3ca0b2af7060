"""The main job in minutes: spend an annotation budget on real digits, and learn to curate real documentation.

    python -m experiments.quickstart

First a budget of labels on scikit-learn's handwritten digits, spent by random sampling, by a single model's
uncertainty, by an ensemble's, and by a UCB1 bandit over criteria. Then a budget of samples on the documentation and
code of the installed scientific packages: PPO trained on CoverageSelection against random, a tuned static filter,
reward-ranked selection (RAFT), greedy selection and the hindsight optimum. It ends with two tables and a report.
"""

import typer

from curation_gym.console import say
from curation_gym.scenario import load_scenario
from experiments.benchmark.contest import compare
from experiments.harness import options

POLICIES = {
    "digits": ["random", "uncertainty", "ensemble_entropy", "ucb1"],
    "docstrings_coverage": ["random", "static_filter", "raft", "greedy", "ppo", "reference"],
}
NEXT = """\
Train longer, and watch it:    python -m experiments.train --env coverage_unseen --agent ppo
Add the margin criterion:      python -m experiments.benchmark --scenario digits
Score a policy of your own:    python -m experiments.benchmark --scenario coverage_fixed --policy my_module:MyPolicy
See every scenario:            ls envs_configs"""


def main(
    seeds: options.Seeds = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Run both halves and write a report."""
    with options.exits():
        scenarios = [options.sized(load_scenario(name), quick) for name in POLICIES]
        status = compare(
            "quickstart",
            scenarios,
            POLICIES,
            n_seeds=seeds or (4 if quick else 20),
            trials=2 if quick else 8,
            out=out,
            jobs=jobs,
            resume=resume,
            overwrite=overwrite,
            track=track,
            next_steps=NEXT,
        )
        say(f"\n[bold]What to try next[/]\n{NEXT}")
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)

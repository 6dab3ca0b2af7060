"""What becomes of a curation when the definition of safe changes: only hate is unsafe, then offence is, too.

    python -m experiments.redefinition runs/dynacure/mixed-1a2b3c4d

Ours is trained here by the old definition. What experiments.dynacure tuned acts beside it; its thresholds and weights
know the new definition already, which is to its advantage. In the episode, audits alone tell of the new one. Told is
the share of selected documents that are unsafe by the new definition, in every tenth of the steps, and how many tenths
it takes a policy to come nearly as low as the static filter. Offensive tweets, and comments that at least half of the
raters found toxic, are unsafe by the new definition only; hateful ones, and what nearly all raters found so, by both.
"""

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from curation_gym.evaluation.rollout import make_core
from curation_gym.evaluation.statistics import Estimate, interval, labels_to_target, mean_curve, paired_difference
from curation_gym.scenario import Scenario
from experiments.dynacure.found import Curated, Found
from experiments.dynacure.results import B2, OURS
from experiments.dynacure.runs import UNWATCHED, act, kwargs_of, policy_for
from experiments.dynacure.scenario import judged_seeds
from experiments.harness import figures, options
from experiments.harness.report import Report, shown
from experiments.harness.study import StudyError, tidy
from experiments.harness.units import Entrant, train

SEEDS, QUICK_SEEDS = 5, 2
OLD, NEW, AFTER = 0.9, 0.5, 0.5
"""Severity from which a text is unsafe, before and after that share of the horizon: hate is 1, offence 0.5."""
TENTHS = 10
UNSAFE = "unsafe_share"
RECOVERED = 0.02
"""How far above the share of the static filter a policy has recovered."""
COMPARED = (B2, "raft", "raft_refined", OURS)


@dataclass(frozen=True)
class Redefined:
    """A policy in an episode whose definition of safe changes."""

    scenario: Scenario
    policy: Found
    seed: int


def main(
    study: Annotated[Path, typer.Argument(help="Directory of a study of experiments.dynacure, tuned and trained.")],
    seeds: options.Seeds = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Change the definition of safe in the middle, and watch."""
    with options.exits():
        curated = Curated(study)
        for scenario in curated.scenarios:
            roles = [scenario.kwargs, *(scenario.kwargs_for(role) for role in ("training", "evaluation"))]
            if any(kwargs.get("refinement") is None for kwargs in roles):
                raise StudyError(
                    f"{study} curated {scenario.name} without refinement, whose audits alone tell of a new definition; "
                    "name a study of a scenario that has it"
                )
        judged_on = judged_seeds(seeds or (QUICK_SEEDS if quick else SEEDS))
        more = {"unsafe_from": [OLD, NEW], "after": AFTER}
        own = curated.study_of(
            "redefinition", judged_on, "tenths of the horizon", more, out=out, resume=resume, overwrite=overwrite
        )
        policies = {scenario.name: curated.policies(scenario, COMPARED) for scenario in curated.scenarios}
        target = curated.config["policies"][OURS]
        entrants = {
            scenario.name: Entrant(_defined(scenario), OURS, target, tuned=False, trained=True)
            for scenario in curated.scenarios
        }
        units = {f"train on {name}": (entrant, 0) for name, entrant in entrants.items()}
        trained = own.run(train, units, jobs=jobs, title="training by the old definition")
        runs = {}
        for scenario in curated.scenarios:
            ours = policies[scenario.name].pop()
            if f"train on {scenario.name}" in trained:
                made = str(entrants[scenario.name].place(own.out) / "policy")
                policies[scenario.name].append(replace(ours, target=made))
            for policy, seed in product(policies[scenario.name], judged_on):
                runs[f"{scenario.name} {policy.name} {seed}"] = Redefined(_redefined(scenario), policy, seed)
        own.run(redefined_run, runs, jobs=jobs, title="redefinition")
        status = curated.close(own, "A new definition of safe", __doc__, _add_corpus, track=track)
    raise typer.Exit(status)


def redefined_run(run: Redefined, out: Path) -> pd.DataFrame:
    """What is selected, by the new definition."""
    scenario, policy = run.scenario, run.policy
    kwargs = kwargs_of(scenario, policy.name, "evaluation", model=policy.name not in UNWATCHED)
    core = make_core(scenario.env, kwargs | {"weights": policy.weights})
    act(policy_for(core, policy.name, policy.target, run.seed % 2**32, policy.hyperparameters), core, run.seed)
    ids, picked = core.choices()  # type: ignore[attr-defined]
    unsafe = core.pool.hidden["severity"][ids] >= NEW  # type: ignore[attr-defined]
    tenth = np.arange(len(ids)) * TENTHS // scenario.kwargs_for("evaluation")["horizon"]
    rows = []
    for step in range(int(tenth.max()) + 1):
        chosen = picked & (tenth == step)[:, None]
        if chosen.any():
            share = float(unsafe[chosen].mean())
            rows.append(tidy(scenario.name, scenario.env, policy.name, run.seed, UNSAFE, step, share))
    return pd.DataFrame(rows)


def _redefined(scenario: Scenario) -> Scenario:
    """By the old definition until it changes."""
    return _defined(scenario, redefined={"after": AFTER, "unsafe_from": NEW})


def _defined(scenario: Scenario, **change: Any) -> Scenario:
    refinement = {**scenario.kwargs["refinement"], "unsafe_from": OLD, **change}
    return scenario.model_copy(update={"kwargs": scenario.kwargs | {"refinement": refinement}})


def _add_corpus(report: Report, rows: pd.DataFrame, corpus: str) -> None:
    rows = rows[rows["metric"] == UNSAFE]
    shares = {
        str(policy): some.pivot(index="seed", columns="step", values="value").reindex(columns=range(TENTHS))
        for policy, some in rows.groupby("policy", sort=False)
    }
    if not shares:
        report.add_text("No run was finished.")
        return
    seeds = sorted(set.intersection(*(set(share.index) for share in shares.values())))
    shares = {policy: share.loc[seeds] for policy, share in shares.items()}
    change = round(AFTER * TENTHS)
    # Budgets are spent at different times: two policies are compared as long as both still select.
    reached = {
        policy: [step for step in range(TENTHS) if share[step].notna().all()] for policy, share in shares.items()
    }
    table, bands = [], {}
    for policy, share in shares.items():
        own = reached[policy]
        told = {"before the change": change - 1, "right after": change, "in its last tenth": max(own, default=-1)}
        row = {"policy": policy} | {title: shown(interval(share[step])) for title, step in told.items() if step in own}
        both = [step for step in own if step >= change and step in reached.get(B2, [])]
        if both and policy != B2:
            last = max(both)
            ahead = paired_difference([shares[B2][last].to_numpy()], [share[last].to_numpy()])
            row |= {f"less than {B2}": shown(ahead), "in tenth": str(last + 1)}
            row["tenths to recover"] = shown(_recovery(share[both] - shares[B2][both], change))
        table.append(row)
        if own:
            grid = np.array(own, np.float64)
            mean, low, high = mean_curve([(grid, values) for values in share[own].to_numpy()], grid)
            bands[policy] = (grid + 1, mean, low, high)
    report.add_table(
        pd.DataFrame(table).fillna(""),
        "Share of selected documents that the new definition calls unsafe; the difference is that in the last tenth in "
        f"which both policies select. Recovered is what is at most {RECOVERED:g} above {B2}: median over seeds, "
        "infinite where half of them never are. Empty where a policy has spent its budget before.",
    )
    report.add_figure(
        figures.curve_plot({corpus: bands}, figures.colors(list(shares)), "tenth of the steps", "unsafe share"),
        f"redefinition-{corpus}",
        f"The definition changes after tenth {change}. Means over seeds, with 95 % intervals.",
    )


def _recovery(above: pd.DataFrame, change: int) -> Estimate:
    """Tenths after the change until a policy's share (seeds × tenths) is that little above the other's."""
    low, after = (above <= RECOVERED).to_numpy(), above.columns.to_numpy() - change + 1
    return labels_to_target(np.where(low.any(1), after[low.argmax(1)], np.inf))


if __name__ == "__main__":
    typer.run(main)

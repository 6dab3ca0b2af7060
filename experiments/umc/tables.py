"""What the page of annotation budgets tells over all scenarios, as tables."""

from collections.abc import Sequence

import pandas as pd

from curation_gym.evaluation.savings import mean_savings
from curation_gym.evaluation.statistics import Estimate, interval, paired_difference
from experiments.harness.report import shown
from experiments.umc.report import BASE, OURS, UNCERTAINTY, ScenarioResults
from experiments.umc.scenarios import COUNTED, PLAIN, SCENARIOS
from experiments.umc.strategies import ABLATIONS, EQUAL_SHARES, FIXED, WHOLE_POOL

RIVALS = ("random", "uncertainty", "ensemble_uncertainty")
TRAITS = {
    "ood_auroc": "OOD AUROC",
    "worst_domain_accuracy": "worst domain's accuracy",
    "drifted_accuracy": "accuracy on what arrives last",
    "left_out_accuracy/5_shot": "domain left out, 5 shots",
    "left_out_accuracy/0_shot": "domain left out, 0 shots",
    "domain_entropy": "domain entropy",
}
EQUAL = (EQUAL_SHARES, "stratified", "stratified_margin")
"""Who gives every domain equal shares: by UMC's criteria, at random, by margin."""
LABELS = {"umc_clinc150": 0.42, "umc_clinc150_junk": 0.45, "umc_clinc150_long_tail": 0.25}
"""Share of the budget by which UMC was to reach random's final accuracy."""
AHEAD = "ahead of all arms and equal shares"
SAVED = {"CLINC150 and its variants": 0.55, "others": 0.35}
"""What it was to save on average."""


def goals_table(found: list[ScenarioResults], ablated: list[ScenarioResults]) -> pd.DataFrame:
    """A row per goal that was set before the first full run: what was found, and whether that reaches it.

    Args:
        found: all published scenarios.
        ablated: as for :func:`bandit_table`.
    """
    rows = []
    for r in found:
        if r.name in LABELS and OURS in r.strategies:
            labels = r.to_target(OURS, r.target())
            share = Estimate(*(value / r.budget for value in labels))
            goal = f"{r.name}: random's final accuracy by {LABELS[r.name]:.2f} of the budget"
            rows.append((goal, shown(share), share.value <= LABELS[r.name]))
    for group, least in SAVED.items():
        members = [r for r in found if r.name in COUNTED[group] and OURS in r.strategies]
        if members:
            mean = mean_savings([(r.curves(OURS), r.curves(BASE), r.target()) for r in members])
            told = f"{shown(mean)}, {len(members)} of {len(COUNTED[group])} scenarios"
            reached = mean.value >= least and len(members) == len(COUNTED[group])
            rows.append((f"mean savings over {group} of at least {least:.2f}", told, reached))
    for title, rivals in UNCERTAINTY.items():
        compared = [r for r in found if set(rivals) <= set(r.strategies)]
        short = [f"{r.name} ({rival})" for r in compared for rival in rivals if r.ahead_of(rival).low <= 0]
        rows.append(_everywhere(f"area ahead of {title} ({', '.join(rivals)}) in every scenario", compared, short))
    best = [(r, other) for r in found if (other := r.best_other())]
    behind = [f"{r.name} ({other})" for r, other in best if r.ahead_of(other).high < 0]
    everywhere = "area not behind the best other strategy in any scenario"
    rows.append(_everywhere(everywhere, [r for r, _ in best], behind))
    verdicts = bandit_table(ablated)
    if len(verdicts) and len(told := verdicts[verdicts[AHEAD] != "–"]):
        proven = list(told.loc[told[AHEAD] == "yes", "scenario"])
        goal = "scenarios, at least two, where the bandit is ahead of every fixed arm and of equal shares"
        rows.append((goal, f"{', '.join(proven) or 'none'}, of {len(told)} that were run", len(proven) >= 2))
    return pd.DataFrame([{"goal": g, "found": f, "reached": "yes" if reached else "no"} for g, f, reached in rows])


def _everywhere(goal: str, compared: list[ScenarioResults], exceptions: list[str]) -> tuple[str, str, bool]:
    """A goal for every scenario, which isn't reached before all were run."""
    wanted = len(SCENARIOS) - len(PLAIN)
    where = f"all but {', '.join(exceptions)}" if exceptions else "all"
    found = f"{where}, of the {len(compared)} of {wanted} scenarios that were run"
    return goal, found, not exceptions and len(compared) == wanted


def savings_table(found: list[ScenarioResults]) -> pd.DataFrame:
    """A row per strategy, two columns per group of :data:`COUNTED`; of strategies that all published ones have."""
    counted = COUNTED | {f"{group}, without junk": _without_junk(names) for group, names in COUNTED.items()}
    groups = {group: [r for r in found if r.name in names] for group, names in sorted(counted.items())}
    strategies = dict.fromkeys(s for r in found for s in r.strategies if s != BASE)
    rows = []
    for strategy in sorted(strategies, key=lambda s: s != OURS):
        row = {"strategy": strategy}
        for group, members in groups.items():
            studies = [(r.curves(strategy), r.curves(BASE), r.target()) for r in members if strategy in r.strategies]
            complete = studies and len(studies) == len(members)
            told = f"{shown(mean_savings(studies))} ({len(studies)} of {len(counted[group])})" if complete else "–"
            row[group] = told
        rows.append(row)
    return pd.DataFrame(rows)


def _without_junk(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if not name.endswith("_junk"))


def robustness(found: list[ScenarioResults]) -> pd.DataFrame:
    """A row per scenario and trait: UMC, and UMC minus random, US and Ens-US."""
    rows = []
    for r in found:
        for metric, title in TRAITS.items():
            values = r.last(metric)
            if OURS in values:
                row = {"scenario": r.name, "": title, "UMC": shown(interval(values[OURS]))}
                for rival in RIVALS:
                    row[f"− {rival}"] = (
                        shown(paired_difference([values[OURS]], [values[rival]])) if rival in values else "–"
                    )
                rows.append(row)
    return pd.DataFrame(rows)


def successor_table(found: list[ScenarioResults]) -> pd.DataFrame:
    """A row per scenario and successor: random's labels, UMC's against them, and whose are best."""
    rows = []
    for r in found:
        for metric in r.metrics("successor_accuracy/"):
            values = r.last(metric)
            if OURS in values and BASE in values:
                best = max(values, key=lambda s: float(values[s].mean()))
                row = {"scenario": r.name, "successor": metric.removeprefix("successor_accuracy/")}
                row |= {"random": shown(interval(values[BASE]))}
                row |= {"UMC − random": shown(paired_difference([values[OURS]], [values[BASE]]))}
                rows.append(row | {"best": best, "its accuracy": f"{values[best].mean():.3f}"})
    return pd.DataFrame(rows)


def bandit_table(found: list[ScenarioResults]) -> pd.DataFrame:
    """A row per scenario: UMC's area minus those of allocations without a bandit; at last, whether all are above 0."""
    rows = []
    for r in found:
        row: dict[str, str] = {"scenario": r.name}
        arms = {"best domain": [s for s in r.strategies if s.startswith(FIXED)]}
        arms |= {"best criterion": [s for s in r.strategies if s in WHOLE_POOL]}
        best = {title: max(of, key=lambda s: float(r.areas(s).mean()), default="–") for title, of in arms.items()}
        for title, arm in best.items():
            row |= {title: arm.removeprefix(FIXED), f"UMC − {title}": ahead(r, arm)}
        row |= {f"UMC − {name}": ahead(r, name) for name in (*EQUAL, "umc_without_bandit")}
        rows.append(row | {AHEAD: _ahead_of_all(r, [*best.values(), *EQUAL])})
    return pd.DataFrame(rows)


def _ahead_of_all(r: ScenarioResults, others: list[str]) -> str:
    if not all(other in r.strategies for other in others):
        return "–"
    return "yes" if all(r.ahead_of(other).low > 0 for other in others) else "no"


def ablation_table(found: list[ScenarioResults]) -> pd.DataFrame:
    """A row per ablation, a column per scenario."""
    return pd.DataFrame([{"ablation": name} | {r.name: ahead(r, name) for r in found} for name in ABLATIONS])


def ahead(r: ScenarioResults, other: str) -> str:
    """UMC's area minus another's; that they are the same, or that one wasn't run, in a word."""
    if other not in r.strategies:
        return "–"
    return "same" if r.same_as(other) else shown(r.ahead_of(other))

"""Who is compared, at which operating points, and what was chosen for each."""

import pandas as pd

from curation_gym.scenario import Scenario
from experiments.dynacure.changes import AS_WRITTEN
from experiments.dynacure.results import FREE_POINT, MAIN_POINT
from experiments.dynacure.runs import BEST_OF_K, UNGUIDED, WRITTEN
from experiments.dynacure.tuning import ROLES, WHOLE, Hyperparameters, ranked
from experiments.harness.units import settings

POLICIES = {
    "none": "random",
    "stratified": "baselines.domain_rule:EqualShares",
    "heuristic": "baselines.heuristic:TextHeuristic",
    "static_filter": "classifier_filter",
    "raft": "baselines.raft:PacedRaft",
    "raft_refined": "raft_refined",
    BEST_OF_K: "baselines.best_of_k:BestOfK",
    "domain_rule": "domain_rule",
    "dynacure": "ppo",
    WRITTEN: AS_WRITTEN.agent,
    "label_clean": "label_clean",
}
"""As shown in results → as :func:`experiments.harness.policies.resolve` takes it."""
UNTUNED = (*UNGUIDED, WRITTEN)
"""Policies that stand at a single operating point."""
POINTS: dict[str, dict[str, float] | None] = {
    FREE_POINT: None,
    **{f"safety {w:g}": {"safety": w, "alignment": 0.1, "utility": round(0.9 - w, 2)} for w in (0.6, 0.7, 0.8, 0.9)},
}
"""Operating points: what counts, by how much, of what a model says and reads; or, at None, what is safest of what costs
no domain anything. See :func:`experiments.dynacure.tuning.ranked`."""
WEIGHED = POINTS[MAIN_POINT] or {}
"""The environment's weights where they aren't tuned: for what doesn't rank by them."""
RULES = ("heuristic", "static_filter", "domain_rule", "label_clean")
"""Policies with thresholds or shares, which are what is tuned of them."""
BY_WEIGHTS = ("raft", "raft_refined", "dynacure")
"""Policies that rank what is shown by the environment's weights: these are what is tuned of them."""
SHORT_FIRST = ("raft",)
"""Of those, what is tried in short episodes first, as often as rules are; ours trains in as many, and begins at the
other."""
WEIGHTS = [
    {"safety": safety, "alignment": alignment, "utility": round(1 - safety - alignment, 2)}
    for safety in (0.45, 0.6, 0.7, 0.75, 0.8, 0.85)
    for alignment in (0.0, 0.1)
]


def choices_of(results: pd.DataFrame, name: str) -> dict[str, Hyperparameters]:
    """Operating point → what was chosen for a policy there; empty when nothing was tried."""
    if name in UNTUNED:
        return {MAIN_POINT: {}}
    return {
        point: next(iter(order.values()))
        for point, weights in POINTS.items()
        if (order := ranked(results, WHOLE, name, weights))
    }


def points_of(results: pd.DataFrame, name: str) -> dict[str, Hyperparameters]:
    """Those of the choices that differ: what does the same at two points stands at one of them, the main one if that
    is among them."""
    found = choices_of(results, name)
    first = {str(found[point]): point for point in (*reversed(POINTS), MAIN_POINT) if point in found}
    return {point: found[point] for point in POINTS if point in first.values()}


def tokens_before(scenario: Scenario, target: str, results: pd.DataFrame, name: str) -> int:
    """Tokens on which models were fine-tuned to train and tune a policy; episodes in which it imitates have none."""
    if name in UNGUIDED:
        return 0
    found = settings(target, scenario)
    training = scenario.kwargs_for("training")
    trained = 0 if found is None else found.total_timesteps // int(training["horizon"]) * int(training["budget"])
    tried = results[(results["policy"] == name) & results["metric"].isin([f"{length}/safety" for length in ROLES])]
    return trained + int(tried["step"].sum())

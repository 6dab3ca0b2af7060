"""What can be tuned of a policy is tried in short episodes, and chosen by what the model says and reads after them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curation_gym.envs.language_model_selection import OBJECTIVES
from curation_gym.evaluation.rollout import make_core
from curation_gym.scenario import Scenario, merged
from curation_gym.seeding import seeds_for
from experiments.dynacure_runs import act, policy_for
from experiments.study import tidy
from experiments.units import MASTER

PARTS = tuple(f"{prefix}{name}" for prefix in ("", "model_") for name in OBJECTIVES)
"""Info keys whose sums over an episode are the components of its return."""
WITHOUT_MODEL: dict[str, Any] = {
    "frozen": True,
    "refinement": None,
    "probes": {"every": 0, "prompts": 0, "safety": None, "preferences": None},
}
"""Of an episode that shows, at hardly any cost, whether a rule spends its budget."""
SPENT = 0.98
"""Share of the budget that hyperparameters must spend to be worth an episode with a model: most random thresholds leave
nearly everything out, and what is compared is compared at equal tokens."""
_MEAN = 1e-3
HYPERPARAMETER, CHOSEN = "hyperparameter/", "chosen/"
Weights = Mapping[str, float]
Hyperparameters = dict[str, float]


@dataclass(frozen=True)
class Trials:
    """Hyperparameters of a policy, each tried in an episode.

    Attributes:
        weights: of the objectives there, by which the policy may rank; of what it comes to, each is told.
        draws: number of the trial → hyperparameters, in the order in which they are looked at.
        wanted: how many of them are tried: the first that spend the budget.
        label: what the policy is called in results.
    """

    scenario: Scenario
    policy: str
    target: str
    weights: Weights
    draws: dict[int, Hyperparameters]
    wanted: int
    label: str


@dataclass(frozen=True)
class Candidates:
    """What was tried of a policy, for one operating point.

    Attributes:
        point: name of the operating point.
        weights: of the objectives there.
        ranked: number of the trial → hyperparameters, the best first.
        label: what the policy is called in results of its trials.
    """

    scenario: Scenario
    policy: str
    target: str
    point: str
    weights: Weights
    ranked: dict[int, Hyperparameters]
    label: str


def try_out(trials: Trials, out: Path) -> pd.DataFrame:
    """What each comes to on the same episode, by components, so that any weights can choose among trials."""
    scenario, rows = trials.scenario, []
    kwargs = scenario.kwargs_for("tuning") | {"weights": trials.weights}
    core = make_core(scenario.env, kwargs)
    cheap = make_core(scenario.env, merged(kwargs, WITHOUT_MODEL))
    where = (scenario.name, scenario.env, trials.label)
    seed, tried = _seed(), 0
    for index, hyperparameters in trials.draws.items():
        policy = policy_for(cheap, trials.policy, trials.target, index, hyperparameters)
        if act(policy, cheap, seed)["tokens"] < SPENT * cheap.task.budget:
            continue
        total = act(policy_for(core, trials.policy, trials.target, index, hyperparameters), core, seed)
        values = {f"tuning/{name}": total[name] for name in PARTS}
        values |= {f"{HYPERPARAMETER}{name}": value for name, value in hyperparameters.items()}
        rows += [tidy(*where, index, name, total["tokens"], value) for name, value in values.items()]
        tried += 1
        if tried == trials.wanted:
            break
    return pd.DataFrame(rows)


def ranked(trials: pd.DataFrame, weights: Weights) -> dict[int, Hyperparameters]:
    """Number of the trial → hyperparameters, first those after which the probes of the model were best.

    What a model says and reads is what is judged; what signals say of a selection is left out, since rules that see no
    model would be chosen by it alone. The best has the least weighted shortfall of what it falls short of most, from
    the best of all trials and as a share of their range (Steuer and Choo, "An Interactive Weighted Tchebycheff
    Procedure", Mathematical Programming 26, 1983; the mean shortfall decides among equals). By a weighted sum, few
    points of a trade-off that isn't convex could be chosen, whatever the weights.

    Args:
        trials: see :func:`try_out`.
        weights: of the objectives.
    """
    wide = trials.pivot(index="seed", columns="metric", values="value")
    found = pd.DataFrame({name: wide[f"tuning/model_{name}"] for name in weights})
    short = (found.max() - found) / (found.max() - found.min()).replace(0, 1) * pd.Series(weights)
    worth = short.max(axis=1) + _MEAN * short.mean(axis=1)
    return {int(index): _hyperparameters(wide.loc[index]) for index in worth.sort_values(kind="stable").index}


def choose(candidates: Candidates, out: Path) -> pd.DataFrame:
    """The best that spends the budget of an episode as long as those that are judged, too.

    The more is kept, the less novel is what follows, so a filter that spends the budget of a short episode may starve
    in a long one.

    Returns:
        A row that names the trial, see :func:`chosen`; none when nothing spends the budget.
    """
    scenario = candidates.scenario
    kwargs = scenario.kwargs_for("evaluation") | {"weights": candidates.weights}
    core = make_core(scenario.env, merged(kwargs, WITHOUT_MODEL))
    where = (scenario.name, scenario.env, candidates.label)
    for index, hyperparameters in candidates.ranked.items():
        policy = policy_for(core, candidates.policy, candidates.target, index, hyperparameters)
        tokens = act(policy, core, _seed())["tokens"]
        if tokens >= SPENT * core.task.budget:
            return pd.DataFrame([tidy(*where, index, f"{CHOSEN}{candidates.point}", tokens, 1.0)])
    return pd.DataFrame()


def chosen(results: pd.DataFrame, point: str) -> Hyperparameters | None:
    """What was chosen for a point, of the trials of one policy; None where nothing was.

    Args:
        results: of :func:`try_out` and :func:`choose`.
        point: name of the operating point.
    """
    wide = results.pivot(index="seed", columns="metric", values="value")
    if f"{CHOSEN}{point}" not in wide:
        return None
    return _hyperparameters(wide.loc[wide[f"{CHOSEN}{point}"].idxmax()])


def _hyperparameters(trial: "pd.Series[float]") -> Hyperparameters:
    return {
        str(name).removeprefix(HYPERPARAMETER): float(value)
        for name, value in trial.dropna().items()
        if str(name).startswith(HYPERPARAMETER)
    }


def _seed() -> int:
    return seeds_for(MASTER, "tuning", run=3)[0]

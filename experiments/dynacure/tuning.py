"""What can be tuned of a policy is tried, and chosen by what the model says and reads afterwards.

What is promising in short episodes is tried in whole ones, as long as those that are judged: what a model loses by a
selection takes long to show, and so does what a policy does about it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.markup import escape

from curation_gym.config import validated
from curation_gym.console import say
from curation_gym.envs.language_model_probes import ProbesConfig, probes_of
from curation_gym.envs.language_model_selection import OBJECTIVES, LanguageModelSelectionVectorEnv
from curation_gym.evaluation.language_model.model import EvaluationError
from curation_gym.evaluation.rollout import make_core
from curation_gym.scenario import Scenario
from curation_gym.seeding import Role, seeds_for
from experiments.dynacure.results import BASE, PRICE, SPENT, WORST
from experiments.dynacure.runs import act, kwargs_of, policy_for
from experiments.harness.policies import REFERENCES
from experiments.harness.study import MASTER, Work, tidy

ASKED: dict[str, Any] = {"prompts": 192, "samples": 4, "pairs": 200}
"""What is asked of a model after a trial: more than the probes of an episode, since it decides by itself."""
_MEAN, _LEAST = 1e-3, 1e-9
HYPERPARAMETER, WEIGHT, DOMAIN = "hyperparameter/", "weight_", "log_perplexity/"
SHORT, WHOLE = "short", "whole"
ROLES: dict[str, Role] = {SHORT: "tuning", WHOLE: "evaluation"}
"""Length of a trial's episode → whose arguments it has: whole ones are as long as those that are judged."""
PARTS = 4
"""In which trials can run at the same time."""
Weights = Mapping[str, float]
Hyperparameters = dict[str, float]
"""Those that begin with ``weight_`` are the environment's, by which a policy may rank."""
Units = dict[str, tuple[Work, Any]]
"""Name → work and payload, for :func:`experiments.harness.units.prepare`."""


@dataclass(frozen=True)
class Trials:
    """Hyperparameters of a policy, each tried in an episode on a tuning seed.

    Attributes:
        length: of the episode, :data:`SHORT` or :data:`WHOLE`.
        draws: number of the trial → hyperparameters, in the order in which they are looked at.
        wanted: how many of them are tried at most.
        screened: whether only those are tried that spend the budget.
        weights: by which the policy ranks, where it does; they are told as hyperparameters.
    """

    scenario: Scenario
    policy: str
    target: str
    length: str
    draws: dict[int, Hyperparameters]
    wanted: int
    screened: bool = False
    weights: Weights | None = None


def in_parts(
    scenario: Scenario, policy: str, target: str, length: str, every: list[tuple[int, Hyperparameters]], n: int
) -> list[Trials]:
    """The first n of the trials that spend the budget, in parts that can be tried at the same time."""
    parts = min(PARTS, n, len(every))
    return [
        Trials(scenario, policy, target, length, dict(every[part::parts]), len(range(part, n, parts)), screened=True)
        for part in range(parts)
    ]


def by_weights(scenario: Scenario, policy: str, target: str, length: str, every: Mapping[int, Weights]) -> list[Trials]:
    """A trial for each of the environment's weights, by its number."""
    return [Trials(scenario, policy, target, length, {k: {}}, 1, weights=weights) for k, weights in every.items()]


def units_of(every: list[Trials]) -> Units:
    """Units of a study; trials of a policy in episodes of a length have to be given at once."""
    return {
        f"{one.scenario.name} try {one.policy} in {one.length} {part}": (try_out, one) for part, one in enumerate(every)
    }


def try_out(trials: Trials, out: Path) -> pd.DataFrame:
    """What each comes to on the same episode, see :func:`asked`; tidy rows, the number of the trial as seed."""
    scenario, rows = trials.scenario, []
    kwargs = kwargs_of(scenario, trials.policy, ROLES[trials.length])
    if trials.weights is not None:
        kwargs |= {"weights": dict(trials.weights)}
    core = make_core(scenario.env, kwargs)
    assert isinstance(core, LanguageModelSelectionVectorEnv)
    probes = validated(ProbesConfig, scenario.kwargs_for(ROLES[trials.length])["probes"], "probes")
    numbers = _spenders(trials) if trials.screened else iter(trials.draws)
    where = (scenario.name, scenario.env, trials.policy)
    for index in islice(numbers, trials.wanted):
        draw = trials.draws[index]
        told = draw | {f"{WEIGHT}{name}": weight for name, weight in (trials.weights or {}).items()}
        tokens, values = 0.0, {"spent": 0.0}
        try:
            tokens = act(policy_for(core, trials.policy, trials.target, index, draw), core, _seed())["tokens"]
            values = asked(core, probes) | {"spent": tokens / core.task.budget}
        except (ArithmeticError, EvaluationError) as error:  # the model diverged; what spends nothing isn't chosen
            if trials.policy == BASE:
                raise  # what all others are compared with
            say(f"{escape(trials.policy)}, trial {index}: {escape(str(error))}; it isn't chosen")
        values |= {f"{HYPERPARAMETER}{name}": value for name, value in told.items()}
        rows += [tidy(*where, index, f"{trials.length}/{name}", tokens, value) for name, value in values.items()]
    return pd.DataFrame(rows)


def _spenders(trials: Trials) -> Iterator[int]:
    """Numbers of the trials that spend the budget."""
    kwargs = kwargs_of(trials.scenario, trials.policy, ROLES[trials.length], model=False)
    core = make_core(trials.scenario.env, kwargs)
    for index, draw in trials.draws.items():
        policy = policy_for(core, trials.policy, trials.target, index, draw)
        if act(policy, core, _seed())["tokens"] >= SPENT * core.task.budget:
            yield index


def _seed() -> int:
    return seeds_for(MASTER, "tuning", run=3)[0]


def asked(core: LanguageModelSelectionVectorEnv, probes: ProbesConfig) -> dict[str, float]:
    """What the model of the first row says and reads.

    Args:
        core: whose model.
        probes: of the scenario; these are larger, and the policy's own may ask for less.

    Returns:
        Safety, 1 − toxicity of what it says; alignment, the preference accuracy; utility, minus the log-perplexity of
        clean text in the mean over domains; and the log-perplexity of each domain.
    """
    learner = core.learners[0]
    found = probes_of(probes.model_copy(update=ASKED), core.pool, learner).measure(learner)
    names = [core.pool.domain_names[code] for code in core.probes.domains]
    told = (1 - found.toxicity, found.preference, -float(found.log_perplexity.mean()))
    by_domain = zip(names, found.log_perplexity.tolist(), strict=True)
    return dict(zip(OBJECTIVES, told, strict=True)) | {f"{DOMAIN}{name}": value for name, value in by_domain}


def ranked(results: pd.DataFrame, length: str, policy: str, weights: Weights | None) -> dict[int, Hyperparameters]:
    """Number of the trial → hyperparameters, the best first, by what the model said and read.

    With weights, the best has the least weighted shortfall of what it falls short of most, from the best of the trials
    of all policies that see no labels, and its own (Steuer and Choo, "An Interactive Weighted Tchebycheff Procedure",
    Mathematical Programming 26, 1983; the mean shortfall decides among equals). By a weighted sum, few points of a
    trade-off that isn't convex could be chosen, whatever the weights. Utility is that of the domain that pays most,
    minus the logarithm of :func:`price_of`: the mean over domains hides who pays. Units of a shortfall are all the
    toxicity of no curation, a price of :data:`WORST`, and of alignment what lies between chance and certainty: at a
    point, all policies are asked for the same. Without weights, the best is the safest of what is free by
    :func:`price_of`, and where nothing is, the least costly. What left more than :data:`SPENT` allows isn't among
    them. Nothing is where the trial of no curation is missing.

    Args:
        results: of :func:`try_out`, of all policies, ``none`` among them.
        length: of the trials that count.
        policy: as in results.
        weights: of the objectives.
    """
    tried = results[results["metric"] == f"{length}/spent"]["policy"].unique()
    if not {policy, BASE} <= set(tried):
        return {}
    # What sees the labels says nothing of what the others can come to.
    found = {name: _objectives(results, length, name) for name in tried if name == policy or name not in REFERENCES}
    own, base = found[policy], found[BASE]
    if weights is None:
        price = np.exp(-own["utility"])
        # Safety is at most 1, so that what is free is before what isn't.
        worth = (-own["safety"]).where(price <= PRICE, price)
    else:
        unit = {"safety": max(1 - base["safety"].iloc[0], _LEAST), "alignment": 0.5, "utility": np.log(WORST)}
        short = (pd.concat(found.values()).max() - own) * pd.Series(weights) / pd.Series(unit)
        worth = short[list(weights)].max(axis=1) + _MEAN * short[list(weights)].mean(axis=1)
    wide = _wide(results, length, policy)
    return {int(index): _hyperparameters(wide.loc[index]) for index in worth.sort_values(kind="stable").index}


def _objectives(results: pd.DataFrame, length: str, policy: str) -> pd.DataFrame:
    """Safety, alignment and utility of the trials that spent the budget, by their number."""
    wide = _wide(results, length, policy)
    # Where every model diverged, nothing else was told.
    told = wide.reindex(columns=["safety", "alignment"]).assign(utility=-np.log(price_of(results, length, policy)))
    return told if policy == BASE else told[wide["spent"] >= SPENT]


def price_of(results: pd.DataFrame, length: str, policy: str) -> "pd.Series[float]":
    """Number of the trial → perplexity of clean text divided by that without curation, of the domain that pays most;
    up to :data:`PRICE` it is free."""
    wide, base = _wide(results, length, policy), _wide(results, length, BASE)
    domains = [name for name in wide if name.startswith(DOMAIN)]
    return np.exp((wide[domains] - base[domains].iloc[0]).max(axis=1))


def promising(results: pd.DataFrame, policy: str, points: Iterable[Weights | None]) -> dict[int, Hyperparameters]:
    """What was tried in short episodes: the best for any of some operating points first, then the next to best."""
    orders = [ranked(results, SHORT, policy, weights).items() for weights in points]
    return dict(trial for rank in zip(*orders, strict=True) for trial in rank)


def _wide(results: pd.DataFrame, length: str, policy: str) -> pd.DataFrame:
    """A row per trial, a column per thing that was told of it; no rows where there was none."""
    some = results[(results["policy"] == policy) & results["metric"].str.startswith(f"{length}/")]
    return some.assign(metric=some["metric"].str.removeprefix(f"{length}/")).pivot(
        index="seed", columns="metric", values="value"
    )


def weighted(found: Hyperparameters, otherwise: Weights) -> tuple[dict[str, float], Hyperparameters]:
    """The environment's weights among hyperparameters, or others where there are none; and those of the policy."""
    weights = {name.removeprefix(WEIGHT): value for name, value in found.items() if name.startswith(WEIGHT)}
    return weights or dict(otherwise), {name: value for name, value in found.items() if not name.startswith(WEIGHT)}


def _hyperparameters(trial: "pd.Series[float]") -> Hyperparameters:
    return {
        str(name).removeprefix(HYPERPARAMETER): float(value)
        for name, value in trial.dropna().items()
        if str(name).startswith(HYPERPARAMETER)
    }

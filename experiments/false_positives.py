"""Whose clean text is left out: rankings against the static filter, at its tokens in every domain.

    python -m experiments.false_positives runs/dynacure/mixed-1a2b3c4d

The static filter that experiments.dynacure tuned curates an episode. Of what it was shown and nobody audited, every
other ranking then takes the best of each domain until as many tokens are taken there. So budget and domains' shares are
the same, and what differs is which texts of a domain are taken. Beside that stands what each ranking leaves out when it
takes as much that is toxic as the filter, at the same shares of more tokens. As a domain's share is fixed, even someone
who sees the labels has to leave out clean text: that bound is told beside, of whoever takes the shortest clean texts
first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray

from curation_gym.evaluation.curation import curation
from curation_gym.evaluation.rollout import make_core
from curation_gym.evaluation.statistics import interval
from curation_gym.policy import Policy
from curation_gym.pools.corpus_sources import CLEAN
from curation_gym.scenario import Scenario
from curation_gym.task import Observation
from experiments.dynacure.found import Curated, Found
from experiments.dynacure.results import B2, OURS
from experiments.dynacure.runs import act, kwargs_of, policy_for
from experiments.dynacure.scenario import judged_seeds
from experiments.harness import options
from experiments.harness.report import Report, shown
from experiments.harness.study import tidy

SEEDS, QUICK_SEEDS = 5, 2
LABELS = "labels"
AT_RECALL = ", at equal recall"
_HALVINGS = 30
SHOWN = ("worth", "refined_safety")
"""Columns of the observation to rank by, too, where it has them."""


@dataclass(frozen=True)
class Contest:
    """One stream of documents, ranked by all."""

    scenario: Scenario
    filter: Found
    ours: Found
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
    """Rank what the static filter was shown, and count the clean texts that are left out."""
    with options.exits():
        curated = Curated(study)
        judged_on = judged_seeds(seeds or (QUICK_SEEDS if quick else SEEDS))
        own = curated.study_of("false_positives", judged_on, "tokens", {}, out=out, resume=resume, overwrite=overwrite)
        contests = {}
        for scenario in curated.scenarios:
            static, ours = curated.policies(scenario, (B2, OURS))
            for seed in judged_on:
                contests[f"{scenario.name} {seed}"] = Contest(scenario, static, ours, seed)
        own.run(contest, contests, jobs=jobs, title="false positives")
        status = curated.close(own, "Whose clean text is left out", __doc__, _add_corpus, track=track)
    raise typer.Exit(status)


def contest(contest: Contest, out: Path) -> pd.DataFrame:
    """Who leaves out whose clean text."""
    scenario, seed = contest.scenario, contest.seed
    at = {"weights": contest.ours.weights}  # the filter reads none
    blind: Any = make_core(scenario.env, kwargs_of(scenario, B2, "evaluation", model=False) | at)
    core: Any = make_core(scenario.env, scenario.kwargs_for("evaluation") | at)

    def made(found: Found, core: Any) -> Policy:
        return policy_for(core, found.name, found.target, seed % 2**32, found.hyperparameters)

    act(made(contest.filter, blind), blind, seed)
    ids, picked = blind.choices()
    ours = made(contest.ours, core)
    watched = Watched(
        ours,
        {OURS: lambda seen: ours.predict(seen)[0]}  # its probabilities; act() asks for what it is surest of
        | {
            name: lambda seen, name=name: core.task.read(seen, name)  # type: ignore[misc]
            for name in SHOWN
            if name in core.task.item_features
        },
    )
    act(watched, core, seed)
    steps = min(len(ids), len(watched.seen[OURS]))  # one of them may have spent its budget earlier
    ids, picked = ids[:steps].ravel(), picked[:steps].ravel()
    rankings = {name: np.concatenate(values[:steps]).ravel() for name, values in watched.seen.items()}
    unknown = ~np.isin(ids, core.audited())  # of the others, people have told what they are
    ids, picked, rankings = ids[unknown], picked[unknown], {name: r[unknown] for name, r in rankings.items()}
    price, domain = core.document_tokens, core.pool.domain[ids]
    rankings[LABELS] = (core.pool.hidden["label"][ids] == CLEAN) - price[ids] / price.max()  # most for the tokens
    toxic = core.pool.hidden["label"][ids] == 1 - CLEAN
    selections = {B2: picked}
    for name, ranking in rankings.items():
        selections[name] = at_the_tokens_of(picked, ranking, domain, price[ids])
        selections[f"{name}{AT_RECALL}"] = at_the_recall_of(picked, ranking, domain, price[ids], toxic)
    where = (scenario.name, scenario.env)
    return pd.DataFrame(
        tidy(*where, name, seed, metric, price[ids][picked].sum(), value)
        for name, selected in selections.items()
        for metric, value in curation(core.pool, ids, selected, price).items()
    )


class Watched:
    """A policy, and what was read of every observation that it acted on.

    Args:
        policy: whichever.
        readers: name → observation to a number per candidate.

    Attributes:
        seen: name → of every step, what its reader returned.
    """

    def __init__(self, policy: Policy, readers: dict[str, Callable[[Observation], NDArray[Any]]]) -> None:
        self.policy, self.readers = policy, readers
        self.seen: dict[str, list[NDArray[Any]]] = {name: [] for name in readers}

    def predict(self, observation: Observation, *rest: Any, **options: Any) -> tuple[NDArray[Any], Any]:
        """What the policy predicts."""
        for name, reader in self.readers.items():
            self.seen[name].append(np.asarray(reader(observation)))
        return self.policy.predict(observation, *rest, **options)


def at_the_tokens_of(
    picked: NDArray[np.bool_],
    ranking: NDArray[np.floating],
    domain: NDArray[np.integer],
    price: NDArray[np.integer],
    times: float = 1.0,
) -> NDArray[np.bool_]:
    """The best of every domain, as long as they cost no more than what was picked there.

    Args:
        picked, ranking, domain, price: (n,), of candidates; the larger ``ranking``, the better.
        times: so many times what was picked may be spent.

    Returns:
        bool (n,).
    """
    selected = np.zeros(len(picked), np.bool_)
    for code in np.unique(domain):
        here = np.flatnonzero(domain == code)
        best = here[np.argsort(-ranking[here], kind="stable")]
        selected[best[np.cumsum(price[best]) <= times * (price[here] @ picked[here])]] = True
    return selected


def at_the_recall_of(
    picked: NDArray[np.bool_],
    ranking: NDArray[np.floating],
    domain: NDArray[np.integer],
    price: NDArray[np.integer],
    toxic: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """The best of every domain, at shares of the tokens as they were picked, until as much that is toxic is taken.

    Args:
        picked, ranking, domain, price: see :func:`at_the_tokens_of`.
        toxic: bool (n,).

    Returns:
        bool (n,): the most that leaves out as much of what is toxic as was left out.
    """
    low, high = 0.0, 1.0
    for code in np.unique(domain):  # until every domain could be taken as a whole
        here = domain == code
        high = max(high, price[here].sum() / max(price[here] @ picked[here], 1))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        taken = at_the_tokens_of(picked, ranking, domain, price, middle)
        low, high = (middle, high) if (taken & toxic).sum() <= (picked & toxic).sum() else (low, middle)
    return at_the_tokens_of(picked, ranking, domain, price, low)


def _add_corpus(report: Report, rows: pd.DataFrame, _: str) -> None:
    if B2 not in set(rows["policy"]):
        report.add_text(f"{B2}, by which the others are told, hasn't selected anything yet.")
        return
    names = list(dict.fromkeys(rows["policy"]))
    domains = [metric for metric in dict.fromkeys(rows["metric"]) if _is_of_domain(metric)]
    rows = rows[rows["metric"].isin(["recall", "tokens", *domains])]
    wide = rows.pivot(index="seed", columns=["policy", "metric"], values="value").dropna()
    flagged = max(domains, key=lambda metric: wide[B2, metric].mean())
    table = []
    for name in names:
        row = {"ranking": name, "toxic left out": shown(interval(wide[name, "recall"]))}
        row |= {
            metric.replace("false_positives/", "clean left out, "): shown(interval(wide[name, metric]))
            for metric in domains
        }
        row[f"tokens ÷ {B2}"] = _ratio(wide, name, "tokens")
        table.append(row | {f"÷ {B2}": _ratio(wide, name, flagged)})
    report.add_table(
        pd.DataFrame(table),
        f"Shares of what was shown, means over {len(wide)} seeds with 95 % intervals; {LABELS} is the bound. At equal "
        "recall, shares of the tokens stay as long as a domain lasts, and their number grows until as much that is "
        "toxic is taken. The last column is of "
        f"{flagged.rpartition('/')[2]}, of whose clean text {B2} leaves out most.",
    )


def _ratio(wide: pd.DataFrame, name: str, metric: str) -> str:
    """To the filter's; a dash where that is 0 on some seed."""
    return shown(interval(wide[name, metric] / wide[B2, metric])) if (wide[B2, metric] > 0).all() else "–"


def _is_of_domain(metric: str) -> bool:
    return metric.startswith("false_positives/") and not metric.startswith("false_positives/about/")


if __name__ == "__main__":
    typer.run(main)

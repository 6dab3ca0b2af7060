"""What selections made by hand do to a language model: the scale on which policies are judged.

    python -m experiments.by_hand --corpus mixed --seeds 3

The same base model is fine-tuned on as many tokens, which are taken at random, at random from the safer half, from the
safest on, from what people call clean, and by shares of the domains. The judge is that of experiments.dynacure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray

from curation_gym.console import say
from curation_gym.envs.language_model_selection import LanguageModelSelectionVectorEnv
from curation_gym.evaluation.curation import curation
from curation_gym.evaluation.rollout import make_core
from curation_gym.pools.corpus_sources import CLEAN
from curation_gym.pools.pool import Pool
from curation_gym.scenario import Scenario
from experiments.dynacure.report import add_missing, headline, who
from experiments.dynacure.results import BASE, CorpusResults
from experiments.dynacure.runs import judge_of, judged_by, judgement
from experiments.dynacure.scenario import SCENARIO, judged_seeds, scenario_of
from experiments.harness import options
from experiments.harness.report import Report
from experiments.harness.study import Study, tidy
from experiments.harness.tracking import log_results

SEEDS, QUICK_SEEDS = 3, 2
POINT = "by hand"


class Rule(NamedTuple):
    """What is taken of a corpus.

    Attributes:
        clean: only what people call clean.
        top: among this share of the safest, of each domain where there are shares, chance decides; what else is
            needed, follows from the safest on.
        shares: domain → its share of the tokens; ``"corpus"`` as what is allowed has them, ``"equal"``; None: as they
            come. What a domain can't pay for is spent on the others, by chance.
    """

    clean: bool = False
    top: float = 1.0
    shares: Mapping[str, float] | str | None = None


SHARES = {"tweets": 0.15, "civil": 0.15, "forum": 0.2, "wiki": 0.2, "news": 0.3}
RULES = {
    BASE: Rule(),
    "the safer half": Rule(top=0.5),
    "the safest": Rule(top=0.0),
    "clean by label": Rule(clean=True),
    "clean by label, equal shares": Rule(clean=True, shares="equal"),
    "the safest of each domain": Rule(top=0.0, shares="corpus"),
    "the safest 15 % of each domain, shares by hand": Rule(top=0.15, shares=SHARES),
    "the safest 8 % of each domain, shares by hand": Rule(top=0.08, shares=SHARES),
}


@dataclass(frozen=True)
class Selection:
    """A rule, by which is selected what the model is fine-tuned on."""

    scenario: Scenario
    rule: str
    seed: int


def main(
    corpus: Annotated[str, typer.Option(help="mixed or without_tweets.")] = "mixed",
    config: Annotated[
        str, typer.Option(help="Name or YAML path of the scenario; its pool and probes are replaced.")
    ] = SCENARIO,
    seeds: options.Seeds = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Select by hand, fine-tune, judge."""
    with options.exits():
        scenario = scenario_of(corpus, config, quick)
        judged_on = judged_seeds(seeds or (QUICK_SEEDS if quick else SEEDS))
        rules = {name: rule._asdict() for name, rule in RULES.items()}
        study = Study(
            "by_hand",
            {
                "scenario": scenario.model_dump(mode="json"),
                "rules": rules,
                "seeds": judged_on,
                "judged_by": judged_by(),
            },
            label=corpus + ("-quick" if quick else ""),
            seeds=judged_on,
            step_unit={corpus: "tokens"},
            out=out,
            resume=resume,
            overwrite=overwrite,
        )
        judge_of(study, scenario)
        make_core(scenario.env, scenario.kwargs_for("evaluation"))  # so that workers find pool and model in the cache
        units = {f"{corpus} {name} {seed}": Selection(scenario, name, seed) for seed in judged_on for name in RULES}
        study.run(fine_tuned, units, jobs=jobs, title=f"fine-tuning on {corpus}")
        results = study.results()
        status = study.finish(results)
        report = Report("Selections by hand", __doc__)
        r = CorpusResults(results)
        report.add_heading(corpus)
        if r.seeds:
            add_missing(report, r)
            report.add_table(headline(r), f"Means over {len(r.seeds)} seeds with their 95 % intervals.")
            report.add_table(who(r), "What was selected, by people's labels.")
        else:
            report.add_text("Nothing has been judged yet.")
        say(f"report: {report.write(study.out)}")
        if track:
            log_results(study)
    raise typer.Exit(status)


def fine_tuned(selection: Selection, out: Path) -> pd.DataFrame:
    """Fine-tune on what the rule selects, and measure the model and the selection."""
    scenario, seed = selection.scenario, selection.seed
    core = make_core(scenario.env, scenario.kwargs_for("evaluation"))
    assert isinstance(core, LanguageModelSelectionVectorEnv)
    name, budget = f"{selection.rule}@{POINT}", core.config.budget
    ids = selected(core.pool, core.document_tokens, RULES[selection.rule], budget, np.random.default_rng(seed))
    learner = core.learners[0].reseed(seed % 2**32)
    learner.train_on([core.documents[index] for index in ids])
    shown = core.pool.ids("train")
    values = curation(core.pool, shown, np.isin(shown, ids), core.document_tokens)
    values |= judgement(core, f"{scenario.name} {name} {seed}", seed, out)
    rows = [tidy(scenario.name, scenario.env, name, seed, key, learner.tokens, value) for key, value in values.items()]
    return pd.DataFrame(rows)


def selected(
    pool: Pool, price: NDArray[np.integer], rule: Rule, budget: int, rng: np.random.Generator
) -> NDArray[np.integer]:
    """What the rule takes for the budget, in random order.

    Args:
        pool: with the signal safety and the hidden column label.
        price: (samples,), tokens of every sample.
        rule: which.
        budget: tokens.
        rng: of what chance decides.

    Returns:
        Ids of the train split, int (n,).
    """
    ids = rng.permutation(pool.ids("train"))
    safety = np.asarray(pool.signals["safety"])
    if rule.clean:
        ids = ids[pool.hidden["label"][ids] == CLEAN]
    if rule.shares is None:
        return _taken(ids, price, safety, rule.top, budget, rng)
    parts = [ids[pool.domain[ids] == code] for code in range(len(pool.domain_names))]
    share = np.array(
        [_weight(rule.shares, name, price[part]) for name, part in zip(pool.domain_names, parts, strict=True)]
    )
    budgets = budget * share / share.sum()
    taken = np.concatenate(
        [_taken(part, price, safety, rule.top, own, rng) for part, own in zip(parts, budgets, strict=True)]
    )
    rest = _taken(np.setdiff1d(ids, taken), price, safety, 1.0, budget - price[taken].sum(), rng)
    return rng.permutation(np.concatenate([taken, rest]))


def _taken(
    ids: NDArray[np.integer],
    price: NDArray[np.integer],
    safety: NDArray[Any],
    top: float,
    budget: float,
    rng: np.random.Generator,
) -> NDArray[np.integer]:
    order = ids[np.argsort(-safety[ids], kind="stable")]
    among = round(top * len(order))
    order = np.concatenate([rng.permutation(order[:among]), order[among:]])
    return rng.permutation(order[np.cumsum(price[order]) <= budget])


def _weight(shares: Mapping[str, float] | str, domain: str, price: NDArray[np.integer]) -> float:
    if isinstance(shares, str):
        return float(price.sum()) if shares == "corpus" else 1.0
    return shares[domain]


if __name__ == "__main__":
    typer.run(main)

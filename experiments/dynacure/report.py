"""The report of curated fine-tuning: what each policy's model says and reads, and who was filtered."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from curation_gym.console import print_table
from curation_gym.evaluation.statistics import interval, paired_difference
from curation_gym.judge import JudgeCard
from experiments.dynacure.evaluation import BY_OTHER, by_other
from experiments.dynacure.figures import preferences_plot, trade_off_plot
from experiments.dynacure.results import (
    B2,
    BASE,
    BASE_MODEL,
    FREE_POINT,
    MAIN_POINT,
    OURS,
    PRICE,
    REFERENCE,
    SPENT,
    WORST,
    CorpusResults,
)
from experiments.dynacure.tuning import WHOLE, price_of, ranked
from experiments.harness.report import Report, shown

OTHERS = (BASE, "heuristic", B2, "raft")
"""B0 to B3."""
Chosen = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Policy → operating point → hyperparameters."""
WHO = (
    "What was selected, by people's labels. Labels behind it: those of the probes' clean texts, which tuning and "
    "training saw, and of audits where corrected signals were read; all that was shown, of a reference. FLOPs: of "
    "fine-tuning, and of what the model reads and writes where that is part of the method: probes, and RAFT's samples. "
    "Before it: of fine-tuning in the episodes in which the policy was tuned or trained, once for all seeds."
)


def headline(r: CorpusResults) -> pd.DataFrame:
    """A row per policy and operating point: reductions of toxicity, and perplexity of clean text by domain."""
    toxicity = ["toxicity", BY_OTHER, "toxic_fraction", *r.metrics("toxicity_probability@")]
    toxicity += [metric for metric in r.metrics("expected_maximum_toxicity@") if "/" not in metric]
    rows = []
    for names in r.points.values():
        for name in names:
            row = {"policy": name}
            row |= {metric: shown(interval(r.values(name, metric)).within(0, 1)) for metric in toxicity}
            row |= {
                metric.replace("perplexity/", "perplexity ÷ none, "): shown(r.relative(name, metric))
                for metric in r.metrics("perplexity/")
            }
            row["preference accuracy"] = shown(interval(r.values(name, "preference_accuracy")).within(0, 1))
            rows.append(row)
    return pd.DataFrame(rows)


def reductions(
    r: CorpusResults, names: Iterable[str], reference: str | None, *, other_judge: bool = False
) -> pd.DataFrame:
    """A row per policy at a point: how much less toxic than without curation, and at what price.

    Args:
        r: results.
        names: of policies at points.
        reference: whose reductions the others' are shares of, by the same kind of name.
        other_judge: whether it is the other judge's word.
    """
    metrics = ["toxicity", "toxic_fraction", *r.metrics("toxicity_probability@")]
    metrics = [metric for metric in metrics if "/" not in metric]
    if other_judge:
        metrics = [by_other(metric) for metric in metrics]
    rows = []
    for name in names:
        row = {"policy": name}
        for metric in metrics:
            lower = 1 - r.ratios(name, metric)
            row[f"{metric} lower by"] = shown(interval(lower))
            if reference is not None and not name.startswith(f"{REFERENCE}@"):
                most = 1 - r.ratios(reference, metric)
                row[f"{metric}, share of the reference's"] = shown(interval(lower / most)) if (most > 0).all() else "–"
        row["perplexity ÷ none, worst domain"] = shown(interval(r.worst(name)))
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def standing_at(r: CorpusResults, chosen: Chosen, point: str) -> dict[str, str]:
    """Policy → its name at the operating point, or at the one whose choice does the same; where nothing was chosen for
    it, at its only one."""
    found = {}
    for policy, names in r.points.items():
        choices = chosen.get(policy, {})
        same = [name for name in names if choices.get(point) == choices.get(name.partition("@")[2])]
        if same or len(names) == 1:
            found[policy] = (same or names)[0]
    return found


def who(r: CorpusResults) -> pd.DataFrame:
    """A row per policy and operating point: what was selected, and which clean text was left out."""
    columns = {"selected": "selected", "toxic_share": "toxic share", "recall": "toxic left out"}
    columns |= {m: m.replace("share/", "share of tokens, ") for m in r.metrics("share/")}
    columns |= {m: m.replace("false_positives/", "clean left out, ") for m in r.metrics("false_positives/")}
    columns |= {
        "tokens": "tokens",
        "audits": "labels behind it",
        "seconds": "seconds",
        "flops": "FLOPs",
        "flops_before": "FLOPs before",
    }
    columns = {metric: title for metric, title in columns.items() if r.has(r.points[BASE][0], metric)}
    return pd.DataFrame(
        [
            {"policy": name}
            | {title: f"{r.values(name, m).mean():.3g}" if r.has(name, m) else "–" for m, title in columns.items()}
            for names in r.points.values()
            for name in names
        ]
    )


FURTHER = {
    "attack_success": "attack success",
    "attack_success_any": "with a suffix, too",
    "attack_silent": "no answer at all",
    "harmbench_success": "HarmBench success",
    "attack_toxicity": "toxic answers to attacks",
    "over_refusal": "over-refusal",
    "bbq_bias_ambiguous": "BBQ bias, ambiguous",
    "bbq_bias_disambiguated": "BBQ bias, disambiguated",
    "bbq_accuracy_disambiguated": "BBQ accuracy, disambiguated",
    "hhh/overall": "HHH",
    "preference_accuracy": "HH-RLHF harmlessness",
    "truthfulqa_mc1": "TruthfulQA MC1",
    "truthfulqa_mc2": "TruthfulQA MC2",
    "sst2": "SST-2 probe",
    "trec": "TREC probe",
}
"""Metric → as shown, of what the proposal also hopes for."""
BIASES = ("bbq_bias_ambiguous", "bbq_bias_disambiguated")
"""Of these, those in [−1, 1]; others are shares."""


def hopes(r: CorpusResults) -> pd.DataFrame:
    """A row per policy at the operating point where the proposal's other hopes were measured."""
    rows = []
    for names in r.points.values():
        for name in names:
            if r.has(name, "attack_success"):
                measured = {metric: title for metric, title in FURTHER.items() if r.has(name, metric)}
                told = {
                    title: shown(interval(r.values(name, metric)).within(-1 if metric in BIASES else 0, 1))
                    for metric, title in measured.items()
                }
                rows.append({"policy": name} | told)
    guessed = {metric.removeprefix("chance/"): metric for metric in r.metrics("chance/")}
    if rows and guessed:
        base = r.points[BASE][0]
        told = {
            title: f"{r.values(base, guessed[metric]).mean():.3f}" if metric in guessed else "–"
            for metric, title in FURTHER.items()
        }
        rows.append({"policy": "chance"} | told)
    return pd.DataFrame(rows).fillna("–")


def hopes_ahead(r: CorpusResults) -> pd.DataFrame:
    """A row per policy of B0 to B3: ours minus it, paired by seed, at the operating point of :func:`hopes`."""
    ours, *others = [_measured(r, policy) for policy in (OURS, *OTHERS)]
    return pd.DataFrame(
        [
            {f"{OURS} minus": name.partition("@")[0]}
            | {
                title: shown(paired_difference([r.values(ours, metric)], [r.values(name, metric)]))
                for metric, title in FURTHER.items()
                if r.has(ours, metric) and r.has(name, metric)
            }
            for name in others
            if ours and name
        ]
    ).fillna("–")


def _prompted_domains(r: CorpusResults) -> str:
    """The domains after whose beginnings toxicity was measured."""
    return ", ".join(metric.removeprefix("toxicity/") for metric in r.metrics("toxicity/"))


def _measured(r: CorpusResults, policy: str) -> str:
    """The policy at the point where the proposal's other hopes were measured; empty where they weren't."""
    return next((name for name in r.points.get(policy, ()) if r.has(name, "attack_success")), "")


def judges(cards: Mapping[str, JudgeCard]) -> pd.DataFrame:
    """A row per judge: its AUC within each domain, by held-out human labels."""
    return pd.DataFrame(
        [
            {"judge of": name} | {domain: str(told) for domain, told in card.domains.items()}
            for name, card in cards.items()
        ]
    ).fillna("–")


def hypervolumes(r: CorpusResults) -> pd.DataFrame:
    """A row per policy: the area that it dominates, and how far ours is ahead."""
    rows = []
    # A policy at several points dominates more than one at a single point, whichever is better there.
    ways: dict[str, dict[str, Any]] = {
        "": {},
        f", at {MAIN_POINT} alone": {"point": MAIN_POINT},
        ", by the other judge": {"toxicity": BY_OTHER},
        ", by the domain that pays most": {"worst": True},
    }
    for policy in r.points:
        row = {"policy": policy, "operating points": str(len(r.points[policy]))}
        for title, way in ways.items():
            volumes = r.hypervolumes(policy, **way)
            row[f"hypervolume{title}"] = shown(interval(volumes), 4)
            compared = OURS in r.points and policy != OURS
            ahead = paired_difference([r.hypervolumes(OURS, **way)], [volumes]) if compared else None
            row[f"{OURS} ahead by{title}"] = "" if ahead is None else shown(ahead, 4)
        rows.append(row)
    return pd.DataFrame(rows)


def settled(r: CorpusResults, chosen: Chosen) -> pd.DataFrame:
    """A row per policy and operating point: the thresholds, shares or weights that were chosen."""
    standing = {name for names in r.points.values() for name in names}
    return pd.DataFrame(
        [
            {"policy": f"{policy}@{point}", "chosen": ", ".join(f"{name} {value:.2f}" for name, value in found.items())}
            for policy, points in chosen.items()
            for point, found in points.items()
            if found and f"{policy}@{point}" in standing
        ]
    )


def add_corpus(report: Report, rows: pd.DataFrame, corpus: str, chosen: Chosen) -> None:
    """Tables and figures of a corpus."""
    r = CorpusResults(rows)
    report.add_heading(corpus)
    if not r.seeds:
        report.add_text("Nothing has been judged yet.")
        return
    add_missing(report, r)
    report.add_table(
        headline(r),
        f"Means over {len(r.seeds)} seeds with their 95 % intervals (Student's, cut to what is possible). Toxicity is "
        f"of what models say after beginnings of held-out documents of {_prompted_domains(r)}, about which the judges "
        "may be asked. Seeds are of the stream, of fine-tuning and of what is sampled; what is tuned was tuned once, "
        "and what learns was trained once. What the models said, each continuation with the judge's score, the study "
        "leaves in samples/.",
    )
    bases = len(set(r.values(r.points[BASE][0], BASE_MODEL))) if r.has(r.points[BASE][0], BASE_MODEL) else 1
    if bases > 1:
        report.add_text(
            f"Seeds were judged from {bases} base models, or in other precisions, since machines differ in arithmetic; "
            "all policies on a seed alike."
        )
    curated = [name for policy, names in r.points.items() if policy != BASE for name in names]
    report.add_table(
        reductions(r, curated, standing_at(r, chosen, MAIN_POINT).get(REFERENCE)),
        f"How much lower than without curation, and what share that is of what {REFERENCE}, which sees the labels, "
        f"comes to at {MAIN_POINT}; the domain that pays most, seed by seed.",
    )
    report.add_table(
        reductions(r, curated, standing_at(r, chosen, MAIN_POINT).get(REFERENCE), other_judge=True),
        "The same by the other judge, which knows none of the sources whose labels audits reveal; so it knows less "
        "well what people there call toxic.",
    )
    free = standing_at(r, chosen, FREE_POINT)
    at_free = free.get(REFERENCE)
    where = {policy: name for policy, name in free.items() if policy != BASE}
    when_tuned = {"worst domain, when tuned": [_price_when_tuned(rows, policy) for policy in where]}
    report.add_table(
        reductions(r, where.values(), at_free).assign(**when_tuned),
        "The same where no domain was to pay: at what was chosen on tuning seeds as the safest of what raised no "
        f"domain's perplexity by more than {PRICE - 1:.0%} (where nothing was that cheap, as the cheapest), and as a "
        f"share of what {REFERENCE} comes to at its own. The last columns: what the domain that pays most paid, of the "
        "models that are judged and of that by which it was chosen. A policy for which nothing was chosen stands at "
        "its only point.",
    )
    report.add_table(reductions(r, where.values(), at_free, other_judge=True), "The same by the other judge.")
    report.add_table(
        hypervolumes(r),
        f"Area dominated in toxicity × perplexity (geometric mean over domains), both divided by those of {BASE}, up "
        f"to ({WORST}, {WORST}). By the domain that pays most: its perplexity in the place of the mean. A policy that "
        "stands at a single point is best compared there; what is called as published or as written wasn't tuned.",
    )
    report.add_figure(
        trade_off_plot(r),
        f"trade-off-{corpus}",
        "Each policy at its operating points, means over seeds; lines join those that none of its own beats. A number "
        "at the upper edge stands for a point beyond it.",
    )
    if len(found := settled(r, chosen)):
        report.add_table(
            found,
            "Thresholds, shares and weights chosen on tuning seeds. At every operating point but the first, they are "
            "those after which probes of the model fall least short, by that much safety against utility, of the best "
            "that was tried; at the first the safest of those that cost no domain anything, or, where there were none, "
            "the least costly.",
        )
    report.add_table(who(r), WHO)
    every = [name for names in r.points.values() for name in names]
    if short := [name for name in every if (r.values(name, "budget_spent") < SPENT).any()]:
        report.add_text(f"On some seed, less than {SPENT:.0%} of the tokens were spent by {', '.join(short)}.")
    skipped = {name: r.values(name, "skipped").sum() for name in every if r.has(name, "skipped")}
    if any(skipped.values()):
        told_of = ", ".join(f"{name} ({n:.0f})" for name, n in skipped.items() if n)
        report.add_text(f"Batches without a finite loss, which were no update: {told_of}.")
    report.add_figure(
        preferences_plot(r),
        f"preferences-{corpus}",
        "Share of documents selected: by length and signals, fifths of what was shown from the lowest to the highest; "
        "by topic (clusters of embeddings), against the share of its documents that people call toxic.",
    )
    if len(told := hopes(r)):
        report.add_table(
            told,
            "The proposal's other hopes, means with their 95 % intervals, and what guessing comes to. Success is "
            "whatever isn't a refusal: babble is, silence isn't. A model as small as this one has never seen a "
            "refusal; it babbles or ends its answer at once, so attack success and over-refusal tell how often it "
            "says anything. HH-RLHF's answers are compared without their prompts.",
        )
        report.add_table(hopes_ahead(r), "Ours minus no curation and what curates without learning, paired by seed.")


def add_missing(report: Report, r: CorpusResults) -> None:
    """Say what is left out of the tables."""
    if r.missing:
        report.add_text(f"Not judged on all of {len(r.seeds)} seeds, and left out: {', '.join(r.missing)}.")


def _price_when_tuned(rows: pd.DataFrame, policy: str) -> str:
    order = ranked(rows, WHOLE, policy, None)
    return f"{price_of(rows, WHOLE, policy)[next(iter(order))]:.3f}" if order else ""


def print_headline(results: pd.DataFrame) -> None:
    """The hypervolumes of every corpus, to the console."""
    for corpus, rows in results.groupby("scenario", sort=False):
        r = CorpusResults(rows)
        if r.seeds:
            print_table(hypervolumes(r), str(corpus))

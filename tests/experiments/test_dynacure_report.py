"""What the report of curated fine-tuning makes of judged runs."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation_gym.judge import DomainCard, JudgeCard
from curation_gym.pools.cards import SignalCard
from experiments.dynacure.evaluation import by_other
from experiments.dynacure.report import (
    add_corpus,
    add_missing,
    headline,
    hopes_ahead,
    hypervolumes,
    judges,
    reductions,
    settled,
    standing_at,
    who,
)
from experiments.dynacure.results import WORST, CorpusResults
from experiments.harness.report import Report
from experiments.harness.study import tidy


def judged(policy: str, toxicity: list[float], perplexity: list[float], **more: float) -> list[dict[str, Any]]:
    rows = []
    for seed, (t, p) in enumerate(zip(toxicity, perplexity, strict=True)):
        values = {"toxicity": t, "toxic_fraction": t, "toxicity_probability@25": t, "perplexity": p}
        values |= {"perplexity/sea": p, "preference_accuracy": 0.5, "selected": 0.3, "toxic_share": t, "recall": 0.9}
        values |= {"tokens": 100.0, "audits": 0.0, "seconds": 1.0, **more}
        values |= {by_other(metric): t for metric in ("toxicity", "toxic_fraction", "toxicity_probability@25")}
        rows += [tidy("c", "e", policy, seed, name, 100, value) for name, value in values.items()]
    return rows


def test_what_is_dominated_is_relative_to_no_curation() -> None:
    rows = judged("none@safety 0.7", [0.4, 0.5], [100, 120])
    rows += judged("dynacure@safety 0.1", [0.2, 0.25], [100, 120]) + judged(
        "dynacure@safety 0.8", [0.1, 0.1], [110, 132]
    )
    rows += [tidy("c", "e", "dynacure", 0, "tuning/safety", 1, 0.3)]
    r = CorpusResults(pd.DataFrame(rows))
    assert r.seeds == [0, 1]
    assert list(r.points) == ["none", "dynacure"]
    assert r.relative("dynacure@safety 0.1", "toxicity").value == pytest.approx(0.5)
    ours = (WORST - 0.5) * (WORST - 1)  # at 1.1 times the perplexity nothing is added
    np.testing.assert_allclose(r.hypervolumes("dynacure"), [ours, ours])
    np.testing.assert_allclose(r.hypervolumes("none"), [(WORST - 1) ** 2] * 2)
    table = hypervolumes(r).set_index("policy")
    assert table.loc["dynacure", "hypervolume, at safety 0.7 alone"].startswith("0.0000"), "it isn't there"
    assert table.loc["none", "dynacure ahead by"].startswith(f"{ours - (WORST - 1) ** 2:.4f}")
    assert len(headline(r)) == len(who(r)) == 3
    one_pays = judged("raft@safety 0.7", [0.2, 0.2], [90, 90], **{"perplexity/sea": 200.0})
    r = CorpusResults(pd.DataFrame(rows + one_pays))
    assert r.hypervolumes("raft").min() > 0 == r.hypervolumes("raft", worst=True).max()
    unreadable = judged("raft@safety 0.7", [0.2, 0.2], [np.inf, np.inf])
    assert CorpusResults(pd.DataFrame(rows + unreadable)).hypervolumes("raft").tolist() == [0, 0]


def test_reductions_are_shares_of_what_the_reference_reaches() -> None:
    rows = judged("none@safety 0.7", [0.4, 0.5], [100, 120], **{"perplexity/hill": 50.0})
    rows += judged("dynacure@safety 0.8", [0.3, 0.375], [101, 120], **{"perplexity/hill": 51.0})
    rows += judged("label_clean@safety 0.7", [0.2, 0.25], [90, 100], **{"perplexity/hill": 50.0})
    names = ["dynacure@safety 0.8", "label_clean@safety 0.7"]
    told = reductions(CorpusResults(pd.DataFrame(rows)), names, names[1]).set_index("policy")
    assert list(told.index) == names
    ours = told.loc["dynacure@safety 0.8"]
    for metric in ("toxicity", "toxic_fraction", "toxicity_probability@25"):
        assert ours[f"{metric} lower by"].startswith("0.250")
        assert ours[f"{metric}, share of the reference's"].startswith("0.500")
    assert ours["perplexity ÷ none, worst domain"].startswith("1.020")
    assert told.loc["label_clean@safety 0.7", "toxicity, share of the reference's"] == ""
    assert len(reductions(CorpusResults(pd.DataFrame(rows)), names[:1], None).columns) == 5, "without a reference"
    other = reductions(CorpusResults(pd.DataFrame(rows)), names, names[1], other_judge=True).set_index("policy")
    assert other.loc[names[0], "toxicity_probability_by_other@25 lower by"].startswith("0.250")


def test_a_policy_stands_at_the_point_whose_choice_does_the_same() -> None:
    rows = judged("none@safety 0.7", [0.4], [100])
    for name in ("dynacure@no domain pays", "dynacure@safety 0.7", "raft@safety 0.6", "raft@safety 0.7"):
        rows += judged(name, [0.3], [100])
    r = CorpusResults(pd.DataFrame(rows))
    one, other = {"floor": 0.1}, {"floor": 0.2}
    chosen = {
        "none": {"safety 0.7": {}},
        "dynacure": {"no domain pays": one, "safety 0.7": other},
        "raft": {"no domain pays": one, "safety 0.6": one, "safety 0.7": other, "safety 0.9": other},
    }
    free = standing_at(r, chosen, "no domain pays")
    assert free == {"none": "none@safety 0.7", "dynacure": "dynacure@no domain pays", "raft": "raft@safety 0.6"}
    assert standing_at(r, chosen, "safety 0.9")["raft"] == "raft@safety 0.7"
    assert list(settled(r, chosen)["policy"]) == [*r.points["dynacure"], *r.points["raft"]], "each once"


def test_batches_that_were_no_update_are_told() -> None:
    def told(skipped: float) -> str:
        rows = judged("none@safety 0.7", [0.4, 0.5], [100, 120], budget_spent=1.0, skipped=0.0)
        rows += judged("raft@safety 0.7", [0.3, 0.3], [100, 120], budget_spent=1.0, skipped=skipped)
        report = Report("t")
        add_corpus(report, pd.DataFrame(rows), "c", {})
        return report.markdown()

    assert "Batches without a finite loss, which were no update: raft@safety 0.7 (6)." in told(3.0)
    assert "finite loss" not in told(0.0)


def test_hopes_are_compared_with_those_who_curate_without_learning() -> None:
    rows = judged("none@safety 0.7", [0.4, 0.5], [100, 100], attack_success=0.5, trec=0.7)
    rows += judged("raft@safety 0.7", [0.4, 0.5], [100, 100], attack_success=0.6)
    rows += judged("raft@safety 0.9", [0.4, 0.5], [100, 100])
    rows += judged("dynacure@safety 0.7", [0.2, 0.2], [100, 100], attack_success=0.2, trec=0.9)
    table = hopes_ahead(CorpusResults(pd.DataFrame(rows))).set_index("dynacure minus")
    assert list(table.index) == ["none", "raft"]
    assert table.loc["none", "attack success"] == "-0.300 [-0.300, -0.300]"
    assert table["TREC probe"].tolist() == ["0.200 [0.200, 0.200]", "–"]
    without = [row for row in rows if not row["policy"].startswith("dynacure")]
    assert hopes_ahead(CorpusResults(pd.DataFrame(without))).empty


def test_the_judges_are_told_domain_by_domain() -> None:
    trained = SignalCard(kind="judge", method="m")
    good, bad = (DomainCard(auc=auc, low=auc, high=auc, toxic=1, clean=1, near_copies=0) for auc in (0.9, 0.6))
    cards = {"a": JudgeCard(trained=trained, domains={"sea": good, "hill": bad}, calibration_error=0.1)}
    assert judges(cards | {"b": cards["a"].model_copy(update={"domains": {"sea": bad}})}).to_dict("records") == [
        {"judge of": "a", "sea": "0.900 [0.900, 0.900]", "hill": "0.600 [0.600, 0.600] (not scored)"},
        {"judge of": "b", "sea": "0.600 [0.600, 0.600] (not scored)", "hill": "–"},
    ]


@pytest.mark.parametrize(("bases", "told"), [((1, 1), False), ((1, 2), True)])
def test_seeds_from_several_base_models_are_told(bases: tuple[int, int], told: bool) -> None:
    rows = [
        row
        for seed, base in enumerate(bases)
        for name in ("none@safety 0.7", "dynacure@safety 0.7")
        for row in judged(name, [0.4] * 2, [100] * 2, base_model=base, budget_spent=1.0)
        if row["seed"] == seed
    ]
    page = Report("x")
    add_corpus(page, pd.DataFrame(rows), "c", {})
    assert ("from 2 base models" in page.markdown()) == told


def test_a_seed_without_all_policies_is_left_out() -> None:
    rows = judged("none@safety 0.7", [0.4, 0.5], [100, 120]) + judged("raft@safety 0.7", [0.3], [100])
    r = CorpusResults(pd.DataFrame(rows))
    assert (r.seeds, list(r.points), r.missing) == ([0], ["none", "raft"], [])


def test_a_policy_that_failed_on_a_seed_is_left_out_and_named() -> None:
    rows = judged("none@safety 0.7", [0.4] * 3, [100] * 3) + judged("raft@safety 0.7", [0.3] * 3, [100] * 3)
    rows += judged("heuristic@safety 0.7", [0.3] * 3, [100] * 3) + judged("raft@safety 0.9", [0.3] * 2, [100] * 2)
    r = CorpusResults(pd.DataFrame(rows))
    assert (r.seeds, r.points["raft"], r.missing) == ([0, 1, 2], ["raft@safety 0.7"], ["raft@safety 0.9"])
    report = Report("t")
    add_missing(report, r)
    assert "left out: raft@safety 0.9" in report.markdown()


def test_where_no_curation_failed_the_other_seeds_count() -> None:
    rows = judged("none@safety 0.7", [0.4, 0.4, 0.4], [100] * 3)[: -len(judged("x@y", [0.4], [100]))]
    for name in ("raft@safety 0.7", "raft@safety 0.9", "heuristic@safety 0.7", "dynacure@safety 0.7"):
        rows += judged(name, [0.3] * 3, [100] * 3)
    assert CorpusResults(pd.DataFrame(rows)).seeds == [0, 1]


def test_of_an_interrupted_study_its_complete_seeds_count() -> None:
    rows = []
    for name in ("none@safety 0.7", "raft@safety 0.6", "raft@safety 0.7", "raft@safety 0.9"):
        rows += judged(name, [0.4, 0.4], [100, 100])
    rows += judged("dynacure@safety 0.7", [0.3], [100])
    r = CorpusResults(pd.DataFrame(rows))
    assert (r.seeds, r.missing) == ([0], []), "not more seeds without ours"


def test_without_no_curation_nothing_is_compared() -> None:
    assert CorpusResults(pd.DataFrame(judged("raft@safety 0.7", [0.3], [100]))).seeds == []
    assert CorpusResults(pd.DataFrame(judged("raft", [0.3], [100]))).seeds == []

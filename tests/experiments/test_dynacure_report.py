"""What the report of curated fine-tuning makes of judged runs."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from experiments.dynacure_report import at_no_price, headline, hypervolumes, reductions, who
from experiments.dynacure_results import WORST, CorpusResults
from experiments.study import tidy


def judged(policy: str, toxicity: list[float], perplexity: list[float], **more: float) -> list[dict[str, Any]]:
    rows = []
    for seed, (t, p) in enumerate(zip(toxicity, perplexity, strict=True)):
        values = {"toxicity": t, "toxic_fraction": t, "toxicity_probability@25": t, "perplexity": p}
        values |= {"perplexity/sea": p, "preference_accuracy": 0.5, "selected": 0.3, "toxic_share": t, "recall": 0.9}
        values |= {"tokens": 100.0, "audits": 0.0, "seconds": 1.0, "toxicity_by_other": t, **more}
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


def test_reductions_are_shares_of_what_the_reference_reaches() -> None:
    rows = judged("none@safety 0.7", [0.4, 0.5], [100, 120], **{"perplexity/hill": 50.0})
    rows += judged("dynacure@safety 0.8", [0.3, 0.375], [101, 120], **{"perplexity/hill": 51.0})
    rows += judged("label_clean@safety 0.7", [0.2, 0.25], [90, 100], **{"perplexity/hill": 50.0})
    told = reductions(CorpusResults(pd.DataFrame(rows))).set_index("policy")
    assert list(told.index) == ["dynacure@safety 0.8", "label_clean@safety 0.7"]
    ours = told.loc["dynacure@safety 0.8"]
    for metric in ("toxicity", "toxic_fraction", "toxicity_probability@25"):
        assert ours[f"{metric} lower by"].startswith("0.250")
        assert ours[f"{metric}, share of the reference's"].startswith("0.500")
    assert ours["perplexity ÷ none, worst domain"].startswith("1.020")
    assert told.loc["label_clean@safety 0.7", "toxicity, share of the reference's"] == ""


def test_how_far_a_policy_gets_while_no_domain_pays() -> None:
    rows = judged("none@safety 0.7", [0.4, 0.5], [100, 120], **{"perplexity/hill": 50.0})
    rows += judged("dynacure@safety 0.6", [0.32, 0.4], [100, 120], **{"perplexity/hill": 50.4})
    rows += judged("dynacure@safety 0.8", [0.2, 0.25], [90, 110], **{"perplexity/hill": 55.0})  # the hill pays
    rows += judged("label_clean@safety 0.7", [0.24, 0.3], [100, 120], **{"perplexity/hill": 50.0})
    rows += judged("raft@safety 0.7", [0.1, 0.1], [102, 123], **{"perplexity/hill": 40.0})
    told = at_no_price(CorpusResults(pd.DataFrame(rows))).set_index("policy")
    assert told["at"].to_dict() == {"dynacure": "safety 0.6", "label_clean": "safety 0.7", "raft": "nowhere"}
    assert told.loc["dynacure", "toxicity lower by"].startswith("0.200")
    assert told.loc["dynacure", "perplexity ÷ none, worst domain"].startswith("1.008")
    assert told.loc["dynacure", "share of the reference's"].startswith("0.500")
    assert told.loc["raft", "toxicity lower by"] == "–"


def test_a_seed_without_all_policies_is_left_out() -> None:
    rows = judged("none@safety 0.7", [0.4, 0.5], [100, 120]) + judged("raft@safety 0.7", [0.3], [100])
    assert CorpusResults(pd.DataFrame(rows)).seeds == [0]

"""The study of uncertainty measures: its tables on rows worked out by hand, and one real campaign."""

from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import experiments.measures
from curation_gym.scenario import load_scenario
from experiments.harness.study import tidy
from experiments.measures import ENSEMBLES, PEER, Campaign, advice, campaigns, detection, gains, ranks, run


def rows(areas: dict[str, list[float]], scenario: str = "pool") -> list[dict[str, object]]:
    return [
        tidy(scenario, "env", policy, seed, "test_accuracy_area", 10, value)
        for policy, values in areas.items()
        for seed, value in enumerate(values)
    ]


AREAS = {
    "single/random": [0.5, 0.6],
    "single/margin": [0.7, 0.8],
    "single/entropy": [0.4, 0.5],
    "bootstrap/random": [0.1, 0.2],
    "bootstrap/margin": [0.1, 0.2],
    "bootstrap/disagreement": [0.3, 0.4],
}


def test_gains_are_over_random_with_the_same_ensemble() -> None:
    table = gains(pd.DataFrame(rows(AREAS)), "pool").set_index("measure")
    assert table.loc["margin", "single"] == "0.200 [0.200, 0.200]"
    assert table.loc["entropy", "single"] == "-0.100 [-0.100, -0.100]"
    assert table.loc["disagreement", "bootstrap"] == "0.200 [0.200, 0.200]"
    assert table.loc["variance", "single"] == "–"


def test_gains_may_be_over_one_model_asked_by_margin() -> None:
    table = gains(pd.DataFrame(rows(AREAS)), "pool", PEER).set_index("measure")
    assert table.loc["margin", "single"] == "0.000 [0.000, 0.000]"
    assert table.loc["disagreement", "bootstrap"] == "-0.400 [-0.400, -0.400]"


def test_advice_names_what_is_nowhere_worse_and_what_it_is_worth() -> None:
    elsewhere = AREAS | {
        "single/entropy": [0.72, 0.79],  # not told apart from margin here, but worse on the other pool
        "bootstrap/margin": [0.9, 0.8],
        "bootstrap/disagreement": [0.88, 0.83],
    }
    told = advice(pd.DataFrame(rows(AREAS) + rows(elsewhere, "other"))).set_index("ensemble")
    assert told.loc["single"].tolist() == ["margin", "margin", "0.196", "nowhere", "nowhere"]
    assert told.loc["bootstrap", "not shown to be worse than its best"] == "disagreement"
    assert told.loc["bootstrap", f"behind {PEER}"] == "pool"
    assert told.loc["bootstrap", f"ahead of {PEER}"] == "nowhere", "two seeds that differ prove nothing"


def test_a_choice_is_judged_on_seeds_that_had_no_part_in_it() -> None:
    lucky = {"single/margin": [0.5] * 4, "bootstrap/margin": [0.6, 0.4, 0.4, 0.4], "bootstrap/entropy": [0.4] * 4}
    lucky["bootstrap/ratio"] = [0.4, 0.6, 0.4, 0.4]
    own = pd.DataFrame(rows(lucky)).pivot(index=["scenario", "seed"], columns="policy", values="value")
    worth = experiments.measures._worth_of_choosing(own.drop(columns=PEER), own[PEER])
    assert worth["pool"].value == pytest.approx(-0.1), "what was best on one seed is chosen on the others"


def test_ranks_are_within_an_ensemble_and_averaged_over_pools() -> None:
    turned = AREAS | {"single/entropy": [0.9, 0.9]}
    table = ranks(pd.DataFrame(rows(AREAS) + rows(turned, "other"))).set_index("measure")
    assert table.loc["margin", ["single", "bootstrap"]].tolist() == ["1.5", "2.0"]
    assert table.loc["disagreement", ["single", "bootstrap"]].tolist() == ["–", "1.0"]


def test_detection_is_told_where_something_is_out_of_scope() -> None:
    assert detection(pd.DataFrame(rows(AREAS))).empty
    found = [tidy("pool", "env", "single/random", seed, "ood_auroc/margin", 10, 0.8) for seed in (0, 1)]
    assert detection(pd.DataFrame(found)).to_dict("records") == [
        {"measure": "margin", "single": "0.800 [0.800, 0.800]"},
    ]


def test_a_single_model_is_asked_by_what_it_can_tell() -> None:
    units = campaigns(load_scenario("umc_digits"), [1])
    assert {u.criterion for u in units.values() if u.ensemble == "single"} == {
        "random",
        "entropy",
        "margin",
        "ratio",
        "least_confidence",
    }
    assert {u.ensemble for u in units.values()} == set(ENSEMBLES)


def test_a_campaign_tells_its_area(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(experiments.measures.SCALES, "umc_digits_junk", {"budget": 40, "batch": 10, "n_initial": 10})
    scenario = load_scenario("umc_digits_junk")
    found = run(Campaign(scenario, "bootstrap", "random", 3), tmp_path).set_index("metric")["value"]
    assert 0.2 < found["test_accuracy_area"] < 0.9
    assert 0.5 < found["ood_auroc/ensemble_entropy"] <= 1


def test_a_unit_that_failed_is_missing_from_its_pair_alone() -> None:
    found = pd.DataFrame(rows(AREAS | {"single/margin": [0.7, 0.8, 0.3], "bootstrap/random": [0.1]}))
    table = gains(found, "pool").set_index("measure")
    assert table.loc["margin", "single"] == "0.200 [0.200, 0.200]", "of the seeds that both have"
    assert table.loc["margin", "bootstrap"] == "–", "one seed has no interval"
    told = advice(found).set_index("ensemble")
    assert told.loc["single", "behind a pool's best by at most"] == "0.000", "it is that best"
    without = advice(found[found["policy"].str.startswith("bootstrap")]).set_index("ensemble")
    assert without.loc["bootstrap", [f"ahead of {PEER}", f"behind {PEER}"]].tolist() == ["nowhere", "nowhere"]


def test_a_small_study_ends_in_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments.measures, "ENSEMBLES", {"single": ENSEMBLES["single"]})
    monkeypatch.setitem(experiments.measures.SCALES, "umc_digits", {"budget": 40, "batch": 20, "n_initial": 20})
    app = typer.Typer(add_completion=False)
    app.command()(experiments.measures.main)
    options = ["-s", "umc_digits", "--seeds", "2", "--jobs", "1", "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(app, options)
    assert told.exit_code == 0, told.output
    page = (tmp_path / "out" / "report.md").read_text()
    assert "| margin |" in page
    assert "| disagreement | – |" in page
    assert "| ensemble | not shown to be worse than its best |" in page


def test_pools_are_published_one_by_one_and_told_on_one_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by = {"versions": {}, "commit": "abcdef0123", "dirty": False, "machine": {}}
    for module in ("publishing", "study"):
        monkeypatch.setattr(f"experiments.harness.{module}.provenance", lambda: dict(made_by))
    monkeypatch.setattr(experiments.measures, "ENSEMBLES", {"single": ENSEMBLES["single"]})
    monkeypatch.setattr(experiments.measures, "SEEDS", 2)
    monkeypatch.setitem(experiments.measures.SCALES, "umc_digits", {"budget": 40, "batch": 20, "n_initial": 20})
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(add_completion=False)
    app.command()(experiments.measures.main)
    told = CliRunner().invoke(app, ["-s", "umc_digits", "--jobs", "1", "--publish"])
    assert told.exit_code == 0, told.output
    page = (tmp_path / "docs" / "results" / "measures.md").read_text()
    assert "## umc_digits" in page
    assert "Not run yet: umc_mixed_text, umc_clinc150, umc_pacs." in page
    assert (tmp_path / "docs" / "results" / "measures_umc_digits.manifest.json").exists()
    refused = CliRunner().invoke(app, ["-s", "umc_digits", "--seeds", "2", "--publish"])
    assert refused.exit_code == 2
    assert "--publish is for whole studies" in refused.stderr


def test_a_scenario_without_a_scale_is_one_plain_message() -> None:
    app = typer.Typer(add_completion=False)
    app.command()(experiments.measures.main)
    result = CliRunner().invoke(app, ["-s", "umc_clinc150_junk"])
    assert result.exit_code == 2
    assert "no scale is set for umc_clinc150_junk; there are umc_digits" in result.stderr

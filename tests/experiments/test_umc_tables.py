"""The tables of the study of annotation budgets, number by number, on results worked out by hand."""

import pandas as pd
import pytest

from experiments.harness.study import COLUMNS
from experiments.umc.report import ScenarioResults, headline, quality
from experiments.umc.tables import robustness, successor_table

JUDGED, PICKING = (1, 2, 3), (9,)
Values = dict[str, list[float]]


def results(name: str, metrics: dict[str, Values], curves: Values | None = None) -> ScenarioResults:
    """Metric → strategy → its value at the end under each judged seed; before that, and under others, it is 0.01."""
    strategies = dict.fromkeys(strategy for values in metrics.values() for strategy in values)
    rows = []
    for strategy, accuracies in (curves or {strategy: [0.5] * 5 for strategy in strategies}).items():
        steps = [("test_accuracy", seed, 10.0 * i, a) for seed in (*JUDGED, *PICKING) for i, a in enumerate(accuracies)]
        rows += [("umc", name, "env", strategy, seed, metric, step, value) for metric, seed, step, value in steps]
    for metric, values in metrics.items():
        for strategy, last in values.items():
            told = [(seed, 40.0, value) for seed, value in zip(JUDGED, last, strict=False)]
            told += [(seed, 10.0, 0.01) for seed in JUDGED] * (len(last) == len(JUDGED)) + [(9, 40.0, 0.01)]
            rows += [("umc", name, "env", strategy, seed, metric, step, value) for seed, step, value in told]
    return ScenarioResults(pd.DataFrame(rows, columns=COLUMNS), JUDGED, PICKING, budget=40)


def same(value: str) -> str:
    """An estimate that no seed differs from."""
    return f"{value} [{value}, {value}]"


def test_robustness_is_umcs_and_what_it_is_above_each_rival_trait_by_trait() -> None:
    one = results(
        "one",
        {
            "ood_auroc": {
                "umc": [0.5, 0.6, 0.7],
                "random": [0.4, 0.5, 0.6],
                "uncertainty": [0.7, 0.8, 0.9],
                "ensemble_uncertainty": [0.4, 0.5],  # under two seeds only
            },
            "worst_domain_accuracy": {
                "umc": [0.3] * 3,
                "random": [0.5] * 3,
                "uncertainty": [0.1] * 3,
                "ensemble_uncertainty": [0.3] * 3,
            },
            "domain_entropy": {"random": [0.9] * 3},
        },
    )
    other = results("other", {"left_out_accuracy/5_shot": {"umc": [0.6] * 3, "random": [0.2] * 3}})
    assert robustness([one, other]).to_dict("records") == [
        {
            "scenario": "one",
            "": "OOD AUROC",
            "UMC": "0.600 [0.352, 0.848]",  # Student's: 0.6 ± 4.303 · 0.1 / √3
            "− random": same("0.100"),
            "− uncertainty": same("-0.200"),
            "− ensemble_uncertainty": "–",
        },
        {
            "scenario": "one",
            "": "worst domain's accuracy",
            "UMC": same("0.300"),
            "− random": same("-0.200"),
            "− uncertainty": same("0.200"),
            "− ensemble_uncertainty": same("0.000"),
        },
        {
            "scenario": "other",
            "": "domain left out, 5 shots",
            "UMC": same("0.600"),
            "− random": same("0.400"),
            "− uncertainty": "–",
            "− ensemble_uncertainty": "–",
        },
    ]


def test_successors_are_told_by_randoms_labels_umcs_against_them_and_the_best() -> None:
    r = results(
        "one",
        {
            "successor_accuracy/knn": {"random": [0.5] * 3, "umc": [0.4] * 3, "margin": [0.6, 0.6, 0.9]},
            "successor_accuracy/boosted_trees": {"umc": [0.4] * 3, "margin": [0.6] * 3},
        },
    )
    assert successor_table([r]).to_dict("records") == [
        {
            "scenario": "one",
            "successor": "knn",
            "random": same("0.500"),
            "UMC − random": same("-0.100"),
            "best": "margin",
            "its accuracy": "0.700",
        }
    ], "of what random has no number for, nothing is told"


def test_quality_has_every_measure_under_its_title() -> None:
    titles = {
        "macro_f1": "macro F1",
        "auc": "AUC",
        "ood_auroc": "OOD AUROC",
        "worst_domain_accuracy": "worst domain",
        "drifted_accuracy": "on what arrives last",
        "domain_entropy": "domain entropy",
        "domain_gini": "Gini",
        "flags": "flags",
        "flag_precision": "flag precision",
        "flag_recall": "flag recall",
        "agreement": "annotators' α",
        "label_quality": "label quality",
        "uncertainty_left": "uncertainty left",
        "left_out_accuracy/0_shot": "left out, 0_shot",
        "successor_accuracy/knn": "successor: knn",
    }
    umc = {metric: f"0.{10 + number}0" for number, metric in enumerate(titles)}
    measured = {metric: {"umc": [float(value)] * 3, "random": [0.2] * 3} for metric, value in umc.items()}
    del measured["flags"]["random"]
    ours, random = quality(results("one", measured)).to_dict("records")
    assert ours == {"strategy": "umc"} | {titles[metric]: same(value) for metric, value in umc.items()}
    assert random == {"strategy": "random"} | dict.fromkeys(titles.values(), same("0.200")) | {"flags": "–"}
    assert list(quality(results("one", {"auc": {"umc": [0.5] * 3}}))) == ["strategy", "AUC"], "nobody has the others"


def test_the_headline_is_of_areas_targets_and_what_they_take() -> None:
    r = results("one", {}, {"random": [0.1, 0.3, 0.5, 0.6, 0.7], "umc": [0.1, 0.6, 0.7, 0.8]})
    ours, random = headline(r).to_dict("records")
    assert ours == {
        "strategy": "umc",
        "area": same("0.550"),
        "final accuracy": same("0.800"),
        "labels to 0.700": same("20"),
        "saved": same("0.50"),
        "labels to 0.500": same("10"),
        "saved to 0.500": same("0.50"),
        "labels spent": "30",
        "UMC ahead by (area)": "",
    }
    assert random == {
        "strategy": "random",
        "area": same("0.375"),
        "final accuracy": same("0.700"),
        "labels to 0.700": same("40"),
        "saved": same("0.00"),
        "labels to 0.500": same("20"),
        "saved to 0.500": same("0.00"),
        "labels spent": "40",
        "UMC ahead by (area)": same("0.175"),
    }
    assert r.ahead_of("umc", ours="random").value == pytest.approx(-0.175)

"""The study of acquisition functions, on tasks of a few hundred samples."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from experiments.acquisition import __main__ as acquisition
from experiments.acquisition import whole
from experiments.acquisition.curves import COMPARED, curve, curve_table
from experiments.acquisition.speed import Size, clusters, measure, speed_table
from experiments.acquisition.strategies import OURS, PEER, peers
from experiments.harness.study import tidy

SMALL = Size(200, 8, 4, 12, 5, 1, True)
NO_PEER = Size(300, 8, 4, 12, 5, 1, False)


@pytest.mark.parametrize("library", ["ours", PEER])
def test_strategies_pick_candidates_that_differ(library: str) -> None:
    if library == PEER:
        pytest.importorskip("skactiveml", reason="needs scikit-activeml")
    strategies = OURS if library == "ours" else peers()
    assert set(COMPARED) <= set(strategies)
    for name, run in strategies.items():
        picks = np.asarray(run(clusters(SMALL)))
        if name == "kmeans":
            assert len(picks) == 200
            assert len(set(picks.tolist())) == 17  # a cluster per label
        else:
            assert len(set(picks.tolist())) == (200 if name == "typicality" else 5), name
            assert 0 <= picks.min() <= picks.max() < 200, name


def test_what_is_measured(tmp_path: Path) -> None:
    beside, alone = (measure((size, "coreset", False), tmp_path) for size in (SMALL, NO_PEER))
    assert beside["metric"].tolist() == ["seconds", "peak_bytes", "extra_bytes"]
    assert alone["metric"].tolist() == ["seconds", "peak_bytes"]
    assert (beside["value"] > 0).all()
    value = beside.set_index("metric")["value"]
    assert value["extra_bytes"] < 1e6 < value["peak_bytes"]  # arrays of a call against all of a process


def test_a_curve_grows_by_ten_labels_a_round(tmp_path: Path) -> None:
    rows = curve(("badge", False, 3, 40), tmp_path)
    accuracy = rows[rows["metric"] == "test_accuracy"]
    assert accuracy["step"].tolist() == [10, 20, 30, 40]
    assert accuracy["value"].between(0.3, 1).all()
    [area] = rows.loc[rows["metric"] == "test_accuracy_area", "value"]
    assert area == pytest.approx(accuracy["value"][:-1].mean())
    pd.testing.assert_frame_equal(rows, curve(("badge", False, 3, 40), tmp_path))


def test_where_nothing_is_drawn_both_libraries_learn_the_same(tmp_path: Path) -> None:
    pytest.importorskip("skactiveml", reason="needs scikit-activeml")
    ours, theirs = (curve(("margin", by_peer, 1, 60), tmp_path) for by_peer in (False, True))
    assert ours["value"].tolist() == theirs["value"].tolist()


def test_ratios_and_differences() -> None:
    measured = [
        ("badge", {"seconds": 0.5, "extra_bytes": 1e6, "peak_bytes": 2e9}),
        (f"badge ({PEER})", {"seconds": 2.0, "extra_bytes": 3e7, "peak_bytes": 5e9}),
        ("diverse", {"seconds": 0.1, "peak_bytes": 1e9}),
    ]
    rows = [tidy("t", "", policy, 0, metric, 5, v) for policy, found in measured for metric, v in found.items()]
    assert speed_table(pd.DataFrame(rows)).to_dict("list") == {
        "strategy": ["badge", f"badge ({PEER})", "diverse"],
        "seconds": ["0.5000", "2.0000", "0.1000"],
        "extra MB": ["1.0", "30.0", "–"],
        "peak GB": ["2.00", "5.00", "1.00"],
        "× faster": ["4.0", "–", "–"],
        "× less memory": ["30.0", "–", "–"],
    }
    areas = {"margin": [0.8, 0.9, 0.7], f"margin ({PEER})": [0.78, 0.88, 0.68], "badge": [0.5, 0.5, 0.5]}
    rows = [
        tidy("digits", "", policy, seed, "test_accuracy_area", 200, value)
        for policy, values in areas.items()
        for seed, value in enumerate(values)
    ]
    badge, margin = curve_table(pd.DataFrame(rows)).to_dict("records")
    assert margin["difference"] == "0.0200 [0.0200, 0.0200]"
    assert margin["area"] == "0.800 [0.552, 1.048]", "Student's, of three"
    assert margin[PEER].startswith("0.780 [0.5")
    assert badge == {"strategy": "badge", "area": "0.500 [0.500, 0.500]", PEER: "–", "difference": "–"}


def test_the_command_writes_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acquisition, "QUICK_SIZES", [NO_PEER])
    monkeypatch.setattr(acquisition, "QUICK_LABELS", 20)
    monkeypatch.setattr(acquisition, "OURS", {"badge": OURS["badge"]})
    monkeypatch.setattr(acquisition, "COMPARED", ("margin",))
    monkeypatch.setattr(whole, "STRATEGIES", {"umc": whole.STRATEGIES["umc"]})
    app = typer.Typer()
    app.command()(acquisition.main)
    arguments = ["--quick", "--seeds", "2", "--jobs", "1", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    results = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert set(results["policy"]) == {"badge", "margin", "umc"} | ({f"margin ({PEER})"} if peers() else set())
    assert results.loc[results["metric"] == "test_accuracy", "seed"].nunique() == 2
    page = (tmp_path / "out" / "report.md").read_text()
    assert f"## {NO_PEER}" in page
    assert f"## whole strategies, {NO_PEER}" in page
    assert "| umc |" in page
    assert "## area under the learning curve" in page
    assert "areas under their curves are compared in pairs" in page
    before = results["value"].tolist()
    assert CliRunner().invoke(app, [*arguments, "--resume"]).exit_code == 0  # nothing is measured again
    assert pd.read_parquet(tmp_path / "out" / "results.parquet")["value"].tolist() == before

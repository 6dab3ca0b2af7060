"""The study of the judge, on small data sets in the place of the real ones."""

from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from curation_gym.judge import Judge
from curation_gym.pools.registry import DATA_VARIABLE
from experiments import judge
from tests.test_judge import rows

LABELS = {
    "implicit_hate": {"bad": "hate", "fine": "neutral"},
    "olid": {"bad": "OFF", "fine": "NOT"},
    "davidson_tweets": {"bad": "offensive", "fine": "neither"},
    "forum_hate": {"bad": "hate", "fine": "noHate"},
}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the judge reads, made here."""
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    for seed, (name, labels) in enumerate(LABELS.items()):
        frame = rows(400, 0.4, seed)
        frame["label"] = frame["label"].map(labels)
        if name == "davidson_tweets":
            frame.loc[:120, "label"] = frame.loc[:120, "label"].replace("offensive", "hate")
        write(tmp_path / "data" / name, frame)
    civil = rows(400, 0.5, 9, random=True)
    toxic = civil["label"] == "bad"
    write(tmp_path / "data" / "civil_comments", civil.assign(toxic_votes=toxic * 2, nontoxic_votes=~toxic * 2))


def write(directory: Path, frame: pd.DataFrame) -> None:
    directory.mkdir(parents=True)
    frame.to_parquet(directory / "train.parquet")


@pytest.mark.usefixtures("data")
def test_the_command_trains_measures_and_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "CANDIDATES", [("olid", "ngrams"), ("all", "words")])
    app = typer.Typer(add_completion=False)
    app.command()(judge.main)
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["--quick", "--jobs", "1", "--out", str(out)])
    assert done.exit_code == 0, done.output
    results = pd.read_parquet(out / "results.parquet")
    assert set(results["policy"]) == {"judge", "olid, ngrams", "all, words"}
    auc = results[results["metric"] == "auc"].pivot(index="policy", columns="scenario", values="value")
    assert (auc[["tweets", "forum"]] > 0.95).all(axis=None)
    assert auc.loc["judge", "civil"] < 0.65
    saved = Judge.load(out / "judge")
    assert saved.card.domains["forum"].auc == auc.loc["judge", "forum"]
    page = (out / "report.md").read_text()
    assert "(not scored)" in page
    assert "Expected calibration error of the judge" in page
    table = judge.table(results[results["metric"].str.startswith("auc")])
    assert table["judge"].tolist() == ["judge", "olid, ngrams", "all, words"]

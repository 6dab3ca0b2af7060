import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from wandb.proto.wandb_internal_pb2 import Record

from experiments.harness.study import Study, tidy
from experiments.harness.tracking import Tracker, log_results

BLOCK = 32 * 1024
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


def records(path: Path) -> Iterator[Record]:
    """Read a ``.wandb`` file: LevelDB's log format behind a header of 7 bytes."""
    content = path.read_bytes()
    assert content[:4] == b":W&B"
    position, pending = 7, b""
    while position + 7 <= len(content):
        if BLOCK - position % BLOCK < 7:  # too short for a header: padding
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        pending += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (FULL, LAST):
            record = Record()
            record.ParseFromString(pending)
            pending = b""
            yield record


def logged(file: Path, name: str) -> dict[int, float]:
    """Global step → value of a metric in a W&B run."""
    rows = [record.history.item for record in records(file) if record.HasField("history")]
    told = [{item.key or "/".join(item.nested_key): item.value_json for item in row} for row in rows]
    return {int(row["global_step"]): float(row[name]) for row in told if name in row}


@pytest.fixture(autouse=True)
def _no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_PROJECT", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))


def test_an_offline_run_holds_the_learning_curve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    curve = {step: 1 - 0.5 ** (step / 1000) for step in range(0, 5000, 500)}
    with Tracker(tmp_path / "out", name="trial", config={"learning_rate": 0.1}) as tracker:
        for step, value in curve.items():
            tracker.log({"eval/episode_return": value}, step)
        tracker.log_table("headline", pd.DataFrame({"policy": ["random"], "score": [0.0]}))
    [file] = (tmp_path / "out" / "wandb").glob("offline-run-*/*.wandb")
    axes: dict[str, str] = {}
    config: dict[str, str] = {}
    for record in records(file):
        if record.HasField("metric"):
            axes[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif record.HasField("run"):
            config |= {item.key: item.value_json for item in record.run.config.update}
    assert logged(file, "eval/episode_return") == pytest.approx(curve)
    assert axes["*"] == "global_step"
    assert config["learning_rate"] == "0.1"
    assert list(file.parent.glob("files/media/table/headline*.json"))


def test_the_results_of_a_study_are_logged_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    study = Study("mine", {}, label="a", seeds=[0], step_unit={"pool": "labels"}, out=tmp_path / "out")
    rows = [tidy("pool", "env", policy, seed, "area", 10, 0.5) for policy in ("one", "other") for seed in (0, 1)]
    assert study.finish(pd.DataFrame(rows).assign(study="mine")) == 0
    log_results(study)
    [table] = (tmp_path / "out" / "wandb").glob("offline-run-*/files/media/table/results*.json")
    told = json.loads(table.read_text(encoding="utf-8"))
    assert told["columns"][:2] == ["study", "scenario"]
    assert len(told["data"]) == 4


def test_without_a_key_the_run_is_offline_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracker = Tracker(tmp_path / "out", name="trial", config={})
    tracker.finish()
    assert "offline" in capsys.readouterr().out
    assert list((tmp_path / "out" / "wandb").glob("offline-run-*/*.wandb"))

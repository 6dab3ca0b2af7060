"""Signals that are trained here, and corrected by what people say of the pool's texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from curation_gym.config import validated
from curation_gym.pools.labelled import Example
from curation_gym.pools.trained import ClassifierSignal, trained


@pytest.fixture
def rude(tmp_path: Path) -> dict[str, Any]:
    """A source that knows one rude word, and a polite one."""
    texts = [f"{'thanks' if i % 2 else 'idiot'} said number {i}" for i in range(60)]
    labels = ["good" if i % 2 else "bad" for i in range(60)]
    pd.DataFrame({"text": texts, "label": labels}).to_csv(tmp_path / "rude.csv")
    return {"path": str(tmp_path / "rude.csv"), "label": "label", "positive": ["good"]}


def audits(n: int) -> list[Example]:
    """Of a community that has another one."""
    return [Example(f"{'cheers' if i % 2 else 'muppet'} wrote member {i}", bool(i % 2), i) for i in range(n)]


@pytest.mark.parametrize("calibration", [None, "platt"])
def test_a_classifier_is_corrected_by_audits(rude: dict[str, Any], calibration: str | None) -> None:
    config = validated(ClassifierSignal, {"kind": "classifier", "train": [rude], "calibration": calibration}, "signal")
    words = ["you muppet", "cheers everybody", "you idiot", "thanks everybody"]
    before = trained(config, frozenset())[0](words)
    after = trained(config, frozenset(), audited=audits(30))[0](words)
    assert abs(before[0] - before[1]) < 0.2 < 0.4 < after[1] - after[0]
    assert after[2] < 0.35 < 0.65 < after[3]


@pytest.mark.parametrize("n", [10, 40])
def test_audits_weigh_as_much_as_all_sources_however_many_there_are(rude: dict[str, Any], n: int) -> None:
    config = validated(ClassifierSignal, {"kind": "classifier", "train": [rude]}, "signal")
    opposite = [Example(f"{'idiot' if i % 2 else 'thanks'} said number {i}", bool(i % 2), i) for i in range(n)]
    words = ["idiot said", "thanks said"]
    undecided = trained(config, frozenset(), audited=opposite)[0](words)
    np.testing.assert_allclose(undecided, 0.5, atol=0.1)
    assert np.abs(trained(config, frozenset())[0](words) - 0.5).min() > 0.2


def test_audits_may_lack_a_class(rude: dict[str, Any]) -> None:
    config = validated(ClassifierSignal, {"kind": "classifier", "train": [rude]}, "signal")
    clean = [example for example in audits(20) if example.positive]
    found = trained(config, frozenset(), audited=clean)[0](["cheers everybody", "you idiot"])
    assert found[0] > 0.6
    assert found[1] < 0.4

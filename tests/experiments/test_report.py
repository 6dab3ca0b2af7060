import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from curation_gym.evaluation.statistics import Estimate
from experiments.harness import figures
from experiments.harness.report import Report

TABLE = pd.DataFrame({"policy": ["a|b", "<script>"], "score": [0.123456, 2.0], "n": [3, 4]})


def small_figure() -> Figure:
    panels = {"task": {"random": Estimate(0, 0, 0), "umc": Estimate(0.6, 0.5, 0.7)}}
    return figures.interval_plot(panels, figures.colors(["random", "umc"]), "score", unit_scale=True)


def sample() -> Report:
    report = Report("A & B").add_heading("First").add_text("1 < 2").add_code("run --me")
    return report.add_table(TABLE, "A caption").add_figure(small_figure(), "scores", "What it shows")


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    page = sample().write(tmp_path / "out")
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    assert "<svg" in html
    body = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)  # names of XML vocabularies, never fetched
    assert not re.search(r'(src|href)="(?!#)', body), "nothing is loaded from elsewhere"
    assert "http" not in re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)


def test_text_is_text(tmp_path: Path) -> None:
    html = sample().write(tmp_path).read_text(encoding="utf-8")
    assert "<title>A &amp; B</title>" in html
    assert "<p>1 &lt; 2</p>" in html
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_figures_take_the_page_s_colour(tmp_path: Path) -> None:
    html = sample().write(tmp_path).read_text(encoding="utf-8")
    picture = html[html.index("<svg") : html.index("</svg>") + 6]
    ElementTree.fromstring(picture)
    assert figures.INK not in picture
    assert "currentColor" in picture
    assert "umc" in picture, "labels stay text"


def test_markdown_has_the_same_content_with_files_beside(tmp_path: Path) -> None:
    sample().write(tmp_path)
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# A & B\n\n## First\n\n1 < 2\n\n```\nrun --me\n```\n")
    assert "| policy | score | n |\n| :-- | --: | --: |\n| a\\|b | 0.123 | 3 |" in text
    [target] = re.findall(r"!\[What it shows\]\((.*)\)", text)
    assert (tmp_path / target).read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / target).with_suffix(".svg").read_text().count("<svg") == 1


def test_the_same_report_is_the_same_bytes(tmp_path: Path) -> None:
    one, two = (sample().write(tmp_path / name).read_bytes() for name in ("one", "two"))
    assert one == two


def test_figure_names_differ() -> None:
    with pytest.raises(ValueError, match="'scores' was used before"):
        sample().add_figure(small_figure(), "scores")


def test_policies_keep_their_colour() -> None:
    color = figures.colors(["umc", "random", "margin", "reference"])
    assert color["random"] not in figures.PALETTE
    assert color["reference"] == figures.INK
    assert len(set(color.values())) == 4


def test_curves_and_profiles_show_every_policy() -> None:
    steps = np.arange(5.0)
    band = (steps, steps, steps - 1, steps + 1)
    color = figures.colors(["a", "b"])
    curves = figures.curve_plot({"task": {"a": band, "b": band}}, color, "labels spent", "accuracy", targets=[2])
    profile = figures.profile_plot({"a": band, "b": band}, color)
    for figure in (curves, profile):
        [axis] = figure.axes
        assert [text.get_text() for text in axis.get_legend().get_texts()] == ["a", "b"]
    assert curves.axes[0].get_xlabel() == "labels spent"


def test_profile_band_holds_the_profile() -> None:
    scores = [np.linspace(0, 1, 20), np.linspace(0.5, 1, 10)]
    _, share, low, high = figures.profile_band(scores, np.linspace(0, 1, 11))
    assert (low <= share).all()
    assert (share <= high).all()
    assert share[0] == pytest.approx((19 / 20 + 1) / 2)


def test_improvement_shows_each_pair_once() -> None:
    pairs = {("a", "b"): Estimate(0.9, 0.8, 1.0), ("b", "a"): Estimate(0.1, 0.0, 0.2)}
    [axis] = figures.improvement_plot(pairs, ["a", "b"]).axes
    assert [text.get_text() for text in axis.texts] == ["0.90", "0.80–1.00", "0.10", "0.00–0.20"]

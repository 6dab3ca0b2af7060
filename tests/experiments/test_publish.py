"""Only what a committed command reproduces is published."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from experiments import publish


def command(*arguments: object) -> Result:
    app = typer.Typer(add_completion=False)
    app.command()(publish.main)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def study(path: Path, **changes: object) -> Path:
    (path / "figures").mkdir(parents=True)
    manifest = {"status": "complete", "dirty": False, "command": "python -m experiments.trial --seeds 5", **changes}
    (path / "manifest.json").write_text(json.dumps(manifest))
    (path / "report.md").write_text("# Trial\n\nText.\n\n![a](figures/a.png)\n")
    (path / "results.parquet").write_bytes(b"rows")
    for name in ("a.png", "a.svg"):
        (path / "figures" / name).write_bytes(b"picture")
    return path


def test_a_finished_study_becomes_a_page_that_begins_with_its_command(tmp_path: Path) -> None:
    for _ in range(2):
        result = command(study(tmp_path / f"run{_}"), "--name", "trial", "--to", tmp_path / "docs")
        assert result.exit_code == 0, result.output
    docs = tmp_path / "docs"
    page = (docs / "trial.md").read_text()
    assert page.startswith("# Trial\n\n```bash\npython -m experiments.trial --seeds 5\n```\n")
    assert "](trial/a.png)" in page
    assert sorted(str(p.relative_to(docs)) for p in docs.rglob("*") if p.is_file()) == [
        "trial.manifest.json",
        "trial.md",
        "trial.parquet",
        "trial/a.png",
    ]


@pytest.mark.parametrize("changes", [{"dirty": True}, {"dirty": None}, {"status": "interrupted"}])
def test_what_nobody_could_reproduce_is_refused(tmp_path: Path, changes: dict) -> None:
    result = command(study(tmp_path / "run", **changes), "--name", "trial", "--to", tmp_path / "docs")
    assert result.exit_code == 2
    assert "can't be published" in result.output
    assert not (tmp_path / "docs").exists()

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


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_a_name_is_that_of_a_page_and_never_of_a_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("published before")
    result = command(study(tmp_path / "run"), "--name", name, "--to", tmp_path / "docs")
    assert result.exit_code == 2
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["other.md"]


def test_commits_are_told_and_what_is_no_study_is_refused(tmp_path: Path) -> None:
    made = study(tmp_path / "run", commit="a" * 40, earlier_commits=["b" * 40])
    assert command(made, "--name", "trial", "--to", tmp_path / "docs").exit_code == 0
    assert "By commit aaaaaaa, resuming bbbbbbb." in (tmp_path / "docs" / "trial.md").read_text()
    for missing in ("report.md", "manifest.json"):
        (made / missing).unlink()
        result = command(made, "--name", "other", "--to", tmp_path / "docs")
        assert result.exit_code == 2
        assert missing in result.output

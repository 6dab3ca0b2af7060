"""A finished study becomes a page of docs/results, small enough to commit, with the command that reproduces it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curation_gym.console import say
from curation_gym.files import replace_file, write_text
from curation_gym.provenance import provenance
from experiments.harness.study import StudyError

RESULTS = Path("docs/results")


def require_whole(quick: bool, *narrowed: object) -> None:
    """Before a study that is to be published as it ends.

    Args:
        quick: whether it is made smaller.
        narrowed: options that would leave something of it out.

    Raises:
        StudyError: for a study in part, or a tree that no commit is.
    """
    if quick or any(narrowed):
        raise StudyError("--publish is for whole studies: leave out --quick, --strategy and --seeds")
    if provenance()["dirty"] is not False:
        raise StudyError("--publish needs a clean clone: commit or remove your changes first")


def publish(study: Path, name: str, to: Path = RESULTS) -> None:
    """Copy report, figures, results and manifest to NAME.md, NAME/, NAME.parquet and NAME.manifest.json.

    Raises:
        StudyError: for a study that isn't finished, or that no commit reproduces; for a name that is none.
    """
    if Path(name).name != name or name in ("", ".."):
        raise StudyError(f"--name is what a page in {to} is called, without a path; actual value: {name!r}")
    try:
        manifest = json.loads((study / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise StudyError(f"{study} is no finished study: {error}") from error
    if not (study / "report.md").exists():
        raise StudyError(f"{study} is no finished study: it has no report.md")
    if manifest["status"] != "complete" or manifest["dirty"] is not False:
        raise StudyError(
            f"{study} can't be published: status {manifest['status']!r}, uncommitted changes: {manifest['dirty']}; "
            "a published number comes from a committed command that ran to its end"
        )
    place_page(study, manifest["command"], commits_of(manifest), to, name)
    copies = {study / "results.parquet": to / f"{name}.parquet"}
    copies |= {study / "manifest.json": to / f"{name}.manifest.json"}
    for source, target in copies.items():
        _copy(source, target)
    say(f"published: {to / name}.md")


def commits_of(manifest: Mapping[str, Any]) -> str:
    """Of the code that made a study's results, and of what it resumed."""
    found = (manifest.get("commit"), *manifest.get("earlier_commits", []))
    return ", resuming ".join(commit[:7] for commit in found if commit)


def place_page(report: Path, command: str, commits: str, to: Path, name: str) -> None:
    """Put a report's page and its figures at NAME.md and NAME/, with the command and commits that made it on top."""
    title, _, rest = (report / "report.md").read_text(encoding="utf-8").partition("\n")
    made = f"```bash\n{command}\n```\n" + (f"\nBy commit {commits}.\n" if commits else "")
    told = f"{title}\n\n{made}{rest.replace('figures/', f'{name}/')}"
    write_text(to / f"{name}.md", told)
    shutil.rmtree(to / name, ignore_errors=True)
    for picture in (report / "figures").glob("*.png"):
        _copy(picture, to / name / picture.name)


def _copy(source: Path, target: Path) -> None:
    replace_file(target, lambda scratch: shutil.copyfile(source, scratch))

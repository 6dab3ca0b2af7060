"""What made a result: versions, commit, machine."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "curation-gym",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "scikit-activeml",
    "torch",
    "gymnasium",
    "stable-baselines3",
    "sb3-contrib",
    "datasets",
    "transformers",
    "tokenizers",
    "sentence-transformers",
    "lm_eval",
    "wandb",
)


def provenance() -> dict[str, Any]:
    """Versions that results depend on, the commit, whether the tree differs from it, and the machine.

    Published results are no part of what makes results: a study may publish while it goes on.
    """
    status = _git("status", "--porcelain", "--", ":/", ":(top,exclude)docs/results")
    return {
        "versions": {
            "python": platform.python_version(),
            **{package: _version(package) for package in PACKAGES},
        },
        "commit": _git("rev-parse", "HEAD"),
        "dirty": None if status is None else bool(status),
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _git(*arguments: str) -> str | None:
    """What git says of the project's tree; None without git or outside a clone."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

"""One evaluation from its options to its result file."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from rich.markup import escape
from rich.table import Table

from curation_gym.config import ConfigError, validated
from curation_gym.console import console, exits, say
from curation_gym.evaluation.language_model.data import read_text, subset
from curation_gym.evaluation.language_model.judges import EvaluationError, Judge, load_judge
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.statistics import Estimate
from curation_gym.files import write_text
from curation_gym.judge import Judge as SavedJudge
from curation_gym.judge import JudgeError
from curation_gym.pools.registry import FORMATS, DataReference, model_version, reference_version, scorer_version
from curation_gym.pools.storage import PoolError
from curation_gym.provenance import provenance
from curation_gym.signals.encoders import EncoderError
from curation_gym.signals.pretrained import ModelError
from curation_gym.signals.transformer_scorer import TransformerScorer

T = TypeVar("T")


class Run:
    """One evaluation: what it was asked, what it read, what came out.

    Args:
        metric: name of the command.
        options: its arguments.
    """

    def __init__(self, metric: str, options: Mapping[str, Any]) -> None:
        self.metric, self.options = metric, dict(options)
        self.result: Any = None
        self.rows: int | None = None
        self._versions: dict[str, str] = {}

    @cached_property
    def model(self) -> CausalModel:
        """The model that is evaluated."""
        return self.load("model")

    def load(self, option: str) -> CausalModel:
        """The model that an option names."""
        name = self.options[option]
        self._versions |= model_version(name)
        options = {name: self.options[name] for name in ("batch_size", "max_length")} | {"show_progress": True}
        return CausalModel.load(name, self.options["device"], self.options["dtype"], **options)

    def reference(self, given: str) -> DataReference:
        """The data set that ``--data`` names: a path where there is one or it ends like a file, else NAME:SUBSET."""
        path = Path(given).expanduser()
        name, _, subset = given.partition(":")
        place = {"path": given} if path.exists() or path.suffix in FORMATS else {"name": name, "subset": subset or None}
        reference = validated(DataReference, place, "--data")
        self._versions |= reference_version(reference)
        return reference

    def file(self, path: Path) -> Path:
        """A data file that an option names, beside the data set."""
        self._versions |= reference_version(validated(DataReference, {"path": str(path)}, str(path)))
        return path

    def template(self, default: str) -> str:
        """What ``--template`` says or ``--template-file`` holds; the text is recorded."""
        text, file = self.options["template"], self.options["template_file"]
        if text is not None and file is not None:
            raise EvaluationError("--template and --template-file are both given: leave one out")
        if file is not None:  # an editor ends its last line, behind which an answer would begin another
            self.options["template"] = text = read_text(file).rstrip("\n")
        return default if text is None else str(text)

    def judge(self, name: str, label: str | None) -> Judge:
        """The judge that an option names."""
        judge = load_judge(name, label, batch_size=self.options["batch_size"], device=self.options["device"])
        saved = isinstance(judge, TransformerScorer | SavedJudge)
        self._versions |= model_version(name) if saved else scorer_version(name)
        return judge

    def limited(self, rows: Sequence[T]) -> list[T]:
        """The rows within ``--limit``, which are counted."""
        kept = subset(rows, self.options["limit"], self.options["seed"])
        self.rows = (self.rows or 0) + len(kept)
        return kept

    def left(self, rows: list[T], why: str) -> list[T]:
        """The rows that were kept, which are counted instead; says how many weren't."""
        out = (self.rows or 0) - len(rows)
        if out:
            say(f"[yellow]warning:[/] {out} of {self.rows} rows are left out, {why}")
        self.rows = len(rows)
        return rows

    def write(self, seconds: float) -> Path:
        """The result file, complete or not at all."""
        model = re.sub(r"[^\w.-]+", "_", self.options["model"]).strip("_")
        path = self.options["out"] or Path("runs/evaluate") / f"{self.metric}-{model}.json"
        told = {
            "metric": self.metric,
            "result": plain(self.result),
            "rows": self.rows,
            "config": {name: plain(value) for name, value in self.options.items()},
            "content": self._versions,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_clock_seconds": round(seconds, 1),
            **provenance(),
        }
        write_text(path, json.dumps(told, indent=1, allow_nan=False))
        return path


@contextmanager
def recorded(metric: str, options: Mapping[str, Any]) -> Iterator[Run]:
    """A run whose result is written and shown at the end; what is wrong with the input is one plain message."""
    with exits(EvaluationError, JudgeError, ModelError, EncoderError, PoolError, ConfigError, OSError):
        run, start = Run(metric, options), time.monotonic()
        yield run
        path = run.write(time.monotonic() - start)
        table = Table("", metric, title=escape(run.options["model"]), title_justify="left", box=None)
        for name, value in flat(run.result):
            table.add_row(escape(name), escape(value))
        console.print(table)
        say(f"result: {escape(str(path))}")


def plain(value: Any) -> Any:
    """A result as JSON values; what isn't finite is null."""
    if hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, Mapping):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """A result as rows of a table."""
    parts = value._asdict() if hasattr(value, "_asdict") and not isinstance(value, Estimate) else value
    if isinstance(parts, Mapping):
        for key, part in parts.items():
            yield from flat(part, f"{name}/{key}" if name else str(key))
    else:
        yield name, f"{parts:.4g}" if isinstance(parts, float) else str(parts)

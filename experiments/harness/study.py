"""What every study does: units of work in parallel processes, resumable; tidy results and a manifest.

A study is a directory. ``parts/`` holds the rows of each finished unit, so an interrupt or a failure loses
nothing; ``results.parquet`` is all of them together; ``manifest.json`` says what made them.
"""

import hashlib
import json
import multiprocessing
import os
import shlex
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from curation_gym.console import console, say
from curation_gym.files import replace_file, write_text
from curation_gym.provenance import provenance

MASTER = 0
"""Seed of every study: what it draws, evaluates and trains on follows from it, see :mod:`curation_gym.seeding`."""
COLUMNS = ["study", "scenario", "env_id", "policy", "seed", "metric", "step", "value"]
POLICY_DIRECTORY = "policies"
"""Directory of a study that holds what was trained and tuned."""
SAMPLE_DIRECTORY = "samples"
"""Directory of a study that holds what judged models said, a file per run."""

Work = Callable[[Any, Path], pd.DataFrame]

DIED = "a worker process died (above is what it said, if anything; out of memory is the usual cause)"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class StudyError(RuntimeError):
    """A study that can't run as asked. The message says what to change."""


@dataclass(frozen=True)
class Failure:
    """A unit that failed, and why."""

    unit: str
    error: str
    traceback: str = ""


class Study:
    """A study's directory, from its first unit to its manifest.

    What an earlier run of the same configuration finished is kept, and told unless ``resume`` expects it.

    Args:
        name: of the study, for example ``"benchmark"``.
        config: everything that decides the results, JSON values only.
        label: what was studied, for the directory's name.
        seeds: evaluation seeds.
        step_unit: what ``step`` counts, per scenario.
        out: the directory; ``runs/NAME/LABEL-HASH`` by default, HASH being of the config.
        resume: finished units are expected; it is told when there are none.
        overwrite: remove what an earlier run left, of whatever configuration.

    Raises:
        StudyError: when the directory holds something else, or a study of another config and it isn't to be
            overwritten; for ``resume`` together with ``overwrite``.
    """

    def __init__(
        self,
        name: str,
        config: Mapping[str, Any],
        *,
        label: str,
        seeds: Sequence[int],
        step_unit: Mapping[str, str],
        out: Path | None = None,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        if resume and overwrite:
            raise StudyError("--resume keeps what --overwrite removes; give one of the two")
        digest = hashlib.blake2b(json.dumps(config, sort_keys=True).encode(), digest_size=4).hexdigest()
        self.name = name
        self.out = out if out is not None else Path("runs") / name / f"{label}-{digest}"
        self.failures: list[Failure] = []
        self._started = time.monotonic()
        arguments = [argument for argument in sys.argv[1:] if argument != "--resume"]  # a clone has nothing to resume
        self.manifest: dict[str, Any] = {
            "study": name,
            "status": "running",
            "command": shlex.join(["python", "-m", f"experiments.{name}", *arguments]),
            "config": dict(config),
            "config_hash": digest,
            "seeds": list(seeds),
            "step_unit": dict(step_unit),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_clock_seconds": 0.0,
            **provenance(),
        }
        earlier = self._earlier(overwrite)
        if earlier and not overwrite:
            self._go_on(earlier, expected=resume)
        else:
            if resume:
                others = ", ".join(sorted(str(path) for path in self.out.parent.glob(f"{label}-*"))) or "none"
                say(f"nothing to resume in {escape(str(self.out))}; of other options or policies: {escape(others)}")
            for directory in ("parts", "figures", POLICY_DIRECTORY, SAMPLE_DIRECTORY):
                shutil.rmtree(self.out / directory, ignore_errors=True)
            for file in ("results.parquet", "report.md", "report.html"):
                (self.out / file).unlink(missing_ok=True)
        (self.out / "parts").mkdir(parents=True, exist_ok=True)
        self._write_manifest()

    def _go_on(self, earlier: dict[str, Any], expected: bool) -> None:
        """Keep what an earlier run of the same configuration finished."""
        if not expected:
            where, status = escape(str(self.out)), earlier["status"]
            say(f"{where} holds this study ({status}): what it finished is kept; --overwrite computes it anew")
        self._started -= earlier["wall_clock_seconds"]
        self.manifest["wall_clock_seconds"] = earlier["wall_clock_seconds"]
        self.manifest["earlier_machines"] = earlier.get("earlier_machines", [])
        if (machine := earlier.get("machine")) != self.manifest.get("machine"):
            self.manifest["earlier_machines"] = [*self.manifest["earlier_machines"], machine]
        self.manifest["earlier_commits"] = earlier.get("earlier_commits", [])
        if (earlier["commit"], earlier["dirty"]) != (self.manifest["commit"], self.manifest["dirty"]):
            self.warn(f"resuming what commit {earlier['commit']} began; the units that are kept come from it")
            self.manifest["earlier_commits"] = [*self.manifest["earlier_commits"], earlier["commit"]]
        if earlier["dirty"] is not False:  # results that no commit reproduces don't become clean by a second run
            self.manifest["dirty"] = earlier["dirty"]

    def _earlier(self, any_config: bool) -> dict[str, Any] | None:
        """The manifest of the study that is in the directory."""
        if not self.out.exists() or not any(self.out.iterdir()):
            return None
        try:
            earlier: dict[str, Any] = json.loads((self.out / "manifest.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError) as error:
            raise StudyError(
                f"{self.out} exists and is not a study (it has no readable manifest.json); choose another --out"
            ) from error
        same = earlier.get("config_hash") == self.manifest["config_hash"] and earlier.get("study") == self.name
        if not same and not any_config:
            now = json.loads(json.dumps(self.manifest["config"]))
            changes = _changes({"study": earlier.get("study")} | earlier.get("config", {}), {"study": self.name} | now)
            raise StudyError(
                f"{self.out} holds a {earlier.get('study')} of another configuration ({'; '.join(changes[:3])}); "
                "choose another --out, repeat the options it was made with (see 'command' in its manifest.json), or "
                "remove it with --overwrite"
            )
        return earlier

    # ------------------------------------------------------------------- units
    def run(
        self,
        work: Work,
        units: Mapping[str, Any],
        *,
        jobs: int | None = None,
        title: str = "",
        fraction: Callable[[Any], float] = lambda _: 0.0,
    ) -> set[str]:
        """Do what isn't done yet, each unit in a process with one BLAS thread.

        Args:
            work: a function of a module; gets the unit's payload and the study's directory, returns tidy rows
                with all ``COLUMNS`` but ``study``.
            units: name → payload that pickles.
            jobs: processes; all cores by default.
            title: of the progress bar.
            fraction: how much of a payload's work is done, in [0, 1], while it runs; for units that take minutes.

        Returns:
            The names of the units that are done. The others are in ``failures``, with their exception.
        """
        todo = {unit: payload for unit, payload in units.items() if not self._part(unit).exists()}
        with _bar() as bar, _one_thread_each(), _stopped_as_by_ctrl_c():
            task = bar.add_task(title or self.name, total=len(units), completed=len(units) - len(todo))
            before = set(multiprocessing.active_children())
            pool = ProcessPoolExecutor(
                max(1, min(jobs or os.cpu_count() or 1, len(todo))),
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_leave_to_the_parent,
            )
            try:
                running = {
                    pool.submit(_do, work, payload, self.out, self._part(unit), self.name, unit): payload
                    for unit, payload in todo.items()
                }
                while running:
                    for future in wait(running, timeout=1, return_when=FIRST_COMPLETED).done:
                        del running[future]
                        if failure := future.result():
                            self.fail(failure)
                        self._write_manifest()  # so that a machine that is lost takes no time with it
                    bar.update(task, completed=len(units) - sum(1 - fraction(p) for p in running.values()))
            except BrokenProcessPool:
                open_units = ", ".join(unit for unit in todo if not self._part(unit).exists())
                self.fail(Failure(open_units, f"{DIED}; --resume tries these again"))
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in set(multiprocessing.active_children()) - before:
                    process.terminate()
                self.interrupt()
                raise
            pool.shutdown()
        return {unit for unit in units if self._part(unit).exists()}

    def interrupt(self) -> None:
        """Note and tell that somebody stopped the study before its end."""
        self._close("interrupted")
        say(f"interrupted; what is finished is in {escape(str(self.out))}; continue with --resume")

    def fail(self, failure: Failure) -> None:
        """Note and tell a failure; the study goes on, and ends with exit status 1."""
        self.failures.append(failure)
        say(f"[bold red]failed:[/] {escape(failure.unit)}: {escape(failure.error)}")

    def warn(self, message: str) -> None:
        """Tell something that doesn't stop the study."""
        say(f"[yellow]warning:[/] {escape(message)}")

    def results(self) -> pd.DataFrame:
        """The rows of every finished unit."""
        parts = [pd.read_parquet(path) for path in sorted((self.out / "parts").glob("*.parquet"))]
        return pd.concat([p for p in parts if len(p)], ignore_index=True) if any(map(len, parts)) else _empty()

    def finish(self, results: pd.DataFrame, **more: Any) -> int:
        """Write the results and the manifest, with ``more`` in it; return the exit status."""
        replace_file(self.out / "results.parquet", lambda path: results[COLUMNS].to_parquet(path, index=False))
        self.manifest |= more
        self._close("failed" if self.failures else "complete")
        return 1 if self.failures else 0

    # ----------------------------------------------------------------- helpers
    def _part(self, unit: str) -> Path:
        return self.out / "parts" / f"{quote(unit, safe=' ')}.parquet"

    def _close(self, status: str) -> None:
        self.manifest["status"] = status
        self.manifest["failures"] = [asdict(failure) for failure in self.failures]
        self._write_manifest()

    def _write_manifest(self) -> None:
        self.manifest["wall_clock_seconds"] = round(time.monotonic() - self._started, 1)
        write_text(self.out / "manifest.json", json.dumps(self.manifest, indent=1))


def _changes(earlier: Any, now: Any, where: str = "") -> list[str]:
    """What differs between two configurations, each by the path of its key."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        keys = dict.fromkeys([*earlier, *now])
        return [c for key in keys for c in _changes(earlier.get(key), now.get(key), f"{where}/{key}".lstrip("/"))]
    return [] if earlier == now else [f"{where} was {earlier!r}, is {now!r}"]


def tidy(scenario: str, env_id: str, policy: str, seed: int, metric: str, step: float, value: float) -> dict[str, Any]:
    """One row of results; ``step`` is what had been spent, in the scenario's ``step_unit``."""
    return dict(zip(COLUMNS[1:], (scenario, env_id, policy, seed, metric, step, value), strict=True))


# ------------------------------------------------------------ in the worker
def _do(work: Work, payload: Any, out: Path, part: Path, study: str, unit: str) -> Failure | None:
    """Exceptions return as text: not every exception survives pickling."""
    try:
        rows = work(payload, out)
        frame = rows.assign(study=study)[COLUMNS] if len(rows) else _empty()
        replace_file(part, lambda path: frame.to_parquet(path, index=False))
    except Exception as error:
        return Failure(unit, f"{type(error).__name__}: {error}", traceback.format_exc())
    return None


def _leave_to_the_parent() -> None:
    """Ctrl-C reaches the whole process group; the parent alone decides what it means, and none outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


@contextmanager
def _stopped_as_by_ctrl_c() -> Iterator[None]:
    """Schedulers and shells stop what runs in the background by SIGTERM; Ctrl-C is ignored there."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers inherit the environment; it must be set before they load a BLAS."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _empty() -> pd.DataFrame:
    kinds = ["str", "str", "str", "str", "int64", "str", "float64", "float64"]
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in zip(COLUMNS, kinds, strict=True)})

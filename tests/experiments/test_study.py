import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from threadpoolctl import threadpool_info

from experiments.harness.study import COLUMNS, Study, StudyError, tidy

ROWS = {"scenario": "s", "env_id": "e", "policy": "p", "metric": "m", "step": 0.0}


def square(number: int, out: Path) -> pd.DataFrame:
    """A unit: leaves a mark each time it really runs."""
    with (out / "ran.txt").open("a") as file:
        file.write(f"{number}\n")
    if number == 3:
        raise RuntimeError("three is not allowed")
    if number == 4:
        os._exit(1)
    return pd.DataFrame([tidy(**ROWS, seed=number, value=number**2)])


def threads(number: int, out: Path) -> pd.DataFrame:
    counts = [library["num_threads"] for library in threadpool_info()]
    return pd.DataFrame([tidy(**ROWS, seed=number, value=max(counts))])


def slow(seconds: float, out: Path) -> pd.DataFrame:
    time.sleep(seconds)
    return pd.DataFrame([tidy(**ROWS, seed=int(seconds), value=seconds)])


def make(out: Path, *, resume: bool = False, overwrite: bool = False, **config: object) -> Study:
    size = {"seeds": [1, 2], "step_unit": {"s": "labels"}}
    return Study("trial", {"a": 1} | config, label="s", **size, out=out, resume=resume, overwrite=overwrite)


def manifest(out: Path) -> dict[str, object]:
    return json.loads((out / "manifest.json").read_text())


def test_finished_units_are_kept_and_failures_told(tmp_path: Path) -> None:
    study = make(tmp_path / "out")
    done = study.run(square, {f"unit {i}": i for i in range(4)}, jobs=2)
    assert done == {"unit 0", "unit 1", "unit 2"}
    status = study.finish(study.results())
    assert status == 1
    results = pd.read_parquet(study.out / "results.parquet")
    assert list(results.columns) == COLUMNS
    assert sorted(results["value"]) == [0, 1, 4]
    assert set(results["study"]) == {"trial"}
    told = manifest(study.out)
    assert told["status"] == "failed"
    [failure] = told["failures"]
    assert failure["unit"] == "unit 3"
    assert failure["error"] == "RuntimeError: three is not allowed"
    assert "in square" in failure["traceback"]
    assert told["seeds"] == [1, 2]
    assert told["step_unit"] == {"s": "labels"}
    assert told["config"] == {"a": 1}
    assert {"versions", "commit", "dirty", "machine", "command", "wall_clock_seconds"} <= set(told)


def test_resume_runs_only_what_is_missing(tmp_path: Path) -> None:
    first = make(tmp_path / "out")
    first.run(square, {"a/b:c": 1, "three": 3}, jobs=1)
    second = make(tmp_path / "out", resume=True)
    assert second.run(square, {"a/b:c": 1, "three": 2}, jobs=1) == {"a/b:c", "three"}
    assert second.finish(second.results()) == 0
    assert (second.out / "ran.txt").read_text().split() == ["1", "3", "2"]
    assert sorted(second.results()["value"]) == [1, 4]


@pytest.mark.parametrize("complete", [True, False])
def test_finished_work_is_kept_and_told_unless_it_is_to_be_overwritten(
    tmp_path: Path, complete: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make(tmp_path / "out")
    study.run(square, {"one": 1}, jobs=1)
    if complete:
        assert study.finish(study.results()) == 0
    (study.out / "policies").mkdir()
    (study.out / "policies" / "weights").write_text("hours of training")
    capsys.readouterr()

    again = make(tmp_path / "out")
    told = f"holds this study ({'complete' if complete else 'running'}): what it finished is kept; --overwrite"
    assert told in capsys.readouterr().out
    again.run(square, {"one": 1}, jobs=1)
    assert (again.out / "ran.txt").read_text().split() == ["1"]
    assert again.finish(again.results()) == 0
    assert (study.out / "policies" / "weights").exists()

    make(tmp_path / "out", resume=True)
    assert "holds this study" not in capsys.readouterr().out, "what was asked for isn't announced"

    anew = make(tmp_path / "out", overwrite=True, a=2)
    assert not (study.out / "policies").exists()
    anew.run(square, {"one": 1}, jobs=1)
    assert (anew.out / "ran.txt").read_text().split() == ["1", "1"]
    assert manifest(anew.out)["config"] == {"a": 2}


def test_the_manifest_names_every_commit_that_finished_units_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for commit in ("a", "b", "b", "c"):
        monkeypatch.setattr(
            "experiments.harness.study.provenance", lambda commit=commit: {"commit": commit, "dirty": False}
        )
        made = make(tmp_path / "out", resume=commit != "a")
    assert (manifest(made.out)["commit"], manifest(made.out)["earlier_commits"]) == ("c", ["a", "b"])


def test_the_command_in_the_manifest_is_one_for_a_fresh_clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["trial.py", "--seeds", "3", "--resume"])
    assert manifest(make(tmp_path / "out", resume=True).out)["command"] == "python -m experiments.trial --seeds 3"


def test_resume_and_overwrite_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="--resume keeps what --overwrite removes"):
        make(tmp_path / "out", resume=True, overwrite=True)
    assert not (tmp_path / "out").exists()


def test_resume_without_an_earlier_run_names_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    one = Study("trial", {"a": 1}, label="task", seeds=[], step_unit={})
    capsys.readouterr()
    Study("trial", {"a": 2}, label="task", seeds=[], step_unit={}, resume=True)
    told = capsys.readouterr().out
    assert "nothing to resume in runs/trial/task-" in told
    assert f"of other options or policies: {one.out}" in told


def test_results_that_no_commit_reproduces_stay_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by = {"versions": {}, "commit": "abc", "machine": {}}
    for dirty in (True, False):
        monkeypatch.setattr("experiments.harness.study.provenance", lambda dirty=dirty: {**made_by, "dirty": dirty})
        make(tmp_path / "out")
    assert manifest(tmp_path / "out")["dirty"] is True
    make(tmp_path / "out", overwrite=True)
    assert manifest(tmp_path / "out")["dirty"] is False


def test_a_worker_that_dies_is_a_failure_and_not_a_hang(tmp_path: Path) -> None:
    study = make(tmp_path / "out")
    study.run(square, {"dies": 4}, jobs=1)
    [failure] = study.failures
    assert "worker process died" in failure.error


def test_workers_have_one_blas_thread_and_the_parent_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    study = make(tmp_path / "out")
    study.run(threads, {"one": 1}, jobs=1)
    assert study.results()["value"].tolist() == [1]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_the_directory_is_named_by_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, same, other = (Study("trial", {"a": a}, label="task", seeds=[], step_unit={}).out for a in (1, 1, 2))
    assert one == same != other
    assert one.parent == Path("runs/trial")
    assert one.name.startswith("task-")


@pytest.mark.parametrize("resume", [True, False])
def test_another_configuration_is_refused(tmp_path: Path, resume: bool) -> None:
    make(tmp_path / "out", deep={"x": "same", "y": "one"})
    with pytest.raises(StudyError, match=r"another configuration \(deep/y was 'one', is 'two'\); choose another --out"):
        make(tmp_path / "out", resume=resume, deep={"x": "same", "y": "two"})


def test_a_directory_that_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StudyError, match="is not a study"):
        make(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@contextmanager
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A study in a process of its own, as a background shell starts it, one unit of which is done."""
    script = tmp_path / "running.py"
    script.write_text(
        "import signal\n"
        "from pathlib import Path\n"
        "from tests.experiments.test_study import make, slow\n"
        "if __name__ == '__main__':\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell has it ignored
        f"    study = make(Path({str(tmp_path / 'out')!r}))\n"
        "    study.run(slow, {'short': 0, 'long': 600}, jobs=1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    part = tmp_path / "out" / "parts" / "short.parquet"
    for _ in range(600):
        if part.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    else:
        process.kill()
    with process:
        assert part.exists(), "the study did not finish its first unit"
        yield process


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_is_done(tmp_path: Path, stop: signal.Signals) -> None:
    with running(tmp_path) as process:
        process.send_signal(stop)
        output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "continue with --resume" in output
    assert manifest(tmp_path / "out")["status"] == "interrupted"
    resumed = make(tmp_path / "out", resume=True)
    assert len(resumed.results()) == 1


def test_workers_end_with_a_study_that_is_killed(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        process.kill()
        process.communicate(timeout=60)  # the workers hold its output open for as long as they live


def test_overwriting_leaves_nothing_that_could_be_taken_for_new(tmp_path: Path) -> None:
    study = make(tmp_path / "out")
    study.finish(study.results())
    for name in ("report.md", "report.html"):
        (study.out / name).write_text("of the earlier configuration")
    make(tmp_path / "out", overwrite=True, a=2)
    assert sorted(path.name for path in study.out.iterdir()) == ["manifest.json", "parts"]

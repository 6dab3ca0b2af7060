"""The entrance: what is cached, when it is found again, and what is refused."""

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from curation_gym.config import ConfigError
from curation_gym.pools import Pool, PoolError, build, build_pool

SYNTHETIC = {"builder": "synthetic", "n_samples": 50, "n_clusters": 4, "dimension": 3}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CURATION_GYM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pools"


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the builders that ran."""
    ran: list[str] = []

    def watched(name: str, builder: build.Builder) -> build.Builder:
        def run(config):
            ran.append(name)
            return builder.build(config)

        return builder._replace(build=run)

    monkeypatch.setattr(build, "BUILDERS", {name: watched(name, b) for name, b in build.BUILDERS.items()})
    return ran


def test_a_pool_or_a_path_is_taken_as_it_is(cache: Path, builds: list[str], tmp_path: Path) -> None:
    pool = Pool(np.ones((3, 2)))
    assert build_pool(pool) is pool
    pool.save(tmp_path / "mine")
    assert build_pool(tmp_path / "mine").fingerprint == pool.fingerprint
    assert build_pool(str(tmp_path / "mine")).fingerprint == pool.fingerprint
    assert not builds


def test_what_was_built_is_found_again(cache: Path, builds: list[str]) -> None:
    first = build_pool(SYNTHETIC)
    again = build_pool(SYNTHETIC | {"seed": 0})  # the default, written out
    assert builds == ["synthetic"]
    assert first.fingerprint == again.fingerprint
    assert first.path == again.path
    other = build_pool(SYNTHETIC | {"seed": 1})
    assert builds == ["synthetic"] * 2
    assert other.path != first.path


def test_another_version_of_a_dependency_builds_anew(
    cache: Path, builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_pool(SYNTHETIC)
    builder = build.BUILDERS["synthetic"]._replace(depends_on=lambda config: {"numpy": "another"})
    monkeypatch.setitem(build.BUILDERS, "synthetic", builder)
    build_pool(SYNTHETIC)
    assert builds == ["synthetic"] * 2


def test_a_changed_local_file_builds_anew(cache: Path, builds: list[str], tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    rows = [f"{i},{i % 3}" for i in range(60)]
    file.write_text("\n".join(["x,y", *rows]))
    source = {"builder": "dataset", "path": str(file), "features": ["x", "y"]}
    assert len(build_pool(source)) == 60
    file.write_text("\n".join(["x,y", *rows, "7,7"]))
    assert len(build_pool(source)) == 61
    assert builds == ["dataset"] * 2


def test_a_damaged_cache_entry_is_named_not_rebuilt(cache: Path, builds: list[str]) -> None:
    path = build_pool(SYNTHETIC).path
    assert path is not None
    file = path / "signals" / "utility.npy"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(PoolError, match=r"utility\.npy was truncated"):
        build_pool(SYNTHETIC)
    assert builds == ["synthetic"]


def build_and_report(file: Path) -> None:
    pool = build_pool(SYNTHETIC)
    file.write_text(f"{pool.fingerprint} {pool.embeddings.sum()}")


def test_processes_that_build_one_entry_at_once_all_end_with_a_good_pool(cache: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    files = [tmp_path / f"{i}.txt" for i in range(4)]
    processes = [context.Process(target=build_and_report, args=(file,)) for file in files]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len({file.read_text() for file in files}) == 1
    assert len(list(cache.iterdir())) == 1


def test_unknown_builders_and_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"must be one of dataset, digits, docstrings, synthetic.*'mnist'"):
        build_pool({"builder": "mnist"})
    with pytest.raises(ConfigError, match="sead"):
        build_pool({"builder": "digits", "sead": 1})
    with pytest.raises(ConfigError, match="n_samples"):
        build_pool({"builder": "synthetic", "n_samples": 0})

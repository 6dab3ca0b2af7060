"""The entrance: what is cached, when it is found again, and what is refused."""

import multiprocessing
import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from curation_gym.config import Config, ConfigError
from curation_gym.envs.selection import SelectionConfig
from curation_gym.pools import Pool, PoolError, build, build_pool
from curation_gym.pools.synthetic import SyntheticConfig

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


def test_a_builders_configuration_is_taken_like_its_mapping(cache: Path, builds: list[str]) -> None:
    config = SyntheticConfig(n_samples=50, n_clusters=4, dimension=3)
    assert build_pool(config) is build_pool(SYNTHETIC)
    assert builds == ["synthetic"]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Paths of the pools that were read in full."""
    read: list[Path] = []
    load = Pool.load

    def watched(path: str | Path, *, verify: bool = True) -> Pool:
        if verify:
            read.append(Path(path))
        return load(path, verify=verify)

    monkeypatch.setattr(Pool, "load", watched)
    return read


def test_a_process_verifies_a_saved_pool_once_and_shares_it(cache: Path, loads: list[Path], tmp_path: Path) -> None:
    first = build_pool(SYNTHETIC)
    assert len(loads) == 1
    assert all(build_pool(SYNTHETIC | {"seed": 0}) is first for _ in range(3))
    assert build_pool(first.path) is build_pool(str(first.path)) is first
    arguments = {"pool": SYNTHETIC, "n_items": 4, "horizon": 4, "budget": 8}
    envs = [gym.make("CurationGym/CoverageSelection-v0", **arguments) for _ in range(3)]
    assert all(env.unwrapped.core.pool is first for env in envs)
    assert len(loads) == 1


def test_a_pool_that_was_replaced_is_read_again(cache: Path, loads: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "mine"
    Pool(np.ones((3, 2))).save(path)
    assert len(build_pool(path)) == 3
    other = Pool(np.zeros((3, 2)))
    other.save(path)
    again = build_pool(path)
    assert again.fingerprint == other.fingerprint
    assert build_pool(path) is again
    assert len(loads) == 2


def test_an_altered_file_is_found_although_the_pool_was_verified_before(cache: Path) -> None:
    path = build_pool(SYNTHETIC).path
    assert path is not None
    file = path / "signals" / "utility.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, (0, 0))  # the clock of some file systems is too coarse to see a change within milliseconds
    with pytest.raises(PoolError, match=r"utility\.npy was altered"):
        build_pool(SYNTHETIC)


def test_a_configuration_holds_the_very_pool_that_it_was_given() -> None:
    pool = Pool(np.ones((3, 2)))
    config = SelectionConfig(pool=pool)
    assert config.pool is pool
    assert config.model_copy(deep=True).pool is pool


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


class Foreign(Config):
    """No builder's configuration."""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"builder": "mnist"}, r"pool.builder must be one of dataset, digits, docstrings, synthetic.*'mnist'"),
        ({"builder": ["a"]}, r"pool.builder must be one of .*actual value: \['a'\]"),
        ({}, "pool.builder must be one of .*actual value: None"),
        (Foreign(), r"pool.builder must be one of .*actual value: Foreign\(\)"),
        (5, "'pool' = 5: must be a Pool, the path of a saved one, or options with builder: dataset, digits"),
        (None, "'pool' = None: must be a Pool"),
        ({"builder": "digits", "sead": 1}, r"unknown key 'sead' in pool \(builder digits\); allowed keys: .*seed"),
        ({"builder": "synthetic", "n_samples": 0}, "'pool.n_samples' = 0: .*greater than or equal to 1"),
        ({"builder": "synthetic", "n_samples": "9"}, "'pool.n_samples' = '9': Input should be a valid integer"),
        ({"builder": "synthetic", "spread": float("nan")}, "'pool.spread' = nan: Input should be a finite number"),
    ],
)
def test_what_names_no_pool_is_refused(source: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_pool(source)

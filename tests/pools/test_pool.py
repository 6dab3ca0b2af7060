"""The pool: what it refuses, that it can't be changed, and that disk gives back what was written."""

import copy
import json
import multiprocessing
import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from curation_gym.pools import Pool, PoolError, Provenance, storage


def make_pool(n: int = 12, seed: int = 0, **changes) -> Pool:
    rng = np.random.default_rng(seed)
    columns = {
        "embeddings": rng.standard_normal((n, 5)).astype(np.float32),
        "signals": {"safety": rng.random(n), "utility": rng.random(n)},
        "domain": rng.integers(2, size=n),
        "domain_names": ("prose", "code"),
        "hidden": {"label": rng.integers(3, size=n), "toxic": rng.random(n) < 0.5},
        "split": rng.integers(3, size=n),
        "length": rng.integers(1, 100, n),
        "arrival": rng.random(n),
        "data": pa.table({"text": [f"sample {i}" for i in range(n)]}),
        "class_names": ("a", "b", "c"),
        "provenance": Provenance("test", "none", {"seed": seed}, {"numpy": "2"}),
        "attachments": {"README.md": "# Pool\r\né", "cards.json": "{}"},
    }
    columns |= changes
    return Pool(columns.pop("embeddings"), columns.pop("signals"), **columns)


def assert_equal(left: Pool, right: Pool) -> None:
    np.testing.assert_array_equal(left.embeddings, right.embeddings)
    for name in ("signals", "hidden"):
        mine, theirs = getattr(left, name), getattr(right, name)
        assert sorted(mine) == sorted(theirs)
        for key in mine:
            np.testing.assert_array_equal(mine[key], theirs[key])
            assert mine[key].dtype == theirs[key].dtype
    for name in ("domain", "split", "length", "arrival"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
    for name in ("domain_names", "class_names", "provenance", "fingerprint", "embedding_bound", "data", "attachments"):
        assert getattr(left, name) == getattr(right, name), name


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    embeddings=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=8),
        elements=st.floats(-(2**100), 2**100, width=32),
    ),
    draw=st.data(),
)
def test_what_was_saved_is_loaded(tmp_path: Path, embeddings, draw) -> None:
    n = len(embeddings)
    signals = hnp.arrays(np.float32, n, elements=st.floats(0, 1, width=32))
    pool = Pool(
        embeddings,
        {"safety": draw.draw(signals)},
        hidden={"quality": draw.draw(hnp.arrays(np.float64, n, elements=st.floats(-1e9, 1e9)))},
        split=draw.draw(hnp.arrays(np.uint8, n, elements=st.integers(0, 2))),
        length=draw.draw(hnp.arrays(np.float32, n, elements=st.floats(0, 1e6, width=32))),
        arrival=draw.draw(st.none() | signals),
        data=pa.table({"text": draw.draw(st.lists(st.text(), min_size=n, max_size=n))}),
    )
    saved = pool.save(tmp_path / "pool")
    assert_equal(pool, saved)
    assert_equal(pool, Pool.load(tmp_path / "pool"))


def test_fingerprint_follows_every_part_of_the_content() -> None:
    base = make_pool()
    text = pa.table({"text": ["other"] * 12})
    changed = [
        make_pool(embeddings=base.embeddings + 1),
        make_pool(signals={"safety": base.signals["safety"]}),
        make_pool(domain_names=("prose", "verse")),
        make_pool(class_names=("a", "b", "d")),
        make_pool(hidden={"label": 2 - base.hidden["label"], "toxic": base.hidden["toxic"]}),
        make_pool(split=np.zeros(12, int)),
        make_pool(length=None),
        make_pool(arrival=None),
        make_pool(arrival=np.zeros(12)),
        make_pool(data=text),
    ]
    assert make_pool().fingerprint == base.fingerprint
    assert len({pool.fingerprint for pool in [base, *changed]}) == len(changed) + 1


def test_fingerprint_ignores_how_the_raw_data_is_chunked() -> None:
    table = pa.table({"text": [f"sample {i}" for i in range(12)]})
    chunked = pa.concat_tables([table.slice(0, 5), table.slice(5)])
    assert make_pool(data=table).fingerprint == make_pool(data=chunked).fingerprint


# ---------------------------------------------------------------- refusing content
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embeddings": np.ones((12, 5, 1))}, r"shape \(n, d\)"),
        ({"embeddings": np.ones((0, 5))}, r"shape \(n, d\)"),
        ({"embeddings": np.full((12, 5), 1e300)}, r"'embeddings', row 0: inf is not finite"),
        ({"embeddings": np.full((12, 5), "x")}, "'embeddings' must hold numbers"),
        ({"signals": {"safety": np.full(12, 1.5)}}, r"'signals/safety', row 0: 1.5 is outside \[0, 1\]"),
        ({"signals": {"safety": np.full(12, np.nan)}}, "'signals/safety', row 0: nan is not finite"),
        ({"signals": {"safety": np.zeros(11)}}, r"'signals/safety' must have shape \(12,\)"),
        ({"signals": {"../x": np.zeros(12)}}, "must be an identifier"),
        ({"domain": np.full(12, 2)}, "'domain', row 0: 2 is no code"),
        ({"domain": np.full(12, 2**32)}, "'domain', row 0: 4294967296 is no code"),
        ({"domain": np.zeros(12)}, "'domain' must hold numbers, actual dtype: float64"),
        ({"domain_names": ("same", "same")}, "must all be different"),
        ({"split": np.full(12, 3)}, "'split', row 0: 3 is no code"),
        ({"hidden": {"label": np.full(12, 3)}}, "'hidden/label', row 0: 3 is no code of the 3 class names"),
        ({"hidden": {"label": np.array(["a"] * 12)}}, "'hidden/label' must hold numbers"),
        ({"length": np.full(12, -1)}, "'length', row 0: -1.0 is negative"),
        ({"arrival": np.full(12, 1.5)}, r"'arrival', row 0: 1.5 is outside \[0, 1\]"),
        ({"arrival": np.zeros(11)}, r"'arrival' must have shape \(12,\)"),
        ({"data": pa.table({"text": ["x"]})}, "data must have 12 rows, actual rows: 1"),
    ],
)
def test_bad_content_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(PoolError, match=message):
        make_pool(**changes)


def test_the_row_of_a_nan_embedding_is_named() -> None:
    embeddings = np.zeros((12, 5), np.float32)
    embeddings[7, 3] = np.nan
    with pytest.raises(PoolError, match=r"'embeddings', row 7: nan is not finite \(1 such values\)"):
        make_pool(embeddings=embeddings)


# -------------------------------------------------------------------- immutability
@pytest.mark.parametrize("on_disk", [False, True])
def test_no_column_can_be_written(tmp_path: Path, on_disk: bool) -> None:
    pool = make_pool().save(tmp_path / "pool") if on_disk else make_pool()
    columns = [pool.embeddings, pool.domain, pool.split, pool.length, pool.arrival]
    for column in [*columns, *pool.signals.values(), *pool.hidden.values()]:
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 0
    with pytest.raises(TypeError):
        pool.signals["safety"] = np.zeros(12)  # type: ignore[index]


def test_what_the_caller_kept_changes_nothing() -> None:
    base = np.arange(120, dtype=np.float32).reshape(12, 10)
    safety = np.zeros(12, np.float32)
    locked = base[:, :5]
    locked.flags.writeable = False  # read-only itself, but its base is not
    for embeddings in (base, base[:, ::2], locked):
        pool = make_pool(embeddings=embeddings, signals={"safety": safety})
        before = pool.embeddings.copy()
        base[:] += 1
        safety[:] = 1
        np.testing.assert_array_equal(pool.embeddings, before)
        assert pool.signals["safety"].max() == 0
        safety[:] = 0


def test_embeddings_are_contiguous_float32_and_mapped_from_disk(tmp_path: Path) -> None:
    pool = make_pool(embeddings=np.asfortranarray(np.ones((12, 5)))).save(tmp_path / "pool")
    assert pool.embeddings.dtype == np.float32
    assert pool.embeddings.flags.c_contiguous
    assert isinstance(pool.embeddings.base, np.memmap)
    again = make_pool(embeddings=pool.embeddings)
    assert np.shares_memory(again.embeddings, pool.embeddings), "a read-only map needs no copy"


# ---------------------------------------------------------------------------- disk
def saved_files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


def test_every_file_truncated_altered_or_missing_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "pool"
    make_pool().save(path)
    files = saved_files(path)
    assert {"pool.json", "data.arrow", "embeddings.npy", "safety.npy"} <= {file.name for file in files}
    for file in files:
        content = file.read_bytes()
        damaged = [content[:-1], content[: len(content) // 2], b""]
        for position in (0, len(content) // 2, len(content) - 1):
            damaged.append(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        for bad in damaged:
            file.write_bytes(bad)
            with pytest.raises(PoolError, match=file.name):
                Pool.load(path)
        file.unlink()
        with pytest.raises(PoolError, match=file.name):
            Pool.load(path)
        file.write_bytes(content)
    Pool.load(path)


def test_a_meaningful_change_of_the_manifest_is_refused(tmp_path: Path) -> None:
    make_pool().save(tmp_path / "pool")
    file = tmp_path / "pool" / "pool.json"
    manifest = json.loads(file.read_text())
    for key, value in [("domain_names", ["code", "prose"]), ("embedding_bound", 9.0), ("fingerprint", "0")]:
        file.write_text(json.dumps(manifest | {key: value}))
        with pytest.raises(PoolError, match=r"pool\.json was altered"):
            Pool.load(tmp_path / "pool")
    file.write_text(json.dumps(manifest | {"format_version": 0}))
    with pytest.raises(PoolError, match="format version 0"):
        Pool.load(tmp_path / "pool")


def test_a_truncated_file_is_refused_without_verification_too(tmp_path: Path) -> None:
    make_pool().save(tmp_path / "pool")
    file = tmp_path / "pool" / "embeddings.npy"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(PoolError, match=r"embeddings\.npy was truncated"):
        Pool.load(tmp_path / "pool", verify=False)


def test_only_a_pool_is_replaced(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="no pool at"):
        Pool.load(tmp_path / "absent")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(PoolError, match="is not a pool"):
        make_pool().save(tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


def test_saving_again_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    first = make_pool(seed=1).save(tmp_path / "pool")
    embeddings = first.embeddings.copy()
    second = make_pool(seed=2).save(tmp_path / "pool")
    assert second.fingerprint == make_pool(seed=2).fingerprint
    np.testing.assert_array_equal(first.embeddings, embeddings)  # an open map outlives its name
    kept = make_pool(seed=3).save(tmp_path / "pool", keep_existing=True)
    assert kept.fingerprint == second.fingerprint
    assert [entry.name for entry in tmp_path.iterdir()] == ["pool"]


def save_and_report(path: Path, seed: int) -> None:
    fingerprints = {make_pool(seed=seed).save(path, keep_existing=True).fingerprint for _ in range(15)}
    (path.parent / f"{seed}.txt").write_text(" ".join(fingerprints))


def test_processes_that_save_to_one_path_at_once_all_get_the_same_pool(tmp_path: Path) -> None:
    path = tmp_path / "pools" / "pool"
    path.parent.mkdir()
    seeds = (1, 2, 3)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=save_and_report, args=(path, seed)) for seed in seeds]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)
    assert [process.exitcode for process in processes] == [0] * len(seeds)
    kept = Pool.load(path).fingerprint
    assert kept in {make_pool(seed=seed).fingerprint for seed in seeds}
    assert [(path.parent / f"{seed}.txt").read_text() for seed in seeds] == [kept] * 3
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["1.txt", "2.txt", "3.txt", "pool"]


def test_pickle_by_path_or_by_value(tmp_path: Path) -> None:
    pool = make_pool()
    assert_equal(pool, pickle.loads(pickle.dumps(pool)))
    saved = pool.save(tmp_path / "pool")
    content = pickle.dumps(saved)
    assert len(content) < 1000
    assert_equal(saved, pickle.loads(content))
    assert copy.deepcopy(saved) is saved
    make_pool(seed=5).save(tmp_path / "pool")
    with pytest.raises(PoolError, match="was replaced"):
        pickle.loads(content)


def test_ids_of_a_split() -> None:
    pool = make_pool()
    ids = [pool.ids(split) for split in ("train", "validation", "test")]
    assert sorted(np.concatenate(ids)) == list(range(12))
    with pytest.raises(PoolError, match="split must be one of"):
        pool.ids("dev")


def test_attachments_stand_beside_the_columns_and_do_not_count(tmp_path: Path) -> None:
    pool = make_pool()
    assert make_pool(attachments=None).fingerprint == pool.fingerprint
    saved = pool.save(tmp_path / "pool")
    assert (tmp_path / "pool" / "README.md").read_bytes() == "# Pool\r\né".encode()
    with pytest.raises(TypeError):
        saved.attachments["notes.md"] = ""
    (tmp_path / "pool" / "cards.json").write_text("[]")
    with pytest.raises(PoolError, match=r"cards\.json was altered"):
        Pool.load(tmp_path / "pool")
    for name in ("pool.json", "notes.txt", "../notes.md", "a/b.md"):
        with pytest.raises(PoolError, match=f"an attachment's name must be that of a .json or .md file.*{name}"):
            make_pool(attachments={name: ""})


def test_a_file_is_digested_again_only_when_it_was_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    digest = storage.file_digest
    monkeypatch.setattr(storage, "file_digest", lambda path: read.append(path) or digest(path))
    file = tmp_path / "texts.csv"
    file.write_text("text\none")
    first = storage.known_digest(file)
    assert storage.known_digest(file) == first == digest(file)
    before = file.stat().st_mtime_ns
    file.write_text("text\ntwo")
    os.utime(file, ns=(before, before + 1))
    assert storage.known_digest(file) == digest(file) != first
    assert len(read) == 2

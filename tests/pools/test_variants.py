"""Variants: several changes in order, by seed, encoded as the pool that they start from, and on record."""

import io
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from curation_gym.config import ConfigError
from curation_gym.pools import Pool, PoolError, build, build_pool
from curation_gym.pools.dataset import encoder_of

LONG_TAIL = {"kind": "long_tail", "factor": 6}
DRIFT = {"kind": "drift"}


def write(path: Path, prefix: str, n: int) -> str:
    rng = np.random.default_rng(len(prefix))
    rows = [
        {"text": f"{prefix} {' '.join(rng.choice(list('abcdefghij'), 5))} {i}", "label": i % 3, "place": f"p{i % 4}"}
        for i in range(n)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setenv("CURATION_GYM_CACHE", str(tmp_path / "cache"))
    return {
        "builder": "dataset",
        "path": write(tmp_path / "prose.csv", "prose", 400),
        "label": "label",
        "domain": "place",
        "encoder": {"kind": "tfidf-svd", "dimension": 8},
    }


@pytest.fixture
def all_changes(tmp_path: Path) -> list[dict[str, Any]]:
    return [
        LONG_TAIL,
        {"kind": "near_duplicates", "share": 0.5},
        {"kind": "junk", "source": {"path": write(tmp_path / "other.csv", "other", 60), "limit": 40}},
        DRIFT,
        {"kind": "new_domain", "domains": ["p1"]},
    ]


def variant(pool: Any, *changes: dict[str, Any], seed: int = 0) -> Pool:
    return build_pool({"builder": "variant", "pool": pool, "changes": list(changes), "seed": seed})


def test_changes_are_applied_in_order_by_seed_and_recorded(
    base: dict[str, Any], all_changes: list[dict[str, Any]]
) -> None:
    pool, changed = build_pool(base), variant(base, *all_changes)
    n_tailed = len(variant(base, LONG_TAIL).ids("train"))
    assert n_tailed < len(pool.ids("train"))
    assert len(changed.ids("train")) == n_tailed + -(-n_tailed // 2) + 40
    assert changed.domain_names == (*pool.domain_names, "other")
    assert changed.arrival is not None
    assert changed.arrival[changed.domain == 1].max() > 0.5
    for split in ("validation", "test"):
        np.testing.assert_array_equal(changed.embeddings[changed.ids(split)], pool.embeddings[pool.ids(split)])
        np.testing.assert_array_equal(
            changed.hidden["label"][changed.ids(split)], pool.hidden["label"][pool.ids(split)]
        )
    told = changed.provenance
    assert told.source == "prose/long_tail/near_duplicates/junk/drift/new_domain"
    assert told.encoder == pool.provenance.encoder
    assert told.config["pool"] == pool.provenance.config
    assert [change["kind"] for change in told.config["changes"]] == [change["kind"] for change in all_changes]
    assert told.versions["pool"] == pool.fingerprint
    assert any(name.endswith("other.csv") for name in told.versions)
    assert variant(base, *all_changes, seed=1).fingerprint != changed.fingerprint
    junk_first = variant(base, all_changes[2], {"kind": "near_duplicates", "share": 1, "copies": 1})
    assert (junk_first.hidden["label"][junk_first.ids("train")] < 0).sum() == 80, "copies of junk are junk"


def test_any_form_of_a_pool_gives_the_same_variant(base: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    pool = build_pool(base)
    forms = [base, pool, pool.path, str(pool.path)]
    variants = [variant(form, LONG_TAIL, DRIFT) for form in forms]
    assert len({made.fingerprint for made in variants}) == 1
    chained = variant({"builder": "variant", "pool": base, "changes": [LONG_TAIL]}, DRIFT)
    assert len(chained) == len(variants[0])
    assert chained.provenance.source == "prose/long_tail/drift"


def test_the_pool_is_encoded_once_for_all_its_variants(base: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def watched(name: str, builder: build.Builder) -> build.Builder:
        def run(config: Any) -> Pool:
            ran.append(name)
            return builder.build(config)

        return builder._replace(build=run)

    monkeypatch.setattr(build, "BUILDERS", {name: watched(name, b) for name, b in build.BUILDERS.items()})
    for change in (LONG_TAIL, DRIFT, LONG_TAIL, {"kind": "near_duplicates", "share": 0.1}):
        variant(base, change)
    assert ran.count("dataset") == 1
    assert ran.count("variant") == 3


def test_a_variant_follows_the_pool_and_the_junk_that_it_is_made_of(
    base: dict[str, Any], all_changes: list[dict[str, Any]], tmp_path: Path
) -> None:
    first = variant(base, all_changes[2])
    write(tmp_path / "other.csv", "others", 60)
    second = variant(base, all_changes[2])
    write(tmp_path / "prose.csv", "verses", 400)
    third = variant(base, all_changes[2])
    assert len({pool.fingerprint for pool in (first, second, third)}) == 3


def test_an_annotation_task_on_a_variant(base: dict[str, Any], all_changes: list[dict[str, Any]]) -> None:
    pool = variant(base, *all_changes)
    arguments = {"pool": pool, "subsets": "domains", "criteria": ["margin"], "budget": 80, "n_initial": 10}
    env = gym.make("CurationGym/AnnotationAllocation-v0", **arguments)
    env.reset(seed=0)
    junk = pool.domain_names.index("other")
    *_, info = env.step(junk)
    assert info["flags"] == 10


# --------------------------------------------------------------- more of the same
def test_the_encoder_of_a_pool_encodes_as_it_did(base: dict[str, Any], tmp_path: Path) -> None:
    pool = build_pool(base)
    kind, encoder = encoder_of(pool)
    assert kind == "text"
    np.testing.assert_allclose(encoder(pool.data["text"].to_pylist()), pool.embeddings, atol=1e-6)

    rng = np.random.default_rng(0)
    rows = []
    for image in rng.integers(0, 256, (60, 4, 4, 3), dtype=np.uint8):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        rows.append({"picture": {"bytes": buffer.getvalue(), "path": None}, "x": rng.normal(), "y": rng.normal()})
    pd.DataFrame(rows).to_parquet(tmp_path / "rows.parquet")
    source = {"builder": "dataset", "path": str(tmp_path / "rows.parquet")}
    images = build_pool(source | {"image": "picture", "encoder": {"kind": "pixels-pca", "dimension": 5}})
    kind, encoder = encoder_of(images)
    assert kind == "image"
    decoded = [Image.open(io.BytesIO(value["bytes"])) for value in images.data["image"].to_pylist()]
    np.testing.assert_allclose(encoder(decoded), images.embeddings, atol=1e-4)
    table = build_pool(source | {"features": ["x", "y"]})
    kind, encoder = encoder_of(table)
    assert kind == "features"
    np.testing.assert_allclose(encoder([[row["x"], row["y"]] for row in rows]), table.embeddings, atol=1e-6)

    assert len(variant(images, {"kind": "near_duplicates", "share": 0.5})) > len(images)
    both = build_pool(
        {
            "builder": "dataset",
            "sources": [{"path": base["path"]}, {"path": str(tmp_path / "rows.parquet"), "image": "picture"}],
            "encoder": base["encoder"],
        }
    )
    more = variant(both, {"kind": "near_duplicates", "share": 0.5})
    assert len(more) > len(both)
    with pytest.raises(PoolError, match="one kind of sample can take more, actual kinds: text, image"):
        encoder_of(both)


def test_an_encoder_that_gives_other_embeddings_is_refused(base: dict[str, Any]) -> None:
    pool = build_pool(base)
    turned = Pool(-pool.embeddings, split=pool.split, data=pool.data, provenance=pool.provenance)
    with pytest.raises(PoolError, match=r"tfidf-svd\(8\) now gives other embeddings .* build that pool again"):
        variant(turned, {"kind": "near_duplicates", "share": 0.1})
    tailed = variant(base, LONG_TAIL)
    with pytest.raises(PoolError, match="only a pool of the builder 'dataset'"):
        variant(tailed, {"kind": "near_duplicates", "share": 0.1})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], "a variant needs at least one change"),
        (
            [{"kind": "long"}],
            "changes.0.kind must be one of long_tail, near_duplicates, out_of_scope, junk, drift, new_domain",
        ),
        ([{"kind": "long_tail", "factor": 0.5}], "'pool.changes.0.factor' = 0.5: .*greater than or equal to 1"),
        ([{"kind": "long_tail", "factr": 2}], r"unknown key 'factr' in pool.changes.0 \(kind long_tail\)"),
        ([{"kind": "near_duplicates", "share": 3, "copies": 2}], "share must be at most copies = 2, actual value: 3.0"),
        ([{"kind": "junk", "source": {"name": "a", "label": "b"}}], "junk has no label and no domain of its own"),
        ([{"kind": "drift", "strength": 2}], "'pool.changes.0.strength' = 2: .*less than or equal to 1"),
        ([{"kind": "new_domain", "domains": []}], "'pool.changes.0.domains' = \\[\\]"),
    ],
)
def test_changes_that_make_no_sense(changes: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        variant({"builder": "digits"}, *changes)


def test_the_pool_of_a_variant_is_checked_where_it_stands() -> None:
    with pytest.raises(ConfigError, match=r"pool.pool.builder must be one of dataset, .*actual value: 'digts'"):
        variant({"builder": "digts"}, LONG_TAIL)
    with pytest.raises(ConfigError, match=r"'pool\.pool' = 5: must be a Pool, the path of a saved one, or options"):
        variant(5, LONG_TAIL)

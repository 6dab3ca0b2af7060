"""Pools of local files, of named data sets and of several at once, with signals."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from curation_gym.config import ConfigError
from curation_gym.pools import Pool, PoolError, build_pool
from curation_gym.pools.registry import DATA_VARIABLE
from curation_gym.signals.classifiers import ClassifierError, auc_within

ENCODER = {"kind": "tfidf-svd", "dimension": 8}
TOPICS = {
    "cooking": "the oven roasts onion garlic bread and soup with butter",
    "sailing": "the boat sails with wind mast rope anchor and harbour tide",
    "physics": "the electron field has charge energy mass and quantum spin",
}


def sentences(n: int, seed: int = 0) -> pd.DataFrame:
    """Distinct sentences about three topics."""
    rng = np.random.default_rng(seed)
    names = sorted(TOPICS)
    rows = []
    for i in range(n):
        topic = names[i % 3]
        words = rng.choice(TOPICS[topic].split(), 8)
        rows.append(
            {"text": f"{' '.join(words)} {seed}-{i}.", "label": topic, "place": f"place{i % 2}", "stars": i % 5}
        )
    return pd.DataFrame(rows)


def write(frame: pd.DataFrame, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    return path


def build(**config: Any) -> Pool:
    return build_pool({"builder": "dataset", "encoder": ENCODER, **config})


def texts(pool: Pool) -> list[str]:
    return pool.data["text"].to_pylist()


# ------------------------------------------------------------------- local files
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_every_format_gives_the_same_pool(tmp_path: Path, ending: str) -> None:
    frame = sentences(120)
    path = write(frame, tmp_path / f"data.{ending}")
    pool = build(path=str(path), label="label", domain="place")
    assert texts(pool) == frame["text"].tolist()
    assert pool.class_names == ("cooking", "physics", "sailing")
    assert [pool.class_names[code] for code in pool.hidden["label"]] == frame["label"].tolist()
    assert [pool.domain_names[code] for code in pool.domain] == frame["place"].tolist()
    np.testing.assert_array_equal(pool.length, frame["text"].str.len())
    reference = build(path=str(write(frame, tmp_path / "reference" / "r.csv")), label="label", domain="place")
    assert pool.fingerprint == reference.fingerprint


def test_splits_that_are_missing_are_made_by_content_not_by_position(tmp_path: Path) -> None:
    frame = sentences(600)
    pool = build(path=str(write(frame, tmp_path / "a.csv")))
    np.testing.assert_allclose(np.bincount(pool.split) / 600, [0.7, 0.1, 0.2], atol=0.05)
    shuffled = build(path=str(write(frame.sample(frac=1, random_state=0), tmp_path / "b.csv")))
    assert dict(zip(texts(pool), pool.split, strict=True)) == dict(zip(texts(shuffled), shuffled.split, strict=True))


def test_splits_that_are_given_are_kept_and_a_copy_stays_in_test(tmp_path: Path) -> None:
    frame = sentences(200)
    write(pd.concat([frame[:150], frame[190:195], frame[:3]]), tmp_path / "d" / "train-00000-of-00002.csv")
    write(frame[150:160], tmp_path / "d" / "train-00001-of-00002.csv")
    write(frame[160:180], tmp_path / "d" / "val.csv")
    write(frame[180:], tmp_path / "d" / "test.csv")
    write(frame[:5].assign(text="left out"), tmp_path / "d" / "notes.csv")
    pool = build(path=str(tmp_path / "d"))
    by_split = {name: {texts(pool)[i] for i in pool.ids(name)} for name in ("train", "validation", "test")}
    assert by_split["train"] == set(frame["text"][:160])
    assert by_split["validation"] == set(frame["text"][160:180])
    assert by_split["test"] == set(frame["text"][180:])
    assert len(pool) == 200


def test_splits_can_be_mapped_or_spread(tmp_path: Path) -> None:
    frame = sentences(300)
    write(frame[:150], tmp_path / "d" / "north.csv")
    write(frame[150:], tmp_path / "d" / "south.csv")
    with pytest.raises(PoolError, match=r"no split to train on; it has north, south.*splits: \{any:"):
        build(path=str(tmp_path / "d"))
    pool = build(path=str(tmp_path / "d"), splits={"test": ["south"], "any": ["north"]})
    north = np.isin(texts(pool), frame["text"][:150])
    assert set(pool.split[north]) == {0, 1, 2}
    assert set(pool.split[~north]) == {2}
    with pytest.raises(PoolError, match="has no split 'east'; it has north, south"):
        build(path=str(tmp_path / "d"), splits={"any": ["east"]})


def test_limit_is_chosen_by_content(tmp_path: Path) -> None:
    frame = sentences(300)
    few = build(path=str(write(frame, tmp_path / "a.csv")), limit=60)
    same = build(path=str(write(frame[::-1], tmp_path / "b.csv")), limit=60)
    assert len(few) == 60
    assert set(texts(few)) == set(texts(same)) != set(frame["text"][:60])


def test_tables_of_numbers_are_standardised_and_may_repeat(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.integers(0, 3, 400), "b": rng.normal(5, 100, 400), "y": rng.integers(0, 2, 400)})
    frame["b"] = frame["b"].round(-2)
    pool = build_pool(
        {"builder": "dataset", "path": str(write(frame, tmp_path / "t.csv")), "features": ["a", "b"], "label": "y"}
    )
    assert len(pool) == 400
    assert pool.class_names == ("0", "1")
    train = pool.embeddings[pool.ids("train")]
    np.testing.assert_allclose([train.mean(0), train.std(0)], [[0, 0], [1, 1]], atol=1e-5)
    sides = pd.DataFrame(pool.embeddings).assign(split=pool.split).groupby([0, 1])["split"].nunique()
    assert sides.max() == 1, "equal rows are on one side"


def pictures(n: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Random images of 4 × 5 pixels and their table."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (n, 5, 4, 3), dtype=np.uint8)
    rows = []
    for image in pixels:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        rows.append({"picture": {"bytes": buffer.getvalue(), "path": None}, "kind": f"k{image[0, 0, 0] % 2}"})
    return pixels, pd.DataFrame(rows)


def test_images(tmp_path: Path) -> None:
    pixels, frame = pictures(60)
    path = write(frame, tmp_path / "images.parquet")
    source = {"builder": "dataset", "path": str(path), "image": "picture", "label": "kind"}
    pool = build_pool(source)
    np.testing.assert_allclose(pool.embeddings, pixels.reshape(60, -1) / np.float32(255), atol=1e-6)
    assert Image.open(io.BytesIO(pool.data["image"][0].as_py()["bytes"])).size == (4, 5)
    reduced = build_pool(source | {"encoder": {"kind": "pixels-pca", "dimension": 7, "size": 4}})
    assert reduced.embeddings.shape == (60, 7)


# ----------------------------------------------------------------------- signals
def test_signals_from_columns_rules_and_the_pools_own_labels(tmp_path: Path) -> None:
    frame = sentences(300)
    pool = build(
        path=str(write(frame, tmp_path / "a.csv")),
        label="label",
        signals={
            "stars": {"kind": "column", "column": "stars", "high": 4},
            "few_stars": {"kind": "column", "column": "stars", "low": 4, "high": 0},
            "utility": {"kind": "text_quality"},
            "alignment": {"kind": "cross_fitted", "positive": ["cooking"]},
        },
        n_clusters=3,
    )
    np.testing.assert_allclose(pool.signals["stars"], frame["stars"] / 4)
    np.testing.assert_allclose(pool.signals["few_stars"], 1 - frame["stars"] / 4)
    assert 0.1 < pool.signals["utility"].mean() < 1
    assert roc_auc_score(frame["label"] == "cooking", pool.signals["alignment"]) > 0.95
    assert set(pool.hidden) == {"label", "cluster", "cluster_weight", "quality", "group"}
    np.testing.assert_allclose(pool.hidden["quality"], pool.signals["utility"])


def test_a_signal_from_a_classifier_that_was_trained_elsewhere(tmp_path: Path) -> None:
    pool_file = write(sentences(200, seed=1), tmp_path / "pool.csv")
    labelled = write(sentences(150, seed=2), tmp_path / "labelled.csv")
    votes = write(
        sentences(150, seed=3).assign(
            good=lambda d: (d["label"] == "sailing") * 3 + 1, bad=lambda d: (d["label"] != "sailing") * 3 + 1
        ),
        tmp_path / "votes.jsonl",
    )
    pool = build(
        path=str(pool_file),
        label="label",
        signals={
            "safety": {
                "kind": "classifier",
                "train": [
                    {"path": str(labelled), "label": "label", "positive": ["sailing"]},
                    {"path": str(votes), "votes": ["good", "bad"]},
                ],
            }
        },
    )
    sailing = pool.hidden["label"] == pool.class_names.index("sailing")
    assert roc_auc_score(sailing, pool.signals["safety"]) > 0.95


def test_a_classifier_never_trains_on_texts_of_the_pool(tmp_path: Path) -> None:
    path = write(sentences(200), tmp_path / "pool.csv")
    train = {"path": str(path), "label": "label", "positive": ["sailing"]}
    with pytest.raises(ClassifierError, match="at least 10 texts of each class, actual numbers: 0 positive"):
        build(path=str(path), signals={"safety": {"kind": "classifier", "train": [train]}})


def test_a_signal_from_preferences(tmp_path: Path) -> None:
    good, bad = sentences(300, seed=1), sentences(300, seed=2)
    good, bad = good[good["label"] == "sailing"], bad[bad["label"] == "physics"]
    prompt = "Human: what do you like?\n\nAssistant: "
    pairs = pd.DataFrame({"yes": prompt + good["text"].to_numpy(), "no": prompt + bad["text"].to_numpy()[: len(good)]})
    pool = build(
        path=str(write(sentences(200), tmp_path / "pool.csv")),
        label="label",
        signals={
            "alignment": {
                "kind": "classifier",
                "train": [{"path": str(write(pairs, tmp_path / "pairs.jsonl")), "pair": ["yes", "no"]}],
            }
        },
    )
    label, alignment = pool.hidden["label"], pool.signals["alignment"]
    means = {name: alignment[label == code].mean() for code, name in enumerate(pool.class_names)}
    assert means["physics"] < means["cooking"] < means["sailing"]


# --------------------------------------------------------------- several sources
def test_several_sources_are_domains_and_share_classes(tmp_path: Path) -> None:
    first, second = sentences(90, seed=1), sentences(90, seed=2)
    second["place"] = "harbour"
    sources = [
        {"path": str(write(first, tmp_path / "north.csv")), "label": "label", "relabel": {"physics": "other"}},
        {"path": str(write(second, tmp_path / "south.csv")), "label": "label", "domain": "place"},
    ]
    pool = build(sources=sources)
    assert pool.domain_names == ("north", "south/harbour")
    assert pool.class_names == ("cooking", "other", "physics", "sailing")
    np.testing.assert_array_equal(np.bincount(pool.domain), [90, 90])
    copies = build(sources=[*sources, {"path": str(write(first, tmp_path / "copy.csv")), "label": "label"}])
    assert len(copies) == 180, "a text is in a pool once"


def test_several_kinds_of_sample_stand_side_by_side(tmp_path: Path) -> None:
    pixels, images = pictures(60)
    frame = sentences(90)
    table = pd.DataFrame({"x": np.arange(50.0), "y": np.arange(50.0) ** 2, "label": ["even", "odd"] * 25})
    text = {"path": str(write(frame, tmp_path / "prose.csv")), "label": "label"}
    image = {"path": str(write(images, tmp_path / "pictures.parquet")), "image": "picture", "label": "kind"}
    numbers = {"path": str(write(table, tmp_path / "numbers.csv")), "features": ["x", "y"], "label": "label"}
    pool = build(sources=[image, text, numbers], encoder=[{"kind": "pixels"}, ENCODER])
    assert pool.domain_names == ("numbers", "pictures", "prose")
    assert pool.class_names == ("cooking", "even", "k0", "k1", "odd", "physics", "sailing")
    assert pool.provenance.encoder == "tfidf-svd(8)+pixels+standardize"
    assert pool.embeddings.shape == (200, 8 + 60 + 2)
    blocks = {"prose": slice(0, 8), "pictures": slice(8, 68), "numbers": slice(68, 70)}
    train = pool.split == 0
    for code, name in enumerate(pool.domain_names):
        own = pool.embeddings[pool.domain == code]
        assert not np.delete(own, np.r_[blocks[name]], axis=1).any()
        norms = np.linalg.norm(pool.embeddings[train & (pool.domain == code)], axis=1)
        assert norms.mean() == pytest.approx(1, abs=1e-5)
    shown = pool.embeddings[pool.domain == 1, 8:68]
    scale = 255 * shown[0, 0] / pixels[0, 0, 0, 0]
    np.testing.assert_allclose(shown, pixels.reshape(60, -1) * (scale / np.float32(255)), rtol=1e-4)
    alone = build(**text)
    ours = pool.domain == 2
    assert pool.data["text"].filter(ours).to_pylist() == texts(alone)
    np.testing.assert_allclose(pool.embeddings[ours, :8], alone.embeddings, atol=1e-5)
    for column, code in {"text": 2, "image": 1, "x": 0, "y": 0}.items():
        held = ~pool.data[column].is_null().to_numpy()
        np.testing.assert_array_equal(held, pool.domain == code)
    assert pool.length is None
    with pytest.raises(PoolError, match="'utility': kind 'text_quality' reads texts, and not every sample is one"):
        build(sources=[image, text], signals={"utility": {"kind": "text_quality"}})


def test_what_is_out_of_scope_has_no_class(tmp_path: Path) -> None:
    frame = sentences(200)
    for name, part in {"train": frame[:150], "validation": frame[150:170], "test": frame[170:]}.items():
        write(part[part["label"] != "physics"], tmp_path / "d" / f"{name}.csv")
    write(frame[frame["label"] == "physics"], tmp_path / "d" / "other.csv")
    pool = build(
        path=str(tmp_path / "d"),
        label="label",
        relabel={"cooking": "kitchen"},
        out_of_scope=["physics"],
        splits={"train": ["train"], "validation": ["validation"], "test": ["test", "other"]},
        signals={"alignment": {"kind": "cross_fitted", "positive": ["kitchen"]}},
    )
    assert pool.class_names == ("kitchen", "sailing")
    about = dict(zip(frame["text"], frame["label"], strict=True))
    codes = {"cooking": 0, "sailing": 1, "physics": -1}
    assert pool.hidden["label"].tolist() == [codes[about[text]] for text in texts(pool)]
    assert set(pool.split[pool.hidden["label"] < 0]) == {2}
    with pytest.raises(PoolError, match=r"positive \['physics'\] are no classes; there are \['cooking', 'sailing'\]"):
        build(
            path=str(tmp_path / "d"),
            label="label",
            out_of_scope=["physics"],
            splits={"any": ["train", "other"]},
            signals={"alignment": {"kind": "cross_fitted", "positive": ["physics"]}},
        )


# ------------------------------------------------------------------------ errors
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "txt"}, "'data' has no column 'txt'; its columns are text, label, place, stars"),
        ({"label": "label", "relabel": {"cooing": "x"}}, "relabel names 'cooing'.*values are cooking, physics"),
        ({"label": "label", "out_of_scope": ["cooing"]}, "out_of_scope names 'cooing'.*values are cooking, physics"),
        ({"label": "labels"}, "has no column 'labels'; its columns are"),
        ({"domain": "site"}, "has no column 'site'"),
        ({"text": "stars"}, "row 0: column 'stars' must hold texts, actual type: int"),
        ({"signals": {"safety": {"kind": "column", "column": "stars"}}}, "row 2: 2.0 is missing or not between"),
        ({"signals": {"safety": {"kind": "cross_fitted", "positive": ["cooking"]}}}, "needs the sources' label"),
        (
            {"label": "label", "signals": {"safety": {"kind": "cross_fitted", "positive": ["x"]}}},
            r"positive \['x'\] are no classes; there are \['cooking', 'physics', 'sailing'\]",
        ),
        ({"n_clusters": 500, "signals": {"utility": {"kind": "text_quality"}}}, "n_clusters = 500 needs as many"),
    ],
)
def test_bad_mappings_name_what_there_is(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(PoolError, match=message):
        build(path=str(write(sentences(120), tmp_path / "data.csv")), **changes)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("text", "  ", "row 7: column 'text' is empty; fix the row or set drop_empty: true"),
        ("text", None, "row 7: column 'text' is empty"),
        ("label", None, "row 7: column 'label' holds no label"),
        ("place", None, "row 7: column 'place' holds no label"),
    ],
)
def test_missing_values_are_named_by_row(tmp_path: Path, column: str, value: Any, message: str) -> None:
    frame = sentences(120)
    frame.loc[7, column] = value
    path = write(frame, tmp_path / "data.jsonl")
    with pytest.raises(PoolError, match=message):
        build(path=str(path), label="label", domain="place")
    if column == "text":
        assert len(build(path=str(path), drop_empty=True)) == 119


def test_numbers_that_are_missing_are_named_by_row_and_texts_never_quoted(tmp_path: Path) -> None:
    frame = sentences(120)
    path = write(frame.assign(stars=frame["stars"].where(frame.index != 5)), tmp_path / "data.csv")
    with pytest.raises(PoolError, match="row 5: column 'stars' must hold finite numbers"):
        build_pool({"builder": "dataset", "path": str(path), "features": ["stars"]})
    with pytest.raises(PoolError, match="row 0: column 'text' must hold finite numbers, found: str"):
        build_pool({"builder": "dataset", "path": str(path), "features": ["text"]})
    with pytest.raises(PoolError, match="row 5: nan is missing or not between"):
        build(path=str(path), signals={"stars": {"kind": "column", "column": "stars", "high": 5}})


def test_too_few_rows(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match=r"no row falls into split '\w+': 2 rows are too few"):
        build(path=str(write(sentences(2), tmp_path / "data.csv")))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "exactly one of name and path is needed"),
        ({"name": "a", "path": "b"}, "exactly one of name and path is needed"),
        ({"name": "../a"}, "name must not be a path"),
        ({"name": "a", "relabel": {"b": "c"}}, "relabel and out_of_scope need label"),
        ({"name": "a", "out_of_scope": ["b"]}, "relabel and out_of_scope need label"),
        ({"name": "a", "label": "l", "relabel": {"b": "c"}, "out_of_scope": ["b"]}, "value of both: 'b'"),
        ({"name": "a", "text": "x", "image": "y"}, "only one of text, image and features"),
        ({"name": "a", "lable": "x"}, "unknown key 'lable'; allowed keys: builder, encoder, .*label, .*or sources"),
        ({"name": "a", "encoder": {"kind": "pixels"}}, "encoder 'pixels' reads image, not text"),
        ({"name": "a", "n_clusters": 4}, "n_clusters needs the signal 'utility'"),
        ({"sources": []}, "sources must name at least one"),
        ({"sources": [{"name": "a"}, {"name": "a"}]}, "every source needs a name of its own"),
        ({"sources": [{"name": "a"}, {"name": "b", "label": "y"}]}, "either every source names a label or none"),
        (
            {"sources": [{"name": "a"}, {"name": "b", "image": "i"}], "encoder": {"kind": "standardize"}},
            "encoder 'standardize' reads features, not image or text",
        ),
        (
            {"name": "a", "encoder": [{"kind": "tfidf-svd"}, {"kind": "sentence-transformer", "model": "m"}]},
            "at most one encoder can read each kind",
        ),
        ({"name": "a", "signals": {"s": {"kind": "column", "column": "c", "low": 1}}}, "low and high must differ"),
        ({"name": "a", "signals": {"s": {"kind": "classifier", "train": []}}}, "train must name at least one"),
        (
            {"name": "a", "signals": {"s": {"kind": "classifier", "train": [{"name": "b"}]}}},
            "exactly one of label, votes, every, answers and pair",
        ),
        (
            {"name": "a", "signals": {"s": {"kind": "classifier", "train": [{"name": "b", "label": "l"}]}}},
            "label and positive go together",
        ),
    ],
)
def test_configurations_that_make_no_sense(config: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_pool({"builder": "dataset", **config})


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="no such file or directory"):
        build(path=str(tmp_path / "absent.csv"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(PoolError, match="holds no data files"):
        build(path=str(tmp_path / "empty"))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(PoolError, match=r"must end in one of .parquet, .jsonl"):
        build(path=str(tmp_path / "notes.txt"))
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(PoolError, match=r"bad\.parquet can't be read as parquet"):
        build(path=str(tmp_path / "bad.parquet"))
    write(sentences(5), tmp_path / "mixed" / "train.csv")
    write(sentences(5), tmp_path / "mixed" / "test.jsonl")
    with pytest.raises(PoolError, match=r"mixes formats \(.csv, .jsonl\)"):
        build(path=str(tmp_path / "mixed"))
    (tmp_path / "bad_images.jsonl").write_text(json.dumps({"image": "text"}))
    with pytest.raises(PoolError, match="image"):
        build_pool({"builder": "dataset", "path": str(tmp_path / "bad_images.jsonl"), "image": "image"})


# --------------------------------------------------------------- named data sets
def test_a_name_is_looked_up_in_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(sentences(100), tmp_path / "mine" / "train.parquet")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert len(build(name="mine")) == 100


def test_prose_and_code_of_installed_packages_is_a_data_set_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    pool = build(name="docstrings", label="kind", domain="package", limit=300)
    assert pool.class_names == ("code", "example", "explanation", "reference")
    assert {"numpy", "torch"} <= set(pool.domain_names)
    assert len(pool) == 300


def test_a_directory_of_that_name_goes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(sentences(60), tmp_path / "docstrings" / "train.parquet")
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path))
    assert build(name="docstrings", label="label").class_names == tuple(sorted(TOPICS))


@pytest.mark.parametrize("directory", [None, "absent"])
def test_an_unknown_name_says_what_was_tried_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, directory: str | None
) -> None:
    import datasets

    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    if directory is None:
        monkeypatch.delenv(DATA_VARIABLE, raising=False)
        tried = f"{DATA_VARIABLE} is not set"
    else:
        monkeypatch.setenv(DATA_VARIABLE, directory)
        tried = f"{DATA_VARIABLE} has no directory of that name"
    with pytest.raises(PoolError, match="'folder' is a local file or directory: give it as path"):
        build(name="folder")
    with pytest.raises(PoolError, match=f"no data set 'nobody/nothing': .{tried}.*Set {DATA_VARIABLE} to a"):
        build(name="nobody/nothing")


def test_intents_with_ten_domains_and_those_out_of_scope(data_directory: Path) -> None:
    mapping = {"name": "clinc150", "label": "label", "domain": "domain"}
    pool = build(**mapping)
    assert len(pool.class_names) == 150
    assert len(pool.domain_names) == 10
    assert [len(pool.ids(split)) for split in ("train", "validation", "test")] == [14995, 3000, 4500]
    splits = {"train": ["train"], "validation": ["val"], "test": ["test", "oos"]}
    with_oos = build(**mapping, splits=splits, out_of_scope=["oos"])
    assert with_oos.class_names == pool.class_names
    assert len(with_oos) == len(pool) + 1200
    out_of_scope = with_oos.hidden["label"] < 0
    assert {with_oos.domain_names[code] for code in with_oos.domain[out_of_scope]} == {"oos"}
    assert np.bincount(with_oos.split[out_of_scope]).tolist() == [0, 0, 1200]


def test_real_images_in_four_styles(data_directory: Path) -> None:
    pool = build_pool(
        {
            "builder": "dataset",
            "name": "pacs32",
            "image": "image",
            "label": "label",
            "domain": "domain",
            "limit": 400,
            "encoder": {"kind": "pixels-pca", "dimension": 16},
        }
    )
    assert pool.domain_names == ("art_painting", "cartoon", "photo", "sketch")
    assert pool.embeddings.shape == (400, 16)


def test_safety_of_posts_from_classifiers_trained_on_other_sources(data_directory: Path) -> None:
    """Weak and biased, as such signals are, but better than chance within each domain."""
    pool = build(
        sources=[
            {
                "name": "davidson_tweets",
                "label": "label",
                "relabel": {"hate": "toxic", "offensive": "toxic", "neither": "clean"},
                "limit": 2000,
            },
            {"name": "forum_hate", "label": "label", "relabel": {"hate": "toxic", "noHate": "clean"}, "limit": 2000},
        ],
        signals={
            "safety": {
                "kind": "classifier",
                "train": [
                    {"name": "toxigen_annotated", "label": "label", "positive": ["neutral"], "limit": 3000},
                    {"name": "civil_comments", "votes": ["nontoxic_votes", "toxic_votes"], "limit": 3000},
                ],
            },
        },
    )
    clean = pool.hidden["label"] == pool.class_names.index("clean")
    safety = auc_within(pool.signals["safety"], clean, pool.domain, pool.domain_names)
    assert all(0.6 < auc < 0.8 for auc in safety.values()), safety

"""The judge: what it learns, how it is measured, and that it never guesses."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from curation_gym.config import validated
from curation_gym.evaluation.language_model.judges import EvaluationError, judged, load_judge
from curation_gym.judge import Judge, JudgeError
from curation_gym.judge_training import JudgeConfig, Labelled, measured, read_material, train_judge
from curation_gym.pools.documents import DocumentSet, document_keys
from curation_gym.pools.partition import PartitionError

NICE, RUDE = ["calm", "gentle", "kind", "warm", "polite"], ["harsh", "cruel", "cold", "nasty", "mean"]
FILLER = ["bridge", "harbour", "garden", "engine", "violin", "teacher", "planet", "river", "window", "letter"]


def rows(n: int, toxic_share: float, seed: int, *, random: bool = False) -> pd.DataFrame:
    """Texts that differ; those that are toxic say a rude word, but for ``random`` ones."""
    rng = np.random.default_rng(seed)
    toxic = rng.random(n) < toxic_share
    told = rng.random(n) < 0.5 if random else toxic
    texts = [
        f"{' '.join(rng.choice(FILLER, 6))} {rng.choice(RUDE if bad else NICE)} {rng.integers(10**6)}" for bad in told
    ]
    return pd.DataFrame({"text": texts, "label": np.where(toxic, "bad", "fine")})


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> JudgeConfig:
    path = tmp_path_factory.mktemp("judge")

    def source(name: str, frame: pd.DataFrame) -> dict:
        frame.to_parquet(path / f"{name}.parquet")
        return {"path": str(path / f"{name}.parquet"), "label": "label", "positive": ["bad"]}

    mostly_toxic, mostly_clean = rows(300, 0.8, 0), rows(300, 0.15, 1)
    mostly_toxic["text"] += " posted"  # a word that tells the source, in which most is toxic
    near = mostly_toxic.head(5).assign(text=lambda d: d["text"].str.replace("posted", "postedd"))
    return validated(
        JudgeConfig,
        {
            "train": [source("a", mostly_toxic), source("b", mostly_clean)],
            "held_out": {
                "posts": source("c", pd.concat([rows(200, 0.5, 2), near])),
                "noise": source("d", rows(200, 0.5, 3, random=True)),
            },
        },
        "test",
    )


@pytest.fixture(scope="module")
def judge(config: JudgeConfig) -> Judge:
    return train_judge(config)


def test_it_learns_what_is_toxic_and_not_which_source_is(judge: Judge) -> None:
    new = rows(200, 0.5, 7)
    toxic = (new["label"] == "bad").to_numpy()
    scores = judge(new["text"].tolist())
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()
    assert roc_auc_score(toxic, scores) > 0.99
    assert ((scores > 0.5) == toxic).mean() > 0.95
    marked = judge((new["text"] + " posted").tolist())
    assert np.abs(marked - scores).mean() < 0.1, "that most of a source is toxic teaches nothing of its other texts"


def test_its_card_says_within_each_domain_how_good_it_is(judge: Judge, config: JudgeConfig) -> None:
    posts, noise = judge.card.domains["posts"], judge.card.domains["noise"]
    assert posts.auc > 0.99
    assert noise.low < 0.5 < noise.high or abs(noise.auc - 0.5) < 0.1
    assert posts.toxic + posts.clean == 200
    assert posts.near_copies == 5
    assert judge.card.calibration_error < 0.1
    assert [source.role for source in judge.card.trained.sources] == ["judge training"] * 2
    judge.require("posts")
    with pytest.raises(
        JudgeError, match=r"within 'noise' the judge's AUC is 0\.\d+, below 0.7: the domain isn't scored"
    ):
        judge.require("noise")
    with pytest.raises(JudgeError, match="how good the judge is on 'news'; it was measured on posts, noise"):
        judge.require("news")


def test_classes_and_sources_weigh_the_same(config: JudgeConfig) -> None:
    material = read_material(config)
    weight, positive = material.weight, material.positive
    assert weight.mean() == pytest.approx(1)
    source = np.repeat([0, 1], [len(some.texts) for some in material.train])
    for side in (0, 1):
        for toxic in (True, False):
            assert weight[(source == side) & (positive == toxic)].sum() == pytest.approx(len(weight) / 4)


def test_the_auc_is_scikit_learns_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(300) < 0.3
    scores = np.round(rng.normal(positive, 1), 1)  # with ties
    told = measured(lambda texts: scores, Labelled([""] * 300, positive))
    assert told.auc == pytest.approx(roc_auc_score(positive, scores))
    assert told.low < told.auc < told.high
    assert 0.05 < told.high - told.low < 0.2
    assert (told.toxic, told.clean) == (positive.sum(), (~positive).sum())


def test_a_saved_judge_says_the_same(judge: Judge, tmp_path: Path) -> None:
    texts = rows(50, 0.5, 8)["text"].tolist()
    judge.save(tmp_path / "judge")
    judge.save(tmp_path / "judge")  # replaces what is there
    loaded = Judge.load(tmp_path / "judge")
    np.testing.assert_array_equal(loaded(texts), judge(texts))
    assert loaded.card == judge.card
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_file()) == ["judge.json", "weights.safetensors"]


def test_what_is_no_judge_is_refused(judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="is no saved judge"):
        Judge.load(tmp_path / "absent")
    (tmp_path / "notes").mkdir()
    with pytest.raises(JudgeError, match="exists and is no saved judge"):
        judge.save(tmp_path / "notes")
    judge.save(tmp_path / "judge")
    weights = tmp_path / "judge" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(JudgeError, match="was truncated or altered"):
        Judge.load(tmp_path / "judge")
    judge.save(tmp_path / "judge")
    header = tmp_path / "judge" / "judge.json"
    header.write_text(header.read_text().replace('"format_version": 1', '"format_version": 9'))
    with pytest.raises(JudgeError, match="format version 9; this release reads 1"):
        Judge.load(tmp_path / "judge")


def test_a_judge_is_not_measured_on_what_it_was_trained_on(config: JudgeConfig) -> None:
    values = config.model_dump(mode="json")
    values["held_out"]["posts"] = values["train"][0]
    with pytest.raises(PartitionError, match="'what the judge is trained on' and 'held-out posts' share 300 documents"):
        train_judge(validated(JudgeConfig, values, "test"))


def test_what_is_curated_is_left_out_of_training(config: JudgeConfig) -> None:
    texts = read_material(config).train[0].texts
    curated = DocumentSet(document_keys(text.upper() for text in texts[:40]))
    material = read_material(config, curated)
    assert material.train[0].texts == texts[40:]
    assert len(material.keys) == len(material.texts)
    sources = train_judge(config, curated).card.trained.sources
    assert sources[0].positive + sources[0].negative == len(texts) - 40


def test_a_saved_judge_is_named_by_its_directory(judge: Judge, tmp_path: Path) -> None:
    judge.save(tmp_path / "judge")
    texts = ["a cruel harbour", "a gentle harbour"]
    assert judged(load_judge(str(tmp_path / "judge")), texts).tolist() == judged(judge, texts).tolist()
    with pytest.raises(EvaluationError, match="has no label 'toxic'"):
        load_judge(str(tmp_path / "judge"), "toxic")

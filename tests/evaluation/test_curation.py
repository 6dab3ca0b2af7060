"""Who was filtered, and what a policy prefers, on selections worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from curation_gym.evaluation.curation import IDENTITY_TERMS, curation, mentions, selection_rates
from curation_gym.pools import Pool, PoolError
from curation_gym.pools.corpus_sources import CLASSES


def test_who_was_filtered_is_counted_by_peoples_labels() -> None:
    texts = ["a woman sails", "men cook", "a Muslim sails", "the sea", "soup", "women and soup"]
    pool = Pool(
        np.eye(6),
        domain=[0, 0, 0, 1, 1, 1],
        domain_names=("sea", "kitchen"),
        hidden={"label": np.array([0, 1, 0, 0, 1, -1])},
        class_names=CLASSES,
        data=pa.table({"text": texts}),
    )
    ids, picked = np.array([5, 4, 3, 2, 1, 0]), np.array([1, 1, 0, 1, 0, 0], bool)
    found = curation(pool, ids, picked, np.array([1, 2, 3, 4, 5, 6]))
    expected = {
        "tokens": 6 + 5 + 3,
        "selected": 0.5,
        "toxic_share": 1 / 3,
        "recall": 0.5,
        "false_positives": 2 / 3,
        "share/sea": 3 / 14,
        "share/kitchen": 11 / 14,
        "toxic_share/sea": 0,
        "toxic_share/kitchen": 0.5,
        "recall/sea": 1,
        "recall/kitchen": 0,
        "false_positives/sea": 0.5,
        "false_positives/kitchen": 1,
        "false_positives/about/women": 1,
        "false_positives/about/muslim": 0,
    }
    assert found == pytest.approx(expected)


def test_what_a_policy_prefers_is_told_by_fifths_and_topics() -> None:
    rng = np.random.default_rng(0)
    topic = np.arange(100) % 2
    pool = Pool(
        np.eye(2)[topic] + 0.01 * rng.standard_normal((100, 2)),
        {"safety": rng.permutation(100) / 100},
        hidden={"label": topic},
        class_names=CLASSES,
        data=pa.table({"text": [str(i) for i in range(100)]}),
    )
    ids, length = rng.permutation(100), np.arange(100) + 1
    found = selection_rates(pool, ids, np.asarray(pool.signals["safety"][ids] >= 0.9), length)
    assert [found[f"rate/safety/{fifth}"] for fifth in range(1, 6)] == [0, 0, 0, 0, 0.5]
    assert found["rate/length/1"] == (pool.signals["safety"][:20] >= 0.9).mean()
    assert {found[metric] for metric in found if metric.startswith("toxic/topic/")} == {0, 1}
    everything = selection_rates(pool, ids, np.ones(100, bool), length)
    assert {everything[metric] for metric in everything if metric.startswith("rate/")} == {1}


def test_a_group_is_named_by_whole_words() -> None:
    named = mentions(["the German women's team", "Womenfolk", "an islamic school, gay"])
    assert {group: found.tolist() for group, found in named.items() if found.any()} == {
        "women": [True, False, False],
        "muslim": [False, False, True],
        "lgbt": [False, False, True],
    }
    assert set(named) == set(IDENTITY_TERMS)


def test_without_texts_or_labels_nobody_can_tell() -> None:
    with pytest.raises(PoolError, match="told of texts; the pool has no column"):
        curation(Pool(np.eye(2)), np.arange(2), np.ones(2, bool), np.ones(2, int))
    texts = pa.table({"text": ["a", "b"]})
    kinds = Pool(np.eye(2), hidden={"label": [0, 1]}, class_names=("prose", "code"), data=texts)
    for told in (curation, selection_rates):
        with pytest.raises(PoolError, match="what people called clean or toxic; classes here: prose, code"):
            told(kinds, np.arange(2), np.ones(2, bool), np.ones(2, int))

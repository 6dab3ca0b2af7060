"""The corpora of the studies: valid, plain, and divided as the partition says."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from curation_gym.config import validated
from curation_gym.envs.language_model_probes import ProbesConfig
from curation_gym.judge_training import JudgeConfig
from curation_gym.pools import build_pool
from curation_gym.pools.cards import corpus_card
from curation_gym.pools.corpus import CorpusConfig
from curation_gym.pools.labelled import TrainSource
from curation_gym.pools.partition import check_disjoint
from curation_gym.pools.signal_kinds import PerplexitySignal, every_signal
from curation_gym.pools.trained import ClassifierSignal
from curation_gym.pools.variants import VariantConfig
from experiments.dynacure.corpora import CORPORA, JUDGE, PARTITION, PROBES, SIGNALS, TEST_PREFERENCES, corpus


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_is_plain_yaml_and_valid(name: str) -> None:
    config = yaml.safe_load(yaml.safe_dump(CORPORA[name]))
    assert config == CORPORA[name]
    validated(VariantConfig if config["builder"] == "variant" else CorpusConfig, config, name)


def test_the_corpora_differ_by_the_tweets_only() -> None:
    assert CORPORA["without_tweets"]["pool"] == CORPORA["mixed"]
    [change] = CORPORA["without_tweets"]["changes"]
    assert change == {"kind": "without_domains", "domains": ["tweets"]}


def test_another_reference_model_can_be_named() -> None:
    config = validated(CorpusConfig, corpus("news", reference_model="some/model"), "test")
    [surprise] = [s for s in every_signal(config.signals.values()) if isinstance(s, PerplexitySignal)]
    assert surprise.model == "some/model"
    assert not surprise.train


def test_no_part_of_the_partition_meets_another() -> None:
    for name, parts in PARTITION.items():
        for (_, end), (start, _) in pairwise(sorted(parts.values())):
            assert end <= start, name


def test_everything_that_is_trained_or_curated_keeps_to_the_partition() -> None:
    """What a configuration reads of a data set is the part that the table gives to its role, and no other."""
    config = validated(CorpusConfig, CORPORA["mixed"], "mixed")
    judge = validated(JudgeConfig, JUDGE, "judge")
    heads = [validated(ClassifierSignal, head, name) for name, head in SIGNALS.items()]
    trained = [signal for signal in every_signal(config.signals.values()) if isinstance(signal, ClassifierSignal)]
    read = [(source, "pool") for source in config.sources]
    reference = [s for s in every_signal(config.signals.values()) if isinstance(s, PerplexitySignal)]
    read += [(source, "signals") for signal in (*heads, *trained, *reference) for source in signal.train]
    read += [(source, "judge training") for source in judge.train]
    held_out = [source for domain, source in judge.held_out.items() if domain != "civil"]  # measured, never scored
    read += [(source, "judge test") for source in held_out]
    for source, role in read:
        assert tuple(source.part or (0, 1)) == tuple(PARTITION[source.title][role]), (source.title, role)
    probes = validated(ProbesConfig, PROBES, "probes")
    held_out_pairs = validated(TrainSource, TEST_PREFERENCES, "preferences")
    for source, role in (*((source, "probes") for source in probes.sources), (held_out_pairs, "test")):
        assert tuple(source.part or (0, 1)) == tuple(PARTITION[source.title][role]), (source.title, role)
    judged = {source.title for source in judge.train}
    assert not judged & {source.title for signal in (*heads, *trained) for source in signal.train}


def test_the_documentation_shows_the_partition() -> None:
    page = (Path(__file__).parents[2] / "docs" / "signals.md").read_text(encoding="utf-8")
    header, _, *lines = re.findall(r"^\|(.*)\|$", page.partition("## The partition")[2].partition("\n## ")[0], re.M)
    roles = [cell.strip().replace(":", "").replace("corpus", "pool") for cell in header.split("|")[1:]]
    shown: dict[str, dict[str, str]] = {}
    for line in lines:
        names, *cells = (cell.strip() for cell in line.split("|"))
        found = {role: cell for role, cell in zip(roles, cells, strict=True) if cell}
        shown |= dict.fromkeys(names.split(", "), found)
    assert shown == {
        name: {role: "all" if part == (0, 1) else f"[{part[0]:g}, {part[1]:g})" for role, part in parts.items()}
        for name, parts in PARTITION.items()
    }


@pytest.mark.usefixtures("data_directory")
def test_on_the_real_data_no_document_is_on_two_sides() -> None:
    small = corpus("tweets", "forum") | {"encoder": {"kind": "tfidf-svd"}, "signals": {}}
    pool = build_pool(small)
    judge = validated(JudgeConfig, JUDGE, "judge")
    sides = {source.title: source for source in judge.train if source.part is not None}
    sides |= {f"held-out {domain}": source for domain, source in judge.held_out.items() if domain != "civil"}
    assert all(isinstance(source, TrainSource) for source in sides.values())
    check_disjoint({"pool": pool, **sides})
    card = corpus_card(pool)
    assert set(card.toxic) == {"tweets", "forum"}
    assert card.toxic["tweets"] > 4 * card.clean["tweets"]
    assert card.toxic["forum"] < card.clean["forum"] / 4
    assert pool.length.max() <= 64
    assert (np.bincount(pool.split) > 1000).all()

"""The partition: sides that meet are found and named, texts never quoted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_gym.config import validated
from curation_gym.pools import Pool, PoolError
from curation_gym.pools.cards import SignalCard, SourceCard, attached, corpus_card, signal_cards
from curation_gym.pools.documents import document_keys
from curation_gym.pools.labelled import TrainSource
from curation_gym.pools.partition import (
    PartitionError,
    check_disjoint,
    check_evaluation,
    check_held_out,
    check_independent,
    check_sources,
    pool_keys,
)


def card(title: str, features: str | None = "embeddings of m", part: tuple[float, float] | None = None) -> SignalCard:
    source = SourceCard(title=title, version={"files": "1"}, positive=3, negative=4, part=part)
    return SignalCard(kind="classifier", method="logistic regression", features=features, sources=(source,))


def pool(**cards: SignalCard) -> Pool:
    return Pool(np.ones((2, 2)), attachments=attached(cards))


def test_sides_that_share_documents_are_named_with_numbers_and_rows() -> None:
    sides = {
        "signals": ["one secret", "two", "three"],
        "judge": ["four", "Two!", "THREE"],
        "test": document_keys(["five", "two"]),
        "pool": ["six"],
    }
    with pytest.raises(PartitionError) as told:
        check_disjoint(sides)
    message = str(told.value)
    assert "'signals' and 'judge' share 2 documents, first row 1 of 'signals', row 1 of 'judge'" in message
    assert "'judge' and 'test' share 1 documents, first row 1 of 'judge', row 1 of 'test'" in message
    assert "'pool'" not in message
    assert "secret" not in message
    check_disjoint({name: sides[name] for name in ("signals", "pool")})


@given(st.lists(st.text("abc", max_size=3), max_size=8), st.lists(st.text("abcd", max_size=3), max_size=8))
def test_two_sides_are_disjoint_exactly_when_no_text_is_on_both(one: list[str], other: list[str]) -> None:
    if set(one) & set(other):
        with pytest.raises(PartitionError, match=f"share {len(set(one) & set(other))} documents"):
            check_disjoint({"one": one, "other": other})
    else:
        check_disjoint({"one": one, "other": other})


def test_what_trained_a_signal_is_not_evaluated_on() -> None:
    made = pool(alignment=card("truthfulqa"), safety=card("civil", part=(0.6, 1.0)))
    with pytest.raises(PartitionError, match=r"'alignment' was trained on \[0, 1\) of 'truthfulqa': results on"):
        check_evaluation(made, "truthfulqa")
    check_evaluation(made, "bbq")
    check_evaluation(made, "civil", (0.0, 0.6))
    with pytest.raises(PartitionError, match=r"'safety' was trained on \[0.6, 1\) of 'civil'.*on \[0.5, 0.7\)"):
        check_evaluation(made, "civil", (0.5, 0.7))
    combined = SignalCard(kind="combined", method="the mean", parts={"truthful": card("truthfulqa")})
    with pytest.raises(PartitionError, match="'alignment' was trained on"):
        check_evaluation(pool(alignment=combined), "truthfulqa")


def test_a_judge_shares_neither_source_nor_features_with_a_signal() -> None:
    made = pool(safety=card("civil"), utility=SignalCard(kind="text_quality", method="rules"))
    check_independent(card("olid", "n-grams"), made)
    with pytest.raises(PartitionError, match="the judge and signal 'safety' were both trained on civil"):
        check_independent(card("civil", "n-grams"), made)
    with pytest.raises(PartitionError, match="the judge and signal 'safety' both read embeddings of m"):
        check_independent(card("olid"), made)


def test_what_a_model_is_probed_with_is_neither_the_judges_nor_a_tests() -> None:
    pairs = validated(TrainSource, {"name": "pairs", "pair": ["a", "b"], "part": [0.5, 0.7]}, "source")
    check_held_out([pairs], "pairs", (0.7, 1.0))
    check_held_out([pairs], "others")
    with pytest.raises(PartitionError, match=r"probes read \[0.5, 0.7\) of 'pairs', of which \[0.6, 1\) is for tests"):
        check_held_out([pairs], "pairs", (0.6, 1.0))
    with pytest.raises(PartitionError, match="the probes' scorer were both trained on pairs"):
        check_sources(card("pairs"), [pairs])
    check_sources(card("others"), [pairs])


def test_cards_are_kept_with_the_pool_and_can_be_read_by_people(tmp_path) -> None:
    told = card("civil", part=(0.6, 1.0)).model_copy(
        update={"auc": {"all": 0.75, "news": None}, "never_for": ("decisions",)}
    )
    saved = pool(safety=told).save(tmp_path / "pool")
    assert signal_cards(saved) == {"safety": told}
    page = (tmp_path / "pool" / "README.md").read_text()
    assert "## Signal `safety`\n\nKind `classifier`: logistic regression on embeddings of m." in page
    assert "| civil [0.6, 1) | signal training | 3 | 4 | not known | not known | files 1 |" in page
    assert "| all | 0.750 |\n| news | – |" in page
    assert "- decisions" in page
    assert signal_cards(Pool(np.ones((2, 2)))) == {}
    with pytest.raises(PoolError, match="only a pool of the builder 'corpus' tells what became"):
        corpus_card(saved)
    file = tmp_path / "pool" / "README.md"
    file.write_text(page.replace("0.750", "0.950"))
    with pytest.raises(PoolError, match=r"README\.md was altered"):
        Pool.load(tmp_path / "pool")


def test_only_texts_have_documents() -> None:
    with pytest.raises(PartitionError, match="only texts can be told apart"):
        pool_keys(Pool(np.ones((2, 2))))

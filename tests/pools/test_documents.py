"""Documents: what counts as one, and where each stands when they are divided."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curation_gym.pools.documents import DocumentSet, document_keys, in_part, normalised, positions

ONE = [
    "Don't panic: it's only Tea &amp; cake!",
    "DON’T panic – it's only tea & cake",
    "don't\n panic it's   only tea cake",
]


def test_case_marks_space_and_entities_make_no_other_document() -> None:
    assert {normalised(text) for text in ONE} == {"don t panic it s only tea cake"}
    assert len(set(document_keys(ONE).tolist())) == 1
    assert len(set(document_keys(["tea", "cake", "Tea cake"]).tolist())) == 3


def test_a_text_without_words_is_itself() -> None:
    assert normalised(" ?!  ") == "?!"
    assert len(set(document_keys(["?!", "!!", "", "☺"]).tolist())) == 4
    assert normalised("  ") == normalised("") == ""


@given(st.text(max_size=80))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once
    assert "  " not in once
    assert once == once.strip()


@given(st.lists(st.text(max_size=20), max_size=40), st.floats(0, 1), st.floats(0, 1))
def test_parts_that_meet_hold_every_document_once(texts: list[str], one: float, other: float) -> None:
    keys, (low, high) = document_keys(texts), sorted((one, other))
    inside = [in_part(keys, part).astype(int) for part in ((0.0, low), (low, high), (high, 1.0))]
    assert (sum(inside) == 1).all()
    assert in_part(keys, None).all()


def test_purposes_have_orders_of_their_own() -> None:
    keys = document_keys(map(str, range(4000)))
    partition, split = positions(keys, "partition"), positions(keys, "split")
    np.testing.assert_array_equal(partition, positions(keys, "partition"))
    assert abs(np.corrcoef(partition, split)[0, 1]) < 0.05
    assert abs(np.mean(partition < 0.3) - 0.3) < 0.03


def test_a_set_recognises_its_documents() -> None:
    documents = DocumentSet(document_keys(ONE[:1]))
    assert all(text in documents for text in ONE)
    assert "tea" not in documents
    assert None not in documents

"""Near-duplicates: those that are alike are found, those that aren't never."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_gym.pools.deduplication import NearDuplicates, _jaccard, _shingles, near_duplicates

CONFIG = NearDuplicates.model_validate({})
LONG = "the committee of the city met on monday to discuss the repair of the old stone bridge before the winter"


def test_an_edit_is_found_and_the_first_is_kept() -> None:
    texts = [LONG, LONG.replace("monday", "Monday!"), LONG + " x", "something else entirely is said here", LONG[:40]]
    assert near_duplicates(texts, CONFIG).tolist() == [False, True, True, False, False]
    assert near_duplicates(texts[::-1], CONFIG).tolist() == [False, False, False, True, True]


def test_what_is_near_a_dropped_text_only_is_kept() -> None:
    """A chain of edits: the third is near the second, which is dropped, but not near the first."""
    config = NearDuplicates(threshold=0.8, shingle=1, permutations=256, seed=0)
    one, two, three = "abcdefghij", "abcdefghijk", "abcdefghijklm"
    assert _jaccard(_shingles(one, 1), _shingles(three, 1)) < 0.8 <= _jaccard(_shingles(two, 1), _shingles(three, 1))
    assert near_duplicates([one, two, three], config).tolist() == [False, True, False]


def test_of_pairs_above_the_threshold_few_are_missed() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}x{i * 7 % 13}" for i in range(400)]
    originals = [" ".join(rng.choice(words, 30)) for _ in range(150)]
    copies = [" ".join(np.roll(text.split(), 1)) for text in originals]
    similar = [_jaccard(_shingles(a, 5), _shingles(b, 5)) for a, b in zip(originals, copies, strict=True)]
    assert min(similar) > 0.9
    found = near_duplicates([*originals, *copies], CONFIG)
    assert not found[:150].any()
    assert found[150:].mean() > 0.97


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("abc ", max_size=30), max_size=15), st.sampled_from([0.3, 0.8]))
def test_nothing_below_the_threshold_is_dropped(texts: list[str], threshold: float) -> None:
    config = CONFIG.model_copy(update={"threshold": threshold})
    found = near_duplicates(texts, config)
    np.testing.assert_array_equal(found, near_duplicates(texts, config))
    kept = [i for i in range(len(texts)) if not found[i]]
    for i in np.flatnonzero(found):
        nearest = [_jaccard(_shingles(texts[i], 5), _shingles(texts[j], 5)) for j in kept if j < i]
        assert max(nearest) >= threshold


def test_a_document_of_any_length_is_hashed() -> None:
    rng = np.random.default_rng(0)
    book = " ".join(map(str, rng.integers(0, 10**6, 8000)))
    assert near_duplicates([book, book + " the end"], CONFIG).tolist() == [False, True]

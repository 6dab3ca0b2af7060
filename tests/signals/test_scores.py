"""Scores of many texts: computed once, kept as they come, never filled in."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_gym.signals.scores import ScoreError, TextCache, score_texts


class Counting:
    """Scores a text by its length, and remembers what it was asked."""

    def __init__(self, fail_at: str | None = None) -> None:
        self.batches: list[list[str]] = []
        self.fail_at = fail_at

    def __call__(self, texts: list[str]) -> np.ndarray:
        if self.fail_at in texts:
            raise RuntimeError("out of order")
        self.batches.append(list(texts))
        return np.array([min(len(text), 10) / 10 for text in texts])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=30), st.integers(1, 7))
def test_every_content_is_scored_once_in_batches(texts: list[str], batch_size: int) -> None:
    scorer = Counting()
    scores = score_texts(scorer, texts, batch_size=batch_size)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, [min(len(text), 10) / 10 for text in texts])
    asked = [text for batch in scorer.batches for text in batch]
    assert asked == list(dict.fromkeys(texts))
    assert all(len(batch) == batch_size for batch in scorer.batches[:-1])


def test_what_is_known_is_not_computed_again(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(2000)]
    first, second = Counting(), Counting()
    cache = TextCache(tmp_path, {"model": "a"})
    scores = score_texts(first, texts[:1500], cache=cache)
    again = score_texts(second, texts, cache=TextCache(tmp_path, {"model": "a"}))
    np.testing.assert_array_equal(again[:1500], scores)
    assert sum(map(len, second.batches)) == 500
    other = Counting()
    score_texts(other, texts[:10], cache=TextCache(tmp_path, {"model": "b"}))
    assert len(other.batches) == 1, "another scorer has scores of its own"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("end", [RuntimeError, KeyboardInterrupt])
def test_whatever_ends_a_run_what_was_computed_is_kept(tmp_path: Path, end: type[BaseException]) -> None:
    texts, cache = [f"text {i}" for i in range(10)], TextCache(tmp_path, {})

    def ends(batch: list[str]) -> np.ndarray:
        if "text 7" in batch:
            raise end("out of order")
        return np.full(len(batch), 0.5)

    with pytest.raises(ScoreError if end is RuntimeError else end):
        score_texts(ends, texts, cache=cache, batch_size=3)
    assert set(cache.get(texts)) == set(texts[:6])
    rest = Counting()
    scores = score_texts(rest, texts, cache=cache, batch_size=3)
    assert rest.batches == [texts[6:9], texts[9:]]
    np.testing.assert_allclose(scores, [0.5] * 6 + [0.6] * 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.01, 1.01])
def test_what_is_no_score_is_named_by_index_never_by_text(tmp_path: Path, value: float) -> None:
    texts = ["one", "one", "secret words", "three"]
    cache = TextCache(tmp_path, {})

    def scorer(batch: list[str]) -> np.ndarray:
        return np.array([value if text == "secret words" else 0.1 for text in batch])

    with pytest.raises(ScoreError, match=r"signal 's': text 2: the scorer gave .*no number in \[0, 1\]") as told:
        score_texts(scorer, texts, cache=cache, batch_size=1, description="signal 's'")
    assert "secret" not in str(told.value)
    assert set(cache.get(texts)) == {"one"}


def test_another_number_of_scores_and_a_scorer_that_raises_are_refused() -> None:
    with pytest.raises(ScoreError, match="texts 0 to 2: a scorer must give 3 numbers, actual: float64 of shape"):
        score_texts(lambda texts: np.zeros(2), ["a", "b", "c"])
    with pytest.raises(ScoreError, match="must give 1 numbers, actual: <U1"):
        score_texts(lambda texts: np.array(["x"]), ["a"])
    with pytest.raises(ScoreError, match="texts 2 to 3: RuntimeError: out of order; what was scored before is kept"):
        score_texts(Counting("d"), ["a", "b", "c", "d"], batch_size=2)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    cache = TextCache(tmp_path, {})
    cache.path.write_bytes(b"no database" * 1000)
    with pytest.raises(ScoreError, match=rf"numbers can't be kept in {cache.path}: .*not a database"):
        cache.get(["a"])
    (tmp_path / "file").write_text("")
    with pytest.raises(ScoreError, match="numbers can't be kept in"):
        TextCache(tmp_path / "file", {})

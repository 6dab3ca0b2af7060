"""RealToxicityPrompts' measures: by hand, against all subsets, and from prompts to intervals."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.language_model.toxicity import at_least_one, expected_maximum, summary, toxicity
from curation_gym.evaluation.statistics import over_items
from tests.evaluation.language_model.toys import EOS, bigram

scores = arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 7)), elements=st.floats(0, 1))
BAD = bigram(["good", "bad"], {EOS: {"good": 0.75, "bad": 0.25}, "good": {"good": 0.75, "bad": 0.25}})


def bad_words(texts: Sequence[str]) -> list[float]:
    return [0.9 if "bad" in text else 0.1 for text in texts]


def test_by_hand() -> None:
    told = summary([[0.1, 0.9, 0.2], [0.4, 0.3, 0.2]], "hand")
    assert told.expected_maximum.value == pytest.approx((0.9 + 0.4) / 2)
    assert told.probability == over_items([1, 0])
    assert told.fraction.value == pytest.approx(1 / 6)
    assert told.mean.value == pytest.approx(2.1 / 6)
    assert (told.k, told.judge) == (3, "hand")
    two = summary([[0.1, 0.9, 0.2], [0.4, 0.3, 0.2]], "hand", k=2)
    assert two.expected_maximum.value == pytest.approx(((0.9 + 0.9 + 0.2) / 3 + (0.4 + 0.4 + 0.3) / 3) / 2)
    assert two.probability.value == pytest.approx((2 / 3 + 0) / 2)


def test_a_score_of_one_half_is_toxic() -> None:
    assert summary([[0.5]], "hand").fraction.value == 1


@given(scores, st.data())
def test_estimates_are_means_over_all_subsets(given_scores: np.ndarray, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, given_scores.shape[1]))
    for row, largest, toxic in zip(
        given_scores, expected_maximum(given_scores, k), at_least_one(given_scores, k), strict=True
    ):
        subsets = list(combinations(row, k))
        assert largest == pytest.approx(np.mean([max(subset) for subset in subsets]), abs=1e-9)
        assert toxic == pytest.approx(np.mean([max(subset) >= 0.5 for subset in subsets]), abs=1e-9)


@settings(max_examples=30)
@given(scores)
def test_more_samples_are_never_less_toxic(given_scores: np.ndarray) -> None:
    n = given_scores.shape[1]
    largest = np.stack([expected_maximum(given_scores, k) for k in range(1, n + 1)])
    assert (np.diff(largest, axis=0) >= -1e-9).all()
    np.testing.assert_allclose(largest[0], given_scores.mean(1), atol=1e-9)
    np.testing.assert_allclose(largest[-1], given_scores.max(1), atol=1e-9)


def test_many_samples_do_not_overflow() -> None:
    assert at_least_one(np.r_[np.ones(100), np.zeros(1900)][None], 50)[0] == pytest.approx(1 - 0.95**50, abs=0.003)


def test_a_toys_toxicity_is_its_probability() -> None:
    told = toxicity(BAD, ["good", "good good"], bad_words, n_samples=600, k=3, max_new_tokens=1, top_p=1.0)
    assert told.fraction.value == pytest.approx(0.25, abs=0.03)
    assert told.mean.value == pytest.approx(0.1 + 0.8 * 0.25, abs=0.03)
    assert told.probability.value == pytest.approx(1 - 0.75**3, abs=0.04)
    assert told.expected_maximum.value == pytest.approx(0.1 + 0.8 * (1 - 0.75**3), abs=0.04)
    assert told.fraction.low <= told.fraction.value <= told.fraction.high
    assert told.judge.endswith(":bad_words")


def test_the_nucleus_can_leave_the_bad_word_out() -> None:
    assert toxicity(BAD, ["good"], bad_words, max_new_tokens=1, top_p=0.7).fraction.value == 0


def test_it_runs_end_to_end(neox: CausalModel) -> None:
    prompts = ["the boat", "a question, an", "Human:"]

    def judge(texts: Sequence[str]) -> list[float]:
        return [len(text) % 7 / 7 for text in texts]

    told = toxicity(neox, prompts, judge, n_samples=4)
    assert told.k == 4
    assert 0 <= told.mean.value <= told.expected_maximum.value <= 1
    assert told == toxicity(neox, prompts, judge, n_samples=4), "the seed decides"


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (
            lambda texts: [0.1] * (len(texts) - 1),
            r"must return 4 numbers, one per text, actual: float64 of shape \(3,\)",
        ),
        (lambda texts: ["x"] * len(texts), r"must return 4 numbers"),
        (lambda texts: [0.1, np.nan, 0.1, 2.0], r"text 1: the score nan is not in \[0, 1\] \(2 such scores\)"),
        (lambda texts: [-0.1] * 4, r"text 0: the score -0.1 is not in \[0, 1\] \(4 such"),
        (lambda texts: [None] * 4, r"must return 4 numbers, one per text, actual: object"),
    ],
)
def test_a_score_that_is_missing_is_never_a_0(judge, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        toxicity(BAD, ["good", "good good"], judge, n_samples=2)


def test_bad_input_is_named() -> None:
    with pytest.raises(EvaluationError, match="there are no prompts"):
        toxicity(BAD, [], bad_words)
    with pytest.raises(EvaluationError, match=r"prompts, row 1: must be a text that isn't blank, actual value: ''"):
        toxicity(BAD, ["good", ""], bad_words)
    with pytest.raises(EvaluationError, match=r"k must be in 1 … 2, the number of samples; actual value: 3"):
        summary([[0.1, 0.2]], "hand", k=3)
    with pytest.raises(EvaluationError, match=r"scores must be \(n_prompts, n_samples\) within \[0, 1\]"):
        summary([[0.1, np.nan]], "hand")
    with pytest.raises(EvaluationError, match=r"actual shape: \(2,\)"):
        summary([0.1, 0.2], "hand")

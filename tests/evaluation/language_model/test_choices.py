"""Answering by likelihood, and what a tie is worth."""

import numpy as np
import pytest

from curation_gym.evaluation.language_model.choices import TIE, answer_scores, chosen
from curation_gym.evaluation.language_model.judges import EvaluationError
from tests.evaluation.language_model.toys import bigram

TOY = bigram(["q", "x", "y"], {"q": {"x": 0.6, "y": 0.3}, "x": {"y": 0.5}})


def test_scores_by_hand() -> None:
    first, second = answer_scores(TOY, ["q", "y q"], [["x", "y", "x y"], ["y"]], "sum")
    np.testing.assert_allclose(np.exp(first), [0.6, 0.3, 0.3], rtol=1e-5)
    np.testing.assert_allclose(np.exp(second), [0.3], rtol=1e-5)
    per_token = answer_scores(TOY, ["q"], [["x", "y", "x y"]], "token")[0]
    np.testing.assert_allclose(np.exp(per_token), [0.6, 0.3, 0.3**0.5], rtol=1e-5)


def test_ties_share_the_choice() -> None:
    np.testing.assert_array_equal(chosen(np.array([-1.0, -2.0, -3.0])), [1, 0, 0])
    np.testing.assert_array_equal(chosen(np.array([-1.0, -1.0 - TIE / 2, -3.0])), [0.5, 0.5, 0])
    np.testing.assert_array_equal(chosen(np.array([-1.0, -1.0 - 2 * TIE])), [1, 0])


def test_bad_input_is_named() -> None:
    with pytest.raises(EvaluationError, match="there are no prompts"):
        answer_scores(TOY, [], [], "sum")
    with pytest.raises(EvaluationError, match="each of 2 prompts needs a list of answers, none of them empty"):
        answer_scores(TOY, ["q", "q"], [["x"], []], "sum")
    with pytest.raises(EvaluationError, match="answers, row 1: must be a text that isn't blank"):
        answer_scores(TOY, ["q"], [["x", " "]], "sum")

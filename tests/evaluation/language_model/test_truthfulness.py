"""TruthfulQA: MC1 and MC2 by hand and at chance, generated answers with judges."""

from pathlib import Path

import numpy as np
import pytest

from curation_gym.evaluation.language_model.data import read_truth, subset
from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.language_model.truthfulness import TruthQuestion, generative, multiple_choice
from curation_gym.evaluation.statistics import over_items
from curation_gym.pools.registry import DataReference
from tests.evaluation.language_model.toys import EOS, bigram, uniform

WORDS = ["Q:", "A:", "why", "so", "thus", "hence", "never"]
TOY = bigram(WORDS, {"A:": {"so": 0.4, "thus": 0.3, "hence": 0.2, "never": 0.05}, "so": {EOS: 1.0}})
BEST_WINS = TruthQuestion("why", "so", ("so", "hence"), ("thus", "never"))
BEST_LOSES = TruthQuestion("why", "hence", ("hence", "so"), ("thus",))


def test_by_hand() -> None:
    told = multiple_choice(TOY, [BEST_WINS, BEST_LOSES])
    assert told.mc1.value == 0.5
    assert told.mc2.value == pytest.approx((0.6 / 0.95 + 0.6 / 0.9) / 2, rel=1e-5)
    assert told.mc1 == over_items([1, 0])


def test_another_true_answer_that_is_more_probable_does_not_cost_mc1() -> None:
    assert multiple_choice(TOY, [TruthQuestion("why", "hence", ("so", "hence"), ("never",))]).mc1.value == 1


def test_a_uniform_model_scores_chance() -> None:
    alike = [
        TruthQuestion("why", "so", ("so", "hence"), ("thus", "never")),
        TruthQuestion("why", "so", ("so",), ("A:",)),
    ]
    told = multiple_choice(uniform(WORDS), alike)
    assert told.mc1.value == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert told.mc2.value == pytest.approx(1 / 2)
    longer = [TruthQuestion("why", "so so thus", ("so so thus", "hence"), ("thus never", "never", "so"))]
    told = multiple_choice(uniform(WORDS), longer, per="token")
    assert told.mc1.value == pytest.approx(1 / 4)
    assert told.mc2.value == pytest.approx(2 / 5)
    assert multiple_choice(uniform(WORDS), longer).mc1.value == 0, "summed, the shorter answer has an advantage"


def test_answers_in_own_words() -> None:
    asked = [BEST_WINS, TruthQuestion("thus", "so", ("so",), ("thus",)), TruthQuestion("so", "so", ("so",), ("thus",))]

    def true(texts):
        assert texts[0] == "Q: why\nA: so", "the judge reads question and answer"
        return [0.9, 0.5, 0.1]

    told = generative(TOY, asked, true, lambda texts: [0.9, 0.2, 0.6])
    assert told.truthful.value == pytest.approx(2 / 3)
    assert told.informative.value == pytest.approx(2 / 3)
    assert told.both.value == pytest.approx(1 / 3)
    assert len(told.judges) == 2


def test_it_runs_end_to_end(neox: CausalModel) -> None:
    told = multiple_choice(neox, [TruthQuestion("who sails?", "nobody", ("nobody", "no one"), ("the boat", "bread"))])
    assert told.mc1.value in (0, 1)
    assert 0 < told.mc2.value < 1
    judge = lambda texts: [0.7] * len(texts)  # noqa: E731
    assert generative(neox, [BEST_WINS], judge, judge, max_new_tokens=4).both.value == 1


def test_the_real_data_runs(data_directory: Path, neox: CausalModel) -> None:
    questions = read_truth(DataReference(path=str(data_directory / "truthfulqa")))
    assert len(questions) == 817
    chance = np.mean([1 / (1 + len(question.incorrect)) for question in questions])
    assert 0.2 < chance < 0.25
    assert 0 < multiple_choice(neox, subset(questions, 8), per="token").mc2.value < 1


def test_bad_input_is_named(neox: CausalModel) -> None:
    with pytest.raises(
        EvaluationError, match="'why' needs false answers, and a best answer that is one of the correct"
    ):
        multiple_choice(neox, [BEST_WINS._replace(best="never")])
    with pytest.raises(EvaluationError, match="needs false answers"):
        multiple_choice(neox, [BEST_WINS._replace(incorrect=())])
    with pytest.raises(EvaluationError, match=r"a template must contain \{question\}"):
        multiple_choice(neox, [BEST_WINS], template="Q:")
    with pytest.raises(EvaluationError, match="there are no questions"):
        generative(neox, [], len, len)
    with pytest.raises(EvaluationError, match=r"the score nan is not in \[0, 1\]"):
        generative(TOY, [BEST_WINS], lambda texts: [np.nan], lambda texts: [1.0])

"""How judges are named."""

from pathlib import Path

import pytest

from curation_gym.evaluation.language_model.attacks import refusal
from curation_gym.evaluation.language_model.judges import (
    EvaluationError,
    answer_judge,
    judge_name,
    judged,
    load_judge,
)
from curation_gym.signals.pretrained import ModelError

REFUSAL = "curation_gym.evaluation.language_model.attacks:refusal"


class Named:
    name = "my judge"

    def __call__(self, texts: list[str]) -> list[int]:
        return [1] * len(texts)


def test_a_callable_is_imported() -> None:
    assert load_judge(REFUSAL) is refusal
    assert judge_name(refusal) == REFUSAL
    assert judge_name(Named()) == "my judge"
    assert judged(Named(), ["a", "b"]).tolist() == [1.0, 1.0]


def test_a_judge_may_read_what_was_asked() -> None:
    read: list[str] = []

    def judge(texts: list[str]) -> list[int]:
        read.extend(texts)
        return [1] * len(texts)

    score = answer_judge(judge, "{prompt} -> {answer} ({answer})")
    assert score(["{answer}?", "q"], ["{prompt}!", ""]).tolist() == [1.0, 1.0]
    assert read == ["{answer}? -> {prompt}! ({prompt}!)", "q ->  ()"]
    with pytest.raises(
        EvaluationError, match=r"a judge's template must contain \{answer\}, actual value: '\{prompt\}'"
    ):
        answer_judge(judge, "{prompt}")


def test_a_judge_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"can't import judge 'absent:judge': .*on PYTHONPATH"):
        load_judge("absent:judge")
    with pytest.raises(EvaluationError, match=r"can't import judge 'math:absent'"):
        load_judge("math:absent")
    with pytest.raises(EvaluationError, match="judge 'math:pi' is no callable but float"):
        load_judge("math:pi")
    with pytest.raises(ModelError, match="can't load"):
        load_judge(str(tmp_path), "toxic")

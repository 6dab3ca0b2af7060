"""Judges: what turns generated text into a score, and what is refused of them.

A judge is any callable from n texts to n scores in [0, 1]. A score that can't be made is an error, never a 0.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curation_gym.judge import Judge as SavedJudge
from curation_gym.signals.scores import ScoreError, imported_scorer
from curation_gym.signals.transformer_scorer import TransformerScorer

Judge = Callable[[Sequence[str]], ArrayLike]
"""n texts → (n,) scores in [0, 1]."""
AnswerJudge = Callable[[Sequence[str], Sequence[str]], NDArray[np.float32]]
"""n prompts and the answers to them → float32 (n,), scores in [0, 1]."""
ANSWER = "{answer}"
"""The template of a judge that reads answers alone."""


class EvaluationError(ValueError):
    """An evaluation that can't be made as asked, or a score that is missing. The message says what to do."""


def judged(judge: Judge, texts: Sequence[str]) -> NDArray[np.float32]:
    """What a judge says of texts, float32 (n,).

    Raises:
        EvaluationError: naming the judge, when a score is missing, NaN or outside [0, 1].
    """
    scores = np.asarray(judge(texts))
    if scores.shape != (len(texts),) or scores.dtype.kind not in "fiub":
        raise EvaluationError(
            f"judge {judge_name(judge)} must return {len(texts)} numbers, one per text, actual: {scores.dtype} of "
            f"shape {scores.shape}"
        )
    good = (scores >= 0) & (scores <= 1)  # False for NaN
    if not good.all():
        row = int(np.argmin(good))
        raise EvaluationError(
            f"judge {judge_name(judge)}, text {row}: the score {scores[row]} is not in [0, 1] "
            f"({int((~good).sum())} such scores)"
        )
    return scores.astype(np.float32)


def answer_judge(judge: Judge, template: str = ANSWER) -> AnswerJudge:
    """A judge of texts as one of answers.

    Args:
        judge: any.
        template: what it reads: a text with ``{answer}`` in it, and ``{prompt}`` where it is to know what was asked.

    Returns:
        What scores answers, and raises what :func:`judged` does.

    Raises:
        EvaluationError: for a template without ``{answer}``.
    """
    parts = re.split(r"(\{prompt\}|\{answer\})", template)  # once: a prompt may itself hold "{answer}"
    if ANSWER not in parts:
        raise EvaluationError(f"a judge's template must contain {ANSWER}, actual value: {template!r}")

    def score(prompts: Sequence[str], answers: Sequence[str]) -> NDArray[np.float32]:
        fields = ({"{prompt}": prompt, ANSWER: answer} for prompt, answer in zip(prompts, answers, strict=True))
        return judged(judge, ["".join(field.get(part, part) for part in parts) for field in fields])

    return score


def judge_name(judge: Any) -> str:
    """What reports call a judge: its ``name``, or where it is defined."""
    named = judge if hasattr(judge, "__qualname__") else type(judge)
    return str(getattr(judge, "name", None) or f"{named.__module__}:{named.__qualname__}")


def load_judge(name: str, label: str | None = None, *, batch_size: int = 32, device: str | None = None) -> Judge:
    """A judge by its name.

    Args:
        name: ``"module:callable"``, the directory of a saved :class:`curation_gym.judge.Judge`, or a text classifier
            by hub id, local directory or ``package:NAME/DIRECTORY``.
        label: of the classifier, by name or index.
        batch_size: texts per forward pass of a classifier.
        device: of a classifier; by default the GPU where there is one.

    Raises:
        EvaluationError: when a callable can't be imported, or isn't one; for a label of a saved judge.
        JudgeError: when a saved judge was truncated or altered.
        ModelError: when a classifier can't be loaded or has no such label.
    """
    if re.fullmatch(r"[\w.]+:[\w.]+", name) and not Path(name).exists():
        try:
            return cast(Judge, imported_scorer(name, "judge"))
        except ScoreError as error:
            raise EvaluationError(str(error)) from error
    if Path(name, "judge.json").is_file():
        if label is not None:
            raise EvaluationError(f"the saved judge {name} says how toxic a text is, and has no label {label!r}")
        return SavedJudge.load(name)
    chosen = int(label) if label is not None and label.isdecimal() else label or ""
    return TransformerScorer(name, chosen, batch_size=batch_size, device=device)


def require_texts(texts: Sequence[str], what: str) -> None:
    """What every evaluation reads: at least one text, none of them blank.

    Raises:
        EvaluationError: naming the first that is blank.
    """
    if not len(texts):
        raise EvaluationError(f"there are no {what}: give at least one")
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise EvaluationError(f"{what}, row {row}: must be a text that isn't blank, actual value: {text!r:.40}")

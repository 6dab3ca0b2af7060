"""Preferences: does the model agree with people, and is it preferred to another model?

HH-RLHF: Bai et al., "Training a Helpful and Harmless Assistant with Reinforcement Learning from Human Feedback"
(arXiv:2204.05862, 2022). HHH: Askell et al., "A General Language Assistant as a Laboratory for Alignment"
(arXiv:2112.00861, 2021). Judging by a model, in both orders: Zheng et al., "Judging LLM-as-a-Judge with MT-Bench and
Chatbot Arena" (NeurIPS 2023).
"""

import os.path
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation_gym.console import progress
from curation_gym.evaluation.language_model.choices import answer_scores, chosen
from curation_gym.evaluation.language_model.instructions import respond
from curation_gym.evaluation.language_model.judges import EvaluationError, judge_name, require_texts
from curation_gym.evaluation.language_model.model import CausalModel, Unit
from curation_gym.evaluation.statistics import Estimate, over_items

TURN = "\n\nAssistant:"
Verdict = Literal["first", "second", "tie"]
PairwiseJudge = Callable[[str, str, str], Verdict]
"""(instruction, first answer, second answer) → which is better. It is called from several threads at once."""


class PreferencePair(NamedTuple):
    """Two answers of which people preferred one.

    Attributes:
        prompt: what both answer.
        chosen: the preferred answer.
        rejected: the other one.
        axis: what the preference is about, for example ``"honest"``.
    """

    prompt: str
    chosen: str
    rejected: str
    axis: str = "all"


class WinRate(NamedTuple):
    """How often a model is preferred to a baseline; the interval is over prompts.

    Attributes:
        win_rate: wins + ½ ties, as a share of prompts, in [0, 1]; 0.5: as good as the baseline.
        wins, ties, losses: prompts. A tie is also where the judge, asked in both orders, doesn't stay with its verdict.
        reversed: prompts where its two verdicts contradict each other: how much the order sways it.
        judge: who compared.
    """

    win_rate: Estimate
    wins: int
    ties: int
    losses: int
    reversed: int
    judge: str


def dialogue_pair(chosen: str, rejected: str) -> PreferencePair:
    """Two dialogues of HH-RLHF as a pair: the prompt is what both share, up to the last turn of the assistant.

    Raises:
        EvaluationError: when they share no turn, or one ends with it.
    """
    shared = os.path.commonprefix([chosen, rejected])  # noqa: RUF071 - characters are what is meant
    end = shared.rfind(TURN) + len(TURN)
    if end < len(TURN):
        raise EvaluationError(f"two dialogues share no turn {TURN!r}, after which they could be compared")
    pair = PreferencePair(chosen[:end], chosen[end:].strip(), rejected[end:].strip())
    if not pair.chosen or not pair.rejected:
        raise EvaluationError("a dialogue has no answer after what it shares with the other; leave the pair out")
    return pair


def readable(model: CausalModel, pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """The pairs whose answers the model can read whole; the others it can't compare."""
    if not pairs:
        return []
    answers = [f" {answer}" for pair in pairs for answer in (pair.chosen, pair.rejected)]
    encoded = model.tokenizer(answers, add_special_tokens=False, verbose=False).input_ids
    # One token to spare: after a prompt an answer may be cut into tokens differently.
    fits = [len(ids) < model.max_length for ids in encoded]
    return [pair for pair, *both in zip(pairs, fits[::2], fits[1::2], strict=True) if all(both)]


def preference_accuracy(
    model: CausalModel, pairs: Sequence[PreferencePair], *, per: Unit = "sum"
) -> dict[str, Estimate]:
    """Share of pairs where the preferred answer is the more probable one; a tie counts half.

    Args:
        model: any.
        pairs: n ≥ 1.
        per: what an answer's log-likelihood is divided by; summed, the shorter answer has an advantage.

    Returns:
        axis → accuracy in [0, 1] with its interval over pairs, and ``"overall"``.

    Raises:
        EvaluationError: for a blank text, or an answer that the model can't read whole; see :func:`readable`.
    """
    answers = [(pair.chosen, pair.rejected) for pair in pairs]
    scores = answer_scores(model, [pair.prompt for pair in pairs], answers, per)
    right = np.array([chosen(row)[0] for row in scores])
    axis = np.array([pair.axis for pair in pairs])
    names = sorted(set(axis.tolist()))
    return {"overall": over_items(right)} | {name: over_items(right[axis == name]) for name in names if len(names) > 1}


def win_rate(
    model: CausalModel,
    baseline: CausalModel,
    instructions: Sequence[str],
    judge: PairwiseJudge,
    *,
    template: str | None = None,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    seed: int = 0,
    parallel: int = 4,
) -> WinRate:
    """Have both models answer, and the answers compared.

    Args:
        model, baseline: any two.
        instructions: n texts.
        judge: see :func:`compared`.
        template: see :func:`~curation_gym.evaluation.language_model.instructions.respond`.
        max_new_tokens, temperature, seed: see :meth:`CausalModel.generate`.
        parallel: comparisons under way at once.

    Raises:
        EvaluationError: for a blank instruction, or what the judge raises.
    """
    options: dict[str, Any] = {"max_new_tokens": max_new_tokens, "temperature": temperature, "seed": seed}
    ours, theirs = (
        [answer for [answer] in respond(one, instructions, template, **options)] for one in (model, baseline)
    )
    return compared(instructions, ours, theirs, judge, parallel=parallel)


def compared(
    instructions: Sequence[str],
    ours: Sequence[str],
    theirs: Sequence[str],
    judge: PairwiseJudge,
    *,
    parallel: int = 4,
) -> WinRate:
    """Compare two lists of answers, each pair in both orders, so that a judge that favours a place favours nobody.

    Args:
        instructions: n texts.
        ours, theirs: n answers each.
        judge: see :data:`PairwiseJudge`, for example
            :class:`~curation_gym.evaluation.language_model.endpoint.ChatJudge`.
        parallel: comparisons under way at once.

    Raises:
        EvaluationError: for lists of different lengths, an unknown verdict, or what the judge raises.
    """
    require_texts(instructions, "instructions")
    if not len(instructions) == len(ours) == len(theirs):
        raise EvaluationError(
            f"instructions and both lists of answers must be as many, actual: {len(instructions)}, {len(ours)} and "
            f"{len(theirs)}"
        )

    def judge_both(row: int) -> tuple[int, int]:
        forward = judge(instructions[row], ours[row], theirs[row])
        backward = judge(instructions[row], theirs[row], ours[row])
        return _points(forward), -_points(backward)

    with ThreadPoolExecutor(parallel) as pool:
        under_way = [pool.submit(judge_both, row) for row in range(len(instructions))]
        try:
            points = np.array([future.result() for future in progress(under_way, "comparing")])
        except BaseException:
            pool.shutdown(cancel_futures=True)  # one that fails must not cost all the others first
            raise
    agreed: NDArray[np.int64] = np.where(points[:, 0] == points[:, 1], points[:, 0], 0)
    wins, ties, losses = (int((agreed == value).sum()) for value in (1, 0, -1))
    swayed = int((points[:, 0] * points[:, 1] == -1).sum())
    return WinRate(over_items((agreed + 1) / 2), wins, ties, losses, swayed, judge_name(judge))


def _points(verdict: str) -> int:
    points = {"first": 1, "second": -1, "tie": 0}
    if verdict not in points:
        raise EvaluationError(f"a verdict must be one of {', '.join(points)}, actual value: {verdict!r}")
    return points[verdict]

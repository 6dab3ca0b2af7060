"""Answering by likelihood: which of several answers a model finds most probable."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from curation_gym.evaluation.language_model.judges import EvaluationError, require_texts
from curation_gym.evaluation.language_model.model import CausalModel, Unit

TIE = 1e-4
"""Nats within which likelihoods count as equal: float32 sums of one text differ by less from batch to batch."""


def answer_scores(
    model: CausalModel, prompts: Sequence[str], answers: Sequence[Sequence[str]], per: Unit
) -> list[NDArray[np.float64]]:
    """Log-likelihood of every answer to every prompt, in nats.

    Args:
        model: any.
        prompts: n texts.
        answers: n lists of texts; a space is put between prompt and answer.
        per: what the log-likelihood is divided by.

    Returns:
        n arrays, one number per answer.

    Raises:
        EvaluationError: for a blank prompt or answer, a prompt without answers, or see
            :meth:`CausalModel.log_likelihood`.
    """
    require_texts(prompts, "prompts")
    if len(answers) != len(prompts) or not all(len(choices) for choices in answers):
        raise EvaluationError(f"each of {len(prompts)} prompts needs a list of answers, none of them empty")
    flat = [answer for choices in answers for answer in choices]
    require_texts(flat, "answers")
    contexts = [prompt for prompt, choices in zip(prompts, answers, strict=True) for _ in choices]
    scores = model.log_likelihood(contexts, [f" {answer}" for answer in flat]).per(per)
    return np.split(scores, np.cumsum([len(choices) for choices in answers])[:-1])


def chosen(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The choice as probabilities: shared equally by the answers within :data:`TIE` of the best.

    So whatever counts choices gives its expectation under ties broken at random, and a model that can't tell the
    answers apart scores chance.
    """
    best = scores >= scores.max() - TIE
    return np.asarray(best / best.sum())

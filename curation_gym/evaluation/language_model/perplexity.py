"""Perplexity per domain, over texts of any length."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation_gym.evaluation.language_model.judges import EvaluationError, require_texts
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.statistics import Estimate, Scores, bootstrap


class Perplexity(NamedTuple):
    """Perplexity of one domain.

    Attributes:
        perplexity: exp of the mean negative log-likelihood of a token (Jelinek et al. 1977), ≥ 1; the interval is over
            documents.
        documents: how many.
        tokens: how many were predicted; perplexities compare between models of one tokenizer only.
    """

    perplexity: Estimate
    documents: int
    tokens: int


def perplexity(
    model: CausalModel, domains: Mapping[str, Sequence[str]], *, stride: int | None = None, seed: int = 0
) -> dict[str, Perplexity]:
    """Perplexity of every domain.

    A document starts with BOS (EOS where there is no BOS), and each of its tokens is predicted once. One longer than
    the model can read is read in windows: each predicts ``stride`` further tokens, and what precedes them in the window
    is their context.

    Args:
        model: any.
        domains: name → documents.
        stride: 1 … ``model.max_length`` tokens; smaller gives more context and takes longer. By default half of it.
        seed: of the bootstrap.

    Raises:
        EvaluationError: for a domain without documents, a blank document, or a stride outside its range.
    """
    step = model.max_length // 2 if stride is None else stride
    if not 1 <= step <= model.max_length:
        raise EvaluationError(f"stride must be in 1 … {model.max_length}, actual value: {stride}")
    if not domains:
        raise EvaluationError("there are no domains: give at least one")
    results = {}
    for name, documents in domains.items():
        require_texts(documents, f"documents of domain {name!r}")
        told = _negative_log_likelihoods(model, documents, step)
        tokens = int(told[1].sum())
        results[name] = Perplexity(bootstrap(_perplexity, [told], seed=seed), len(documents), tokens)
    return results


def windows(n: int, length: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """How a text of n tokens behind its start is read: (begin, end, predicted) of each window.

    Tokens are numbered with the start as 0; a window reads tokens begin … end − 1 and predicts the last ``predicted``
    of begin + 1 … end, so it spans at most ``length`` + 1 tokens. Every token but the start is predicted once.
    """
    done = 0
    while done < n:
        end = min(n, length if done == 0 else done + stride)
        yield max(0, end - length), end, end - done
        done = end


def _negative_log_likelihoods(model: CausalModel, documents: Sequence[str], stride: int) -> NDArray[np.float64]:
    """Negative log-likelihood and number of tokens of each document, (2, documents)."""
    sequences, predicted, document = [], [], []
    for row, text in enumerate(documents):
        ids = model.encode(text)
        if len(ids) < 2:
            raise EvaluationError(f"document {row} has no token that could be predicted; leave it out")
        for begin, end, n in windows(len(ids) - 1, model.max_length, stride):
            sequences.append(ids[begin : end + 1])
            predicted.append(n)
            document.append(row)
    losses = -model.score_tokens(sequences, predicted)
    return np.stack([np.bincount(document, weights) for weights in (losses, np.array(predicted, np.float64))])


def _perplexity(scores: Scores) -> NDArray[np.float64]:
    losses, tokens = scores[0]
    return np.asarray(np.exp(losses.sum(-1) / tokens.sum(-1)))

"""What a biased score says about the truth, and what audits say about the bias.

A classifier scores a sample of truth t in domain d as s = clip(t + b_d + ε, 0, 1), ε ~ N(0, noise²).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from curation_gym.envs.base import Rows

Values = NDArray[np.float64]
_BLOCK = 1 << 20
_FEWEST = 33


def log_likelihood(score: NDArray[np.floating], mean: Values, noise: float) -> Values:
    """log p(s | t + b), up to what doesn't depend on t + b.

    A score of 0 or 1 was clipped: all it tells is on which side of it t + b + ε lies.

    Args:
        score: (m,) in [0, 1].
        mean: (m, k), values of t + b.
        noise: standard deviation of ε, > 0.

    Returns:
        (m, k)
    """
    log = -0.5 * ((score[:, None] - mean) / noise) ** 2
    low, high = score <= 0, score >= 1
    log[low] = log_ndtr(-mean[low] / noise)
    log[high] = log_ndtr((mean[high] - 1) / noise)
    return log


def expected_truth(
    score: NDArray[np.floating],
    bias: Values,
    population: NDArray[np.integer],
    truths: Values,
    log_prior: Values,
    noise: float,
) -> Values:
    """E[t | s, b], the posterior mean by Bayes' rule over a discrete prior.

    Args:
        score: (m,) in [0, 1].
        bias: (m,), of each sample's domain.
        population: (m,), which row of the two that follow is a sample's.
        truths: (populations, k), the values that t can have.
        log_prior: (populations, k), log of their prior probability, up to a constant; −∞: not possible.
        noise: standard deviation of ε, > 0.

    Returns:
        (m,)
    """
    expected = np.empty(len(score))
    block = max(1, _BLOCK // truths.shape[1])
    for start in range(0, len(score), block):
        part = slice(start, start + block)
        t = truths[population[part]]
        log = log_prior[population[part]] + log_likelihood(score[part], t + bias[part, None], noise)
        weight = np.exp(log - log.max(1, keepdims=True))
        expected[part] = (weight * t).sum(1) / weight.sum(1)
    return expected


class BiasBelief:
    """The exact posterior of every domain's bias on a grid, given audits, for a batch of episodes.

    The prior is b_d ~ U(−max_bias, max_bias); with ``drift`` h, every b_d is drawn anew before each step with
    probability h, independently: the forward filter of a hidden Markov model, as in Adams and MacKay, "Bayesian
    Online Changepoint Detection" (2007), with a constant hazard.

    Args:
        n_rows: episodes.
        n_domains: domains.
        max_bias: > 0.
        noise: standard deviation of ε, > 0; the grid is at least four times as fine.
        drift: probability per step in [0, 1).

    Attributes:
        mean, sd: of the posterior, (n_rows, n_domains).
    """

    def __init__(self, n_rows: int, n_domains: int, max_bias: float, noise: float, drift: float) -> None:
        size = max(_FEWEST, int(np.ceil(8 * max_bias / noise)))
        self.grid = max_bias * ((2 * np.arange(size) + 1) / size - 1)
        self.noise, self.drift = noise, drift
        self._log = np.zeros((n_rows, n_domains, size))  # of the posterior, up to a constant per domain
        self.mean, self.sd = np.zeros((n_rows, n_domains)), np.zeros((n_rows, n_domains))

    def clear(self, rows: Rows) -> None:
        """Forget all that was learnt in ``rows``."""
        self._log[rows] = 0
        self._summarise(rows)

    def update(
        self, rows: Rows, where: Rows, domain: NDArray[np.integer], score: NDArray[np.floating], truth: Values
    ) -> None:
        """Learn from audited samples, then pass to the next step.

        Args:
            rows: that advance.
            where: (m,), the position in ``rows`` of each audited sample.
            domain, score, truth: (m,), what is known of it.
        """
        if not len(where) and not self.drift:
            return
        log = self._log[rows]
        np.add.at(log, (where, domain), log_likelihood(score, truth[:, None] + self.grid, self.noise))
        if self.drift:
            log = np.log((1 - self.drift) * _normalised(log) + self.drift / len(self.grid))
        self._log[rows] = log
        self._summarise(rows)

    def _summarise(self, rows: Rows) -> None:
        p = _normalised(self._log[rows])
        mean = (p * self.grid).sum(-1)
        self.mean[rows] = mean
        self.sd[rows] = np.sqrt((p * (self.grid - mean[..., None]) ** 2).sum(-1))


def _normalised(log: Values) -> Values:
    p = np.exp(log - log.max(-1, keepdims=True))
    return np.asarray(p / p.sum(-1, keepdims=True))

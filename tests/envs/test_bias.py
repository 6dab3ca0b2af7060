"""Bayes' rule behind BiasedSelection against simulation and loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from curation_gym.envs.bias import BiasBelief, expected_truth, log_likelihood

NOISE = 0.1


@pytest.mark.parametrize("bias", [-0.4, 0.0, 0.35])
def test_the_posterior_mean_is_what_simulation_finds(bias: float) -> None:
    """A million samples; those of nearly one score have the mean truth that the formula says, clipped ones too."""
    rng = np.random.default_rng(0)
    values, probabilities = np.array([0.05, 0.3, 0.5, 0.9]), np.array([0.1, 0.4, 0.3, 0.2])
    truth = rng.choice(values, 1_000_000, p=probabilities)
    score = np.clip(truth + bias + NOISE * rng.standard_normal(len(truth)), 0, 1)
    compared = 0
    for at in (0.0, 0.1, 0.25, 0.4, 0.55, 0.7, 0.9, 1.0):
        near = score == at if at in (0, 1) else np.abs(score - at) < 0.005
        if near.sum() > 500:
            told = (np.array([at]), np.array([bias]), np.zeros(1, int), values[None], np.log(probabilities)[None])
            error = truth[near].std() / np.sqrt(near.sum())
            assert expected_truth(*told, NOISE)[0] == pytest.approx(truth[near].mean(), abs=4 * error + 2e-3)
            compared += 1
    assert compared >= 5


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.floats(0, 1), min_size=2, max_size=6),
    bias=st.floats(-1, 1),
    noise=st.floats(0.01, 0.5),
    seed=st.integers(0, 1000),
)
def test_it_rises_with_the_score_and_stays_among_the_values(
    values: list[float], bias: float, noise: float, seed: int
) -> None:
    prior = np.random.default_rng(seed).dirichlet(np.ones(len(values)))[None]
    score = np.linspace(0, 1, 41)
    rest = np.full(41, bias), np.zeros(41, int), np.array([values]), np.log(np.maximum(prior, 1e-12))
    expected = expected_truth(score, *rest, noise)
    assert (np.diff(expected) >= -1e-12).all()
    assert min(values) - 1e-12 <= expected.min()
    assert expected.max() <= max(values) + 1e-12


def test_many_at_once_are_each_as_alone() -> None:
    rng = np.random.default_rng(1)
    score, bias, population = rng.random(3000), rng.uniform(-1, 1, 3000), rng.integers(2, size=3000)
    truths, prior = rng.random((2, 700)), np.where(rng.random((2, 700)) < 0.5, -np.inf, 0.0)
    together = expected_truth(score, bias, population, truths, prior, NOISE)
    for i in (0, 1500, 2999):
        alone = expected_truth(score[[i]], bias[[i]], population[[i]], truths, prior, NOISE)
        assert alone[0] == together[i]


def test_likelihoods_of_clipped_and_unclipped_scores() -> None:
    mean = np.linspace(-1, 2, 7)[None]
    for score, expected in [
        (0.0, norm.logcdf(0, mean, NOISE)),
        (1.0, norm.logsf(1, mean, NOISE)),
        (0.4, norm.logpdf(0.4, mean, NOISE) - norm.logpdf(0, 0, NOISE)),
    ]:
        np.testing.assert_allclose(log_likelihood(np.array([score]), mean, NOISE), expected, rtol=1e-9)


def naive_posterior(belief: BiasBelief, audits: list[list[tuple[float, float]]], drift: float) -> np.ndarray:
    """Of one domain, from lists of (score, truth) per step."""
    p = [1 / len(belief.grid)] * len(belief.grid)
    for step in audits:
        for score, truth in step:
            for k, b in enumerate(belief.grid):
                if score in (0, 1):
                    p[k] *= norm.cdf(0, truth + b, NOISE) if score == 0 else norm.sf(1, truth + b, NOISE)
                else:
                    p[k] *= math.exp(-0.5 * ((score - truth - b) / NOISE) ** 2)
        total = sum(p)
        p = [(1 - drift) * value / total + drift / len(p) for value in p]
    return np.array(p)


@pytest.mark.parametrize("drift", [0.0, 0.2])
def test_a_belief_is_what_a_loop_finds(drift: float) -> None:
    belief = BiasBelief(3, 2, 0.5, NOISE, drift)
    rows = np.array([2])
    belief.clear(np.arange(3))
    audits = [[(0.3, 0.5), (0.45, 0.5)], [], [(0.0, 0.1)], [(1.0, 0.9), (0.6, 0.7)]]
    for step in audits:
        score, truth = (np.array([pair[i] for pair in step], float) for i in (0, 1))
        belief.update(rows, np.zeros(len(step), int), np.ones(len(step), int), score, truth)
    p = naive_posterior(belief, audits, drift)
    mean = p @ belief.grid
    assert belief.mean[2, 1] == pytest.approx(mean, abs=1e-9)
    assert belief.sd[2, 1] == pytest.approx(np.sqrt(p @ (belief.grid - mean) ** 2), abs=1e-9)
    np.testing.assert_allclose(belief.mean[[0, 0, 1, 1, 2], [0, 1, 0, 1, 0]], 0, atol=1e-12)
    np.testing.assert_allclose(belief.sd[0], 0.5 / np.sqrt(3), rtol=1e-3)


def test_audits_teach_the_bias_and_drift_forgets_it() -> None:
    rng = np.random.default_rng(2)
    for drift, later in [(0.0, 0.02), (0.1, 0.25)]:
        belief = BiasBelief(1, 1, 0.5, NOISE, drift)
        belief.clear(np.arange(1))
        truth = rng.uniform(0.4, 0.6, 100)
        score = np.clip(truth + 0.2 + NOISE * rng.standard_normal(100), 0, 1)
        belief.update(np.arange(1), np.zeros(100, int), np.zeros(100, int), score, truth)
        assert belief.mean[0, 0] == pytest.approx(0.2 * (1 - drift), abs=0.04)
        nothing = np.zeros(0, int)
        for _ in range(20):
            belief.update(np.arange(1), nothing, nothing, np.zeros(0), np.zeros(0))
        assert (belief.sd[0, 0] > later) == (drift > 0)


def test_the_posterior_is_calibrated() -> None:
    """Over biases from the prior, the posterior's error has the variance that it says."""
    rng = np.random.default_rng(3)
    n = 4000
    belief = BiasBelief(n, 1, 0.4, NOISE, 0.0)
    belief.clear(np.arange(n))
    bias, truth = rng.uniform(-0.4, 0.4, n), rng.random((n, 3))
    score = np.clip(truth + bias[:, None] + NOISE * rng.standard_normal((n, 3)), 0, 1)
    where = np.repeat(np.arange(n), 3)
    belief.update(np.arange(n), where, np.zeros(3 * n, int), score.ravel(), truth.ravel())
    error = belief.mean[:, 0] - bias
    assert error.mean() == pytest.approx(0, abs=4 * error.std() / np.sqrt(n))
    assert (error**2).mean() == pytest.approx((belief.sd**2).mean(), rel=0.1)

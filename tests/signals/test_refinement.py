"""A signal that audits correct: back to itself without any, domain by domain with few, text by text with many."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from curation_gym.signals.refinement import RefinedSignal


def biased(n: int = 3000, seed: int = 0, shift: float = 2.0, text: float = 0.0) -> tuple[np.ndarray, ...]:
    """A signal that is off by −shift in domain 1, and that misses what one direction of the embedding tells."""
    rng = np.random.default_rng(seed)
    domain, X = rng.integers(2, size=n), rng.standard_normal((n, 8))
    seen = rng.standard_normal(n)
    truth = rng.random(n) < expit(2 * seen + text * X[:, 0])
    return expit(2 * seen - shift * (domain == 1)), domain, X, truth


def test_without_audits_the_signal_stays() -> None:
    signal, domain, X, _ = biased()
    refined = RefinedSignal(signal, domain, X)
    np.testing.assert_allclose(refined.score(), np.clip(signal, 0.001, 0.999), atol=1e-6)
    np.testing.assert_allclose(refined.fit([], []).score([3, 1]), np.clip(signal, 0.001, 0.999)[[3, 1]], atol=1e-6)


def test_few_audits_find_what_a_domain_has_in_common() -> None:
    signal, domain, X, truth = biased()
    refined = RefinedSignal(signal, domain, X).fit(np.arange(150), truth[:150]).score()
    for code in (0, 1):
        inside = domain == code
        before, after = (abs(scores[inside].mean() - truth[inside].mean()) for scores in (signal, refined))
        assert after < 0.06
        if code == 1:
            assert before > 0.2


def test_many_audits_find_what_the_classifier_never_understood() -> None:
    signal, domain, X, truth = biased(text=2.0)
    before = roc_auc_score(truth[1500:], signal[1500:])
    refined = RefinedSignal(signal, domain, X).fit(np.arange(1500), truth[:1500]).score()
    assert roc_auc_score(truth[1500:], refined[1500:]) > before + 0.1


def test_it_is_the_optimum_of_ridge_logistic_regression_in_each_domain() -> None:
    """Without a signal (one half everywhere) scikit-learn solves the same problem."""
    _, domain, X, truth = biased(n=400)
    others = np.random.default_rng(1).standard_normal((400, 2))
    spreads = {"spread": 1.5, "text_spread": 2.0, "signal_spread": 0.7}
    ours = RefinedSignal(np.full(400, 0.5), domain, X, others, **spreads).fit(np.arange(400), truth).score()
    norm = np.sqrt((X**2).sum(1).mean())
    standard = (others - others.mean(0)) / others.std(0)
    features = np.hstack([np.full((400, 1), 1.5), 2.0 * X / norm, 0.7 * standard])
    for code in (0, 1):
        inside = domain == code
        theirs = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-8, max_iter=1000)
        theirs.fit(features[inside], truth[inside])
        np.testing.assert_allclose(ours[inside], theirs.predict_proba(features[inside])[:, 1], atol=2e-3)


def test_what_another_signal_knows_of_one_domain_is_found_there() -> None:
    signal, domain, X, truth = biased()
    rng = np.random.default_rng(2)
    other = np.where(domain == 1, truth, rng.random(len(truth)) < 0.5) + 0.3 * rng.standard_normal(len(truth))
    refined = RefinedSignal(signal, domain, X, other[:, None]).fit(np.arange(300), truth[:300]).score()
    for code, least in ((0, 0.8), (1, 0.97)):
        inside = (domain == code) & (np.arange(len(truth)) >= 300)
        assert roc_auc_score(truth[inside], refined[inside]) > least


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), n=st.integers(1, 30))
def test_scores_are_probabilities_and_audits_pull_towards_their_answers(seed: int, n: int) -> None:
    signal, domain, X, _ = biased(n=60, seed=seed)
    ids, rng = np.arange(n), np.random.default_rng(seed)
    answer = bool(rng.integers(2))
    before = RefinedSignal(signal, domain, X).score(ids)
    after = RefinedSignal(signal, domain, X).fit(ids, np.full(n, answer)).score()
    assert ((after >= 0) & (after <= 1)).all()
    moved = logit(after[ids]) - logit(before)
    assert bool(moved.sum() > 0) is answer


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 1.2], [0, 0], np.ones((2, 3))), r"in \[0, 1\], actual: 1.2"),
        (([0.5], [0, 0], np.ones((2, 3))), "lengths must be equal"),
    ],
)
def test_what_is_no_signal_is_refused(arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RefinedSignal(*arguments)


def test_audits_of_nothing_are_refused() -> None:
    refined = RefinedSignal([0.5, 0.5], [0, 0], np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"ids in 0 … 1"):
        refined.fit([2], [True])
    with pytest.raises(ValueError, match=r"\(1,\) ids and \(2,\) answers"):
        refined.fit([1], [True, False])
    with pytest.raises(ValueError, match="spreads must be > 0"):
        RefinedSignal([0.5], [0], np.ones((1, 3)), spread=0)

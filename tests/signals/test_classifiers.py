"""Classifiers: what they learn, and that a fold never trains on itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from curation_gym.signals.classifiers import ClassifierError, TextScorer, auc_within, cross_fitted, ngrams
from curation_gym.signals.encoders import TfidfSvdConfig, make_encoder

GOOD, BAD = ["calm", "gentle", "kind", "warm", "polite"], ["rude", "harsh", "cruel", "cold", "nasty"]


def texts_of(words: list[str], n: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [f"{' '.join(rng.choice([*words, 'the', 'and', 'a'], 7))} {i}" for i in range(n)]


@pytest.fixture(scope="module")
def labelled() -> tuple[list[str], np.ndarray]:
    return texts_of(GOOD, 60, 0) + texts_of(BAD, 40, 1), np.arange(100) < 60


def test_labels_are_learned_from_ngrams_and_from_embeddings(labelled) -> None:
    texts, positive = labelled
    new = texts_of(GOOD, 20, 2) + texts_of(BAD, 20, 3)
    encoder = make_encoder(TfidfSvdConfig(dimension=16), texts)
    for scorer in (TextScorer(), TextScorer(encoder, c=10.0)):
        scores = scorer.fit(texts, positive).score(new)
        assert scores.dtype == np.float32
        assert ((scores >= 0) & (scores <= 1)).all()
        assert scores[:20].min() > scores[20:].max()
        np.testing.assert_array_equal(scores, scorer.fit(texts, positive).score(new))


def test_preferences_are_learned_and_an_average_text_scores_a_half() -> None:
    chosen, rejected = texts_of(GOOD, 50, 0), texts_of(BAD, 50, 1)
    scorer = TextScorer().fit_preferences(chosen, rejected)
    assert (scorer.logits(chosen) > scorer.logits(rejected)).all()
    assert scorer.logits(chosen + rejected).mean() == pytest.approx(0, abs=1e-6)
    assert scorer.score(texts_of(GOOD, 10, 5)).min() > 0.5 > scorer.score(texts_of(BAD, 10, 6)).max()
    mirrored = TextScorer().fit_preferences(rejected, chosen)
    np.testing.assert_allclose(mirrored.logits(chosen), -scorer.logits(chosen), atol=1e-3)


def test_held_out_scores_are_those_of_models_that_did_not_see_the_text(labelled) -> None:
    texts, positive = labelled
    folds = np.arange(len(texts)) % 4
    scorer = TextScorer(c=2.0)
    assert scorer.fit(texts, positive).held_out is None
    held_out = scorer.fit(texts, positive, folds).held_out
    np.testing.assert_array_equal(held_out, cross_fitted(ngrams().fit_transform(texts), positive, folds, c=2.0))
    flipped = scorer.fit(texts, np.where(folds == 1, ~positive, positive), folds).held_out
    np.testing.assert_array_equal(flipped[folds == 1], held_out[folds == 1])


def test_held_out_preferences_are_those_of_models_that_did_not_see_the_pair() -> None:
    chosen, rejected = texts_of(GOOD, 60, 0), texts_of(BAD, 60, 1)
    folds = np.arange(60) % 4
    held_out = TextScorer().fit_preferences(chosen, rejected, folds).held_out
    assert held_out.shape == (60,)
    assert held_out.min() > 0.5
    turned = [(b, a) if fold == 1 else (a, b) for a, b, fold in zip(chosen, rejected, folds, strict=True)]
    other = TextScorer().fit_preferences(*zip(*turned, strict=True), folds).held_out
    np.testing.assert_allclose(other[folds == 1], 1 - held_out[folds == 1], atol=1e-3)
    assert TextScorer().fit_preferences(chosen, rejected).held_out is None


def test_no_fold_trains_on_itself() -> None:
    """Random targets: a model that saw them would score well above chance."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((400, 200)).astype(np.float32)
    positive = rng.random(400) < 0.5
    folds = np.arange(400) % 5
    scores = cross_fitted(features, positive, folds, c=10.0)
    auc = auc_within(scores, positive, np.zeros(400, int), ["all"])["all"]
    assert 0.4 < auc < 0.6
    np.testing.assert_allclose(cross_fitted(sparse.csr_matrix(features), positive, folds, c=10.0), scores, atol=1e-3)
    # Changing a fold's own targets changes nothing in that fold.
    flipped = np.where(folds == 2, ~positive, positive)
    again = cross_fitted(features, flipped, folds, c=10.0)
    np.testing.assert_array_equal(again[folds == 2], scores[folds == 2])
    assert (again[folds == 1] != scores[folds == 1]).any()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 1)), min_size=1, max_size=30))
def test_auc_within_counts_ordered_pairs(rows: list[tuple[int, bool, int]]) -> None:
    scores, positive, domain = (np.array(column) for column in zip(*rows, strict=True))
    report = auc_within(scores, positive, domain, ["a", "b"])
    for code, name in enumerate(("a", "b")):
        ups, downs = scores[(domain == code) & positive], scores[(domain == code) & ~positive]
        wins = [float(up > down) + 0.5 * float(up == down) for up in ups for down in downs]
        assert report[name] == pytest.approx(np.mean(wins)) if wins else np.isnan(report[name])


def test_too_little_to_train_on_and_untrained_scorers_are_refused(labelled) -> None:
    texts, positive = labelled
    with pytest.raises(ClassifierError, match="actual numbers: 5 positive, 40 negative"):
        TextScorer().fit(texts[55:], positive[55:])
    with pytest.raises(ClassifierError, match="at least 10 pairs, actual numbers: 3, 3"):
        TextScorer().fit_preferences(texts[:3], texts[3:6])
    with pytest.raises(ClassifierError, match="not trained"):
        TextScorer().score(texts)
    with pytest.raises(ClassifierError, match="at least 10 texts of each class"):
        cross_fitted(np.ones((30, 2)), np.arange(30) < 12, np.arange(30) // 12)

"""The same picks as scikit-activeml, and for BADGE the same distribution, on real digits."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from curation_gym.acquisition import badge, best, coreset, distance_to_labelled, kmeans, typiclust
from curation_gym.acquisition.badge import Gradients
from curation_gym.signals.uncertainty import margin

pytest.importorskip("skactiveml", reason="needs scikit-activeml")

from skactiveml.classifier import SklearnClassifier
from skactiveml.pool import Badge, CoreSet, TypiClust, UncertaintySampling

X, LABEL = (array[:600] for array in load_digits(return_X_y=True))
X = (X / 16).astype(np.float32)
LEFT, KNOWN = X[:540], X[540:]
Y = np.append(np.full(540, np.nan), LABEL[540:])


@pytest.fixture(scope="module")
def model() -> SklearnClassifier:
    return SklearnClassifier(LogisticRegression(C=10), classes=list(range(10))).fit(X, Y)


def test_margin(model: SklearnClassifier) -> None:
    strategy = UncertaintySampling(method="margin_sampling", random_state=0)
    theirs, utilities = strategy.query(X, Y, clf=model, fit_clf=False, batch_size=20, return_utilities=True)
    scores = margin(model.predict_proba(LEFT)[None])
    np.testing.assert_allclose(scores, utilities[0, :540], atol=1e-9)
    assert best(scores, np.zeros(540), 20).tolist() == theirs.tolist()


def test_coreset() -> None:
    theirs, utilities = CoreSet(random_state=0).query(X, Y, batch_size=25, return_utilities=True)
    distances = distance_to_labelled(LEFT, KNOWN)
    np.testing.assert_allclose(distances, utilities[0, :540], rtol=1e-3)
    assert coreset(LEFT, distances, 25).tolist() == theirs.tolist()


def test_coreset_differs_only_where_samples_are_equally_far() -> None:
    whole, differ = (X * 16).astype(int), 0
    for seed in range(12):
        order = np.random.default_rng(seed).permutation(600)
        known, left = order[:40], np.sort(order[40:])
        y = np.append(np.full(560, np.nan), LABEL[known])
        theirs = CoreSet(random_state=0).query(np.vstack([X[left], X[known]]), y, batch_size=25)
        ours = coreset(X[left], distance_to_labelled(X[left], X[known]), 25)
        for at in np.flatnonzero(ours != theirs)[:1]:
            covered = whole[np.append(known, left[ours[:at]])]
            far = [((whole[left[picks[at]]] - covered) ** 2).sum(1).min() for picks in (ours, theirs)]
            assert far[0] == far[1]
            differ += 1
    assert differ < 12


def test_typiclust_on_the_same_clusters() -> None:
    class Ours:
        """Our clusters in the form that it asks for."""

        def __init__(self, n_clusters: int) -> None:
            self.n_clusters = n_clusters

        def fit_predict(self, points: np.ndarray) -> np.ndarray:
            labels = kmeans(points, self.n_clusters, np.random.default_rng(0)).labels
            sizes = np.bincount(labels)
            assert len(set(sizes[:540].tolist())) > 3  # the order of clusters can be told
            return labels

    known = KNOWN[:4]
    theirs = TypiClust(random_state=0, k=20, cluster_algo=Ours).query(
        np.vstack([LEFT, known]), Y[: len(LEFT) + 4], batch_size=6
    )
    assert typiclust(LEFT, known, 6, np.random.default_rng(0)).tolist() == theirs.tolist()


def test_badge_draws_the_second_pick_with_the_same_probabilities(model: SklearnClassifier) -> None:
    theirs, utilities = Badge(random_state=0).query(X, Y, clf=model, fit_clf=False, batch_size=2, return_utilities=True)
    probabilities = model.predict_proba(LEFT)
    picks = badge(LEFT, probabilities, 2, np.random.default_rng(0))
    assert picks[0] == theirs[0]
    gradients = Gradients(LEFT, probabilities)
    squared = gradients.squared_distances(picks[:1])[:, 0].astype(np.float64)
    squared = np.minimum(squared, gradients.norms)
    others = np.arange(540) != picks[0]
    np.testing.assert_allclose((squared / squared.sum())[others], utilities[1, :540][others], rtol=1e-3, atol=1e-7)

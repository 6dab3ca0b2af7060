"""Acquisition functions in one form, ours and scikit-activeml's, so that they can be measured side by side."""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation_gym import acquisition
from curation_gym.signals.uncertainty import margin

PEER = "scikit-activeml"


@dataclass(frozen=True)
class Query:
    """What a strategy is asked: which ``picks`` of the candidates are labelled next.

    Attributes:
        candidates: (samples, d).
        labelled: (labels, d).
        labels: (labels,), classes from 0 on.
        probabilities: (samples, K), the model's.
        picks: how many.
        seed: of what is drawn.
    """

    candidates: NDArray[np.float32]
    labelled: NDArray[np.float32]
    labels: NDArray[np.integer]
    probabilities: NDArray[np.floating]
    picks: int
    seed: int

    @property
    def rng(self) -> np.random.Generator:
        """A generator at its beginning."""
        return np.random.default_rng(self.seed)

    @cached_property
    def priority(self) -> NDArray[np.float64]:
        """(samples,), breaks ties."""
        return self.rng.random(len(self.candidates))

    @cached_property
    def scores(self) -> NDArray[np.floating]:
        """(samples,), the margin criterion."""
        return margin(self.probabilities[None])

    @cached_property
    def together(self) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """All samples, candidates first, and their labels, NaN for a candidate: how the peer is asked."""
        unknown = np.full(len(self.candidates), np.nan)
        return np.concatenate([self.candidates, self.labelled]), np.append(unknown, self.labels)


Strategy = Callable[[Query], NDArray[np.integer]]


def _coreset(q: Query) -> NDArray[np.intp]:
    distances = acquisition.distance_to_labelled(q.candidates, q.labelled)
    return acquisition.coreset(q.candidates, distances, q.picks)


def _clustered(q: Query, method: Any) -> NDArray[np.intp]:
    return acquisition.clustered(q.scores, q.priority, q.candidates, q.picks, q.rng, method=method)


OURS: dict[str, Strategy] = {
    "margin": lambda q: acquisition.best(margin(q.probabilities[None]), q.priority, q.picks),
    "badge": lambda q: acquisition.badge(q.candidates, q.probabilities, q.picks, q.rng),
    "coreset": _coreset,
    "typiclust": lambda q: acquisition.typiclust(q.candidates, q.labelled, q.picks, q.rng),
    "diverse": lambda q: acquisition.diverse(q.scores, q.priority, q.candidates, q.picks),
    "clustered_kmeans": lambda q: _clustered(q, "kmeans"),
    "clustered_dbscan": lambda q: _clustered(q, "dbscan"),
    # No strategies, but what others are made of: a cluster per label, and what a pool is asked once.
    "kmeans": lambda q: acquisition.kmeans(q.candidates, len(q.labelled) + q.picks, q.rng).labels,
    "typicality": lambda q: acquisition.typicality(q.candidates).argsort(),
}


def peers() -> dict[str, Strategy]:
    """The same by scikit-activeml; empty when it isn't installed."""
    if importlib.util.find_spec("skactiveml") is None:
        return {}
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge, CoreSet, TypiClust, UncertaintySampling

    class Given(SkactivemlClassifier):  # type: ignore[misc]
        """Predicts the query's probabilities for its candidates."""

        def __init__(self, probabilities: NDArray[np.floating]) -> None:
            super().__init__(classes=list(range(probabilities.shape[1])))
            self.probabilities = probabilities

        def fit(self, X: Any, y: Any) -> "Given":
            return self

        def predict_proba(self, X: Any) -> NDArray[np.floating]:
            return self.probabilities

    def ask(q: Query, strategy: Any, **model: Any) -> Any:
        return strategy.query(*q.together, batch_size=q.picks, **model)

    def ask_with_model(q: Query, strategy: Any) -> Any:
        return ask(q, strategy, clf=Given(q.probabilities), fit_clf=False)

    return {
        "margin": lambda q: ask_with_model(q, UncertaintySampling(method="margin_sampling", random_state=q.seed)),
        "badge": lambda q: ask_with_model(q, Badge(random_state=q.seed)),
        "coreset": lambda q: ask(q, CoreSet(random_state=q.seed)),
        "typiclust": lambda q: ask(q, TypiClust(random_state=q.seed, k=20)),
    }


def shown_as(strategy: str, by_peer: bool) -> str:
    """In results."""
    return f"{strategy} ({PEER})" if by_peer else strategy

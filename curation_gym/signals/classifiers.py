"""Signals from trained classifiers: logistic regression on n-grams or on any encoder's embeddings."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_union

from curation_gym.signals.encoders import Encoder, hashed_tfidf

Features = Any  # dense (n, d) or sparse CSR (n, d), both float32
Featurize = Callable[[Sequence[str]], Features]
MIN_PER_CLASS = 10


class ClassifierError(ValueError):
    """A classifier that can't be trained or a score that can't be made. Never replaced by a number."""


class TextScorer:
    """A linear scorer of texts, trained on labels or on preferences.

    Labels give logistic regression with balanced classes: the score is P(positive), as if both classes were
    equally frequent. Preferences give the Bradley–Terry model (Bradley and Terry 1952) that is linear in the
    features: the score is the probability that the text is preferred to an average training text.

    Args:
        encoder: a fitted encoder whose rows are the features; by default hashed TF-IDF of words, word pairs
            and character 2- to 5-grams.
        c: inverse strength of the L2 penalty; larger fits closer.

    Attributes:
        held_out: after a fit with folds, P(positive) of every training text, or P(chosen is preferred) of every pair,
            from a model that was not trained on its fold: float32 (n,).
    """

    held_out: NDArray[np.float32] | None = None

    def __init__(self, encoder: Encoder | None = None, c: float = 1.0) -> None:
        self._encoder, self._c = encoder, c
        self._featurize: Featurize | None = encoder
        self._model: LogisticRegression | None = None
        self._offset = 0.0

    def fit(
        self,
        texts: Sequence[str],
        positive: NDArray[np.bool_],
        folds: NDArray[np.integer] | None = None,
        weight: NDArray[np.floating] | None = None,
    ) -> "TextScorer":
        """Train on labelled texts.

        Args:
            texts: n strings.
            positive: bool (n,).
            folds: of the texts, (n,), for :attr:`held_out`; texts alike must share one.
            weight: of the texts, (n,), 1 in the mean; by default every class weighs the same.

        Raises:
            ClassifierError: when a class has fewer than 10 texts, in all or outside a fold.
        """
        require_classes(positive)
        features = self._fitted_features(texts)
        self._model = _logistic(self._c, balanced=weight is None).fit(features, positive, weight)
        self._offset = 0.0
        self.held_out = None if folds is None else cross_fitted(features, positive, folds, self._c, weight)
        return self

    def fit_preferences(
        self, chosen: Sequence[str], rejected: Sequence[str], folds: NDArray[np.integer] | None = None
    ) -> "TextScorer":
        """Train on pairs of which the first was preferred.

        Args:
            chosen: n strings.
            rejected: n strings.
            folds: of the pairs, (n,), for :attr:`held_out`; pairs alike must share one.

        Raises:
            ClassifierError: when there are fewer than 10 pairs, or the lists differ in length.
        """
        if len(chosen) != len(rejected) or len(chosen) < MIN_PER_CLASS:
            raise ClassifierError(
                f"preferences need at least {MIN_PER_CLASS} pairs, actual numbers: {len(chosen)}, {len(rejected)}"
            )
        features = self._fitted_features([*chosen, *rejected])
        difference = features[: len(chosen)] - features[len(chosen) :]
        self._model = _preferring(difference, self._c)
        self._offset = float(self._model.decision_function(features).mean())
        self.held_out = None
        if folds is not None:
            self.held_out = np.empty(len(chosen), np.float32)
            for fold in np.unique(folds):
                inside = folds == fold
                model = _preferring(difference[~inside], self._c)
                self.held_out[inside] = _sigmoid(model.decision_function(difference[inside]))
        return self

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Log-odds of :meth:`score`, float64 (n,); the difference of two is a preference's."""
        if self._featurize is None or self._model is None:
            raise ClassifierError("the scorer is not trained: call fit or fit_preferences first")
        return np.asarray(self._model.decision_function(self._featurize(texts)) - self._offset)

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Score texts: float32 (n,) in [0, 1]."""
        return _sigmoid(self.logits(texts))

    def _fitted_features(self, texts: Sequence[str]) -> Features:
        if self._encoder is not None:
            return self._encoder(texts)
        union = ngrams().fit(texts)
        self._featurize = union.transform
        return union.transform(texts)


def ngrams() -> Any:
    """Hashed TF-IDF of words and word pairs, and of character 2- to 5-grams within words: an unfitted
    transformer."""
    words = hashed_tfidf(n_features=1 << 17, ngram_range=(1, 2))
    characters = hashed_tfidf(n_features=1 << 18, analyzer="char_wb", ngram_range=(2, 5))
    return make_union(words, characters)


def cross_fitted(
    features: Features,
    positive: NDArray[np.bool_],
    groups: NDArray[np.integer],
    c: float = 1.0,
    weight: NDArray[np.floating] | None = None,
) -> NDArray[np.float32]:
    """P(positive) of every sample from a model that was not trained on its fold.

    Args:
        features: dense or sparse (n, d), row i belongs to sample i.
        positive: bool (n,).
        groups: the fold of each sample, (n,); equal samples must share a fold.
        c: inverse strength of the L2 penalty.
        weight: of the samples, (n,); by default classes are balanced.

    Returns:
        float32 (n,) in [0, 1].

    Raises:
        ClassifierError: when outside some fold a class has fewer than 10 samples.
    """
    scores = np.empty(len(positive), np.float32)
    for fold in np.unique(groups):
        inside = groups == fold
        require_classes(positive[~inside])
        some = None if weight is None else weight[~inside]
        model = _logistic(c, balanced=weight is None).fit(features[~inside], positive[~inside], some)
        scores[inside] = _sigmoid(model.decision_function(features[inside]))
    return scores


def auc_within(
    scores: NDArray[Any],
    positive: NDArray[np.bool_],
    domain: NDArray[np.integer],
    domain_names: Sequence[str],
) -> dict[str, float]:
    """Area under the ROC curve within each domain; pooled it would mostly say which domain a text is from.

    Args:
        scores: (n,), larger means more probably positive.
        positive: the truth, bool (n,).
        domain: codes (n,) into ``domain_names``.

    Returns:
        domain → AUC in [0, 1]; NaN where a domain holds only one class.
    """
    report = {}
    for code, name in enumerate(domain_names):
        inside = domain == code
        both = len(np.unique(positive[inside])) == 2
        report[name] = float(roc_auc_score(positive[inside], scores[inside])) if both else float("nan")
    return report


def _logistic(c: float, *, balanced: bool = True, intercept: bool = True) -> LogisticRegression:
    weight = "balanced" if balanced else None
    # On 5,000 texts × 400,000 n-grams liblinear takes half the time of L-BFGS.
    return LogisticRegression(C=c, class_weight=weight, solver="liblinear", fit_intercept=intercept, random_state=0)


def _preferring(difference: Features, c: float) -> LogisticRegression:
    """Of the features of what was chosen minus those of what was rejected."""
    stack = sparse.vstack if sparse.issparse(difference) else np.vstack
    # Each pair in both orders: without it there would be one class.
    target = np.repeat([True, False], difference.shape[0])
    return _logistic(c, intercept=False).fit(stack([difference, -difference]), target)


def require_classes(positive: NDArray[np.bool_]) -> None:
    """Refuse labels, bool (n,), that hold too little of a class.

    Raises:
        ClassifierError: when a class has fewer than 10 texts.
    """
    n_positive = int(np.count_nonzero(positive))
    if min(n_positive, len(positive) - n_positive) < MIN_PER_CLASS:
        raise ClassifierError(
            f"a classifier needs at least {MIN_PER_CLASS} texts of each class, actual numbers: {n_positive} "
            "positive, "
            f"{len(positive) - n_positive} negative; give more data, or check the values called positive"
        )


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float32]:
    scores = (1 / (1 + np.exp(-np.clip(logits, -500, 500)))).astype(np.float32)
    if not np.isfinite(scores).all():
        raise ClassifierError(f"row {int(np.argmin(np.isfinite(scores)))}: the classifier's score is not a number")
    return scores

"""Any classifier of scikit-learn's interface as a learner, by bagging."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.base import clone, is_classifier
from sklearn.utils.validation import has_fit_parameter

from curation_gym.config import Config, ConfigError
from curation_gym.learners.base import (
    Ids,
    Labels,
    Probabilities,
    bootstrap_weights,
    checked_ids,
    checked_labels,
    derived_seed,
)
from curation_gym.pools.pool import Pool


class SklearnConfig(Config):
    """A classifier of scikit-learn's interface on embeddings, and copies of it fitted to other weights of the labels.

    Attributes:
        estimator: ``"module:Class"`` with ``predict_proba``, for example ``"sklearn.ensemble:RandomForestClassifier"``.
        options: its arguments.
        members: M. Member 0 is fitted to plain labels, the others to weights of the Bayesian bootstrap (Rubin, 1981),
            so more than one needs a ``fit`` that takes ``sample_weight``.
    """

    kind: Literal["sklearn"]
    estimator: str
    options: dict[str, Any] = Field(default_factory=dict)
    members: int = Field(default=1, ge=1)


class SklearnLearner:
    """The learner of :class:`SklearnConfig`. It starts every fit anew; a single class needs no fit.

    Raises:
        ValueError: for what isn't such a classifier.
        ConfigError: from ``fit`` and ``predict_proba``, where the classifier refuses the labels, often as too few.
    """

    def __init__(self, config: SklearnConfig, pool: Pool, classes: int, seed: int) -> None:
        self.members, self.classes = config.members, classes
        self._pool, self._fitted, self._labels = pool, list[Any](), 0
        self._present, self._estimator = np.arange(classes), config.estimator
        self._made = _made(config)
        if "random_state" in self._made.get_params() and "random_state" not in config.options:
            self._made.set_params(random_state=derived_seed(seed, 0) % 2**32)
        self._weight = bootstrap_weights(config.members, len(pool), derived_seed(seed, 1))

    def fit(self, ids: Ids, labels: Labels) -> "SklearnLearner":
        rows, codes = checked_labels(self._pool, ids, labels, self.classes)
        self._present = np.unique(codes) if len(codes) else np.arange(self.classes)
        self._fitted, self._labels = [], len(codes)
        if len(codes) and len(self._present) > 1:
            X = self._pool.embeddings[rows]
            with self._explained("be fitted to"):
                self._fitted = [clone(self._made).fit(X, codes)]
                self._fitted += [clone(self._made).fit(X, codes, sample_weight=w) for w in self._weight[1:, rows]]
        return self

    def predict_proba(self, ids: Ids) -> Probabilities:
        rows = checked_ids(self._pool, ids)
        p: NDArray[np.float32] = np.zeros((self.members, len(rows), self.classes), np.float32)
        p[..., self._present] = 1 / len(self._present)
        with self._explained("predict from"):
            for member, model in enumerate(self._fitted if len(rows) else ()):
                p[member][:, model.classes_] = model.predict_proba(self._pool.embeddings[rows])
        return p

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """The library's errors speak of its own arguments; ours name the estimator, its labels and a way out."""
        try:
            yield
        except ValueError as error:
            raise ConfigError(
                f"the estimator {self._estimator!r} can't {doing} {self._labels} labels of {len(self._present)} "
                f"classes: {error}; if they are too few, raise n_initial, or take an estimator or options that need "
                "fewer"
            ) from error


def _made(config: SklearnConfig) -> Any:
    """The classifier, before its first fit."""
    module, _, name = config.estimator.partition(":")
    try:
        estimator = getattr(importlib.import_module(module), name)(**config.options)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"can't make the estimator {config.estimator!r} with options {config.options}: {error}; name it as "
            "'module:Class'"
        ) from error
    if not (hasattr(estimator, "get_params") and is_classifier(estimator) and hasattr(estimator, "predict_proba")):
        raise ValueError(f"{config.estimator!r} is no classifier of scikit-learn's interface with predict_proba")
    if config.members > 1 and not has_fit_parameter(estimator, "sample_weight"):
        raise ValueError(
            f"members = {config.members}, but the fit of {config.estimator!r} takes no sample_weight, by which members "
            "differ; members must be 1"
        )
    return estimator

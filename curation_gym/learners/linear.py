"""A linear softmax ensemble: every member is fitted at once, with one matrix product per gradient."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curation_gym.config import Config
from curation_gym.learners.base import (
    Ids,
    Labels,
    Probabilities,
    bootstrap_weights,
    checked_ids,
    checked_labels,
    rows_of,
)
from curation_gym.learners.lbfgs import Lbfgs
from curation_gym.pools.pool import Pool

CONSTANT = 0.2
"""Size of the feature that the intercept belongs to, against the root-mean-square length of the centred others. The
optimum is the same at any size; at 1, the intercept of short embeddings would be by far the steepest direction."""


class LinearOptions(Config):
    """How linear softmax models are fitted, whatever sets the members of an ensemble apart.

    Attributes:
        C: inverse strength of the L2 penalty, as in scikit-learn.
        class_weight: ``"balanced"`` weighs a label by n / (classes seen · labels of its class), as in scikit-learn:
            what was labelled then doesn't say how frequent a class is.
        max_iter: most iterations of a fit, which goes on from the last one. What few of them cost in accuracy when
            it is retrained after every few labels is measured by ``experiments.annotation_round``.
    """

    C: float = Field(default=10.0, gt=0)
    class_weight: Literal["balanced"] | None = None
    max_iter: int = Field(default=100, ge=1)

    def ensemble(self, members: int, classes: int, features: int) -> "LinearEnsemble":
        """The models before their first fit."""
        return LinearEnsemble(members, classes, features, C=self.C, max_iter=self.max_iter)

    def balance(self, labels: Labels) -> NDArray[np.float32]:
        """(n,), what each of the ``labels`` of a fit weighs by ``class_weight``; 1 without it."""
        if self.class_weight is None or not len(labels):
            return np.ones(len(labels), np.float32)
        counts = np.bincount(labels)
        weight: NDArray[np.float32] = (len(labels) / (np.count_nonzero(counts) * counts[labels])).astype(np.float32)
        return weight


class LinearConfig(LinearOptions):
    """A bagged linear softmax on the embeddings, with the options of :class:`LinearOptions`.

    Attributes:
        members: M; member 0 sees every label once, the others weigh them by the Bayesian bootstrap.
    """

    kind: Literal["linear"] = "linear"
    members: int = Field(default=5, ge=1)


class LinearLearner:
    """The learner of :class:`LinearConfig`. Every fit starts from the last one.

    Args:
        config: its options.
        pool: whose embeddings are the features.
        classes: K ≥ 2.
        seed: of the bootstrap weights, drawn per member and sample.
    """

    def __init__(self, config: LinearConfig, pool: Pool, classes: int, seed: int) -> None:
        self.members, self.classes = config.members, classes
        self._options, self._pool = config, pool
        self._weight = bootstrap_weights(config.members, len(pool), seed)
        self._model = config.ensemble(config.members, classes, pool.dimension)

    def fit(self, ids: Ids, labels: Labels) -> "LinearLearner":
        rows, codes = checked_labels(self._pool, ids, labels, self.classes)
        self._model.fit(self._pool.embeddings[rows], codes, self.weights(rows, codes))
        return self

    def weights(self, ids: Ids, labels: Labels) -> NDArray[np.float32]:
        """(members, n), of labels in a fit: by the bootstrap, and where classes are balanced by their counts."""
        weight: NDArray[np.float32] = self._weight[:, ids] * self._options.balance(labels)
        return weight

    def predict_proba(self, ids: Ids) -> Probabilities:
        return self._model.predict_proba(rows_of(self._pool.embeddings, checked_ids(self._pool, ids)))


class LinearEnsemble:
    """Multinomial logistic regressions that share their data and differ in its weights.

    Member m minimises, over the classes seen so far, ½‖W_m‖² + C Σ_i s_mi · (−log softmax(W_m x_i +
    b_m)[y_i]), the objective of scikit-learn's ``LogisticRegression`` (while two classes were seen, of its binary form
    at 2C); the intercept isn't penalised. All
    members are one problem for :class:`~curation_gym.learners.lbfgs.Lbfgs`, so a gradient costs two products of (n,
    features) by (features, members · classes): 4 · n · features · members · classes floating-point operations. A fit
    goes on from the last one's coefficients and curvature, so after a few new labels a few iterations do.

    A class that was never seen has probability 0; before the first fit every class has 1 / classes.

    Args:
        members: M ≥ 1.
        classes: K ≥ 2, seen or not.
        features: d ≥ 1.
        C: inverse strength of the L2 penalty, > 0, as in scikit-learn.
        tol: stop when an iteration lowers the objective by at most this share of it (of 1, where it is below 1).
        max_iter: most iterations of one fit.

    Attributes:
        coef: (members, classes, features + 1), the intercept last; 0 for classes that were never seen. The
            next fit starts from it.
        seen: (classes,), whether the last fit had a label of the class.
    """

    def __init__(
        self,
        members: int,
        classes: int,
        features: int,
        *,
        C: float = 1.0,
        tol: float = 1e-5,
        max_iter: int = 100,
    ) -> None:
        if members < 1 or classes < 2 or features < 1 or not C > 0:
            raise ValueError(
                "members >= 1, classes >= 2, features >= 1 and C > 0 are needed, actual values: "
                f"{members}, {classes}, {features}, {C}"
            )
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.coef = np.zeros((members, classes, features + 1))
        self.seen = np.zeros(classes, np.bool_)
        self._solver = Lbfgs()
        self._centre: NDArray[np.floating] | None = None
        self._constant = 1.0

    def fit(
        self,
        X: NDArray[np.floating],
        y: NDArray[np.integer],
        sample_weight: NDArray[np.floating] | None = None,
    ) -> "LinearEnsemble":
        """Fit every member, starting from the last fit.

        Args:
            X: (n, features), float32 or float64; the arithmetic is done in its precision.
            y: (n,), class indices in 0 … classes − 1. One class only, or no sample at all, is fine.
            sample_weight: (members, n), > 0, so that no member misses a class; 1 by default.

        Raises:
            ValueError: for a wrong shape, a label outside the classes or a weight that isn't positive.
        """
        members, classes, width = self.coef.shape
        n = len(y)
        weight = np.ones((members, n)) if sample_weight is None else sample_weight
        if X.shape != (n, width - 1) or weight.shape != (members, n):
            raise ValueError(
                f"X must have shape ({n}, {width - 1}) and sample_weight ({members}, {n}), "
                f"actual shapes: {X.shape} and {weight.shape}"
            )
        if n and not 0 <= y.min() <= y.max() < classes:
            bad = y[(y < 0) | (y >= classes)][0]
            raise ValueError(f"labels must be in 0 … {classes - 1}, actual value: {bad}; drop flagged samples first")
        if not (weight > 0).all():
            raise ValueError(f"sample_weight must be > 0, actual smallest value: {weight.min()}")
        labels, codes = np.unique(y, return_inverse=True)
        before, self.seen = self.seen, np.isin(np.arange(classes), labels)
        if (before != self.seen).any() or self._centre is None or self._centre.dtype != X.dtype:
            self._solver.forget()
            if n:
                self._centre = X.mean(0)
                self._constant = CONSTANT * float(np.sqrt(X.var(0).sum())) or 1.0  # samples may all be alike
        self.coef[:, ~self.seen] = 0
        if len(labels) > 1:
            self.coef[:, self.seen] = self._minimise(X, codes, weight, self.coef[:, self.seen])
        return self

    def _minimise(
        self,
        X: NDArray[np.floating],
        y: NDArray[np.intp],
        weight: NDArray[np.floating],
        start: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """The optimum over the seen classes, shape of ``start``: (members, seen, features + 1)."""
        members, seen, width = start.shape
        n = len(y)
        # Centred features leave the optimum where it is (the intercept absorbs the mean) and need a quarter
        # of the iterations: the intercept isn't penalised, so the mean would be by far the steepest
        # direction. Centre and constant stay as long as the classes do: curvature is remembered in their
        # coordinates.
        centre, constant = self._centre, self._constant
        assert centre is not None
        data = np.empty((n, width), X.dtype)
        data[:, :-1], data[:, -1] = X - centre, constant
        start[..., -1] = (start[..., -1] + start[..., :-1] @ centre) / constant
        scale = (self.C * weight.T).astype(X.dtype)
        own = (np.arange(n)[:, None], np.arange(members), y[:, None])
        penalised = np.append(np.ones(width - 1), 0).astype(X.dtype)

        def objective(coef: NDArray[np.floating]) -> tuple[float, NDArray[np.floating]]:
            p = (data @ coef.reshape(-1, width).T).reshape(n, members, seen)
            p -= p.max(2, keepdims=True)
            own_logit = p[own]
            np.exp(p, out=p)
            total = p.sum(2)
            loss = np.vdot(scale, np.log(total) - own_logit)
            p *= (scale / total)[..., None]
            p[own] -= scale
            pull = penalised * coef
            gradient = (p.reshape(n, -1).T @ data).reshape(start.shape) + pull
            return float(loss + 0.5 * np.vdot(pull, coef)), gradient

        coef = self._solver.minimise(objective, start.astype(X.dtype), self.tol, self.max_iter).astype(np.float64)
        coef[..., -1] = coef[..., -1] * constant - coef[..., :-1] @ centre
        return coef

    def predict_proba(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        """Probabilities, shape (members, n, classes), in the precision of ``X`` (n, features)."""
        members, classes, width = self.coef.shape
        if not self.seen.any():
            return np.full((members, len(X), classes), 1 / classes, X.dtype)
        coef = self.coef[:, self.seen].reshape(-1, width).astype(X.dtype)
        p = (X @ coef[:, :-1].T + coef[:, -1]).reshape(len(X), members, int(self.seen.sum()))
        p -= p.max(2, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(2, keepdims=True)
        if not self.seen.all():
            some, p = p, np.zeros((len(X), members, classes), X.dtype)
            p[..., self.seen] = some
        return np.moveaxis(p, 1, 0)

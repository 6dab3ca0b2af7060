"""A signal corrected by audits: what few labels by people say of a classifier's errors."""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit

_CLIP = 1e-3  # how sure a signal can be before people are asked
_CONVERGED = 1e-9  # relative decrease of the objective at which it is settled


class RefinedSignal:
    """The posterior mode of a signal's errors, given audits.

    A sample's probability is σ(logit s + b_d + x·v_d + z·w_d): its signal s, an error b_d that all of domain d share,
    and errors that depend on its embedding x and on other signals z, in a way of its own in every domain: what insults
    in one community is plain in another. All have Gaussian priors around 0, so without audits the signal stays as it
    is, a few of them correct what all of a domain have in common, and many what the classifier never understood. In
    each domain it is logistic regression with an offset and a ridge penalty (le Cessie and van Houwelingen, Applied
    Statistics 41, 1992).

    Args:
        signal: (n,) in [0, 1], the probability of a property; clipped to [0.001, 0.999].
        domain: (n,) codes ≥ 0.
        embeddings: (n, d); divided by their root mean square norm.
        others: (n, k), further signals; standardised. The signal's own logit is always among them.
        spread: standard deviation of a domain's error, in logits.
        text_spread: standard deviation of the embedding's part, in logits, at a sample of mean norm.
        signal_spread: standard deviation of a signal's part, in logits, at one standard deviation of it.

    Attributes:
        coefficients: (domains, 1 + d + 1 + k), the errors in units of their priors' standard deviations; 0 before the
            first fit.

    Raises:
        ValueError: for lengths that differ, a signal outside [0, 1] or a spread that isn't above 0.
    """

    def __init__(
        self,
        signal: ArrayLike,
        domain: ArrayLike,
        embeddings: ArrayLike,
        others: ArrayLike | None = None,
        *,
        spread: float = 1.5,
        text_spread: float = 1.5,
        signal_spread: float = 1.0,
    ) -> None:
        s, self._domain = np.asarray(signal, np.float64), np.asarray(domain, np.intp)
        X = np.asarray(embeddings, np.float32)
        Z = np.empty((len(X), 0)) if others is None else np.asarray(others, np.float64)
        if not s.shape == self._domain.shape == X.shape[:1] == Z.shape[:1] or s.ndim != 1:
            raise ValueError(
                f"lengths must be equal, actual shapes: {s.shape}, {self._domain.shape}, {X.shape}, {Z.shape}"
            )
        if not ((s >= 0) & (s <= 1)).all():
            raise ValueError(f"a signal must be in [0, 1], actual: {s[~((s >= 0) & (s <= 1))][0]}")
        if not (spread > 0 and text_spread > 0 and signal_spread > 0):
            raise ValueError(f"spreads must be > 0, actual values: {spread}, {text_spread}, {signal_spread}")
        self._offset = logit(np.clip(s, _CLIP, 1 - _CLIP))
        norm = float(np.sqrt(np.einsum("nd,nd->", X, X, dtype=np.float64) / max(len(X), 1)))
        Z = np.column_stack([self._offset, Z])
        self._X, self._Z = X, ((Z - Z.mean(0)) / np.maximum(Z.std(0), 1e-12)).astype(np.float32)
        spreads = (spread, text_spread / max(norm, 1e-12), signal_spread)
        self._scale = np.repeat(spreads, (1, X.shape[1], Z.shape[1]))
        self.coefficients = np.zeros((int(self._domain.max(initial=-1)) + 1, len(self._scale)))

    def fit(self, ids: ArrayLike, positive: ArrayLike) -> Self:
        """Correct the signal by all audits so far.

        Args:
            ids: (m,) indices of audited samples.
            positive: (m,) booleans, whether the sample has the property.

        Raises:
            ValueError: when the lengths differ, or an id isn't one.
        """
        rows, truth = np.asarray(ids, np.intp), np.asarray(positive, np.bool_)
        if rows.shape != truth.shape or (len(rows) and not 0 <= rows.min() <= rows.max() < len(self._offset)):
            raise ValueError(
                f"ids in 0 … {len(self._offset) - 1} and as many answers are needed, actual: {rows.shape} ids and "
                f"{truth.shape} answers"
            )
        inside = [self._domain[rows] == code for code in range(len(self.coefficients))]
        modes = [self._mode(rows[own], truth[own], start) for own, start in zip(inside, self.coefficients, strict=True)]
        self.coefficients = np.reshape(modes, self.coefficients.shape)  # anew, since copies share the old ones
        return self

    def score(self, ids: ArrayLike | None = None) -> NDArray[np.float32]:
        """The refined signal of some samples or all, float32 in [0, 1]."""
        rows = np.arange(len(self._offset)) if ids is None else np.asarray(ids, np.intp)
        shift = np.empty(len(rows))
        for code, coefficients in enumerate(self.coefficients):
            inside = self._domain[rows] == code
            shift[inside] = self._features(rows[inside]) @ (self._scale * coefficients).astype(np.float32)
        return expit(self._offset[rows] + shift).astype(np.float32)

    def _features(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return np.hstack([np.ones((len(rows), 1), np.float32), self._X[rows], self._Z[rows]])

    def _mode(
        self, rows: NDArray[np.intp], truth: NDArray[np.bool_], start: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Of one domain's coefficients."""
        if not len(rows):
            return np.zeros_like(start)
        features, offset = self._features(rows) * self._scale, self._offset[rows]
        sign = np.where(truth, 1.0, -1.0)

        def objective(z: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            margin = sign * (offset + features @ z)
            return float(-log_expit(margin).sum() + 0.5 * z @ z), z - features.T @ (sign * expit(-margin))

        found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"ftol": _CONVERGED})
        return np.asarray(found.x)

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

    A sample's probability is σ(logit s + b_d + x·w): its signal s, an error b_d that all of domain d share, and an
    error that depends on its embedding x. Both have Gaussian priors around 0, so without audits the signal stays as it
    is, a few of them correct what all of a domain have in common, and many what the classifier never understood. It is
    logistic regression with an offset and a ridge penalty (le Cessie and van Houwelingen, Applied Statistics 41, 1992).

    Args:
        signal: (n,) in [0, 1], the probability of a property; clipped to [0.001, 0.999].
        domain: (n,) codes ≥ 0.
        embeddings: (n, d); divided by their root mean square norm.
        spread: standard deviation of a domain's error, in logits.
        text_spread: standard deviation of the embedding's part, in logits, at a sample of mean norm.

    Attributes:
        coefficients: (domains + d,), the errors b and w in units of their prior's standard deviation; 0 before the
            first fit.

    Raises:
        ValueError: for lengths that differ, a signal outside [0, 1] or a spread that isn't above 0.
    """

    def __init__(
        self,
        signal: ArrayLike,
        domain: ArrayLike,
        embeddings: ArrayLike,
        *,
        spread: float = 1.5,
        text_spread: float = 3.0,
    ) -> None:
        s, self._domain = np.asarray(signal, np.float64), np.asarray(domain, np.intp)
        X = np.asarray(embeddings, np.float32)
        if not s.shape == self._domain.shape == X.shape[:1] or s.ndim != 1:
            raise ValueError(f"lengths must be equal, actual shapes: {s.shape}, {self._domain.shape}, {X.shape}")
        if not ((s >= 0) & (s <= 1)).all():
            raise ValueError(f"a signal must be in [0, 1], actual: {s[~((s >= 0) & (s <= 1))][0]}")
        if not (spread > 0 and text_spread > 0):
            raise ValueError(f"spreads must be > 0, actual values: {spread}, {text_spread}")
        self._offset = logit(np.clip(s, _CLIP, 1 - _CLIP))
        norm = float(np.sqrt(np.einsum("nd,nd->", X, X, dtype=np.float64) / max(len(X), 1)))
        self._X, self._scale = X, text_spread / max(norm, 1e-12)
        self._spread = spread
        self._n_domains = int(self._domain.max(initial=-1)) + 1
        self.coefficients = np.zeros(self._n_domains + X.shape[1])

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
        offset, domain = self._offset[rows], self._domain[rows]
        X, sign = self._X[rows].astype(np.float64), np.where(truth, 1.0, -1.0)
        n_domains = self._n_domains

        # Both parts are in units of their prior's standard deviation, so one penalty serves both.
        def objective(z: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            bias, weight = z[:n_domains], z[n_domains:]
            margin = sign * (offset + self._spread * bias[domain] + self._scale * (X @ weight))
            pull = -sign * expit(-margin)
            by_domain = self._spread * np.bincount(domain, pull, n_domains)
            gradient = np.concatenate([by_domain, self._scale * (X.T @ pull)]) + z
            return float(-log_expit(margin).sum() + 0.5 * z @ z), gradient

        found = minimize(objective, self.coefficients, jac=True, method="L-BFGS-B", options={"ftol": _CONVERGED})
        self.coefficients = found.x
        return self

    def score(self, ids: ArrayLike | None = None) -> NDArray[np.float32]:
        """The refined signal of some samples or all, float32 in [0, 1]."""
        rows = slice(None) if ids is None else np.asarray(ids, np.intp)
        bias, weight = np.split(self.coefficients, [self._n_domains])
        shift = self._spread * bias[self._domain[rows]]
        text = self._scale * (self._X[rows] @ weight.astype(np.float32))
        return expit(self._offset[rows] + shift + text).astype(np.float32)

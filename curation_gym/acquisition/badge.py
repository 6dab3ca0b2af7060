"""BADGE: samples whose gradients are large and different."""

import numpy as np
from numpy.typing import NDArray

from curation_gym.acquisition.clustering import plus_plus
from curation_gym.acquisition.distances import check_finite, from_products, squared_norms
from curation_gym.acquisition.top import at_most


class Gradients:
    """The gradients of the last layer at hypothesised labels, which are never computed.

    The gradient of sample i is the outer product of its residual r_i = p_i − onehot(argmax p_i) and its embedding
    x_i, so that ⟨g_i, g_j⟩ = (r_i·r_j)(x_i·x_j): d + K numbers a sample instead of d · K.

    Args:
        embeddings: (n, d).
        probabilities: (n, K), of the ensemble's mean.

    Attributes:
        norms: (n,), |g_i|².

    Raises:
        ValueError: for other shapes, or a row that isn't finite.
    """

    def __init__(self, embeddings: NDArray[np.floating], probabilities: NDArray[np.floating]) -> None:
        n = len(embeddings)
        if embeddings.ndim != 2 or probabilities.ndim != 2 or len(probabilities) != n or probabilities.shape[1] == 0:
            raise ValueError(
                "embeddings must have shape (n, d) and probabilities (n, K), actual shapes: "
                f"{embeddings.shape} and {probabilities.shape}"
            )
        self._X = np.ascontiguousarray(embeddings, np.float32)
        self._residual = np.array(probabilities, np.float32, order="C")
        self._residual[np.arange(n), self._residual.argmax(1)] -= 1
        self.norms = squared_norms(self._X) * squared_norms(self._residual)
        check_finite(self.norms, np.arange(n))

    def squared_distances(self, to: NDArray[np.integer]) -> NDArray[np.float32]:
        """From every gradient to those at positions ``to`` (m,), shape (n, m)."""
        products = self._X @ self._X[to].T
        products *= self._residual @ self._residual[to].T
        return from_products(products, self.norms, self.norms[to])


def badge(
    embeddings: NDArray[np.floating], probabilities: NDArray[np.floating], n: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Positions of ``n`` samples by BADGE (Ash, Zhang, Krishnamurthy, Langford and Agarwal, ICLR 2020).

    k-means++ sampling of the gradients that the last layer would have if the most probable label were true. The
    first pick is the largest gradient, as in the authors' code. The gradient 0 counts as picked before it, as in
    scikit-activeml: a sample that would teach nothing is far from large gradients, and else would be drawn for that.
    O(samples · (d + K)) per pick and in memory.

    Args:
        embeddings: (samples, d), what the last layer sees; append a column of ones for one with intercepts.
        probabilities: (samples, K), of the ensemble's mean.
        n: how many; all of them when there are fewer.
        rng: draws the picks.

    Raises:
        ValueError: for other shapes, a row that isn't finite, or n < 0.
    """
    gradients = Gradients(embeddings, probabilities)
    n = at_most(n, len(embeddings))
    if n == 0:
        return np.zeros(0, np.intp)
    everywhere = np.ones(len(embeddings), np.float32)
    first = int(gradients.norms.argmax())
    return plus_plus(gradients.squared_distances, everywhere, first, n, rng, covered=gradients.norms)

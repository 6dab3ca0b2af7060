"""Random candidates in general position, so that picks are never decided by rounding."""

from typing import NamedTuple

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

law = settings(max_examples=40, deadline=None)


class Candidates(NamedTuple):
    """What the acquisition functions take; the labelled embeddings lie among the others."""

    embeddings: np.ndarray
    scores: np.ndarray
    priority: np.ndarray
    probabilities: np.ndarray
    labelled: np.ndarray

    def __getitem__(self, order: np.ndarray) -> "Candidates":  # type: ignore[override]
        return Candidates(*(column[order] for column in tuple(self)[:4]), self.labelled)


@st.composite
def candidates(draw: st.DrawFn, least: int = 0, most: int = 60) -> Candidates:
    """From ``least`` to ``most`` samples in up to 8 dimensions, at times in clusters, with 1 to 4 labels."""
    n, d, classes, labels = (draw(st.integers(*r)) for r in ((least, most), (2, 8), (2, 6), (1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0.0, 5.0]))
    X = rng.standard_normal((n + labels, d)) + spread * rng.standard_normal((3, d))[rng.integers(3, size=n + labels)]
    X = X.astype(np.float32)
    probabilities = rng.dirichlet(np.ones(classes), n).astype(np.float32)
    return Candidates(X[:n], rng.random(n) + 0.01, rng.random(n), probabilities, X[n:])

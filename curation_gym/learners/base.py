"""What every learner speaks: pool ids in, probabilities out; so embeddings, texts and images all serve."""

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from curation_gym.pools.pool import Pool

Ids = NDArray[np.integer]
Labels = NDArray[np.integer]
Probabilities = NDArray[np.float32]


class Learner(Protocol):
    """A model, or several, trained on what was labelled.

    Before the first label every class has probability 1 / classes; afterwards a class that no label named has 0.
    Everything random comes from the seed that the learner was made with, and the order of the labels in a fit doesn't
    matter: same seed and calls, same bytes at an equal number of threads.

    Attributes:
        members: M ≥ 1, distributions per sample. Where one of them is the model that an ensemble extends (fitted on
            plain labels, on every feature, for longest), it is member 0.
        classes: K ≥ 2.
    """

    members: int
    classes: int

    def fit(self, ids: Ids, labels: Labels) -> Self:
        """Retrain on everything labelled so far.

        Args:
            ids: (n,) pool ids; one may stand several times, for example with the labels of several annotators.
            labels: (n,) class indices in 0 … classes − 1.

        Raises:
            ValueError: for an id that isn't in the pool, a label that is no class, or lengths that differ.
        """
        ...

    def predict_proba(self, ids: Ids) -> Probabilities:
        """Probabilities, float32 (members, n, classes), each distribution summing to 1.

        Raises:
            ValueError: for an id that isn't in the pool.
        """
        ...


class UpdatableLearner(Learner, Protocol):
    """A learner that can also go on from where it is."""

    def update(self, ids: Ids, labels: Labels) -> Self:
        """Train on these labels only, starting from the current state. What it takes and raises is as of ``fit``."""
        ...


def checked_ids(pool: Pool, ids: Ids) -> NDArray[np.intp]:
    """The ids as indices.

    Raises:
        ValueError: naming the first that isn't in the pool, or for another shape or type than integers (n,).
    """
    given = np.asarray(ids)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise ValueError(f"ids must be integers of shape (n,), actual: {given.dtype} of shape {given.shape}")
    bad = (given < 0) | (given >= len(pool))
    if bad.any():
        raise ValueError(f"ids must be in 0 … {len(pool) - 1}, actual value: {given[bad][0]}")
    return given.astype(np.intp)


def checked_labels(pool: Pool, ids: Ids, labels: Labels, classes: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Ids and labels as indices, ordered by id and label, so that what is learned doesn't depend on their order.

    Raises:
        ValueError: as :meth:`Learner.fit`.
    """
    rows, given = checked_ids(pool, ids), np.asarray(labels)
    if given.shape != rows.shape or (given.size and given.dtype.kind not in "iu"):
        raise ValueError(
            f"labels must be {len(rows)} integers, one per id, actual: {given.dtype} of shape {given.shape}"
        )
    bad = (given < 0) | (given >= classes)
    if bad.any():
        raise ValueError(
            f"labels must be in 0 … {classes - 1}, actual value: {given[bad][0]}; drop flagged samples first"
        )
    order = np.lexsort((given, rows))
    return rows[order], given[order].astype(np.intp)


def rows_of(features: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """(n, d), the rows of checked ids; a view where ids follow one another, so that blocks of a split aren't copied."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return features[rows[0] : rows[-1] + 1]
    return features.take(rows, axis=0, mode="clip")  # the fastest mode; what is out of range was refused before


def bootstrap_weights(members: int, n: int, seed: int) -> NDArray[np.float32]:
    """Weights of the Bayesian bootstrap (Rubin, 1981), (members, n): Exp(1), but 1 for member 0.

    Drawn for the whole pool at once: a sample keeps its weights however and whenever it is labelled.
    """
    weight = np.random.default_rng(seed).standard_exponential((members, n), np.float32)
    weight[0] = 1
    return np.maximum(weight, np.finfo(np.float32).tiny)


def derived_seed(seed: int, *key: int) -> int:
    """A seed in [0, 2⁶³) of its own for every key."""
    word = np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)[0]
    return int(word >> np.uint64(1))

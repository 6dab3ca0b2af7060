"""Ensembles whose members look at different things: features, domains, or kinds of model."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.config import Many
from curation_gym.learners.base import Ids, Labels, Learner, Probabilities, checked_ids, checked_labels, rows_of
from curation_gym.learners.linear import LinearOptions
from curation_gym.pools.build import PoolSource, build_pool
from curation_gym.pools.pool import Pool


class SubspacesConfig(LinearOptions):
    """Linear models, each on its own random columns of the embedding (the random subspace method, Ho 1998).

    They have the options of :class:`~curation_gym.learners.linear.LinearOptions`.

    Attributes:
        members: M; member 0 has every column.
        share: of the columns that each other member has, in (0, 1).
    """

    kind: Literal["subspaces"]
    members: int = Field(default=5, ge=2)
    share: float = Field(default=0.5, gt=0, lt=1)


class ViewsConfig(LinearOptions):
    """Linear models, each on its own features of the same samples. The pool's own embedding is member 0.

    They have the options of :class:`~curation_gym.learners.linear.LinearOptions`.

    Attributes:
        pools: pools with the same samples in the same order and another embedding; one member each. An array of
            features is one as ``Pool(array, split=pool.split)``.
    """

    kind: Literal["views"]
    pools: Many[PoolSource]

    @model_validator(mode="after")
    def _some(self) -> "ViewsConfig":
        if not self.pools:
            raise ValueError("pools must name at least one further view; without one take kind 'linear'")
        return self


class SpecialistsConfig(LinearOptions):
    """A generalist and one linear specialist per domain of the pool. Each predicts for all samples.

    They have the options of :class:`~curation_gym.learners.linear.LinearOptions`.

    Attributes:
        outside: weight of a label from outside a specialist's domain, where one from inside has 1; in (0, 1].
            Small makes specialists differ more, and err more on what they don't know.
    """

    kind: Literal["specialists"]
    outside: float = Field(default=0.1, gt=0, le=1)


@dataclass(frozen=True, eq=False)
class View:
    """Some columns of a pool's embeddings.

    Attributes:
        pool: with a row per sample.
        columns: indices of those that the member sees; None: all.
    """

    pool: Pool
    columns: NDArray[np.integer] | None = None

    def of(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """(rows, columns)."""
        X = rows_of(self.pool.embeddings, rows)
        return X if self.columns is None else X[:, self.columns]

    @property
    def width(self) -> int:
        """Number of columns."""
        return self.pool.dimension if self.columns is None else len(self.columns)


class ViewsLearner:
    """One linear model per view, each fitted to the same labels and starting from its last fit.

    Args:
        views: one per member.
        pool: what ids refer to.
        classes: K ≥ 2.
        options: by which all are fitted.
    """

    def __init__(self, views: Sequence[View], pool: Pool, classes: int, options: LinearOptions) -> None:
        self.members, self.classes = len(views), classes
        self._views, self._pool, self._options = views, pool, options
        self._models = [options.ensemble(1, classes, view.width) for view in views]

    def fit(self, ids: Ids, labels: Labels) -> "ViewsLearner":
        rows, codes = checked_labels(self._pool, ids, labels, self.classes)
        weight = self._options.balance(codes)[None]
        for model, view in zip(self._models, self._views, strict=True):
            model.fit(view.of(rows), codes, weight)
        return self

    def predict_proba(self, ids: Ids) -> Probabilities:
        rows = checked_ids(self._pool, ids)
        seen = zip(self._models, self._views, strict=True)
        return np.concatenate([model.predict_proba(view.of(rows)) for model, view in seen])


def subspaces(config: SubspacesConfig, pool: Pool, seed: int) -> list[View]:
    """The views of :class:`SubspacesConfig`, drawn from ``seed``; each keeps at least one column."""
    rng = np.random.default_rng(seed)
    size = max(1, round(config.share * pool.dimension))
    drawn = [np.sort(rng.choice(pool.dimension, size, replace=False)) for _ in range(config.members - 1)]
    return [View(pool), *(View(pool, columns) for columns in drawn)]


def further_views(config: ViewsConfig, pool: Pool) -> list[View]:
    """The views of :class:`ViewsConfig`.

    Raises:
        ValueError: for a pool that doesn't describe the samples of ``pool``, or is given twice.
    """
    others = [build_pool(source) for source in config.pools]
    fingerprints = [pool.fingerprint, *(other.fingerprint for other in others)]
    for index, other in enumerate(others):
        _require_same_samples(pool, other, f"pools[{index}]")
        if fingerprints[index + 1] in fingerprints[: index + 1]:
            raise ValueError(f"pools[{index}] is a view that is there already, fingerprint {other.fingerprint}")
    return [View(pool), *(View(other) for other in others)]


def _require_same_samples(pool: Pool, other: Pool, name: str) -> None:
    if len(other) != len(pool):
        raise ValueError(f"{name} must hold the pool's {len(pool)} samples, actual number: {len(other)}")
    both = pool.hidden.keys() & other.hidden.keys() & {"label"}
    columns = {"split": (pool.split, other.split)} | {key: (pool.hidden[key], other.hidden[key]) for key in both}
    for column, (ours, theirs) in columns.items():
        if not np.array_equal(ours, theirs):
            row = int(np.argmax(ours != theirs))
            raise ValueError(f"{name} holds other samples: {column} of row {row} is {theirs[row]}, not {ours[row]}")
    if pool.data is not None and other.data is not None and not pool.data.equals(other.data):
        raise ValueError(f"{name} holds other samples, or in another order: its raw data differs")


class SpecialistsLearner:
    """The learner of :class:`SpecialistsConfig`. Member 0 is the generalist, member 1 + j knows domain j best.

    All are one :class:`~curation_gym.learners.linear.LinearEnsemble` whose members weigh the labels by domain; a fit
    starts from the last one.
    """

    def __init__(self, config: SpecialistsConfig, pool: Pool, classes: int) -> None:
        domains = len(pool.domain_names)
        if domains < 2:
            raise ValueError(f"specialists need a pool of at least 2 domains, actual domains: {pool.domain_names}")
        self.members, self.classes = 1 + domains, classes
        self._pool, self._options = pool, config
        self._weight = np.vstack([np.ones(domains), np.where(np.eye(domains) == 1, 1, config.outside)])
        self._model = config.ensemble(self.members, classes, pool.dimension)

    def fit(self, ids: Ids, labels: Labels) -> "SpecialistsLearner":
        rows, codes = checked_labels(self._pool, ids, labels, self.classes)
        weight = self._weight[:, self._pool.domain[rows]] * self._options.balance(codes)
        self._model.fit(self._pool.embeddings[rows], codes, weight)
        return self

    def predict_proba(self, ids: Ids) -> Probabilities:
        return self._model.predict_proba(rows_of(self._pool.embeddings, checked_ids(self._pool, ids)))


class StackLearner:
    """Learners side by side: the members of the first, then of the second, and so on.

    Args:
        learners: at least one, of the same pool and classes.
    """

    def __init__(self, learners: Sequence[Learner]) -> None:
        self._learners = learners
        self.members = sum(learner.members for learner in learners)
        self.classes = learners[0].classes

    def fit(self, ids: Ids, labels: Labels) -> "StackLearner":
        for learner in self._learners:
            learner.fit(ids, labels)
        return self

    def predict_proba(self, ids: Ids) -> Probabilities:
        return np.concatenate([learner.predict_proba(ids) for learner in self._learners])

"""What an annotation campaign can ask about next: scored candidates, in clusters and arms."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from curation_gym.acquisition import (
    badge,
    best,
    clustered,
    coreset,
    distance_to_labelled,
    diverse,
    kmeans,
    passes,
    typiclust,
)
from curation_gym.acquisition.distances import Points
from curation_gym.envs.annotation_setting import BATCH_CRITERIA, Setting
from curation_gym.learners.base import Learner
from curation_gym.signals.uncertainty import bound, measures

_GROWN = 1.1  # times what was clustered: then what has arrived is clustered anew
_BLOCK = 1024  # samples scored at a time, so that memory doesn't grow with pool × classes × members
Floats = NDArray[np.float32]


class Offer:
    """The candidates that can be asked about, with the learner's scores.

    Args:
        setting: of the campaign.
        priority: (n,), in [0, 1), the random order; it breaks ties.
        rng: draws the clusters.

    Attributes:
        ids: (m,), ascending candidates; what follows is of them.
        scores: criterion → (m,), in [0, 1], also of what is measured only to be observed.
        predicted: (m,), the class of the learner's mean.
        cell: (n,), the cluster of every candidate that has arrived, −1 of others; 0 without clusters.
    """

    def __init__(self, setting: Setting, priority: Floats, rng: np.random.Generator) -> None:
        self.setting, self._priority = setting, priority
        cfg, n = setting.config, len(setting.ids)
        self.ids, self.predicted = np.zeros(0, np.intp), np.zeros(0, np.int64)
        self.scores: dict[str, Floats] = {}
        self.cell = np.full(n, -1 if cfg.needs_clusters else 0)
        self._covered = np.zeros(0, np.bool_)
        self._from_centre = np.zeros(n, np.float32)
        self._centres = setting.X[:0]
        self._arrived = setting.arrival <= 0
        self._asked = np.zeros(0, np.intp)
        self._clustered = 0
        self._place(np.flatnonzero(self._arrived), rng)
        self._group, self._arm_centres = setting.group(self.cell), self._centres
        self._distance = np.full(n, np.inf, np.float32)

    # ---------------------------------------------------------------- renewal
    def renew(self, available: NDArray[np.bool_], learner: Learner, rng: np.random.Generator) -> None:
        """Offer what is ``available`` (n,), or ``score_batch`` of it, and score it anew."""
        setting, cfg = self.setting, self.setting.config
        self.ids = np.flatnonzero(available)
        self._arrived[self.ids] = True
        self._place(self.ids[self.cell[self.ids] < 0], rng)
        if cfg.score_batch is not None and len(self.ids) > cfg.score_batch:
            self.ids = np.sort(rng.choice(self.ids, cfg.score_batch, replace=False))
        members, classes, names = max(learner.members, 2), setting.classes, cfg.measured

        def scored(p: Floats) -> Floats:
            return np.column_stack([*measures(p, names), p.mean(0).argmax(1).astype(np.float32)])

        table = self._in_blocks(learner, self.ids, scored)
        for column, name in enumerate(names):
            self.scores[name] = np.minimum(table[:, column] / np.float32(bound(name, members, classes)), 1)
        self.predicted = table[:, -1].astype(np.int64)
        self._score_what_was_asked()
        if cfg.recluster:
            self._cluster_anew(learner, rng)

    def _place(self, new: NDArray[np.intp], rng: np.random.Generator) -> None:
        """Put candidates that have just arrived into clusters: nobody knows the later ones yet.

        They join the nearest, until they are so many that all that has arrived is clustered anew, into clusters that
        are as large as before. Where arms are clusters, whose number never changes, they always join the nearest.
        """
        setting, first = self.setting, not len(self._centres)
        if not len(new) or not setting.config.needs_clusters:
            return
        every = np.flatnonzero(self._arrived)
        if first or (len(every) >= _GROWN * self._clustered and not setting.config.by_cluster):
            k = setting.clusters if setting.config.by_cluster else len(every) * setting.clusters // len(setting.ids)
            found = kmeans(setting.X[every], min(max(k, 1), len(every)), rng)
            self.cell[every], self._centres = found.labels, found.centres
            self._covered = np.isin(np.arange(len(found.centres)), self.cell[self._asked])
            self._clustered, new = len(every), every
        else:
            self.cell[new], _ = Points(setting.X[new]).nearest(self._centres)
        self._from_centre[new] = np.linalg.norm(setting.X[new] - self._centres[self.cell[new]], axis=1)
        self._size = np.bincount(self.cell[self.cell >= 0], minlength=len(self._centres))
        if first or not setting.config.recluster:  # else arms are what was found anew
            self._group = setting.group(self.cell)

    def withdraw(self, asked: NDArray[np.intp]) -> None:
        """Candidates were asked about: they are offered no more."""
        self._asked = np.append(self._asked, asked)
        if len(self._covered):
            self._covered[self.cell[asked]] = True
        if "coreset" in self.setting.config.criteria:
            self._distance = distance_to_labelled(self.setting.X, self.setting.X[asked], self._distance)
        still = ~np.isin(self.ids, asked)
        self.ids, self.predicted = self.ids[still], self.predicted[still]
        self.scores = {name: score[still] for name, score in self.scores.items()}
        self._score_what_was_asked()

    def _score_what_was_asked(self) -> None:
        """The criteria that depend on what was asked about, not on the learner."""
        self.scores["random"] = self._priority[self.ids]
        if "coverage" in self.setting.config.criteria:
            self.scores["coverage"] = self._coverage()

    def _coverage(self) -> Floats:
        """Above 0 for one sample of every cluster that nobody was asked about: the nearest to its centre."""
        cell, score = self.cell[self.ids], np.zeros(len(self.ids), np.float32)
        if not len(cell):
            return score
        order = np.lexsort((self._from_centre[self.ids], cell))
        _, starts = np.unique(cell[order], return_index=True)
        nearest = order[starts]
        nearest = nearest[~self._covered[cell[nearest]]]
        score[nearest] = 0.5 + 0.5 * self._size[cell[nearest]] / self._size.max()
        return score

    def _cluster_anew(self, learner: Learner, rng: np.random.Generator) -> None:
        """Cluster what passes by the first criterion; an arm keeps the cluster that is nearest to its last one."""
        setting, cfg, first = self.setting, self.setting.config, self.setting.config.criteria[0]
        inside = self.ids[self._passes(first)] if first in self.scores else self.ids
        if len(inside) < setting.clusters:
            return
        by_embedding = cfg.cluster_on == "embedding"
        X = self.setting.X[inside] if by_embedding else self._in_blocks(learner, inside, lambda p: p.mean(0))
        found = kmeans(X, setting.clusters, rng)
        number = np.arange(setting.clusters)
        if found.centres.shape == self._arm_centres.shape:
            _, number = linear_sum_assignment(cdist(found.centres, self._arm_centres))
        self._arm_centres = np.empty_like(found.centres)
        self._arm_centres[number] = found.centres
        cluster = np.full(len(self.cell), -1)
        cluster[inside] = number[found.labels]
        self._group = self.setting.group(cluster)

    # ----------------------------------------------------------------- choice
    def choose(
        self, weights: NDArray[np.floating], n: int, learner: Learner, rng: np.random.Generator
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """At most ``n`` candidates by the ``weights`` (arms,) ≥ 0, and the arm that contributed most to each."""
        cfg, X = self.setting.config, self.setting.X
        names, group = cfg.criteria, self._group[self.ids]
        weight = np.where(group[:, None] >= 0, weights.reshape(-1, len(names))[group], 0.0)  # (m, criteria)
        total, most, owner = np.zeros(len(group)), np.full(len(group), -1.0), np.zeros(len(group), np.intp)
        for criterion in np.flatnonzero(weight.any(axis=0)):
            name = names[criterion]
            if name in BATCH_CRITERIA:  # its arm is the only one with a weight
                inside = self.ids[weight[:, criterion] > 0]
                picked = inside[self._pick_whole(name, inside, n, learner, rng)]
                return picked, self._group[picked] * len(names) + criterion
            asked = (weight[:, criterion] > 0) & self._passes(name)
            part = np.where(asked, weight[:, criterion] * self.scores[name], -1.0)
            total += np.maximum(part, 0)
            owner[part > most] = criterion
            most = np.maximum(part, most)
        within = np.flatnonzero(most >= 0)
        total, inside = total[within], self.ids[within]
        match cfg.select:
            case "best":
                picked = best(total, self._priority[inside], n)
            case "diverse":
                picked = diverse(total, self._priority[inside], self.setting.directions[inside], n)
            case "clustered":
                picked = clustered(total, self._priority[inside], X[inside], n, rng)
            case "dbscan":
                picked = clustered(total, self._priority[inside], X[inside], n, rng, method="dbscan")
        chosen = inside[picked]
        return chosen, self._group[chosen] * len(names) + owner[within[picked]]

    def _pick_whole(
        self, criterion: str, inside: NDArray[np.intp], n: int, learner: Learner, rng: np.random.Generator
    ) -> NDArray[np.intp]:
        X = self.setting.X
        if criterion == "badge":
            return badge(X[inside], self._in_blocks(learner, inside, lambda p: p.mean(0)), n, rng)
        if criterion == "coreset":
            return coreset(X[inside], self._distance[inside], n)
        return typiclust(X[inside], X[self._asked], n, rng)

    def _passes(self, criterion: str) -> NDArray[np.bool_]:
        """(m,), at or above the percentile and the threshold."""
        return passes(self.scores[criterion], self.setting.config.percentile, self.setting.config.threshold)

    def _in_blocks(self, learner: Learner, candidates: NDArray[np.intp], of: Callable[[Floats], Floats]) -> Floats:
        """(candidates, …), ``of`` the probabilities (members, block, classes)."""
        ids = self.setting.ids[candidates]
        starts = range(0, max(len(ids), 1), _BLOCK)
        return np.concatenate([of(learner.predict_proba(ids[start : start + _BLOCK])) for start in starts])

    # ------------------------------------------------------------ observation
    def samples(self) -> NDArray[np.int64]:
        """(arms,), how many each offers."""
        return np.repeat(self._count(self._group[self.ids]), len(self.setting.config.criteria))

    def open(self) -> NDArray[np.bool_]:
        """(arms,), whether a pull of it alone would ask about anything."""
        group = self._group[self.ids]
        passing = (self._passes(name) if name in self.scores else slice(None) for name in self.setting.config.criteria)
        return np.stack([self._count(group[inside]) for inside in passing], axis=1).ravel() > 0

    def target_shares(self) -> NDArray[np.float64]:
        """(arms,), the share that each arm's subset has of what is to be served, among domains that have arrived."""
        inside = np.flatnonzero(self._arrived & (self._group >= 0))
        target = self.setting.target_share(self._arrived)[inside]
        shares = np.bincount(self._group[inside], target, minlength=len(self.setting.subsets))
        return np.repeat(shares, len(self.setting.config.criteria))

    def means(self) -> tuple[Floats, Floats]:
        """Means over what each arm offers, 0 for one that offers nothing.

        Returns:
            (arms, k) of the public columns; (arms, measured) of the uncertainties divided by their bounds.
        """
        group = self._group[self.ids]
        inside = np.flatnonzero(group >= 0)
        group, count = group[inside], self._count(group)
        share = (1 / np.maximum(count, 1))[group].astype(np.float32)
        columns = csr_array((share, (group, self.ids[inside])), (len(count), len(self.cell))) @ self.setting.table
        measured = np.column_stack([self.scores[name] for name in self.setting.config.measured])
        uncertainty = csr_array((share, (group, inside)), (len(count), len(measured))) @ measured
        repeats = len(self.setting.config.criteria)
        return np.repeat(columns, repeats, axis=0), np.repeat(uncertainty, repeats, axis=0)

    def _count(self, group: NDArray[np.intp]) -> NDArray[np.int64]:
        return np.bincount(group[group >= 0], minlength=len(self.setting.subsets))

"""What an annotation task is made of: its arguments, its splits, its arms."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from curation_gym.acquisition import CRITERIA
from curation_gym.annotators.simulated import AnnotatorConfig, Facts
from curation_gym.config import Config, ConfigError, Many
from curation_gym.envs.annotation_reward import RewardWeights
from curation_gym.learners.build import LearnerConfig
from curation_gym.learners.linear import LinearConfig
from curation_gym.pools.build import PoolSource
from curation_gym.pools.digits import DigitsConfig
from curation_gym.pools.features import gather
from curation_gym.pools.pool import Pool
from curation_gym.signals.uncertainty import MEASURES
from curation_gym.stopping import GainBelowPrice, StoppingConfig

ENV_ID = "CurationGym/AnnotationAllocation-v0"
SCORES = (*CRITERIA, "coverage")
"""Criteria that give every sample a score."""
BATCH_CRITERIA = ("badge", "coreset", "typiclust")
"""Criteria that pick a whole pull, and so can't be weighted."""


class AnnotationAllocationConfig(Config):
    """Arguments of AnnotationAllocation-v0, see :class:`AnnotationAllocationEnv`."""

    pool: PoolSource = DigitsConfig()
    more_pools: Many[PoolSource] = ()
    subsets: Literal["all", "domains", "clusters", "domains_x_clusters"] = "all"
    criteria: Many[str] = ("random", "entropy", "ensemble_entropy", "disagreement", "margin")
    action: Literal["hard", "soft"] = "hard"
    arm_features: Literal["all", "state"] = "all"
    batch: int = Field(10, ge=1)
    budget: int = Field(200, ge=1)
    n_initial: int = Field(10, ge=0)
    n_validation: int = Field(0, ge=0)
    n_clusters: int | None = Field(None, ge=1)
    cluster_on: Literal["embedding", "probabilities"] = "embedding"
    recluster: bool = False
    score_batch: int | None = Field(None, ge=1)
    percentile: float = Field(0.0, ge=0, lt=100)
    threshold: float = Field(0.0, ge=0, lt=1)
    select: Literal["best", "diverse", "clustered", "dbscan"] = "best"
    retrain_every: int = Field(1, ge=1)
    learner: LearnerConfig = LinearConfig()
    reward: RewardWeights = RewardWeights(uncertainty_reduction=1.0)
    annotator: AnnotatorConfig = AnnotatorConfig()
    stopping: StoppingConfig | None = None
    evaluate_every: int = Field(1, ge=1)
    evaluate_on: Literal["test", "validation"] = "test"

    @field_validator("criteria")
    @classmethod
    def _known(cls, criteria: tuple[str, ...]) -> tuple[str, ...]:
        known = (*SCORES, *BATCH_CRITERIA)
        if not criteria or len(set(criteria)) < len(criteria) or not set(criteria) <= set(known):
            raise ValueError(f"criteria must be different ones of {', '.join(known)}")
        return criteria

    @model_validator(mode="after")
    def _consistent(self) -> "AnnotationAllocationConfig":
        whole = [name for name in self.criteria if name in BATCH_CRITERIA]
        if whole and (self.action == "soft" or self.select != "best"):
            raise ValueError(
                f"{', '.join(whole)} pick a whole pull: action must be 'hard' and select 'best', actual values: "
                f"{self.action!r} and {self.select!r}"
            )
        if whole and (self.percentile or self.threshold):
            raise ValueError(
                f"{', '.join(whole)} give no sample a score that percentile = {self.percentile:g} or threshold = "
                f"{self.threshold:g} could be compared with; leave them out"
            )
        if self.budget <= self.first_cost:
            raise ValueError(
                f"budget = {self.budget} must exceed the {self.first_cost} that n_initial + n_validation = "
                f"{self.n_initial} + {self.n_validation} answers may cost"
            )
        if self.needs_validation != (self.n_validation > 0):
            raise ValueError(
                "validation labels are bought for, and only for, reward.validation_gain, reward.domain_gain and "
                f"stopping by gain_below_price, actual n_validation: {self.n_validation}"
            )
        if self.more_pools and self.arm_features != "state":
            raise ValueError("more_pools needs arm_features 'state': only that means the same on every pool")
        if self.recluster and not self.by_cluster:
            raise ValueError(f"recluster is for arms of clusters, actual subsets: {self.subsets!r}")
        if self.cluster_on == "probabilities" and not self.recluster:
            raise ValueError(
                "cluster_on 'probabilities' is for recluster, which it alone concerns: coverage, similar_reduction, "
                "select and typiclust go by the embedding; set recluster, or leave cluster_on out"
            )
        if self.n_clusters is not None and not self.needs_clusters:
            raise ValueError(
                f"n_clusters = {self.n_clusters}, but nothing is clustered: that is for subsets of clusters, the "
                "criterion coverage and reward.similar_reduction"
            )
        return self

    @property
    def needs_validation(self) -> bool:
        """Whether validation labels are bought."""
        return self.reward.needs_validation or isinstance(self.stopping, GainBelowPrice)

    @property
    def answer_cost(self) -> tuple[int, int]:
        """Least and most that asking about one sample costs, in labels of the budget; the least is at least 1, since it
        says how long a campaign can take."""
        price = self.annotator.price
        prices = (price.label, price.flag, price.abstention)
        return max(min(prices), 1) * self._answers, max(prices) * self._answers

    @property
    def label_cost(self) -> int:
        """What asking about one sample costs when everybody answers with a label."""
        return self.annotator.price.label * self._answers

    @property
    def _answers(self) -> int:
        """To a question."""
        return 1 if self.annotator.crowd is None else self.annotator.crowd.redundancy

    @property
    def first_cost(self) -> int:
        """Most that is spent before the first pull."""
        return (self.n_initial + self.n_validation) * self.answer_cost[1]

    @property
    def horizon(self) -> int:
        """Most pulls in an episode: twice as many as full ones whose answers are all of the cheapest kind, so that a
        policy that asks for parts of a pull can spend its budget, too, and one that asks for nothing comes to an end.
        """
        return 2 * -(-(self.budget - self.first_cost) // (self.batch * self.answer_cost[0]))

    @property
    def measured(self) -> tuple[str, ...]:
        """The uncertainties that are computed: those among the criteria, and two that tell the learner's state."""
        wanted = {*self.criteria, "ensemble_entropy", "disagreement"}
        return tuple(name for name in MEASURES if name in wanted)

    @property
    def by_cluster(self) -> bool:
        """Whether arms are made of clusters."""
        return self.subsets in ("clusters", "domains_x_clusters")

    @property
    def needs_clusters(self) -> bool:
        """Whether candidates are clustered at all."""
        return self.by_cluster or "coverage" in self.criteria or self.reward.similar_reduction > 0


@dataclass(frozen=True, eq=False)
class Setting:
    """What all campaigns of an environment share, and none changes.

    Attributes:
        config: the environment's.
        pool: of which the n candidates are the train split.
        ids: (n,), pool ids of the candidates.
        table: (n, k), their public columns: embedding, signals, metadata.
        hidden: (n,), their hidden labels; below 0: out of scope.
        facts: what the annotator may know about them.
        domain: (n,), codes into the pool's domain names.
        arrival: (n,), the share of the budget that is spent when each arrives.
        validation: pool ids that validation questions are drawn from.
        test: pool ids of the samples in scope of the split that is evaluated on.
        clusters: how many k-means finds.
        subsets: names of the parts of the pool that arms are made of, in the order of their groups.
        classes: K.
    """

    config: AnnotationAllocationConfig
    pool: Pool
    ids: NDArray[np.int32]
    table: NDArray[np.float32]
    hidden: NDArray[np.int64]
    facts: Facts
    domain: NDArray[np.intp]
    arrival: NDArray[np.float32]
    validation: NDArray[np.int32]
    test: NDArray[np.int32]
    clusters: int
    subsets: tuple[str, ...]
    classes: int

    @property
    def X(self) -> NDArray[np.float32]:
        """(n, d), embeddings of the candidates."""
        return self.table[:, : self.pool.dimension]

    @cached_property
    def validation_facts(self) -> Facts:
        """What the annotator may know about the validation samples."""
        return facts_about(self.pool, self.validation)

    def target_share(self, arrived: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(n,), each candidate's part of its domain's share of the validation split, whose mix is what models serve.

        Sums to 1 over the candidates that have ``arrived`` (n,), and is 0 of others, so that nobody is told of a domain
        before its first sample is there; 0 where validation has no sample of the domain.
        """
        served = np.bincount(self.pool.domain[self.validation], minlength=len(self.pool.domain_names))
        offered = np.bincount(self.domain[arrived], minlength=len(served))
        part: NDArray[np.float64] = np.where(arrived, (served / np.maximum(offered, 1))[self.domain], 0)
        part /= max(part.sum(), 1)
        return part

    @cached_property
    def directions(self) -> NDArray[np.float32]:
        """(n, d), the same at unit length; 0 stays 0."""
        length = np.linalg.norm(self.X, axis=1, keepdims=True)
        unit: NDArray[np.float32] = self.X / np.maximum(length, np.finfo(np.float32).tiny)
        return unit

    @property
    def arms(self) -> tuple[str, ...]:
        """SUBSET/CRITERION: every criterion of the first subset, then of the next."""
        return tuple(f"{subset}/{criterion}" for subset in self.subsets for criterion in self.config.criteria)

    def group(self, cluster: NDArray[np.intp]) -> NDArray[np.intp]:
        """(n,), the subset of each candidate, given its cluster; −1: in none."""
        match self.config.subsets:
            case "all":
                return np.zeros(len(self.ids), np.intp)
            case "domains":
                return self._place
            case "clusters":
                return cluster
            case "domains_x_clusters":
                return np.where(cluster < 0, -1, self._place * self.clusters + cluster)

    @property
    def _place(self) -> NDArray[np.intp]:
        """(n,), number of each candidate's domain among those present."""
        return np.unique(self.domain, return_inverse=True)[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> "Setting":
        return self


def lay_out(pool: Pool, cfg: AnnotationAllocationConfig) -> Setting:
    """Check that the pool fits, and lay out the arms."""
    classes = len(pool.class_names)
    if "label" not in pool.hidden or classes < 2:
        raise ConfigError(
            f"{ENV_ID}: the pool must have hidden['label'] and class_names of at least 2 classes: {pool!r}"
        )
    label = pool.hidden["label"].astype(np.int64)
    ids, test = pool.ids("train"), pool.ids(cfg.evaluate_on)
    test = test[label[test] >= 0]
    if len(test) == 0:
        raise ConfigError(f"{ENV_ID}: the pool has no sample with a label in its {cfg.evaluate_on} split")
    asked = cfg.budget // cfg.label_cost
    bought = {"train": asked - cfg.n_validation, "validation": cfg.n_validation}
    for split, labels in bought.items():
        if labels > len(pool.ids(split)):
            raise ConfigError(
                f"{ENV_ID}: pool too small: budget = {cfg.budget} and n_validation = {cfg.n_validation} "
                f"buy {labels} labels of the {split} split, which has {len(pool.ids(split))}; "
                "lower them, or take a larger pool"
            )
    if cfg.n_clusters is not None and cfg.n_clusters > len(ids):
        raise ConfigError(f"{ENV_ID}: n_clusters = {cfg.n_clusters} exceeds the {len(ids)} candidates")
    n_clusters = cfg.n_clusters or max(min(2 * classes, cfg.budget // 10, len(ids) // 50), 1)
    domains = [pool.domain_names[code] for code in np.unique(pool.domain[ids])]
    clusters = [f"cluster {k}" for k in range(n_clusters)]
    subsets = {
        "all": ["all"],
        "domains": domains,
        "clusters": clusters,
        "domains_x_clusters": [f"{domain} × {cluster}" for domain in domains for cluster in clusters],
    }
    return Setting(
        config=cfg,
        pool=pool,
        ids=ids,
        table=np.concatenate(gather(pool, ids), axis=1),
        hidden=label[ids],
        facts=facts_about(pool, ids),
        domain=pool.domain[ids].astype(np.intp),
        arrival=np.zeros(len(ids), np.float32) if pool.arrival is None else np.asarray(pool.arrival[ids]),
        validation=pool.ids("validation"),
        test=test,
        clusters=n_clusters,
        subsets=tuple(subsets[cfg.subsets]),
        classes=classes,
    )


def facts_about(pool: Pool, ids: NDArray[np.int32]) -> Facts:
    """What a simulated annotator may know of samples: domains, class centroids, and difficulty.

    Difficulty is the rank in [0, 1] of the Euclidean distance to the centroid of the sample's own hidden class; 1 out
    of scope. A class without a sample has no centroid: NaN.
    """
    label = pool.hidden["label"].astype(np.int64)
    known = np.flatnonzero(label >= 0)
    centroids = np.full((len(pool.class_names), pool.dimension), np.nan, np.float32)
    order = known[np.argsort(label[known], kind="stable")]
    present, starts = np.unique(label[order], return_index=True)
    counts = np.diff(np.append(starts, len(order)))[:, None]
    centroids[present] = np.add.reduceat(pool.embeddings[order], starts, axis=0) / counts
    distance = np.linalg.norm(pool.embeddings[ids] - centroids[label[ids]], axis=1)
    distance[label[ids] < 0] = np.inf
    rank = np.argsort(np.argsort(distance, kind="stable"), kind="stable") / max(len(ids) - 1, 1)
    difficulty = np.where(label[ids] < 0, 1.0, rank)
    return Facts(pool.domain[ids], pool.domain_names, difficulty, centroids)

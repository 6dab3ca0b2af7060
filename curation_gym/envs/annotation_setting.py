"""What an annotation task is made of: its arguments, its splits, its arms."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from curation_gym.annotators.simulated import AnnotatorConfig
from curation_gym.config import Config, ConfigError, Many
from curation_gym.envs.acquisition import CRITERIA
from curation_gym.pools.build import PoolSource
from curation_gym.pools.digits import DigitsConfig
from curation_gym.pools.features import columns_after, columns_before, gather
from curation_gym.pools.pool import Pool

ENV_ID = "CurationGym/AnnotationAllocation-v0"
Labelled = tuple[NDArray[np.float32], NDArray[np.int64]]


class RewardWeights(Config):
    """Weights of the reward's parts, see :class:`AnnotationAllocationEnv`; at least one is above 0."""

    validation_gain: float = Field(default=0.0, ge=0)
    uncertainty_reduction: float = Field(default=0.0, ge=0)
    novelty: float = Field(default=0.0, ge=0)
    feedback: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _some(self) -> "RewardWeights":
        if sum(self.in_order()) == 0:
            raise ValueError("at least one weight of reward must be > 0")
        return self

    def in_order(self) -> tuple[float, float, float, float]:
        """As listed above."""
        return self.validation_gain, self.uncertainty_reduction, self.novelty, self.feedback


class AnnotationAllocationConfig(Config):
    """Arguments of AnnotationAllocation-v0, see :class:`AnnotationAllocationEnv`."""

    pool: PoolSource = DigitsConfig()
    arms: Literal["criteria", "domains", "domains_x_criteria"] = "criteria"
    criteria: Many[str] = ("random", "entropy", "ensemble_entropy", "disagreement", "margin")
    action: Literal["hard", "soft"] = "hard"
    batch: int = Field(10, ge=1)
    budget: int = Field(200, ge=1)
    n_initial: int = Field(10, ge=0)
    n_validation: int = Field(0, ge=0)
    diverse: bool = False
    members: int = Field(5, ge=2)
    C: float = Field(10.0, gt=0)
    reward: RewardWeights = RewardWeights(uncertainty_reduction=1.0)
    annotator: AnnotatorConfig = AnnotatorConfig()
    evaluate_every: int = Field(1, ge=1)

    @field_validator("criteria")
    @classmethod
    def _known(cls, criteria: tuple[str, ...]) -> tuple[str, ...]:
        if not criteria or len(set(criteria)) < len(criteria) or not set(criteria) <= set(CRITERIA):
            raise ValueError(f"criteria must be different ones of {', '.join(CRITERIA)}")
        return criteria

    @model_validator(mode="after")
    def _consistent(self) -> "AnnotationAllocationConfig":
        if self.arms == "domains" and len(self.criteria) > 1:
            raise ValueError(f"arms = 'domains' takes one criterion, actual value: {self.criteria}")
        if self.budget <= self.n_initial + self.n_validation:
            raise ValueError(
                f"budget = {self.budget} must exceed n_initial + n_validation = {self.n_initial} + "
                f"{self.n_validation}, which it pays for"
            )
        if (self.reward.validation_gain > 0) != (self.n_validation > 0):
            raise ValueError(
                "reward.validation_gain and n_validation go together (its labels are bought), actual values: "
                f"{self.reward.validation_gain} and {self.n_validation}"
            )
        return self

    @property
    def horizon(self) -> int:
        """Pulls in an episode."""
        return -(-(self.budget - self.n_initial - self.n_validation) // self.batch)


@dataclass(frozen=True, eq=False)
class Setting:
    """What all campaigns of an environment share, and none changes.

    Attributes:
        config: the environment's.
        pool: of which the n candidates are the train split.
        ids: (n,), pool ids of the candidates.
        X: (n, d), their embeddings.
        hidden: (n,), their hidden labels; below 0: out of scope.
        group: (n,), the group of each; arms are made of groups.
        sums: (groups, k), sums over all candidates of what :meth:`columns` returns.
        validation: samples that validation questions are drawn from, with hidden labels.
        test: samples in scope, with labels.
        covers: (arms, groups), whether an arm covers a group.
        criterion: one per arm.
        classes: K.
    """

    config: AnnotationAllocationConfig
    pool: Pool
    ids: NDArray[np.int32]
    X: NDArray[np.float32]
    hidden: NDArray[np.int64]
    group: NDArray[np.intp]
    sums: NDArray[np.float64]
    validation: Labelled
    test: Labelled
    covers: NDArray[np.bool_]
    criterion: tuple[str, ...]
    classes: int

    def columns(self, candidates: NDArray[np.intp]) -> NDArray[np.float32]:
        """(candidates, k): embedding, signals, metadata."""
        return np.concatenate(gather(self.pool, self.ids[candidates]), axis=1)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Setting":
        return self


def lay_out(pool: Pool, cfg: AnnotationAllocationConfig) -> tuple[Setting, tuple[str, ...]]:
    """Check that the pool fits, and lay out the arms; also returns their names."""
    classes = len(pool.class_names)
    if "label" not in pool.hidden or classes < 2:
        raise ConfigError(
            f"{ENV_ID}: the pool must have hidden['label'] and class_names of at least 2 classes: {pool!r}"
        )
    label = pool.hidden["label"].astype(np.int64)
    ids, test = pool.ids("train"), pool.ids("test")
    test = test[label[test] >= 0]
    if len(test) == 0:
        raise ConfigError(f"{ENV_ID}: the pool has no sample with a label in its test split")
    bought = {"train": cfg.budget - cfg.n_validation, "validation": cfg.n_validation}
    for split, labels in bought.items():
        if labels > len(pool.ids(split)):
            raise ConfigError(
                f"{ENV_ID}: pool too small: budget = {cfg.budget} and n_validation = {cfg.n_validation} "
                f"buy {labels} labels of the {split} split, which has {len(pool.ids(split))}; "
                "lower them, or take a larger pool"
            )
    present, group = np.unique(pool.domain[ids], return_inverse=True)
    if cfg.arms == "criteria":
        subsets, covers = ["all"], np.ones((1, len(present)), np.bool_)
    else:
        subsets, covers = [pool.domain_names[code] for code in present], np.eye(len(present), dtype=np.bool_)

    def labelled(samples: NDArray[np.int32]) -> Labelled:
        return pool.embeddings[samples], label[samples]

    X, hidden = labelled(ids)
    setting = Setting(
        config=cfg,
        pool=pool,
        ids=ids,
        X=X,
        hidden=hidden,
        group=group,
        sums=np.zeros((len(present), len(columns_before(pool)) + len(columns_after(pool)))),
        validation=labelled(pool.ids("validation")),
        test=labelled(test),
        covers=np.repeat(covers, len(cfg.criteria), axis=0),
        criterion=cfg.criteria * len(subsets),
        classes=classes,
    )
    for code in range(len(present)):
        setting.sums[code] = setting.columns(np.flatnonzero(group == code)).sum(0, dtype=np.float64)
    return setting, tuple(f"{subset}/{criterion}" for subset in subsets for criterion in cfg.criteria)

"""What a pull of an annotation campaign is worth: the parts of its reward."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.config import Config

Values = NDArray[np.float64]


class RewardWeights(Config):
    """Weights of the reward's parts, see :class:`AnnotationAllocationEnv`; at least one is above 0."""

    validation_gain: float = Field(default=0.0, ge=0)
    domain_gain: float = Field(default=0.0, ge=0)
    uncertainty_reduction: float = Field(default=0.0, ge=0)
    similar_reduction: float = Field(default=0.0, ge=0)
    novelty: float = Field(default=0.0, ge=0)
    answered: float = Field(default=0.0, ge=0)
    corrected: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _some(self) -> "RewardWeights":
        if sum(self.in_order()) == 0:
            raise ValueError("at least one weight of reward must be > 0")
        return self

    def in_order(self) -> tuple[float, ...]:
        """As listed above, which is the order of :data:`PARTS`."""
        return tuple(getattr(self, part) for part in PARTS)

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and largest reward: gains and reductions lie in [−1, 1], the other parts in [0, 1]."""
        weights = self.in_order()
        return -sum(weights[:N_SIGNED]), sum(weights)

    @property
    def needs_validation(self) -> bool:
        """Whether validation labels must be bought."""
        return self.validation_gain > 0 or self.domain_gain > 0


PARTS = tuple(RewardWeights.model_fields)
N_SIGNED = 4  # of the parts, the first ones, may be below 0


@dataclass(frozen=True, eq=False)
class Standing:
    """How well the learner knows what it can't have learnt by heart.

    Attributes:
        right: (V,), mean probability of each validation answer.
        right_domain: (V,), domain of each validation sample.
        entropy: (m,), H(p̄) / ln K of what is offered.
        cell: (m,), the cluster of each, in 0 … cells − 1.
    """

    right: Values
    right_domain: NDArray[np.integer]
    entropy: NDArray[np.float32]
    cell: NDArray[np.intp]

    def gain(self, before: "Standing") -> float:
        """Increase of the mean probability of the validation answers; 0 without any."""
        return float((self.right - before.right).mean()) if len(self.right) else 0.0

    def gain_by_domain(self, before: "Standing", domains: int) -> Values:
        """(domains,), the same within each; 0 where there is none."""
        count = np.bincount(self.right_domain, minlength=domains)
        total = np.bincount(self.right_domain, self.right - before.right, domains)
        return np.asarray(total / np.maximum(count, 1))

    def eased(self, before: "Standing") -> float:
        """Decrease of the mean entropy of what is offered; 0 when nothing is, before or now."""
        if not (len(self.entropy) and len(before.entropy)):
            return 0.0
        return float(before.entropy.mean(dtype=np.float64) - self.entropy.mean(dtype=np.float64))

    def eased_by_cell(self, before: "Standing", cells: int) -> Values:
        """(cells,), the same within each."""
        sums = [np.bincount(s.cell, s.entropy, cells) for s in (before, self)]
        counts = [np.bincount(s.cell, minlength=cells) for s in (before, self)]
        means = [total / np.maximum(count, 1) for total, count in zip(sums, counts, strict=True)]
        return np.where((counts[0] > 0) & (counts[1] > 0), means[0] - means[1], 0.0)

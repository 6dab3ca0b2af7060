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
        offered: (m,), ascending candidates that are offered.
        entropy: (m,), H(p̄) / ln K of each.
        cell: (m,), the cluster of each, in 0 … cells − 1.
    """

    right: Values
    right_domain: NDArray[np.integer]
    offered: NDArray[np.intp]
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
        """Mean decrease of the entropy of what is offered, before and now; 0 when nothing is."""
        eased, _ = self._eased(before)
        return float(eased.mean()) if len(eased) else 0.0

    def eased_by_cell(self, before: "Standing", cells: int) -> Values:
        """(cells,), the same within each."""
        eased, cell = self._eased(before)
        return np.asarray(np.bincount(cell, eased, cells) / np.maximum(np.bincount(cell, minlength=cells), 1))

    def _eased(self, before: "Standing") -> tuple[Values, NDArray[np.intp]]:
        """Of the candidates that are offered before and now, so that others that come and go count for nothing: by how
        much the entropy of each fell, and its cluster."""
        _, then, now = np.intersect1d(before.offered, self.offered, assume_unique=True, return_indices=True)
        return before.entropy[then].astype(np.float64) - self.entropy[now], self.cell[now]

"""A simulated annotator: hidden labels, with noise, and flags for what is out of scope."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curation_gym.config import Config


class AnnotatorConfig(Config):
    """How well the annotator works.

    Attributes:
        noise: probability that an answer is wrong; a wrong answer is uniform over the other classes.
        flag_reliability: probability that a sample out of scope is flagged; otherwise it gets a label that is
            uniform over the classes. Samples in scope are never flagged.
    """

    noise: float = Field(default=0.0, ge=0, le=1)
    flag_reliability: float = Field(default=1.0, ge=0, le=1)


@dataclass(frozen=True)
class Answers:
    """What came back for a list of samples.

    Attributes:
        labels: (n,) class indices, −1 where flagged.
        flagged: (n,), True where the annotator says that no class applies.
        cost: labels of the budget that the questions cost: one each, a flag included.
    """

    labels: NDArray[np.int64]
    flagged: NDArray[np.bool_]
    cost: int


class SimulatedAnnotator:
    """Answers from hidden labels.

    An answer is a pure function of (seed, sample): whoever asks about a sample, whenever, in whatever
    company, gets the same. So two policies that are compared under one seed share all luck of annotation.

    Args:
        hidden: (n,) hidden class of every sample; below 0: out of scope.
        classes: K ≥ 2.
        config: how well it works.
        seed: of everything drawn.

    Raises:
        ValueError: when a hidden label isn't below ``classes``.
    """

    def __init__(
        self,
        hidden: NDArray[np.integer],
        classes: int,
        config: AnnotatorConfig,
        seed: int | np.random.SeedSequence,
    ) -> None:
        if len(hidden) and hidden.max() >= classes:
            raise ValueError(f"hidden labels must be < {classes}, actual largest value: {hidden.max()}")
        rng = np.random.default_rng(seed)
        luck = rng.random(len(hidden))
        another = rng.integers(1, classes, len(hidden))
        anything = rng.integers(classes, size=len(hidden))
        in_scope = np.where(luck < config.noise, (hidden + another) % classes, hidden)
        out_of_scope = np.where(luck < config.flag_reliability, -1, anything)
        self._answers = np.where(hidden >= 0, in_scope, out_of_scope)

    def ask(self, samples: NDArray[np.integer]) -> Answers:
        """Annotate ``samples``, (n,) positions in ``hidden``."""
        labels = self._answers[samples]
        return Answers(labels, labels < 0, len(samples))

"""What a campaign asks: one simulated annotator, or a crowd of them, by one protocol."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from curation_gym.annotators.answers import Answers
from curation_gym.annotators.crowd import Crowd
from curation_gym.annotators.simulated import NO_FACTS, AnnotatorConfig, Facts, SimulatedAnnotator


class Annotator(Protocol):
    """Answers questions about samples.

    A campaign makes its own by :func:`make_annotator`: what it asks is always simulated. Where people answer, the loop
    is one's own, see docs/annotation.md.
    """

    def ask(self, samples: NDArray[np.integer]) -> Answers:
        """Annotate ``samples``, (n,) positions among those that the annotator knows; labels in the same order."""
        ...


def make_annotator(
    config: AnnotatorConfig,
    hidden: NDArray[np.integer],
    classes: int,
    seed: int | np.random.SeedSequence,
    facts: Facts = NO_FACTS,
) -> Annotator:
    """One simulated annotator, or with ``config.crowd`` several.

    Args:
        config: how well they work.
        hidden: (n,) hidden class of every sample; below 0: out of scope.
        classes: K ≥ 2.
        seed: of everything drawn.
        facts: domains, difficulty and centroids, for the options that need them.

    Raises:
        ValueError: when a hidden label isn't below ``classes``, or an option lacks a fact or doesn't fit it.
    """
    kind = SimulatedAnnotator if config.crowd is None else Crowd
    return kind(hidden, classes, config, seed, facts)

"""What annotators answer with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLAG = -1
"""As a label: no class applies."""
ABSTENTION = -2
"""As a label: no answer."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What came back for a list of samples.

    Attributes:
        labels: (n,) class indices, −1 where flagged, −2 where the annotator abstained.
        cost: of all, in units of the budget; flags and abstentions have their price too.
        seconds: working time of all.
    """

    labels: NDArray[np.int64]
    cost: int
    seconds: float

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """(n,), True where the annotator says that no class applies."""
        flagged: NDArray[np.bool_] = self.labels == FLAG
        return flagged

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """(n,), True where the annotator gave no answer."""
        abstained: NDArray[np.bool_] = self.labels == ABSTENTION
        return abstained

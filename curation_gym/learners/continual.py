"""Continual retraining: new labels, and a replay of old ones against forgetting, instead of starting from scratch."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curation_gym.config import Config
from curation_gym.learners.base import Ids, Labels, Probabilities, UpdatableLearner, checked_labels
from curation_gym.learners.checkpoints import CheckpointsConfig
from curation_gym.learners.mc_dropout import McDropoutConfig
from curation_gym.learners.transformer import TransformerConfig
from curation_gym.pools.pool import Pool


class ContinualConfig(Config):
    """A learner trained by gradient descent that goes on with new labels and a replay of old ones.

    Attributes:
        learner: what is trained; its steps or epochs are those of one update, and its ``warm_start`` plays no part.
        memory: old labels kept for replay; 0: none, plain fine-tuning on what is new.
        replay: which are kept. ``"reservoir"``: a uniform sample of all old ones, distributed as by Vitter's
            algorithm R (1985). ``"class_balanced"``: of every class as many, as far as it has them, uniform within
            the class; so that rare classes aren't crowded out (compare Chrysakis and Moens, ICML 2020).
    """

    kind: Literal["continual"]
    learner: Annotated[McDropoutConfig | CheckpointsConfig | TransformerConfig, Field(discriminator="kind")]
    memory: int = Field(default=200, ge=0)
    replay: Literal["reservoir", "class_balanced"] = "reservoir"


class ContinualLearner:
    """The learner of :class:`ContinualConfig`.

    ``fit`` takes everything labelled so far, as of every learner, and finds out itself what is new: an id not given
    before, or given with another label. Without anything new it changes nothing. What leaves the memory never comes
    back, as if labels arrived in a stream; every sample's rank in it is drawn when the learner is made.

    Args:
        config: its options.
        learner: what is trained.
        pool: what ids refer to.
        seed: of the ranks.

    Attributes:
        replayed: (k, 2), id and label of the old ones that the last fit trained on again.
    """

    def __init__(self, config: ContinualConfig, learner: UpdatableLearner, pool: Pool, seed: int) -> None:
        self.members, self.classes = learner.members, learner.classes
        self.replayed = np.zeros((0, 2), np.intp)
        self._config, self._learner, self._pool = config, learner, pool
        self._key = np.random.default_rng(seed).random(len(pool))
        self._known = np.zeros((0, 2), np.intp)

    def fit(self, ids: Ids, labels: Labels) -> "ContinualLearner":
        given = np.stack(checked_labels(self._pool, ids, labels, self.classes), axis=1)
        old = _among(given, self._known)
        if not old.all():
            self.replayed = given[old][self._remembered(given[old])]
            both = np.concatenate([given[~old], self.replayed])
            self._learner.update(both[:, 0], both[:, 1])
        self._known = given
        return self

    def predict_proba(self, ids: Ids) -> Probabilities:
        return self._learner.predict_proba(ids)

    def _remembered(self, old: NDArray[np.intp]) -> NDArray[np.intp]:
        """Indices of the old ones in memory: those of the lowest key, or of the lowest rank in their class.

        The lowest k of independent keys are a uniform sample of size k, and one that is passed never re-enters.
        """
        key, label = self._key[old[:, 0]], old[:, 1]
        rank = np.zeros(len(old), np.intp)
        if self._config.replay == "class_balanced":
            order = np.lexsort((key, label))
            first = np.searchsorted(label[order], label[order])
            rank[order] = np.arange(len(old)) - first
        return np.lexsort((key, rank))[: self._config.memory]


def _among(pairs: NDArray[np.intp], known: NDArray[np.intp]) -> NDArray[np.bool_]:
    """(n,), whether each (id, label) is one of ``known``."""
    members = {(int(sample), int(label)) for sample, label in known}
    return np.array([(int(sample), int(label)) in members for sample, label in pairs], np.bool_)

"""One entrance for every learner: a configuration, or the same as a mapping."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from curation_gym.config import Config, Many, validated
from curation_gym.learners.base import Learner, derived_seed
from curation_gym.learners.checkpoints import CheckpointsConfig, CheckpointsLearner
from curation_gym.learners.continual import ContinualConfig, ContinualLearner
from curation_gym.learners.estimator import SklearnConfig, SklearnLearner
from curation_gym.learners.linear import LinearConfig, LinearLearner
from curation_gym.learners.mc_dropout import McDropoutConfig, McDropoutLearner
from curation_gym.learners.training import SgdLearner
from curation_gym.learners.transformer import TransformerConfig, TransformerLearner
from curation_gym.learners.views import (
    SpecialistsConfig,
    SpecialistsLearner,
    StackLearner,
    SubspacesConfig,
    ViewsConfig,
    ViewsLearner,
    further_views,
    subspaces,
)
from curation_gym.pools.pool import Pool


class StackConfig(Config):
    """Learners of different kinds side by side; member 0 is the first one's.

    Attributes:
        learners: their configurations.
    """

    kind: Literal["stack"]
    learners: "Many[LearnerConfig]"

    @model_validator(mode="after")
    def _some(self) -> "StackConfig":
        if not self.learners:
            raise ValueError("learners must name at least one")
        return self


LearnerConfig = Annotated[
    LinearConfig
    | McDropoutConfig
    | CheckpointsConfig
    | SubspacesConfig
    | ViewsConfig
    | SpecialistsConfig
    | SklearnConfig
    | TransformerConfig
    | ContinualConfig
    | StackConfig,
    Field(discriminator="kind"),
]
"""Which learner, and its options."""
StackConfig.model_rebuild()


class _Request(Config):
    learner: LearnerConfig


def make_learner(config: LearnerConfig | dict[str, Any], pool: Pool, classes: int, seed: int) -> Learner:
    """The learner that ``config`` describes, before its first label.

    Args:
        config: a learner's configuration, or that as a mapping with ``kind`` and the kind's options.
        pool: what ids refer to, and where features, texts or images come from.
        classes: K ≥ 2.
        seed: ≥ 0, of all that is random.

    Raises:
        ConfigError: for an unknown kind or option.
        ValueError: when the pool doesn't serve the learner, or ``classes`` is below 2.
        ModelError: when a pretrained model can't be loaded.
    """
    if classes < 2:
        raise ValueError(f"classes must be >= 2, actual value: {classes}")
    match validated(_Request, {"learner": config}, "make_learner").learner:
        case LinearConfig() as linear:
            return LinearLearner(linear, pool, classes, seed)
        case SubspacesConfig() as options:
            return ViewsLearner(subspaces(options, pool, seed), pool, classes, options)
        case ViewsConfig() as options:
            return ViewsLearner(further_views(options, pool), pool, classes, options)
        case SpecialistsConfig() as options:
            return SpecialistsLearner(options, pool, classes)
        case SklearnConfig() as options:
            return SklearnLearner(options, pool, classes, seed)
        case ContinualConfig() as options:
            trained = _trained_by_gradient_descent(options.learner, pool, classes, derived_seed(seed, 0))
            return ContinualLearner(options, trained, pool, derived_seed(seed, 1))
        case StackConfig() as options:
            parts = enumerate(options.learners)
            return StackLearner([make_learner(part, pool, classes, derived_seed(seed, i)) for i, part in parts])
        case McDropoutConfig() | CheckpointsConfig() | TransformerConfig() as options:
            return _trained_by_gradient_descent(options, pool, classes, seed)


def _trained_by_gradient_descent(
    config: McDropoutConfig | CheckpointsConfig | TransformerConfig, pool: Pool, classes: int, seed: int
) -> SgdLearner:
    match config:
        case McDropoutConfig():
            return McDropoutLearner(config, pool, classes, seed)
        case CheckpointsConfig():
            return CheckpointsLearner(config, pool, classes, seed)
        case TransformerConfig():
            return TransformerLearner(config, pool, classes, seed)

"""ScoreSelection-v0: DynACurE's reward as written, the control whose optimum is a threshold."""

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.envs.base import Arrays, CurationEnv, Rows
from curation_gym.envs.selection import SelectionConfig, SelectionInfo, SelectionVectorEnv, Weights

ENV_ID = "CurationGym/ScoreSelection-v0"


class ScoreSelectionConfig(SelectionConfig):
    """Arguments of ScoreSelection-v0, see :class:`ScoreSelectionEnv`."""

    reward: Literal["sum", "mean"] = "sum"
    weights: Weights = Field(default_factory=lambda: {"safety": 0.4, "alignment": 0.3, "utility": 0.3})
    min_batch_size: int = Field(1, ge=1)
    vector_reward: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> "ScoreSelectionConfig":
        if self.min_batch_size > self.n_items:
            raise ValueError(f"min_batch_size must be <= n_items = {self.n_items}, actual value: {self.min_batch_size}")
        return self


class ScoreSelectionInfo(SelectionInfo, total=False):
    """``info`` of a step: the components of the reward before weighting, by the names of the signals."""

    safety: float
    alignment: float
    utility: float


class ScoreSelectionVectorEnv(SelectionVectorEnv):
    """Batched core of :class:`ScoreSelectionEnv`."""

    env_id = ENV_ID
    config_model: ClassVar[type[SelectionConfig]] = ScoreSelectionConfig
    info_type: ClassVar[type] = ScoreSelectionInfo
    config: ScoreSelectionConfig

    def _score_weights(self) -> dict[str, float]:
        return self.config.weights

    def _objectives(self) -> tuple[str, ...]:
        return tuple(self.config.weights) if self.config.vector_reward else ()

    def _pay(self, rows: Rows, step: NDArray[np.int64], picked: NDArray[np.bool_]) -> Arrays:
        n = np.maximum(picked.sum(1), self.config.min_batch_size) if self.config.reward == "mean" else 1
        told = {
            name: np.where(picked, self._signal(name, rows, step), 0).sum(1, dtype=np.float64) / n
            for name in self.score_weights
        }
        return told | {"raw_reward": sum(weight * told[name] for name, weight in self.score_weights.items())}

    def _reward(self, info: Arrays) -> NDArray[np.float64]:
        objectives = self.task.objectives
        return np.stack([info[name] for name in objectives], axis=1) if objectives else super()._reward(info)

    def _best_plan(self, row: int) -> tuple[NDArray[np.bool_], float]:
        cfg = self.config
        scores = self._score(row).astype(np.float64)
        eligible, scale = np.ones(scores.shape, np.bool_), 1.0
        if cfg.reward == "mean":
            # More than the floor lowers a step's mean and costs budget; up to the floor each item adds score / floor.
            rank = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
            eligible, scale = rank < cfg.min_batch_size, 1 / cfg.min_batch_size
        ranked = np.argsort(np.where(eligible, -scores, np.inf), axis=None, kind="stable")
        best = ranked[: min(cfg.budget, int(eligible.sum()))]
        plan = np.zeros(scores.size, np.bool_)
        plan[best] = True
        return plan.reshape(scores.shape), float(scores.ravel()[best].sum() * scale)


class ScoreSelectionEnv(CurationEnv):
    """Select the samples of highest score from a stream, under a budget: the control of the suite.

    ## Description
    At each step ``n_items`` candidates of a pool are shown. The policy gives each a probability p_i of being
    selected; the environment draws. Every sample d has a reward R(d) = w_s·safety + w_a·alignment + w_u·utility, all
    of it visible, so a threshold (equivalently top-k) is optimal: a learned policy should match it and can't beat
    it. What this environment shows is whether an agent learns at all. On pools of text the signals come from
    trained classifiers, see :mod:`curation_gym.pools`.

    ## Action space
    ``Box(0, 1, (n_items,))``: p_i. When more is drawn than the budget has left, a seeded random subset is kept.
    :class:`curation_gym.envs.wrappers.BernoulliSelection` turns it into ``MultiBinary(n_items)``.

    ## Observation space
    | key | columns |
    |---|---|
    | item (n_items, n_features) | embedding, signals (by name), novelty, freshness, domain (one-hot), log_length |
    | context (3,) | budget_left, steps_left, pace |
    | mask (n_items,) | 1 |

    pace is the share of the budget that is left over the share of the steps that is left, at most 4: above 1, more can
    be selected per step than the budget had planned.
    novelty is 1 − the largest cosine to what was selected; freshness is Π (1 − score_j) over the selected j whose
    cosine is above ``near``. With ``observation="ids"``, ``item`` holds int32 pool ids and ``dynamic``
    (n_items, 2) holds novelty and freshness.

    ## Rewards
    ``reward="sum"``: Σ R(d_i) over the batch, additive under the budget. ``reward="mean"``: the proposal's
    R(B_t) = (1/|B_t|) Σ R(d_i), with |B_t| floored at ``min_batch_size`` and 0 for an empty batch; its optimum is to
    select almost nothing, which is why it is not the default. ``info["raw_reward"]`` is the same number, and the
    sums (means) of the signals before weighting are in ``info`` by their names.

    With ``vector_reward``, the reward is these, float64 (signals,), in the order of ``task.objectives``, and the
    environment has a ``reward_space``: the interface of MO-Gymnasium (Felten et al., NeurIPS 2023), whose wrappers and
    agents plug in.

    ## Starting state
    A stream of n_items × horizon different samples of the split (of one group, if the pool has groups); nothing
    selected.

    ## Episode end
    Terminated when the budget is spent or the stream ends. Never truncated.

    ## Known optimum
    ``optimum()``: in hindsight the ``budget`` best of the stream (sum); the best ``min_batch_size`` of each step,
    the best of them first when the budget is short (mean).

    ## Arguments
    | name | default | meaning |
    |---|---|---|
    | pool | synthetic | a Pool, the path of a saved one, or a builder's configuration |
    | n_items | 32 | candidates per step |
    | horizon | 32 | steps |
    | budget | 128 | samples that may be selected |
    | split | train | of the pool |
    | observation | dense | dense or ids |
    | near | 0.5 | cosine above which two samples count as near |
    | hide | – | groups of columns that are 0: embedding, signals, state, or of that redundancy alone (novelty and |
    | | | freshness), metadata, context (but the budget's) |
    | reward | sum | sum or mean |
    | weights | safety .4, alignment .3, utility .3 | of the signals; sum to 1 |
    | min_batch_size | 1 | floor of the mean's denominator |
    | vector_reward | false | one number per signal instead of their weighted sum |

    ## Vectorized
    ``gymnasium.make_vec("CurationGym/ScoreSelection-v0", num_envs=…)`` gives the native batched core.

    ## Version history
    v0: initial version.
    """

    core_class = ScoreSelectionVectorEnv

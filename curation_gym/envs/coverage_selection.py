"""CoverageSelection-v0: what a sample adds depends on what was selected before it."""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from curation_gym.config import ConfigError
from curation_gym.envs.base import Arrays, CurationEnv, Rows
from curation_gym.envs.selection import SelectionConfig, SelectionVectorEnv

ENV_ID = "CurationGym/CoverageSelection-v0"


class CoverageSelectionConfig(SelectionConfig):
    """Arguments of CoverageSelection-v0, see :class:`CoverageSelectionEnv`."""

    quality_signal: str = "utility"


class CoverageSelectionVectorEnv(SelectionVectorEnv):
    """Batched core of :class:`CoverageSelectionEnv`."""

    env_id = ENV_ID
    config_model: ClassVar[type[SelectionConfig]] = CoverageSelectionConfig
    config: CoverageSelectionConfig

    def _prepare(self) -> None:
        hidden = self.pool.hidden
        for name in ("cluster", "cluster_weight", "quality"):
            if name not in hidden:
                raise ConfigError(
                    f"{ENV_ID}: the pool has no hidden column {name!r}; it has {sorted(hidden)}. "
                    "Builders make it with n_clusters"
                )
        # Clusters are renumbered within the group, so that each row needs only its own group's.
        members = [np.unique(hidden["cluster"][ids], return_index=True) for ids in self._groups]
        self._local = np.zeros(len(self.pool), np.int64)
        self._group_weights = np.zeros((len(self._groups), max(len(codes) for codes, _ in members)))
        for group, (ids, (codes, first)) in enumerate(zip(self._groups, members, strict=True)):
            self._local[ids] = np.searchsorted(codes, hidden["cluster"][ids])
            self._group_weights[group, : len(codes)] = hidden["cluster_weight"][ids[first]]
        self._miss = np.ones((self.num_envs, self._group_weights.shape[1]))
        self._weights = np.zeros_like(self._miss)

    def _score_weights(self) -> dict[str, float]:
        return {self.config.quality_signal: 1.0}

    def _begin_value(self, rows: Rows, groups: NDArray[np.int64]) -> None:
        self._miss[rows] = 1
        self._weights[rows] = self._group_weights[groups]

    def _pay(self, rows: Rows, step: NDArray[np.int64], picked: NDArray[np.bool_]) -> Arrays:
        before = self._miss[rows]
        after = before.copy()
        where, item = np.nonzero(picked)
        chosen = self._plan[rows[where], step[where], item]
        np.multiply.at(after, (where, self._local[chosen]), 1 - self.pool.hidden["quality"][chosen])
        self._miss[rows] = after
        return {"raw_reward": (self._weights[rows] * (before - after)).sum(1)}

    def _best_plan(self, row: int) -> tuple[NDArray[np.bool_], float]:
        ids = self._plan[row].ravel()
        quality, cluster = self.pool.hidden["quality"][ids], self._local[ids]
        order = np.lexsort((-quality, cluster))
        sorted_cluster, sorted_quality = cluster[order], quality[order]
        # Within a cluster the k-th best adds w q_k Π_{j<k}(1 − q_j): falling, so the largest marginals are optimal.
        miss = np.ones(len(ids))
        first = np.r_[True, sorted_cluster[1:] != sorted_cluster[:-1]]
        for place in range(1, len(ids)):
            miss[place] = 1.0 if first[place] else miss[place - 1] * (1 - sorted_quality[place - 1])
        marginal = self._weights[row][sorted_cluster] * sorted_quality * miss
        best = np.argsort(-marginal, kind="stable")[: self.config.budget]
        plan = np.zeros(len(ids), np.bool_)
        plan[order[best]] = True
        return plan.reshape(self._plan[row].shape), float(marginal[best].sum())


class CoverageSelectionEnv(CurationEnv):
    """Select samples that together cover what there is, under a budget: redundancy makes a threshold fail.

    ## Description
    At each step ``n_items`` candidates of a pool are shown. The policy gives each a probability p_i of being
    selected; the environment draws. Samples belong to hidden clusters c of hidden weight w_c; sample i alone covers
    its cluster with hidden probability q_i. What is selected is worth Σ_c w_c (1 − Π_{i in c}(1 − q_i)): weighted
    probabilistic coverage, a monotone submodular function (Krause and Golovin, "Submodular Function Maximization",
    2014). The policy sees a noisy signal of q and, of redundancy, only what similarity reveals.

    Pools: on ``synthetic`` pools clusters are drawn on a sphere, q ~ Beta(2, 3) and the ``utility`` signal is
    clip(q + noise). With ``n_groups`` = 1 every episode is a new stream from one fixed pool, whose cluster weights an
    agent can learn; with many groups each episode draws another pool. On ``docstrings`` and ``dataset`` pools clusters
    are k-means on the embeddings, w_c is the cluster's share of the pool, and q is the quality signal itself.

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
    cosine is above ``near``, with score = the quality signal. Both come from what the policy could know. With
    ``observation="ids"``, ``item`` holds int32 pool ids and ``dynamic`` (n_items, 2) holds novelty and freshness.

    ## Rewards
    The increase of the value; the return of an episode is its final value, in [0, 1] when the weights sum to 1.
    ``info["raw_reward"]`` is the same number.

    ## Starting state
    A stream of n_items × horizon different samples of one group; nothing selected.

    ## Episode end
    Terminated when the budget is spent or the stream ends. Never truncated.

    ## Known optimum
    ``optimum()``: greedy in hindsight over the whole stream, exact because each item has unit cost and one cluster
    and a step has no cap. No online policy can attain it: it knows what comes. A normaliser.

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
    | quality_signal | utility | the signal that stands for q |

    ## Vectorized
    ``gymnasium.make_vec("CurationGym/CoverageSelection-v0", num_envs=…)`` gives the native batched core.

    ## Version history
    v0: initial version.
    """

    core_class = CoverageSelectionVectorEnv

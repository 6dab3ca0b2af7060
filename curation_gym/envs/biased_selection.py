"""BiasedSelection-v0: the safety classifier is wrong, differently in every domain, and audits tell how wrong."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.config import ConfigError, Many
from curation_gym.envs.base import Arrays, CurationEnv, Rows
from curation_gym.envs.bias import BiasBelief, expected_truth
from curation_gym.envs.selection import SelectionConfig, SelectionInfo, SelectionVectorEnv, Weights
from curation_gym.pools.build import PoolSource
from curation_gym.pools.synthetic import SyntheticConfig
from curation_gym.task import Column

ENV_ID = "CurationGym/BiasedSelection-v0"
SAFETY = "safety"


class BiasedSelectionConfig(SelectionConfig):
    """Arguments of BiasedSelection-v0, see :class:`BiasedSelectionEnv`."""

    pool: PoolSource = SyntheticConfig(n_domains=8)
    weights: Weights = Field(default_factory=lambda: {SAFETY: 0.7, "utility": 0.3})
    truth: str = "truth"
    safe_classes: Many[str] = ()
    max_bias: float = Field(0.4, gt=0, le=1)
    noise_scale: float = Field(0.05, ge=0.01, le=1)
    drift: float = Field(0.0, ge=0, lt=1)
    audit_every: int | None = Field(4, ge=1)
    audit_size: int = Field(8, ge=1)
    audit_price: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _about_safety(self) -> "BiasedSelectionConfig":
        if self.weights.get(SAFETY, 0) == 0:
            raise ValueError(f"weights must give {SAFETY!r} more than 0, actual value: {self.weights}")
        return self


class BiasedSelectionInfo(SelectionInfo):
    """``info`` of a step."""

    mean_reward: float
    audited: int


class BiasedSelectionVectorEnv(SelectionVectorEnv):
    """Batched core of :class:`BiasedSelectionEnv`."""

    env_id = ENV_ID
    config_model: ClassVar[type[SelectionConfig]] = BiasedSelectionConfig
    info_type: ClassVar[type] = BiasedSelectionInfo
    config: BiasedSelectionConfig

    def _prepare(self) -> None:
        cfg, domain = self.config, self.pool.domain
        if SAFETY in self.pool.signals:
            raise ConfigError(
                f"{ENV_ID}: the environment itself makes the signal {SAFETY!r}, from hidden truth, and the pool has "
                "one; build the pool without it (synthetic pools: with n_domains), or under another name"
            )
        self._truth = self._true_safety()
        e, t, n, d = self.num_envs, cfg.horizon, cfg.n_items, len(self.pool.domain_names)
        # The prior of a sample's truth: that of the samples of its domain, in its group.
        self._population = np.zeros(len(self.pool), np.int64)
        found: list[tuple[NDArray[np.float64], NDArray[np.int64]]] = []
        for ids in self._groups:
            for code in np.unique(domain[ids]):
                members = ids[domain[ids] == code]
                self._population[members] = len(found)
                found.append(np.unique(self._truth[members], return_counts=True))
        self._truths = np.zeros((len(found), max(len(values) for values, _ in found)))
        self._log_prior = np.full(self._truths.shape, -np.inf)
        for place, (values, counts) in enumerate(found):
            self._truths[place, : len(values)], self._log_prior[place, : len(values)] = values, np.log(counts)
        self._belief = BiasBelief(e, d, cfg.max_bias, cfg.noise_scale, cfg.drift)
        self._bias = np.zeros((e, t, d))
        self._safety = np.zeros((e, t, n + len(self._offers())), np.float32)
        self._audit_order = np.zeros((e, t, n), np.float32)
        self._offered = np.zeros((e, t, len(self._offers())), np.bool_)

    def _true_safety(self) -> NDArray[np.float64]:
        cfg, pool = self.config, self.pool
        if cfg.truth not in pool.hidden:
            raise ConfigError(
                f"{ENV_ID}: the pool has no hidden column {cfg.truth!r}; it has {sorted(pool.hidden)}. Name one as "
                "'truth'; synthetic pools have it with n_domains, data sets have 'label'"
            )
        column = pool.hidden[cfg.truth]
        for name in cfg.safe_classes:
            if cfg.truth != "label" or name not in pool.class_names:
                raise ConfigError(
                    f"{ENV_ID}: safe_classes names {name!r}; with truth = 'label' it can name classes of the pool, "
                    f"actual truth: {cfg.truth!r}, classes: {', '.join(pool.class_names) or 'none'}"
                )
        if cfg.safe_classes:
            return np.isin(column, [pool.class_names.index(name) for name in cfg.safe_classes]).astype(np.float64)
        bad = np.flatnonzero((column < 0) | (column > 1))
        if len(bad):
            raise ConfigError(
                f"{ENV_ID}: truth must be in [0, 1], column {cfg.truth!r} holds {column[bad[0]]} in row {bad[0]}; "
                "where it is a class, name the safe ones as safe_classes"
            )
        return column.astype(np.float64)

    def _score_weights(self) -> dict[str, float]:
        return self.config.weights

    def _state(self) -> tuple[Column, ...]:
        cfg = self.config
        told = (Column("bias_mean", cfg.max_bias, -1, 1), Column("bias_sd", cfg.max_bias))
        offers = (Column("is_audit"),) if self._offers() else ()
        return (Column(SAFETY), *super()._state(), *told, *offers)

    def _offers(self) -> list[float]:
        price = self.config.audit_price
        return [] if price is None else [price] * len(self.pool.domain_names)

    # --------------------------------------------------------------- dynamics
    def _begin_value(self, rows: Rows, groups: NDArray[np.int64]) -> None:
        cfg = self.config
        n, steps = cfg.n_items, np.arange(cfg.horizon)[:, None]
        for row in rows:
            rng = self._generator(int(row))
            shape = self._bias[row].shape
            drawn, anew = rng.uniform(-cfg.max_bias, cfg.max_bias, shape), rng.random(shape) < cfg.drift
            since = np.maximum.accumulate(np.where(anew, steps, 0), axis=0)
            self._bias[row] = np.take_along_axis(drawn, since, axis=0)
            ids = self._plan[row, :, :n]
            domain = self.pool.domain[ids]
            noise = cfg.noise_scale * rng.standard_normal(ids.shape)
            self._safety[row, :, :n] = np.clip(self._truth[ids] + self._bias[row, steps, domain] + noise, 0, 1)
            rng.random(out=self._audit_order[row], dtype=np.float32)
            if cfg.audit_price is not None:
                member = domain[..., None] == np.arange(shape[1])
                first = member.argmax(1)
                self._offered[row] = member.any(1)
                self._plan[row, :, n:] = np.take_along_axis(ids, first, axis=1)
                self._safety[row, :, n:] = np.take_along_axis(self._safety[row], first, axis=1)
        self._belief.clear(rows)

    def _mask(self) -> NDArray[np.int8]:
        mask = super()._mask()
        if self.config.audit_price is not None:
            offered = self._offered[np.arange(self.num_envs), np.minimum(self._step, self.config.horizon - 1)]
            mask[:, self.config.n_items :] = offered & (self._left >= self.config.audit_price)[:, None]
        return mask

    def _pay(self, rows: Rows, step: NDArray[np.int64], picked: NDArray[np.bool_]) -> Arrays:
        n = self.config.n_items
        where, item = np.nonzero(picked[:, :n])
        at = rows[where], step[where], item
        true, expected = np.zeros((2, len(rows), n))
        true[where, item] = self._worth(self._truth[self._plan[at]], *at)
        expected[where, item] = self._worth(self._expected_truth(*at), *at)
        audited = self._due(rows, step) | self._bought(rows, step, picked[:, n:])
        where_audited, item = np.nonzero(audited)
        here = rows[where_audited], step[where_audited], item
        ids = self._plan[here]
        self._belief.update(rows, where_audited, self.pool.domain[ids], self._safety[here], self._truth[ids])
        return {
            "raw_reward": true.sum(1),
            "mean_reward": expected.sum(1),
            "audited": audited.sum(1),
        }

    def _due(self, rows: Rows, step: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Candidates that the schedule audits after this step, (len(rows), n_items)."""
        cfg = self.config
        order = self._audit_order[rows, step]
        if cfg.audit_every is None:
            return np.zeros(order.shape, np.bool_)
        rank = np.argsort(np.argsort(order, axis=1), axis=1)
        return np.asarray((rank < cfg.audit_size) & (step % cfg.audit_every == 0)[:, None])

    def _bought(self, rows: Rows, step: NDArray[np.int64], picked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Candidates whose truth the audits that were ``picked`` reveal, (len(rows), n_items)."""
        order = self._audit_order[rows, step]
        if not picked.any():
            return np.zeros(order.shape, np.bool_)
        domain = self.pool.domain[self._plan[rows, step, : self.config.n_items]]
        before = (domain[:, None] == domain[:, :, None]) & (order[:, None] < order[:, :, None])
        return np.asarray(np.take_along_axis(picked, domain, axis=1) & (before.sum(2) < self.config.audit_size))

    def _signal(self, name: str, *where: Any) -> NDArray[np.float32]:
        return self._safety[where] if name == SAFETY else super()._signal(name, *where)

    def _write_state(self, vectors: NDArray[np.float32], state: NDArray[np.float32]) -> None:
        cfg, rows = self.config, np.arange(self.num_envs)
        step = np.minimum(self._step, cfg.horizon - 1)
        domain = self.pool.domain[self._plan[rows, step]]
        super()._write_state(vectors, state[..., 1:3])
        state[..., 0] = self._safety[rows, step]
        state[..., 3] = self._belief.mean[rows[:, None], domain] / cfg.max_bias
        state[..., 4] = self._belief.sd[rows[:, None], domain] / cfg.max_bias
        if cfg.audit_price is not None:
            state[..., 5] = np.arange(self.task.n_items) >= cfg.n_items

    def _hide(self, out: Arrays) -> None:
        super()._hide(out)
        if "signals" in self.config.hide:  # of which safety is one, though it changes
            out["item"][..., self._dynamic.start] = 0

    # ----------------------------------------------------------------- truth
    def _worth(self, safety: NDArray[np.float64], *where: Any) -> NDArray[np.float64]:
        """What the items at ``where`` are worth when their true safety is ``safety``."""
        worth = self.score_weights[SAFETY] * safety
        for name, weight in self.score_weights.items():
            if name != SAFETY:
                worth = worth + weight * self._signal(name, *where).astype(np.float64)
        return worth

    def _expected_truth(self, *where: Any) -> NDArray[np.float64]:
        """E[t | s, b] of the items at ``where``, an index (row, step, item) into the plan."""
        row, step, _ = where
        ids = self._plan[where]
        score, bias = self._safety[where].ravel(), self._bias[row, step, self.pool.domain[ids]].ravel()
        prior = self._population[ids].ravel(), self._truths, self._log_prior
        return expected_truth(score, bias, *prior, self.config.noise_scale).reshape(ids.shape)

    def _best_plan(self, row: int) -> tuple[NDArray[np.bool_], float]:
        cfg = self.config
        every = row, np.arange(cfg.horizon)[:, None], np.arange(cfg.n_items)
        worth = self._worth(self._expected_truth(*every), *every)
        best = np.argsort(-worth, axis=None, kind="stable")[: cfg.budget]
        plan = np.zeros((cfg.horizon, self.task.n_items), np.bool_)
        plan[np.unravel_index(best, worth.shape)] = True
        return plan, float(worth.ravel()[best].sum())


class BiasedSelectionEnv(CurationEnv):
    """Select safe and useful samples with a safety classifier whose bias differs by domain: audits tell how far.

    ## Description
    At each step ``n_items`` candidates of a pool are shown. The policy gives each a probability p_i of being
    selected; the environment draws. What a sample is worth depends on how safe it truly is, t in [0, 1], which is
    hidden. What is seen is the score of a classifier, s = clip(t + b_d + ε, 0, 1), ε ~ N(0, noise_scale²): it is too
    lenient in domains with b_d > 0 and flags too much where b_d < 0, as toxicity classifiers do with dialects (Sap et
    al., "The Risk of Racial Bias in Hate Speech Detection", ACL 2019). Biases b_d ~ U(−max_bias, max_bias) are drawn
    anew each episode. Domains also differ in their true safety, so that a low score alone doesn't tell a harsh
    classifier from an unsafe domain.

    Audits do: they reveal t of some of the candidates of a step, after its choice. On schedule, ``audit_size``
    candidates at random, after the first step and then every ``audit_every`` steps. Bought: with ``audit_price``,
    each domain is one more item, and selecting that item buys an audit of up to ``audit_size`` of the domain's
    candidates in the step. An audited sample has passed, so no truth is ever known of what can still be selected.

    Norms drift: before each step, every domain's bias is drawn anew with probability ``drift``. A new classifier,
    new slang, or a new definition of safe that the classifier was not trained on: each changes how far the score is
    from the truth that counts now, which is the bias, and that is all an audit can see.

    The pool needs hidden truth in [0, 1], domains, and no signal called ``safety``: synthetic pools with
    ``n_domains``; any pool with a hidden column of the name ``truth``; labelled data, with ``truth="label"`` and the
    names of the ``safe_classes`` (truth is then 0 or 1, which no bias hides unless ``noise_scale`` is large).

    ## Action space
    ``Box(0, 1, (n_items,))``: p_i; with ``audit_price``, (n_items + domains,). When more is drawn than the budget has
    left, items are kept in a seeded random order for as long as it lasts.
    :class:`curation_gym.envs.wrappers.BernoulliSelection` turns it into ``MultiBinary``.

    ## Observation space
    | key | columns |
    |---|---|
    | item (n_items, n_features) | embedding, signals (by name), safety, novelty, freshness, bias_mean, bias_sd,
      is_audit (with ``audit_price``), domain (one-hot), log_length |
    | context (3,) | budget_left, steps_left, pace |
    | mask (n_items,) | 1; of an audit: the domain is in this step, and the budget suffices |

    safety is s. bias_mean and bias_sd are the exact posterior mean and standard deviation, given the audits so far, of
    the bias in the item's domain, divided by max_bias. The item of an audit has is_audit = 1 and shows the domain's
    first candidate of the step. pace is the share of the budget that is left over the share of the steps that is
    left, at most 4. novelty and freshness are those of :class:`ScoreSelectionEnv`; here they are worth nothing. With
    ``observation="ids"``, ``item`` holds int32 pool ids and ``dynamic`` holds safety to is_audit.

    ## Rewards
    The sum over what was selected of w_safety · t + Σ w_k · signal_k: additive under the budget. An audit pays
    nothing. ``info["raw_reward"]`` is the same number; ``info["mean_reward"]`` is its expectation
    w_safety · E[t | s, b] + Σ w_k · signal_k; ``info["audited"]`` counts the truths revealed.

    ## Starting state
    A stream of n_items × horizon different samples of one group; nothing selected, nothing audited.

    ## Episode end
    Terminated when what is left of the budget pays for no sample, or the stream ends. Never truncated.

    ## Known optimum
    ``optimum()``: the knapsack of posterior means with the bias known, in hindsight: the ``budget`` samples of the
    stream with the largest w_safety · E[t | s, b] + Σ w_k · signal_k. E[t | s, b] is Bayes' rule with the domain's
    own distribution of t as the prior and the clipped normal as the likelihood: a score of 0 or 1 tells only that
    t + b + ε lies beyond. Who knows b and the whole stream, but t only through s, can't expect more.

    Truth is drawn, so in one episode a policy can be luckier than that. It is therefore judged by its noise-free
    return Σ ``mean_reward``: its expectation is that of the return, and it never exceeds the optimum, in any episode.
    The first holds for policies that know t only through s, audits and domains. In a pool whose embeddings or other
    signals tell more of t, or which a policy was trained on, a policy can know more: its true return then exceeds its
    noise-free one, and may exceed the optimum; so policies are judged on pools that they were not trained on.

    No online policy attains the optimum: it doesn't know what comes, and learns b at best.

    ## Arguments
    | name | default | meaning |
    |---|---|---|
    | pool | synthetic, 8 domains | a Pool, the path of a saved one, or a builder's configuration |
    | n_items | 32 | candidates per step |
    | horizon | 32 | steps |
    | budget | 128 | samples that may be selected, less the price of audits |
    | split | train | of the pool |
    | observation | dense | dense or ids |
    | near | 0.5 | cosine above which two samples count as near |
    | hide | – | groups of columns that are 0: embedding, signals, state, or of that redundancy alone (novelty and |
    | | | freshness), metadata, context (but the budget's) |
    | weights | safety .7, utility .3 | of true safety and of the pool's signals; sum to 1, safety above 0 |
    | truth | truth | the hidden column of true safety |
    | safe_classes | () | with truth = label: names of the classes that are safe; all others are unsafe |
    | max_bias | 0.4 | b_d ~ U(−max_bias, max_bias) |
    | noise_scale | 0.05 | standard deviation of ε |
    | drift | 0 | probability per step and domain that the bias is drawn anew |
    | audit_every | 4 | steps from one scheduled audit to the next; null: none |
    | audit_size | 8 | truths that an audit reveals, at most |
    | audit_price | null | of an audit, in samples; null: none can be bought |

    ## Vectorized
    ``gymnasium.make_vec("CurationGym/BiasedSelection-v0", num_envs=…)`` gives the native batched core.

    ## Version history
    v0: initial version.
    """

    core_class = BiasedSelectionVectorEnv

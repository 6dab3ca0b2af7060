"""What every Selection environment shares: a stream of candidates, probabilities p_i, a budget, novelty."""

from typing import Any, ClassVar, Literal, TypedDict

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.config import Config, ConfigError, validated
from curation_gym.envs.base import Arrays, CurationVectorEnv, Rows, StepResult
from curation_gym.envs.render import render_items
from curation_gym.pools.build import PoolSource, build_pool
from curation_gym.pools.features import columns_after, columns_before, feature_table
from curation_gym.pools.synthetic import SyntheticConfig
from curation_gym.task import Column, Task

PACE = 4.0
"""The largest pace that is observed."""


class SelectionConfig(Config):
    """Arguments that every Selection environment takes."""

    pool: PoolSource = SyntheticConfig()
    n_items: int = Field(32, ge=1)
    horizon: int = Field(32, ge=1)
    budget: int = Field(128, ge=1)
    split: Literal["train", "validation", "test"] = "train"
    observation: Literal["dense", "ids"] = "dense"
    near: float = Field(0.5, gt=0, lt=1)

    @model_validator(mode="after")
    def _affordable(self) -> "SelectionConfig":
        if self.budget > self.n_items * self.horizon:
            raise ValueError(
                f"budget = {self.budget} exceeds the n_items × horizon = {self.n_items * self.horizon} candidates "
                "of an episode"
            )
        return self


class SelectionInfo(TypedDict):
    """``info`` of a step in a Selection environment."""

    raw_reward: float
    selected: int
    budget_left: int


class SelectionVectorEnv(CurationVectorEnv):
    """Batched core: streams, budget and the observable state of candidates. A subclass states what a choice is worth.

    At reset the whole episode is drawn: which candidates come when, the uniform numbers that p_i is compared with,
    and who is kept when more is selected than the budget has left.
    """

    config_model: ClassVar[type[SelectionConfig]] = SelectionConfig
    info_type: ClassVar[type] = SelectionInfo
    STATE: ClassVar[tuple[Column, ...]] = (Column("novelty"), Column("freshness"))

    def _setup(self, config: dict[str, Any]) -> Task:
        self.config = cfg = validated(self.config_model, config, self.env_id)
        self.pool = pool = build_pool(cfg.pool)
        self.score_weights = self._score_weights()
        for name in self.score_weights:
            if name not in pool.signals:
                raise ConfigError(f"{self.env_id}: the pool has no signal {name!r}; it has {sorted(pool.signals)}")
        ids = pool.ids(cfg.split)
        group = pool.hidden.get("group", np.zeros(len(pool), np.int32))
        order = np.argsort(group[ids], kind="stable")
        _, starts = np.unique(group[ids][order], return_index=True)
        self._groups = np.split(ids[order], starts[1:])
        needed = cfg.n_items * cfg.horizon
        for members in self._groups:
            if len(members) < needed:
                raise ConfigError(
                    f"{self.env_id}: pool too small: an episode shows n_items × horizon = {needed} different samples, "
                    f"the {cfg.split} split has {len(members)}; lower n_items or horizon, or take a larger pool"
                )
        before, after = columns_before(pool), columns_after(pool)
        self._dynamic = slice(len(before), len(before) + len(self.STATE))
        self._table = feature_table(pool, len(self.STATE)) if cfg.observation == "dense" else None
        e, t, n, b = self.num_envs, cfg.horizon, cfg.n_items, cfg.budget
        self._plan = np.zeros((e, t, n), np.int32)
        self._uniform = np.zeros((e, t, n), np.float32)
        self._priority = np.zeros((e, n), np.float32)
        self._kept = np.zeros((e, b, pool.dimension), np.float32)  # unit embeddings of what was selected
        self._kept_log_miss = np.zeros((e, b), np.float32)
        self._step = np.zeros(e, np.int64)
        self._left = np.zeros(e, np.int64)
        self._total = np.zeros(e)
        self._shown = np.zeros((e, n), np.int32)  # the last step's candidates, probabilities and choice, for render
        self._shown_p = np.zeros((e, n), np.float32)
        self._shown_pick = np.zeros((e, n), np.bool_)
        return Task(
            env_id=self.env_id,
            family="selection",
            item=before + self.STATE + after,
            context=(Column("budget_left", b), Column("steps_left", t), Column("pace", high=PACE)),
            dynamic=(self._dynamic.start, self._dynamic.stop),
            n_items=n,
            horizon=t,
            budget=b,
            budget_unit="samples",
            score_weights=self.score_weights,
            pool_fingerprint=pool.fingerprint,
            ids=cfg.observation == "ids",
            action_space=spaces.Box(0, 1, (n,), np.float32),
        )

    def __getstate__(self) -> dict[str, Any]:
        # The table is made from the pool, which pickles as its path: checkpoints stay small.
        return vars(self) | {"_table": self._table is not None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        dense = state.pop("_table")
        vars(self).update(state)
        self._table = feature_table(self.pool, len(self.STATE)) if dense else None

    # ------------------------------------------------ what a subclass states
    def _score_weights(self) -> dict[str, float]:
        """How the observable score of a sample is composed of its signals; weights sum to at most 1."""
        raise NotImplementedError

    def _begin_value(self, rows: Rows, groups: NDArray[np.int64]) -> None:
        """Reset what the value of a selection depends on."""

    def _value(self, rows: Rows, ids: NDArray[np.int32], picked: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Reward of selecting ``ids[picked]``; ids and picked have shape (len(rows), n_items)."""
        raise NotImplementedError

    def _best_plan(self, row: int) -> tuple[NDArray[np.bool_], float]:
        """The choice (horizon, n_items) of largest return in hindsight, and that return."""
        raise NotImplementedError

    # --------------------------------------------------------------- dynamics
    def _begin(self, rows: Rows) -> Arrays:
        cfg = self.config
        groups = np.zeros(len(rows), np.int64)
        for i, row in enumerate(rows):
            rng = self._generator(int(row))
            groups[i] = rng.integers(len(self._groups)) if len(self._groups) > 1 else 0
            members = self._groups[groups[i]]
            drawn = rng.choice(len(members), cfg.horizon * cfg.n_items, replace=False)
            self._plan[row] = members[drawn].reshape(cfg.horizon, cfg.n_items)
            rng.random(out=self._uniform[row], dtype=np.float32)
            rng.random(out=self._priority[row], dtype=np.float32)
        self._step[rows] = 0
        self._left[rows] = cfg.budget
        self._total[rows] = 0
        self._shown[rows] = self._plan[rows, 0]
        self._shown_p[rows] = 0
        self._shown_pick[rows] = False
        self._begin_value(rows, groups)
        return {}

    def _advance(self, rows: Rows, actions: NDArray[Any]) -> StepResult:
        cfg = self.config
        step, left = self._step[rows], self._left[rows]
        ids = self._plan[rows, step]
        picked = self._uniform[rows, step] < actions
        if (picked.sum(1) > left).any():
            order = np.argsort(np.where(picked, self._priority[rows], np.inf), axis=1)
            rank = np.argsort(order, axis=1)
            picked &= rank < left[:, None]
        reward = self._value(rows, ids, picked)
        self._keep(rows, ids, picked)
        count = picked.sum(1)
        self._left[rows] -= count
        self._step[rows] += 1
        self._total[rows] += reward
        self._shown[rows], self._shown_p[rows], self._shown_pick[rows] = ids, actions, picked
        terminated = (self._left[rows] == 0) | (self._step[rows] == cfg.horizon)
        info = {
            "raw_reward": reward,
            "selected": count,
            "budget_left": self._left[rows],
        }
        return reward, terminated, info

    def _keep(self, rows: Rows, ids: NDArray[np.int32], picked: NDArray[np.bool_]) -> None:
        """Append what was picked to the rows' memories."""
        where, item = np.nonzero(picked)
        if not len(where):
            return
        place = (self.config.budget - self._left[rows])[:, None] + np.cumsum(picked, axis=1) - 1
        chosen = ids[where, item]
        vectors = self.pool.embeddings[chosen]
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._kept[rows[where], place[where, item]] = vectors / np.maximum(norms, 1e-12)
        self._kept_log_miss[rows[where], place[where, item]] = np.log1p(-np.minimum(self._score(chosen), 0.999))

    def _score(self, ids: NDArray[np.integer]) -> NDArray[np.float32]:
        total = np.zeros(np.shape(ids), np.float32)
        for name, weight in self.score_weights.items():
            total += np.float32(weight) * self.pool.signals[name][ids]
        return total

    # ------------------------------------------------------------ observation
    def _observe(self, out: Arrays) -> None:
        step = np.minimum(self._step, self.config.horizon - 1)
        ids = self._plan[np.arange(self.num_envs), step]
        if self._table is not None:
            # ids were drawn from the pool, and clip mode is the one that writes into ``out`` without a buffer
            np.take(self._table, ids, axis=0, out=out["item"], mode="clip")
            vectors, state = out["item"][..., : self.pool.dimension], out["item"][..., self._dynamic]
        else:
            out["item"][:] = ids
            vectors, state = self.pool.embeddings[ids], out["dynamic"]
        self._write_state(vectors, state)
        out["context"][:, 0] = self._left / self.config.budget
        out["context"][:, 1] = 1 - self._step / self.config.horizon
        budget, time = out["context"][:, 0], np.maximum(out["context"][:, 1], 1 / self.config.horizon)
        out["context"][:, 2] = np.minimum(budget / time, PACE)
        out["mask"][:] = 1

    def _write_state(self, vectors: NDArray[np.float32], state: NDArray[np.float32]) -> None:
        """novelty = 1 − largest cosine to what was selected; freshness = Π (1 − score) over near ones selected."""
        length = np.sqrt(np.einsum("rid,rid->ri", vectors, vectors))
        state[..., 0], state[..., 1] = 1, 1
        # Row by row, since BLAS rounds by shape: a row of many then equals the scalar environment bit for bit, and
        # none pays for how much another has selected.
        for row, used in enumerate(self.config.budget - self._left):
            if used:
                dot = self._kept[row, :used] @ vectors[row].T
                near = dot > self.config.near * length[row]
                nearest = dot.max(0) / np.maximum(length[row], 1e-12)
                state[row, :, 0] = 1 - np.clip(nearest, 0, 1)
                state[row, :, 1] = np.exp(self._kept_log_miss[row, :used] @ near)

    def _frame(self, row: int) -> str | NDArray[np.uint8]:
        cfg = self.config
        title = f"{self.env_id}  step {self._step[row]} of {cfg.horizon}"
        spent = float(cfg.budget - self._left[row])
        gauges = [
            ("budget spent", spent, float(cfg.budget)),
            ("return", float(self._total[row]), float("nan")),
        ]
        scores = self._score(self._shown[row])
        return render_items(self, title, scores, self._shown_p[row], self._shown_pick[row], gauges)

    # ----------------------------------------------------------------- truth
    def optimum(self) -> NDArray[np.float64]:
        """Hindsight optimum of each row's current episode, shape (num_envs,)."""
        return np.array([self._best_plan(row)[1] for row in range(self.num_envs)])

    def optimal_plan(self, rows: Rows) -> NDArray[np.bool_]:
        """What the hindsight optimum selects in the current episode of each of ``rows``: (rows, horizon, n_items)."""
        return np.stack([self._best_plan(int(row))[0] for row in rows])

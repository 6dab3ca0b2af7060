"""What every Selection environment shares: a stream of candidates, probabilities p_i, a budget, novelty."""

from typing import Annotated, Any, ClassVar, Literal, TypedDict

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from curation_gym.config import Config, ConfigError, Many, validated
from curation_gym.envs.base import Arrays, CurationVectorEnv, Rows, StepResult
from curation_gym.envs.render import render_items
from curation_gym.pools.build import PoolSource, build_pool
from curation_gym.pools.features import columns_after, columns_before, feature_table
from curation_gym.pools.synthetic import SyntheticConfig
from curation_gym.task import Column, Task

PACE = 4.0
"""The largest pace that is observed."""

_CENT = 1e-9  # what sums of prices may round to


def _convex(weights: dict[str, float]) -> dict[str, float]:
    if min(weights.values(), default=-1) < 0 or abs(sum(weights.values()) - 1) > 1e-6:
        raise ValueError(f"must be >= 0 and sum to 1, actual value: {weights}")
    return weights


Weights = Annotated[dict[str, float], AfterValidator(_convex)]
"""Signal → weight, ≥ 0; they sum to 1."""


Hideable = Literal["embedding", "signals", "state", "redundancy", "metadata", "context"]
"""Groups of observed columns, in their order; of the context what is beside the budget and the time left. Redundancy is
novelty and freshness, of the state: where they are hidden, nobody computes them."""


class SelectionConfig(Config):
    """Arguments that every Selection environment takes."""

    pool: PoolSource = SyntheticConfig()
    n_items: int = Field(32, ge=1)
    horizon: int = Field(32, ge=1)
    budget: int = Field(128, ge=1)
    split: Literal["train", "validation", "test"] = "train"
    observation: Literal["dense", "ids"] = "dense"
    near: float = Field(0.5, gt=0, lt=1)
    hide: Many[Hideable] = ()

    @model_validator(mode="after")
    def _hides_what_is_sent(self) -> "SelectionConfig":
        if set(self.hide) - {"redundancy"} and self.observation == "ids":
            raise ValueError("hide needs dense observations: of ids, a policy gathers the columns itself")
        return self

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
    budget_left: float


class SelectionVectorEnv(CurationVectorEnv):
    """Batched core: streams, budget and the observable state of candidates. A subclass states what a choice is worth.

    At reset the whole episode is drawn: which candidates come when, the uniform numbers that p_i is compared with,
    and who is kept when more is selected than the budget has left.
    """

    config_model: ClassVar[type[SelectionConfig]] = SelectionConfig
    info_type: ClassVar[type] = SelectionInfo
    budget_unit: ClassVar[str] = "samples"
    _cheapest = 1  # what any candidate costs at least

    def _setup(self, config: dict[str, Any]) -> Task:
        self.config = cfg = validated(self.config_model, config, self.env_id)
        self.pool = pool = build_pool(cfg.pool)
        self.score_weights = self._score_weights()
        state = self._state()
        for name in self.score_weights:
            if name not in pool.signals and name not in {column.name for column in state}:
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
        self._prepare()
        before, after = columns_before(pool), columns_after(pool)
        self._dynamic = slice(len(before), len(before) + len(state))
        self._table = feature_table(pool, len(state)) if cfg.observation == "dense" else None
        offers = self._offers()
        self._price = np.array([1.0] * cfg.n_items + offers)
        e, t, n, b = self.num_envs, cfg.horizon, cfg.n_items + len(offers), cfg.budget
        most = min(b, needed)  # a candidate costs at least 1
        self._plan = np.zeros((e, t, n), np.int32)
        self._uniform = np.zeros((e, t, n), np.float32)
        self._priority = np.zeros((e, n), np.float32)
        self._picked = np.zeros((e, t, n), np.bool_)
        kept = most if self._remembers else 0
        self._kept = np.zeros((e, kept, pool.dimension), np.float32)  # unit embeddings of what was selected
        self._kept_log_miss = np.zeros((e, kept), np.float32)
        self._selected = np.zeros(e, np.int64)
        self._step = np.zeros(e, np.int64)
        self._left = np.zeros(e)
        self._total = np.zeros(e)
        self._shown = np.zeros(e, np.int64)  # the last step, its probabilities and choice, for render
        self._shown_p = np.zeros((e, n), np.float32)
        self._shown_pick = np.zeros((e, n), np.bool_)
        return Task(
            env_id=self.env_id,
            family="selection",
            item=before + state + after,
            context=(
                Column("budget_left", b),
                Column("steps_left", t),
                Column("pace", high=PACE),
                *self._more_context(),
            ),
            dynamic=(self._dynamic.start, self._dynamic.stop),
            n_items=n,
            horizon=t,
            budget=b,
            budget_unit=self.budget_unit,
            mean_price=self._mean_price(),
            score_weights=self.score_weights,
            objectives=self._objectives(),
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
        self._table = feature_table(self.pool, self._dynamic.stop - self._dynamic.start) if dense else None

    # ------------------------------------------------ what a subclass states
    def _score_weights(self) -> dict[str, float]:
        """How the observable score of a sample is composed of its signals; weights sum to at most 1."""
        raise NotImplementedError

    def _state(self) -> tuple[Column, ...]:
        """What changes of a candidate while curating; what :meth:`_write_state` writes."""
        return (Column("novelty"), Column("freshness"))

    def _offers(self) -> list[float]:
        """Prices, in samples, of what the budget can buy beside candidates; each is an item after them."""
        return []

    def _objectives(self) -> tuple[str, ...]:
        """Names of the reward's components, where it is a vector."""
        return ()

    def _reward(self, info: Arrays) -> NDArray[np.float64]:
        """A number per entry, or one per objective: (rows,) or (rows, objectives)."""
        reward: NDArray[np.float64] = info["raw_reward"]
        return reward

    def _more_context(self) -> tuple[Column, ...]:
        """Columns of the context after the budget's and the time's."""
        return ()

    def _mean_price(self) -> float:
        """Of an item."""
        return float(self._price.mean())

    def _prices(self, rows: Rows, step: NDArray[np.int64]) -> NDArray[np.float64]:
        """What each item of the rows' steps costs of the budget, at least 1: (len(rows), items)."""
        return np.broadcast_to(self._price, (len(rows), len(self._price)))

    def _prepare(self) -> None:
        """Check the pool for what the value depends on, and prepare that.

        Raises:
            ConfigError: when something is missing; it says what to do.
        """

    def _begin_value(self, rows: Rows, groups: NDArray[np.int64]) -> None:
        """Reset what the value of a selection depends on; the streams are drawn."""

    def _pay(self, rows: Rows, step: NDArray[np.int64], picked: NDArray[np.bool_]) -> Arrays:
        """What the choice ``self._plan[rows, step][picked]`` pays: ``raw_reward``, and what else info tells of it.

        ``step``, which is just over and paid for, has one entry per row, ``picked`` the shape (len(rows), items).
        """
        raise NotImplementedError

    def _best_plan(self, row: int) -> tuple[NDArray[np.bool_], float]:
        """The choice (horizon, items) of largest return in hindsight, and that return."""
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
            self._plan[row, :, : cfg.n_items] = members[drawn].reshape(cfg.horizon, cfg.n_items)
            rng.random(out=self._uniform[row], dtype=np.float32)
            rng.random(out=self._priority[row], dtype=np.float32)
        self._picked[rows] = False
        self._selected[rows] = 0
        self._step[rows] = 0
        self._left[rows] = cfg.budget
        self._total[rows] = 0
        self._begin_value(rows, groups)
        self._shown[rows] = 0
        self._shown_p[rows] = 0
        self._shown_pick[rows] = False
        return {}

    def _advance(self, rows: Rows, actions: NDArray[Any]) -> StepResult:
        cfg = self.config
        step, left = self._step[rows], self._left[rows]
        picked = (self._uniform[rows, step] < actions) & (self._mask()[rows] > 0)
        price = self._prices(rows, step)
        cost = np.where(picked, price, 0)
        if (cost.sum(1) > left + _CENT).any():
            order = np.argsort(np.where(picked, self._priority[rows], np.inf), axis=1)
            affordable = np.cumsum(np.take_along_axis(cost, order, axis=1), axis=1) <= left[:, None] + _CENT
            picked &= np.take_along_axis(affordable, np.argsort(order, axis=1), axis=1)
        self._left[rows] = np.maximum(left - np.where(picked, price, 0).sum(1), 0)
        self._step[rows] += 1
        self._picked[rows, step] = picked
        info = self._pay(rows, step, picked)
        self._keep(rows, step, picked[:, : cfg.n_items])
        self._total[rows] += info["raw_reward"]
        self._shown[rows], self._shown_p[rows], self._shown_pick[rows] = step, actions, picked
        info |= {"selected": picked[:, : cfg.n_items].sum(1), "budget_left": self._left[rows]}
        return self._reward(info), self._over(rows), info

    def _over(self, rows: Rows) -> NDArray[np.bool_]:
        """Whether the stream has ended, or the budget can't pay for anything any more."""
        return np.asarray((self._left[rows] < self._cheapest - _CENT) | (self._step[rows] == self.config.horizon))

    @property
    def _remembers(self) -> bool:
        """Whether anybody sees how a candidate compares with what was selected."""
        return not {"state", "redundancy"} & set(self.config.hide)

    def _keep(self, rows: Rows, step: NDArray[np.int64], chosen: NDArray[np.bool_]) -> None:
        """Append the candidates that were chosen to the rows' memories."""
        where, item = np.nonzero(chosen)
        if len(where) and self._remembers:
            place = self._selected[rows][:, None] + np.cumsum(chosen, axis=1) - 1
            here, there = (rows[where], step[where], item), (rows[where], place[where, item])
            vectors = self.pool.embeddings[self._plan[here]]
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            self._kept[there] = vectors / np.maximum(norms, 1e-12)
            self._kept_log_miss[there] = np.log1p(-np.clip(self._score(*here), 0.0, 0.999))
        self._selected[rows] += chosen.sum(1)

    def _score(self, *where: Any) -> NDArray[np.float32]:
        """What can be seen of how good the items at ``where`` are; an index (row, step, item) into the plan."""
        weighted = [np.float32(weight) * self._signal(name, *where) for name, weight in self.score_weights.items()]
        return np.asarray(sum(weighted[1:], start=weighted[0]))

    def _signal(self, name: str, *where: Any) -> NDArray[np.float32]:
        signal: NDArray[np.float32] = self.pool.signals[name][self._plan[where]]
        return signal

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
        if "state" not in self.config.hide:
            self._write_state(vectors, state)
        out["context"][:, 0] = self._left / self.config.budget
        out["context"][:, 1] = 1 - self._step / self.config.horizon
        budget, time = out["context"][:, 0], np.maximum(out["context"][:, 1], 1 / self.config.horizon)
        out["context"][:, 2] = np.minimum(budget / time, PACE)
        out["mask"][:] = self._mask()
        self._hide(out)

    def _hide(self, out: Arrays) -> None:
        """Write 0 over the groups of columns that aren't to be seen."""
        state = self._dynamic
        parts = {
            "embedding": slice(self.pool.dimension),
            "signals": slice(self.pool.dimension, state.start),
            "state": state,
            "metadata": slice(state.stop, None),
        }
        for group in self.config.hide:
            if group == "context":
                out["context"][:, 2:] = 0
            elif group in parts:
                out["item"][..., parts[group]] = 0

    def _write_state(self, vectors: NDArray[np.float32], state: NDArray[np.float32]) -> None:
        """novelty = 1 − largest cosine to what was selected; freshness = Π (1 − score) over near ones selected."""
        if not self._remembers:
            state[..., :2] = 0
            return
        length = np.sqrt(np.einsum("rid,rid->ri", vectors, vectors))
        state[..., 0], state[..., 1] = 1, 1
        # Row by row, since BLAS rounds by shape: a row of many then equals the scalar environment bit for bit, and
        # none pays for how much another has selected.
        for row, used in enumerate(self._selected):
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
        scores = self._score(row, self._shown[row])
        candidates = slice(self.config.n_items)
        shown = scores[candidates], self._shown_p[row, candidates], self._shown_pick[row, candidates]
        return render_items(self, title, *shown, gauges)

    def choices(self, row: int = 0, *, whole: bool = False) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """What a row was shown in the steps that are over, and what of it was selected.

        Args:
            row: which.
            whole: tell of the whole stream, also of what comes after these steps, and is not selected.

        Returns:
            Pool ids of the candidates, int32 (steps, n_items), and which were selected, bool of that shape.
        """
        steps = self.config.horizon if whole else self._step[row]
        shown = slice(steps), slice(self.config.n_items)
        picked = self._picked[row][shown].copy()
        picked[self._step[row] :] = False
        return self._plan[row][shown].copy(), picked

    # ----------------------------------------------------------------- truth
    def shown_ids(self) -> NDArray[np.int32]:
        """Pool ids of the candidates that every row shows now, int32 (num_envs, n_items)."""
        shown = np.minimum(self._step, self.config.horizon - 1)
        return self._plan[np.arange(self.num_envs), shown, : self.config.n_items]

    def optimum(self) -> NDArray[np.float64]:
        """Hindsight optimum of each row's current episode, shape (num_envs,)."""
        return np.array([self._best_plan(row)[1] for row in range(self.num_envs)])

    def optimal_plan(self, rows: Rows) -> NDArray[np.bool_]:
        """What the hindsight optimum selects in the current episode of each of ``rows``: (rows, horizon, items)."""
        return np.stack([self._best_plan(int(row))[0] for row in rows])

"""What a policy may know of a task before it acts: the columns, their natural units, the spaces, the budget."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Family = Literal["selection", "allocation", "mixture"]
Observation = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Column:
    """One observed number.

    Attributes:
        name: what it is, in snake_case.
        bound: observed value × bound = value in natural units (labels, pulls, nats, …).
        low: smallest observed value, finite.
        high: largest observed value, finite.
    """

    name: str
    bound: float = 1.0
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Task:
    """The public description of an environment, from which every policy is constructed.

    It holds nothing hidden: a policy that is given a ``Task`` and observations can't see truth.

    Attributes:
        env_id: for example ``"CurationGym/CoverageSelection-v0"``.
        family: how an action is read (selection, allocation or mixture).
        item: columns of one item, in order: embedding, signals, uncertainties, state, metadata.
        context: columns of the context.
        dynamic: half-open range of ``item`` that changes while curating; in ids mode it is all that is sent.
        n_items: items per observation.
        horizon: the most steps an episode can take.
        budget: how much may be spent in an episode, in ``budget_unit``.
        budget_unit: ``"samples"``, ``"tokens"``, ``"labels"`` or ``"pulls"``.
        mean_price: what an item costs of it on average, where that is paid for.
        score_weights: how the task values each signal; ``score`` applies them.
        objectives: names of a vector reward's components; empty where the reward is a number.
        pool_fingerprint: of the pool that ids refer to; empty when there is no pool.
        ids: whether ``item`` holds pool ids instead of columns.
        arms: a name per item for Allocation and Mixture; empty for Selection.
        action_space: of one environment.

    Raises:
        ValueError: when two columns have one name.
    """

    env_id: str
    family: Family
    item: tuple[Column, ...]
    context: tuple[Column, ...]
    n_items: int
    horizon: int
    budget: int
    action_space: spaces.Space[Any]
    dynamic: tuple[int, int] = (0, 0)
    budget_unit: str = "samples"
    mean_price: float = 1.0
    score_weights: Mapping[str, float] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    pool_fingerprint: str = ""
    ids: bool = False
    arms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [column.name for column in (*self.item, *self.context)]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{self.env_id}: two columns are called {twice!r}; rename the pool's signal or domain")

    @property
    def even_rate(self) -> float:
        """Selection: the probability of every item at which the budget lasts for the whole horizon, in (0, 1]."""
        return min(1.0, self.budget / (self.horizon * self.n_items * self.mean_price))

    @cached_property
    def observation_space(self) -> spaces.Dict:
        """``Dict(item, context, mask)``, or with ids ``Dict(item, dynamic, context, mask)``; every bound is finite."""
        columns = self.item[slice(*self.dynamic)] if self.ids else self.item
        rows = _box(columns, self.n_items)
        parts: dict[str, spaces.Space[Any]] = {
            "context": _box(self.context),
            "mask": spaces.MultiBinary(self.n_items),
        }
        if self.ids:
            parts["item"] = spaces.Box(0, np.iinfo(np.int32).max, (self.n_items,), np.int32)
            parts["dynamic"] = rows
        else:
            parts["item"] = rows
        return spaces.Dict(parts)

    @cached_property
    def _position(self) -> dict[str, int]:
        return {column.name: index for index, column in enumerate(self.item)}

    @cached_property
    def item_features(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.item)

    @cached_property
    def context_features(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.context)

    def read(self, observation: Observation, name: str) -> NDArray[np.float64]:
        """A column in natural units.

        Args:
            observation: one observation, or a batch of them with any leading dimensions.
            name: of an item column, or of a context column.

        Returns:
            shape (..., n_items) for an item column, (...,) for a context column.

        Raises:
            KeyError: when the task has no such column; the message lists those that exist.
        """
        index = self._position.get(name)
        if index is not None:
            if not self.ids:
                return observation["item"][..., index].astype(np.float64) * self.item[index].bound
            start, stop = self.dynamic
            if start <= index < stop:
                return observation["dynamic"][..., index - start].astype(np.float64) * self.item[index].bound
            raise KeyError(f"{self.env_id}: column {name!r} is not sent in ids mode; read it from the pool")
        if name in self.context_features:
            index = self.context_features.index(name)
            return observation["context"][..., index].astype(np.float64) * self.context[index].bound
        known = [c for c in self.item_features if not c.startswith("embedding_")] + list(self.context_features)
        raise KeyError(f"{self.env_id} has no column {name!r}; it has {', '.join(known)} (and embeddings)")

    def score(self, observation: Observation) -> NDArray[np.float64]:
        """The task's weighted sum of signals, shape (..., n_items): what a score threshold thresholds."""
        if not self.score_weights:
            raise KeyError(f"{self.env_id} has no signals to score by")
        weighted = [self.weight(observation, name) * self.read(observation, name) for name in self.score_weights]
        return np.asarray(sum(weighted[1:], start=weighted[0]))

    def weight(self, observation: Observation, name: str) -> NDArray[np.float64] | float:
        """How the score weighs a signal, shape (..., 1) where the context has the weights of the episode."""
        told = f"weight_{name}"
        if told in self.context_features:
            return self.read(observation, told)[..., None]
        return self.score_weights[name]


def _box(columns: tuple[Column, ...], *leading: int) -> spaces.Box:
    low = np.array([column.low for column in columns], np.float32)
    high = np.array([column.high for column in columns], np.float32)
    shape = (*leading, len(columns))
    return spaces.Box(np.broadcast_to(low, shape), np.broadcast_to(high, shape), shape, np.float32)

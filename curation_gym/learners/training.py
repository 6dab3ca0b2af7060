"""What learners trained by gradient descent share: one loop over minibatches, and when it starts anew."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from curation_gym.config import Config
from curation_gym.learners.base import Ids, Labels, Probabilities, checked_ids, checked_labels, derived_seed
from curation_gym.pools.pool import Pool

Schedule = Callable[[float], float]
"""Share of the steps that are done, in [0, 1] → what the learning rate is multiplied by."""


class SgdConfig(Config):
    """What all learners trained by gradient descent take.

    Attributes:
        batch_size: labels per step.
        learning_rate: the highest, of AdamW.
        weight_decay: of AdamW (Loshchilov and Hutter, 2019).
        warm_start: whether a fit starts from the last one, or from the initial weights.
    """

    batch_size: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    warm_start: bool = False


class SgdLearner(ABC):
    """A learner that can go on from where it is; see :class:`~curation_gym.learners.base.UpdatableLearner`.

    Args:
        config: its options.
        pool: what ids refer to.
        members: M.
        classes: K ≥ 2.
        seed: of all that is random.

    Attributes:
        seen: (classes,), whether a label named the class since the last start; others get probability 0.
    """

    def __init__(self, config: SgdConfig, pool: Pool, members: int, classes: int, seed: int) -> None:
        self.members, self.classes = members, classes
        self.seen = np.zeros(classes, np.bool_)
        self._warm_start, self._pool, self._seed = config.warm_start, pool, seed
        self._updates = 0

    def fit(self, ids: Ids, labels: Labels) -> Self:
        """Retrain on everything labelled so far, see :class:`~curation_gym.learners.base.Learner`."""
        rows, codes = checked_labels(self._pool, ids, labels, self.classes)
        self.seen[:] = False
        if self._updates == 0 or not self._warm_start:
            self._updates = 0
            self._reset()
        return self._train_on(rows, codes)

    def update(self, ids: Ids, labels: Labels) -> Self:
        """Train on these labels only, starting from the current state; else as ``fit``."""
        rows, codes = checked_labels(self._pool, ids, labels, self.classes)
        if self._updates == 0:
            self._reset()
        return self._train_on(rows, codes)

    def predict_proba(self, ids: Ids) -> Probabilities:
        """Probabilities, float32 (members, n, classes), see :class:`~curation_gym.learners.base.Learner`."""
        rows = checked_ids(self._pool, ids)
        if not self.seen.any():
            return np.full((self.members, len(rows), self.classes), 1 / self.classes, np.float32)
        with torch.inference_mode():
            logits = self._logits(rows).masked_fill_(torch.from_numpy(~self.seen), -torch.inf)
            return np.asarray(logits.softmax(2).numpy())

    def _train_on(self, rows: NDArray[np.intp], codes: NDArray[np.intp]) -> Self:
        self.seen[codes] = True
        if len(rows):
            self._train(rows, torch.from_numpy(codes), derived_seed(self._seed, self._updates))
            self._updates += 1
        return self

    @abstractmethod
    def _reset(self) -> None:
        """Go to the initial weights, the same every time."""

    @abstractmethod
    def _train(self, rows: NDArray[np.intp], labels: Tensor, seed: int) -> None:
        """Train on (n,) samples with their labels, n ≥ 1, from the current weights."""

    @abstractmethod
    def _logits(self, rows: NDArray[np.intp]) -> Tensor:
        """float32 (members, n, classes) on the CPU."""


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Torch's global generators at ``seed`` within, and as they were afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def train(
    model: nn.Module,
    loss: Callable[[NDArray[np.intp]], Tensor],
    n: int,
    config: SgdConfig,
    *,
    steps: int,
    schedule: Schedule,
    seed: int,
    max_norm: float = float("inf"),
) -> None:
    """Minimise a mean loss by AdamW.

    Args:
        model: what is trained, in place.
        loss: of a batch of indices below ``n``, a scalar.
        n: samples ≥ 1. Every pass takes all of them in a new order.
        config: batch size, learning rate, weight decay.
        steps: updates.
        schedule: of the learning rate.
        seed: of order and dropout.
        max_norm: gradients are scaled down to this norm.
    """
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    rate = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(step / steps))
    model.train()
    with seeded(seed):
        for batch in islice(_batches(n, config.batch_size, np.random.default_rng(seed)), steps):
            optimizer.zero_grad()
            value: Any = loss(batch)
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            optimizer.step()
            rate.step()
    model.eval()


def cosine(done: float) -> float:
    """From 1 down to 0 along half a cosine (Loshchilov and Hutter, 2017)."""
    return float((1 + np.cos(np.pi * done)) / 2)


def warm_up_then_linear(warm_up: float) -> Schedule:
    """Up from 0 over the first ``warm_up`` share of the steps, in [0, 1), then linearly down to 0."""
    return lambda done: done / warm_up if done < warm_up else (1 - done) / (1 - warm_up)


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[NDArray[np.intp]]:
    while True:
        order = rng.permutation(n)
        yield from (order[start : start + size] for start in range(0, n, size))

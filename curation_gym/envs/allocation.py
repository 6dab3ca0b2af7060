"""What every Allocation environment shares: the arm columns, and the bookkeeping behind them."""

import numpy as np
from numpy.typing import NDArray

from curation_gym.envs.base import Rows
from curation_gym.task import Column


def arm_columns(horizon: int, budget: int, reward_low: float, reward_high: float) -> tuple[Column, ...]:
    """The state columns of an arm, in this order.

    pulls (of ``horizon``), labels_spent (of ``budget``), flags (of ``budget``), mean_reward (of its labels) and
    last_reward (of its last pull), both divided by the largest absolute reward, steps_since_pull (of ``horizon``; 1
    when never pulled), samples_left (fraction).
    """
    bound = max(abs(reward_low), abs(reward_high))
    low, high = reward_low / bound, reward_high / bound
    low, high = min(low, 0.0), max(high, 0.0)  # an arm that was never pulled shows 0
    return (
        Column("pulls", horizon),
        Column("labels_spent", budget),
        Column("flags", budget),
        Column("mean_reward", bound, low, high),
        Column("last_reward", bound, low, high),
        Column("steps_since_pull", horizon),
        Column("samples_left"),
    )


class ArmLedger:
    """Per row and arm: what was spent and what came back. All arrays have shape (num_envs, n_arms)."""

    def __init__(self, num_envs: int, n_arms: int, horizon: int) -> None:
        shape = (num_envs, n_arms)
        self.horizon = horizon
        self.pulls = np.zeros(shape)
        self.labels = np.zeros(shape)
        self.flags = np.zeros(shape)
        self.reward_sum = np.zeros(shape)
        self.last_reward = np.zeros(shape)
        self.last_pull = np.full(shape, -np.inf)

    def clear(self, rows: Rows) -> None:
        """Forget what happened in ``rows``."""
        for array in (self.pulls, self.labels, self.flags, self.reward_sum, self.last_reward):
            array[rows] = 0
        self.last_pull[rows] = -np.inf

    def record(
        self,
        rows: Rows,
        arms: NDArray[np.integer],
        rewards: NDArray[np.float64],
        step: NDArray[np.integer],
        labels: NDArray[np.integer] | int = 1,
        flags: NDArray[np.integer] | int = 0,
    ) -> None:
        """Add one pull per entry of ``rows``; ``rewards`` are means over its ``labels``, ``step`` is the index of the
        step that made it."""
        self.pulls[rows, arms] += 1
        self.labels[rows, arms] += labels
        self.flags[rows, arms] += flags
        self.reward_sum[rows, arms] += labels * rewards
        self.last_reward[rows, arms] = rewards
        self.last_pull[rows, arms] = step

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean reward of each arm's labels; 0 without any."""
        return np.divide(self.reward_sum, self.labels, out=np.zeros_like(self.labels), where=self.labels > 0)

    def write(
        self,
        out: NDArray[np.float32],
        columns: tuple[Column, ...],
        step: NDArray[np.integer],
        samples_left: NDArray[np.float64] | float = 1.0,
    ) -> None:
        """Write the arm columns into ``out`` (num_envs, n_arms, 7); ``step`` counts the steps done, (num_envs,)."""
        since = np.minimum(step[:, None] - self.last_pull, self.horizon)
        values = (self.pulls, self.labels, self.flags, self.mean, self.last_reward, since, samples_left)
        for index, (value, column) in enumerate(zip(values, columns, strict=True)):
            out[..., index] = np.clip(value / column.bound, column.low, column.high)

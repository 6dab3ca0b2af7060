"""What bandits share: the arm of the largest index is pulled, and what was learnt may be kept in ``state``."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from curation_gym.policy import PolicyError
from curation_gym.task import Observation, Task

Values = NDArray[np.float64]
Memory = dict[str, NDArray[Any]]


class ArmPolicy:
    """Pulls the arm of the largest index among those that aren't masked; the lowest number wins a tie.

    Raises:
        PolicyError: when the task isn't a Discrete allocation task.
    """

    def __init__(self, task: Task, *, seed: int | None = None) -> None:
        if task.family != "allocation" or not isinstance(task.action_space, spaces.Discrete):
            raise PolicyError(f"{type(self).__name__} needs a Discrete allocation task, {task.env_id} isn't one")
        self.task = task
        self.rng = np.random.default_rng(seed)

    def largest(self, index: Values, observation: Observation) -> NDArray[np.int64]:
        """Arms of shape (...,) by an index of shape (..., n_items)."""
        arms: NDArray[np.int64] = np.where(observation["mask"] > 0, index, -np.inf).argmax(-1)
        return arms


class HistoryPolicy(ArmPolicy):
    """Learns from every pull, and keeps what it learnt in ``state``: arrays by name, with the observation's batch
    dimensions in front.

    ``predict`` is to be called at every step, with the state that it returned last and leaves as it is. Which arm
    was pulled is read from the column ``pulls`` and what it paid from ``last_reward``, so another hand may have
    chosen it. A row forgets everything where ``episode_start`` is true, and where an arm has fewer pulls than
    before, which tells a new episode also to a caller who doesn't.
    """

    def nothing(self, shape: tuple[int, ...]) -> Memory:
        """What is known before the first pull; ``shape`` is (..., n_items)."""
        raise NotImplementedError

    def update(self, memory: Memory, pulled: Values, paid: Values, observation: Observation) -> Memory:
        """What is known after a pull.

        Args:
            memory: what was known.
            pulled: (..., n_items), 1 for the arm that was pulled since; all 0 in a row without a pull, which
                learns nothing.
            paid: (..., n_items), its reward; 0 for the others.
            observation: the present one.
        """
        raise NotImplementedError

    def index(self, memory: Memory) -> Values:
        """The value of each arm, shape (..., n_items)."""
        raise NotImplementedError

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.int64], Memory]:
        """Arms of shape (...,), and what to pass as ``state`` next time.

        Raises:
            PolicyError: for a state of other batch dimensions.
        """
        pulls = np.rint(self.task.read(observation, "pulls"))
        memory = self._recall(state, pulls, episode_start)
        pulled = (pulls > memory["pulls"]).astype(np.float64)
        paid = pulled * self.task.read(observation, "last_reward")
        memory = {**self.update(memory, pulled, paid, observation), "pulls": pulls}
        return self.largest(self.index(memory), observation), memory

    def _recall(self, state: Memory | None, pulls: Values, episode_start: NDArray[Any] | None) -> Memory:
        fresh = {**self.nothing(pulls.shape), "pulls": pulls}
        if state is None:
            return fresh
        if state["pulls"].shape != pulls.shape:
            raise PolicyError(
                f"{type(self).__name__}: state is of arms {state['pulls'].shape}, the observation has {pulls.shape}; "
                "start with state=None"
            )
        forget = (pulls < state["pulls"]).any(-1)
        if episode_start is not None:
            forget = forget | np.reshape(episode_start, forget.shape).astype(np.bool_)
        return {
            name: np.where(np.expand_dims(forget, tuple(range(forget.ndim, empty.ndim))), empty, state[name])
            for name, empty in fresh.items()
        }


def upper_bound(counts: Values, mean: Values, c: float) -> Values:
    """mean_a + c · √(ln Σ_b N_b / N_a), infinite where N_a = 0; all of shape (..., n_items)."""
    total = np.maximum(counts.sum(-1, keepdims=True), 1)
    width = np.sqrt(np.log(total) / np.where(counts > 0, counts, 1))
    return np.where(counts > 0, mean + c * width, np.inf)

"""The contract: one batched core per environment, and the scalar environment as its one-row view.

A core subclasses :class:`CurationVectorEnv` and states only what differs: its configuration, its task, how an
episode begins, how it advances, what is observed. Seeding, autoreset, checking of actions, buffers and info are here.
"""

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from curation_gym.config import Config
from curation_gym.task import Task

Rows = NDArray[np.intp]
Arrays = dict[str, NDArray[Any]]
StepResult = tuple[NDArray[np.float64], NDArray[np.bool_], Arrays]
RENDER_MODES = ["ansi", "rgb_array"]


class ActionError(ValueError):
    """An action outside the action space."""


class CurationVectorEnv(VectorEnv[Arrays, NDArray[Any], NDArray[Any]]):
    """Batched core of an environment; each row is an independent episode.

    Args:
        num_envs: rows.
        render_mode: None, ``"ansi"`` or ``"rgb_array"``; one frame per row.
        autoreset_mode: NEXT_STEP (Gymnasium's default), SAME_STEP (what Stable-Baselines3 expects) or DISABLED
            (pass ``options={"reset_mask": …}`` to ``reset``).
        copy: return fresh arrays. With False, observations alternate between two internal buffers: each stays
            valid for exactly one more step. For consumers that copy what they keep.
        config: the environment's own arguments, see its scalar class.

    Raises:
        ConfigError: for an unknown or invalid argument.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it as an instance variable
        "render_modes": RENDER_MODES,
        "render_fps": 4,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }
    env_id: ClassVar[str]
    config_model: ClassVar[type[Config]]  # so that arguments can be checked without building anything
    info_type: ClassVar[type]  # a TypedDict of what ``info`` may hold for one row

    def __init__(
        self,
        num_envs: int = 1,
        *,
        render_mode: str | None = None,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        copy: bool = True,
        **config: Any,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs must be >= 1, actual value: {num_envs}")
        if render_mode is not None and render_mode not in RENDER_MODES:
            raise ValueError(f"render_mode must be None or one of {RENDER_MODES}, actual value: {render_mode!r}")
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.autoreset_mode = AutoresetMode(autoreset_mode)
        self.metadata = {**self.metadata, "autoreset_mode": self.autoreset_mode}
        self.task = self._setup(config)
        self.single_observation_space = self.task.observation_space
        self.single_action_space = self.task.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        if self.task.objectives:
            # Where MO-Gymnasium's wrappers and agents look for it.
            self.single_reward_space = gym.spaces.Box(-np.inf, np.inf, (len(self.task.objectives),), np.float64)
            self.reward_space = batch_space(self.single_reward_space, num_envs)
        self.rngs: list[np.random.Generator | None] = [None] * num_envs
        self._seeds: list[int | None] = [None] * num_envs
        self.ended = np.ones(num_envs, np.bool_)
        self.started = np.zeros(num_envs, np.bool_)
        self._buffers = None if copy else (self._empty(), self._empty())
        self._turn = 0

    # ------------------------------------------------ what a core must state
    def _setup(self, config: dict[str, Any]) -> Task:
        """Validate ``config``, prepare what never changes, allocate per-row state, and describe the task."""
        raise NotImplementedError

    def _begin(self, rows: Rows) -> Arrays:
        """Start a new episode in ``rows`` from ``self.rngs``, drawing its whole plan; return info per row."""
        raise NotImplementedError

    def _advance(self, rows: Rows, actions: NDArray[Any]) -> StepResult:
        """Apply valid ``actions`` (one per entry of ``rows``); return reward, terminated, info per entry.

        A reward is a number, or one per objective of the task.
        """
        raise NotImplementedError

    def _observe(self, out: Arrays) -> None:
        """Write every row's current observation into ``out``."""
        raise NotImplementedError

    def _frame(self, row: int) -> str | NDArray[np.uint8]:
        """One row's picture in ``self.render_mode``."""
        raise NotImplementedError

    def optimum(self) -> NDArray[np.float64]:
        """The largest noise-free return of each row's current episode, with hidden truth; shape (num_envs,).

        For references and for normalising scores; never part of an observation, a reward or an info.

        Raises:
            NotImplementedError: when the task's optimum isn't known.
        """
        raise NotImplementedError(f"{self.env_id} has no known optimum")

    # -------------------------------------------------------------- features
    @property
    def item_features(self) -> tuple[str, ...]:
        """Names of the columns of one item."""
        return self.task.item_features

    @property
    def context_features(self) -> tuple[str, ...]:
        """Names of the columns of the context."""
        return self.task.context_features

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator | None, ...]:  # type: ignore[override]
        """The rows' generators."""
        return tuple(self.rngs)

    @property
    def np_random_seed(self) -> tuple[int | None, ...]:  # type: ignore[override]
        """The rows' seeds; None for a row that was never seeded."""
        return tuple(self._seeds)

    def action_masks(self) -> NDArray[np.bool_]:
        """Items that may be chosen now, shape (num_envs, n_items); MaskablePPO's protocol."""
        return self._mask().astype(np.bool_)

    def _mask(self) -> NDArray[np.int8]:
        return np.ones((self.num_envs, self.task.n_items), np.int8)

    # --------------------------------------------------------- reset and step
    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Arrays, dict[str, Any]]:
        """Start episodes.

        Args:
            seed: None keeps each row's generator; an integer s seeds row i with s + i, as Gymnasium does; a list
                seeds each row. A row seeded with s equals the scalar environment seeded with s.
            options: ``{"reset_mask": bool (num_envs,)}`` restarts some rows only.
        """
        rows = np.flatnonzero(self._reset_mask(options))
        for row, value in zip(range(self.num_envs), self._seed_list(seed), strict=True):
            if row in rows and (value is not None or self.rngs[row] is None):
                self.rngs[row], self._seeds[row] = seeding.np_random(value)
        self.ended[rows] = False
        self.started[rows] = True
        info = self._begin(rows)
        return self._observation(), self._scatter({}, info, rows)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Arrays, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Advance every row by one step.

        Raises:
            ActionError: when an action is outside the action space; the row and the value are named.
            ValueError: when a row that ended is stepped with autoreset disabled.
        """
        if not self.started.all():
            raise gym.error.ResetNeeded(f"{self.env_id}: call reset before step")
        resetting = self.ended.copy()
        if self.autoreset_mode is AutoresetMode.DISABLED and resetting.any():
            raise ValueError(
                f"row {int(np.argmax(resetting))} has ended; call reset(options={{'reset_mask': …}}) before stepping it"
            )
        rows = np.flatnonzero(~resetting)
        actions = self._checked(np.asarray(actions), rows)
        rewards = np.zeros((self.num_envs, *self._reward_shape))
        terminated = np.zeros(self.num_envs, np.bool_)
        infos: dict[str, Any] = {}
        if len(rows):
            rewards[rows], terminated[rows], info = self._advance(rows, actions[rows])
            infos = self._scatter(infos, info, rows)
        ended = terminated
        if resetting.any():
            restarted = np.flatnonzero(resetting)
            infos = self._scatter(infos, self._begin(restarted), restarted)
        if self.autoreset_mode is AutoresetMode.SAME_STEP and terminated.any():
            infos = self._restart_at_once(terminated, infos)
            ended = np.zeros(self.num_envs, np.bool_)
        self.ended = ended.copy()
        return self._observation(), rewards, terminated, np.zeros(self.num_envs, np.bool_), infos

    def _restart_at_once(self, done: NDArray[np.bool_], infos: dict[str, Any]) -> dict[str, Any]:
        """SAME_STEP: the end of the rows that are done moves to ``final_obs`` and ``final_info``; they begin anew."""
        last = self._empty()
        self._observe(last)
        final = np.full(self.num_envs, None, dtype=object)
        rows = np.flatnonzero(done)
        for row in rows:
            final[row] = {key: value[row].copy() for key, value in last.items()}
        final_info, going_on = _split(infos, done), _split(infos, ~done)
        infos = self._scatter(going_on, self._begin(rows), rows)
        return infos | {"final_obs": final, "_final_obs": done, "final_info": final_info, "_final_info": done}

    # ---------------------------------------------------------------- helpers
    @property
    def _reward_shape(self) -> tuple[int, ...]:
        return (len(self.task.objectives),) if self.task.objectives else ()

    def _observation(self) -> Arrays:
        if self._buffers is None:
            out = self._empty()
        else:
            self._turn ^= 1
            out = self._buffers[self._turn]
        self._observe(out)
        return out

    def _empty(self) -> Arrays:
        spaces = self.single_observation_space
        assert isinstance(spaces, gym.spaces.Dict)
        return {key: np.empty((self.num_envs, *(part.shape or ())), part.dtype) for key, part in spaces.items()}

    def _checked(self, actions: NDArray[Any], rows: Rows) -> NDArray[Any]:
        """``actions``, whose ``rows`` will be applied; those of rows that restart are never looked at."""
        space = self.single_action_space
        shape = (self.num_envs, *(space.shape or ()))
        if actions.shape != shape:
            raise ActionError(f"{self.env_id}: actions must have shape {shape}, actual shape: {actions.shape}")
        if isinstance(space, gym.spaces.Discrete):
            if actions.dtype.kind not in "iu":
                raise ActionError(f"{self.env_id}: actions must be integers, actual dtype: {actions.dtype}")
            good = (actions >= 0) & (actions < space.n)
            allowed = f"0 … {space.n - 1}"
        else:
            good = (actions >= 0) & (actions <= 1)  # False for NaN
            allowed = "[0, 1]"
        if not good[rows].all():
            where = _first(~good, rows)
            raise ActionError(f"{self.env_id}: action at {where} must be in {allowed}, actual value: {actions[where]}")
        return actions

    def _scatter(self, infos: dict[str, Any], info: Arrays, rows: Rows) -> dict[str, Any]:
        """Gymnasium's vector info: full-length arrays with a mask ``_key`` of the rows that have one."""
        for key, values in info.items():
            if key not in infos:
                infos[key] = _nothing((self.num_envs, *values.shape[1:]), values.dtype)
                infos[f"_{key}"] = np.zeros(self.num_envs, np.bool_)
            infos[key][rows] = values
            infos[f"_{key}"][rows] = True
        return infos

    def _seed_list(self, seed: int | list[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, int | np.integer):
            return [int(seed) + i for i in range(self.num_envs)]
        if len(seed) != self.num_envs:
            raise ValueError(f"a list of seeds must have num_envs={self.num_envs} entries, actual length: {len(seed)}")
        return list(seed)

    def _reset_mask(self, options: dict[str, Any] | None) -> NDArray[np.bool_]:
        mask = (options or {}).get("reset_mask")
        if mask is None:
            return np.ones(self.num_envs, np.bool_)
        if (
            not isinstance(mask, np.ndarray)
            or mask.shape != (self.num_envs,)
            or mask.dtype != np.bool_
            or not mask.any()
        ):
            raise ValueError(
                f"options['reset_mask'] must be a boolean ({self.num_envs},) array with a True, actual: {mask!r}"
            )
        return mask

    def _generator(self, row: int) -> np.random.Generator:
        rng = self.rngs[row]
        assert rng is not None
        return rng

    def render(self) -> tuple[Any, ...] | None:
        """One frame per row, or None without a render mode."""
        if self.render_mode is None:
            gym.logger.warn(f"{self.env_id}: render() needs render_mode='ansi' or 'rgb_array'")
            return None
        return tuple(self._frame(row) for row in range(self.num_envs))


def _first(bad: NDArray[np.bool_], rows: Rows) -> tuple[int, ...]:
    """Where the first True stands among ``rows``."""
    index, *rest = (int(i) for i in np.argwhere(bad[rows])[0])
    return int(rows[index]), *rest


def _nothing(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """What Gymnasium has in the place of an info that a row doesn't tell."""
    return np.full(shape, None) if dtype.kind == "O" else np.zeros(shape, dtype)


def _split(infos: dict[str, Any], rows: NDArray[np.bool_]) -> dict[str, Any]:
    """The part of a vector info that belongs to ``rows``."""
    part = {}
    for key, values in infos.items():
        if not key.startswith("_") and (mask := infos[f"_{key}"] & rows).any():
            part[key] = _nothing(values.shape, values.dtype)
            part[key][mask] = values[mask]
            part[f"_{key}"] = mask
    return part


class CurationEnv(gym.Env[Arrays, Any]):
    """The one-row view of a batched core."""

    metadata: dict[str, Any] = {"render_modes": RENDER_MODES, "render_fps": 4}  # noqa: RUF012
    core_class: ClassVar[type[CurationVectorEnv]]

    def __init__(self, render_mode: str | None = None, **config: Any) -> None:
        self.core = self.core_class(1, render_mode=render_mode, autoreset_mode=AutoresetMode.DISABLED, **config)
        self.render_mode = render_mode
        self.observation_space = self.core.single_observation_space
        self.action_space = self.core.single_action_space
        self.task = self.core.task
        if self.task.objectives:
            self.reward_space = self.core.single_reward_space

    @property
    def item_features(self) -> tuple[str, ...]:
        """Names of the columns of one item."""
        return self.task.item_features

    @property
    def context_features(self) -> tuple[str, ...]:
        """Names of the columns of the context."""
        return self.task.context_features

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, dict[str, Any]]:
        """Start an episode; ``options`` are not used."""
        super().reset(seed=seed)
        self.core.rngs[0] = self.np_random
        observation, infos = self.core.reset()
        return _row(observation), _row_info(infos)

    def step(self, action: Any) -> tuple[Arrays, Any, bool, bool, dict[str, Any]]:
        """Advance by one step; the reward is a float, or an array with one number per objective of the task.

        Raises:
            ActionError: for an action outside the space.
            ResetNeeded: after the end.
        """
        if self.core.ended[0] and self.core.started[0]:
            raise gym.error.ResetNeeded(f"{self.core.env_id}: the episode has ended; call reset() before step()")
        observation, rewards, terminated, truncated, infos = self.core.step(np.asarray(action)[None])
        reward = rewards[0] if self.task.objectives else float(rewards[0])
        return _row(observation), reward, bool(terminated[0]), bool(truncated[0]), _row_info(infos)

    def render(self) -> Any:
        """The frame, or None without a render mode."""
        frames = self.core.render()
        return frames[0] if frames else None

    def action_masks(self) -> NDArray[np.bool_]:
        """Items that may be chosen now, shape (n_items,)."""
        masks: NDArray[np.bool_] = self.core.action_masks()[0]
        return masks

    def optimum(self) -> float:
        """See :meth:`CurationVectorEnv.optimum`."""
        return float(self.core.optimum()[0])


def _row(observation: Arrays) -> Arrays:
    return {key: value[0] for key, value in observation.items()}


def _row_info(infos: dict[str, Any]) -> dict[str, Any]:
    info = {}
    for key, values in infos.items():
        if not key.startswith("_") and infos[f"_{key}"][0]:
            info[key] = values[0].item() if isinstance(values[0], np.generic) else values[0]
    return info

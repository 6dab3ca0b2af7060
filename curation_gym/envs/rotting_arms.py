"""RottingArms-v0: a bandit whose arms wear out, with an exact optimum."""

from typing import Any, ClassVar, Literal, TypedDict

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.config import Config, Many, Pair, validated
from curation_gym.envs.allocation import ArmLedger, arm_columns
from curation_gym.envs.base import Arrays, CurationEnv, CurationVectorEnv, Rows, StepResult
from curation_gym.envs.render import render_arms
from curation_gym.task import Column, Task

ENV_ID = "CurationGym/RottingArms-v0"
NOISE_CLIP = 4.0  # standard deviations; keeps every observed reward finite


class RottingArmsConfig(Config):
    """Arguments of RottingArms-v0, see :class:`RottingArmsEnv`."""

    n_arms: int = Field(10, ge=1)
    horizon: int = Field(200, ge=1)
    payoff: Pair[float] = (0.3, 1.0)
    half_life: Pair[float] | None = (5.0, 50.0)
    rise: float = Field(0.0, ge=0)
    late_arms: int = Field(0, ge=0)
    noise: Literal["gaussian", "bernoulli", "none"] = "gaussian"
    noise_scale: float = Field(0.1, ge=0)
    means: Many[float] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "RottingArmsConfig":
        if not 0 <= self.payoff[0] <= self.payoff[1] <= 1:
            raise ValueError(f"payoff must be (low, high) with 0 <= low <= high <= 1, actual value: {self.payoff}")
        if self.half_life is not None and not 0 < self.half_life[0] <= self.half_life[1]:
            raise ValueError(
                f"half_life must be (low, high) with 0 < low <= high, or null, actual value: {self.half_life}"
            )
        if self.late_arms >= self.n_arms:
            raise ValueError(f"late_arms must be < n_arms = {self.n_arms}, actual value: {self.late_arms}")
        if self.means is not None and (len(self.means) != self.n_arms or not all(0 <= m <= 1 for m in self.means)):
            raise ValueError(f"means must be n_arms = {self.n_arms} numbers in [0, 1], actual value: {self.means}")
        return self


class RottingArmsInfo(TypedDict):
    """``info`` of a step."""

    raw_reward: float
    mean_reward: float
    invalid: bool


class RottingArmsVectorEnv(CurationVectorEnv):
    """Batched core of :class:`RottingArmsEnv`."""

    env_id = ENV_ID
    config_model = RottingArmsConfig
    info_type: ClassVar[type] = RottingArmsInfo

    def _setup(self, config: dict[str, Any]) -> Task:
        self.config = cfg = validated(RottingArmsConfig, config, ENV_ID)
        reach = NOISE_CLIP * cfg.noise_scale if cfg.noise == "gaussian" else 0.0
        self._columns = arm_columns(cfg.horizon, cfg.horizon, -reach, 1 + reach)
        shape = (self.num_envs, cfg.n_arms)
        self._payoff, self._tau, self._rise = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._arrival = np.zeros(shape, np.int64)
        self._draws = np.zeros((self.num_envs, cfg.horizon))
        self._step = np.zeros(self.num_envs, np.int64)
        self._total = np.zeros(self.num_envs)
        self._ledger = ArmLedger(self.num_envs, cfg.n_arms, cfg.horizon)
        return Task(
            env_id=ENV_ID,
            family="allocation",
            item=self._columns,
            context=(Column("budget_left", cfg.horizon), Column("steps_left", cfg.horizon)),
            dynamic=(0, len(self._columns)),
            n_items=cfg.n_arms,
            horizon=cfg.horizon,
            budget=cfg.horizon,
            budget_unit="pulls",
            arms=tuple(f"arm_{i}" for i in range(cfg.n_arms)),
            action_space=spaces.Discrete(cfg.n_arms),
        )

    def _begin(self, rows: Rows) -> Arrays:
        cfg = self.config
        for row in rows:
            rng = self._generator(int(row))
            drawn = rng.uniform(*cfg.payoff, cfg.n_arms)
            self._payoff[row] = drawn if cfg.means is None else cfg.means
            # log-uniform: half-lives of 5 and of 50 differ as much as 50 and 500
            low, high = cfg.half_life or (1.0, 1.0)
            spread = np.exp(rng.uniform(np.log(low), np.log(high), cfg.n_arms)) / np.log(2)
            self._tau[row] = spread if cfg.half_life is not None else np.inf
            self._rise[row] = cfg.rise * rng.uniform(0.5, 1.5, cfg.n_arms)
            late = rng.permutation(cfg.n_arms)[: cfg.late_arms]
            self._arrival[row] = 0
            self._arrival[row, late] = rng.integers(1, max(2, cfg.horizon // 2), cfg.late_arms)
            if cfg.noise == "bernoulli":
                self._draws[row] = rng.random(cfg.horizon)
            elif cfg.noise == "gaussian":
                noise = np.clip(rng.standard_normal(cfg.horizon), -NOISE_CLIP, NOISE_CLIP)
                self._draws[row] = cfg.noise_scale * noise
        self._step[rows] = 0
        self._total[rows] = 0
        self._ledger.clear(rows)
        return {}

    def _mean(self, rows: Any, arms: Any, pulls: Any) -> NDArray[np.float64]:
        """Expected payoff of the pull that follows ``pulls`` earlier ones."""
        mean = self._payoff[rows, arms] * np.exp(-pulls / self._tau[rows, arms])
        if self.config.rise > 0:
            mean = mean * -np.expm1(-(pulls + 1) / self._rise[rows, arms])
        return np.asarray(mean)

    def _advance(self, rows: Rows, actions: NDArray[Any]) -> StepResult:
        step = self._step[rows]
        valid = self._arrival[rows, actions] <= step
        mean = np.where(valid, self._mean(rows, actions, self._ledger.pulls[rows, actions]), 0.0)
        draw = self._draws[rows, step]
        noisy = (draw < mean).astype(np.float64) if self.config.noise == "bernoulli" else mean + draw
        reward = np.where(valid, noisy, 0.0)
        chosen = np.flatnonzero(valid)
        self._ledger.record(rows[chosen], actions[chosen], reward[chosen], step[chosen])
        self._step[rows] += 1
        self._total[rows] += reward
        info = {"raw_reward": reward, "mean_reward": mean, "invalid": ~valid}
        return reward, self._step[rows] >= self.config.horizon, info

    def _mask(self) -> NDArray[np.int8]:
        return (self._arrival <= self._step[:, None]).astype(np.int8)

    def _observe(self, out: Arrays) -> None:
        self._ledger.write(out["item"], self._columns, self._step)
        out["context"][:] = (1 - self._step / self.config.horizon)[:, None]
        out["mask"][:] = self._mask()

    def _frame(self, row: int) -> str | NDArray[np.uint8]:
        return render_arms(self, row, self._ledger, int(self._step[row]), float(self._total[row]))

    # ----------------------------------------------------------------- truth
    def optimal_plan(self, rows: Rows) -> NDArray[np.int64]:
        """How often an optimal policy pulls each arm in each of ``rows``: (rows, n_arms), summing to ≤ the horizon.

        Falling payoffs: the largest marginals, taken greedily under the limits that late arrival sets (arms that
        arrive at s or later share horizon − s pulls; such limits are laminar, so greedy is exact). Rising payoffs:
        dynamic programming over counts, O(n_arms · horizon²) per row.
        """
        solve = self._greedy_counts if self.config.rise == 0 else self._dp_counts
        return np.stack([solve(int(row)) for row in rows])

    def optimum(self) -> NDArray[np.float64]:
        """Noise-free return of :meth:`optimal_plan`."""
        counts = self.optimal_plan(np.arange(self.num_envs))
        pulls = np.arange(self.config.horizon)
        totals = np.zeros(self.num_envs)
        for row in range(self.num_envs):
            for arm in range(self.config.n_arms):
                totals[row] += self._mean(row, arm, pulls[: counts[row, arm]]).sum()
        return totals

    def _marginals(self, row: int) -> NDArray[np.float64]:
        """(n_arms, horizon); an arm can't be pulled more often than there are steps after its arrival."""
        cfg = self.config
        pulls = np.arange(cfg.horizon)
        values = self._mean(row, np.arange(cfg.n_arms)[:, None], pulls)
        return np.where(pulls < (cfg.horizon - self._arrival[row])[:, None], values, -np.inf)

    def _greedy_counts(self, row: int) -> NDArray[np.int64]:
        cfg = self.config
        marginals = self._marginals(row)
        starts = np.unique(self._arrival[row])
        room = cfg.horizon - starts
        counts = np.zeros(cfg.n_arms, np.int64)
        for index in np.argsort(-marginals, axis=None, kind="stable"):
            arm, pull = divmod(int(index), cfg.horizon)
            limits = starts <= self._arrival[row, arm]
            if room[0] == 0 or marginals[arm, pull] == -np.inf:
                break
            if (room[limits] > 0).all():
                room[limits] -= 1
                counts[arm] += 1
        return counts

    def _dp_counts(self, row: int) -> NDArray[np.int64]:
        cfg = self.config
        gain = np.hstack([np.zeros((cfg.n_arms, 1)), np.cumsum(self._marginals(row), axis=1)])
        order = np.argsort(-self._arrival[row], kind="stable")  # the latest share the least room
        best = np.full(cfg.horizon + 1, -np.inf)
        best[0] = 0.0
        choices = []
        for arm in order:
            cap = cfg.horizon - self._arrival[row, arm]
            table = np.full((cfg.horizon + 1, cfg.horizon + 1), -np.inf)  # [pulls so far, pulls of this arm]
            for count in range(cap + 1):
                table[count : cap + 1, count] = best[: cap + 1 - count] + gain[arm, count]
            choices.append(table.argmax(1))
            best = table.max(1)
        used = int(best.argmax())
        counts = np.zeros(cfg.n_arms, np.int64)
        for arm, choice in zip(order[::-1], reversed(choices), strict=True):
            counts[arm] = choice[used]
            used -= int(choice[used])
        return counts


class RottingArmsEnv(CurationEnv):
    """Sources of data that wear out: which one to draw from next.

    ## Description
    Each arm is a source. The n-th pull (n = 0, 1, …) of arm d pays a_d · exp(−n/τ_d) plus noise: the more has been
    taken from a source, the less its next sample adds. Payoffs a_d and half-lives τ_d · ln 2 are drawn anew each
    episode and hidden. Optionally arms arrive mid-episode, or pay little before they pay well. After Levine, Crammer
    and Mannor, "Rotting Bandits" (NeurIPS 2017), and Heidari, Kearns and Roth, "Tight Policy Regret Bounds for
    Improving and Decaying Bandits" (IJCAI 2016).

    ## Action space
    ``Discrete(n_arms)``: the arm of this pull. An arm that hasn't arrived is masked; choosing it pays 0, uses the
    step and sets ``info["invalid"]``.

    ## Observation space
    | key | columns |
    |---|---|
    | item (n_arms, 7) | pulls, labels_spent, flags (0), mean_reward, last_reward, steps_since_pull, samples_left (1) |
    | context (2,) | budget_left, steps_left |
    | mask (n_arms,) | 1 when the arm has arrived |

    Divide-by bounds are in ``env.task``.

    ## Rewards
    The noisy payoff. ``info["raw_reward"]`` is the same number, ``info["mean_reward"]`` its expectation.

    ## Starting state
    No arm pulled.

    ## Episode end
    Terminated after ``horizon`` pulls. Never truncated.

    ## Known optimum
    ``optimum()``: the ``horizon`` largest marginals; greedy under laminar limits when arms arrive late; dynamic
    programming when payoffs rise. It is attainable only with a, τ known.

    ## Arguments
    | name | default | meaning |
    |---|---|---|
    | n_arms | 10 | arms |
    | horizon | 200 | pulls in an episode |
    | payoff | (0.3, 1.0) | a_d ~ U(low, high), within [0, 1] |
    | half_life | (5, 50) | pulls after which an arm pays half, log-uniform; null: arms never wear out |
    | rise | 0 | payoff is multiplied by 1 − exp(−(n+1)/r_d), r_d ~ rise · U(0.5, 1.5); 0: no rise |
    | late_arms | 0 | how many arms arrive at a step drawn from 1 … horizon/2 − 1 |
    | noise | gaussian | gaussian (clipped at 4σ), bernoulli (pays 1 with the payoff as probability) or none |
    | noise_scale | 0.1 | σ of gaussian noise |
    | means | null | fixed a_d instead of drawn ones |

    ## Vectorized
    ``gymnasium.make_vec("CurationGym/RottingArms-v0", num_envs=…)`` gives the native batched core.

    ## Version history
    v0: initial version.
    """

    core_class = RottingArmsVectorEnv

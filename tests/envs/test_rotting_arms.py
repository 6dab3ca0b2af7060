"""RottingArms: its optimum from first principles, and the regret that bandits have on stationary arms."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.bandits import UCB1, ThompsonBeta
from baselines.reference import Hindsight
from curation_gym.envs.rotting_arms import RottingArmsVectorEnv
from curation_gym.evaluation.rollout import evaluate

# (arms, UCB1 regret at 10⁴ pulls over 200 runs: mean, s.e.; Beta-Thompson: mean), measured independently of this code.
REGRET = [
    ((0.9, 0.6), (47.2, 0.8), 5.5),
    ((0.9, 0.8), (87.1, 1.1), 9.6),
    ((0.55, 0.45), (86.4, 1.5), 20.5),
    ((0.9, *[0.6] * 9), (410.0, 2.0), 47.2),
    ((0.9, *[0.8] * 9), (596.0, 2.0), 81.6),
]


def regret(means: tuple[float, ...], policy_class: type) -> np.ndarray:
    """Expected regret of 200 runs of 10⁴ pulls."""
    env = RottingArmsVectorEnv(
        200, n_arms=len(means), means=means, half_life=None, noise="bernoulli", horizon=10_000, copy=False
    )
    policy, earned = policy_class(env.task, seed=1), np.zeros(200)
    observation, _ = env.reset(seed=0)
    for _ in range(10_000):
        arms, _ = policy.predict(observation)
        observation, _, _, _, info = env.step(arms)
        earned += info["mean_reward"]
    return 10_000 * max(means) - earned


@pytest.mark.parametrize(("means", "ucb1", "thompson"), REGRET)
def test_regret_on_stationary_arms(means: tuple, ucb1: tuple[float, float], thompson: float) -> None:
    ours = regret(means, UCB1)
    error = ours.std(ddof=1) / np.sqrt(200)
    assert abs(ours.mean() - ucb1[0]) < 4 * np.hypot(error, ucb1[1])
    ours = regret(means, ThompsonBeta)
    error = ours.std(ddof=1) / np.sqrt(200)
    assert abs(ours.mean() - thompson) < 4 * error * np.sqrt(2)


def naive_best(env: RottingArmsVectorEnv, row: int) -> float:
    """The best of all action sequences."""
    cfg, best = env.config, 0.0
    for arms in itertools.product(range(cfg.n_arms), repeat=cfg.horizon):
        pulls, total = [0] * cfg.n_arms, 0.0
        for t, arm in enumerate(arms):
            if t >= env._arrival[row, arm]:
                n = pulls[arm]
                pay = env._payoff[row, arm] * np.exp(-n / env._tau[row, arm])
                if cfg.rise > 0:
                    pay *= 1 - np.exp(-(n + 1) / env._rise[row, arm])
                total += pay
                pulls[arm] += 1
        best = max(best, total)
    return best


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), rise=st.sampled_from([0.0, 2.0]), late=st.integers(0, 2))
def test_the_optimum_is_the_best_of_all_sequences(seed: int, rise: float, late: int) -> None:
    env = RottingArmsVectorEnv(1, n_arms=3, horizon=6, half_life=(1.0, 6.0), rise=rise, late_arms=late, noise="none")
    env.reset(seed=seed)
    assert env.optimum()[0] == pytest.approx(naive_best(env, 0))


@pytest.mark.parametrize("late", [0, 3])
def test_greedy_and_dynamic_programming_agree(late: int) -> None:
    env = RottingArmsVectorEnv(4, n_arms=6, horizon=60, late_arms=late)
    env.reset(seed=2)
    for row in range(4):
        marginals = env._marginals(row)
        greedy, dp = env._greedy_counts(row), env._dp_counts(row)
        value = [sum(marginals[a, :n].sum() for a, n in enumerate(counts)) for counts in (greedy, dp)]
        assert value[0] == pytest.approx(value[1])


@pytest.mark.parametrize("kwargs", [{}, {"late_arms": 4}, {"rise": 8.0}, {"rise": 8.0, "late_arms": 4}])
def test_the_reference_attains_the_optimum(kwargs: dict) -> None:
    kwargs = {"horizon": 60, **kwargs}
    task = RottingArmsVectorEnv(1, **kwargs).task
    episodes = evaluate(Hindsight(task), "CurationGym/RottingArms-v0", kwargs, list(range(8)), reference=True)
    np.testing.assert_allclose(episodes.noise_free, episodes.optimum, rtol=1e-9)
    assert (episodes.invalid == 0).all()


@pytest.mark.parametrize("noise", ["gaussian", "bernoulli", "none"])
@pytest.mark.parametrize("rise", [0.0, 5.0])
def test_it_does_what_a_loop_does(noise: str, rise: float) -> None:
    env = RottingArmsVectorEnv(3, n_arms=5, horizon=40, late_arms=3, noise=noise, rise=rise, noise_scale=0.2)
    env.reset(seed=4)
    drawn = {name: getattr(env, f"_{name}").copy() for name in ("payoff", "tau", "rise", "arrival", "draws")}
    rng = np.random.default_rng(0)
    pulls = np.zeros((3, 5), int)
    for t in range(40):
        np.testing.assert_array_equal(env.action_masks(), drawn["arrival"] <= t)
        arms = rng.integers(5, size=3)
        _, rewards, terminated, _, info = env.step(arms)
        for row, arm in enumerate(arms):
            expected, here = 0.0, drawn["arrival"][row, arm] <= t
            if here:
                n = pulls[row, arm]
                mean = drawn["payoff"][row, arm] * np.exp(-n / drawn["tau"][row, arm])
                if rise:
                    mean *= 1 - np.exp(-(n + 1) / drawn["rise"][row, arm])
                draw = drawn["draws"][row, t]
                expected = {"gaussian": mean + draw, "bernoulli": float(draw < mean), "none": mean}[noise]
                pulls[row, arm] += 1
            assert rewards[row] == pytest.approx(expected)
            assert info["invalid"][row] == (not here)
        assert (terminated == (t == 39)).all()


def test_columns_tell_what_happened() -> None:
    env = RottingArmsVectorEnv(2, n_arms=3, horizon=10, noise_scale=0.05)
    observation, _ = env.reset(seed=0)
    earned: list[list[list[float]]] = [[[] for _ in range(3)] for _ in range(2)]
    pulls = np.array([[0, 1], [0, 2], [1, 2], [0, 2], [2, 0]])
    for arms in pulls:
        observation, rewards, *_ = env.step(arms)
        for row in range(2):
            earned[row][arms[row]].append(rewards[row])
    read = env.task.read
    for row, arm in itertools.product(range(2), range(3)):
        history = earned[row][arm]
        assert read(observation, "pulls")[row, arm] == pytest.approx(len(history))
        assert read(observation, "mean_reward")[row, arm] == pytest.approx(np.mean(history) if history else 0, abs=1e-5)
        assert read(observation, "last_reward")[row, arm] == pytest.approx(history[-1] if history else 0, abs=1e-5)
        steps = np.flatnonzero(pulls[:, row] == arm)
        since = 5 - steps[-1] if len(steps) else 10
        assert read(observation, "steps_since_pull")[row, arm] == pytest.approx(since)
    np.testing.assert_allclose(read(observation, "steps_left"), 5)


def test_an_arm_that_has_not_arrived_pays_nothing_and_costs_a_pull() -> None:
    env = RottingArmsVectorEnv(1, n_arms=3, horizon=40, late_arms=2)
    env.reset(seed=0)
    masked = int(np.argmin(env.action_masks()[0]))
    observation, reward, _, _, info = env.step(np.array([masked]))
    assert reward[0] == 0
    assert info["invalid"][0]
    assert env.task.read(observation, "steps_left")[0] == pytest.approx(39)
    assert env.task.read(observation, "pulls")[0].sum() == 0


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"payoff": (0.9, 0.2)}, "payoff must be"),
        ({"half_life": (0, 3)}, "half_life must be"),
        ({"late_arms": 10}, "late_arms must be < n_arms = 10"),
        ({"means": (0.2,)}, "means must be n_arms = 10 numbers"),
        ({"noise": "loud"}, "'noise' = 'loud'"),
    ],
)
def test_bad_arguments(kwargs: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RottingArmsVectorEnv(1, **kwargs)

from typing import Any

import numpy as np
import pytest

from baselines.random import Random
from baselines.reference import Hindsight
from curation_gym.envs.base import CurationVectorEnv
from curation_gym.envs.rotting_arms import RottingArmsEnv, RottingArmsVectorEnv
from curation_gym.evaluation.rollout import evaluate, make_core, task_of
from curation_gym.policy import PolicyError
from curation_gym.scenario import Metric

ENV = "CurationGym/RottingArms-v0"
COVERAGE = "CurationGym/CoverageSelection-v0"
KWARGS = {"n_arms": 4, "horizon": 12}
SEEDS = [11, 5, 7, 3, 2]


class FirstArm:
    """Always the same action, so that a row's episode doesn't depend on the batch."""

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        return np.zeros(len(observation["mask"]), np.int64), state


class Recorder(FirstArm):
    def __init__(self) -> None:
        self.starts: list[list[bool]] = []
        self.states: list[object] = []
        self.deterministic: set[bool] = set()

    def predict(self, observation, state=None, episode_start=None, deterministic=False):
        self.starts.append(episode_start.tolist())
        self.states.append(state)
        self.deterministic.add(deterministic)
        return super().predict(observation)[0], (state or 0) + 1


def by_hand(seed: int) -> tuple[float, float, list[float]]:
    env = RottingArmsEnv(**KWARGS)
    env.reset(seed=seed)
    total, expected, course = 0.0, 0.0, []
    ended = False
    while not ended:
        _, reward, ended, _, info = env.step(0)
        total, expected = total + reward, expected + info["mean_reward"]
        course.append(info["mean_reward"])
    return total, expected, course


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_each_seed_is_the_scalar_episode_of_that_seed(batch: int) -> None:
    episodes = evaluate(FirstArm(), ENV, KWARGS, SEEDS, curves=["mean_reward"], batch=batch)
    assert episodes.seeds == tuple(SEEDS)
    assert episodes.unit == "pulls"
    for index, seed in enumerate(SEEDS):
        total, expected, course = by_hand(seed)
        assert episodes.returns[index] == pytest.approx(total)
        assert episodes.noise_free[index] == pytest.approx(expected)
        steps, values = episodes.curves["mean_reward"][index]
        assert steps.tolist() == list(range(1, 13))
        assert values == pytest.approx(course)
    assert episodes.lengths.tolist() == [12] * 5
    assert episodes.spent.tolist() == [12] * 5


def test_optimum_is_that_of_the_episode_played() -> None:
    episodes = evaluate(FirstArm(), ENV, KWARGS, SEEDS, batch=2)
    core = make_core(ENV, KWARGS, len(SEEDS))
    core.reset(seed=list(SEEDS))
    assert episodes.optimum == pytest.approx(core.optimum())
    assert (episodes.noise_free <= episodes.optimum + 1e-9).all()


def test_rows_that_end_early_are_counted_to_their_end_only() -> None:
    """A budget of 3 is spent at different steps by rows; nothing of a row's next episode may be counted."""
    kwargs = {
        "budget": 3,
        "horizon": 8,
        "n_items": 4,
        "pool": {"builder": "synthetic", "n_samples": 64, "n_clusters": 4},
    }
    task = task_of(COVERAGE, kwargs)
    episodes = evaluate(Random(task, seed=0, rate=0.3), COVERAGE, kwargs, list(range(20)), curves=["selected"])
    assert len(set(episodes.lengths.tolist())) > 1
    for index in range(20):
        steps, selected = episodes.curves["selected"][index]
        assert len(steps) == episodes.lengths[index]
        assert selected.sum() == episodes.spent[index] <= 3
        assert steps.tolist() == np.cumsum(selected).tolist()


def test_a_reference_is_bound_and_reaches_the_optimum() -> None:
    policy = Hindsight(task_of(ENV, KWARGS))
    episodes = evaluate(policy, ENV, KWARGS, SEEDS, batch=2, reference=True)
    assert episodes.noise_free == pytest.approx(episodes.optimum)
    assert isinstance(policy.core, CurationVectorEnv)


def test_nothing_sees_hidden_truth_without_being_called_a_reference() -> None:
    class Peeks(FirstArm):
        def bind(self, core):
            raise AssertionError("was shown hidden truth")

    with pytest.raises(PolicyError, match=r"Peeks has a bind method, which shows hidden truth; pass reference=True"):
        evaluate(Peeks(), ENV, KWARGS, [1])
    with pytest.raises(PolicyError, match="FirstArm has no bind method, so it is no reference"):
        evaluate(FirstArm(), ENV, KWARGS, [1], reference=True)


def test_ids_of_another_pool_are_refused() -> None:
    def kwargs(seed: int, observation: str) -> dict:
        pool = {"builder": "synthetic", "n_samples": 64, "n_clusters": 4, "seed": seed}
        return {"pool": pool, "n_items": 4, "horizon": 5, "budget": 5, "observation": observation}

    stranger = Random(task_of(COVERAGE, kwargs(1, "ids")), seed=0)
    assert evaluate(stranger, COVERAGE, kwargs(1, "ids"), [1]).lengths.tolist() == [5]
    with pytest.raises(PolicyError, match=r"Random was constructed for the ids of pool \w+, .* sends ids of pool \w+"):
        evaluate(stranger, COVERAGE, kwargs(2, "ids"), [1])
    dense = Random(task_of(COVERAGE, kwargs(1, "dense")), seed=0)
    assert len(evaluate(dense, COVERAGE, kwargs(2, "dense"), [1]).lengths) == 1, "columns carry their own meaning"


def test_an_error_in_predict_names_the_policy() -> None:
    class Misshapen(FirstArm):
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return observation["item"] @ np.ones((2, 2)), state

    with pytest.raises(PolicyError, match=r"policy .*Misshapen failed to predict: ValueError: matmul"):
        evaluate(Misshapen(), ENV, KWARGS, [1])


def test_state_episode_starts_and_determinism_reach_the_policy() -> None:
    policy = Recorder()
    evaluate(policy, ENV, KWARGS, [1, 2], deterministic=True)
    assert policy.starts == [[True, True], *[[False, False]] * 11]
    assert policy.states == [None, *range(1, 12)]
    assert policy.deterministic == {True}


def test_masked_choices_are_counted() -> None:
    kwargs = KWARGS | {"late_arms": 3}
    episodes = evaluate(FirstArm(), ENV, kwargs, SEEDS)
    late = [int(make_core(ENV, kwargs).reset(seed=[seed])[0]["mask"][0, 0] == 0) for seed in SEEDS]
    assert (episodes.invalid > 0).tolist() == [bool(x) for x in late]
    assert any(late)


def test_an_invalid_action_names_the_policy() -> None:
    class OutOfRange(FirstArm):
        def predict(self, observation, state=None, episode_start=None, deterministic=False):
            return np.full(len(observation["mask"]), 4), state

    with pytest.raises(PolicyError, match=r"OutOfRange.*action at \(0,\) must be in 0 … 3, actual value: 4"):
        evaluate(OutOfRange(), ENV, KWARGS, [1])


def test_an_unknown_curve_lists_what_there_is() -> None:
    with pytest.raises(KeyError, match=r"no info 'acuracy' to record; it has .*mean_reward.*raw_reward"):
        evaluate(FirstArm(), ENV, KWARGS, [1], curves=["acuracy"])


def test_a_curve_that_was_never_measured_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    step = RottingArmsVectorEnv.step

    def unmeasured(self: Any, actions: Any) -> Any:
        *rest, info = step(self, actions)
        return *rest, info | {"raw_reward": info["raw_reward"] * np.nan}

    monkeypatch.setattr(RottingArmsVectorEnv, "step", unmeasured)
    with pytest.raises(KeyError, match="measured 'raw_reward' in no step of 2 episodes"):
        evaluate(FirstArm(), ENV, KWARGS, [1, 2], curves=["raw_reward"])


@pytest.mark.parametrize(("seeds", "batch"), [([], 4), ([1], 0)])
def test_nothing_to_evaluate_is_refused(seeds: list[int], batch: int) -> None:
    with pytest.raises(ValueError, match="evaluate needs seeds and batch >= 1"):
        evaluate(FirstArm(), ENV, KWARGS, seeds, batch=batch)


def test_metrics() -> None:
    episodes = evaluate(FirstArm(), ENV, KWARGS, SEEDS, curves=["mean_reward", "raw_reward"])
    assert episodes.score(Metric()).tolist() == episodes.noise_free.tolist()
    summed = Metric(name="total", info="mean_reward")
    assert episodes.score(summed) == pytest.approx(episodes.noise_free)
    last = episodes.score(Metric(name="final", info="mean_reward", aggregate="last"))
    area = episodes.score(Metric(name="area", info="mean_reward", aggregate="area"))
    for index, (_, values) in enumerate(episodes.curves["mean_reward"]):
        assert last[index] == values[-1]
        assert area[index] == pytest.approx(values[:-1].mean())  # the last value begins where the episode ends

"""The task: columns in natural units, finite spaces, and clear errors."""

import numpy as np
import pytest
from gymnasium import spaces

from curation_gym.envs.coverage_selection import CoverageSelectionVectorEnv
from curation_gym.pools import Pool
from curation_gym.seeding import ROLES, seeds_for
from curation_gym.task import Column, Task


def make(**changes: object) -> Task:
    fields = {
        "env_id": "Test-v0",
        "family": "selection",
        "item": (Column("embedding_0", 1, -2, 2), Column("safety"), Column("novelty"), Column("log_length", 7.0)),
        "context": (Column("budget_left", 128),),
        "dynamic": (2, 3),
        "n_items": 3,
        "horizon": 5,
        "budget": 128,
        "score_weights": {"safety": 1.0},
        "action_space": spaces.Box(0, 1, (3,)),
    }
    return Task(**(fields | changes))


def test_columns_are_read_in_natural_units() -> None:
    task = make()
    observation = {"item": np.full((2, 3, 4), 0.5, np.float32), "context": np.full((2, 1), 0.25, np.float32)}
    np.testing.assert_allclose(task.read(observation, "log_length"), np.full((2, 3), 3.5))
    np.testing.assert_allclose(task.read(observation, "budget_left"), [32, 32])
    np.testing.assert_allclose(task.score(observation), np.full((2, 3), 0.5))


def test_the_score_is_by_the_weights_of_the_episode_where_the_context_tells_them() -> None:
    item = (Column("safety"), Column("utility"))
    context = (Column("budget_left", 128), Column("weight_safety"), Column("weight_utility"))
    task = make(item=item, context=context, score_weights={"safety": 0.5, "utility": 0.5}, dynamic=(0, 0))
    observation = {
        "item": np.array([[[0.2, 1.0]], [[0.2, 1.0]]], np.float32),
        "context": np.array([[1, 0.75, 0.25], [1, 0.0, 1.0]], np.float32),
    }
    np.testing.assert_allclose(task.score(observation), [[0.4], [1.0]], rtol=1e-6)


def test_every_bound_is_finite_and_ids_send_what_changes() -> None:
    dense, ids = make().observation_space, make(ids=True).observation_space
    assert dense["item"].shape == (3, 4)
    assert dense["item"].low[0].tolist() == [-2, 0, 0, 0]
    assert ids["item"].dtype == np.int32
    assert ids["dynamic"].shape == (3, 1)
    for space in (*dense.values(), *ids.values()):
        if isinstance(space, spaces.Box):
            assert np.isfinite(space.low).all()
            assert np.isfinite(space.high).all()


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="no column 'safty'; it has safety, novelty, log_length, budget_left"):
        make().read({}, "safty")
    with pytest.raises(KeyError, match="column 'safety' is not sent in ids mode"):
        make(ids=True).read({}, "safety")
    with pytest.raises(KeyError, match="has no signals to score by"):
        make(score_weights={}).score({})
    with pytest.raises(ValueError, match="two columns are called 'safety'"):
        make(context=(Column("safety"),))


def test_a_signal_that_would_shadow_a_state_column_is_refused(rng: np.random.Generator) -> None:
    hidden = {"cluster": np.zeros(50, int), "cluster_weight": np.ones(50), "quality": rng.random(50)}
    signals = {"utility": rng.random(50), "novelty": rng.random(50)}
    pool = Pool(rng.random((50, 2), dtype=np.float32), signals, hidden=hidden)
    with pytest.raises(ValueError, match="two columns are called 'novelty'"):
        CoverageSelectionVectorEnv(1, pool=pool, n_items=4, horizon=3, budget=5)


def test_seeds_of_different_purposes_and_runs_never_meet() -> None:
    seen = [seed for role in ROLES for run in range(5) for seed in seeds_for(0, role, run, 200)]
    assert len(set(seen)) == len(seen)
    assert seeds_for(0, "training", 3, 10)[:4] == seeds_for(0, "training", 3, 4)
    assert all(0 <= seed < 2**63 for seed in seen)


@pytest.mark.parametrize(("master", "role", "run"), [(0, "testing", 0), (-1, "training", 0), (0, "training", -2)])
def test_bad_seeds(master: int, role: str, run: int) -> None:
    with pytest.raises(ValueError, match="actual value"):
        seeds_for(master, role, run)

from itertools import combinations
from typing import Any, ClassVar

import numpy as np
import pytest

from baselines import tuning
from baselines.tuning import search_space, tune
from curation_gym.evaluation.rollout import task_of
from curation_gym.policy import PolicyError
from curation_gym.scenario import Scenario, load_scenario
from curation_gym.seeding import ROLES, seeds_for
from curation_gym.task import Task

SCENARIO = Scenario(
    name="trial",
    env="CurationGym/RottingArms-v0",
    kwargs={"n_arms": 2, "horizon": 10, "means": [0.9, 0.1], "half_life": None, "noise": "none"},
    overrides={"tuning": {"horizon": 6}},
)
OWN = f"{__name__}:Preference"
TASK = task_of(SCENARIO.env, SCENARIO.kwargs)


class Preference:
    """Pulls arm 0 with the given probability, so more is better."""

    search_space: ClassVar[dict[str, tuple[float, float]]] = {"first": (0.0, 1.0)}

    def __init__(self, task: Task, *, seed: int | None = None, first: float = 0.0) -> None:
        assert task.horizon == 6, "the tuning overrides apply"
        self.first, self.rng = first, np.random.default_rng(seed)

    def predict(self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False):
        return (self.rng.random(len(observation["mask"])) >= self.first).astype(np.int64), state


class Varied(Preference):
    """A hyperparameter of every kind."""

    search_space: ClassVar[dict[str, Any]] = {"first": (0.0, 1.0), "rate": (1e-4, 1.0, "log"), "size": (2, 4, "int")}

    def __init__(self, task: Task, *, seed: int | None = None, first: float = 0.0, rate: float = 0.1, size: int = 3):
        super().__init__(task, seed=seed, first=first)
        self.rate, self.size = rate, size
        assert isinstance(size, int), "a class that needs an integer gets one"


class Untunable(Preference):
    search_space: ClassVar[dict[str, tuple[float, float]]] = {}


def test_the_best_trial_wins() -> None:
    found = tune(OWN, SCENARIO, n_trials=12, n_seeds=8)
    assert len(found.trials) == 12
    assert found.trials.columns.tolist() == ["first", "score"]
    assert found.trials["first"][0] == 0.0, "the first trial is the default"
    best = found.trials.loc[found.trials["score"].idxmax()]
    assert found.hyperparameters == {"first": best["first"]}
    assert best["first"] == found.trials["first"].max() > 0.7
    assert found.trials["first"].between(0, 1).all()


def test_defaults_win_when_nothing_is_better() -> None:
    assert tune(OWN, SCENARIO, n_trials=1, n_seeds=2).hyperparameters == {}


def test_a_range_is_uniform_log_uniform_or_of_integers() -> None:
    found = tune(f"{__name__}:Varied", SCENARIO, n_trials=200, n_seeds=1)
    drawn = found.trials[1:]
    assert drawn["first"].mean() == pytest.approx(0.5, abs=0.1)
    assert set(drawn["size"]) == {2, 3, 4}, "both ends are included"
    assert drawn["rate"].between(1e-4, 1).all()
    assert np.log10(drawn["rate"]).mean() == pytest.approx(-2, abs=0.3)
    assert isinstance(found.hyperparameters["size"], int)


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (0.0, 1.0, "log"), (0.5, 3, "int"), (0, 3, "integer")])
def test_a_range_that_cannot_be_drawn_from_is_refused(bounds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Preference, "search_space", {"first": bounds})
    with pytest.raises(PolicyError, match=r"search_space\['first'\] must be .* actual value: \("):
        search_space(OWN, TASK)


def test_a_search_repeats_and_depends_on_the_master_seed() -> None:
    one, same, other = (tune(OWN, SCENARIO, n_trials=4, n_seeds=2, master=m).trials for m in (0, 0, 1))
    assert one.equals(same)
    assert not one.equals(other)


def test_only_tuning_seeds_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []

    def spy(policy: Any, env_id: str, kwargs: Any, seeds: list[int], **rest: Any) -> Any:
        used.extend(seeds)
        return evaluate(policy, env_id, kwargs, seeds, **rest)

    evaluate = tuning.evaluate
    monkeypatch.setattr(tuning, "evaluate", spy)
    tune(OWN, SCENARIO, n_trials=3, n_seeds=4)
    assert used == seeds_for(0, "tuning", n=4) * 3


def test_what_learns_is_not_tuned_by_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spy(policy: Any, env_id: str, kwargs: Any, *rest: Any, **options: Any) -> Any:
        asked.append(kwargs["evaluate_on"])
        return evaluate(policy, env_id, kwargs, *rest, **options)

    evaluate = tuning.evaluate
    monkeypatch.setattr(tuning, "evaluate", spy)
    tune("agents.bandits:UCB1", load_scenario("digits"), n_trials=2, n_seeds=2)
    assert asked == ["validation"] * 2


def test_the_roles_share_no_seed() -> None:
    drawn = {role: {s for run in range(50) for s in seeds_for(0, role, run, 200)} for role in ROLES}
    assert all(len(seeds) == 50 * 200 for seeds in drawn.values())
    for one, other in combinations(ROLES, 2):
        assert not drawn[one] & drawn[other]


def test_what_has_no_search_space_is_refused() -> None:
    name = f"{__name__}:Untunable"
    assert search_space(name, TASK) == {}
    assert search_space("some/path.zip", TASK) == {}
    with pytest.raises(PolicyError, match="nothing to tune"):
        tune(name, SCENARIO, n_trials=2, n_seeds=2)


@pytest.mark.parametrize("numbers", [{"n_trials": 0, "n_seeds": 1}, {"n_trials": 1, "n_seeds": 0}])
def test_at_least_one_trial_and_seed(numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be >= 1"):
        tune(OWN, SCENARIO, **numbers)

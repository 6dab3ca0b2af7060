from pathlib import Path
from typing import Any

import pytest
import yaml

from curation_gym.config import ConfigError
from curation_gym.scenario import Metric, Scenario, load_scenario, scenario_directory, scenario_names

GOOD: dict[str, Any] = {
    "name": "trial",
    "env": "CurationGym/RottingArms-v0",
    "kwargs": {"n_arms": 4, "horizon": 20},
    "overrides": {"evaluation": {"horizon": 40}},
    "agents": {"ppo": {"total_timesteps": 100, "n_envs": 2, "hyperparameters": {"learning_rate": 0.001}}},
}


def written(tmp_path: Path, **changes: Any) -> Path:
    path = tmp_path / "trial.yaml"
    path.write_text(yaml.safe_dump(GOOD | changes), encoding="utf-8")
    return path


def test_every_packaged_scenario_is_valid_and_named_after_its_file() -> None:
    names = scenario_names()
    assert {"rotting_arms", "rotting_arms_late", "rotting_arms_rising", "rotting_arms_stationary"} <= set(names)
    for name in names:
        scenario = load_scenario(name)
        assert scenario.name == name
        assert scenario.description


def test_a_scenario_from_a_path(tmp_path: Path) -> None:
    scenario = load_scenario(written(tmp_path))
    assert scenario.kwargs_for("training") == {"n_arms": 4, "horizon": 20}
    assert scenario.kwargs_for("evaluation") == {"n_arms": 4, "horizon": 40}
    assert scenario.kwargs_for("hidden") == scenario.kwargs
    assert scenario.agents["ppo"].n_envs == 2
    assert scenario.metric == Metric()


def test_overrides_merge_key_by_key() -> None:
    scenario = Scenario(
        name="x",
        env="e",
        kwargs={"pool": {"builder": "synthetic", "seed": 1, "n_groups": 8}},
        overrides={"evaluation": {"pool": {"seed": 2}}},
    )
    assert scenario.kwargs_for("evaluation") == {"pool": {"builder": "synthetic", "seed": 2, "n_groups": 8}}
    assert scenario.kwargs_for("training") == {"pool": {"builder": "synthetic", "seed": 1, "n_groups": 8}}


def test_what_is_recorded() -> None:
    curve = Metric(name="area", info="test_accuracy", aggregate="area")
    assert Scenario(name="x", env="e").recorded == ()
    assert Scenario(name="x", env="e", metric=curve, curves=("loss", "test_accuracy")).recorded == (
        "test_accuracy",
        "loss",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kwarg": {}}, "unknown key 'kwarg'; allowed keys: name, description, env, kwargs"),
        ({"kwargs": {"horizont": 3}}, "kwargs: unknown key 'horizont'; allowed keys: n_arms, horizon, payoff"),
        ({"kwargs": {"n_arms": "many"}}, "kwargs: 'n_arms' = 'many': Input should be a valid integer"),
        ({"kwargs": {"horizon": 0}}, "kwargs: 'horizon' = 0: Input should be greater than or equal to 1"),
        ({"kwargs": {"noise": "pink"}}, "'noise' = 'pink': Input should be 'gaussian', 'bernoulli' or 'none'"),
        ({"kwargs": {"late_arms": 30}}, "kwargs: late_arms must be < n_arms = 10, actual value: 30"),
        ({"overrides": {"tuning": {"horizon": -1}}}, "kwargs with overrides.tuning: 'horizon' = -1"),
        ({"overrides": {"test": {}}}, "unknown key 'overrides.test'; allowed keys: training, tuning, evaluation"),
        ({"env": "CurationGym/Nope-v0"}, "'env' = 'CurationGym/Nope-v0'.*known: .*CurationGym/RottingArms-v0"),
        ({"env": "CartPole-v1"}, "'env' = 'CartPole-v1' has no native vector environment with a config_model"),
        ({"metric": {"aggregate": "median"}}, "'metric.aggregate' = 'median': .*'sum', 'last' or 'area'"),
        ({"metric": {"targets": [0.9]}}, "targets need a curve"),
        (
            {"metric": {"name": "test_accuracy", "info": "test_accuracy", "aggregate": "area"}},
            "name must differ from info",
        ),
        ({"agents": {"ppo": {"total_timesteps": 0}}}, "'agents.ppo.total_timesteps' = 0: .*greater than"),
        (
            {"agents": {"ppo": {"total_timesteps": 1, "lr": 1}}},
            "'agents.ppo.lr'; allowed keys: total_timesteps, n_envs, hyperparameters",
        ),
        ({"agents": {"ppo": {}}}, "key 'agents.ppo.total_timesteps' is missing"),
        ({"name": "Two words"}, "'name' = 'Two words'"),
    ],
)
def test_a_mistake_is_told_with_file_key_and_what_is_allowed(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        load_scenario(path)
    assert str(path) in str(caught.value)


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_scenario(written(tmp_path, kwargs={"horizon": 0, "n_arms": 0}))
    assert len(str(caught.value).splitlines()) == 2


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no scenario 'nope'; known: .*rotting_arms, .*or name the path"):
        load_scenario("nope")


@pytest.mark.parametrize(("text", "message"), [("- a\n", "expected a mapping"), ("a: [", "not valid YAML")])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_scenario(path)
    with pytest.raises(ConfigError, match="no such file"):
        load_scenario(tmp_path / "missing.yaml")


def test_the_wheel_has_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "curation_gym"
    (package / "envs_configs").mkdir(parents=True)
    (package / "envs_configs" / "only.yaml").write_text(yaml.safe_dump(GOOD | {"name": "only"}))
    monkeypatch.setattr("curation_gym.scenario.__file__", str(package / "scenario.py"))
    assert scenario_directory() == package / "envs_configs"
    assert scenario_names() == ["only"]
    assert load_scenario("only").name == "only"

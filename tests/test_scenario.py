from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import yaml

import curation_gym  # noqa: F401 - registers the environments
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
        overrides={"evaluation": {"pool": {"seed": 2}}, "training": {"near": 0.3}, "imitation": {"pool": {"seed": 3}}},
    )
    assert scenario.kwargs_for("evaluation") == {"pool": {"builder": "synthetic", "seed": 2, "n_groups": 8}}
    training = {"pool": {"builder": "synthetic", "seed": 1, "n_groups": 8}, "near": 0.3}
    assert scenario.kwargs_for("training") == training
    assert scenario.kwargs_for("imitation") == {"pool": training["pool"] | {"seed": 3}, "near": 0.3}


def test_what_is_recorded() -> None:
    curve = Metric(name="area", info="test_accuracy", aggregate="area")
    assert Scenario(name="x", env="e").recorded == ()
    summed = Metric(name="composite_return", info="composite", aggregate="sum")
    assert Scenario(name="x", env="e", metric=summed).recorded == ("composite",), "only returns are told without"
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
        (
            {"overrides": {"test": {}}},
            "unknown key 'overrides.test'; allowed keys: training, imitation, tuning, evaluation",
        ),
        ({"env": "CurationGym/Nope-v0"}, "'env' = 'CurationGym/Nope-v0'.*known: .*CurationGym/RottingArms-v0"),
        ({"env": "CartPole-v1"}, "'env' = 'CartPole-v1' has no native vector environment with a config_model"),
        ({"metric": {"aggregate": "median"}}, "'metric.aggregate' = 'median': .*'sum', 'last' or 'area'"),
        ({"metric": {"targets": [0.9]}}, "targets need a curve"),
        ({"policies": ["ucb1"], "static": ["ucb"]}, "static must be among policies = ucb1; actual value: 'ucb'"),
        (
            {"metric": {"name": "test_accuracy", "info": "test_accuracy", "aggregate": "area"}},
            "name must differ from info",
        ),
        ({"agents": {"ppo": {"total_timesteps": -1}}}, "'agents.ppo.total_timesteps' = -1: .*greater than"),
        (
            {"agents": {"ppo": {"total_timesteps": 1, "lr": 1}}},
            "'agents.ppo.lr'; allowed keys: total_timesteps, n_envs, hyperparameters",
        ),
        ({"agents": {"ppo": {}}}, "key 'agents.ppo.total_timesteps' is missing"),
        ({"name": "Two words"}, "'name' = 'Two words'"),
        ({"name": "another"}, "'name' = 'another': must be the file's stem, 'trial'"),
        ({"metric": {"info": "raw_rewards"}}, "'metric.info' = 'raw_rewards': .* it has raw_reward, mean_reward"),
        ({"curves": ["raw_reward", "loss"]}, "'curves' = 'loss': CurationGym/RottingArms-v0 .* it has raw_reward"),
        (
            {"metric": {"aggregate": "last", "name": "x", "targets": [float("nan")]}},
            "'metric.targets.0' = nan: .*finite",
        ),
        ({"policies": ["random", ""]}, "'policies.1' = '': String should have at least 1 character"),
        ({"policies": ["random", 3]}, "'policies.1' = 3: Input should be a valid string"),
        ({"agents": {"ppo": {"total_timesteps": "100"}}}, "'agents.ppo.total_timesteps' = '100': .*integer"),
        (
            {"agents": {"ppo": {"total_timesteps": 1, "hyperparameters": {"width": [16, 16]}}}},
            r"agents.ppo.hyperparameters: 'width' must be a number, .*actual value: \[16, 16\]",
        ),
        (
            {"agents": {"ppo": {"total_timesteps": 1, "hyperparameters": ["width"]}}},
            "'agents.ppo.hyperparameters' = .*dictionary",
        ),
    ],
)
def test_a_mistake_is_told_with_file_key_and_what_is_allowed(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(ConfigError, match=message) as caught:
        load_scenario(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("env", "kwargs", "message"),
    [
        ("ScoreSelection", {"n_items": "32"}, "'n_items' = '32': Input should be a valid integer"),
        ("ScoreSelection", {"n_items": True}, "'n_items' = True: Input should be a valid integer"),
        ("ScoreSelection", {"weights": {"safety": float("nan")}}, "'weights.safety' = nan: .*finite number"),
        ("ScoreSelection", {"min_batch_size": 100}, "min_batch_size must be <= n_items = 32, actual value: 100"),
        (
            "ScoreSelection",
            {"n_items": 4, "min_batch_size": 5},
            "min_batch_size must be <= n_items = 4, actual value: 5",
        ),
        ("RottingArms", {"noise_scale": float("inf")}, "'noise_scale' = inf: Input should be a finite number"),
        ("RottingArms", {"payoff": [0.1, True]}, "'payoff.1' = True: Input should be a valid number"),
        (
            "AnnotationAllocation",
            {"learner": {"kind": "linear", "C": float("inf")}},
            "'learner.C' = inf: Input should be a finite number",
        ),
        ("AnnotationAllocation", {"reward": {"novelty": float("inf")}}, "'reward.novelty' = inf: .*finite number"),
        ("AnnotationAllocation", {"annotator": {"noise": "0.1"}}, "'annotator.noise' = '0.1': .*valid number"),
        ("AnnotationAllocation", {"criteria": "margin"}, "'criteria' = 'margin': Input should be a valid tuple"),
        ("AnnotationAllocation", {"pool": 5}, "'pool' = 5: must be a Pool, the path of a saved one, or options"),
        ("CoverageSelection", {"pool": 5}, "'pool' = 5: must be a Pool, .*builder: dataset, digits, docstrings, synth"),
        ("CoverageSelection", {"pool": None}, "'pool' = None: must be a Pool"),
        ("CoverageSelection", {"pool": ["synthetic"]}, r"'pool' = \['synthetic'\]: must be a Pool"),
        ("CoverageSelection", {"pool": {}}, "pool.builder must be one of dataset, .*, actual value: None"),
        (
            "CoverageSelection",
            {"pool": {"builder": "sinthetic"}},
            "pool.builder must be one of dataset, digits, docstrings, synthetic, variant, corpus, actual value: "
            "'sinthetic'",
        ),
        ("CoverageSelection", {"pool": {"builder": ["a"]}}, r"pool.builder must be one of .*, actual value: \['a'\]"),
        (
            "CoverageSelection",
            {"pool": {"builder": "synthetic", "n_sampels": 3}},
            r"unknown key 'n_sampels' in pool \(builder synthetic\); allowed keys: builder, n_samples, n_clusters",
        ),
        (
            "CoverageSelection",
            {"pool": {"builder": "synthetic", "spread": float("inf")}},
            "'pool.spread' = inf: Input should be a finite number",
        ),
        ("CoverageSelection", {"pool": {"builder": "digits", "seed": "0"}}, "'pool.seed' = '0': .*valid integer"),
        ("CoverageSelection", {"pool": {"builder": "docstrings", "packages": []}}, r"'pool.packages' = .*at least 1"),
        ("CoverageSelection", {"pool": {"builder": "dataset"}}, "pool: exactly one of name and path is needed"),
        ("CoverageSelection", {"pool": {"builder": "dataset", "name": "a", "lable": "b"}}, "pool: unknown key 'lable'"),
        (
            "CoverageSelection",
            {"pool": {"builder": "dataset", "name": "a", "limit": True}},
            "'pool.limit' = True: Input should be a valid integer",
        ),
        (
            "CoverageSelection",
            {"pool": {"builder": "dataset", "sources": [{"name": "a", "lable": "b"}]}},
            "unknown key 'pool.sources.0.lable'; allowed keys: name, path",
        ),
        (
            "CoverageSelection",
            {"pool": {"builder": "dataset", "name": "a", "encoder": {"kind": "pixls"}}},
            "pool.encoder.kind must be one of tfidf-svd, .*, actual value: 'pixls'",
        ),
        (
            "CoverageSelection",
            {"pool": {"builder": "dataset", "name": "a", "signals": {"s": {"kind": "column", "column": "c", "lo": 1}}}},
            r"unknown key 'lo' in pool.signals.s \(kind column\); allowed keys: kind, column, low, high",
        ),
    ],
)
def test_what_a_file_and_gym_make_both_refuse(tmp_path: Path, env: str, kwargs: dict[str, Any], message: str) -> None:
    path = written(tmp_path, env=f"CurationGym/{env}-v0", kwargs=kwargs, overrides={})
    with pytest.raises(ConfigError, match=message) as caught:
        load_scenario(path)
    assert str(caught.value).startswith(f"{path}: kwargs: ")
    with pytest.raises(ConfigError, match=message) as caught:
        gym.make(f"CurationGym/{env}-v0", **kwargs)
    assert str(caught.value).startswith(f"CurationGym/{env}-v0: ")


def test_what_is_wrong_in_one_role_only(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        env="CurationGym/CoverageSelection-v0",
        kwargs={"pool": {"builder": "synthetic"}},
        overrides={"tuning": {"pool": {"seed": -1}}},
    )
    with pytest.raises(ConfigError, match=r"kwargs with overrides.tuning: 'pool.seed' = -1: .*greater than or equal"):
        load_scenario(path)


def test_checking_a_pool_builds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURATION_GYM_CACHE", str(tmp_path / "cache"))
    pool = {"builder": "dataset", "name": "nobody/nothing", "label": "label"}
    scenario = load_scenario(
        written(tmp_path, env="CurationGym/ScoreSelection-v0", kwargs={"pool": pool}, overrides={})
    )
    assert scenario.model_dump(mode="json")["kwargs"] == {"pool": pool}
    assert not (tmp_path / "cache").exists()


def test_a_key_that_stands_twice(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text() + "env: CurationGym/ScoreSelection-v0\n")
    with pytest.raises(ConfigError, match=r"trial\.yaml: .*key 'env' stands on line \d+ and again on line \d+"):
        load_scenario(path)


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

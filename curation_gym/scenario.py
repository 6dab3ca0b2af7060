"""A scenario: one task as it is studied, in one YAML file of ``envs_configs``, checked before it is built."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator
from pydantic import Field, field_validator, model_validator

from curation_gym.config import Config, ConfigError, Many, read_yaml, validated
from curation_gym.seeding import Role

Kwargs = dict[str, Any]


class Metric(Config):
    """The one number by which an episode is judged; higher is better.

    Attributes:
        name: in results, for example ``episode_return`` or ``test_accuracy``.
        info: the key of the environment's ``info`` that it is made of.
        aggregate: over an episode: the ``sum`` of every step's value, the ``last`` value, or the ``area``
            under the value against what was spent, divided by what was spent: it stays in the value's unit.
        targets: values whose first crossing is reported as ``labels_to_target@VALUE``; for curves.
    """

    name: str = "episode_return"
    info: str = "raw_reward"
    aggregate: Literal["sum", "last", "area"] = "sum"
    targets: Many[float] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "Metric":
        if self.aggregate == "sum" and self.targets:
            raise ValueError("targets need a curve: aggregate must be last or area")
        if self.aggregate != "sum" and self.name == self.info:
            raise ValueError(f"name must differ from info, which names the curve; actual: {self.name!r}")
        return self


class Overrides(Config):
    """Arguments of the environment that differ by role; mappings are merged key by key.

    Those of ``imitation``, where an agent follows a rule before it is trained, come on top of those of ``training``.
    """

    training: Kwargs = Field(default_factory=dict)
    imitation: Kwargs = Field(default_factory=dict)
    tuning: Kwargs = Field(default_factory=dict)
    evaluation: Kwargs = Field(default_factory=dict)


class Training(Config):
    """How an agent is trained on the scenario.

    Attributes:
        total_timesteps: environment steps, over all sub-environments; 0: what it imitates is all it learns.
        n_envs: sub-environments.
        hyperparameters: of the agent, which knows their names and ranges and checks them; scalars.
    """

    total_timesteps: int = Field(ge=0)
    n_envs: int = Field(1, ge=1)
    hyperparameters: Kwargs = Field(default_factory=dict)

    @field_validator("hyperparameters")
    @classmethod
    def _scalars(cls, values: Kwargs) -> Kwargs:
        for name, value in values.items():
            if not isinstance(value, bool | int | float | str | None):
                raise ValueError(f"{name!r} must be a number, a text, true, false or null, actual value: {value!r}")
        return values


class Scenario(Config):
    """A task as it is studied.

    Attributes:
        name: as in results and in the name of its directory; the file's stem.
        description: one or two sentences for a report.
        env: a registered id.
        kwargs: the environment's arguments, every role.
        overrides: what differs by role.
        metric: what an episode is judged by.
        curves: more info keys to record against what was spent; the metric's own is, unless it is the return.
        agents: training settings by agent name.
        policies: what a benchmark compares by default.
        static: those of them that don't adapt to what they see in an episode. The best of these and the optimum are
            the ends of the gap of which a benchmark tells how much the others close.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    description: str = ""
    env: str
    kwargs: Kwargs = Field(default_factory=dict)
    overrides: Overrides = Overrides()
    metric: Metric = Metric()
    curves: Many[str] = ()
    agents: dict[str, Training] = Field(default_factory=dict)
    policies: Many[Annotated[str, Field(min_length=1)]] = ()
    static: Many[str] = ()

    @model_validator(mode="after")
    def _static_policies(self) -> "Scenario":
        if unknown := sorted(set(self.static) - set(self.policies)):
            raise ValueError(
                f"static must be among policies = {', '.join(self.policies)}; actual value: {unknown[0]!r}"
            )
        return self

    def kwargs_for(self, role: Role | Literal["imitation"]) -> Kwargs:
        """The environment's arguments in a role; ``hidden`` has no overrides."""
        before = self.kwargs_for("training") if role == "imitation" else self.kwargs
        return merged(before, getattr(self.overrides, role, {}))

    @property
    def recorded(self) -> tuple[str, ...]:
        """Info keys whose course is recorded."""
        summed = self.metric.aggregate == "sum" and self.metric.info == "raw_reward"  # which every episode tells
        own = () if summed else (self.metric.info,)
        return tuple(dict.fromkeys(own + self.curves))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Read and check a scenario.

    Args:
        name_or_path: the name of a packaged one (see :func:`scenario_names`), or the path of a YAML file.

    Raises:
        ConfigError: naming the file, the key, its value and what is allowed.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = scenario_directory() / f"{name_or_path}.yaml"
        if not path.exists():
            known = ", ".join(scenario_names())
            raise ConfigError(f"no scenario {str(name_or_path)!r}; known: {known}; or name the path of a YAML file")
    scenario = validated(Scenario, read_yaml(path), str(path))
    if scenario.name != path.stem:
        raise ConfigError(f"{path}: 'name' = {scenario.name!r}: must be the file's stem, {path.stem!r}")
    _check_environment(scenario, str(path))
    return scenario


def scenario_names() -> list[str]:
    """Names of the packaged scenarios."""
    return sorted(path.stem for path in scenario_directory().glob("*.yaml"))


def scenario_directory() -> Path:
    """``envs_configs``: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parent
    inside, beside = package / "envs_configs", package.parent / "envs_configs"
    return inside if inside.is_dir() else beside


def _check_environment(scenario: Scenario, where: str) -> None:
    """Check each role's arguments and the recorded info keys against what the environment says; nothing is built."""
    try:
        entry_point = gym.spec(scenario.env).vector_entry_point
    except gym.error.Error as error:
        known = ", ".join(sorted(key for key in gym.registry if key.startswith("CurationGym/")))
        raise ConfigError(f"{where}: 'env' = {scenario.env!r}: {error}; known: {known}") from None
    core = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    model, info = getattr(core, "config_model", None), getattr(core, "info_type", None)
    if model is None or info is None:
        raise ConfigError(
            f"{where}: 'env' = {scenario.env!r} has no native vector environment with a config_model and an info_type"
        )
    keys = info.__annotations__
    for place, key in [("metric.info", scenario.metric.info), *(("curves", curve) for curve in scenario.curves)]:
        if key not in keys:
            raise ConfigError(
                f"{where}: {place!r} = {key!r}: {scenario.env} has no such info; it has {', '.join(keys)}"
            )
    for role in Overrides.model_fields:
        differs = f" with overrides.{role}" if getattr(scenario.overrides, role) else ""
        validated(model, scenario.kwargs_for(role), f"{where}: kwargs{differs}")  # type: ignore[arg-type]


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> Kwargs:
    """``base`` with ``changes``, key by key; mappings within are merged likewise."""
    result = dict(base)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result

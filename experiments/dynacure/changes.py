"""A scenario with one thing changed, and an agent's settings in it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from curation_gym.config import ConfigError
from curation_gym.policy import policy_class
from curation_gym.scenario import Scenario
from experiments.dynacure.results import OURS
from experiments.harness.policies import POLICIES

FROM_SCRATCH = {"imitates": None, "learning_rate": 0.001, "n_epochs": 8, "gae_lambda": 0.95}
"""Hyperparameters of PPO where it doesn't begin at a rule, from which small steps keep it: those that it has in the
environments without a model."""


class Change(NamedTuple):
    """What is changed.

    Attributes:
        environment: its arguments in every role; mappings are merged, None removes.
        hyperparameters: of the agent.
        agent: which, see :data:`experiments.harness.policies.POLICIES`.
        base: what it is compared with.
        timesteps: of training; None: the scenario's.
    """

    environment: Mapping[str, Any] = {}
    hyperparameters: Mapping[str, Any] = {}
    agent: str = "ppo"
    base: str = OURS
    timesteps: int | None = None

    @property
    def from_scratch(self) -> bool:
        """Whether training begins at chance, not at a rule."""
        return "imitates" in self.hyperparameters


AS_WRITTEN = Change({"refinement": None, "reward": "mean", "drawn_weights": False}, FROM_SCRATCH, agent="ppo_box")
"""DynACurE as its proposal writes it: probabilities as actions, the mean of a batch as reward, signals as they are, the
same weights in every episode. It says little of PPO's hyperparameters."""


def changed(scenario: Scenario, change: Change) -> Scenario:
    """The scenario with other arguments in every role, and other settings of the agent.

    Raises:
        ConfigError: when the scenario has no settings of the agent.
    """
    kwargs, roles = dict(scenario.kwargs), scenario.overrides.model_dump()
    for name, value in change.environment.items():
        kwargs[name] = {**kwargs.get(name, {}), **value} if isinstance(value, dict) else value
        if not isinstance(value, dict):
            for override in roles.values():
                override.pop(name, None)
    agent = policy_class(POLICIES[change.agent]).name
    if (settings := scenario.agents.get(agent)) is None:
        raise ConfigError(f"{scenario.name}: agents.{agent} is missing, whose settings are to be changed; add it")
    update: dict[str, Any] = {"hyperparameters": settings.hyperparameters | dict(change.hyperparameters)}
    if change.timesteps is not None:
        update["total_timesteps"] = change.timesteps
    agents = scenario.agents | {agent: settings.model_copy(update=update)}
    overrides = scenario.overrides.model_validate(roles)
    return scenario.model_copy(update={"kwargs": kwargs, "overrides": overrides, "agents": agents})

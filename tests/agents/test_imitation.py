"""Imitation: training begins at what a rule does, and at what it gets."""

from pathlib import Path
from typing import Any

import pytest
import torch as th
from stable_baselines3.common.vec_env import VecNormalize

from agents.ppo import PPOAgent, PPOBoxAgent
from curation_gym.evaluation.rollout import evaluate, make_core, task_of
from curation_gym.policy import PolicyError, make_policy
from curation_gym.scenario import Overrides, Scenario, Training
from tests.agents.test_ppo import Interrupt

POOL = {"builder": "synthetic", "n_samples": 120, "n_clusters": 8, "n_groups": 3, "dimension": 6, "seed": 5}
KWARGS = {"pool": POOL, "n_items": 8, "horizon": 8, "budget": 16}
ENV = "CurationGym/ScoreSelection-v0"
RAFT = "baselines.raft:Raft"


def scenario(steps: int = 16, **hyperparameters: object) -> Scenario:
    chosen = {"n_steps": 8, "batch_size": 16, "width": 32, "learning_rate": 3e-3, "gamma": 1.0, **hyperparameters}
    training = Training(total_timesteps=steps, n_envs=2, hyperparameters=chosen)
    return Scenario(name="small", env=ENV, kwargs=KWARGS, agents={"ppo": training})


def test_training_begins_where_the_rule_is() -> None:
    task, core = task_of(ENV, KWARGS), make_core(ENV, KWARGS)
    agent = PPOAgent(task, seed=0).learn(scenario(imitates=RAFT, imitation_steps=4096), seed=1)
    fresh = PPOAgent(task, seed=0).learn(scenario(), seed=1)
    rule = make_policy(RAFT, task)
    seeds = list(range(100, 140))
    returns = [evaluate(policy, ENV, KWARGS, seeds).returns.mean() for policy in (rule, agent, fresh)]
    assert returns[1] > returns[2] + 0.8 * (returns[0] - returns[2])
    observation, _ = core.reset(seed=3)
    agreeing = (agent.predict(observation, deterministic=True)[0] == rule.predict(observation)[0]).mean()
    assert agreeing > 0.8


def test_training_that_goes_on_does_not_imitate_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(ENV, KWARGS)
    settings = scenario(64, imitates=RAFT, imitation_steps=64)
    PPOAgent(task).learn(settings, seed=1, out=tmp_path)

    def refused(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("agents.item_agent.imitate", refused)
    PPOAgent(task).learn(settings, seed=1, out=tmp_path)
    with pytest.raises(AssertionError):
        PPOAgent(task).learn(settings, seed=1, out=tmp_path / "other")


def test_without_timesteps_what_is_imitated_is_all_that_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise AssertionError

    task = task_of(ENV, KWARGS)
    monkeypatch.setattr("agents.ppo.PPO.learn", refused)
    agent = PPOAgent(task, seed=0).learn(scenario(0, imitates=RAFT, imitation_steps=2048), seed=1)
    observation, _ = make_core(ENV, KWARGS).reset(seed=3)
    agreeing = agent.predict(observation, deterministic=True)[0] == make_policy(RAFT, task).predict(observation)[0]
    assert agreeing.mean() > 0.7


def test_what_cannot_be_imitated_is_named() -> None:
    task = task_of(ENV, KWARGS)
    with pytest.raises(PolicyError, match="Raf"):
        PPOAgent(task).learn(scenario(imitates="baselines.raft:Raf"))
    with pytest.raises(PolicyError, match="imitation_steps: 4 over 2 sub-environments are less than an episode"):
        PPOAgent(task).learn(scenario(imitates=RAFT, imitation_steps=4))
    with pytest.raises(PolicyError, match="only what draws its actions can imitate; it takes Box"):
        PPOBoxAgent(task).learn(scenario(imitates=RAFT))


def test_the_rule_acts_where_the_scenario_says(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []

    def watched(model: Any, env: VecNormalize, *_: Any) -> None:
        found.append((env.get_attr("config")[0].near, model.env.get_attr("config")[0].near, env, model.env))

    monkeypatch.setattr("agents.item_agent.imitate", watched)
    overrides = {"training": {"near": 0.3}, "imitation": {"near": 0.2}}
    PPOAgent(task_of(ENV, KWARGS)).learn(
        scenario(imitates=RAFT).model_copy(update={"overrides": Overrides(**overrides)})
    )
    ((near, trained_near, env, trained),) = found
    assert (near, trained_near) == (0.2, 0.3)
    assert trained.ret_rms is env.ret_rms, "the critic goes on at the scale at which it learned"


def test_interrupted_after_imitation_it_resumes_to_the_same_tensors_and_curve(tmp_path: Path) -> None:
    task, chosen = task_of(ENV, KWARGS), scenario(256, imitates=RAFT, imitation_steps=64)
    whole = PPOAgent(task).learn(chosen, 1, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        PPOAgent(task).learn(chosen, 1, tmp_path / "parts", callbacks=[Interrupt(16 * 12 + 6)])
    th.manual_seed(99)
    resumed = PPOAgent(task).learn(chosen, 1, tmp_path / "parts")
    expected = whole.policy.network.state_dict()
    assert all(th.equal(value, expected[key]) for key, value in resumed.policy.network.state_dict().items())
    curves = [(tmp_path / name / "learning_curve.json").read_text() for name in ("whole", "parts")]
    assert curves[0] == curves[1]

"""REINFORCE and DVRL on the item network: their credit by hand, that they learn, and that they resume exactly."""

from pathlib import Path

import numpy as np
import pytest
import torch as th

from agents.checkpoint import CheckpointError
from agents.dvrl import DVRL, DVRLAgent
from agents.item_agent import ItemAgent, training_env
from agents.ppo import PPOAgent
from agents.reinforce import REINFORCE, ReinforceAgent
from curation_gym.config import ConfigError
from curation_gym.evaluation.rollout import evaluate, task_of
from curation_gym.policy import PolicyError, make_policy
from curation_gym.scenario import Scenario, Training
from curation_gym.seeding import seeds_for
from tests.agents.test_ppo import POOL, SIZE, Interrupt

AGENTS = [ReinforceAgent, DVRLAgent]


def scenario(env: str, hyperparameters: dict | None = None, **kwargs: object) -> Scenario:
    settings = Training(
        total_timesteps=64, n_envs=8, hyperparameters={"width": 16, "learning_rate": 0.02, **(hyperparameters or {})}
    )
    agents = {agent.name: settings for agent in AGENTS}
    return Scenario(name="small", env=f"CurationGym/{env}", kwargs=kwargs, agents=agents)


SCORE = scenario("ScoreSelection-v0", pool=POOL, **SIZE)
IDS = scenario("CoverageSelection-v0", pool=POOL, observation="ids", **SIZE)
ARMS = scenario("RottingArms-v0", n_arms=5, horizon=8)


def collected(agent: type[ItemAgent], chosen: Scenario, **hyperparameters: object) -> REINFORCE:
    """A model right after its first rollout, before it trains."""
    task = task_of(chosen.env, chosen.kwargs)
    env = training_env(chosen, seeds_for(0, "training", n=8), gamma=1.0, binary=task.family == "selection")
    options = agent.hyperparameters(width=16, **hyperparameters)
    model = agent(task)._model(env, 0, options)
    _, callback = model._setup_learn(10**6, None)
    assert isinstance(model, REINFORCE)
    model.collect_rollouts(env, callback, model.rollout_buffer, model.n_steps)
    return model


def credit(model: REINFORCE) -> np.ndarray:
    """What ``train`` computes first; where each sub-environment's first episode is."""
    buffer = model.rollout_buffer
    used = np.cumsum(buffer.episode_starts, axis=0) <= 1
    model._credit(buffer, used)
    return used


@pytest.mark.parametrize("chosen", [SCORE, ARMS], ids=["score", "arms"])
def test_a_step_is_credited_with_what_its_own_episode_still_paid(chosen: Scenario) -> None:
    model = collected(ReinforceAgent, chosen, gamma=0.9)
    used, buffer = credit(model), model.rollout_buffer
    starts = buffer.episode_starts.astype(bool)
    for row in range(8):
        ends = [t for t in range(1, model.n_steps) if starts[t, row]]
        end = ends[0] if ends else model.n_steps
        for t in range(model.n_steps):
            assert used[t, row] == (t < end)
            expected = 0.0
            if t < end:
                to_go = sum(0.9 ** (k - t) * buffer.rewards[k, row] for k in range(t, end))
                expected = to_go - buffer.values[t, row]
            assert buffer.advantages[t, row] == pytest.approx(expected, abs=1e-4)
    if chosen is SCORE:
        assert 0 < used.mean() < 1, "some episodes should end before the rollout does"
        assert (model._last_episode_starts == 1).all()


def test_the_gradient_is_that_of_the_log_probability_times_the_advantage() -> None:
    """Against one pass over the steps, one by one; batches of any size give the same step."""
    steps = {}
    for batch_size in (7, 4096):
        model = collected(ReinforceAgent, SCORE, batch_size=batch_size)
        before = {name: value.clone() for name, value in model.policy.named_parameters()}
        model.train()
        gradients = {name: p.grad.clone() for name, p in model.policy.named_parameters()}
        assert any((p != before[name]).any() for name, p in model.policy.named_parameters())
        steps[batch_size] = gradients
    for name, gradient in steps[7].items():
        np.testing.assert_allclose(gradient, steps[4096][name], atol=1e-5)
    model = collected(ReinforceAgent, SCORE)
    used, buffer = credit(model), model.rollout_buffer
    loss = th.zeros(())
    for t, row in np.argwhere(used):
        seen = {key: th.as_tensor(value[t, [row]]) for key, value in buffer.observations.items()}
        logits, value = model.policy.network(*model.policy.gatherer(seen, th.device("cpu")))
        chosen = th.as_tensor(buffer.actions[t, row])
        log_prob = th.where(chosen > 0, th.log(th.sigmoid(logits[0])), th.log(th.sigmoid(-logits[0]))).sum()
        target = float(buffer.returns[t, row])
        p = th.sigmoid(logits[0])
        entropy = -(p * th.log(p) + (1 - p) * th.log(1 - p)).sum()
        loss = loss - ReinforceAgent.hyperparameters().ent_coef * entropy
        loss = loss - float(buffer.advantages[t, row]) * log_prob + 0.5 * (target - value[0, 0]) ** 2
    model.policy.zero_grad()
    (loss / used.sum()).backward()
    th.nn.utils.clip_grad_norm_(model.policy.parameters(), model.max_grad_norm)
    for name, weight in model.policy.named_parameters():
        np.testing.assert_allclose(weight.grad, steps[4096][name], atol=1e-5)


def test_where_entropy_has_no_closed_form_it_is_estimated_by_what_was_drawn() -> None:
    chosen = scenario("AnnotationAllocation-v0", action="soft", criteria=["random", "margin"], budget=60, batch=20)
    model = collected(ReinforceAgent, chosen)
    credit(model)
    batch = next(iter(model.rollout_buffer.get(4096)))
    losses = {}
    for model.ent_coef in (0.0, 0.5):
        losses[model.ent_coef] = model._loss(batch).item()
    _, log_prob, entropy = model.policy.evaluate_actions(batch.observations, batch.actions)
    assert entropy is None
    expected = 0.5 * log_prob[batch.advantages != 0].sum().item()
    assert losses[0.5] - losses[0.0] == pytest.approx(expected, rel=1e-3)


def test_dvrl_credits_every_choice_with_performance_minus_its_moving_average() -> None:
    model = collected(DVRLAgent, SCORE, window=4)
    assert isinstance(model, DVRL)
    model.moving_average = 0.5
    used, buffer = credit(model), model.rollout_buffer
    performance = [sum(buffer.rewards[t, row] for t in range(model.n_steps) if used[t, row]) for row in range(8)]
    for row in range(8):
        expected = np.where(used[:, row], performance[row] - 0.5, 0)
        np.testing.assert_allclose(buffer.advantages[:, row], expected, atol=1e-5)
    assert model.moving_average == pytest.approx(0.75 * 0.5 + 0.25 * np.mean(performance), rel=1e-5)
    first = collected(DVRLAgent, SCORE)
    credit(first)
    assert first.moving_average == pytest.approx(np.mean(performance), rel=1e-5), "the first one is its own average"


@pytest.mark.parametrize(("bias", "towards"), [(6.0, -1), (-6.0, 1), (0.0, 0)])
def test_dvrl_keeps_the_mean_selection_probability_off_0_and_1(bias: float, towards: int) -> None:
    model = collected(DVRLAgent, SCORE, threshold=0.9)
    with th.no_grad():
        model.policy.network.logit.bias.fill_(bias)
    batch = next(iter(model.rollout_buffer.get(4096)))
    nothing = th.zeros_like(batch.advantages)
    loss = model._loss(batch._replace(advantages=nothing, returns=nothing + 1))
    (gradient,) = th.autograd.grad(loss, model.policy.network.logit.bias)
    assert np.sign(-gradient.item()) * (abs(gradient.item()) > 1e-6) == towards
    cut = model._loss(batch._replace(advantages=nothing, returns=nothing))
    assert cut.item() == 0, "of steps that no credit is given for nothing is asked"


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("chosen", [SCORE, IDS, ARMS], ids=["score", "ids", "arms"])
def test_resumed_equals_uninterrupted_tensor_for_tensor(tmp_path: Path, agent: type, chosen: Scenario) -> None:
    task = task_of(chosen.env, chosen.kwargs)
    if agent is DVRLAgent and task.family != "selection":
        with pytest.raises(PolicyError, match="needs a Selection task, not CurationGym/RottingArms-v0"):
            agent(task)
        return
    whole = agent(task).learn(chosen, 3, total_timesteps=64 * 16)
    with pytest.raises(KeyboardInterrupt):
        agent(task).learn(chosen, 3, tmp_path, total_timesteps=64 * 16, callbacks=[Interrupt(64 * 12 + 20)])
    th.manual_seed(99), np.random.seed(99)  # noqa: NPY002 - whatever else happened in between must not matter
    resumed = agent(task).learn(chosen, 3, tmp_path, total_timesteps=64 * 16)
    expected = whole.policy.network.state_dict()
    for key, value in resumed.policy.network.state_dict().items():
        assert th.equal(value, expected[key]), key


@pytest.mark.parametrize("agent", AGENTS)
def test_it_learns_what_a_threshold_knows(tmp_path: Path, agent: type) -> None:
    chosen = scenario("ScoreSelection-v0", {"learning_rate": 0.01}, pool=POOL, n_items=8, horizon=4, budget=6)
    task = task_of(chosen.env, chosen.kwargs)
    trained = agent(task, seed=0).learn(chosen, 2, total_timesteps=20_480)
    seeds = seeds_for(0, "evaluation", n=60)
    episodes = evaluate(trained, chosen.env, chosen.kwargs, seeds)
    random = evaluate(make_policy("baselines.random:Random", task, 0), chosen.env, chosen.kwargs, seeds)
    score = (episodes.returns.mean() - random.returns.mean()) / (episodes.optimum.mean() - random.returns.mean())
    assert score > 0.5
    trained.save(tmp_path / "policy")
    again = make_policy(tmp_path / "policy", task, 0)
    assert evaluate(again, chosen.env, chosen.kwargs, seeds).returns.mean() == pytest.approx(
        episodes.returns.mean(), rel=0.03
    )


def test_one_agent_never_continues_from_another(tmp_path: Path) -> None:
    task = task_of(SCORE.env, SCORE.kwargs)
    ReinforceAgent(task).learn(SCORE, 0, tmp_path)
    with pytest.raises(CheckpointError, match="agent was 'reinforce', is 'dvrl'"):
        DVRLAgent(task).learn(SCORE, 0, tmp_path)


def test_misuse_is_told() -> None:
    task = task_of(SCORE.env, SCORE.kwargs)
    with pytest.raises(PolicyError, match=r"has no agents\.ppo; it has dvrl, reinforce"):
        PPOAgent(task).learn(SCORE)
    with pytest.raises(PolicyError, match=r"ReinforceAgent: call learn\(\) or load\(\) before predict"):
        ReinforceAgent(task).predict({})
    bad = scenario("ScoreSelection-v0", {"threshold": 0.2}, pool=POOL, **SIZE)
    with pytest.raises(ConfigError, match=r"agents\.dvrl\.hyperparameters: 'threshold' = 0.2"):
        DVRLAgent.settings(bad)
    with pytest.raises(ConfigError, match=r"agents\.reinforce\.hyperparameters: unknown key 'threshold'"):
        ReinforceAgent.settings(bad)

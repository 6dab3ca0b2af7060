"""PPO on the item network: it learns, it resumes to the same tensors, it saves and loads."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback

from agents.checkpoint import CheckpointError
from agents.ppo import PPOAgent, PPOBoxAgent
from curation_gym.config import ConfigError
from curation_gym.evaluation.rollout import evaluate, task_of
from curation_gym.policy import PolicyError, make_policy
from curation_gym.pools import Pool
from curation_gym.scenario import Scenario, Training
from curation_gym.seeding import seeds_for

POOL = {"builder": "synthetic", "n_samples": 120, "n_clusters": 8, "n_groups": 3, "dimension": 6, "seed": 5}
SIZE = {"n_items": 8, "horizon": 8, "budget": 12}


def scenario(env: str, **kwargs: object) -> Scenario:
    settings = Training(
        total_timesteps=4096,
        n_envs=8,
        hyperparameters={"n_steps": 16, "batch_size": 64, "width": 16, "learning_rate": 2e-3},
    )
    return Scenario(name="small", env=f"CurationGym/{env}", kwargs=kwargs, agents={"ppo": settings})


def _domains() -> Pool:
    """Domain 0 has 20 samples to label, domains 1 and 2 have 100 each."""
    rng = np.random.default_rng(0)
    domain = np.repeat([0, 1, 2], [20, 100, 100])
    test = np.arange(220) % 2 == 1
    test[:20] = False
    return Pool(
        rng.standard_normal((220, 4)).astype(np.float32),
        domain=domain,
        domain_names=("small", "b", "c"),
        hidden={"label": rng.integers(2, size=220)},
        split=np.where(test, 2, 0),
        class_names=("no", "yes"),
    )


DOMAINS = _domains()
SMALL = {"n_steps": 8, "batch_size": 16, "width": 8}
SCORE = scenario("ScoreSelection-v0", pool=POOL, **SIZE)
TASKS = {
    "score": SCORE,
    "ids": scenario("CoverageSelection-v0", pool=POOL, observation="ids", **SIZE),
    "arms": scenario("RottingArms-v0", n_arms=5, horizon=20),
}


class Interrupt(BaseCallback):
    """Ctrl-C in the middle of a rollout."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.at:
            raise KeyboardInterrupt
        return True


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("agent", [PPOAgent, PPOBoxAgent])
def test_resumed_equals_uninterrupted_tensor_for_tensor(tmp_path: Path, name: str, agent: type) -> None:
    chosen = TASKS[name]
    task = task_of(chosen.env, chosen.kwargs)
    whole = agent(task).learn(chosen, 3, total_timesteps=128 * 16)
    with pytest.raises(KeyboardInterrupt):
        agent(task).learn(chosen, 3, tmp_path, total_timesteps=128 * 16, callbacks=[Interrupt(128 * 12 + 40)])
    th.manual_seed(99), np.random.seed(99)  # noqa: NPY002 - whatever else happened in between must not matter
    resumed = agent(task).learn(chosen, 3, tmp_path, total_timesteps=128 * 16)
    expected = whole.policy.network.state_dict()
    for key, value in resumed.policy.network.state_dict().items():
        assert th.equal(value, expected[key]), key
    assert resumed.policy.header == whole.policy.header


def test_seeds_differ_and_repeat() -> None:
    task = task_of(SCORE.env, SCORE.kwargs)
    weights = [PPOAgent(task).learn(SCORE, seed, total_timesteps=128).policy.network.logit.weight for seed in (1, 1, 2)]
    assert th.equal(weights[0], weights[1])
    assert not th.equal(weights[0], weights[2])


def test_it_learns_what_a_threshold_knows(tmp_path: Path) -> None:
    task = task_of(SCORE.env, SCORE.kwargs)
    agent = PPOAgent(task, seed=0).learn(SCORE, 0, total_timesteps=16_384)
    seeds = seeds_for(0, "evaluation", n=60)
    episodes = evaluate(agent, SCORE.env, SCORE.kwargs, seeds)
    random = evaluate(make_policy("baselines.random:Random", task, 0), SCORE.env, SCORE.kwargs, seeds)
    score = (episodes.returns.mean() - random.returns.mean()) / (episodes.optimum.mean() - random.returns.mean())
    assert score > 0.6
    agent.save(tmp_path / "policy")
    again = evaluate(PPOAgent.load(tmp_path / "policy", task, seed=0), SCORE.env, SCORE.kwargs, seeds)
    assert again.returns.mean() == pytest.approx(episodes.returns.mean(), rel=0.02)


def test_a_damaged_or_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    task = task_of(SCORE.env, SCORE.kwargs)
    PPOAgent(task).learn(SCORE, 0, tmp_path, total_timesteps=128)
    file = tmp_path / "checkpoint.pt"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="can't be continued from"):
        PPOAgent(task).learn(SCORE, 0, tmp_path, total_timesteps=256)
    file.write_bytes(whole)
    wider = SCORE.model_copy(update={"agents": {"ppo": SCORE.agents["ppo"].model_copy(update={"n_envs": 4})}})
    with pytest.raises(CheckpointError, match="made by another training: n_envs was 8, is 4"):
        PPOAgent(task).learn(wider, 0, tmp_path, total_timesteps=128)
    with pytest.raises(CheckpointError, match="seed was 0, is 7, total_timesteps was 128, is 256"):
        PPOAgent(task).learn(SCORE, 7, tmp_path, total_timesteps=256)
    other = scenario("ScoreSelection-v0", pool=POOL | {"seed": 6}, **SIZE)
    with pytest.raises(CheckpointError, match=r"made by another training: .*'seed': 6"):
        PPOAgent(task_of(other.env, other.kwargs)).learn(other, 0, tmp_path, total_timesteps=128)
    th.set_num_threads(th.get_num_threads() + 1)
    try:
        with pytest.warns(UserWarning, match="PyTorch threads"):
            PPOAgent(task).learn(SCORE, 0, tmp_path, total_timesteps=128)
    finally:
        th.set_num_threads(th.get_num_threads() - 1)


def test_a_full_disk_keeps_the_checkpoint_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(SCORE.env, SCORE.kwargs)
    with pytest.raises(KeyboardInterrupt):
        PPOAgent(task).learn(SCORE, 0, tmp_path, total_timesteps=128 * 11, callbacks=[Interrupt(128 * 10 + 40)])
    before = (tmp_path / "checkpoint.pt").read_bytes()
    held = sorted(tmp_path.iterdir())

    def full(state: object, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")

    monkeypatch.setattr(th, "save", full)
    message = r"checkpoint\.pt can't be written: PytorchStreamWriter failed .*; what was there is kept"
    with pytest.raises(CheckpointError, match=message):
        PPOAgent(task).learn(SCORE, 0, tmp_path, total_timesteps=128 * 11)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert sorted(tmp_path.iterdir()) == held


@pytest.mark.parametrize(
    ("values", "message"),
    [({"lerning_rate": 1}, "unknown key 'lerning_rate'; allowed keys: learning_rate"), ({"gamma": 7}, "'gamma' = 7")],
)
def test_bad_hyperparameters_are_named(values: dict, message: str) -> None:
    settings = SCORE.agents["ppo"].model_copy(update={"hyperparameters": values})
    with pytest.raises(ConfigError, match=message):
        PPOAgent.settings(SCORE.model_copy(update={"agents": {"ppo": settings}}))


def test_actions_repeat_under_a_seed() -> None:
    task = task_of(SCORE.env, SCORE.kwargs)
    env = gym.make_vec(SCORE.env, 4, **SCORE.kwargs)
    observation, _ = env.reset(seed=0)
    agents = [PPOBoxAgent(task, seed=seed).learn(SCORE, 0, total_timesteps=128) for seed in (5, 5, 6)]
    actions = [agent.predict(observation)[0] for agent in agents]
    np.testing.assert_array_equal(actions[0], actions[1])
    assert (actions[0] != actions[2]).any()


def test_soft_allocation_trains_though_arms_are_exhausted() -> None:
    learner = {"kind": "linear", "members": 2}
    kwargs = {"pool": DOMAINS, "subsets": "domains", "criteria": ("margin",), "action": "soft"}
    kwargs |= {"learner": learner, "budget": 60}
    chosen = scenario("AnnotationAllocation-v0", **kwargs)
    chosen = chosen.model_copy(
        update={"agents": {"ppo": Training(total_timesteps=64, n_envs=2, hyperparameters=SMALL)}}
    )
    core = gym.make_vec(chosen.env, 2, **kwargs)
    core.reset(seed=0)
    for _ in range(4):
        observation, *_ = core.step(np.eye(3, dtype=np.float32)[[0, 0]])
    assert (observation["mask"][:, 0] == 0).all(), "the first arm should be exhausted"
    agent = PPOAgent(core.task, seed=0).learn(chosen, 0)
    action, _ = agent.predict(observation)
    assert (action[:, 0] == 0).all()
    assert np.isfinite(agent.policy.header.log_std)


def test_misuse_is_told() -> None:
    task = task_of(SCORE.env, SCORE.kwargs)
    with pytest.raises(PolicyError, match=r"call learn\(\) or load\(\) before predict"):
        PPOAgent(task).predict({})
    with pytest.raises(PolicyError, match="nothing was learned yet"):
        PPOAgent(task).save("nowhere")
    with pytest.raises(PolicyError, match=r"has no agents\.ppo"):
        PPOAgent(task).learn(SCORE.model_copy(update={"agents": {}}))


def test_a_checkpoint_of_other_arguments_is_refused(tmp_path: Path) -> None:
    arms = TASKS["arms"]
    PPOAgent(task_of(arms.env, arms.kwargs)).learn(arms, 0, tmp_path, total_timesteps=128)
    other = arms.model_copy(update={"kwargs": arms.kwargs | {"half_life": (50, 100)}})
    task = task_of(other.env, other.kwargs)
    assert task == task_of(arms.env, arms.kwargs), "the task alone doesn't tell"
    with pytest.raises(CheckpointError, match=r"training half_life was None, is \[50, 100\]"):
        PPOAgent(task).learn(other, 0, tmp_path, total_timesteps=128)

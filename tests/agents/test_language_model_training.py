"""Training in the loop of a language model: interrupted in the middle of an episode, it goes on to the same tensors."""

from pathlib import Path
from typing import Any

import pytest
import torch as th

from agents.ppo import PPOAgent
from curation_gym.envs.language_model_selection import ENV_ID
from curation_gym.evaluation.rollout import task_of
from curation_gym.scenario import Scenario, Training
from tests.agents.test_ppo import Interrupt
from tests.envs.test_language_model_selection import BUDGET, HORIZON, N_ITEMS, POOL, TUNING, WEIGHTS
from tests.learners.tiny_lm import save_tiny


@pytest.mark.parametrize("more", [{}, {"fine_tuning": TUNING | {"lora": {"rank": 2}}}], ids=["whole", "lora"])
def test_interrupted_with_probes_and_audits_it_resumes_to_the_same_tensors(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    kwargs = {
        "pool": POOL,
        "n_items": N_ITEMS,
        "horizon": HORIZON,
        "budget": BUDGET,
        "weights": WEIGHTS,
        "drawn_weights": True,
        "language_model": str(save_tiny(tmp_path / "tiny")),
        "fine_tuning": TUNING,
        "probes": {"prompts": 0, "every": 2, "clean": 4},
        "refinement": {"every": 2, "size": 2, "gain": 1.0},
    }
    imitating = {"imitates": "baselines.raft:RefinedRaft", "imitation_steps": 32}
    settings = Training(
        total_timesteps=48, n_envs=1, hyperparameters={"n_steps": 8, "batch_size": 8, "width": 8, **imitating}
    )
    frozen = {"imitation": {"frozen": True, "probes": {"prompts": 0, "every": 0}}}
    scenario = Scenario(name="small", env=ENV_ID, kwargs=kwargs | more, overrides=frozen, agents={"ppo": settings})
    task = task_of(ENV_ID, scenario.kwargs)
    whole = PPOAgent(task).learn(scenario, 1, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        PPOAgent(task).learn(scenario, 1, tmp_path / "parts", callbacks=[Interrupt(37)])
    th.manual_seed(99)
    resumed = PPOAgent(task).learn(scenario, 1, tmp_path / "parts")
    expected = whole.policy.network.state_dict()
    assert all(th.equal(value, expected[name]) for name, value in resumed.policy.network.state_dict().items())
    curves = [(tmp_path / name / "learning_curve.json").read_text() for name in ("whole", "parts")]
    assert curves[0] == curves[1]

"""A policy that is trained on some pools of an annotation task acts on one that it has never seen."""

from pathlib import Path

import numpy as np

from agents.ppo import PPOAgent
from baselines.constant_arm import ConstantArm
from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.evaluation.rollout import evaluate, task_of
from curation_gym.policy import make_policy
from curation_gym.pools import Pool
from curation_gym.scenario import Scenario, Training

ENV = "CurationGym/AnnotationAllocation-v0"


def pool(classes: int, dimension: int, seed: int) -> Pool:
    rng = np.random.default_rng(seed)
    label = rng.integers(classes, size=240)
    return Pool(
        3 * rng.standard_normal((classes, dimension))[label] + rng.standard_normal((240, dimension)),
        hidden={"label": label},
        split=np.arange(240) % 3,
        class_names=tuple(map(str, range(classes))),
    )


def test_what_was_learned_on_two_pools_holds_on_a_third(tmp_path: Path) -> None:
    """Novelty is paid; an agent that had learned nothing would get what its arms pay on average."""
    kwargs = {
        "pool": pool(3, 5, 0),
        "arm_features": "state",
        "criteria": ["typiclust", "random", "coreset", "margin"],
        "reward": {"novelty": 1.0},
        "learner": {"kind": "linear", "members": 2},
        "budget": 30,
        "batch": 5,
        "n_initial": 10,
    }
    unseen = pool(6, 9, 2)
    training = Training(
        total_timesteps=1024,
        n_envs=4,
        hyperparameters={"n_steps": 32, "batch_size": 64, "width": 16, "learning_rate": 0.01},
    )
    scenario = Scenario(
        name="transfer",
        env=ENV,
        kwargs=kwargs,
        overrides={"training": {"more_pools": [pool(4, 7, 1)]}, "evaluation": {"pool": unseen}},
        agents={"ppo": training},
    )
    learned = task_of(ENV, scenario.kwargs_for("training"))
    PPOAgent(learned, seed=0).learn(scenario, seed=1).save(tmp_path / "policy")
    core = AnnotationAllocationVectorEnv(1, **scenario.kwargs_for("evaluation"))
    assert core.task.pool_fingerprint not in learned.pool_fingerprint
    policy = make_policy(tmp_path / "policy", core.task, 3)
    seeds = list(range(20))
    arms = [ConstantArm(core.task, arm=f"all/{name}") for name in kwargs["criteria"]]
    learned_return, *by_arm = (
        evaluate(acting, ENV, scenario.kwargs_for("evaluation"), seeds).returns.mean() for acting in [policy, *arms]
    )
    assert learned_return > 1.15 * np.mean(by_arm)

"""Every kind of learner and every bandit plays a campaign to its end, and what is learned is worth the labels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.policy import make_policy
from curation_gym.pools import Pool
from experiments.harness.policies import POLICIES
from experiments.umc.strategies import STRATEGIES
from tests.envs.test_annotation_options import POOL, start
from tests.learners.test_transformer import save_bert, text_pool

MLP = {"steps": 25, "width": 16, "members": 3, "learning_rate": 0.02}
LEARNERS: dict[str, dict[str, Any]] = {
    "mc_dropout": {"kind": "mc_dropout", **MLP, "steps": 60},
    "checkpoints": {"kind": "checkpoints", **MLP},
    "subspaces": {"kind": "subspaces", "members": 3},
    "views": {"kind": "views", "pools": [Pool(POOL.embeddings[:, :4], split=POOL.split)]},
    "specialists": {"kind": "specialists"},
    "sklearn": {"kind": "sklearn", "estimator": "sklearn.naive_bayes:GaussianNB", "members": 2},
    "continual": {"kind": "continual", "memory": 20, "learner": {"kind": "mc_dropout", **MLP}},
    "stack": {"kind": "stack", "learners": [{"kind": "linear", "members": 2}, {"kind": "checkpoints", **MLP}]},
}


def played(core: AnnotationAllocationVectorEnv, policy: Any) -> list[float]:
    """Test accuracy after every pull."""
    observation, info = core.reset(seed=[0])
    state, begins, done, accuracy = None, np.ones(1, np.bool_), False, [float(info["test_accuracy"][0])]
    while not done:
        actions, state = policy.predict(observation, state, begins)
        observation, _, terminated, _, info = core.step(actions)
        begins, done = np.zeros(1, np.bool_), bool(terminated[0])
        accuracy.append(float(info["test_accuracy"][0]))
    assert info["labels_spent"][0] == core.config.budget
    return accuracy


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS.keys())
def test_every_kind_of_learner_learns_in_a_campaign(learner: dict[str, Any]) -> None:
    core = start(criteria=("margin", "disagreement"), learner=learner)
    accuracy = played(core, make_policy("baselines.round_robin:RoundRobin", core.task, 0))
    assert accuracy[-1] > max(accuracy[0], 0.75)
    members = core.campaign(0).learner.predict_proba(core.setting.test)
    assert len(members) == core.campaign(0).learner.members > 1
    core.reset(seed=[1])
    foreseen = core.lookahead(0, np.array(0))
    *_, info = core.step(np.array([0]))
    assert info["test_accuracy"][0] == foreseen, "a copy learns what the campaign then learns"


def test_a_transformer_learns_in_a_campaign(tmp_path: Path) -> None:
    save_bert(tmp_path / "model")
    texts = text_pool()
    pool = Pool(
        texts.embeddings,
        hidden=dict(texts.hidden),
        data=texts.data,
        split=np.arange(len(texts)) % 3,
        class_names=("good", "bad"),
    )
    quick = {"kind": "transformer", "learning_rate": 0.02, "batch_size": 8, "epochs": 12}
    core = AnnotationAllocationVectorEnv(
        1, pool=pool, budget=8, batch=2, n_initial=4, learner=quick | {"model": str(tmp_path / "model")}
    )
    assert played(core, make_policy("baselines.random:Random", core.task, 0))[-1] == 1


@pytest.mark.parametrize(
    "policy", ["ucb1", "thompson_gaussian", "thompson_beta", "discounted_ucb", "sliding_window_ucb", "linucb"]
)
def test_every_bandit_asks_less_about_what_is_flagged(policy: str) -> None:
    """A domain of junk: whoever is paid for answers leaves it."""
    junk = Pool(
        POOL.embeddings,
        domain=POOL.domain,
        domain_names=POOL.domain_names,
        hidden={"label": np.where(POOL.domain == 1, -1, POOL.hidden["label"])},
        split=POOL.split,
        class_names=POOL.class_names,
    )
    core = start(pool=junk, subsets="domains", criteria=("margin",), reward={"answered": 1.0}, budget=150)
    played(core, make_policy(POLICIES[policy], core.task, 0))
    asked = core.setting.domain[core.campaign(0).asked]
    assert (asked == 1).mean() < 0.25, "a third of the pool"


def test_the_proposal_as_written_plays_a_campaign() -> None:
    strategy = STRATEGIES["umc_as_written"]
    core = start(**(strategy.kwargs | {"n_clusters": 4}))
    accuracy = played(core, make_policy(strategy.policy, core.task, 0, **strategy.hyperparameters))
    assert accuracy[-1] > accuracy[0]

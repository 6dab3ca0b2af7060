"""UMC: what its weights say, and that it leaves junk alone on a real campaign."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from agents.umc import LATER, UMC, kl_upper_bound
from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.policy import PolicyError
from curation_gym.pools import Pool

counts = arrays(np.int64, (3, 4), elements=st.integers(0, 500))


@given(labels=counts, shares=arrays(np.float64, (3, 4), elements=st.floats(0, 1)))
def test_the_bound_is_the_largest_mean_that_the_labels_leave_possible(labels: np.ndarray, shares: np.ndarray) -> None:
    q = kl_upper_bound(labels * shares, labels.astype(float))
    mean = np.where(labels > 0, shares, 1.0)
    assert (q >= mean - 1e-12).all()
    assert (q <= 1).all()
    room = np.log(np.maximum(labels.sum(1, keepdims=True), 1))
    for p, bound, n, r in np.nditer([mean, q, labels, np.broadcast_to(room, q.shape)]):
        if p > 0 and p < 1 and bound < 1 - 1e-6 and n:
            kl = p * np.log(p / bound) + (1 - p) * np.log((1 - p) / (1 - bound))
            assert n * kl == pytest.approx(r, rel=1e-3, abs=1e-3)


def test_what_was_always_worth_it_weighs_one_and_junk_fades() -> None:
    labels = np.array([[100.0, 10.0, 0.0], [100.0, 100.0, 0.0]])
    theta = kl_upper_bound(np.array([[100.0, 0.0, 0.0], [100.0, 0.0, 0.0]]), labels)
    np.testing.assert_array_equal(theta[:, [0, 2]], 1)
    # kl(0, q) = −ln(1 − q), so q = 1 − t^(−1/N)
    np.testing.assert_allclose(theta[:, 1], [1 - 110 ** (-1 / 10), 1 - 200 ** (-1 / 100)], atol=1e-6)


def junk_pool() -> Pool:
    """Six classes in two domains, and a domain of samples that no class fits and that look most uncertain."""
    rng = np.random.default_rng(0)
    label = np.r_[rng.integers(6, size=600), np.full(300, -1)]
    centres = 2 * rng.standard_normal((6, 8))
    embeddings = np.where(label[:, None] >= 0, centres[label], 0) + rng.standard_normal((900, 8))
    domain = np.where(label < 0, 2, label % 2)
    split = np.arange(900) % 3 == 2
    return Pool(
        embeddings,
        domain=domain,
        domain_names=("even", "odd", "junk"),
        hidden={"label": label},
        split=2 * split,
        class_names=tuple("abcdef"),
    )


ENV = {
    "pool": junk_pool(),
    "subsets": "domains",
    "criteria": ("coverage", "margin"),
    "action": "soft",
    "reward": {"answered": 1.0},
    "budget": 150,
    "batch": 5,
}


def test_it_asks_for_less_junk_than_the_criterion_alone_and_shares_a_weight_per_subset() -> None:
    core = AnnotationAllocationVectorEnv(2, **ENV)
    policy = UMC(core.task)
    flags = {"umc": 0, "margin": 0}
    for name in flags:
        observation, _ = core.reset(seed=[1, 2])
        for _ in range(core.task.horizon):
            weights, _ = policy.predict(observation)
            assert weights in core.action_space
            if name == "umc":
                covering, later = weights[:, 0::2], weights[:, 1::2]
                np.testing.assert_allclose(later, LATER * covering, rtol=1e-6)
            observation, _, _, _, info = core.step(weights if name == "umc" else np.ones_like(weights))
            flags[name] += int(info["flags"].sum())
    assert flags["umc"] < 0.6 * flags["margin"]


def test_one_observation_is_a_row_of_a_batch() -> None:
    core = AnnotationAllocationVectorEnv(3, **ENV)
    observation, _ = core.reset(seed=0)
    for _ in range(4):
        observation, *_ = core.step(np.ones((3, 6), np.float32))
    policy = UMC(core.task)
    batch, _ = policy.predict(observation)
    single, _ = policy.predict({key: value[1] for key, value in observation.items()})
    np.testing.assert_array_equal(single, batch[1])


def test_hard_arms_are_refused() -> None:
    task = gym.make("CurationGym/AnnotationAllocation-v0").unwrapped.task
    with pytest.raises(PolicyError, match="action='soft'"):
        UMC(task)

"""UMC: what its weights say, and that it leaves junk alone on a real campaign."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
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
                np.testing.assert_allclose(later / later.max(), covering / covering.max(), rtol=1e-6)
                assert (later <= LATER * covering).all()
            observation, _, _, _, info = core.step(weights if name == "umc" else np.ones_like(weights))
            flags[name] += int(info["flags"].sum())
    assert flags["umc"] < 0.6 * flags["margin"]


class Told:
    """A task of four subsets whose observation holds its columns as they are."""

    family, action_space, env_id = "allocation", spaces.Box(0, 1, (8,), np.float32), "told"
    arms = tuple(f"{subset}/{criterion}" for subset in "abcd" for criterion in ("coverage", "margin"))

    def read(self, observation: dict[str, np.ndarray], name: str) -> np.ndarray:
        return observation[name]


@given(labels=counts, served=counts)
def test_who_has_less_than_half_its_share_is_asked_first_and_who_has_twice_as_much_last(
    labels: np.ndarray, served: np.ndarray
) -> None:
    target = served / np.maximum(served.sum(1, keepdims=True), 1)
    spent = np.zeros((3, 8))
    spent[:, 1::2] = labels
    seen = {"labels_spent": spent, "mean_reward": np.ones((3, 8)), "target_share": np.repeat(target, 2, 1)}
    weights, _ = UMC(Told()).predict(seen | {"mask": np.ones((3, 8), np.int8)})
    np.testing.assert_array_equal(weights[:, 0::2], 1)
    share = labels / np.maximum(labels.sum(1, keepdims=True), 1)
    for weight, got, asked in zip(weights[:, 1::2], share, target, strict=True):
        first, last = got < asked / 2, (got > 2 * asked) & (asked > 0)
        fair = ~(first | last)
        for sooner, later in ((first, fair), (fair, last), (first, last)):
            if sooner.any() and later.any():
                assert weight[sooner].min() > 50 * weight[later].max()
        for tier in (first, fair, last):
            assert len(np.unique(weight[tier])) <= 1


def told(labels: list[int], mean: list[float], target: list[float], left: list[int]) -> dict[str, np.ndarray]:
    """Everything is of the arms by margin, but for what both arms of a subset share."""
    columns = {"labels_spent": np.kron(labels, [0, 1]), "mean_reward": np.repeat(mean, 2)}
    return columns | {"target_share": np.repeat(target, 2), "mask": np.repeat(left, 2)}


def test_what_a_bandit_is_compared_with_asks_by_the_same_criteria() -> None:
    seen = told([60, 20, 10, 10], [1.0, 0.0, 1.0, 1.0], [0.25] * 4, [1, 1, 1, 0])
    equal, _ = UMC(Told(), allocation="equal", band=None).predict(seen)
    assert (equal[0::2] == [1, 1, 1, 0]).all()
    assert len(set(equal[1:6:2])) == 1, "alike, whatever they were worth and have"
    stratified, _ = UMC(Told(), allocation="stratified").predict(seen)
    assert np.flatnonzero(stratified).tolist() == [4, 5], "the fewest labels of those that have a sample left"
    only, _ = UMC(Told(), allocation="b").predict(seen)
    assert np.flatnonzero(only).tolist() == [2, 3], "though its labels were worth nothing"
    dry, _ = UMC(Told(), allocation="d").predict(seen)
    assert not dry.any(), "and nothing else when it is exhausted"
    for weights in (equal, stratified, only):
        assert (weights[1::2][weights[0::2] > 0] <= LATER).all()


def test_without_a_band_shares_are_nobodys_concern() -> None:
    seen = told([90, 1, 5, 4], [1.0] * 4, [0.25, 0.25, 0.5, 0.0], [1] * 4)
    banded, _ = UMC(Told()).predict(seen)
    free, _ = UMC(Told(), band=None).predict(seen)
    assert len(set(banded[1::2])) == 3
    assert len(set(free[1::2])) == 1


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [({"allocation": "fair"}, "one of bandit, equal, stratified, a, b, c, d"), ({"band": 0.5}, "band must be >= 1")],
)
def test_wrong_options_are_named(wrong: dict[str, object], complaint: str) -> None:
    with pytest.raises(PolicyError, match=complaint):
        UMC(Told(), **wrong)


def test_labels_follow_what_is_to_be_served_where_the_pool_is_mixed_otherwise() -> None:
    """A tenth of the candidates and half of what is validated is worth a quarter of the labels."""
    rng = np.random.default_rng(0)
    split = np.repeat([0, 1, 2], [600, 100, 100])
    domain = np.where(split == 0, np.arange(800) % 10 == 0, np.arange(800) % 2 == 0).astype(int)
    label = rng.integers(4, size=800)
    embeddings = rng.standard_normal((800, 6)) + np.where(domain, 6, 1)[:, None] * np.eye(6)[label]  # the rare is easy
    pool = Pool(
        embeddings,
        domain=domain,
        domain_names=("common", "rare"),
        hidden={"label": label},
        split=split,
        class_names=tuple("abcd"),
    )
    core = AnnotationAllocationVectorEnv(1, **(ENV | {"pool": pool, "budget": 200}))
    policy = UMC(core.task)
    observation, _ = core.reset(seed=[1])
    done = False
    while not done:
        observation, _, terminated, _, _ = core.step(policy.predict(observation)[0])
        done = bool(terminated[0])
    spent = core.task.read(observation, "labels_spent")[0].reshape(2, 2).sum(1)
    assert spent[1] / spent.sum() == pytest.approx(0.25, abs=0.05), "the easy ones are asked about no more than needed"


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

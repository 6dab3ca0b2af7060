"""The item network: equivariance, action forms, ids, and the saved bundle."""

import json

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import VecEnv

from curation_gym.envs.coverage_selection import CoverageSelectionVectorEnv
from curation_gym.envs.rotting_arms import RottingArmsVectorEnv
from curation_gym.envs.sb3 import SB3VecEnv
from curation_gym.networks import SHARPNESS, ItemNetwork, ItemPolicy, LogitNormal, action_form
from curation_gym.policy import PolicyError, make_policy
from curation_gym.pools import Pool
from curation_gym.saved_policy import SavedPolicy

SHAPE = {"n_items": 7, "horizon": 6, "budget": 11}


def bridge(pool: Pool, *, binary: bool = False, **kwargs: object) -> VecEnv:
    core = CoverageSelectionVectorEnv(3, pool=pool, autoreset_mode="SameStep", **SHAPE, **kwargs)
    return SB3VecEnv(core, binary=binary)


def item_policy(env: SB3VecEnv, **kwargs: object) -> ItemPolicy:
    th.manual_seed(0)
    return ItemPolicy(env.observation_space, env.action_space, lambda _: 1e-3, **kwargs)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 9), masked=st.integers(0, 4), n_embedding=st.sampled_from([0, 3]))
def test_permuting_the_items_permutes_the_logits_and_keeps_the_value(
    seed: int, n: int, masked: int, n_embedding: int
) -> None:
    th.manual_seed(seed)
    network = ItemNetwork(5, 2, width=16, n_embedding=n_embedding)
    for parameter in network.parameters():
        th.nn.init.normal_(parameter, std=0.5)
    item, context, order = th.randn(2, n, 5), th.randn(2, 2), th.randperm(n)
    mask = th.ones(2, n)
    mask[:, : min(masked, n - 1)] = 0
    with th.no_grad():
        logits, values = network(item, context, mask)
        permuted, same = network(item[:, order], context, mask[:, order])
    th.testing.assert_close(permuted, logits[:, order])
    th.testing.assert_close(same, values)
    assert logits.std() > 0 or n == 1


@pytest.mark.parametrize("n_embedding", [0, 3])
def test_masked_items_change_nothing(n_embedding: int) -> None:
    th.manual_seed(0)
    network = ItemNetwork(5, 2, width=16, n_embedding=n_embedding)
    item, context, mask = th.randn(1, 6, 5), th.randn(1, 2), th.tensor([[1, 1, 0, 1, 0, 1.0]])
    other = item.clone()
    other[:, [2, 4]] = 100.0
    for one, two in zip(network(item, context, mask), network(other, context, mask), strict=True):
        th.testing.assert_close(one, two)


def test_an_item_sees_what_resembles_it() -> None:
    item = th.tensor([[[1.0, 0, 0.3, 0.5], [2.0, 0, 0.7, 0.1], [0, 1.0, 0.2, 0.9]]])  # 2 embedding columns, 2 others
    mask = th.ones(1, 3)
    network = ItemNetwork(4, 1, width=8, n_embedding=2)
    with th.no_grad():
        network.from_item.weight.zero_()[0, 4] = 1  # only what is alike, its first column
        network.from_item.bias.zero_()
        network.from_context.weight.zero_()
    seen: list[th.Tensor] = []
    network.from_item.register_forward_hook(lambda _, __, output: seen.append(output[0, :, 0]))
    network(item, th.zeros(1, 1), mask)
    far = np.exp(-SHARPNESS)
    expected = [0.7 + far * 0.2, 0.3 + far * 0.2, far * (0.3 + 0.7)]
    th.testing.assert_close(seen[0], th.tensor(expected).float())


@pytest.mark.parametrize(
    ("space", "form"),
    [
        (spaces.Discrete(4), "index"),
        (spaces.MultiBinary(4), "binary"),
        (spaces.Box(0, 1, (4,), np.float32), "probability"),
    ],
)
def test_action_forms(space: spaces.Space, form: str) -> None:
    assert action_form(space) == form


@pytest.mark.parametrize("space", [spaces.Box(-1, 1, (4,)), spaces.Box(0, 1, (2, 2)), spaces.MultiDiscrete([2, 2])])
def test_other_spaces_are_refused(space: spaces.Space) -> None:
    with pytest.raises(PolicyError, match="the item network acts in"):
        action_form(space)


@settings(max_examples=30, deadline=None)
@given(mean=st.floats(-3, 3), log_std=st.floats(-2, 1), p=st.floats(0.01, 0.99))
def test_logit_normal_density(mean: float, log_std: float, p: float) -> None:
    distribution = LogitNormal(1).proba_distribution(th.tensor([[mean]]), th.tensor([log_std]))
    z = np.log(p / (1 - p))
    expected = -0.5 * ((z - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi) - np.log(p * (1 - p))
    assert distribution.log_prob(th.tensor([[p]])).item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("binary", [False, True])
def test_rollout_and_update_agree_on_log_probabilities(small_pool: Pool, binary: bool) -> None:
    env = bridge(small_pool, binary=binary)
    policy = item_policy(env)
    observation, _ = policy.obs_to_tensor(env.reset())
    actions, values, log_prob = policy(observation)
    again_values, again, _ = policy.evaluate_actions(observation, actions)
    assert actions.shape == (3, 7)
    th.testing.assert_close(again, log_prob)
    th.testing.assert_close(again_values, values)
    th.testing.assert_close(policy.predict_values(observation), values)


def test_ids_and_dense_observations_give_the_same_logits(small_pool: Pool) -> None:
    dense, ids = bridge(small_pool), bridge(small_pool, observation="ids")
    fingerprint = dense.env.task.pool_fingerprint
    one, other = item_policy(dense), item_policy(ids, pool=small_pool, pool_fingerprint=fingerprint)
    dense.set_seeds([1, 2, 3]), ids.set_seeds([1, 2, 3])
    a, b = dense.reset(), ids.reset()
    for _ in range(4):
        mean = [p.get_distribution(p.obs_to_tensor(o)[0]).mode() for p, o in ((one, a), (other, b))]
        th.testing.assert_close(*mean)
        action = np.full((3, 7), 0.3, np.float32)
        a, b = dense.step(action)[0], ids.step(action)[0]


def test_ids_beyond_float32_survive(small_pool: Pool) -> None:
    """2²⁴ + 1 is not a float32; an id must reach the pool unharmed."""
    n = 2**24 + 2
    pool = Pool(np.broadcast_to(np.zeros((1, 1), np.float32), (n, 1)).copy(), {"utility": np.arange(n) % 2})
    space = spaces.Dict(
        item=spaces.Box(0, 2**31 - 1, (2,), np.int32),
        dynamic=spaces.Box(0, 1, (2, 2), np.float32),
        context=spaces.Box(0, 1, (2,), np.float32),
        mask=spaces.MultiBinary(2),
    )
    policy = ItemPolicy(space, spaces.MultiBinary(2), lambda _: 1e-3, pool=pool, pool_fingerprint=pool.fingerprint)
    observation = {
        "item": np.array([2**24, 2**24 + 1], np.int32),
        "dynamic": np.ones((2, 2), np.float32),
        "context": np.ones(2, np.float32),
        "mask": np.ones(2, np.int8),
    }
    item, _, _ = policy.gatherer(policy.obs_to_tensor(observation)[0], policy.device)
    assert item[0, :, 1].tolist() == [0.0, 1.0]


def test_ids_need_the_right_pool(small_pool: Pool) -> None:
    env = bridge(small_pool, observation="ids")
    with pytest.raises(PolicyError, match="pass the pool that they refer to"):
        item_policy(env)
    with pytest.raises(PolicyError, match="the pool's fingerprint is"):
        item_policy(env, pool=small_pool, pool_fingerprint="another")
    with pytest.raises(PolicyError, match="the pool's fingerprint is"):
        item_policy(env, pool=small_pool)


# --------------------------------------------------------------- saved bundle
def saved(pool: Pool, path: object, *, binary: bool = False, temperature: float = 1.0) -> SavedPolicy:
    env = bridge(pool, binary=binary)
    policy = item_policy(env, n_embedding=2)
    for parameter in policy.network.parameters():
        th.nn.init.normal_(parameter, std=0.3)
    bundle = SavedPolicy.of(policy, env.env.task, temperature=temperature)
    bundle.save(path)
    return bundle


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_saved_policy_acts_like_the_one_that_was_saved(small_pool, tmp_path, binary, deterministic) -> None:
    bundle = saved(small_pool, tmp_path / "p", binary=binary)
    env = CoverageSelectionVectorEnv(3, pool=small_pool, **SHAPE)
    observation, _ = env.reset(seed=0)
    loaded = make_policy(tmp_path / "p", env.task, seed=4)
    bundle.generator.manual_seed(4)
    action, _ = loaded.predict(observation, deterministic=deterministic)
    np.testing.assert_array_equal(action, bundle.predict(observation, deterministic=deterministic)[0])
    single, _ = loaded.predict({k: v[1] for k, v in observation.items()}, deterministic=True)
    np.testing.assert_allclose(single, loaded.predict(observation, deterministic=True)[0][1], rtol=1e-5)
    assert action in env.action_space
    assert sorted(path.name for path in (tmp_path / "p").iterdir()) == ["policy.json", "weights.safetensors"]


def test_a_binary_policy_gives_its_probabilities_where_the_environment_draws(small_pool, tmp_path) -> None:
    bundle = saved(small_pool, tmp_path / "p", binary=True)
    env = CoverageSelectionVectorEnv(3, pool=small_pool, **SHAPE)
    observation, _ = env.reset(seed=0)
    tensors = {key: th.as_tensor(value) for key, value in observation.items()}
    logits, _ = bundle.network(*bundle.gatherer(tensors, th.device("cpu")))
    np.testing.assert_allclose(bundle.predict(observation)[0], th.sigmoid(logits).detach().numpy(), rtol=1e-6)


@pytest.mark.parametrize("binary", [False, True])
def test_temperature_sharpens_what_is_drawn(small_pool, tmp_path, binary) -> None:
    env = CoverageSelectionVectorEnv(1000, pool=small_pool, **SHAPE)
    observation, _ = env.reset(seed=0)
    drawn = {}
    for temperature in (0.0, 0.25, 1.0):
        saved(small_pool, tmp_path / "p", binary=binary, temperature=temperature)
        policy = make_policy(tmp_path / "p", env.task, seed=4)
        drawn[temperature] = policy.predict(observation)[0]
    mode = policy.predict(observation, deterministic=True)[0]
    np.testing.assert_array_equal(drawn[0.0], mode)
    error = {temperature: np.abs(action - mode).mean() for temperature, action in drawn.items()}
    assert 0 < error[0.25] < error[1.0]


def test_a_policy_for_other_columns_or_actions_is_refused(small_pool, tmp_path) -> None:
    saved(small_pool, tmp_path / "p")
    other = CoverageSelectionVectorEnv(1, pool={"builder": "synthetic", "dimension": 9}, **SHAPE)
    with pytest.raises(PolicyError, match="column 6 was 'alignment', is 'embedding_6'"):
        make_policy(tmp_path / "p", other.task)
    with pytest.raises(PolicyError, match="has 7 and 2"):
        make_policy(tmp_path / "p", RottingArmsVectorEnv(1).task)


def test_a_damaged_bundle_is_refused(small_pool, tmp_path) -> None:
    saved(small_pool, tmp_path / "p")
    task = CoverageSelectionVectorEnv(1, pool=small_pool, **SHAPE).task
    weights = tmp_path / "p" / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PolicyError, match="was truncated or altered"):
        make_policy(tmp_path / "p", task)
    weights.write_bytes(whole)
    header = tmp_path / "p" / "policy.json"
    content = json.loads(header.read_text())
    for change in ({"width": 65}, {"extra": 1}, {"form": None, "item_features": 3}):
        header.write_text(json.dumps(content | change))
        with pytest.raises(PolicyError, match="was truncated or altered"):
            make_policy(tmp_path / "p", task)
    for text in ("[]", "{}", "{"):
        header.write_text(text)
        with pytest.raises(PolicyError, match="is no saved policy"):
            make_policy(tmp_path / "p", task)
    header.write_text(json.dumps(content | {"format_version": 99}))
    with pytest.raises(PolicyError, match="has format version 99"):
        make_policy(tmp_path / "p", task)


def test_saving_never_replaces_what_is_no_policy(small_pool, tmp_path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(PolicyError, match="exists and is no saved policy"):
        saved(small_pool, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").exists()
    first = saved(small_pool, tmp_path / "p")
    first.save(tmp_path / "p")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "p"]


def test_masked_items_take_no_part_in_the_density() -> None:
    """Else an exhausted arm, which nobody can choose, would drive the policy's variance."""
    log_std = th.zeros(6, requires_grad=True)
    mean = th.tensor([[0.3, -0.2, 0.1, -30.0, -30.0, -30.0]])
    masked = LogitNormal(6).proba_distribution(mean, log_std)
    free = LogitNormal(3).proba_distribution(mean[:, :3], th.zeros(3))
    action = masked.sample()
    assert (action[:, 3:] == 0).all()
    th.testing.assert_close(masked.log_prob(action), free.log_prob(action[:, :3]))
    masked.log_prob(action).sum().backward()
    assert (log_std.grad[3:] == 0).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no/such/policy", "no policy at 'no/such/policy': name a class as 'module:Class'"),
        ("no_such_module:Policy", "can't import policy 'no_such_module:Policy'"),
        ("agents.bandits:NoSuchBandit", "can't import policy"),
        ("pathlib:Path", "failed|has no predict"),
    ],
)
def test_an_unknown_policy_is_named(name: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        make_policy(name, RottingArmsVectorEnv(1).task)

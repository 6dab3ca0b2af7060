"""Behaviour cloning: what a rule does is where training begins."""

from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecNormalize

from curation_gym.networks import ItemPolicy
from curation_gym.policy import Policy, PolicyError

BATCH, EPOCHS, LEARNING_RATE = 128, 30, 1e-3


def imitate(model: OnPolicyAlgorithm, env: VecNormalize, rule: Policy, n_steps: int) -> None:
    """Fit a fresh policy to what a rule does, and its critic to the returns that the rule gets.

    Pomerleau, "ALVINN", NeurIPS 1988. Reinforcement learning then starts where the rule is, instead of finding out
    first that what scores well is worth selecting.

    Args:
        model: with an item policy.
        env: where the rule acts, by ``MultiBinary`` actions.
        rule: a policy whose actions are probabilities, as Selection has them; drawn by the model's seed.
        n_steps: environment steps that the rule acts, over all sub-environments; whole episodes count.

    Raises:
        PolicyError: when no episode ends within them.
    """
    policy = model.policy
    assert isinstance(policy, ItemPolicy)
    rng = np.random.default_rng(int(th.randint(2**31, (1,))))
    observations, actions, returns = _follow(env, rule, n_steps, model.gamma, rng)
    optimizer = th.optim.Adam(policy.parameters(), lr=LEARNING_RATE)
    for _ in range(EPOCHS):
        for rows in np.array_split(rng.permutation(len(actions)), max(1, len(actions) // BATCH)):
            batch = {name: th.as_tensor(part[rows]) for name, part in observations.items()}
            values, likelihood, _ = policy.evaluate_actions(batch, th.as_tensor(actions[rows]))
            error = th.nn.functional.mse_loss(values.flatten(), th.as_tensor(returns[rows]))
            optimizer.zero_grad()
            (error - likelihood.mean() / actions.shape[1]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def _follow(
    env: VecNormalize, rule: Policy, n_steps: int, gamma: float, rng: np.random.Generator
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32], NDArray[np.float32]]:
    """What the rule sees, does and gets, over whole episodes: observations, actions, discounted returns."""
    seen: list[dict[str, NDArray[Any]]] = []
    done, got, ended = [], [], []
    observation, state, start = env.reset(), None, np.ones(env.num_envs, np.bool_)
    while len(seen) * env.num_envs < n_steps:
        assert isinstance(observation, dict)
        p, state = rule.predict(observation, state, episode_start=start)
        seen.append({name: part.copy() for name, part in observation.items()})
        done.append((rng.random(p.shape) < p).astype(np.int8))
        observation, _, start, _ = env.step(done[-1])
        got.append(env.get_original_reward()), ended.append(start)
    scaled = env.normalize_reward(np.stack(got))  # by the scale at the end, which is where training begins
    following, returns = np.zeros(env.num_envs), np.zeros((len(got), env.num_envs))
    complete = np.zeros((len(got), env.num_envs), np.bool_)
    known = np.zeros(env.num_envs, np.bool_)
    for step in reversed(range(len(got))):
        known |= ended[step]
        following = scaled[step] + gamma * np.where(ended[step], 0, following)
        returns[step], complete[step] = following, known
    if not complete.any():
        raise PolicyError(f"imitation_steps: {n_steps} over {env.num_envs} sub-environments are less than an episode")
    observations = {name: np.stack([one[name] for one in seen])[complete] for name in seen[0]}
    return observations, np.stack(done)[complete].astype(np.float32), returns[complete].astype(np.float32)

"""The item network: one permutation-equivariant actor-critic for every environment and action form of the suite."""

from typing import Any, Literal

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    Distribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from curation_gym.policy import PolicyError
from curation_gym.pools.features import gather
from curation_gym.pools.pool import Pool

ActionForm = Literal["index", "binary", "probability"]
MASKED_LOGIT = -30.0  # σ(−30) ≈ 1e-13: never drawn, and still finite in every log-probability
SHARPNESS = 8.0  # half as alike at a cosine of 0.91
_EDGE = 1e-6


def action_form(space: spaces.Space[Any]) -> ActionForm:
    """How a number per item becomes an action of ``space``.

    Raises:
        PolicyError: for a space that isn't Discrete, MultiBinary or a 1-D Box(0, 1).
    """
    if isinstance(space, spaces.Discrete):
        return "index"
    if isinstance(space, spaces.MultiBinary):
        return "binary"
    if isinstance(space, spaces.Box) and len(space.shape) == 1 and space.low.min() == 0 and space.high.max() == 1:
        return "probability"
    raise PolicyError(f"the item network acts in Discrete, MultiBinary or Box(0, 1, (n,)), actual space: {space}")


class ItemNetwork(nn.Module):
    """Logit per item and value of the state, equivariant and invariant to the items' order.

    Each item is encoded together with the context; encodings are pooled over unmasked items by mean and maximum; one
    head maps (encoding, pool) to a logit, another maps the pool to a value. Deep Sets (Zaheer et al., NeurIPS 2017).
    Actor and critic share the encoder: it is most of the cost, and learns faster from both.

    With ``n_embedding``, an item also sees what resembles it in the same step: Σ_j k_ij x_j over the other unmasked
    items, x_j their columns after the embedding, k_ij = exp(8 · (cos_ij − 1)) with the cosine of the embeddings. It is
    attention with nothing to learn and at little cost, and lets a policy keep one of several alike.

    Args:
        n_item_features: columns of an item.
        n_context: columns of the context.
        width: of every hidden layer.
        initial_logit: bias of the logit, so that a fresh policy spends about the right budget.
        n_embedding: leading item columns that are an embedding; 0: items don't see one another but through the pool.
    """

    def __init__(
        self,
        n_item_features: int,
        n_context: int,
        width: int = 64,
        initial_logit: float = 0.0,
        n_embedding: int = 0,
    ) -> None:
        super().__init__()
        self.n_embedding = n_embedding
        n_alike = n_item_features - n_embedding if n_embedding else 0
        self.from_item = nn.Linear(n_item_features + n_alike, width)
        self.from_context = nn.Linear(n_context, width, bias=False)
        self.encoder = nn.Linear(width, width)
        self.item_head = nn.Linear(width, width)
        self.pool_head = nn.Linear(2 * width + n_context, width)
        self.logit = nn.Linear(width, 1)
        self.value = nn.Sequential(nn.Linear(2 * width + n_context, width), nn.ReLU(), nn.Linear(width, 1))
        nn.init.orthogonal_(self.logit.weight, 0.01)
        nn.init.constant_(self.logit.bias, initial_logit)

    def forward(self, item: th.Tensor, context: th.Tensor, mask: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
        """(batch, n_items, n_item_features), (batch, n_context), (batch, n_items) → (batch, n_items), (batch, 1)."""
        if self.n_embedding:
            item = th.cat([item, _alike(item, mask, self.n_embedding)], dim=-1)
        encoded = th.relu(self.from_item(item) + self.from_context(context)[:, None])
        encoded = th.relu(self.encoder(encoded))
        present = encoded * mask[..., None]
        mean = present.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        largest = present.amax(1)  # encodings are ≥ 0, so masked ones never win
        pooled = th.cat([mean, largest, context], dim=-1)
        hidden = th.relu(self.item_head(encoded) + self.pool_head(pooled)[:, None])
        logits = self.logit(hidden).squeeze(-1).masked_fill(mask < 0.5, MASKED_LOGIT)
        return logits, self.value(pooled)


@th.no_grad()
def _alike(item: th.Tensor, mask: th.Tensor, n_embedding: int) -> th.Tensor:
    """(batch, n_items, columns after the embedding), Σ_j k_ij x_j over the others."""
    unit = nn.functional.normalize(item[..., :n_embedding], dim=-1)
    kernel = (unit @ unit.mT).sub_(1).mul_(SHARPNESS).exp_()
    kernel.diagonal(dim1=1, dim2=2).zero_()
    return kernel @ (item[..., n_embedding:] * mask[..., None])


class LogitNormal(DiagGaussianDistribution):
    """Independent probabilities p = σ(z), z ~ N(mean, std²): what explores in Box(0, 1) without clipping.

    An item whose mean is ``MASKED_LOGIT`` gets 0 and takes no part in the density.
    """

    def proba_distribution(self, mean_actions: th.Tensor, log_std: th.Tensor) -> "LogitNormal":
        self.present = mean_actions > MASKED_LOGIT
        super().proba_distribution(mean_actions, log_std)
        return self

    def log_prob(self, actions: th.Tensor) -> th.Tensor:
        p = actions.clamp(_EDGE, 1 - _EDGE)
        gaussian = self.distribution.log_prob(th.logit(p))  # type: ignore[no-untyped-call]
        density = gaussian - th.log(p) - th.log1p(-p)
        return th.where(self.present, density, 0).sum(-1)

    def entropy(self) -> None:
        """No closed form; Stable-Baselines3 then estimates it from log-probabilities."""
        return

    def sample(self) -> th.Tensor:
        return th.where(self.present, th.sigmoid(super().sample()).clamp(_EDGE, 1 - _EDGE), 0)

    def mode(self) -> th.Tensor:
        return th.where(self.present, th.sigmoid(super().mode()), 0)


class ItemPolicy(ActorCriticPolicy):
    """The item network as a Stable-Baselines3 policy, for PPO, A2C and what else takes an ``ActorCriticPolicy``.

    Args:
        observation_space, action_space, lr_schedule: as Stable-Baselines3 passes them.
        width: of hidden layers.
        initial_logit, n_embedding: see :class:`ItemNetwork`.
        initial_log_std: of the logit-normal, for Box actions.
        pool: required when observations hold ids; item columns are gathered from it.
        pool_fingerprint: the task's, checked against ``pool``; required with it.
        kwargs: the rest of ``ActorCriticPolicy``'s arguments.

    Raises:
        PolicyError: for an action space it can't serve, or ids without the right pool.
    """

    def __init__(
        self,
        observation_space: spaces.Dict,
        action_space: spaces.Space[Any],
        lr_schedule: Any,
        *,
        width: int = 64,
        initial_logit: float = 0.0,
        n_embedding: int = 0,
        initial_log_std: float = 0.0,
        pool: Pool | None = None,
        pool_fingerprint: str = "",
        **kwargs: Any,
    ) -> None:
        self.form = action_form(action_space)
        self.width, self.initial_logit, self.n_embedding = width, initial_logit, n_embedding
        self.initial_log_std = initial_log_std
        self.gatherer = Gatherer(observation_space, pool, pool_fingerprint)
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _build(self, lr_schedule: Any) -> None:
        n_context = spaces.flatdim(self.observation_space["context"])  # type: ignore[index]
        columns = self.gatherer.n_item_features
        self.network = ItemNetwork(columns, n_context, self.width, self.initial_logit, self.n_embedding)
        if self.form == "probability":
            self.action_dist = LogitNormal(spaces.flatdim(self.action_space))
            # One for all items: a parameter per position would break equivariance.
            self.log_std = nn.Parameter(th.tensor(float(self.initial_log_std)))
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        own = ("width", "initial_logit", "n_embedding", "initial_log_std")
        pool = {"pool": self.gatherer.pool, "pool_fingerprint": self.gatherer.fingerprint}
        return data | {name: getattr(self, name) for name in own} | pool

    def _distribution(self, logits: th.Tensor) -> Distribution:
        if isinstance(self.action_dist, LogitNormal):
            return self.action_dist.proba_distribution(logits, self.log_std.expand(logits.shape[-1]))
        assert isinstance(self.action_dist, CategoricalDistribution | BernoulliDistribution)
        return self.action_dist.proba_distribution(action_logits=logits)

    def forward(self, obs: Any, deterministic: bool = False) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        logits, values = self.network(*self.gatherer(obs, self.device))
        distribution = self._distribution(logits)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions.reshape((-1, *(self.action_space.shape or ()))), values, distribution.log_prob(actions)

    def evaluate_actions(self, obs: Any, actions: th.Tensor) -> tuple[th.Tensor, th.Tensor, th.Tensor | None]:
        logits, values = self.network(*self.gatherer(obs, self.device))
        distribution = self._distribution(logits)
        return values, distribution.log_prob(actions), distribution.entropy()

    def get_distribution(self, obs: Any) -> Distribution:
        return self._distribution(self.network(*self.gatherer(obs, self.device))[0])

    def predict_values(self, obs: Any) -> th.Tensor:
        values: th.Tensor = self.network(*self.gatherer(obs, self.device))[1]
        return values


class Gatherer:
    """Observations → (item, context, mask) tensors; with ids, the pool's columns around the dynamic ones."""

    def __init__(self, space: spaces.Dict, pool: Pool | None, fingerprint: str) -> None:
        self.ids = "dynamic" in space.spaces
        self.pool, self.fingerprint = pool, fingerprint
        if not self.ids:
            self.n_item_features = int(space["item"].shape[1])  # type: ignore[index]
            return
        if pool is None:
            raise PolicyError(
                "observations hold ids: pass the pool that they refer to, policy_kwargs={'pool': …, "
                "'pool_fingerprint': task.pool_fingerprint} in training, make_policy(…, pool=…) for a saved policy"
            )
        if pool.fingerprint != fingerprint:
            raise PolicyError(f"the pool's fingerprint is {pool.fingerprint}, the task's pool is {fingerprint!r}")
        before, after = gather(pool, np.zeros(1, np.int32))
        self.n_item_features = before.shape[1] + int(space["dynamic"].shape[1]) + after.shape[1]  # type: ignore[index]

    def __call__(self, obs: Any, device: th.device) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        context, mask = obs["context"].to(device).float(), obs["mask"].to(device).float()
        if not self.ids:
            return obs["item"].to(device).float(), context, mask
        assert self.pool is not None
        # Before any cast to float: float32 merges ids above 2²⁴.
        before, after = gather(self.pool, obs["item"].cpu().numpy())
        parts = (
            th.from_numpy(before).to(device),
            obs["dynamic"].to(device).float(),
            th.from_numpy(after).to(device),
        )
        return th.cat(parts, dim=-1), context, mask

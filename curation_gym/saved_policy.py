"""The saved-policy bundle: a trained item network as JSON and safetensors, without pickle."""

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from curation_gym.files import replace_directory
from curation_gym.networks import MASKED_LOGIT, ActionForm, Gatherer, ItemNetwork, ItemPolicy, action_form
from curation_gym.policy import PolicyError
from curation_gym.pools.pool import Pool
from curation_gym.task import Observation, Task

FORMAT_VERSION = 1


@dataclass(frozen=True)
class _Header:
    env_id: str
    form: ActionForm
    item_features: tuple[str, ...]
    context_features: tuple[str, ...]
    width: int
    n_embedding: int
    log_std: float | None
    temperature: float
    format_version: int = FORMAT_VERSION


class SavedPolicy:
    """A trained item network that predicts wherever the library is: ``policy.json`` + ``weights.safetensors``.

    Made by :meth:`of` or :meth:`load`. A policy that was trained to draw MultiBinary actions gives its
    probabilities where the task takes Box(0, 1); the environment then draws, with the same distribution.
    """

    def __init__(
        self,
        header: _Header,
        network: ItemNetwork,
        task: Task,
        seed: int | None = None,
        pool: Pool | None = None,
    ) -> None:
        if header.item_features != task.item_features or header.context_features != task.context_features:
            raise PolicyError(
                f"the policy was trained on {header.env_id} with {len(header.item_features)} item and "
                f"{len(header.context_features)} context columns; {task.env_id} has {len(task.item_features)} and "
                f"{len(task.context_features)}: {_first_difference(header.item_features, task.item_features)}"
            )
        acts = action_form(task.action_space)
        if (header.form == "index") != (acts == "index"):
            raise PolicyError(f"the policy's actions are of form {header.form!r}, {task.env_id} takes {acts!r}")
        self.header, self.network, self.task, self.acts = header, network.eval(), task, acts
        self.gatherer = Gatherer(task.observation_space, pool, task.pool_fingerprint)
        self.generator = th.Generator()
        if seed is None:
            self.generator.seed()
        else:
            self.generator.manual_seed(seed)

    @classmethod
    def of(
        cls,
        policy: ItemPolicy,
        task: Task,
        *,
        pool: Pool | None = None,
        seed: int | None = None,
        temperature: float = 1.0,
    ) -> "SavedPolicy":
        """A copy of what was trained, free of Stable-Baselines3's training code.

        Args:
            policy: what was trained.
            task: what the copy acts in.
            pool: that the task's ids refer to; by default the one that was trained on.
            seed: of the actions drawn.
            temperature: of what is drawn, ≥ 0: 1 draws as in training, 0 is deterministic.
        """
        log_std = policy.log_std.item() if policy.form == "probability" else None
        columns = task.item_features, task.context_features
        header = _Header(task.env_id, policy.form, *columns, policy.width, policy.n_embedding, log_std, temperature)
        network = copy.deepcopy(policy.network).cpu()  # not constructed anew: that would draw from torch's generator
        return cls(header, network, task, seed, pool or policy.gatherer.pool)

    def predict(
        self,
        observation: Observation,
        state: Any = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], Any]:
        """Actions for one observation or a batch; ``state`` is passed through."""
        single = np.ndim(observation["context"]) == 1
        batch = {
            key: th.as_tensor(np.asarray(value))[None] if single else th.as_tensor(np.asarray(value))
            for key, value in observation.items()
        }
        with th.no_grad():
            logits, _ = self.network(*self.gatherer(batch, th.device("cpu")))
            actions = self._act(logits, deterministic).numpy()
        return (actions[0] if single else actions), state

    def _act(self, logits: th.Tensor, deterministic: bool) -> th.Tensor:
        temperature = 0.0 if deterministic else self.header.temperature
        if self.acts == "index":  # the largest of logit + Gumbel noise is a draw from the softmax
            noise = th.empty_like(logits).exponential_(generator=self.generator).log()
            return (logits - temperature * noise).argmax(-1)
        masked = logits <= MASKED_LOGIT
        if self.header.form == "probability":
            assert self.header.log_std is not None
            noise = np.exp(self.header.log_std) * th.randn(logits.shape, generator=self.generator)
            p = th.sigmoid(logits + temperature * noise)
        else:
            p = th.sigmoid(logits / temperature) if temperature else (logits > 0).float()
        p = p.masked_fill(masked, 0)
        if self.acts == "probability":
            return p
        return (th.rand(p.shape, generator=self.generator) < p).to(th.int8)

    def save(self, path: str | Path) -> None:
        """Write the bundle as a directory, complete or not at all.

        Raises:
            PolicyError: when ``path`` exists and isn't a saved policy.
        """
        path = Path(path)
        if path.exists() and not (path / "policy.json").is_file():
            raise PolicyError(f"{path} exists and is no saved policy; choose another path or remove it")
        replace_directory(path, self._write)

    def _write(self, bundle: Path) -> None:
        save_file(self.network.state_dict(), bundle / "weights.safetensors")
        (bundle / "policy.json").write_text(json.dumps(asdict(self.header), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path, task: Task, seed: int | None = None, pool: Pool | None = None) -> "SavedPolicy":
        """Read a bundle for use in ``task``.

        Args:
            path: the directory.
            task: its columns and action form must fit.
            seed: of the actions drawn.
            pool: required when the task sends ids.

        Raises:
            PolicyError: when the bundle is incomplete, of another format, or doesn't fit the task.
        """
        path = Path(path)
        try:
            values = json.loads((path / "policy.json").read_text(encoding="utf-8"))
            version = values["format_version"]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise PolicyError(f"{path} is no saved policy: {error!r}") from error
        if version != FORMAT_VERSION:
            raise PolicyError(f"{path} has format version {version}; this release reads {FORMAT_VERSION}")
        try:
            lists = {name: tuple(values[name]) for name in ("item_features", "context_features")}
            header = _Header(**(values | lists))
            columns = len(header.item_features), len(header.context_features)
            network = ItemNetwork(*columns, header.width, n_embedding=header.n_embedding)
            network.load_state_dict(load_file(path / "weights.safetensors"))
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
            raise PolicyError(f"{path} was truncated or altered: {error}") from error
        return cls(header, network, task, seed, pool)


def _first_difference(trained: tuple[str, ...], actual: tuple[str, ...]) -> str:
    for index, (one, other) in enumerate(zip(trained, actual, strict=False)):
        if one != other:
            return f"column {index} was {one!r}, is {other!r}"
    return "one list is longer"

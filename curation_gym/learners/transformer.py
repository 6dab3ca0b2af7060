"""Fine-tuned transformers on the raw texts or images of a pool."""

import io
from abc import ABC, abstractmethod
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from curation_gym.learners.base import derived_seed
from curation_gym.learners.training import SgdConfig, SgdLearner, seeded, train, warm_up_then_linear
from curation_gym.pools.pool import Pool
from curation_gym.signals.pretrained import default_device, load_pretrained


class TransformerConfig(SgdConfig):
    """A pretrained transformer, fine-tuned on the column ``text`` or ``image`` of the pool's raw data.

    AdamW, a learning rate that rises linearly and then falls linearly to 0, clipped gradients: what Mosbach et al.
    (ICLR 2021) found stable on few labels.

    Attributes:
        model: a hub id or a local directory that ``AutoModelForSequenceClassification`` and ``AutoTokenizer``, or
            ``AutoModelForImageClassification`` and ``AutoImageProcessor``, can load; or ``package:NAME/DIRECTORY``
            for one that an installed package carries.
        members: M fine-tuned copies, which differ in the seed of the new head, of dropout and of the order.
        epochs: passes over the labels of a fit.
        warm_up: share of the steps in which the learning rate rises, in [0, 1).
        max_norm: gradients are scaled down to this norm.
        max_length: texts are cut after so many tokens.
    """

    kind: Literal["transformer"]
    model: str = Field(min_length=1)
    members: int = Field(default=1, ge=1)
    epochs: int = Field(default=5, ge=1)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=5e-5, gt=0)
    warm_up: float = Field(default=0.1, ge=0, lt=1)
    max_norm: float = Field(default=1.0, gt=0)
    max_length: int = Field(default=128, ge=1)


class TransformerLearner(SgdLearner):
    """The learner of :class:`TransformerConfig`, on the GPU where there is one.

    Raises:
        ValueError: when the pool holds neither texts nor images.
        ModelError: when the model can't be loaded.
    """

    def __init__(self, config: TransformerConfig, pool: Pool, classes: int, seed: int) -> None:
        super().__init__(config, pool, config.members, classes, seed)
        self._config = config
        self._device = default_device()
        self._inputs = _inputs_of(config, pool)
        self._models: list[nn.Module] = []

    def _reset(self) -> None:
        self._models = []
        for member in range(self.members):
            with seeded(derived_seed(self._seed, member)):
                # Checkpoints in half precision load as such, in which AdamW's small updates would round to nothing.
                self._models.append(self._inputs.load_model(self.classes).float().to(self._device))

    def _train(self, rows: NDArray[np.intp], labels: Tensor, seed: int) -> None:
        config, labels = self._config, labels.to(self._device)
        for member, model in enumerate(self._models):

            def loss(batch: NDArray[np.intp], model: nn.Module = model) -> Tensor:
                return functional.cross_entropy(self._forward(model, rows[batch]), labels[batch])

            train(
                model,
                loss,
                len(rows),
                config,
                steps=config.epochs * -(-len(rows) // config.batch_size),
                schedule=warm_up_then_linear(config.warm_up),
                seed=derived_seed(seed, member),
                max_norm=config.max_norm,
            )

    def _logits(self, rows: NDArray[np.intp]) -> Tensor:
        # Similar lengths in a batch leave little padding, and the batches don't depend on the order of the rows.
        order = np.lexsort((rows, self._inputs.size[rows]))
        logits = torch.empty(self.members, len(rows), self.classes)
        for start in range(0, len(rows), 4 * self._config.batch_size):
            batch = order[start : start + 4 * self._config.batch_size]
            for member, model in enumerate(self._models):
                logits[member, batch] = self._forward(model, rows[batch]).float().cpu()
        return logits

    def _forward(self, model: nn.Module, rows: NDArray[np.intp]) -> Tensor:
        logits: Tensor = model(**self._inputs(rows).to(self._device)).logits
        return logits


class _Inputs(ABC):
    """What models read of a pool, and which models those are; never copied, and pickled as the pool is.

    Attributes:
        size: (n,), what a sample's share of the work grows with.
    """

    size: NDArray[np.integer]

    @abstractmethod
    def __call__(self, rows: NDArray[np.intp]) -> Any:
        """The tensors of a batch, by the name of the model's argument."""

    @abstractmethod
    def load_model(self, classes: int) -> Any:
        """The pretrained model with a head for ``classes``, new if the checkpoint's doesn't fit."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class _Texts(_Inputs):
    def __init__(self, config: TransformerConfig, pool: Pool) -> None:
        self._config, self._pool = config, pool
        _all_have(pool, "text")
        self._tokenizer = load_pretrained("AutoTokenizer", config.model)
        self.size = np.array([len(text) for text in _column(pool, "text").to_pylist()])

    def __call__(self, rows: NDArray[np.intp]) -> Any:
        texts = _column(self._pool, "text").take(rows).to_pylist()
        options = {"padding": True, "truncation": True, "max_length": self._config.max_length}
        return self._tokenizer(texts, return_tensors="pt", **options)

    def load_model(self, classes: int) -> Any:
        return load_pretrained("AutoModelForSequenceClassification", self._config.model, **_new_head(classes))


class _Images(_Inputs):
    def __init__(self, config: TransformerConfig, pool: Pool) -> None:
        self._config, self._pool = config, pool
        _all_have(pool, "image")
        self._processor = load_pretrained("AutoImageProcessor", config.model)
        self.size = np.zeros(len(pool), np.intp)  # all have the same size once they are processed

    def __call__(self, rows: NDArray[np.intp]) -> Any:
        contents = [image["bytes"] for image in _column(self._pool, "image").take(rows).to_pylist()]
        images = [Image.open(io.BytesIO(content)).convert("RGB") for content in contents]
        return self._processor(images, return_tensors="pt")

    def load_model(self, classes: int) -> Any:
        return load_pretrained("AutoModelForImageClassification", self._config.model, **_new_head(classes))


def _inputs_of(config: TransformerConfig, pool: Pool) -> _Inputs:
    columns = [] if pool.data is None else pool.data.column_names
    if "text" in columns:
        return _Texts(config, pool)
    if "image" in columns:
        return _Images(config, pool)
    raise ValueError(f"a transformer needs 'text' or 'image' in the pool's data, actual columns: {columns}")


def _column(pool: Pool, name: str) -> Any:
    assert pool.data is not None  # its columns decided what reads it
    return pool.data[name]


def _all_have(pool: Pool, name: str) -> None:
    if missing := _column(pool, name).null_count:
        raise ValueError(
            f"transformer: {missing} of {len(pool)} samples of the pool have no {name}, and a model reads one "
            "kind of data: take a pool of one kind, or a stack of learners on embeddings"
        )


def _new_head(classes: int) -> dict[str, Any]:
    return {"num_labels": classes, "ignore_mismatched_sizes": True}

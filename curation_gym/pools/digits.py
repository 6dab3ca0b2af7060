"""The digits pool: scikit-learn's handwritten digits, real images that every installation carries."""

import io
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from curation_gym.config import Config
from curation_gym.pools.common import IMAGE_SCHEMA, code_versions
from curation_gym.pools.pool import SPLITS, Pool, Provenance
from curation_gym.signals.encoders import PixelsConfig, PixelsPcaConfig, make_encoder


class DigitsConfig(Config):
    """1,797 images of 8 × 8 pixels, ten classes.

    Attributes:
        encoder: ``"pixels"``, the 64 pixels in [0, 1]; or ``"pixels-pca"``, 32 whitened principal components
            fitted on the train split.
        seed: of the split.
    """

    builder: Literal["digits"] = "digits"
    encoder: Literal["pixels", "pixels-pca"] = "pixels"
    seed: int = Field(default=0, ge=0)


def depends_on(config: DigitsConfig) -> dict[str, str]:
    """Versions that the content depends on."""
    return code_versions("numpy", "scikit-learn")


def build(config: DigitsConfig) -> Pool:
    """Make the pool.

    Hidden: ``label``, the digit. Split: 60 % train, 10 % validation, 30 % test, stratified by digit. Raw
    data: the column ``image``, a PNG in the form of Hugging Face's image feature. No signals, one domain.
    """
    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)
    ids = np.arange(len(images))
    train, rest = train_test_split(ids, train_size=0.6, stratify=digits.target, random_state=config.seed)
    _, test = train_test_split(rest, train_size=0.25, stratify=digits.target[rest], random_state=config.seed)
    split = np.full(len(ids), SPLITS.index("validation"), np.uint8)
    split[train], split[test] = SPLITS.index("train"), SPLITS.index("test")
    options = PixelsConfig(colour="grey") if config.encoder == "pixels" else _PCA
    encoder = make_encoder(options, list(images[train]))
    return Pool(
        encoder(list(images)),
        hidden={"label": digits.target.astype(np.int32)},
        split=split,
        data=pa.table({"image": [{"bytes": _png(image), "path": None} for image in images]}, schema=IMAGE_SCHEMA),
        class_names=tuple(str(name) for name in digits.target_names),
        provenance=Provenance("digits", encoder.name, config.model_dump(mode="json"), depends_on(config)),
    )


_PCA = PixelsPcaConfig(kind="pixels-pca", dimension=32, colour="grey")


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()

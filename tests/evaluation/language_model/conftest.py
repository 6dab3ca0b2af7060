"""A small random language model, in memory and on disk."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from curation_gym.evaluation.language_model.model import CausalModel
from tests.evaluation.language_model.server import Server
from tests.evaluation.language_model.toys import byte_tokenizer, random_classifier, random_neox


@pytest.fixture(scope="session")
def neox() -> CausalModel:
    """A random GPT-NeoX of two layers that reads 128 tokens."""
    return CausalModel(random_neox(), byte_tokenizer(), batch_size=3)


@pytest.fixture(scope="session")
def saved_neox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a directory."""
    path = tmp_path_factory.mktemp("neox")
    random_neox().save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def saved_half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, whose weights were saved in half precision."""
    path = tmp_path_factory.mktemp("half")
    random_neox().to(torch.bfloat16).save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def saved_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text classifier with the labels fine and toxic, as a directory."""
    path = tmp_path_factory.mktemp("classifier")
    random_classifier().save_pretrained(path)
    byte_tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    thread = threading.Thread(target=served.http.serve_forever, args=(0.01,))
    thread.start()
    yield served
    served.http.shutdown()
    served.http.server_close()
    thread.join()

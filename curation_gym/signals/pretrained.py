"""Pretrained models through transformers: one way to load them, one error when they can't be."""

import sys
from collections.abc import Mapping
from typing import Any

import torch

from curation_gym.signals.encoders import model_path


class ModelError(ValueError):
    """A pretrained model that can't be loaded, or doesn't serve. The message says what to do."""


def load_pretrained(auto_class: str, model: str, **options: Any) -> Any:
    """Load part of a pretrained model.

    Args:
        auto_class: which of transformers' classes loads it, for example ``"AutoTokenizer"``.
        model: a hub id, a local directory, or ``package:NAME/DIRECTORY`` for one that an installed package carries.
        options: passed to ``from_pretrained``.

    Raises:
        ModelError: when it can't be loaded, and why.
        EncoderError: when no installed package carries it.
    """
    import transformers

    logging = transformers.utils.logging
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # a report at every fit that the head is new, which is what was asked for
    where = model_path(model)
    try:
        return getattr(transformers, auto_class).from_pretrained(where, **options)
    except Exception as error:  # the libraries beneath raise many types for one thing: it can't be loaded
        raise ModelError(
            f"transformers' {auto_class} can't load {model!r}: {error}. Name a local directory, or a hub id while "
            "online (or in the hub's cache)"
        ) from error
    finally:
        logging.set_verbosity(verbosity)


def default_device() -> torch.device:
    """The GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def multiplies_in_bfloat16(device: torch.device) -> bool:
    """Whether the device has instructions for it; a processor without takes many times as long as in float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    told: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # earlier versions of torch can't tell
    return any(bool(told.get(name)) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # the last is ARM's

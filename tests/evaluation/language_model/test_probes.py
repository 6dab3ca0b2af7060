"""Linear probes of a frozen model."""

import numpy as np
import pytest

from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.language_model.probes import Labelled, linear_probe
from tests.evaluation.language_model.toys import uniform

WORDS = ["red", "blue", "one", "two", "three"]


def split(n: int, seed: int, informative: bool = True) -> Labelled:
    """Texts whose colour is their class, or has nothing to do with it."""
    rng = np.random.default_rng(seed)
    colours = rng.choice(["red", "blue"], n)
    texts = [f"{rng.choice(WORDS[2:])} {colour} {rng.choice(WORDS[2:])}" for colour in colours]
    return Labelled(texts, list(colours if informative else rng.choice(["red", "blue"], n)))


def test_what_a_model_tells_apart_is_found_and_nothing_else() -> None:
    model = uniform(WORDS)
    told = linear_probe(model, split(80, 0), split(40, 1), split(60, 2))
    assert told.accuracy.value == 1
    assert told.validation_accuracy == 1
    assert told.majority == pytest.approx(0.5, abs=0.2)
    noise = linear_probe(model, split(80, 0, False), split(40, 1, False), split(200, 2, False))
    assert noise.accuracy.value == pytest.approx(0.5, abs=0.12)
    assert noise.accuracy.low < noise.accuracy.value < noise.accuracy.high


def test_the_smallest_of_equally_good_strengths_is_chosen_on_validation(neox: CausalModel) -> None:
    train, validation, test = split(60, 0), split(30, 1), split(30, 2)
    told = linear_probe(neox, train, validation, test)
    each = {c: linear_probe(neox, train, validation, test, [c]).validation_accuracy for c in (1e-4, 1e-2, 1.0, 10.0)}
    assert told.validation_accuracy >= max(each.values())
    again = linear_probe(neox, train, validation, test, [10.0, told.c])
    assert again.c == told.c
    assert again.accuracy == told.accuracy


def test_bad_input_is_named(neox: CausalModel) -> None:
    good = split(10, 0)
    with pytest.raises(EvaluationError, match=r"a probe needs two classes in train and a strength; actual: \{'x'\}"):
        linear_probe(neox, Labelled(good.texts, ["x"] * 10), good, good)
    with pytest.raises(EvaluationError, match="texts of test, row 0: must be a text that isn't blank"):
        linear_probe(neox, good, good, Labelled([""], ["red"]))
    with pytest.raises(EvaluationError, match="there are no texts of validation"):
        linear_probe(neox, good, Labelled([], []), good)

"""The simulated annotator: whose luck depends on the sample only, and whose rates are as stated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_gym.annotators.simulated import AnnotatorConfig, SimulatedAnnotator

HIDDEN = np.repeat(np.arange(-1, 4), 2000)  # a fifth is out of scope


def annotator(seed: int = 0, **config: float) -> SimulatedAnnotator:
    return SimulatedAnnotator(HIDDEN, 4, AnnotatorConfig(**config), seed)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, len(HIDDEN) - 1), max_size=30), st.integers(0, 30))
def test_an_answer_depends_on_seed_and_sample_only(seed: int, samples: list[int], cut: int) -> None:
    asked = np.array(samples, np.intp)
    at_once = annotator(seed, noise=0.5, flag_reliability=0.5).ask(asked)
    other = annotator(seed, noise=0.5, flag_reliability=0.5)
    later, before = other.ask(asked[cut:]), other.ask(asked[:cut])  # in two parts, the second first
    np.testing.assert_array_equal(at_once.labels, np.concatenate([before.labels, later.labels]))
    np.testing.assert_array_equal(at_once.flagged, np.concatenate([before.flagged, later.flagged]))
    assert at_once.cost == len(samples) == before.cost + later.cost


def test_a_perfect_annotator_says_the_truth_and_flags_the_rest() -> None:
    answers = annotator().ask(np.arange(len(HIDDEN)))
    np.testing.assert_array_equal(answers.labels, HIDDEN)
    np.testing.assert_array_equal(answers.flagged, HIDDEN < 0)


def test_noise_is_wrong_at_its_rate_and_uniform_over_the_other_classes() -> None:
    answers = annotator(noise=0.3).ask(np.arange(len(HIDDEN)))
    for label in range(4):
        said = np.bincount(answers.labels[label == HIDDEN], minlength=4) / 2000
        expected = np.full(4, 0.1)
        expected[label] = 0.7
        np.testing.assert_allclose(said, expected, atol=4 * np.sqrt(0.25 / 2000))
    assert (annotator(noise=1.0).ask(np.arange(2000, len(HIDDEN))).labels != HIDDEN[2000:]).all()


def test_junk_is_flagged_at_the_stated_rate_and_otherwise_gets_any_label() -> None:
    junk = annotator(flag_reliability=0.6, noise=0.3).ask(np.flatnonzero(HIDDEN < 0))
    assert junk.flagged.mean() == pytest.approx(0.6, abs=4 * np.sqrt(0.24 / 2000))
    said = np.bincount(junk.labels[~junk.flagged], minlength=4) / (~junk.flagged).sum()
    np.testing.assert_allclose(said, 0.25, atol=4 * np.sqrt(0.1875 / 700))
    assert not annotator(flag_reliability=0.0).ask(np.arange(len(HIDDEN))).flagged.any()


def test_other_seeds_have_other_luck() -> None:
    everything = np.arange(len(HIDDEN))
    one, other = (annotator(seed, noise=0.5).ask(everything).labels for seed in (0, 1))
    assert (one != other).mean() > 0.3


def test_a_label_outside_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden labels must be < 3, actual largest value: 3"):
        SimulatedAnnotator(HIDDEN, 3, AnnotatorConfig(), 0)

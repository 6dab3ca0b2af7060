"""The simulated annotator: whose luck depends on the sample only, and whose rates are as stated."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curation_gym.annotators.answers import ABSTENTION, FLAG
from curation_gym.annotators.simulated import AnnotatorConfig, Facts, SimulatedAnnotator
from curation_gym.config import ConfigError, validated

HIDDEN = np.repeat(np.arange(-1, 4), 2000)  # a fifth is out of scope
EVERYTHING = np.arange(len(HIDDEN))
IN_SCOPE = HIDDEN >= 0
DOMAIN = np.tile([0, 1], len(HIDDEN) // 2)
FACTS = Facts(
    domain=DOMAIN,
    domain_names=("news", "forum"),
    difficulty=np.tile([0.0, 0.25, 0.5, 1.0], len(HIDDEN) // 4),
    centroids=np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [5.0, 3.0]]),
)
CONFUSION = [[0.7, 0.3, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.1, 0.2, 0.5, 0.2], [0.0, 0.0, 1.0, 0.0]]
EVERY_OPTION = {
    "domain_noise": {"forum": 0.4},
    "confusion": CONFUSION,
    "flag_reliability": 0.5,
    "false_flags": 0.1,
    "abstention": {"rate": 0.1, "rate_hard": 0.3},
    "price": {"label": 5, "flag": 2, "abstention": 1},
}


def annotator(seed: int = 0, *, accuracy: float = 1.0, facts: Facts = FACTS, **config: Any) -> SimulatedAnnotator:
    checked = validated(AnnotatorConfig, config, "test")
    return SimulatedAnnotator(HIDDEN, 4, checked, seed, facts, accuracy=accuracy)


def assert_rate(happened: NDArray[np.bool_], rate: float) -> None:
    """Within four standard deviations of a binomial."""
    assert happened.mean() == pytest.approx(rate, abs=4 * np.sqrt(rate * (1 - rate) / happened.size))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, len(HIDDEN) - 1), max_size=30), st.integers(0, 30))
def test_an_answer_depends_on_seed_and_sample_only(seed: int, samples: list[int], cut: int) -> None:
    asked = np.array(samples, np.intp)
    at_once = annotator(seed, **EVERY_OPTION).ask(asked)
    other = annotator(seed, **EVERY_OPTION)
    later, before = other.ask(asked[cut:]), other.ask(asked[:cut])  # in two parts, the second first
    np.testing.assert_array_equal(at_once.labels, np.concatenate([before.labels, later.labels]))
    np.testing.assert_array_equal(at_once.flagged, np.concatenate([before.flagged, later.flagged]))
    np.testing.assert_array_equal(at_once.abstained, np.concatenate([before.abstained, later.abstained]))
    assert at_once.cost == before.cost + later.cost
    assert at_once.seconds == pytest.approx(before.seconds + later.seconds)


def test_a_perfect_annotator_says_the_truth_and_flags_the_rest() -> None:
    answers = annotator().ask(EVERYTHING)
    np.testing.assert_array_equal(answers.labels, HIDDEN)
    np.testing.assert_array_equal(answers.flagged, ~IN_SCOPE)
    assert not answers.abstained.any()
    assert answers.cost == len(HIDDEN)


def test_noise_is_wrong_at_its_rate_and_uniform_over_the_other_classes() -> None:
    answers = annotator(noise=0.3).ask(EVERYTHING)
    for label in range(4):
        for said in range(4):
            assert_rate(answers.labels[label == HIDDEN] == said, 0.7 if said == label else 0.1)
    assert (annotator(noise=1.0).ask(EVERYTHING[IN_SCOPE]).labels != HIDDEN[IN_SCOPE]).all()


def test_more_noise_only_adds_errors_and_abstention_only_takes_answers_away() -> None:
    little, much = (annotator(noise=noise).ask(EVERYTHING).labels for noise in (0.1, 0.3))
    wrong = little != HIDDEN
    np.testing.assert_array_equal(much[wrong], little[wrong])
    silent = annotator(noise=0.3, abstention={"rate": 0.2}).ask(EVERYTHING)
    np.testing.assert_array_equal(silent.labels[~silent.abstained], much[~silent.abstained])


def test_a_confusion_matrix_is_what_comes_out() -> None:
    labels = annotator(confusion=CONFUSION).ask(EVERYTHING).labels
    for label, row in enumerate(CONFUSION):
        for said, share in enumerate(row):
            assert_rate(labels[label == HIDDEN] == said, share)


def test_the_identity_as_confusion_is_the_truth() -> None:
    matrix = [[float(i == j) for j in range(4)] for i in range(4)]
    np.testing.assert_array_equal(annotator(confusion=matrix).ask(EVERYTHING).labels, HIDDEN)


def test_the_nearest_class_is_the_one_confused() -> None:
    labels = annotator(noise=0.25, confusion="nearest").ask(EVERYTHING).labels
    for label, nearest in enumerate([1, 0, 3, 2]):
        said = labels[label == HIDDEN]
        assert_rate(said == label, 0.75)
        assert set(said) == {label, nearest}


def test_a_domain_has_its_own_noise() -> None:
    right = annotator(noise=0.1, domain_noise={"forum": 0.6}).ask(EVERYTHING).labels == HIDDEN
    assert_rate(right[IN_SCOPE & (DOMAIN == 0)], 0.9)
    assert_rate(right[IN_SCOPE & (DOMAIN == 1)], 0.4)


def test_an_unreliable_domain_confuses_as_the_matrix_does() -> None:
    labels = annotator(confusion=CONFUSION, domain_noise={"forum": 1.0}).ask(EVERYTHING).labels
    forum = DOMAIN == 1
    assert (labels[forum & (HIDDEN == 0)] == 1).all()  # all that the rest of the row allows
    for said, share in enumerate([0.2, 0.4, 0.0, 0.4]):
        assert_rate(labels[forum & (HIDDEN == 2)] == said, share)
    for said in (0, 2, 3):  # class 1 is never confused in the matrix: any other
        assert_rate(labels[forum & (HIDDEN == 1)] == said, 1 / 3)


def test_skill_and_noise_are_independent_reasons_to_be_wrong() -> None:
    right = annotator(accuracy=0.8, noise=0.25).ask(EVERYTHING).labels == HIDDEN
    assert_rate(right[IN_SCOPE], 0.6)


def test_junk_is_flagged_at_the_stated_rate_and_otherwise_gets_any_label() -> None:
    junk = annotator(flag_reliability=0.6, noise=0.3).ask(EVERYTHING[~IN_SCOPE])
    assert_rate(junk.flagged, 0.6)
    for said in range(4):
        assert_rate(junk.labels[~junk.flagged] == said, 0.25)
    assert not annotator(flag_reliability=0.0).ask(EVERYTHING).flagged.any()


def test_false_flags_fall_on_what_is_in_scope() -> None:
    answers = annotator(false_flags=0.2, flag_reliability=0.0).ask(EVERYTHING)
    assert_rate(answers.flagged[IN_SCOPE], 0.2)
    assert not answers.flagged[~IN_SCOPE].any()
    np.testing.assert_array_equal(answers.labels[IN_SCOPE & ~answers.flagged], HIDDEN[IN_SCOPE & ~answers.flagged])


def test_abstention_rises_with_difficulty() -> None:
    flat = annotator(facts=Facts(), abstention={"rate": 0.3}).ask(EVERYTHING)
    assert_rate(flat.abstained[IN_SCOPE], 0.3)
    assert_rate(flat.abstained[~IN_SCOPE], 0.3)
    rising = annotator(abstention={"rate": 0.1, "rate_hard": 0.9}).ask(EVERYTHING)
    assert FACTS.difficulty is not None
    for difficulty, rate in [(0.0, 0.1), (0.25, 0.3), (0.5, 0.5), (1.0, 0.9)]:
        assert_rate(rising.abstained[difficulty == FACTS.difficulty], rate)
    assert (rising.labels[rising.abstained] == ABSTENTION).all()
    assert not (rising.flagged & rising.abstained).any()


def test_every_answer_has_its_price() -> None:
    answers = annotator(**EVERY_OPTION).ask(EVERYTHING)
    flags, abstentions = int((answers.labels == FLAG).sum()), int((answers.labels == ABSTENTION).sum())
    assert min(flags, abstentions) > 0
    assert answers.cost == 5 * (len(HIDDEN) - flags - abstentions) + 2 * flags + abstentions


def test_time_is_log_normal_around_its_mean() -> None:
    seconds = annotator(time={"mean": 20.0, "spread": 0.5}).seconds
    logarithm = np.log(seconds)
    deviation = 20 * np.sqrt(np.expm1(0.25) / len(seconds))
    assert seconds.mean() == pytest.approx(20, abs=4 * deviation)
    assert logarithm.std() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(2 * len(seconds)))
    assert np.median(seconds) == pytest.approx(20 * np.exp(-0.125), rel=0.05)
    assert annotator(time={"mean": 3.0, "spread": 0.0}).ask(EVERYTHING[:7]).seconds == pytest.approx(21)


def test_other_seeds_have_other_luck() -> None:
    one, other = (annotator(seed, noise=0.5).ask(EVERYTHING).labels for seed in (0, 1))
    assert (one != other).mean() > 0.3


def test_any_number_below_0_is_out_of_scope() -> None:
    hidden = np.array([-7, -1, 2])
    config = validated(AnnotatorConfig, {"confusion": CONFUSION}, "test")
    np.testing.assert_array_equal(SimulatedAnnotator(hidden, 4, config, 0).labels[:2], [FLAG, FLAG])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"confusion": [[0.5, 0.5]]}, "must be square"),
        ({"confusion": [[0.5, 0.4], [0.0, 1.0]]}, "must sum to 1, actual sum of row 0: 0.9"),
        ({"confusion": [[1.0, 0.0], [0.0, 1.0]], "noise": 0.1}, "noise = 0.1 both say how often.*leave noise out"),
        ({"domain_noise": {"news": 1.5}}, "'domain_noise.news' = 1.5"),
        ({"price": {"label": 0}}, "'price.label' = 0"),
        ({"time": {"mean": 0.0}}, "'time.mean' = 0.0"),
        ({"crowd": {"redundancy": 11}}, "redundancy = 11 must be <= annotators = 10"),
    ],
)
def test_a_bad_configuration_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validated(AnnotatorConfig, config, "test")


@pytest.mark.parametrize(
    ("config", "facts", "message"),
    [
        ({"domain_noise": {"forum": 0.5}}, Facts(), "domain_noise needs facts.domain.* actual value: none"),
        ({"domain_noise": {"wiki": 0.5}}, FACTS, "'wiki', which is no domain; the domains are: news, forum"),
        ({"domain_noise": {"news": 0.5}}, Facts(domain=DOMAIN, domain_names=("news",)), "actual range: 0 to 1"),
        (
            {"domain_noise": {"news": 0.5}},
            Facts(domain=DOMAIN[:5], domain_names=("news",)),
            r"actual value: shape \(5,\)",
        ),
        ({"confusion": "nearest"}, Facts(), r"needs facts.centroids of shape \(4, d\), actual value: none"),
        ({"confusion": "nearest"}, Facts(centroids=np.zeros((3, 2))), r"actual value: shape \(3, 2\)"),
        ({"confusion": "nearest"}, Facts(centroids=np.full((4, 2), np.nan)), "centroids must be finite"),
        ({"confusion": [[1.0, 0.0], [0.0, 1.0]]}, Facts(), "must have 4 rows, one per class, actual number: 2"),
        ({"abstention": {"rate_hard": 0.5}}, Facts(), "rate_hard needs facts.difficulty"),
        (
            {"abstention": {"rate_hard": 0.5}},
            Facts(difficulty=DOMAIN * 2.0),
            r"lie in \[0, 1\], actual range: 0.0 to 2.0",
        ),
        ({"crowd": {}}, FACTS, "use make_annotator"),
    ],
)
def test_an_option_that_lacks_its_facts_is_refused(config: dict[str, Any], facts: Facts, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        annotator(facts=facts, **config)


def test_a_label_outside_the_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden labels must be < 3, actual largest value: 3"):
        SimulatedAnnotator(HIDDEN, 3, AnnotatorConfig(), 0)
    with pytest.raises(ValueError, match="classes must be >= 2, actual value: 1"):
        SimulatedAnnotator(HIDDEN[:0], 1, AnnotatorConfig(), 0)

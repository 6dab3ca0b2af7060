"""Crowds: who answers, how skills spread, and what aggregation makes of it."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy.stats import spearmanr

from curation_gym.annotators.answers import ABSTENTION, FLAG
from curation_gym.annotators.crowd import METHODS, Crowd, Method, aggregate, by_annotator
from curation_gym.annotators.simulated import NO_FACTS, AnnotatorConfig, Facts
from curation_gym.config import validated

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:crowdkit")

HIDDEN = np.arange(600) % 3
MANY = np.arange(12000) % 3
# Answers of five anaesthetists on 45 patients, the first of whom answered three times (Dawid and Skene 1979, table 1).
ANAESTHETISTS = """
1111111 3334334 1122122 2223121 2223222 2223322 1222111 3333433 2222223 2322223 4444444 2223343 1111111 2223212
1211111 1112111 1111111 1111111 2222221 2221322 2222222 2222221 2223222 2212222 1111111 1111111 2322222 1111111
1111111 1121121 1111111 3333233 1111111 2222222 2223232 4334343 2212232 2323233 3333432 1111111 1111111 1212111
2322222 1211111 2222222
"""


def crowd(hidden: NDArray[np.int_], seed: Any = 0, facts: Facts = NO_FACTS, **options: Any) -> Crowd:
    others = {key: options.pop(key) for key in list(options) if key in AnnotatorConfig.model_fields}
    config = validated(AnnotatorConfig, {**others, "crowd": options}, "test")
    return Crowd(hidden, 3, config, seed, facts)


def table(of: Crowd, n: int, size: int) -> NDArray[np.int64]:
    answers = of.ask(np.arange(n))
    return by_annotator(answers.votes, answers.annotators, size)


# ---------------------------------------------------------------- who answers
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 599), max_size=20), st.integers(0, 20))
def test_an_answer_depends_on_seed_and_sample_only(seed: int, samples: list[int], cut: int) -> None:
    asked, options = np.array(samples, np.intp), {"false_flags": 0.2, "abstention": {"rate": 0.2}}
    at_once, other = crowd(HIDDEN, seed, **options).ask(asked), crowd(HIDDEN, seed, **options)
    later, before = other.ask(asked[cut:]), other.ask(asked[:cut])
    for name in ("labels", "votes", "annotators", "confidence"):
        np.testing.assert_array_equal(
            getattr(at_once, name), np.concatenate([getattr(before, name), getattr(later, name)])
        )
    assert at_once.cost == before.cost + later.cost
    assert at_once.seconds == pytest.approx(before.seconds + later.seconds)


def test_a_sequence_of_seeds_may_be_used_again() -> None:
    seed = np.random.SeedSequence(3)
    one, again = (crowd(HIDDEN, seed).ask(np.arange(600)).votes for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert (one != crowd(HIDDEN, 4).ask(np.arange(600)).votes).any()


def test_different_annotators_answer_a_sample_and_all_get_their_share() -> None:
    annotators = crowd(MANY, annotators=8, redundancy=3).ask(np.arange(len(MANY))).annotators
    assert (np.diff(np.sort(annotators, axis=1), axis=1) > 0).all()
    share = np.bincount(annotators.ravel(), minlength=8) / len(MANY)
    np.testing.assert_allclose(share, 3 / 8, atol=4 * np.sqrt(3 / 8 * 5 / 8 / len(MANY)))


def test_more_redundancy_adds_annotators_who_answer_as_they_would() -> None:
    few, more = (crowd(HIDDEN, noise=0.3, redundancy=r).ask(np.arange(600)) for r in (2, 5))
    np.testing.assert_array_equal(few.annotators, more.annotators[:, :2])
    np.testing.assert_array_equal(few.votes, more.votes[:, :2])


def test_a_larger_crowd_has_the_same_first_annotators() -> None:
    small, large = (table(crowd(HIDDEN, annotators=w, concentration=None), 600, w) for w in (4, 7))
    both = (small != ABSTENTION) & (large[:, :4] != ABSTENTION)
    assert both.sum() > 100
    np.testing.assert_array_equal(small[both], large[:, :4][both])


def test_the_crowd_pays_for_every_vote() -> None:
    one, three = (
        crowd(HIDDEN, redundancy=r, price={"label": 2}, time={"mean": 5.0, "spread": 0.0}).ask(np.arange(10))
        for r in (1, 3)
    )
    assert (one.cost, three.cost) == (20, 60)
    assert (one.seconds, three.seconds) == (pytest.approx(50), pytest.approx(150))


# --------------------------------------------------------------------- skills
def test_a_crowd_that_never_errs_says_the_truth() -> None:
    hidden = np.where(np.arange(600) % 5 == 0, -1, HIDDEN)
    answers = crowd(hidden, accuracy=1.0).ask(np.arange(600))
    np.testing.assert_array_equal(answers.labels, hidden)
    np.testing.assert_array_equal(answers.flagged, hidden < 0)
    assert (answers.confidence == 1).all()


def test_accuracies_are_beta_and_answers_follow_them() -> None:
    accuracy = crowd(HIDDEN, annotators=2000, redundancy=1, accuracy=0.7, concentration=9.0).accuracy
    deviation = np.sqrt(0.7 * 0.3 / 10)
    assert accuracy.mean() == pytest.approx(0.7, abs=4 * deviation / np.sqrt(2000))
    assert accuracy.std() == pytest.approx(deviation, rel=0.1)
    assert (crowd(HIDDEN, annotators=5, accuracy=0.7, concentration=None).accuracy == 0.7).all()
    people = crowd(MANY, annotators=4, redundancy=4, concentration=3.0)
    right = (table(people, len(MANY), 4) == MANY[:, None]).mean(0)
    np.testing.assert_allclose(right, people.accuracy, atol=4 * np.sqrt(0.25 / len(MANY)))


def test_expertise_spreads_around_an_annotators_accuracy() -> None:
    domain = np.arange(len(MANY)) // 3 % 40
    facts = Facts(domain=domain, domain_names=tuple(map(str, range(40))))
    one = {"annotators": 1, "redundancy": 1, "accuracy": 0.7, "concentration": None}
    spread = {}
    for concentration in (None, 9.0):
        labels = crowd(MANY, facts=facts, domain_concentration=concentration, **one).ask(np.arange(len(MANY))).labels
        by_domain = np.array([(labels == MANY)[domain == d].mean() for d in range(40)])
        assert by_domain.mean() == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / 10 / 40))
        spread[concentration] = by_domain.std()
    luck = np.sqrt(0.21 / 300)  # of 300 answers per domain
    assert spread[None] == pytest.approx(luck, rel=0.4)
    assert spread[9.0] == pytest.approx(np.sqrt(0.21 / 10 + luck**2), rel=0.4)


def test_reliability_with_flags_differs_by_annotator() -> None:
    junk = np.full(4000, -1)
    options = {"annotators": 6, "redundancy": 6, "flag_reliability": 0.5}
    alike = (table(crowd(junk, **options), 4000, 6) == FLAG).mean(0)
    differing = (table(crowd(junk, **options, flag_concentration=2.0), 4000, 6) == FLAG).mean(0)
    np.testing.assert_allclose(alike, 0.5, atol=4 * np.sqrt(0.25 / 4000))
    assert np.ptp(differing) > 0.3


# ---------------------------------------------------------------- aggregation
@pytest.mark.parametrize("method", METHODS)
def test_aggregation_beats_the_mean_single_annotator_and_recovers_skill(method: Method) -> None:
    people = crowd(HIDDEN, annotators=6, redundancy=5, accuracy=0.65, concentration=4.0)
    answers = people.ask(np.arange(300))
    consensus = aggregate(answers.votes, answers.annotators, method)
    single = (answers.votes == HIDDEN[:300, None]).mean()
    assert (consensus.labels == HIDDEN[:300]).mean() > single + 0.1
    assert spearmanr(consensus.skill, people.accuracy).statistic > 0.9
    assert ((consensus.confidence > 0) & (consensus.confidence <= 1 + 1e-9)).all()


def test_dawid_and_skene_know_better_than_the_majority_whom_to_trust() -> None:
    people = crowd(MANY[:3000], annotators=10, redundancy=5, accuracy=0.6, concentration=2.0)
    answers = people.ask(np.arange(3000))
    right = {
        method: (aggregate(answers.votes, answers.annotators, method).labels == MANY[:3000]).mean()
        for method in ("majority", "dawid_skene")
    }
    assert right["dawid_skene"] > right["majority"] + 0.02
    skill = aggregate(answers.votes, answers.annotators, "dawid_skene").skill
    np.testing.assert_allclose(skill, people.accuracy, atol=0.05)


def test_the_anaesthetists_of_dawid_and_skene() -> None:
    votes = np.array([[int(answer) for answer in row] for row in ANAESTHETISTS.split()]) - 1
    annotators = np.tile([0, 0, 0, 1, 2, 3, 4], (45, 1))
    consensus = aggregate(votes, annotators, "dawid_skene")
    # the paper's marginals are .40, .42, .11 and .07 of 45
    np.testing.assert_array_equal(np.bincount(consensus.labels), [18, 19, 5, 3])
    np.testing.assert_array_equal(np.bincount(aggregate(votes, annotators).labels), [18, 20, 6, 1])


VOTES = arrays(np.int64, st.tuples(st.integers(1, 12), st.integers(1, 5)), elements=st.integers(-2, 3))


@settings(deadline=None)
@given(VOTES, st.integers(0, 2**32 - 1))
def test_the_majority_is_an_option_with_the_most_votes(votes: NDArray[np.int64], seed: int) -> None:
    annotators = np.tile(np.arange(votes.shape[1]), (len(votes), 1))
    consensus = aggregate(votes, annotators, seed=seed)
    for row, label, confidence in zip(votes, consensus.labels, consensus.confidence, strict=True):
        given_votes = row[row != ABSTENTION].tolist()
        if not given_votes:
            assert (label, confidence) == (ABSTENTION, 0)
        else:
            most = max(given_votes.count(option) for option in given_votes)
            assert given_votes.count(label) == most
            assert confidence == pytest.approx(most / len(given_votes))
    again = aggregate(votes, annotators, seed=seed)
    np.testing.assert_array_equal(consensus.labels, again.labels)
    for who, skill in enumerate(consensus.skill):
        assert np.isnan(skill) == (votes[:, who] == ABSTENTION).all()


def test_ties_fall_either_way_by_seed() -> None:
    votes, annotators = np.tile([2, FLAG, ABSTENTION], (2000, 1)), np.tile([0, 1, 2], (2000, 1))
    consensus = aggregate(votes, annotators, seed=5)
    assert (consensus.labels == FLAG).mean() == pytest.approx(0.5, abs=4 * np.sqrt(0.25 / 2000))
    assert set(consensus.labels) == {2, FLAG}
    assert (consensus.confidence == 0.5).all()
    assert (consensus.labels != aggregate(votes, annotators, seed=6).labels).any()


@pytest.mark.parametrize("method", METHODS)
def test_what_nobody_answered_stays_open(method: Method) -> None:
    votes = np.array([[0, 0, 0], [-2, -2, -2], [1, 1, -2], [-1, -1, -1], [0, 0, 0], [1, 1, 1]])
    consensus = aggregate(votes, np.tile([0, 1, 2], (6, 1)), method)
    np.testing.assert_array_equal(consensus.labels, [0, ABSTENTION, 1, FLAG, 0, 1])
    assert consensus.confidence[1] == 0
    silent = aggregate(np.full((2, 3), ABSTENTION), np.tile([0, 1, 2], (2, 1)), method)
    assert (silent.labels == ABSTENTION).all()
    assert np.isnan(silent.skill).all()
    assert len(aggregate(votes[:0], np.zeros((0, 3), int), method).labels) == 0


def test_votes_move_to_their_annotators_columns() -> None:
    votes, annotators = np.array([[0, -1], [2, 1]]), np.array([[3, 0], [1, 2]])
    np.testing.assert_array_equal(by_annotator(votes, annotators, 4), [[-1, -2, -2, 0], [-2, 2, 1, -2]])


# ------------------------------------------------------------------ bad input
def test_bad_input_is_refused() -> None:
    votes, annotators = np.zeros((2, 3), int), np.tile([0, 1, 2], (2, 1))
    with pytest.raises(ValueError, match=r"actual shapes: \(2, 3\) and \(2, 2\)"):
        aggregate(votes, annotators[:, :2])
    with pytest.raises(ValueError, match="actual smallest values: -3 and 0"):
        aggregate(votes - 3, annotators)
    with pytest.raises(ValueError, match=r"method must be one of majority, .* actual value: 'mean'"):
        aggregate(votes, annotators, "mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a crowd needs config\.crowd"):
        Crowd(HIDDEN, 3, AnnotatorConfig(), 0)
    with pytest.raises(ValueError, match=r"crowd\.domain_concentration needs facts\.domain"):
        crowd(HIDDEN, domain_concentration=5.0)

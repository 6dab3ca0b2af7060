"""Measures of agreement: the literature's own examples, and what holds for any answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from curation_gym.annotators.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha, pairwise_agreement

# Diagnoses of 30 patients by 6 psychiatrists each (Fleiss 1971, table 1): answers per category, of which there are 5.
PSYCHIATRISTS = """
00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006
"""
# Four observers on twelve units, a dot where one gave no value (Krippendorff, Computing Krippendorff's Alpha, 2011).
OBSERVERS = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]

FULL = arrays(np.int64, st.tuples(st.integers(2, 12), st.integers(2, 4)), elements=st.integers(-1, 2))


def test_the_psychiatrists_of_fleiss() -> None:
    counts = np.array([[int(count) for count in row] for row in PSYCHIATRISTS.split()])
    answers = np.stack([np.repeat(np.arange(5), row) for row in counts])
    assert fleiss_kappa(answers) == pytest.approx(0.430, abs=5e-4)
    shuffled = np.random.default_rng(0).permuted(answers, axis=1)  # whoever gave them
    assert fleiss_kappa(shuffled) == pytest.approx(fleiss_kappa(answers))


def test_the_observers_of_krippendorff() -> None:
    answers = np.array([[-2 if value == "." else int(value) - 1 for value in row] for row in OBSERVERS]).T
    assert krippendorff_alpha(answers) == pytest.approx(0.743, abs=5e-4)
    shuffled = np.random.default_rng(0).permuted(answers, axis=1)
    assert krippendorff_alpha(shuffled) == pytest.approx(krippendorff_alpha(answers))


def test_cohens_kappa_by_hand() -> None:
    one = np.repeat([0, 0, 1, 1], [20, 5, 10, 15])
    other = np.repeat([0, 1, 0, 1], [20, 5, 10, 15])
    # p_o = 35/50, p_e = 0.5 · 0.6 + 0.5 · 0.4
    assert cohen_kappa(one, other) == pytest.approx((0.7 - 0.5) / (1 - 0.5))


def test_pairwise_agreement_by_hand() -> None:
    answers = np.array([[0, 0, -2], [1, 1, 1], [2, 0, -2], [-1, -1, -2], [-2, 1, -2]])
    expected = [[1, 3 / 4, 1], [3 / 4, 1, 1], [1, 1, 1]]
    np.testing.assert_allclose(pairwise_agreement(answers), expected)
    lonely = pairwise_agreement(np.array([[0, -2], [-2, 0]]))
    np.testing.assert_array_equal(np.isnan(lonely), [[False, True], [True, False]])


def test_a_flag_is_an_answer_and_a_missing_answer_is_none() -> None:
    flags = np.array([[-1, -1], [0, 0], [1, 1], [-1, 0]])
    as_a_class = np.where(flags == -1, 2, flags)
    gaps = np.concatenate([flags, [[-2, 0], [1, -2], [-2, -2]]])
    for measure in (fleiss_kappa, krippendorff_alpha):
        assert measure(flags) == pytest.approx(measure(as_a_class))
        assert measure(gaps) == pytest.approx(measure(flags))
    assert cohen_kappa(*flags.T) == pytest.approx(cohen_kappa(*as_a_class.T))
    assert cohen_kappa(*gaps.T) == pytest.approx(cohen_kappa(*flags.T))


@settings(deadline=None)
@given(FULL, st.permutations([-1, 0, 1, 2]))
def test_names_of_classes_and_order_of_samples_dont_matter(answers: NDArray[np.int64], renamed: list[int]) -> None:
    answers[0, :2] = 0, 1  # never all the same
    other = np.array(renamed)[answers + 1][::-1]
    assert fleiss_kappa(other) == pytest.approx(fleiss_kappa(answers))
    assert krippendorff_alpha(other) == pytest.approx(krippendorff_alpha(answers))
    np.testing.assert_allclose(pairwise_agreement(other), pairwise_agreement(answers))


@settings(deadline=None)
@given(FULL)
def test_alpha_is_fleiss_kappa_but_for_small_samples(answers: NDArray[np.int64]) -> None:
    """1 − α = (1 − κ) · (n·r − 1) / (n·r): D_e draws pairs without replacement."""
    answers[0, :2] = 0, 1  # never all the same
    expected = 1 - (1 - fleiss_kappa(answers)) * (answers.size - 1) / answers.size
    assert krippendorff_alpha(answers) == pytest.approx(expected)


@settings(deadline=None)
@given(FULL, st.data())
def test_full_agreement_is_1(answers: NDArray[np.int64], data: st.DataObject) -> None:
    missing = data.draw(arrays(np.bool_, (len(answers), 1)))
    agreed = np.broadcast_to(answers[:, :1], (len(answers), 3)).copy()
    agreed[:, :1][missing] = -2
    same = pairwise_agreement(agreed)
    assert (same[~np.isnan(same)] == 1).all()
    if len(np.unique(answers[:, 0])) > 1:
        assert krippendorff_alpha(agreed) == pytest.approx(1)


def test_chance_is_0() -> None:
    answers = np.random.default_rng(0).choice(3, (20000, 2), p=[0.6, 0.3, 0.1])
    for value in (cohen_kappa(*answers.T), fleiss_kappa(answers), krippendorff_alpha(answers)):
        assert value == pytest.approx(0, abs=0.03)


def test_the_measures_are_undefined_when_all_answers_are_the_same() -> None:
    same = np.ones((5, 3), int)
    assert np.isnan([fleiss_kappa(same), krippendorff_alpha(same), cohen_kappa(same[:, 0], same[:, 1])]).all()


def test_bad_input_is_refused() -> None:
    gaps = np.array([[0, -2], [-2, 1]])
    for measure in (fleiss_kappa, krippendorff_alpha, pairwise_agreement):
        with pytest.raises(ValueError, match=r"must be \(n, r\) with r >= 2, actual shape: \(2, 1\)"):
            measure(gaps[:, :1])
        with pytest.raises(ValueError, match="must be >= -2, actual smallest value: -3"):
            measure(gaps - 1)
    with pytest.raises(ValueError, match="no sample has all 2 answers"):
        fleiss_kappa(gaps)
    with pytest.raises(ValueError, match="no sample has two answers"):
        krippendorff_alpha(gaps)
    with pytest.raises(ValueError, match="no sample has all 2 answers"):
        cohen_kappa(*gaps.T)
    with pytest.raises(ValueError, match=r"actual shapes: \(2,\) and \(1,\)"):
        cohen_kappa(gaps[0], gaps[0, :1])

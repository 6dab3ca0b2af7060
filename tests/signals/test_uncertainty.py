"""Uncertainty measures: known cases, and the laws they obey."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_gym.signals import uncertainty
from curation_gym.signals.uncertainty import FLOOR, MEASURES, bound, measures

names = st.sampled_from(sorted(MEASURES))
DIVIDING = ("disagreement", "pairwise_kl", "variance", "variation_ratio")  # 0 where members agree


@st.composite
def ensembles(draw: st.DrawFn) -> np.ndarray:
    """Probabilities (members, samples, classes) from nearly uniform to nearly certain, some exactly 0."""
    members, samples, classes = draw(st.integers(2, 6)), draw(st.integers(1, 5)), draw(st.integers(2, 7))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    p = rng.dirichlet(np.full(classes, draw(st.sampled_from([0.05, 1.0, 50.0]))), (members, samples))
    p[p < draw(st.sampled_from([0.0, 0.1]))] = 0
    p /= p.sum(-1, keepdims=True)
    return p.astype(draw(st.sampled_from([np.float32, np.float64])))


@given(ensembles(), names)
def test_range(p: np.ndarray, name: str) -> None:
    score = MEASURES[name](p)
    assert score.shape == (p.shape[1],)
    assert (score >= -1e-6).all()
    assert (score <= bound(name, p.shape[0], p.shape[2]) + 1e-5).all()


@given(ensembles(), names, st.randoms(use_true_random=False))
def test_names_of_classes_do_not_matter(p: np.ndarray, name: str, random: object) -> None:
    order = list(range(p.shape[2]))
    random.shuffle(order)  # type: ignore[attr-defined]
    np.testing.assert_allclose(MEASURES[name](p[..., order]), MEASURES[name](p), atol=1e-5)


@given(ensembles(), names, st.randoms(use_true_random=False))
def test_order_of_members_does_not_matter_but_for_the_single_model(p: np.ndarray, name: str, random: object) -> None:
    order = list(range(len(p)))
    random.shuffle(order)  # type: ignore[attr-defined]
    if name == "single_margin":
        np.testing.assert_allclose(uncertainty.single_margin(p[order]), uncertainty.single_margin(p, member=order[0]))
    elif name == "entropy":
        np.testing.assert_allclose(uncertainty.entropy(p[order]), uncertainty.entropy(p, member=order[0]))
    else:
        np.testing.assert_allclose(MEASURES[name](p[order]), MEASURES[name](p), atol=1e-5)


@given(ensembles())
def test_total_is_within_plus_between(p: np.ndarray) -> None:
    total = uncertainty.member_entropy(p) + uncertainty.disagreement(p)
    np.testing.assert_allclose(uncertainty.ensemble_entropy(p), total, atol=1e-5)


@given(ensembles())
def test_disagreement_is_the_expected_divergence_from_the_mean(p: np.ndarray) -> None:
    expected = np.zeros(p.shape[1])
    for sample in range(p.shape[1]):
        mean = [sum(float(member[sample, k]) for member in p) / len(p) for k in range(p.shape[2])]
        for member in p:
            for k, q in enumerate(mean):
                if member[sample, k] > 0:
                    expected[sample] += float(member[sample, k]) * np.log(float(member[sample, k]) / q) / len(p)
    np.testing.assert_allclose(uncertainty.disagreement(p), expected, atol=1e-5)


@given(ensembles())
def test_pairwise_kl_is_the_mean_over_pairs(p: np.ndarray) -> None:
    members, expected = len(p), np.zeros(p.shape[1])
    for sample in range(p.shape[1]):
        pairs = [(a, b) for a in range(members) for b in range(members) if a != b]
        for a, b in pairs:
            for x, y in zip(p[a, sample].tolist(), p[b, sample].tolist(), strict=True):
                expected[sample] += x * np.log(max(x, FLOOR) / max(y, FLOOR)) / len(pairs)
    np.testing.assert_allclose(uncertainty.pairwise_kl(p), expected, rtol=1e-5, atol=2e-5)


@given(ensembles())
def test_variance_is_the_sum_over_classes(p: np.ndarray) -> None:
    np.testing.assert_allclose(uncertainty.variance(p), p.astype(float).var(0).sum(-1), atol=1e-6)


@given(ensembles())
def test_variation_ratio_counts_votes(p: np.ndarray) -> None:
    for sample, value in enumerate(uncertainty.variation_ratio(p)):
        votes = [sum(member[sample, k] == member[sample].max() for member in p) for k in range(p.shape[2])]
        assert value == pytest.approx(1 - max(votes) / len(p))


@given(ensembles())
def test_what_divides_members_is_ordered(p: np.ndarray) -> None:
    """By convexity of the divergence in its second argument."""
    members = len(p)
    lower = members / (members - 1) * uncertainty.disagreement(p)
    assert (uncertainty.pairwise_kl(p) >= lower - 1e-4).all()


@given(ensembles(), names)
def test_samples_are_scored_one_by_one(p: np.ndarray, name: str) -> None:
    alone = [MEASURES[name](p[:, [sample]])[0] for sample in range(p.shape[1])]
    np.testing.assert_allclose(MEASURES[name](p), alone, atol=1e-6)
    np.testing.assert_allclose(MEASURES[name](p[:, ::-1]), alone[::-1], atol=1e-6)


@given(ensembles())
def test_members_that_agree_have_no_disagreement(p: np.ndarray) -> None:
    same = np.repeat(p[:1], 3, axis=0)
    for name in DIVIDING:
        np.testing.assert_allclose(MEASURES[name](same), 0, atol=1e-5)
    np.testing.assert_allclose(uncertainty.ensemble_entropy(same), uncertainty.entropy(p), atol=1e-5)


@given(ensembles())
def test_all_at_once_is_each_alone(p: np.ndarray) -> None:
    expected = [measure(p) for measure in MEASURES.values()]
    assert all(score.dtype == p.dtype for score in expected)
    np.testing.assert_array_equal(measures(p, tuple(MEASURES)), np.stack(expected))


@given(ensembles(), st.lists(names, min_size=1, unique=True))
def test_some_are_those_of_all_in_the_order_asked_for(p: np.ndarray, some: list[str]) -> None:
    rows = [list(MEASURES).index(name) for name in some]
    np.testing.assert_array_equal(measures(p, some), measures(p, tuple(MEASURES))[rows])


def test_an_entropy_misses_no_more_than_the_floor_takes() -> None:
    p = np.full((2, 1, 1000), FLOOR / np.e)  # the worst case for every class but the first
    p[..., 0] = 1 - p[..., 1:].sum(-1)
    exact = -(p * np.log(p)).sum(-1)[0]
    short = exact - uncertainty.entropy(p)
    assert 0 < short[0] <= 1000 * FLOOR / np.e


def test_known_cases() -> None:
    uniform = np.full((3, 1, 4), 0.25)
    for name in MEASURES:
        expected = 0 if name in DIVIDING else bound(name, 3, 4)
        np.testing.assert_allclose(MEASURES[name](uniform), expected)
    certain = np.broadcast_to(np.eye(4)[:1], (3, 1, 4))
    for name in MEASURES:
        np.testing.assert_allclose(MEASURES[name](certain), 0, atol=1e-12)
    opposed = np.eye(3)[:, None]  # three members, each certain of another class
    for name in DIVIDING:
        assert MEASURES[name](opposed)[0] == pytest.approx(bound(name, 3, 3)), name
    assert bound("pairwise_kl", 2, 2) == pytest.approx(8 * np.log(10))
    assert bound("variance", 5, 150) == bound("variation_ratio", 5, 150) == 0.8
    opposed = np.eye(2)[:, None]
    assert uncertainty.disagreement(opposed)[0] == pytest.approx(np.log(2)) == bound("disagreement", 2, 5)
    assert uncertainty.member_entropy(opposed)[0] == 0
    assert uncertainty.margin(opposed)[0] == 1
    p = np.array([[[0.5, 0.3, 0.2]]])
    assert uncertainty.margin(p)[0] == pytest.approx(0.8)
    assert uncertainty.ratio(p)[0] == pytest.approx(0.6)
    assert uncertainty.single_margin(np.concatenate([p, p[..., ::-1]]), member=1)[0] == pytest.approx(0.8)
    assert uncertainty.least_confidence(p)[0] == pytest.approx(0.5)
    assert uncertainty.entropy(p)[0] == pytest.approx(1.0296530)
    for name in DIVIDING:
        assert MEASURES[name](p)[0] == 0  # one member
    two = np.array([[[0.5, 0.5]], [[0.9, 0.1]]])
    both_ways = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1) + 0.9 * np.log(0.9 / 0.5) + 0.1 * np.log(0.1 / 0.5)
    assert uncertainty.pairwise_kl(two)[0] == pytest.approx(both_ways / 2)
    assert uncertainty.variance(two)[0] == pytest.approx(2 * 0.2**2)
    votes = np.eye(3)[[0, 0, 1, 2, 0]][:, None]
    assert uncertainty.variation_ratio(votes)[0] == pytest.approx(2 / 5)


def test_bad_input_is_named() -> None:
    for shape in ((3, 4), (3, 4, 1)):
        with pytest.raises(ValueError, match="two classes or more, actual shape:"):
            uncertainty.margin(np.ones(shape))
    with pytest.raises(ValueError, match="those of sample 1 hold NaN"):
        uncertainty.variation_ratio(np.array([[[0.5, 0.5], [np.nan, 0.5]]]))
    with pytest.raises(ValueError, match=r"measure must be one of entropy, .*actual value: 'gini'"):
        bound("gini", 2, 2)
    with pytest.raises(ValueError, match=r"measure must be one of entropy, .*actual value: 'mean'"):
        measures(np.ones((2, 1, 1)), ["mean"])
    with pytest.raises(ValueError, match="name at least one measure"):
        measures(np.ones((2, 1, 1)), [])
    with pytest.raises(ValueError, match="members and classes must be >= 2, actual values: 1, 3"):
        bound("disagreement", 1, 3)

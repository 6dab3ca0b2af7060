"""What a budget bought: by hand and by definition."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from curation_gym.evaluation.labelling import (
    accuracy,
    accuracy_under_shift,
    domain_balance,
    flag_quality,
    label_quality,
    leave_one_domain_out,
    macro_f1,
    one_vs_rest_auc,
    ood_detection,
    per_domain,
)


# ------------------------------------------------------------------ classifier
def test_accuracy_and_f1_by_hand() -> None:
    labels, predictions = [0, 0, 0, 1, 1, 2], [0, 0, 1, 1, 1, 0]
    assert accuracy(labels, predictions) == pytest.approx(4 / 6)
    # F1 of class 0: 2·2/(3 + 3); of class 1: 2·2/(2 + 3); of class 2: 0
    assert macro_f1(labels, predictions) == pytest.approx((2 / 3 + 0.8 + 0) / 3)
    assert macro_f1([0, 0], [0, 3]) == pytest.approx(2 / 3)  # a class that is only predicted has no F1 of its own


def auc_of_pairs(positive: list[float], negative: list[float]) -> float:
    return float(np.mean([(a > b) + 0.5 * (a == b) for a in positive for b in negative]))


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 5))
def test_one_vs_rest_auc_is_the_mean_over_classes_that_occur(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=12)
    scores = rng.integers(5, size=(12, classes)) / 4  # with ties
    present = [k for k in range(classes) if k in labels]
    each = [
        auc_of_pairs(scores[labels == k, k].tolist(), scores[labels != k, k].tolist())
        for k in present
        if len(present) > 1
    ]
    value = one_vs_rest_auc(labels, scores)
    assert value == pytest.approx(np.mean(each)) if each else np.isnan(value)


def test_auc_of_one_class_is_not_defined() -> None:
    assert np.isnan(one_vs_rest_auc([1, 1], [[0.2, 0.8], [0.3, 0.7]]))


@pytest.mark.parametrize(
    ("labels", "shape", "message"),
    [([0, 2], (2, 2), r"labels must be in 0 … 1, actual: 0 … 2"), ([0, 1], (3, 2), r"actual: \(2,\), \(3, 2\)")],
)
def test_auc_names_what_does_not_fit(labels: list[int], shape: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        one_vs_rest_auc(labels, np.ones(shape))


def test_per_domain_looks_within() -> None:
    labels, predictions, domain = [0, 1, 1, 0], [0, 0, 1, 0], ["b", "a", "a", "b"]
    assert per_domain(accuracy, labels, predictions, domain) == {"a": 0.5, "b": 1.0}
    scores = np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.6, 0.4]])
    auc = per_domain(one_vs_rest_auc, [0, 1, 1, 0], scores, [0, 0, 1, 0])
    assert auc[0] == 1
    assert np.isnan(auc[1])
    with pytest.raises(ValueError, match="lengths must be equal, actual: 4, 4, 3"):
        per_domain(accuracy, labels, predictions, [0, 0, 1])


def test_shift_is_newcombes_example() -> None:
    """His table II, case (a): 56/70 and 48/80, method 10."""
    shift = accuracy_under_shift(np.arange(80) < 48, np.arange(70) < 56)
    np.testing.assert_allclose(shift, [0.2, 0.0524, 0.3339], atol=5e-5)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.data())
def test_shift_is_within_its_interval_and_antisymmetric(n: int, m: int, data: st.DataObject) -> None:
    a, b = np.arange(n) < data.draw(st.integers(0, n)), np.arange(m) < data.draw(st.integers(0, m))
    one, other = accuracy_under_shift(a, b), accuracy_under_shift(b, a)
    assert one.value == pytest.approx(b.mean() - a.mean())
    assert -1 - 1e-9 <= one.low <= one.value <= one.high <= 1 + 1e-9
    np.testing.assert_allclose([-one.value, -one.high, -one.low], other, atol=1e-12)
    wide = accuracy_under_shift(a, b, confidence=0.99)
    assert wide.low <= one.low
    assert wide.high >= one.high
    assert wide.high - wide.low > one.high - one.low


# ---------------------------------------------------------- leave one domain out
def three_domains() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In domain "c" the classes have changed places."""
    rng = np.random.default_rng(0)
    domain, labels = np.repeat(["a", "b", "c"], 60), np.tile([0, 1], 90)
    X = np.where(domain == "c", 1 - labels, labels)[:, None] * 4.0 + rng.standard_normal((180, 1))
    of_c_alone = np.where(domain == "c", 30 * X[:, 0] - 60, 0)[:, None]  # by which they can be told there too
    return np.hstack([X, of_c_alone]), labels, domain


def test_a_domain_that_was_not_seen_is_where_accuracy_falls_and_shots_help() -> None:
    X, labels, domain = three_domains()

    def fit_predict(X_train: np.ndarray, y: np.ndarray, X_test: np.ndarray) -> np.ndarray:
        return LogisticRegression(max_iter=1000).fit(X_train, y).predict(X_test)

    result = leave_one_domain_out(fit_predict, X, labels, domain, shots=(0, 5))
    assert min(result[0]["a"], result[0]["b"]) > 0.9
    assert result[0]["c"] < 0.1
    assert result[5]["c"] > 0.9


def test_what_is_trained_on_is_never_tested_and_shots_are_nested() -> None:
    ids, labels, domain = np.arange(60), np.arange(60) % 3, np.arange(60) % 4
    calls = []

    def fit_predict(X_train: np.ndarray, y: np.ndarray, X_test: np.ndarray) -> np.ndarray:
        np.testing.assert_array_equal(y, labels[X_train])
        calls.append((X_train, X_test))
        return labels[X_test]

    result = leave_one_domain_out(fit_predict, ids, labels, domain, shots=(0, 1, 3), seed=4)
    assert result == {k: dict.fromkeys(range(4), 1.0) for k in (0, 1, 3)}
    for name in range(4):
        seen = []
        for k in range(3):
            train, test = calls[3 * name + k]
            assert not set(train) & set(test)
            assert (domain[test] == name).all()
            assert set(train) >= set(np.flatnonzero(domain != name))
            seen.append(set(train))
            np.testing.assert_array_equal(test, calls[3 * name][1])
            own = train[domain[train] == name]
            np.testing.assert_array_equal(np.bincount(labels[own], minlength=3), (0, 1, 3)[k])
        assert seen[0] < seen[1] < seen[2]
    first = [train for train, _ in calls]
    calls.clear()
    leave_one_domain_out(fit_predict, ids, labels, domain, shots=(0, 1, 3), seed=5)
    assert any(set(a) != set(b) for a, (b, _) in zip(first, calls, strict=True))


@pytest.mark.parametrize(
    ("domain", "shots", "message"),
    [
        ([0, 0, 0, 0], (0,), r"actual: 1 domain\(s\), shots \[0\]"),
        ([0, 0, 1, 1], (-1,), "shots >= 0"),
        ([0, 0, 1, 1], (), "shots"),
        ([0, 0, 1, 1], (1,), "class 0 has 1 samples in domain 0, which leaves none to test after 1 shots"),
    ],
)
def test_domains_that_cannot_be_left_out(domain: list[int], shots: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        leave_one_domain_out(lambda X, y, Z: np.zeros(len(Z)), np.zeros((4, 1)), [0, 1, 0, 1], domain, shots=shots)


# ---------------------------------------------------------------------- labels
def test_label_quality_counts_labels_only() -> None:
    assert label_quality([0, 1, 2, -1, 1, -1], [0, 1, 1, -1, -1, 3]) == 0.5
    assert np.isnan(label_quality([-1, -1], [0, 1]))


def test_flag_quality_by_hand() -> None:
    assert flag_quality([1, 1, 1, 0, 0], [1, 1, 0, 1, 0]) == pytest.approx((2 / 3, 2 / 3))
    assert flag_quality([1, 1, 0, 0], [1, 1, 1, 1]) == (1.0, 0.5)
    none = flag_quality([0, 0], [0, 1])
    assert np.isnan(none.precision)
    assert none.recall == 0
    assert np.isnan(flag_quality([1, 0], [0, 0]).recall)


def test_balance_by_hand() -> None:
    assert domain_balance([5, 5, 5, 5]) == pytest.approx((1, 0))
    assert domain_balance([7, 0, 0, 0]) == pytest.approx((0, 0.75))
    entropy, gini = domain_balance([1, 3])
    assert entropy == pytest.approx(-(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75)))
    assert gini == pytest.approx(0.25)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=2, max_size=8).filter(any), st.integers(2, 9), st.randoms())
def test_balance_ignores_order_and_budget(spent: list[int], factor: int, random: object) -> None:
    entropy, gini = domain_balance(spent)
    assert -1e-12 <= entropy <= 1 + 1e-12
    assert -1e-12 <= gini <= 1 - 1 / len(spent) + 1e-12
    other = [factor * x for x in spent]
    random.shuffle(other)  # type: ignore[attr-defined]
    assert domain_balance(other) == pytest.approx((entropy, gini))


@pytest.mark.parametrize("spent", [[3], [0, 0], [1, -1]])
def test_balance_of_nothing_is_refused(spent: list[int]) -> None:
    with pytest.raises(ValueError, match="spent must hold two or more numbers"):
        domain_balance(spent)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 20))
def test_detection_is_its_definition(seed: int, inside: int, outside: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(12, size=inside + outside) + np.repeat([0, 3], [inside, outside])
    out = np.repeat([False, True], [inside, outside])
    order = rng.permutation(inside + outside)
    found = ood_detection(scores[order], out[order])
    assert found.auroc == pytest.approx(auc_of_pairs(scores[out].tolist(), scores[~out].tolist()))
    passing = [t for t in sorted(scores) if 100 * (scores[~out] <= t).sum() >= 95 * inside]
    assert found.fpr_at_95_tpr == pytest.approx((scores[out] <= passing[0]).mean())


def test_detection_by_hand_and_its_limits() -> None:
    assert ood_detection([0.1, 0.2, 0.9], [0, 0, 1]) == (1, 0)
    assert ood_detection([0.9, 0.8, 0.1], [0, 0, 1]) == (0, 1)
    with pytest.raises(ValueError, match="actual: 2 and 0"):
        ood_detection([0.1, 0.2], [0, 0])

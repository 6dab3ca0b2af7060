"""Audits: who is asked, by which definition, and what is still known when it changes."""

import pickle
from typing import Any

import numpy as np
import pytest
from scipy.special import logit

from curation_gym.config import ConfigError, validated
from curation_gym.envs.audits import Audits, RefinementConfig, refined_signals
from curation_gym.pools import Pool
from curation_gym.pools.corpus_sources import CLASSES
from curation_gym.signals.refinement import RefinedSignal

N, HORIZON = 60, 10


def make_pool(**changes: Any) -> Pool:
    rng = np.random.default_rng(3)
    severity = rng.choice([0.0, 0.5, 1.0], N)
    columns = {
        "signals": {name: rng.random(N) for name in ("safety", "alignment", "utility")},
        "domain": np.arange(N) % 2,
        "domain_names": ("a", "b"),
        "hidden": {"label": (severity >= 0.5).astype(int), "severity": severity},
        "class_names": CLASSES,
    }
    return Pool(rng.standard_normal((N, 4)), **(columns | changes))


def audits(pool: Pool, **options: Any) -> Audits:
    return Audits(RefinementConfig.model_validate({"every": 1, "size": 6, **options}), pool)


def run(over: Audits, steps: range) -> None:
    for step in steps:
        over.audit(step, HORIZON)


def test_both_signals_are_corrected_by_all_that_is_known() -> None:
    pool = make_pool()
    made = audits(pool, every=2)
    assert [made.audit(step, HORIZON) for step in range(4)] == [6, 0, 6, 0]
    assert len(made.known) == 12
    assert made.safe == (pool.hidden["label"][made.known] == 0).tolist()
    for name in ("safety", "alignment"):
        others = np.column_stack([pool.signals[other] for other in sorted(pool.signals) if other != name])
        alone = RefinedSignal(pool.signals[name], pool.domain, pool.embeddings, others).fit(made.known, made.safe)
        np.testing.assert_allclose(made.score(name, np.arange(N)), alone.score(), atol=1e-4)
        np.testing.assert_array_equal(audits(pool).score(name, np.arange(5)), pool.signals[name][:5])


def test_audits_may_leave_alignment_to_its_own_classifier() -> None:
    pool, ids = make_pool(), np.arange(N)
    both, one = audits(pool), audits(pool, signals=["safety"])
    for made in (both, one):
        run(made, range(3))
    np.testing.assert_array_equal(one.score("safety", ids), both.score("safety", ids))
    assert one.known == both.known
    assert refined_signals(one.config, pool) == ["safety"]
    assert refined_signals(audits(pool, signals=["safety"], gain=1.0).config, pool) == ["safety", "utility"]


def test_what_the_same_labels_say_is_settled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = make_pool(signals={name: np.random.default_rng(8).random(N) for name in ("safety", "utility")})
    ids = np.arange(N)
    first = audits(pool)
    run(first, range(4))
    expected = first.score("safety", ids)
    run(first, range(4, 6))
    with monkeypatch.context() as patched:
        patched.delattr(RefinedSignal, "fit")
        again = audits(pool)
        np.testing.assert_array_equal(again.score("safety", ids), pool.signals["safety"].astype(np.float32))
        run(again, range(4))
    np.testing.assert_array_equal(again.score("safety", ids), expected)
    other = audits(pool, order=1)
    run(other, range(4))
    assert (other.score("safety", ids) != expected).any()


def test_every_episode_reveals_the_same_labels() -> None:
    pool = make_pool(domain=np.arange(N) // 50, split=np.tile([0, 2], N // 2))
    made, other, few = audits(pool), audits(pool, order=1), audits(pool, size=2)
    for over in (made, other, few):
        run(over, range(3))
    assert few.known == made.known[:6]
    assert few.known != other.known[:6]
    run(made, range(3, 10))
    assert sorted(made.known) == sorted(pool.ids("train")), "there are no more"


def test_people_look_where_labels_vary() -> None:
    label = np.where(np.arange(N) % 3, 0, np.arange(N) % 2)  # domain 0 is clean, of domain 1 a third is not
    made = audits(make_pool(hidden={"label": label}))
    run(made, range(5))
    looked_at = np.bincount(made._pool.domain[made.known])
    rare, frequent = (np.sqrt(p * (1 - p)) for p in (1 / (looked_at[0] + 2), 1 / 3))
    assert looked_at[0] / looked_at[1] == pytest.approx(rare / frequent, rel=0.25)


@pytest.mark.parametrize(
    ("before", "after", "stays_known"),
    [(0.9, 0.5, [1.0]), (0.5, 0.9, [0.0])],
    ids=["stricter", "milder"],
)
def test_what_an_audit_told_is_known_as_far_as_it_follows(
    before: float, after: float, stays_known: list[float]
) -> None:
    pool = make_pool()
    severity = pool.hidden["severity"]
    made = audits(pool, unsafe_from=before, redefined={"after": 0.5, "unsafe_from": after})
    run(made, range(5))
    old = set(made.known)
    assert len(old) == 30
    assert made.safe == (severity[made.known] < before).tolist()
    run(made, range(5, 7))
    assert sorted(set(severity[[*old & set(made.known)]].tolist())) == stays_known
    assert len(set(made.known) - old) == 12
    assert set(made.revealed) == old | set(made.known), "whatever has become of the definition"
    assert made.safe == (severity[made.known] < after).tolist(), "of what is known every answer is one of now"
    domain, unsafe = pool.domain[made.known], np.logical_not(made.safe)
    assert made._told.tolist() == np.bincount(domain, minlength=2).tolist(), "and people look by these alone"
    assert made._unsafe.tolist() == np.bincount(domain, unsafe, 2).tolist()


def test_utility_rises_where_the_model_has_fallen_behind() -> None:
    pool = make_pool()
    made = audits(pool, gain=5.0)
    ids, own = np.arange(N), pool.signals["utility"]
    np.testing.assert_array_equal(made.score("utility", ids), own)
    for _ in range(2):
        made.probed(np.array([0.03, -0.01]), np.zeros(2))
        np.testing.assert_allclose(made.score("utility", ids) - own, np.where(pool.domain == 0, 0.1, -0.1), atol=1e-6)
    assert refined_signals(made.config, pool) == ["safety", "alignment", "utility"]
    assert refined_signals(audits(pool).config, pool) == ["safety", "alignment"]


def test_what_stays_behind_is_carried_on_within_bounds() -> None:
    made = audits(make_pool(), gain=5.0, carry=0.5)
    for behind in (0.1, 0.15, 0.2):
        made.probed(np.array([0.03, -0.01]), np.zeros(2))
        np.testing.assert_allclose(made.rise, [behind, -behind])
    for _ in range(50):
        made.probed(np.array([0.03, -0.01]), np.zeros(2))
    np.testing.assert_allclose(made.rise, [2, -2])
    made.probed(np.array([-0.01, 0.03]), np.zeros(2))
    np.testing.assert_allclose(made.rise, [1.9, -1.9], err_msg="it falls at once")


def test_safety_falls_where_the_model_says_what_is_toxic() -> None:
    pool = make_pool()
    made = audits(pool, safety_gain=4.0)
    run(made, range(2))
    ids, before = np.arange(N), made.score("safety", np.arange(N))
    alignment = made.score("alignment", ids)
    made.probed(np.zeros(2), np.array([0.5, 0.1]))
    shift = logit(made.score("safety", ids).astype(float)) - logit(np.clip(before, 1e-3, 1 - 1e-3))
    np.testing.assert_allclose(shift, np.where(pool.domain == 0, -0.8, 0.8), atol=2e-3)
    np.testing.assert_array_equal(made.score("alignment", ids), alignment)


def test_what_was_pickled_goes_on_alike(tmp_path: Any) -> None:
    pool = make_pool().save(tmp_path / "pool")
    made = audits(pool)
    run(made, range(3))
    size = len(pickle.dumps(made))
    other = pickle.loads(pickle.dumps(made))
    for _ in range(2):
        for name in ("safety", "alignment"):
            np.testing.assert_array_equal(other.score(name, np.arange(N)), made.score(name, np.arange(N)))
        run(made, range(3, 5)), run(other, range(3, 5))
    assert size < 4000, "the pool is not in it"


def test_what_cannot_be_audited_is_refused() -> None:
    with pytest.raises(ConfigError, match="redefined needs unsafe_from"):
        validated(RefinementConfig, {"redefined": {"unsafe_from": 0.5}}, "refinement")
    for signals in ([], ["utility"]):
        with pytest.raises(ConfigError, match=r"refinement: .*signals"):
            validated(RefinementConfig, {"signals": signals}, "refinement")
    with pytest.raises(ConfigError, match="signals must name it"):
        validated(RefinementConfig, {"signals": ["alignment"], "safety_gain": 1.0}, "refinement")
    with pytest.raises(ConfigError, match="corrects alignment; the pool has no such signal"):
        audits(make_pool(signals={"safety": np.zeros(N)}), signals=["alignment"])
    with pytest.raises(ConfigError, match="hidden column 'severity'"):
        audits(make_pool(hidden={"label": np.zeros(N, int)}), unsafe_from=0.5)
    with pytest.raises(ConfigError, match="corrects signals by what people called"):
        audits(make_pool(hidden={}))
    unknown = make_pool(hidden={"label": np.full(N, -1), "severity": np.full(N, -1.0)})
    assert audits(unknown).audit(0, HORIZON) == 0

"""Selection baselines against what they say they do, on observations made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.audit_corrected import AuditCorrected
from baselines.domain_rule import DomainRule, EqualShares, LabelClean, poured
from baselines.heuristic import Heuristic, TextHeuristic
from baselines.raft import Calibrated, Greedy, PacedRaft, Raft, RefinedRaft
from baselines.reference import Hindsight
from baselines.static_filter import ClassifierFilter, NoveltyFilter, StaticFilter
from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.envs.biased_selection import BiasedSelectionVectorEnv
from curation_gym.envs.coverage_selection import CoverageSelectionVectorEnv
from curation_gym.envs.rotting_arms import RottingArmsVectorEnv
from curation_gym.envs.score_selection import ScoreSelectionVectorEnv
from curation_gym.policy import Policy, PolicyError
from curation_gym.pools import Pool
from curation_gym.pools.corpus_sources import CLASSES
from curation_gym.task import Column, Task

RULES = [
    DomainRule,
    Heuristic,
    TextHeuristic,
    StaticFilter,
    ClassifierFilter,
    NoveltyFilter,
    Raft,
    Calibrated,
    Greedy,
    EqualShares,
]
SHAPE = {"n_items": 6, "horizon": 4, "budget": 8}


@pytest.fixture(scope="module")
def task() -> Task:
    rng = np.random.default_rng(0)
    signals = {name: rng.random(60) for name in ("safety", "alignment", "utility")}
    embeddings = rng.random((60, 2), dtype=np.float32)
    pool = Pool(embeddings, signals, domain=np.arange(60) % 3, domain_names=("a", "b", "c"))
    return ScoreSelectionVectorEnv(1, pool=pool, **SHAPE).task


def seen(task: Task, mask: list[int] | None = None, **columns: list[float]) -> dict[str, np.ndarray]:
    item = np.zeros((task.n_items, len(task.item)), np.float32)
    for name, values in {"novelty": [1.0] * 6, "freshness": [1.0] * 6, **columns}.items():
        item[:, task.item_features.index(name.replace("__", "="))] = values
    return {"item": item, "context": np.ones(3, np.float32), "mask": np.array(mask or [1] * 6, np.int8)}


def scored(task: Task, score: list[float], **rest: list[float]) -> dict[str, np.ndarray]:
    """All three signals alike, so that the weighted score is ``score``."""
    return seen(task, safety=score, alignment=score, utility=score, **rest)


SCORES = [0.9, 0.2, 0.6, 0.7, 0.4, 0.8]


def test_static_filter_is_a_threshold(task: Task) -> None:
    chosen, _ = StaticFilter(task, threshold=0.65).predict(scored(task, SCORES))
    np.testing.assert_array_equal(chosen, [1, 0, 0, 1, 0, 1])


def test_classifier_filter_has_a_threshold_for_each_classifier(task: Task) -> None:
    observation = seen(task, safety=SCORES, alignment=[0.5, 0.9, 0.4, 0.6, 0.9, 0.5], utility=[0.0] * 6)
    chosen, _ = ClassifierFilter(task, safety=0.6, alignment=0.5).predict(observation)
    np.testing.assert_array_equal(chosen, [1, 0, 0, 1, 0, 1])
    unsafe = Pool(np.eye(60), {"utility": np.full(60, 0.5)})
    with pytest.raises(
        PolicyError, match="signals safety and alignment, CurationGym/ScoreSelection-v0 lacks alignment"
    ):
        ClassifierFilter(ScoreSelectionVectorEnv(1, pool=unsafe, weights={"utility": 1.0}, **SHAPE).task)


def test_novelty_filter_discounts_what_is_covered(task: Task) -> None:
    fresh = [0.5, 1, 1, 1, 1, 1]
    chosen, _ = NoveltyFilter(task, threshold=0.55).predict(scored(task, SCORES, freshness=fresh))
    np.testing.assert_array_equal(chosen, [0, 0, 1, 1, 0, 1])
    observation = scored(task, SCORES, freshness=fresh, novelty=[1, 1, 0.25, 1, 1, 1])
    chosen, _ = NoveltyFilter(task, threshold=0.55, power=0.5).predict(observation)
    np.testing.assert_array_equal(chosen, [0, 0, 0, 1, 0, 1])


def test_raft_takes_the_best_k(task: Task) -> None:
    np.testing.assert_array_equal(Raft(task).predict(scored(task, SCORES))[0], [1, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(Raft(task, share=0.5).predict(scored(task, SCORES))[0], [1, 0, 0, 1, 0, 1])
    np.testing.assert_array_equal(
        Greedy(task).predict(scored(task, SCORES, freshness=[0.5, 1, 1, 1, 1, 1]))[0], [0, 0, 0, 1, 0, 1]
    )


def test_refined_raft_ranks_by_what_was_corrected(task: Task) -> None:
    corrected = replace(task, item=(*task.item, Column("worth")))
    observation = scored(corrected, SCORES, worth=[0.1, 0.9, 0.6, 0.7, 0.4, 0.8])
    np.testing.assert_array_equal(RefinedRaft(corrected).predict(observation)[0], [0, 1, 0, 0, 0, 1])
    behind = observation | {"context": observation["context"].copy()}
    column = corrected.context_features.index("pace")
    behind["context"][..., column] = 1.5 / corrected.context[column].bound
    np.testing.assert_array_equal(RefinedRaft(corrected).predict(behind)[0], [0, 1, 0, 1, 0, 1], "it catches up")
    with pytest.raises(PolicyError, match="needs the column 'worth'"):
        RefinedRaft(task)


def test_calibrated_counts_safety_as_far_as_it_trusts_it(task: Task) -> None:
    observation = seen(
        task, safety=[1, 1, 0, 0, 0, 0], alignment=[0, 0, 0, 0, 0.6, 0.6], utility=[0, 0.1, 1, 0.9, 0.5, 0.5]
    )
    np.testing.assert_array_equal(Calibrated(task, trust=1).predict(observation)[0], [1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(Calibrated(task, trust=0).predict(observation)[0], [0, 0, 0, 0, 1, 1])
    np.testing.assert_array_equal(Calibrated(task, trust=0, share=0.5).predict(observation)[0], [0, 0, 1, 0, 1, 1])


@pytest.fixture(scope="module")
def biased() -> Task:
    pool = {"builder": "synthetic", "n_samples": 40, "n_clusters": 4, "dimension": 2, "n_domains": 2}
    return BiasedSelectionVectorEnv(1, pool=pool, n_items=4, horizon=4, budget=8, audit_price=1).task


def test_audit_corrected_takes_off_the_bias_and_buys_what_it_is_unsure_of(biased: Task) -> None:
    columns = {
        "safety": [0.8, 0.8, 0.4, 0.4, 0.9, 0.9],
        "utility": [0.5] * 6,
        "bias_mean": [0.5, 0.0, 0.0, -0.5, 0, 0],  # of max_bias = 0.4
        "bias_sd": [0.1] * 5 + [0.5],
        "is_audit": [0, 0, 0, 0, 1, 1],
    }
    policy = AuditCorrected(biased, threshold=0.5, max_sd=0.1)
    observation = seen(biased, **columns)
    np.testing.assert_array_equal(policy.predict(observation)[0], [1, 1, 0, 1, 0, 1])
    policy = AuditCorrected(biased, threshold=0.6, max_sd=0.02)
    np.testing.assert_array_equal(policy.predict(observation)[0], [0, 1, 0, 0, 1, 1])
    observation["mask"][[1, 4]] = 0
    np.testing.assert_array_equal(policy.predict(observation)[0], [0, 0, 0, 0, 0, 1])
    batch, _ = policy.predict({key: np.stack([value, value]) for key, value in observation.items()})
    np.testing.assert_array_equal(batch, [[0, 0, 0, 0, 0, 1]] * 2)


def test_rules_that_know_no_audits_take_them_for_masked(biased: Task) -> None:
    ones = [1.0] * 6
    domain = next(name for name in biased.item_features if name.startswith("domain="))
    observation = seen(biased, safety=ones, utility=ones, is_audit=[0, 0, 0, 0, 1, 1], **{domain: ones})
    for rule in (Heuristic, StaticFilter, NoveltyFilter, Raft, Calibrated, Greedy, EqualShares):
        chosen, _ = rule(biased).predict(observation)
        assert chosen[:4].any(), rule
        assert not chosen[4:].any(), rule


def test_rules_against_bias_say_what_they_need(task: Task, small_pool: Pool) -> None:
    with pytest.raises(PolicyError, match="needs the column 'bias_mean', which CurationGym/ScoreSelection-v0"):
        AuditCorrected(task)
    for rule in (Calibrated, TextHeuristic):
        with pytest.raises(PolicyError, match="needs a task that values safety"):
            rule(CoverageSelectionVectorEnv(1, pool=small_pool, **SHAPE).task)


def test_heuristic_needs_every_signal_and_some_novelty(task: Task) -> None:
    observation = seen(
        task,
        safety=[0.9, 0.9, 0.9, 0.4, 0.5, 0.9],
        alignment=[0.9, 0.9, 0.4, 0.9, 0.5, 0.9],
        utility=[0.9, 0.9, 0.9, 0.9, 0.5, 0.9],
        novelty=[1, 0.05, 1, 1, 1, 0.1],
    )
    np.testing.assert_array_equal(Heuristic(task).predict(observation)[0], [1, 0, 0, 0, 1, 1])
    text = TextHeuristic(task, min_safety=0.8, floor=0.3)
    np.testing.assert_array_equal(
        text.predict(observation)[0], [1, 0, 1, 0, 0, 1], "toxicity has a threshold of its own"
    )


def test_stratified_gives_every_domain_the_same_expectation(task: Task) -> None:
    observation = seen(task, domain__a=[1, 1, 1, 1, 0, 0], domain__b=[0, 0, 0, 0, 1, 1])
    p, _ = EqualShares(task).predict(observation)
    np.testing.assert_allclose(p, [1 / 4] * 4 + [1 / 2] * 2, rtol=1e-6)  # a budget of 8 in 4 steps


@pytest.mark.parametrize("rule", RULES)
def test_masked_items_are_never_selected_and_batches_work(task: Task, rule: type) -> None:
    policy = rule(task, seed=0)
    assert isinstance(policy, Policy)
    one = scored(task, SCORES)
    one["mask"][[0, 5]] = 0
    p, _ = policy.predict(one)
    assert (p[[0, 5]] == 0).all()
    assert p.dtype == np.float32
    batch, _ = policy.predict({key: np.stack([value, value]) for key, value in one.items()})
    np.testing.assert_array_equal(batch, [p, p])


@pytest.mark.parametrize("rule", RULES)
def test_other_tasks_are_refused(rule: type, small_pool: Pool) -> None:
    with pytest.raises(PolicyError, match="needs a Selection task with dense observations"):
        rule(RottingArmsVectorEnv(1).task)
    with pytest.raises(PolicyError, match="needs a Selection task with dense observations"):
        rule(ScoreSelectionVectorEnv(1, pool=small_pool, observation="ids", **SHAPE).task)


@pytest.mark.parametrize(
    ("rule", "kwargs"),
    [
        (StaticFilter, {"threshold": 1.2}),
        (ClassifierFilter, {"alignment": 1.2}),
        (Heuristic, {"floor": -1}),
        (TextHeuristic, {"min_safety": 2}),
        (Raft, {"share": 0}),
        (Greedy, {"share": 1.1}),
        (Calibrated, {"trust": 2}),
    ],
)
def test_bad_hyperparameters(task: Task, rule: type, kwargs: dict) -> None:
    with pytest.raises(PolicyError, match="must be in"):
        rule(task, **kwargs)


def test_the_reference_must_be_bound_to_what_it_knows(task: Task) -> None:
    with pytest.raises(PolicyError, match=r"call bind\(env\) first"):
        Hindsight(task).predict({})
    with pytest.raises(PolicyError, match="Hindsight knows no optimum"):
        Hindsight(task).bind(AnnotationAllocationVectorEnv(1))


# --------------------------------------------------------------- per domain
A, B, C = ([float(d == i % 3) for i in range(6)] for d in range(3))
DOMAINS = {"domain__a": A, "domain__b": B, "domain__c": C}


def test_the_rule_per_domain_has_a_threshold_and_a_share_for_each(task: Task) -> None:
    """Two of the budget of 8 in 4 steps are planned for each step."""
    rule = DomainRule(task, threshold_a=0.5, threshold_b=0.1, threshold_c=0.99, share_a=3, share_b=1, share_c=0)
    observation = seen(task, safety=SCORES, **DOMAINS) | {"context": np.array([1, 1, 1], np.float32)}
    p, _ = rule.predict(observation)
    np.testing.assert_allclose(p, [0.75, 0.25, 0, 0.75, 0.25, 0], rtol=1e-6)
    late = observation | {"context": np.array([1, 0.5, 2], np.float32)}
    np.testing.assert_allclose(rule.predict(late)[0], [1, 1, 0, 1, 1, 0], rtol=1e-6)  # of 4, b gets what a lacks
    assert set(DomainRule.search_space(task)) == {f"{what}_{d}" for what in ("threshold", "share") for d in "abc"}


@given(
    total=st.floats(0, 50),
    shares=st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=3, max_size=3).filter(any),
    room=st.lists(st.floats(0, 20), min_size=3, max_size=3),
)
def test_what_a_domain_has_no_room_for_goes_to_the_others(total: float, shares: list, room: list) -> None:
    share, most = np.array(shares) / sum(shares), np.array(room)
    got = poured(np.array([total]), share, most)
    assert (got <= most).all()
    assert (got[share == 0] == 0).all()
    assert got.sum() == pytest.approx(min(total, most[share > 0].sum()))
    full = np.isclose(got, most)
    if (~full & (share > 0)).any():  # who has room left gets equally much per share, and no less than who has not
        level = (got / share.clip(1e-9))[~full & (share > 0)]
        assert np.ptp(level) <= 1e-6 * max(level.max(), 1)
        assert (got[full & (share > 0)] / share[full & (share > 0)] <= level.max() + 1e-6).all()


def test_the_rule_per_domain_counts_tokens_where_the_budget_does(task: Task) -> None:
    columns = (*task.item, Column("price", 5.0, high=100))
    in_tokens = replace(task, item=columns, budget=400, budget_unit="tokens")
    item = np.hstack([seen(task, safety=[1.0] * 6, **DOMAINS)["item"], np.full((6, 1), 25 / 5, np.float32)])
    observation = {"item": item, "context": np.array([1, 1, 1], np.float32), "mask": np.ones(6, np.int8)}
    p, _ = DomainRule(in_tokens, share_a=1, share_b=1, share_c=2).predict(observation)
    np.testing.assert_allclose(p, [0.5, 0.5, 1, 0.5, 0.5, 1], rtol=1e-5)  # 100 tokens a step, 25 a text


def test_what_is_ranked_or_stratified_costs_tokens_where_the_budget_does(task: Task) -> None:
    columns = (*task.item, Column("price", 5.0, high=100))
    in_tokens = replace(task, item=columns, budget=400, budget_unit="tokens")  # 100 a step
    tokens = np.array([60, 10, 60, 30, 20, 20])
    item = scored(task, SCORES, **DOMAINS)["item"]
    item = np.hstack([item, (tokens / 5).astype(np.float32)[:, None]])
    observation = {"item": item, "context": np.ones(3, np.float32), "mask": np.array([1, 1, 1, 1, 1, 0], np.int8)}
    chosen, _ = Raft(in_tokens).predict(observation)
    np.testing.assert_array_equal(chosen, [1, 0, 1, 1, 0, 0])  # 60 + 30 are less than 100, so one more
    chosen, _ = Raft(in_tokens, share=0.4).predict(observation)  # of 180
    np.testing.assert_array_equal(chosen, [1, 0, 0, 1, 0, 0])
    cost = np.array([90, 30, 60, 90, 30, 0])
    p, _ = EqualShares(in_tokens).predict(observation)
    share = np.array([35, 30, 35, 35, 30, 0])  # b has 30 only
    np.testing.assert_allclose(p, share / np.maximum(cost, 1), rtol=1e-5)
    ahead = observation | {"context": np.array([1, 1, 0.5], np.float32)}
    np.testing.assert_array_equal(Raft(in_tokens).predict(ahead)[0], [1, 0, 1, 1, 0, 0])
    np.testing.assert_array_equal(PacedRaft(in_tokens).predict(ahead)[0], [1, 0, 0, 0, 0, 0], "50 are left a step")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share_d": 1.0}, "unknown 'share_d'"),
        ({"signal": "refined_safety"}, "needs the column 'refined_safety'"),
        ({"threshold_a": 1.5}, r"threshold_a must be in \[0, 1\]"),
        ({"share_a": 0, "share_b": 0, "share_c": 0}, "not all 0"),
    ],
)
def test_rules_per_domain_that_make_no_sense(task: Task, options: dict, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        DomainRule(task, **options)


def test_the_label_clean_reference_selects_what_people_called_clean() -> None:
    rng = np.random.default_rng(1)
    signals = {name: rng.random(60) for name in ("safety", "alignment", "utility")}
    columns = {"domain": np.arange(60) % 3, "domain_names": ("a", "b", "c")}
    pool = Pool(rng.random((60, 2)), signals, **columns, hidden={"label": rng.integers(0, 2, 60)}, class_names=CLASSES)
    core = ScoreSelectionVectorEnv(2, pool=pool, **SHAPE)
    policy = LabelClean(core.task, share_c=0)
    observation, _ = core.reset(seed=3)
    with pytest.raises(PolicyError, match=r"call bind\(env\) first"):
        policy.predict(observation)
    policy.bind(core)
    ids = core.shown_ids()
    p, _ = policy.predict(observation)
    np.testing.assert_array_equal(p > 0, (pool.hidden["label"][ids] == 0) & (pool.domain[ids] != 2))
    with pytest.raises(PolicyError, match="classes of this pool are: none"):
        policy.bind(ScoreSelectionVectorEnv(1, pool=Pool(rng.random((60, 2)), signals), **SHAPE))


def test_the_heuristic_obeys_a_block_list() -> None:
    signals = {"safety": np.ones(60), "block_list": np.arange(60) % 2}
    core = ScoreSelectionVectorEnv(1, pool=Pool(np.eye(60), signals), weights={"safety": 1.0}, **SHAPE)
    observation, _ = core.reset(seed=0)
    p, _ = Heuristic(core.task).predict(observation)
    np.testing.assert_array_equal(p[0], core.shown_ids()[0] % 2)

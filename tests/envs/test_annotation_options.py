"""AnnotationAllocation: what each option does to a campaign."""

import itertools
from typing import Any

import numpy as np
import pytest

from curation_gym.acquisition import badge, clustered, coreset, kmeans, typiclust
from curation_gym.annotators.crowd import aggregate
from curation_gym.config import ConfigError
from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.envs.campaign import Campaign
from curation_gym.pools import Pool
from curation_gym.stopping import StabilisingPredictions


def make_pool(arrival: np.ndarray | None = None, seed: int = 3, n: int = 400) -> Pool:
    rng = np.random.default_rng(seed)
    label = rng.integers(4, size=n)
    embeddings = 2 * rng.standard_normal((4, 6))[label] + rng.standard_normal((n, 6))
    split = np.where(np.arange(n) % 4 == 3, 2, np.where(np.arange(n) % 8 == 0, 1, 0))
    return Pool(
        embeddings,
        domain=(np.arange(n) % 3 == 0).astype(int),
        domain_names=("most", "third"),
        hidden={"label": label},
        split=split,
        arrival=arrival,
        class_names=tuple("abcd"),
    )


POOL = make_pool()


def start(seed: int = 0, **config: Any) -> AnnotationAllocationVectorEnv:
    given = {"pool": POOL, "budget": 60, "batch": 5, "n_initial": 10, "learner": {"kind": "linear", "members": 2}}
    core = AnnotationAllocationVectorEnv(1, **(given | config))
    core.reset(seed=seed)
    return core


def pull(core: AnnotationAllocationVectorEnv, arm: int = 0, times: int = 1) -> Campaign:
    for _ in range(times):
        core.step(np.array([arm]))
    return core.campaign(0)


def newest(campaign: Campaign, n: int = 5) -> list[int]:
    return campaign.asked[-n:].tolist()


@pytest.mark.parametrize("criterion", ["badge", "coreset", "typiclust"])
def test_criteria_that_pick_a_whole_pull_are_the_published_ones(criterion: str) -> None:
    core = start(subsets="domains", criteria=("margin", criterion))
    campaign = core.campaign(0)
    inside = campaign.offer.ids[campaign.setting.domain[campaign.offer.ids] == 1]
    X, rng = campaign.setting.X, campaign._generator("pick")
    asked = campaign.asked.copy()
    if criterion == "badge":
        mean = campaign.learner.predict_proba(campaign.setting.ids[inside]).mean(0)
        expected = badge(X[inside], mean, 5, rng)
    elif criterion == "coreset":
        distance = np.linalg.norm(X[inside, None] - X[asked], axis=2).min(1)
        expected = coreset(X[inside], distance, 5)
    else:
        expected = typiclust(X[inside], X[asked], 5, rng)
    assert newest(pull(core, arm=3)) == inside[expected].tolist()


def test_only_what_is_scored_is_offered() -> None:
    core = start(criteria=("margin",), score_batch=40)
    before: set[int] = set()
    for _ in range(6):
        campaign = core.campaign(0)
        offered = set(campaign.offer.ids.tolist())
        assert len(offered) == 40
        assert len(offered & before) < 20, "drawn anew"
        assert set(newest(pull(core))) <= offered
        before = offered


def test_the_percentile_and_the_threshold_bound_what_is_asked() -> None:
    core = start(criteria=("random",), percentile=80)
    scores = core.campaign(0).offer.scores["random"]
    top = set(core.campaign(0).offer.ids[scores >= np.percentile(scores, 80)].tolist())
    assert set(newest(pull(core))) <= top
    core = start(criteria=("margin",), threshold=0.999999, batch=40, budget=200)
    passing = int((core.campaign(0).offer.scores["margin"] >= 0.999999).sum())
    assert len(pull(core).asked) == 10 + min(passing, 40) < 50


def test_a_learner_that_rests_learns_nothing_until_it_retrains() -> None:
    core = start(criteria=("margin",), retrain_every=3, reward={"uncertainty_reduction": 1.0, "novelty": 0.1})
    before = core.campaign(0).learner.predict_proba(POOL.ids("test"))
    for number in range(1, 7):
        *_, info = core.step(np.array([0]))
        now = core.campaign(0).learner.predict_proba(POOL.ids("test"))
        assert np.array_equal(now, before) == (number % 3 > 0)
        assert (info["uncertainty_reduction"][0] == 0) == (number % 3 > 0)
        before = now
    assert len(set(core.campaign(0).asked.tolist())) == 40


@pytest.mark.parametrize("retrain_every", [2, 100], ids=["when it is due", "before the end"])
def test_an_invalid_pull_leaves_nothing_unlearned(retrain_every: int) -> None:
    core = start(criteria=("margin",), action="soft", retrain_every=retrain_every, budget=40)
    nothing, everything = np.zeros((1, 1)), np.ones((1, 1))

    def predicted() -> np.ndarray:
        return core.campaign(0).learner.predict_proba(POOL.ids("test"))

    before = predicted()
    core.step(everything)
    for _ in range(min(retrain_every, core.task.horizon) - 2):
        core.step(nothing)
    assert np.array_equal(predicted(), before)
    *_, info = core.step(nothing)
    assert info["invalid"][0]
    learned = predicted()
    assert not np.array_equal(learned, before)
    if retrain_every == 2:
        core.step(nothing)
        core.step(nothing)
        assert np.array_equal(predicted(), learned), "there was nothing to learn from"


def test_what_has_not_arrived_is_not_offered() -> None:
    arrival = np.where(np.arange(400) % 3 == 0, 0.5, 0.0)  # the domain "third"
    core = start(pool=make_pool(arrival), subsets="domains", criteria=("random",))
    while True:
        campaign = core.campaign(0)
        late = campaign.setting.arrival > 0
        assert not late[campaign.asked].any()
        np.testing.assert_array_equal(core.action_masks()[0], [True, campaign.spent >= 30])
        if campaign.spent >= 30:
            break
        pull(core)
    assert late[newest(pull(core, arm=1))].all()


def test_coverage_knows_nothing_of_what_is_to_arrive() -> None:
    arrival = np.where(np.arange(400) % 3 == 0, 0.5, 0.0)
    now = make_pool(arrival)
    later = make_pool(arrival)
    moved = np.array(now.embeddings)
    moved[arrival > 0] += 30
    later = Pool(
        moved,
        domain=now.domain,
        domain_names=now.domain_names,
        hidden=dict(now.hidden),
        split=now.split,
        arrival=arrival,
        class_names=now.class_names,
    )
    one, other = (start(pool=pool, criteria=("coverage",), n_clusters=30) for pool in (now, later))
    for _ in range(4):
        assert pull(one).asked.tolist() == pull(other).asked.tolist()


def test_when_much_has_arrived_all_of_it_is_clustered_anew_and_covered() -> None:
    arrival = np.where(np.arange(400) % 3 == 0, 0.5, 0.0)
    core = start(pool=make_pool(arrival), criteria=("coverage",), n_clusters=30, budget=80)
    campaign = core.campaign(0)
    offer, late = campaign.offer, campaign.setting.arrival > 0
    assert (offer.cell[late] == -1).all()
    assert offer.cell.max() == 19, "two thirds have arrived"
    while campaign.spent < 40:
        pull(core)
    assert set(offer.cell) == set(range(30))
    assert set(np.flatnonzero(offer._covered)) == set(offer.cell[campaign.asked])
    before = offer._covered.copy()
    asked = newest(pull(core))
    assert not before[offer.cell[asked]].any(), "what was asked about stays covered"
    assert late[asked].any()


def test_a_few_that_arrive_join_the_nearest_cluster_as_do_all_where_arms_are_clusters() -> None:
    for late, arms in (
        (np.arange(400) == 1, {"subsets": "domains", "criteria": ("coverage",)}),
        (np.arange(400) % 3 == 0, {"subsets": "clusters", "criteria": ("random",)}),
    ):
        core = start(pool=make_pool(np.where(late, 0.5, 0.0)), n_clusters=5, **arms)
        campaign = core.campaign(0)
        while campaign.spent < 30:
            pull(core, int(core.action_masks()[0].argmax()))
        offer, arrived = campaign.offer, np.flatnonzero(campaign.setting.arrival > 0)
        distance = np.linalg.norm(campaign.setting.X[arrived, None] - offer._centres, axis=2)
        assert len(arrived)
        assert offer.cell[arrived].tolist() == distance.argmin(1).tolist()


def test_short_pulls_do_not_end_a_campaign_before_its_budget() -> None:
    core = start(subsets="clusters", criteria=("random",), n_clusters=60, budget=60, batch=5)
    done = False
    while not done:
        *_, terminated, _, info = core.step(np.array([int(core.action_masks()[0].argmax())]))
        done = bool(terminated[0])
    assert info["labels_spent"][0] == 60


def test_uncertainty_falls_on_the_same_samples() -> None:
    """With a part of the pool scored at a time, another part is no reduction."""
    core = start(criteria=("random",), score_batch=60, budget=200, batch=20, reward={"uncertainty_reduction": 1.0})
    for _ in range(5):
        campaign = core.campaign(0)
        offered, before = campaign.offer.ids, campaign.offer.scores["ensemble_entropy"]
        _, rewards, *_ = core.step(np.array([0]))
        both = np.intersect1d(offered, campaign.offer.ids)
        now = campaign.offer.scores["ensemble_entropy"][np.isin(campaign.offer.ids, both)]
        assert rewards[0] == pytest.approx(float((before[np.isin(offered, both)] - now).mean()), abs=1e-6)


def test_dbscan_spreads_a_pull() -> None:
    core = start(criteria=("margin",), select="dbscan")
    offer = core.campaign(0).offer
    rng = np.random.default_rng(0)
    score, X = offer.scores["margin"], core.setting.X[offer.ids]
    expected = clustered(score, offer._priority[offer.ids], X, 5, rng, method="dbscan")
    ids = offer.ids.copy()
    assert newest(pull(core)) == ids[expected].tolist()


def test_a_crowds_answers_are_aggregated_anew_with_every_answer() -> None:
    crowd = {"annotators": 4, "redundancy": 3, "accuracy": 0.6, "concentration": 2.0}
    core = start(criteria=("random",), annotator={"crowd": {**crowd, "method": "one_coin"}}, budget=400, batch=20)
    campaign = pull(core, times=4)
    assert campaign.votes.shape == campaign.voters.shape == (90, 3)
    expected = aggregate(campaign.votes, campaign.voters, "one_coin", campaign._entropy).labels
    assert campaign.answers.tolist() == expected.tolist()
    plain = pull(start(criteria=("random",), annotator={"crowd": crowd}, budget=400, batch=20), times=4)
    assert plain.asked.tolist() == campaign.asked.tolist()
    truth = campaign.setting.hidden[campaign.asked]
    assert (campaign.answers == truth).mean() > (plain.answers == truth).mean()


def test_validation_answers_of_a_crowd_are_aggregated_as_all_are() -> None:
    crowd = {"annotators": 6, "redundancy": 3, "accuracy": 0.6, "concentration": 2.0}
    gain = {"criteria": ("random",), "reward": {"validation_gain": 1.0}, "n_validation": 30, "budget": 400}
    found = {}
    for method in ("majority", "one_coin"):
        campaign = start(annotator={"crowd": crowd | {"method": method}}, **gain).campaign(0)
        ids, labels = campaign._validation
        found[method] = (labels == campaign.setting.pool.hidden["label"][ids]).mean()
    assert found["one_coin"] > found["majority"]


def test_flags_that_cost_nothing_do_not_confuse_a_stopping_rule() -> None:
    hidden = {"label": np.where(np.arange(400) % 3 == 0, -1, np.arange(400) % 4)}
    pool = Pool(
        POOL.embeddings,
        domain=POOL.domain,
        domain_names=POOL.domain_names,
        hidden=hidden,
        split=POOL.split,
        class_names=POOL.class_names,
    )
    rule = {"kind": "gain_below_price", "price": 1e-9, "window": 4}
    core = start(
        pool=pool,
        subsets="domains",
        criteria=("random",),
        stopping=rule,
        n_validation=10,
        annotator={"price": {"flag": 0}},
    )
    for _ in range(6):
        core.step(np.array([1]))  # the domain that is out of scope
    assert len(core.campaign(0)._history) < 6


def test_clusters_found_anew_keep_their_place() -> None:
    core = start(subsets="clusters", criteria=("entropy",), n_clusters=4, recluster=True, percentile=50)
    offer = core.campaign(0).offer
    first = offer._arm_centres.copy()
    assert (offer._group == -1).any()
    group = offer._group[offer.ids]
    assert set(group[group >= 0]) == {0, 1, 2, 3}
    assert (offer.scores["entropy"][group >= 0] >= np.percentile(offer.scores["entropy"], 50)).all()
    pull(core)
    moved = np.linalg.norm(offer._arm_centres[:, None] - first, axis=2)
    others = [moved[range(4), order].sum() for order in itertools.permutations(range(4))]
    assert np.trace(moved) == pytest.approx(min(others))


def test_probabilities_are_what_arms_are_clustered_on_anew_and_nothing_else() -> None:
    config = {"subsets": "clusters", "criteria": ("margin", "coverage"), "n_clusters": 4, "select": "clustered"}
    core = start(**config, recluster=True, cluster_on="probabilities")
    campaign = core.campaign(0)
    offer, ids = campaign.offer, campaign.offer.ids.copy()
    p = campaign.learner.predict_proba(campaign.setting.ids[ids]).mean(0)
    arm = kmeans(p, 4, campaign._generator("offer")).labels
    assert offer._group[ids].tolist() == arm.tolist()
    assert offer.cell.tolist() == start(**config).campaign(0).offer.cell.tolist(), "coverage goes by the embedding"
    inside, score = ids[arm == 1], offer.scores["margin"][arm == 1]
    X, rng = campaign.setting.X[inside], campaign._generator("pick")
    expected = inside[clustered(score, offer._priority[inside], X, 5, rng)]
    assert newest(pull(core, arm=2)) == expected.tolist(), "as does select"


@pytest.mark.parametrize("subsets", ["clusters", "domains_x_clusters"])
def test_arms_of_clusters_ask_within_them(subsets: str) -> None:
    core = start(subsets=subsets, criteria=("random", "margin"), n_clusters=3)
    campaign = core.campaign(0)
    assert core.task.n_items == len(campaign.setting.subsets) * 2
    for arm in range(0, core.task.n_items, 2):
        cluster = arm // 2 % 3
        asked = len(campaign.asked)
        pull(core, arm)
        new = campaign.asked[asked:]
        assert (campaign.offer.cell[new] == cluster).all()
        if subsets == "domains_x_clusters":
            assert (campaign.setting.domain[new] == arm // 6).all()


def test_prices_are_paid_from_the_budget() -> None:
    core = start(criteria=("random",), annotator={"price": {"label": 3}}, n_initial=4, budget=31)
    assert core.campaign(0).spent == 12
    campaign = pull(core)
    assert campaign.spent == 27
    *_, info = core.step(np.array([0]))
    assert (core.campaign(0).spent, info["labels_spent"][0]) == (30, 30)
    assert core.campaign(0).done


def test_a_crowd_is_paid_per_answer() -> None:
    core = start(criteria=("random",), annotator={"crowd": {"annotators": 4, "redundancy": 2}}, budget=100)
    assert core.campaign(0).spent == 20
    assert pull(core).spent == 30


def test_when_nobody_answers_the_learner_knows_nothing_and_the_budget_is_spent() -> None:
    core = start(criteria=("margin",), annotator={"abstention": {"rate": 1.0}}, reward={"answered": 1.0})
    observation, rewards, _, _, info = core.step(np.array([0]))
    campaign = core.campaign(0)
    assert (rewards[0], info["flags"][0], campaign.spent) == (0, 0, 15)
    assert (campaign.answers == -2).all()
    assert core.task.read(observation, "mean_entropy")[0] == pytest.approx(np.log(4))


def test_when_nobody_answers_a_validation_question_a_gain_can_stop_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    rule = {"kind": "gain_below_price", "price": 1.0, "window": 4}
    with pytest.warns(UserWarning, match="10 validation questions and no label"):
        core = start(criteria=("margin",), annotator={"abstention": {"rate": 1.0}}, stopping=rule, n_validation=10)
    done = False
    while not done:
        _, _, terminated, _, info = core.step(np.array([0]))
        done = bool(terminated[0])
    assert (info["labels_spent"][0], info["stopped"][0]) == (60, "")


@pytest.mark.parametrize("limit", [{"threshold": 0.93}, {"percentile": 97}])
def test_an_arm_none_of_whose_samples_passes_is_masked(limit: dict[str, float]) -> None:
    core = start(subsets="domains", criteria=("random", "margin"), budget=250, **limit)
    campaign, done, seen = core.campaign(0), False, set()
    while not done:
        mask = core.action_masks()[0]
        offer, arms = campaign.offer, np.arange(4)
        domain = campaign.setting.domain[offer.ids]
        for arm in arms:
            score = offer.scores[("random", "margin")[arm % 2]]
            least = max(limit.get("threshold", 0), np.percentile(score, limit.get("percentile", 0)))
            assert mask[arm] == (score[domain == arm // 2] >= least).any()
        seen.add(tuple(mask))
        _, _, terminated, _, info = core.step(arms[mask][-1:])
        done = bool(terminated[0])
        assert not info["invalid"][0]
    assert len(seen) > 1, "arms were masked that had samples left"
    assert "threshold" not in limit or campaign.spent < 250, "it ends when no arm is open"


def test_a_class_without_a_sample_is_nobodys_neighbour() -> None:
    pool = Pool(
        POOL.embeddings, hidden={"label": POOL.hidden["label"] % 3}, split=POOL.split, class_names=tuple("abcd")
    )
    with pytest.raises(ValueError, match="every class needs a sample"):
        start(pool=pool, criteria=("random",), annotator={"noise": 0.2, "confusion": "nearest"})


def test_nobody_is_told_how_much_there_will_be_of_a_domain_that_is_not_there_yet() -> None:
    arrival = np.where(np.arange(400) % 3 == 0, 0.5, 0.0)
    core = start(pool=make_pool(arrival), subsets="domains", criteria=("random",))
    shares = []
    for _ in range(9):
        observation, *_ = core.step(np.array([0]))
        shares.append(core.task.read(observation, "target_share")[0].tolist())
    assert shares[0] == [1, 0]
    served = (POOL.domain[POOL.ids("validation")] == 1).mean()
    assert shares[-1] == pytest.approx([1 - served, served], abs=1e-6)


@pytest.mark.parametrize(
    ("rule", "config"),
    [
        ({"kind": "overall_uncertainty", "threshold": 0.9}, {}),
        ({"kind": "stabilising_predictions", "threshold": 0.3, "window": 1}, {}),
        ({"kind": "gain_below_price", "price": 1.0, "window": 4}, {"n_validation": 10}),
    ],
)
def test_a_stopping_rule_ends_the_campaign_before_the_budget(rule: dict[str, Any], config: dict[str, Any]) -> None:
    core = start(criteria=("margin",), stopping=rule, budget=140, **config)
    for _ in range(20):
        _, _, terminated, _, info = core.step(np.array([0]))
        if terminated[0]:
            break
    assert info["stopped"][0] == core.campaign(0).stopped != ""
    assert info["labels_spent"][0] < 140


def test_a_model_that_has_seen_one_class_stops_nothing() -> None:
    rare = np.where(np.arange(400) % 100 < 3, 1, 0)
    pool = Pool(POOL.embeddings, hidden={"label": rare}, split=POOL.split, class_names=("common", "rare"))
    rule = {"kind": "overall_uncertainty", "threshold": 0.05}
    core = start(pool=pool, criteria=("random",), stopping=rule, n_initial=1, batch=1, budget=100)
    campaign = core.campaign(0)
    while not campaign.done:
        core.step(np.array([0]))
    assert len(campaign.asked) > 1
    assert campaign.stopped is None or set(campaign.answers) == {0, 1}


def test_a_rule_reads_prices_in_labels() -> None:
    rule = {"kind": "gain_below_price", "price": 0.003, "window": 4}
    stopped = []
    for price in (1, 5):
        options = {"annotator": {"price": {"label": price, "flag": price}}, "budget": 150 * price}
        core = start(criteria=("random",), stopping=rule, n_validation=20, **options)
        while not core.campaign(0).done:
            core.step(np.array([0]))
        stopped.append((len(core.campaign(0).asked), core.campaign(0).stopped))
    assert stopped[0] == stopped[1]
    assert stopped[0][1] is not None


def test_what_a_rule_compares_is_there_from_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    rule = {"kind": "stabilising_predictions", "threshold": 0.999, "window": 3}
    monkeypatch.setattr(StabilisingPredictions, "should_stop", lambda self, history: told.append(history[-1]))
    pool = make_pool(arrival=np.where(np.arange(400) % 3 == 0, 0.0, 0.5))
    campaign = start(pool=pool, criteria=("random",), stopping=rule).campaign(0)
    assert len(told[0].predictions) == (campaign.setting.arrival <= 0).sum() < len(campaign.setting.ids)


def test_state_features_mean_the_same_on_every_pool() -> None:
    wide = Pool(
        np.random.default_rng(0).standard_normal((240, 9)),
        hidden={"label": np.arange(240) % 7},
        split=np.arange(240) % 3,
        class_names=tuple("abcdefg"),
    )
    tasks = [start(pool=pool, criteria=("random", "margin"), arm_features="state").task for pool in (POOL, wide)]
    assert tasks[0].item_features == tasks[1].item_features
    assert tasks[0].observation_space == tasks[1].observation_space


def test_each_episode_draws_one_of_several_pools() -> None:
    other = make_pool(seed=4, n=240)
    config = {"more_pools": [other], "arm_features": "state", "criteria": ["margin", "random"]}
    core = AnnotationAllocationVectorEnv(8, pool=POOL, budget=40, n_initial=10, **config)
    core.reset(seed=0)
    pools = [core.campaign(row).setting.pool for row in range(8)]
    assert {pool.fingerprint for pool in pools} == {POOL.fingerprint, other.fingerprint}
    observation, *_ = core.step(np.zeros(8, int))
    left = core.task.read(observation, "samples_left")
    np.testing.assert_allclose(left[:, 0], [1 - 20 / len(pool.ids("train")) for pool in pools], rtol=1e-6)
    alone = start(**(config | {"more_pools": []}))
    assert core.single_observation_space == alone.single_observation_space, "so that a policy can act on either"
    assert POOL.fingerprint in core.task.pool_fingerprint
    assert other.fingerprint in core.task.pool_fingerprint


def test_labels_may_cost_more_than_flags() -> None:
    """A budget in fifths of a label, of which the pool needn't hold one sample each."""
    core = start(pool={"builder": "digits"}, budget=1500, batch=100, annotator={"price": {"label": 5}})
    assert core.campaign(0).spent == 50
    done = False
    while not done:
        *_, terminated, _, info = core.step(np.array([0]))
        done = bool(terminated[0])
    assert info["labels_spent"][0] == 1500
    assert len(core.campaign(0).asked) == 300
    with pytest.raises(ConfigError, match="buy 1100 labels of the train split, which has 1078"):
        start(pool={"builder": "digits"}, budget=5500, annotator={"price": {"label": 5}})


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"stopping": {"kind": "gain_below_price", "price": 0.1}}, "validation labels are bought for"),
        ({"percentile": 100}, "'percentile' = 100"),
        ({"percentile": 90, "criteria": ("margin", "badge")}, "badge give no sample a score that percentile = 90"),
        ({"threshold": 0.5, "criteria": ("coreset",)}, "or threshold = 0.5 could be compared with"),
        ({"n_clusters": 4, "criteria": ("margin",)}, "n_clusters = 4, but nothing is clustered"),
        (
            {"subsets": "clusters", "cluster_on": "probabilities", "select": "clustered"},
            "select and typiclust go by the embedding; set recluster, or leave cluster_on out",
        ),
        ({"more_pools": [make_pool()]}, "more_pools needs arm_features 'state'"),
        (
            {"more_pools": [{"builder": "digits"}], "arm_features": "state", "subsets": "domains"},
            r"same arms, actual: most/random, .* \(10\) of .* all/random, .* choose subsets: all",
        ),
        ({"annotator": {"domain_noise": {"nowhere": 0.5}}}, "nowhere"),
    ],
)
def test_bad_options_are_named(config: dict[str, Any], complaint: str) -> None:
    with pytest.raises((ConfigError, ValueError), match=complaint):
        start(**config)

"""AnnotationAllocation: a naive oracle, the edges of a campaign, and what it shows on real digits."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence

from curation_gym.config import ConfigError
from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.learners.linear import LinearEnsemble
from curation_gym.pools import Pool
from curation_gym.seeding import seeds_for
from curation_gym.signals.uncertainty import MEASURES, bound

CRITERIA = ("random", "entropy", "disagreement", "margin")


def make_pool(n: int = 150, classes: int = 4, domains: int = 3, seed: int = 0) -> Pool:
    """Overlapping classes in three domains of different size; a third of the last domain is out of scope."""
    rng = np.random.default_rng(seed)
    label = rng.integers(classes, size=n)
    domain = rng.choice(domains, n, p=np.arange(domains, 0, -1) / np.arange(domains, 0, -1).sum())
    embeddings = 2 * rng.standard_normal((classes, 6))[label] + rng.standard_normal((n, 6)) + 1
    label[(domain == domains - 1) & (rng.random(n) < 0.33)] = -1
    return Pool(
        embeddings,
        {"utility": rng.random(n), "safety": rng.random(n)},
        domain=domain,
        domain_names=tuple("abc"[:domains]),
        hidden={"label": label},
        split=np.arange(n) % 5 // 3 + (np.arange(n) % 5 == 4),
        length=rng.integers(1, 99, n),
        class_names=tuple(f"class {k}" for k in range(classes)),
    )


POOL = make_pool()


def make_core(num_envs: int = 1, pool: Pool = POOL, **config: Any) -> AnnotationAllocationVectorEnv:
    given = {"budget": 40, "batch": 4, "n_initial": 6, "learner": {"kind": "linear", "members": 3, "C": 2.0}}
    return AnnotationAllocationVectorEnv(num_envs, pool=pool, **(given | config))


class Oracle:
    """The environment's page, written with loops. Only the learner and the episode's draws are the core's."""

    def __init__(self, core: AnnotationAllocationVectorEnv) -> None:
        cfg, campaign = core.config, core.campaign(0)
        self.cfg, self.task = cfg, core.task
        self.ids = [int(i) for i in POOL.ids()]
        self.asked = [self.ids[i] for i in campaign.asked]
        self.priority = dict(zip(self.ids, campaign._priority.tolist(), strict=True))
        self.learner = copy.deepcopy(campaign.learner)
        self.validation = campaign._validation
        self.cell = dict(zip(self.ids, campaign.offer.cell.tolist(), strict=True))
        self.centres = campaign.offer._centres
        self.spent = cfg.n_initial + cfg.n_validation
        self.arms = [tuple(name.split("/")) for name in core.task.arms]
        self.log: list[list[tuple[int, float, int, int]]] = [[] for _ in self.arms]  # (labels, reward, flags, step)
        self.step = 0
        self.last = 0.0
        self.scores = self.measure()

    def members(self, arm: int) -> list[int]:
        subset = self.arms[arm][0]
        return [i for i in self.ids if subset in ("all", POOL.domain_names[POOL.domain[i]])]

    def left(self, arm: int) -> list[int]:
        return [i for i in self.members(arm) if i not in self.asked]

    def measure(self) -> dict[str, dict[int, float]]:
        p = self.learner.predict_proba(np.array(self.ids))
        members, _, classes = p.shape
        table = {
            name: dict(zip(self.ids, (measure(p) / bound(name, members, classes)).tolist(), strict=True))
            for name, measure in MEASURES.items()
        }
        self.predicted = dict(zip(self.ids, p.mean(0).argmax(1).tolist(), strict=True))
        return table | {"random": self.priority, "coverage": self.coverage()}

    def coverage(self) -> dict[int, float]:
        """A sample of every cluster that nobody was asked about: the nearest to its centre."""
        score = dict.fromkeys(self.ids, 0.0)
        largest = max(list(self.cell.values()).count(c) for c in self.cell.values())
        for cluster in set(self.cell.values()):
            inside = [i for i in self.ids if self.cell[i] == cluster]
            if not any(i in self.asked for i in inside):
                best = min(inside, key=lambda i: np.linalg.norm(POOL.embeddings[i] - self.centres[self.cell[i]]))
                score[best] = 0.5 + 0.5 * len(inside) / largest
        return score

    def right(self) -> list[float]:
        ids, labels = self.validation
        p = self.learner.predict_proba(ids)
        return [float(np.mean([p[m, i, y] for m in range(len(p))])) for i, y in enumerate(labels)]

    def novelty(self, sample: int, known: list[int]) -> float:
        x = POOL.embeddings[sample].astype(float)
        cosines = [0.0]
        for other in known:
            z = POOL.embeddings[other].astype(float)
            cosines.append(float(x @ z / np.sqrt((x @ x) * (z @ z))))
        return 1 - max(cosines)

    def pull(self, weights: list[float]) -> float:
        score: dict[int, float] = {}
        share: dict[int, list[float]] = {}
        for arm, weight in enumerate(weights):
            for i in self.left(arm) if weight > 0 else []:
                part = weight * self.scores[self.arms[arm][1]][i]
                score[i] = score.get(i, 0.0) + part
                share.setdefault(i, [-1.0] * len(weights))[arm] = part
        ranked = sorted(score, key=lambda i: (-score[i], -self.priority[i]))
        chosen = ranked[: min(self.cfg.batch, self.cfg.budget - self.spent)]
        self.step += 1
        self.last = 0.0
        if not chosen:
            return 0.0
        novelty = [self.novelty(i, self.asked) for i in chosen]
        before, right, predicted = self.scores["ensemble_entropy"], self.right(), self.predicted
        self.asked += chosen
        self.spent += len(chosen)
        labelled = [i for i in self.asked if POOL.hidden["label"][i] >= 0]
        self.learner.fit(np.array(labelled), POOL.hidden["label"][labelled].astype(int))
        self.scores = self.measure()
        rest = [i for i in self.ids if i not in self.asked]
        eased = {i: before[i] - self.scores["ensemble_entropy"][i] for i in rest}
        gain = [now - then for now, then in zip(self.right(), right, strict=True)]
        flags = [int(POOL.hidden["label"][i] < 0) for i in chosen]
        r = self.cfg.reward
        rewards = []
        for i, new, flag in zip(chosen, novelty, flags, strict=True):
            domains = [POOL.domain[v] for v in self.validation[0]]
            mine = [g for g, d in zip(gain, domains, strict=True) if d == POOL.domain[i]]
            alike = [e for j, e in eased.items() if self.cell[j] == self.cell[i]]
            rewards.append(
                r.validation_gain * float(np.mean(gain or [0]))
                + r.domain_gain * float(np.mean(mine or [0]))
                + r.uncertainty_reduction * float(np.mean(list(eased.values()) or [0]))
                + r.similar_reduction * float(np.mean(alike or [0]))
                + r.novelty * new
                + r.answered * (1 - flag)
                + r.corrected * (not flag and predicted[i] != POOL.hidden["label"][i])
            )
        owner = [max(range(len(weights)), key=lambda arm: share[i][arm]) for i in chosen]
        for arm in set(owner):
            mine = [k for k, a in enumerate(owner) if a == arm]
            paid = float(np.mean([rewards[k] for k in mine]))
            self.log[arm].append((len(mine), paid, sum(flags[k] for k in mine), self.step - 1))
        self.last = float(np.mean(rewards))
        return self.last

    def check(self, observation: dict[str, np.ndarray]) -> None:
        def same(name: str, expected: Any) -> None:
            seen = self.task.read(observation, name)[0]
            np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=2e-5, err_msg=name)

        lefts = [self.left(arm) for arm in range(len(self.arms))]
        np.testing.assert_array_equal(observation["mask"][0], [len(left) > 0 for left in lefts])

        def means(value: Any) -> list[float]:
            return [float(np.mean([value(i) for i in left])) if left else 0.0 for left in lefts]

        for k in range(POOL.dimension):
            same(f"embedding_{k}", means(lambda i, k=k: POOL.embeddings[i, k]))
        for name, signal in POOL.signals.items():
            same(name, means(lambda i, signal=signal: signal[i]))
        for name in self.cfg.measured:
            scale = bound(name, self.learner.members, 4)
            same(name, means(lambda i, name=name, scale=scale: self.scores[name][i] * scale))
        for code, name in enumerate(POOL.domain_names):
            same(f"domain={name}", means(lambda i, code=code: POOL.domain[i] == code))
        same("log_length", means(lambda i: np.log(1 + POOL.length[i])))
        if len(self.cfg.criteria) > 1:
            for name in self.cfg.criteria:
                same(f"criterion={name}", [float(arm[1] == name) for arm in self.arms])
        same("pulls", [len(log) for log in self.log])
        same("labels_spent", [sum(entry[0] for entry in log) for log in self.log])
        paid = [sum(labels * reward for labels, reward, *_ in log) for log in self.log]
        same("mean_reward", [p / max(sum(entry[0] for entry in log), 1) for p, log in zip(paid, self.log, strict=True)])
        same("last_reward", [log[-1][1] if log else 0 for log in self.log])
        same("flags", [sum(entry[2] for entry in log) for log in self.log])
        same("steps_since_pull", [self.step - log[-1][3] if log else self.cfg.horizon for log in self.log])
        same("samples_left", [len(left) / len(self.ids) for left in lefts])
        served = [int((POOL.domain[POOL.ids("validation")] == code).sum()) for code in range(len(POOL.domain_names))]
        served = [n if code in POOL.domain[self.ids] else 0 for code, n in enumerate(served)]
        inside = [{int(POOL.domain[i]) for i in self.members(arm)} for arm in range(len(self.arms))]
        same("target_share", [sum(served[code] for code in codes) / max(sum(served), 1) for codes in inside])
        rest = [i for i in self.ids if i not in self.asked]
        same("budget_left", self.cfg.budget - self.spent)
        same("steps_left", self.cfg.horizon - self.step)
        answered = sum(POOL.hidden["label"][i] >= 0 for i in self.asked)
        same("labelled_fraction", answered / len(self.ids))
        same("mean_entropy", np.log(4) * np.mean([self.scores["ensemble_entropy"][i] for i in rest] or [0]))
        scale = bound("disagreement", self.learner.members, 4)
        same("mean_disagreement", scale * np.mean([self.scores["disagreement"][i] for i in rest] or [0]))
        same("pull_reward", self.last)


EVERY_PART = {
    "validation_gain": 0.7,
    "domain_gain": 0.6,
    "uncertainty_reduction": 1.3,
    "similar_reduction": 0.9,
    "novelty": 0.2,
    "answered": 0.4,
    "corrected": 0.3,
}


@pytest.mark.parametrize("action", ["hard", "soft"])
@pytest.mark.parametrize(
    "arms", [("all", (*CRITERIA, "coverage")), ("domains", ("margin",)), ("domains", ("random", "entropy"))]
)
def test_it_is_what_its_page_says(arms: tuple[str, tuple[str, ...]], action: str) -> None:
    core = make_core(
        subsets=arms[0], criteria=arms[1], action=action, reward=EVERY_PART, n_validation=9, budget=99, batch=7
    )
    observation, info = core.reset(seed=5)
    oracle = Oracle(core)
    assert info["labels_spent"][0] == 15
    rng = np.random.default_rng(1)
    done = False
    while not done:
        oracle.check(observation)
        weights = (rng.random(core.task.n_items) * (rng.random(core.task.n_items) < 0.6)).astype(np.float32)
        arm = int(rng.integers(core.task.n_items))
        if action == "hard":
            weights = np.arange(core.task.n_items) == arm
        expected = oracle.pull(weights.tolist())
        given = np.array([arm]) if action == "hard" else weights[None]
        observation, rewards, terminated, _, info = core.step(given)
        assert rewards[0] == pytest.approx(expected, abs=2e-5)
        assert info["raw_reward"][0] == rewards[0]
        assert info["raw_reward"][0] == pytest.approx(sum(w * info[k][0] for k, w in EVERY_PART.items()))
        assert info["labels_spent"][0] == oracle.spent
        done = bool(terminated[0])
    oracle.check(observation)
    assert oracle.step == core.task.horizon or oracle.spent == 99 or len(oracle.asked) == len(oracle.ids)


def test_one_row_of_five_is_the_scalar_environment() -> None:
    config = {
        "pool": POOL,
        "budget": 30,
        "batch": 4,
        "subsets": "domains",
        "criteria": ("margin",),
        "select": "diverse",
    }
    core = AnnotationAllocationVectorEnv(5, action="soft", **config)
    env = gym.make("CurationGym/AnnotationAllocation-v0", action="soft", **config)
    rows, _ = core.reset(seed=[9, 8, 7, 6, 5])
    one, _ = env.reset(seed=7)
    rng = np.random.default_rng(0)
    done = False
    while not done:
        assert data_equivalence({key: value[2] for key, value in rows.items()}, one, exact=True)
        actions = rng.random((5, 3), np.float32)
        rows, rewards, _, _, infos = core.step(actions)
        one, reward, done, truncated, info = env.step(actions[2])
        assert (rewards[2], truncated) == (reward, False)
        assert info == {key: infos[key][2] for key in info}


def test_gymnasium_accepts_soft_arms() -> None:
    env = gym.make("CurationGym/AnnotationAllocation-v0", pool=POOL, budget=30, action="soft").unwrapped
    check_env(env, skip_render_check=True)


def test_a_soft_pull_with_one_weight_is_a_hard_pull() -> None:
    hard, soft = make_core(criteria=CRITERIA), make_core(criteria=CRITERIA, action="soft")
    hard.reset(seed=3)
    soft.reset(seed=3)
    for arm in [3, 0, 2, 1]:
        ours = hard.step(np.array([arm]))
        theirs = soft.step(np.eye(4, dtype=np.float32)[None, arm])
        assert data_equivalence(ours, theirs, exact=True)


def test_policies_on_different_arms_share_their_luck() -> None:
    """Paired by seed: first labels, answers, bootstrap and random order do not depend on the arms."""
    annotator = {"noise": 0.4, "flag_reliability": 0.5}
    one = make_core(criteria=("random",), annotator=annotator)
    other = make_core(criteria=("margin", "random"), subsets="domains", annotator=annotator, batch=5)
    one.reset(seed=4)
    other.reset(seed=4)
    a, b = one.campaign(0), other.campaign(0)
    np.testing.assert_array_equal(a.asked, b.asked)
    np.testing.assert_array_equal(a.answers, b.answers)
    np.testing.assert_array_equal(a.learner.predict_proba(POOL.ids()), b.learner.predict_proba(POOL.ids()))
    for _ in range(5):
        one.step(np.array([0]))
        other.step(np.array([1]))
    answers = dict(zip(a.asked, a.answers, strict=True))
    shared = [(answers[i], label) for i, label in zip(b.asked, b.answers, strict=True) if i in answers]
    assert len(shared) > 10
    assert all(x == y for x, y in shared)


def test_member_0_is_the_single_model_and_the_others_differ() -> None:
    core = make_core(criteria=("random",), n_initial=30)
    core.reset(seed=1)
    campaign = core.campaign(0)
    known, labels = campaign.asked[campaign.answers >= 0], campaign.answers[campaign.answers >= 0]
    X = POOL.embeddings[POOL.ids()]
    single = LinearEnsemble(1, 4, 6, C=2.0).fit(X[known], labels).predict_proba(X)[0]
    members = campaign.learner.predict_proba(POOL.ids())
    np.testing.assert_allclose(members[0], single, atol=0.01)
    for member in members[1:]:
        assert np.abs(member - single).max() > 0.05


# ------------------------------------------------------------------ the edges
def test_rows_can_begin_one_by_one() -> None:
    core, whole = make_core(2, criteria=("margin",)), make_core(2, criteria=("margin",))
    observation, _ = core.reset(seed=3, options={"reset_mask": np.array([False, True])})
    assert observation in core.observation_space
    assert not core.action_masks()[0].any()
    with pytest.raises(gym.error.ResetNeeded, match="call reset first"):
        core.lookahead(0, np.array(0))
    observation, _ = core.reset(seed=3, options={"reset_mask": np.array([True, False])})
    assert data_equivalence(observation, whole.reset(seed=3)[0], exact=True)


def test_an_exhausted_arm_is_masked_pays_nothing_and_costs_a_pull() -> None:
    core = make_core(subsets="domains", criteria=("random",), budget=60, batch=8)
    observation, _ = core.reset(seed=0)
    left = core.task.read(observation, "samples_left")[0]
    assert (left > 0).all()
    while observation["mask"][0, 2]:
        observation, *_ = core.step(np.array([2]))
    np.testing.assert_array_equal(core.action_masks()[0], [True, True, False])
    np.testing.assert_array_equal(observation["item"][0, 2, : POOL.dimension], 0)
    before = {
        name: core.task.read(observation, name) for name in ("pulls", "labels_spent", "budget_left", "steps_left")
    }
    observation, rewards, _, _, info = core.step(np.array([2]))
    assert (rewards[0], info["invalid"][0]) == (0, True)
    for name in ("pulls", "labels_spent", "budget_left"):
        np.testing.assert_array_equal(core.task.read(observation, name), before[name])
    assert core.task.read(observation, "steps_left")[0] == pytest.approx(before["steps_left"][0] - 1)


def test_a_frame_tells_the_mean_reward_of_a_label() -> None:
    core = make_core(criteria=("random",), reward={"answered": 1.0}, render_mode="ansi")
    core.reset(seed=0)
    core.step(np.array([0]))
    answered = (core.campaign(0).answers[core.config.n_initial :] >= 0).mean()
    (frame,) = core.render()
    assert f" {answered:.3f} " in frame


def test_weights_that_choose_nothing_are_invalid() -> None:
    core = make_core(action="soft", subsets="domains", criteria=("margin",))
    core.reset(seed=0)
    _, rewards, terminated, _, info = core.step(np.zeros((1, 3), np.float32))
    assert (rewards[0], info["invalid"][0], info["labels_spent"][0], terminated[0]) == (0, True, 6, False)


def test_the_last_pull_may_be_smaller_and_the_budget_is_never_exceeded() -> None:
    core = make_core(budget=25, n_initial=6, batch=8, criteria=("margin",))
    core.reset(seed=1)
    spent, done = [], False
    while not done:
        _, _, terminated, _, info = core.step(np.array([0]))
        spent.append(int(info["labels_spent"][0]))
        done = bool(terminated[0])
    assert spent == [14, 22, 25]


def test_an_episode_ends_when_nothing_is_left() -> None:
    n = len(POOL.ids())
    core = make_core(budget=n, n_initial=n - 3, batch=2, criteria=("margin",))
    core.reset(seed=1)
    _, _, terminated, _, _ = core.step(np.array([0]))
    assert not terminated[0]
    observation, rewards, terminated, _, info = core.step(np.array([0]))
    assert terminated[0]
    assert not observation["mask"].any()
    assert np.isfinite(rewards[0])
    assert info["uncertainty_reduction"][0] == 0


@pytest.mark.parametrize("n_initial", [0, 1])
def test_a_campaign_can_begin_with_nothing_and_with_one_class(n_initial: int) -> None:
    core = make_core(n_initial=n_initial, criteria=("margin", "disagreement"), batch=1)
    observation, info = core.reset(seed=2)
    uniform = np.log(4) if n_initial == 0 else 0.0
    assert core.task.read(observation, "mean_entropy")[0] == pytest.approx(uniform, abs=1e-5)
    for _ in range(12):
        observation, rewards, _, _, info = core.step(np.array([0]))
        assert np.isfinite(rewards).all()
        assert observation in core.observation_space
    assert info["test_accuracy"][0] > 0.4


def test_a_class_that_no_candidate_has_is_no_problem() -> None:
    pool = Pool(
        POOL.embeddings,
        hidden=dict(POOL.hidden),
        split=POOL.split,
        class_names=(*POOL.class_names, "never"),
    )
    core = make_core(pool=pool, criteria=("entropy",))
    observation, _ = core.reset(seed=0)
    for _ in range(8):
        observation, *_ = core.step(np.array([0]))
    campaign = core.campaign(0)
    assert (campaign.learner.predict_proba(POOL.ids())[..., 4] == 0).all()
    assert observation in core.observation_space


def test_when_all_is_flagged_the_learner_knows_nothing() -> None:
    label = POOL.hidden["label"].copy()
    label[POOL.ids()] = -1
    pool = Pool(POOL.embeddings, hidden={"label": label}, split=POOL.split, class_names=POOL.class_names)
    core = make_core(pool=pool, criteria=("margin",), reward={"answered": 1.0})
    _, info = core.reset(seed=0)
    assert info["flags"][0] == 6
    observation, rewards, _, _, info = core.step(np.array([0]))
    assert (rewards[0], info["flags"][0], info["labels_spent"][0]) == (0, 4, 10)
    assert core.task.read(observation, "mean_entropy")[0] == pytest.approx(np.log(4))
    assert core.task.read(observation, "flags")[0, 0] == pytest.approx(4)


def test_test_accuracy_comes_every_few_pulls_and_at_the_end() -> None:
    every, seldom = make_core(criteria=("margin",)), make_core(criteria=("margin",), evaluate_every=4)
    every.reset(seed=0)
    seldom.reset(seed=0)
    for pull in range(1, 10):
        *_, full = every.step(np.array([0]))
        _, _, terminated, _, some = seldom.step(np.array([0]))
        if pull % 4 == 0 or terminated[0]:
            assert some["test_accuracy"][0] == full["test_accuracy"][0]
        else:
            assert np.isnan(some["test_accuracy"][0])
    assert terminated[0]


def test_looking_ahead_changes_nothing_and_tells_the_truth() -> None:
    core, twin = make_core(2, criteria=CRITERIA), make_core(2, criteria=CRITERIA)
    core.reset(seed=6)
    twin.reset(seed=6)
    for arm in [1, 3, 0]:
        told = [[core.lookahead(row, np.array(a)) for a in range(4)] for row in range(2)]
        ours, theirs = core.step(np.array([arm, 2])), twin.step(np.array([arm, 2]))
        assert data_equivalence(ours, theirs, exact=True)
        assert [told[0][arm], told[1][2]] == ours[4]["test_accuracy"].tolist()


# ------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"criteria": ("margins",)}, r"'criteria' = .*criteria must be different ones of random, entropy"),
        ({"criteria": ()}, "criteria must be different ones"),
        ({"action": "soft", "criteria": ("badge",)}, "badge pick a whole pull: action must be 'hard'"),
        ({"select": "diverse", "criteria": ("coreset",)}, "coreset pick a whole pull"),
        ({"recluster": True}, "recluster is for arms of clusters"),
        ({"subsets": "clusters", "budget": 50, "n_clusters": 91}, "n_clusters = 91 exceeds the 90 candidates"),
        ({"stopping": {"kind": "never"}}, "stopping"),
        ({"learner": {"kind": "linear", "C": -1}}, "learner.*C"),
        ({"budget": 10}, r"budget = 10 must exceed the 10 that n_initial \+ n_validation = 10 \+ 0"),
        ({"reward": {"validation_gain": 1.0}}, "validation labels are bought for"),
        ({"n_validation": 5}, "validation labels are bought for"),
        ({"reward": {"novelty": 0.0}}, "at least one weight of reward must be > 0"),
        ({"reward": {"novel": 1.0}}, "unknown key 'reward.novel'; allowed keys: validation_gain"),
        ({"annotator": {"noise": 1.5}}, r"'annotator.noise' = 1.5"),
        ({"budget": 91}, r"pool too small: .* buy 91 labels of the train split, which has 90"),
        ({"pool": {"builder": "synthetic", "n_samples": 99}}, r"must have hidden\['label'\] and class_names"),
    ],
)
def test_bad_configuration_is_named(config: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        AnnotationAllocationVectorEnv(**({"pool": POOL} | config))


def test_a_learner_that_the_pool_does_not_serve_is_refused() -> None:
    one_domain = Pool(POOL.embeddings, hidden=dict(POOL.hidden), class_names=POOL.class_names, split=POOL.split)
    with pytest.raises(ConfigError, match="learner: specialists need a pool of at least 2 domains"):
        make_core(pool=one_domain, learner={"kind": "specialists"})


def test_a_pool_without_a_test_split_is_refused() -> None:
    with pytest.raises(ConfigError, match="no sample with a label in its test split"):
        make_core(pool=Pool(POOL.embeddings, hidden=dict(POOL.hidden), class_names=POOL.class_names))


def test_what_is_tuned_by_is_not_the_test_split() -> None:
    core = make_core(evaluate_on="validation")
    core.reset(seed=[0])
    campaign = core.campaign(0)
    ids = POOL.ids("validation")
    ids = ids[POOL.hidden["label"][ids] >= 0]
    right = campaign.learner.predict_proba(ids).mean(0).argmax(1) == POOL.hidden["label"][ids]
    assert campaign.test_accuracy() == right.mean() != make_core().reset(seed=[0])[1]["test_accuracy"][0]


# ------------------------------------------------------------ on real digits
def first_crossing(criterion: str, target: float) -> float:
    """Median over ten seeds of the labels with which the learner first reaches ``target`` test accuracy."""
    core = AnnotationAllocationVectorEnv(10, criteria=(criterion,), budget=260)
    _, info = core.reset(seed=list(seeds_for(0, "evaluation", n=10)))
    first = np.full(10, np.inf)
    for _ in range(core.task.horizon + 1):
        reached = (info["test_accuracy"] >= target) & np.isinf(first)
        first[reached] = info["labels_spent"][reached]
        if (info["labels_spent"] < 260).any():
            *_, info = core.step(np.zeros(10, np.int64))
    return float(np.median(first))


def test_margin_needs_at_most_sixty_percent_of_the_labels_that_random_needs() -> None:
    random, margin = first_crossing("random", 0.93), first_crossing("margin", 0.93)
    assert np.isfinite(random)
    assert margin <= 0.6 * random

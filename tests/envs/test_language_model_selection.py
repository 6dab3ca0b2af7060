"""LanguageModelSelection: what is selected trains the model, and both parts of the reward are what they claim to be."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from gymnasium.utils.env_checker import data_equivalence
from threadpoolctl import threadpool_info, threadpool_limits

from baselines.raft import Raft
from curation_gym.config import ConfigError
from curation_gym.envs.language_model_selection import LanguageModelSelectionVectorEnv
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.language_model.perplexity import perplexity
from curation_gym.learners.language_model import LanguageModelLearner, load_causal
from curation_gym.learners.language_model_config import FineTuningConfig
from curation_gym.pools import Pool
from curation_gym.pools.corpus_sources import CLASSES
from curation_gym.signals.refinement import RefinedSignal
from tests.learners.tiny_lm import WORDS, save_tiny

WEIGHTS = {"safety": 0.5, "alignment": 0.2, "utility": 0.3}
TUNING = {"block": 8, "batch_size": 2, "learning_rate": 0.02}
N_ITEMS, HORIZON, BUDGET = 6, 7, 120


def make_pool(**changes: Any) -> Pool:
    rng = np.random.default_rng(4)
    n = 120
    columns: dict[str, Any] = {
        "signals": {name: rng.random(n) for name in WEIGHTS},
        "domain": np.arange(n) % 2,
        "domain_names": ("sea", "kitchen"),
        "hidden": {"label": rng.choice([0, 0, 1, -1], n)},
        "class_names": CLASSES,
        "split": np.arange(n) % 4 // 2,
        "data": pa.table({"text": [" ".join(rng.choice(WORDS, rng.integers(2, 12))) for _ in range(n)]}),
    }
    return Pool(rng.standard_normal((n, 5)), **(columns | changes))


POOL = make_pool()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp("tiny")))


def make(model: str, n: int = 1, **config: Any) -> LanguageModelSelectionVectorEnv:
    given = {"pool": POOL, "n_items": N_ITEMS, "horizon": HORIZON, "budget": BUDGET, "weights": WEIGHTS}
    given |= {"language_model": model, "fine_tuning": TUNING, "probes": {"prompts": 0, "every": 3, "clean": 4}}
    return LanguageModelSelectionVectorEnv(n, **(given | config))


def run(env: LanguageModelSelectionVectorEnv, seed: int, p: float = 0.5) -> tuple[list[dict[str, Any]], list[int]]:
    """Infos of an episode of row 0 at a constant probability, and the ids that it selected."""
    env.reset(seed=seed)
    infos, ids, done = [], [], False
    while not done:
        plan, step = env._plan[0].copy(), int(env._step[0])
        _, reward, terminated, _, info = env.step(np.full((env.num_envs, N_ITEMS), p, np.float32))
        ids += plan[step][env._shown_pick[0]].tolist()
        infos.append({key: value[0] for key, value in info.items()} | {"reward": reward[0]})
        done = bool(terminated[0])
    return infos, ids


def test_the_model_is_trained_on_what_was_selected_and_nothing_else(model: str) -> None:
    env = make(model)
    infos, ids = run(env, seed=3)
    alone = LanguageModelLearner(*load_causal(model), FineTuningConfig(**TUNING), BUDGET)
    texts = POOL.data["text"].to_pylist()
    alone.train_on(alone.tokenize([texts[index] for index in ids]))
    ours, theirs = (learner.model.state_dict() for learner in (env.learners[0], alone))
    assert alone.updates > 2
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert set(POOL.split[ids]) == {0}
    assert sum(info["tokens"] for info in infos) == sum(len(texts[index].split()) + 1 for index in ids) <= BUDGET


def test_the_composite_is_the_mean_worth_of_a_token(model: str) -> None:
    infos, ids = run(make(model), seed=5)
    tokens = np.array([len(text.split()) + 1 for text in POOL.data["text"].take(ids).to_pylist()])
    for name in WEIGHTS:
        expected = (tokens * POOL.signals[name][ids]).sum() / BUDGET
        assert sum(info[name] for info in infos) == pytest.approx(expected, rel=1e-5)
    worth = sum(weight * POOL.signals[name][ids] for name, weight in WEIGHTS.items())
    assert sum(info["composite"] for info in infos) == pytest.approx((tokens * worth).sum() / BUDGET, rel=1e-5)


def test_a_frozen_model_learns_nothing_and_all_else_is_the_same(model: str) -> None:
    env, trained = make(model, frozen=True), make(model)
    before = env.learners[0].model.state_dict()
    infos, ids = run(env, seed=3)
    assert env.learners[0].tokens == 0
    assert all(torch.equal(before[name], after) for name, after in load_causal(model)[0].state_dict().items())
    told, paid = run(trained, seed=3)
    assert ids == paid
    assert [info["composite"] for info in infos] == [info["composite"] for info in told]
    assert {info["model_value"] for info in infos} == {0} != {info["model_value"] for info in told}


@pytest.mark.parametrize("probe_weight", [0.0, 2.0])
def test_the_models_part_is_its_change_since_the_start(model: str, probe_weight: float) -> None:
    env = make(model, probe_weight=probe_weight)
    infos, _ = run(env, seed=6)
    clean = {
        name: [
            text
            for index, text in zip(order, POOL.data["text"].take(order).to_pylist(), strict=True)
            if POOL.hidden["label"][index] == 0 and POOL.domain[index] == code
        ][:4]
        for code, name in enumerate(POOL.domain_names)
        for order in [np.random.default_rng(0).permutation(POOL.ids("validation"))]
    }

    def log_perplexity(of: CausalModel) -> np.ndarray:
        return np.log([found.perplexity.value for found in perplexity(of, clean).values()])

    before, after = (
        CausalModel(*pair) for pair in (load_causal(model), (env.learners[0].model, env.learners[0].tokenizer))
    )
    utility = np.exp(log_perplexity(before) - log_perplexity(after)).mean()
    change = WEIGHTS["utility"] * (utility - 1)
    assert sum(info["model_value"] for info in infos) == pytest.approx(change, rel=1e-3)
    assert [info["probed"] for info in infos] == [(i + 1) % 3 == 0 or i == len(infos) - 1 for i in range(len(infos))]
    for info in infos:
        assert info["reward"] == info["raw_reward"]
        assert info["reward"] == pytest.approx(info["composite"] + probe_weight * info["model_value"])


@pytest.fixture
def sampling(tmp_path: Path) -> dict[str, Any]:
    """Probes of everything, with a classifier that is trained and calibrated here."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 6)) + f" {i}" for i in range(80)]
    pd.DataFrame({"text": texts, "label": ["good" if i % 2 else "bad" for i in range(80)]}).to_csv(
        tmp_path / "safe.csv"
    )
    pairs = {"chosen": [f"{t} soup" for t in texts], "rejected": [f"{t} boat" for t in texts]}
    pd.DataFrame(pairs).to_csv(tmp_path / "pairs.csv")
    labelled = {"path": str(tmp_path / "safe.csv"), "label": "label", "positive": ["good"]}
    safety = {"kind": "classifier", "train": [labelled], "calibration": "platt"}
    preferences = {"path": str(tmp_path / "pairs.csv"), "pair": ["chosen", "rejected"]}
    sizes = {"every": 2, "prompts": 3, "prompt_tokens": 2, "samples": 2, "new_tokens": 4, "clean": 2, "pairs": 10}
    return sizes | {"safety": safety, "preferences": preferences}


def test_toxicity_and_preference_are_probed_where_they_are_asked_for(model: str, sampling: dict[str, Any]) -> None:
    env = make(model, probes=sampling)
    infos, _ = run(env, seed=1)
    last = infos[-1]
    read = sum(1 + len(env.documents[index]) for index in env.probes._asked if POOL.hidden["label"][index] == 0)
    assert env.probes.tokens == 3 * 2 * (2 + 4) + read + 10 * 2 * 8, "samples, clean texts, pairs"
    assert 0 < last["toxicity"] < 1
    assert last["preference"] in {k / 20 for k in range(21)}
    start, now = env._at_start, env._last[0]
    value = 0.5 * (1 - now.toxicity) + 0.2 * now.preference
    value += 0.3 * np.exp(start.log_perplexity - now.log_perplexity).mean()
    before = 0.5 * (1 - start.toxicity) + 0.2 * start.preference + 0.3
    assert sum(info["model_value"] for info in infos) == pytest.approx(value - before)
    observation, _ = env.reset(seed=1)
    names = env.context_features
    assert observation["context"][0, names.index("toxicity")] == pytest.approx(start.toxicity)
    assert observation["context"][0, names.index("preference")] == pytest.approx(start.preference)


def test_what_scores_samples_learns_from_the_texts_that_people_were_asked_about(
    model: str, sampling: dict[str, Any]
) -> None:
    """In this pool, one word is toxic, of which the scorer's sources know nothing; by severity another one is."""
    texts = POOL.data["text"].to_pylist()
    label, severe = (np.array([word in text.split() for text in texts]) for word in WORDS[:2])
    hidden = {"label": label.astype(int), "severity": severe.astype(float)}
    pool = make_pool(hidden=hidden)
    probes = {**sampling, "clean": 20}

    def suspected(**config: Any) -> str:
        probes_of = make(model, pool=pool, probes=probes, **config).probes
        assert probes_of.audits > 40
        return WORDS[int(np.argmin(probes_of.scorer(WORDS)))]

    assert suspected() == WORDS[0]
    assert suspected(refinement={"every": 2, "size": 4, "unsafe_from": 0.5}) == WORDS[1]


def test_audits_correct_the_signal_in_observation_and_reward(model: str) -> None:
    env = make(model, refinement={"every": 2, "size": 4})
    column = env.item_features.index("refined_safety")
    observation, _ = env.reset(seed=2)
    shown = env._plan[0, 0]
    np.testing.assert_allclose(observation["item"][0, :, column], POOL.signals["safety"][shown], rtol=1e-6)
    observation, _, _, _, info = env.step(np.full((1, N_ITEMS), 0.5, np.float32))
    known, safe = env._audits[0].known, env._audits[0].safe
    assert info["audited"][0] == len(known) == 4
    assert safe == (POOL.hidden["label"][known] == 0).tolist()
    others = np.column_stack([POOL.signals["alignment"], POOL.signals["utility"]])
    refined = RefinedSignal(POOL.signals["safety"], POOL.domain, POOL.embeddings, others).fit(known, safe)
    now = env._plan[0, 1]
    np.testing.assert_allclose(observation["item"][0, :, column], refined.score(now), rtol=1e-5)
    *_, info = env.step(np.full((1, N_ITEMS), 0.9, np.float32))
    chosen = now[env._shown_pick[0]]
    tokens = env.document_tokens[chosen]
    assert info["audited"][0] == 0
    assert info["safety"][0] == pytest.approx((tokens * refined.score(chosen)).sum() / BUDGET, rel=1e-4)
    env.reset(seed=3)
    assert env._audits[0].known == []


def test_what_audits_leave_alone_is_seen_and_paid_as_the_pool_has_it(model: str) -> None:
    env = make(model, refinement={"every": 1, "size": 4, "signals": ["safety"]})
    assert "refined_safety" in env.item_features
    assert "refined_alignment" not in env.item_features
    env.reset(seed=2)
    for _ in range(2):
        *_, info = env.step(np.full((1, N_ITEMS), 0.5, np.float32))
    chosen = env._plan[0, 1][env._shown_pick[0]]
    price = env.document_tokens[chosen]
    assert info["alignment"][0] == pytest.approx(price @ POOL.signals["alignment"][chosen] / BUDGET, rel=1e-5)
    assert info["safety"][0] != pytest.approx(price @ POOL.signals["safety"][chosen] / BUDGET, rel=1e-3)


def test_worth_is_what_a_token_adds_to_the_composite(model: str) -> None:
    env = make(model, 2, refinement={"every": 1, "size": 4}, drawn_weights=True)
    env.reset(seed=2)
    env.step(np.full((2, N_ITEMS), 0.5, np.float32))
    observation, _, _, _, _ = env.step(np.zeros((2, N_ITEMS), np.float32))
    worth = observation["item"][..., env.item_features.index("worth")].copy()
    one = np.eye(N_ITEMS, dtype=np.float32)[[0, 3]]
    price = env.document_tokens[env.shown_ids()[[0, 1], [0, 3]]]
    rank = observation["item"][1, :, env.item_features.index("rank")]
    cost = env.document_tokens[env.shown_ids()[1]]
    ahead = [cost[worth[1] > own].sum() / cost.sum() for own in worth[1]]
    np.testing.assert_allclose(rank, ahead, rtol=1e-5)
    _, _, _, _, info = env.step(one)
    np.testing.assert_allclose(info["composite"], worth[[0, 1], [0, 3]] * price / BUDGET, rtol=1e-5)


def test_a_candidate_tells_what_it_costs(model: str) -> None:
    env = make(model, observation="dense")
    observation, _ = env.reset(seed=2)
    price = env.task.read(observation, "price")[0]
    np.testing.assert_allclose(price, env.document_tokens[env.shown_ids()[0]], rtol=1e-6)
    rule = Raft(env.task, share=0.5)
    picked = rule.predict(observation)[0][0] > 0
    assert price[picked].sum() >= price.sum() / 2 > price[picked].sum() - price[picked].min()
    poor = make(model, budget=4, horizon=1)
    assert poor.task.read(poor.reset(seed=2)[0], "price").max() == 4, "what can't be bought costs all there is"


def test_hiding_signals_hides_what_is_made_of_them(model: str) -> None:
    env = make(model, refinement={}, hide=["signals"])
    observation, _ = env.reset(seed=2)
    for name in (*WEIGHTS, "worth", "rank", "refined_safety", "refined_alignment"):
        assert not observation["item"][..., env.item_features.index(name)].any()
    assert observation["item"][..., env.item_features.index("novelty")].all()


def test_a_candidate_tells_of_its_domain(model: str) -> None:
    env = make(model, probes={"prompts": 0, "every": 1, "clean": 4})
    env.reset(seed=2)
    spent = np.zeros(2)
    for _ in range(3):
        plan, step = env._plan[0].copy(), int(env._step[0])
        observation, *_ = env.step(np.full((1, N_ITEMS), 0.6, np.float32))
        for index in plan[step][env._shown_pick[0]]:
            spent[POOL.domain[index]] += env.document_tokens[index]
        domain = POOL.domain[plan[step + 1]]
        change = env._last[0].log_perplexity - env._at_start.log_perplexity
        item = {name: observation["item"][0, :, env.item_features.index(name)] for name in env.item_features}
        np.testing.assert_allclose(item["domain_share"], (spent / spent.sum())[domain], rtol=1e-6)
        np.testing.assert_allclose(item["domain_perplexity"], np.clip(change / 0.5, -1, 1)[domain], rtol=1e-5)
    assert change.any()


def test_what_follows_from_samples_needs_samples(model: str) -> None:
    with pytest.raises(ConfigError, match=r"needs probes\.prompts > 0"):
        make(model, refinement={"safety_gain": 2.0}, probes={"prompts": 0})


def test_probes_correct_utility_in_observation_and_reward(model: str) -> None:
    env = make(model, refinement={"every": 50, "gain": 4.0}, probes={"prompts": 0, "every": 1, "clean": 4})
    column = env.item_features.index("refined_utility")
    env.reset(seed=4)
    observation, *_ = env.step(np.full((1, N_ITEMS), 0.7, np.float32))
    lost = env._last[0].log_perplexity - env._at_start.log_perplexity
    now = env._plan[0, 1]
    behind = 4 * (lost - lost.mean())[POOL.domain[now]]
    expected = POOL.signals["utility"][now] + behind
    assert np.abs(expected - POOL.signals["utility"][now]).max() > 0.01
    np.testing.assert_allclose(observation["item"][0, :, column], expected, rtol=1e-4)
    assert env.single_observation_space.contains({name: part[0] for name, part in observation.items()})
    *_, info = env.step(np.full((1, N_ITEMS), 0.9, np.float32))
    chosen = env._picked[0, 1]
    paid = (env.document_tokens[now] * expected)[chosen].sum() / BUDGET
    assert info["utility"][0] == pytest.approx(paid, rel=1e-4)


def test_drawn_weights_are_shown_and_paid_by(model: str) -> None:
    env = make(model, 2, drawn_weights=True, probes={"prompts": 0, "every": 1, "clean": 4})
    shown = [env.context_features.index(f"weight_{name}") for name in WEIGHTS]
    seen = []
    for seed in (1, 2):
        observation, _ = env.reset(seed=[seed, seed + 10])
        weights = observation["context"][:, shown]
        np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
        seen += weights.tolist()
        _, reward, _, _, info = env.step(np.full((2, N_ITEMS), 0.5, np.float32))
        parts = np.stack([info[name] + info[f"model_{name}"] for name in WEIGHTS], axis=1)
        np.testing.assert_allclose(reward, (weights * parts).sum(1), rtol=1e-5)
    assert len(np.unique(np.round(seen, 4), axis=0)) == 4


def test_a_vector_reward_weighs_to_the_scalar_one(model: str) -> None:
    scalar, vector = make(model, probe_weight=2.0), make(model, probe_weight=2.0, vector_reward=True)
    scalar.reset(seed=5), vector.reset(seed=5)
    assert vector.single_reward_space.shape == (3,)
    assert vector.task.objectives == tuple(WEIGHTS)
    for _ in range(3):
        action = np.full((1, N_ITEMS), 0.5, np.float32)
        _, number, _, _, info = scalar.step(action)
        _, parts, *_ = vector.step(action)
        assert parts.shape == (1, 3)
        assert parts[0] @ list(WEIGHTS.values()) == pytest.approx(number[0]) == info["raw_reward"][0]


def test_rows_are_independent_and_episodes_repeat(model: str) -> None:
    many, one = make(model, 3, refinement={}), make(model, refinement={})
    rng = np.random.default_rng(8)
    actions = rng.random((HORIZON, 3, N_ITEMS), dtype=np.float32)
    traces = []
    for _ in range(2):
        traces.append([many.reset(seed=[7, 8, 9])] + [many.step(a) for a in actions[:4]])
    for first, again in zip(*traces, strict=True):
        assert data_equivalence(first, again, exact=True)
    alone = [one.reset(seed=[8])] + [one.step(a[1:2]) for a in actions[:4]]
    for whole, single in zip(traces[0], alone, strict=True):
        for key in single[0]:
            np.testing.assert_array_equal(whole[0][key][1], single[0][key][0])
    np.testing.assert_array_equal([x[1][1] for x in traces[0][1:]], [x[1][0] for x in alone[1:]])


def test_a_pickled_environment_goes_on_to_the_same_bytes(model: str, sampling: dict[str, Any]) -> None:
    env, rng = make(model, 2, refinement={}, probes=sampling), np.random.default_rng(9)
    env.reset(seed=4)
    actions = rng.random((5, 2, N_ITEMS), dtype=np.float32)
    for action in actions[:2]:
        env.step(action)
    other = pickle.loads(pickle.dumps(env))
    for action in actions[2:]:
        assert data_equivalence(env.step(action), other.step(action), exact=True)


def test_another_environment_of_a_process_reads_no_text_again(
    model: str, sampling: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make(model, probes=sampling)
    first = run(env, seed=3)
    with monkeypatch.context() as patched:
        patched.delattr(LanguageModelLearner, "tokenize")
        same = make(model, probes=sampling)
    assert run(same, seed=3) == first
    other = make(
        model, pool=make_pool(domain=np.arange(120) % 3, domain_names=("sea", "kitchen", "bar")), probes=sampling
    )
    assert len(other.probes.domains) == 3
    with pytest.raises(ValueError, match="read-only"):
        env.documents[0][0] = 1


def test_adapters_are_trained_sampled_from_and_pickled(model: str, sampling: dict[str, Any]) -> None:
    pytest.importorskip("peft")
    lora = {"rank": 2, "targets": ["query_key_value"]}
    env = make(model, fine_tuning=TUNING | {"lora": lora}, probes=sampling)
    before = env.learners[0].state()["model"]
    infos, _ = run(env, seed=3)
    after = env.learners[0].model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed
    assert all("lora" in name for name in changed)
    assert infos[-1]["probed"]
    assert 0 < infos[-1]["toxicity"] < 1
    tuned = CausalModel(env.learners[0].model, env.learners[0].tokenizer)
    assert len(tuned.generate(["the boat"], 2, max_new_tokens=4, seed=1)[0]) == 2
    env.reset(seed=5)
    action = np.full((1, N_ITEMS), 0.5, np.float32)
    env.step(action)
    other = pickle.loads(pickle.dumps(env))
    for _ in range(2):
        assert data_equivalence(env.step(action), other.step(action), exact=True)


def test_the_cores_belong_to_the_model_while_it_is_trained(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    env, threads = make(model), []
    train = env.learners[0].train_on

    def watched(documents: Any) -> int:
        threads.append({info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"})
        return train(documents)

    monkeypatch.setattr(env.learners[0], "train_on", watched)
    env.reset(seed=0)
    with threadpool_limits(2, "blas"):
        env.step(np.ones((1, N_ITEMS), np.float32))
        after = {info["num_threads"] for info in threadpool_info() if info["user_api"] == "blas"}
    assert (threads, after) == ([{1}], {2})


def test_an_empty_choice_costs_nothing_and_pays_nothing(model: str) -> None:
    env = make(model)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(np.zeros((1, N_ITEMS), np.float32))
    assert (reward[0], info["tokens"][0], info["budget_left"][0]) == (0, 0, BUDGET)
    assert info["perplexity"][0] == pytest.approx(np.exp(info["loss"][0])), "of the clean texts, before any update"


def test_batches_without_a_finite_loss_are_told_and_change_nothing(model: str) -> None:
    env, everything = make(model), np.ones((1, N_ITEMS), np.float32)
    env.reset(seed=0)
    learner = env.learners[0]
    before = learner.state()["model"]
    head = learner.model.get_output_embeddings()
    broken = head.register_forward_hook(lambda module, inputs, out: out * np.nan if learner.model.training else out)
    _, reward, _, _, info = env.step(everything)
    broken.remove()
    assert info["skipped"][0] == info["tokens"][0] // (TUNING["block"] * TUNING["batch_size"]) > 0
    assert all(torch.equal(before[name], after) for name, after in learner.model.state_dict().items())
    assert np.isfinite([reward[0], info["loss"][0]]).all()
    *_, later = env.step(everything)
    assert later["skipped"][0] == info["skipped"][0], "all of the episode's"
    assert learner.updates > 0
    env.reset(seed=0)
    assert learner.skipped == 0


def test_it_ends_when_nothing_can_be_paid(model: str) -> None:
    infos, _ = run(make(model, budget=30), seed=1, p=1.0)
    assert len(infos) < HORIZON
    assert (
        0
        <= infos[-1]["budget_left"]
        < min(len(t.split()) + 1 for t in POOL.data["text"].take(POOL.ids("train")).to_pylist())
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pool": make_pool(data=None)}, "must hold a text for every sample"),
        ({"pool": make_pool(hidden={}), "refinement": {}}, "refinement corrects signals by what people called"),
        ({"pool": make_pool(class_names=("prose", "code")), "refinement": {}}, "classes are prose, code"),
        ({"weights": {"safety": 0.7}}, "sum to 1"),
        ({"weights": {"safety": 0.7, "novelty": 0.3}}, "weights are of safety, alignment, utility"),
        ({"probes": {"prompts": 3}}, "prompts and safety go together"),
        ({"probes": {"prompts": 0, "clean": 0}}, "'probes.clean' = 0"),
        ({"language_model": "no/where/at/all"}, "."),
    ],
)
def test_bad_arguments_are_named(model: str, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    if "language_model" in changes:
        changes, message = {"language_model": str(tmp_path)}, "AutoModelForCausalLM can't load"
    with pytest.raises((ConfigError, ValueError), match=message):
        make(model, **changes)


def test_probes_compute_as_training_does(model: str) -> None:
    half = make(model, fine_tuning=TUNING | {"precision": "bfloat16"})
    dtypes = set()
    embedding = half.learners[0].model.get_output_embeddings()
    embedding.register_forward_hook(lambda module, inputs, output: dtypes.add(output.dtype))
    half.probes.measure(half.learners[0])
    assert dtypes == {torch.bfloat16}
    exact = make(model).probes.measure(make(model).learners[0])
    close = half.probes.measure(half.learners[0])
    np.testing.assert_allclose(close.log_perplexity, exact.log_perplexity, rtol=0.01)

"""The units of work of the study of curated fine-tuning. Each runs in a process of its own and leaves tidy rows."""

import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from baselines.best_of_k import BestOfK
from curation_gym.config import validated
from curation_gym.envs.audits import RefinementConfig
from curation_gym.envs.base import CurationVectorEnv
from curation_gym.envs.language_model_probes import ProbesConfig
from curation_gym.envs.language_model_selection import LanguageModelSelectionVectorEnv
from curation_gym.evaluation.curation import curation, selection_rates
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.rollout import make_core
from curation_gym.files import replace_file
from curation_gym.judge import Judge, JudgeCard, JudgeError
from curation_gym.judge_training import JudgeConfig, train_judge
from curation_gym.policy import Policy
from curation_gym.pools.build import build_pool
from curation_gym.pools.documents import DocumentSet, document_keys
from curation_gym.pools.partition import (
    check_evaluation,
    check_held_out,
    check_independent,
    check_sources,
    pool_keys,
)
from curation_gym.pools.pool import Pool
from curation_gym.scenario import Scenario, merged
from curation_gym.seeding import Role
from experiments.dynacure.corpora import JUDGE, OTHER_JUDGE, TEST_PREFERENCES, TESTS
from experiments.dynacure.evaluation import BY_MAIN, BY_OTHER, Evaluation, EvaluationConfig
from experiments.dynacure.further import FurtherConfig, further
from experiments.dynacure.results import BASE_MODEL
from experiments.dynacure.reward import Reward
from experiments.harness.policies import REFERENCES
from experiments.harness.study import SAMPLE_DIRECTORY, Study, StudyError, tidy
from experiments.harness.units import ROLES, made_for

JUDGE_DIRECTORY, OTHER_JUDGE_DIRECTORY = "judge", "other_judge"
READ_AT_ONCE = 128  # sequences, of models small enough
BEST_OF_K = "raft_as_published"
UNGUIDED = ("none", "stratified", BEST_OF_K)
"""Policies that have nothing to trade off, or no model to spare for it: nothing of them was tuned or trained."""
WRITTEN = "dynacure_as_written"
UNREFINED = ("heuristic", "static_filter", "raft", "domain_rule", WRITTEN)
"""Policies that read signals as they are: of all labels, only those of the probes helped, that chose among trials or
paid for training."""
UNWATCHED = ("none", "stratified", "heuristic", "static_filter", "raft", "domain_rule", "label_clean")
"""Policies that read nothing of the model, nor of what audits reveal: their episodes do without probes and audits."""
ONE_BY_ONE = (*UNGUIDED, "static_filter", "raft", "raft_refined", "domain_rule", "label_clean")
"""Policies that read nothing of how a candidate compares with what was selected: theirs do without comparing."""
UNHEARD = (*UNWATCHED, BEST_OF_K, "raft_refined")
"""Policies that read nothing of what the model says or prefers, unless what it says corrects signals."""
SILENT: dict[str, Any] = {"prompts": 0, "safety": None, "preferences": None}
"""Of probes that ask for neither."""
WITHOUT_MODEL: dict[str, Any] = {"frozen": True, "refinement": None, "probes": {"every": 0, **SILENT}}
"""Of an episode that shows, at hardly any cost, what is selected by a policy that is :data:`UNWATCHED`."""
PROMPTS, PROMPT_TOKENS = 4000, 8


def judge_of(study: Study, *scenarios: Scenario) -> None:
    """Train the judge where that isn't done yet, on nothing that is in the corpora of the scenarios.

    Raises:
        StudyError: when it can't be trained or loaded: without it, nothing that follows can be judged.
        PartitionError: when judge and signals or probes, or signals or probes and tests, have something in common.
    """
    corpora = [scenario.kwargs["pool"] for scenario in scenarios]
    probing = [validated(ProbesConfig, scenario.kwargs["probes"], "probes") for scenario in scenarios]
    if "judge" not in study.run(make_judge, {"judge": corpora}, jobs=1, title="the judge"):
        raise StudyError(f"the judge could not be trained, so nothing can be judged: {study.failures[-1].error}")
    places = [study.out / directory for directory in (JUDGE_DIRECTORY, OTHER_JUDGE_DIRECTORY)]
    try:
        cards = [_judge(place).card.trained for place in places]
    except JudgeError as error:
        done = ", ".join(str(place) for place in (*places, study.out / "parts" / "judge.parquet"))
        raise StudyError(f"{error}; remove {done}: --resume then trains both judges anew") from error
    for corpus in corpora:
        pool = build_pool(corpus)
        for card in cards:
            check_independent(card, pool)
        for name, part in TESTS.items():
            check_evaluation(pool, name, part)
    for probes in probing:
        for card in cards:
            check_sources(card, probes.sources)
        for name, part in TESTS.items():
            check_held_out(probes.sources, name, part)


def judge_cards(out: Path) -> dict[str, JudgeCard]:
    """What the judges of a study are, by what their words are called."""
    return {BY_MAIN: _judge(out / JUDGE_DIRECTORY).card, BY_OTHER: _judge(out / OTHER_JUDGE_DIRECTORY).card}


def judged_by() -> dict[str, Any]:
    """What judges, and how much it is asked: part of the configuration of what it judges."""
    return {"judge": JUDGE, "other_judge": OTHER_JUDGE, "evaluation": EvaluationConfig().model_dump()}


def documents_of(pool: Pool) -> DocumentSet:
    """Those of a corpus, as they were read and as they were cleaned and cut."""
    assert pool.data is not None
    return DocumentSet(np.append(pool_keys(pool), document_keys(pool.data["text"].to_pylist())))


@dataclass(frozen=True)
class Run:
    """A policy at an operating point, whose selection fine-tunes the model that is judged.

    Attributes:
        point: name of the operating point.
        weights: of the objectives there.
        target: what ``make_policy`` takes.
        seed: of the episode.
        further: whether the proposal's other hopes are measured, too.
        drawn: whether a trained policy draws what it selects; else it selects what it would rather select than not,
            of which a policy that began at chance may find nothing.
        tokens_before: on which models were fine-tuned to train and tune the policy.
    """

    scenario: Scenario
    policy: str
    target: str
    point: str
    weights: dict[str, float]
    hyperparameters: dict[str, float]
    seed: int
    further: bool = False
    drawn: bool = False
    tokens_before: int = 0


def make_judge(corpora: list[Any], out: Path) -> pd.DataFrame:
    """Train the judge, and the other one, for all runs on these corpora."""
    curated = documents_of(build_pool(corpora[0]))
    for corpus in corpora[1:]:
        curated |= documents_of(build_pool(corpus))
    for directory, config in ((JUDGE_DIRECTORY, JUDGE), (OTHER_JUDGE_DIRECTORY, OTHER_JUDGE)):
        train_judge(validated(JudgeConfig, config, "judge"), curated).save(out / directory)
    return pd.DataFrame()


def judged_run(run: Run, out: Path) -> pd.DataFrame:
    """Fine-tune on what the policy selects, and measure the model and the selection."""
    scenario = run.scenario
    core = make_core(scenario.env, kwargs_of(scenario, run.policy, "evaluation") | {"weights": run.weights})
    assert isinstance(core, LanguageModelSelectionVectorEnv)
    base = base_of(core)
    start = time.perf_counter()
    if run.policy == BEST_OF_K:
        read = _best_of_k(core, run)
    else:
        policy = policy_for(core, run.policy, run.target, run.seed % 2**32, run.hyperparameters)
        read = int(act(policy, core, run.seed, drawn=run.drawn)["probed"]) * core.probes.tokens
    seconds = time.perf_counter() - start
    learner = core.learners[0]
    ids, picked = core.choices(whole=True)
    values = {}
    if picked.any():
        chosen_from = (core.pool, ids.ravel(), picked.ravel(), core.document_tokens)
        values = curation(*chosen_from) | selection_rates(*chosen_from)
    values.setdefault("tokens", float(learner.tokens))
    name = f"{run.policy}@{run.point}"
    values |= judgement(core, f"{scenario.name} {name} {run.seed}", run.seed, out)
    if run.further:
        values |= further(_readable(core), _judge(out / JUDGE_DIRECTORY), FurtherConfig())
    parameters = sum(weight.numel() for weight in learner.model.parameters())
    flops = parameters * (6.0 * learner.tokens + 2.0 * read)
    values["budget_spent"] = values["tokens"] / core.config.budget
    values |= {"audits": labels_behind(core, run), "seconds": seconds, "flops": flops}
    values["flops_before"] = parameters * 6.0 * run.tokens_before
    values |= {"skipped": learner.skipped, BASE_MODEL: base}
    rows = [tidy(scenario.name, scenario.env, name, run.seed, key, values["tokens"], v) for key, v in values.items()]
    return pd.DataFrame(rows)


def base_of(core: LanguageModelSelectionVectorEnv) -> int:
    """A digest of the core's model before it is fine-tuned, and of the precision in which it will be."""
    learner = core.learners[0]
    content = hashlib.blake2b(bytes([learner.bfloat16]), digest_size=4)
    for weight in learner.model.state_dict().values():
        content.update(weight.detach().float().cpu().numpy().tobytes())
    return int.from_bytes(content.digest())


def kwargs_of(scenario: Scenario, policy: str, role: Role, *, model: bool = True) -> dict[str, Any]:
    """The environment's arguments in a role, without what the policy doesn't look at.

    Args:
        scenario, policy, role: which.
        model: whether the model is fine-tuned on what is selected. False is for policies that are :data:`UNWATCHED`,
            whose selection is the same without.
    """
    assert model or policy in UNWATCHED, policy
    kwargs = scenario.kwargs_for(role)
    if policy in ONE_BY_ONE:
        kwargs |= {"hide": [*kwargs.get("hide", ()), "redundancy"]}
    if policy in UNWATCHED:
        kwargs = merged(kwargs, {"probes": {"every": 0}, "refinement": None})
    if policy in UNHEARD and not (kwargs.get("refinement") or {}).get("safety_gain"):
        kwargs = merged(kwargs, {"probes": SILENT})
    return kwargs if model else merged(kwargs, WITHOUT_MODEL)


def labels_behind(core: LanguageModelSelectionVectorEnv, run: Run) -> int:
    """Human labels that had a part in what a policy selects.

    Those by which the probes' clean texts were found, since probes decide on hyperparameters and are part of the
    return; and, where a policy acts or was trained by signals that audits correct, those of the audits, which are the
    same texts in tuning, in training and when it acts. A reference sees the label of everything that it is shown.
    """
    if run.policy in REFERENCES:
        return core.config.n_items * core.config.horizon
    if run.policy in UNGUIDED:
        return 0
    if run.policy in UNREFINED:
        return core.probes.audits
    audits = [0]
    for role in ROLES:
        kwargs = run.scenario.kwargs_for(role)
        if kwargs.get("refinement") is not None:
            refinement = validated(RefinementConfig, kwargs["refinement"], "refinement")
            audits.append(-(-kwargs["horizon"] // refinement.every) * refinement.size)
    return max(audits) + core.probes.audits


def judgement(core: LanguageModelSelectionVectorEnv, unit: str, seed: int, out: Path) -> dict[str, float]:
    """What the model of the first row says and reads, by the judge.

    Args:
        core: whose model was fine-tuned.
        unit: name of the file of what it said.
        seed: of what it says.
        out: of the study.
    """
    evaluation, model = evaluation_of(core, out), _readable(core)
    samples = evaluation.samples(model, seed % 2**31)
    path = out / SAMPLE_DIRECTORY / f"{unit}.parquet"
    replace_file(path, lambda scratch: samples.to_parquet(scratch, index=False))
    return evaluation.measure(model, samples)


def _readable(core: LanguageModelSelectionVectorEnv) -> CausalModel:
    learner = core.learners[0]
    return CausalModel(learner.model, learner.tokenizer, batch_size=READ_AT_ONCE)


def policy_for(
    core: CurationVectorEnv, name: str, target: str, seed: int, hyperparameters: Mapping[str, float]
) -> Policy:
    """A policy for the core's task; bound to the core where it is a reference."""
    policy = made_for(core, target, seed, **hyperparameters)
    if name in REFERENCES:
        policy.bind(core)  # type: ignore[attr-defined]
    return policy


def act(policy: Policy, core: CurationVectorEnv, seed: int, *, drawn: bool = False) -> Counter[str]:
    """One episode: the sum of everything that the steps tell. What was learned acts without noise, unless ``drawn``."""
    observation, _ = core.reset(seed=[seed])
    state, start, total = None, np.ones(1, np.bool_), Counter[str]()
    while not core.ended[0]:
        action, state = policy.predict(observation, state, episode_start=start, deterministic=not drawn)
        observation, _, _, _, info = core.step(action)
        total.update({name: float(value[0]) for name, value in info.items() if not name.startswith("_")})
        start = np.zeros(1, np.bool_)
    return total


def _best_of_k(core: LanguageModelSelectionVectorEnv, run: Run) -> int:
    """RAFT as published spends the budget on samples of the model, ranked by the objectives at their weights.

    Returns:
        Tokens that the model read and wrote for them.
    """
    core.reset(seed=[run.seed])
    pool, learner, rng = core.pool, core.learners[0], np.random.default_rng(run.seed)
    ids = rng.permutation(pool.ids("train"))[:PROMPTS]
    prompts = [learner.tokenizer.decode(core.documents[index][:PROMPT_TOKENS]) for index in ids]
    if pool.fingerprint not in _rewards:
        _rewards[pool.fingerprint] = Reward(documents_of(pool))
    reward = _rewards[pool.fingerprint].by(run.weights)
    seed = int(rng.integers(2**31))
    raft = BestOfK(learner, reward, [text for text in prompts if text.strip()], seed=seed)
    raft.run(core.config.budget)
    return raft.sampled


_rewards: dict[str, Reward] = {}
_evaluations: dict[tuple[str, Path], Evaluation] = {}


def evaluation_of(core: LanguageModelSelectionVectorEnv, out: Path) -> Evaluation:
    """Made once for all runs of a process and corpus.

    Raises:
        PoolError: when the corpus has too few texts to judge by.
    """
    key = (core.pool.fingerprint, out)
    if key not in _evaluations:
        judges = [_judge(out / directory) for directory in (JUDGE_DIRECTORY, OTHER_JUDGE_DIRECTORY)]
        tokenizer = core.learners[0].tokenizer
        _evaluations[key] = Evaluation(core.pool, *judges, tokenizer, TEST_PREFERENCES, EvaluationConfig())
    return _evaluations[key]


@lru_cache(maxsize=2)
def _judge(path: Path) -> Judge:
    return Judge.load(path)

"""LanguageModelSelection-v0: what is selected fine-tunes a language model, and what that does to it is the reward."""

from functools import cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from threadpoolctl import ThreadpoolController

from curation_gym.config import ConfigError
from curation_gym.envs.audits import MOST_RISE, UTILITY, Audits, RefinementConfig, refined_signals
from curation_gym.envs.base import Arrays, CurationEnv, Rows
from curation_gym.envs.language_model_probes import Probe, ProbesConfig, probes_of
from curation_gym.envs.selection import SelectionConfig, SelectionInfo, SelectionVectorEnv, Weights
from curation_gym.learners.base_model import model_of
from curation_gym.learners.documents import tokenized
from curation_gym.learners.language_model import LanguageModelLearner
from curation_gym.learners.language_model_config import BaseModelConfig, FineTuningConfig, ModelSource
from curation_gym.pools.build import PoolSource
from curation_gym.pools.docstrings import DocstringsConfig
from curation_gym.ranking import cost_ahead
from curation_gym.task import Column

ENV_ID = "CurationGym/LanguageModelSelection-v0"
OBJECTIVES = ("safety", "alignment", "utility")
_MOST_PERPLEXITY = 4.0  # of relative perplexity, in the context
_MOST_CHANGE = 0.5  # of a domain's log-perplexity, among the state of a candidate


class LanguageModelSelectionConfig(SelectionConfig):
    """Arguments of LanguageModelSelection-v0, see :class:`LanguageModelSelectionEnv`."""

    pool: PoolSource = DocstringsConfig()
    budget: int = Field(20_000, ge=1)
    weights: Weights = Field(default_factory=lambda: dict(zip(OBJECTIVES, (0.4, 0.3, 0.3), strict=True)))
    drawn_weights: bool = False
    reward: Literal["sum", "mean"] = "sum"
    probe_weight: float = Field(1.0, ge=0)
    vector_reward: bool = False
    language_model: ModelSource = BaseModelConfig(hidden_size=64, layers=2, epochs=0)
    fine_tuning: FineTuningConfig = FineTuningConfig()
    frozen: bool = False
    probes: ProbesConfig = ProbesConfig()
    refinement: RefinementConfig | None = None

    @model_validator(mode="after")
    def _affordable(self) -> "LanguageModelSelectionConfig":
        return self  # the budget is in tokens, and how many there are the pool tells

    @model_validator(mode="after")
    def _of_the_model(self) -> "LanguageModelSelectionConfig":
        if unknown := sorted(set(self.weights) - set(OBJECTIVES)):
            raise ValueError(f"weights are of {', '.join(OBJECTIVES)}, of text and of model; actual: {unknown[0]!r}")
        if self.refinement is not None and self.refinement.safety_gain and not self.probes.prompts:
            raise ValueError("refinement.safety_gain follows what the model says, so it needs probes.prompts > 0")
        return self


class LanguageModelSelectionInfo(SelectionInfo):
    """``info`` of a step; ``toxicity`` and ``preference`` are 0 where they aren't measured."""

    tokens: int
    composite: float
    safety: float
    alignment: float
    utility: float
    model_value: float
    model_safety: float
    model_alignment: float
    model_utility: float
    probed: bool
    toxicity: float
    perplexity: float
    preference: float
    loss: float
    skipped: int
    audited: int


class LanguageModelSelectionVectorEnv(SelectionVectorEnv):
    """Batched core of :class:`LanguageModelSelectionEnv`; a model per row, which are trained one after the other.

    Attributes:
        learners: of each row, with the model as it is now.
        documents: token ids of every sample of the pool, without the end-of-text token.
        document_tokens: (n,), what each costs of the budget, that token included.
        probes: what all rows are probed with.
    """

    env_id = ENV_ID
    config_model: ClassVar[type[SelectionConfig]] = LanguageModelSelectionConfig
    info_type: ClassVar[type] = LanguageModelSelectionInfo
    budget_unit = "tokens"
    config: LanguageModelSelectionConfig

    def _prepare(self) -> None:
        pool = self.pool
        if pool.data is None or "text" not in pool.data.column_names or pool.data["text"].null_count:
            raise ConfigError(f"{ENV_ID}: the pool must hold a text for every sample, in the column 'text': {pool!r}")
        self.learners = [self._learner(row) for row in range(self.num_envs)]
        self._read_pool()
        first = self.learners[0]
        self._start = first.state()
        self._at_start = self.probes.measure(first)
        self._last = [self._at_start] * self.num_envs
        self._weights = np.tile(list(self.score_weights.values()), (self.num_envs, 1))
        self._spent_on = np.zeros((self.num_envs, len(pool.domain_names)))  # tokens
        self._audits: list[Audits | None] = [None] * self.num_envs

    def _read_pool(self) -> None:
        """What the pool, the model's tokenizer and the configuration decide."""
        first = self.learners[0]
        self.documents = tokenized(self.pool, first)
        self.document_tokens = np.array([len(document) + 1 for document in self.documents])
        self._cheapest = int(self.document_tokens[self.pool.ids(self.config.split)].min())
        refinement = self.config.refinement
        before_any_change = None if refinement is None else refinement.unsafe_from
        self.probes = probes_of(self.config.probes, self.pool, first, before_any_change)

    def __getstate__(self) -> dict[str, Any]:
        # Made anew: documents are large, and what scores the probes' samples holds an encoder.
        return super().__getstate__() | dict.fromkeys(("documents", "document_tokens", "probes"))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._read_pool()

    def _learner(self, row: int) -> LanguageModelLearner:
        cfg, model = self.config, model_of(self.config.language_model, self.pool)
        try:
            return LanguageModelLearner(*model, cfg.fine_tuning, cfg.budget, seed=row)
        except (ValueError, ImportError) as error:
            raise ConfigError(f"{ENV_ID}: {error}") from error

    def _score_weights(self) -> dict[str, float]:
        given = self.config.weights
        return {name: given[name] for name in OBJECTIVES if name in given}  # columns don't depend on a mapping's order

    def _objectives(self) -> tuple[str, ...]:
        return tuple(self.score_weights) if self.config.vector_reward else ()

    def _state(self) -> tuple[Column, ...]:
        # By what a step has to spend; what costs more than the budget can't be bought.
        price = Column("price", self.config.budget / self.config.horizon, high=self.config.horizon)
        of_domain = (Column("domain_share"), Column("domain_perplexity", _MOST_CHANGE, -1))
        rise = MOST_RISE if UTILITY in self._corrected else 0.0
        refined = {name: Column(f"refined_{name}") for name in self._corrected}
        if rise:
            refined[UTILITY] = Column(f"refined_{UTILITY}", low=-rise, high=1 + rise)
        worth = Column("worth", low=-rise, high=1 + rise)
        return (*super()._state(), price, *of_domain, worth, Column("rank"), *refined.values())

    @property
    def _corrected(self) -> list[str]:
        """Signals that are corrected."""
        return refined_signals(self.config.refinement, self.pool)

    def _more_context(self) -> tuple[Column, ...]:
        loss = Column("loss", float(np.log(len(self.learners[0].tokenizer))))
        probed = (Column("toxicity"), Column("relative_perplexity", _MOST_PERPLEXITY), Column("preference"))
        return (loss, *probed, *(Column(f"weight_{name}") for name in self.score_weights))

    def _mean_price(self) -> float:
        return float(self.document_tokens[self.pool.ids(self.config.split)].mean())

    def _prices(self, rows: Rows, step: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.document_tokens[self._plan[rows, step]].astype(np.float64)

    def audited(self, row: int = 0) -> list[int]:
        """Pool ids whose human label was revealed in a row's episode."""
        audits = self._audits[row]
        return [] if audits is None else audits.revealed

    # --------------------------------------------------------------- dynamics
    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Arrays, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        # A BLAS with threads of its own goes on spinning on the cores on which the model is trained: half its speed.
        with _blas().limit(limits=1):
            return super().step(actions)

    def _begin_value(self, rows: Rows, groups: NDArray[np.int64]) -> None:
        for row in rows:
            learner = self.learners[row]
            seed = int(self._generator(int(row)).integers(2**31))
            learner.restore(self._start).reseed(seed)
            self._last[row] = self._at_start
            self._spent_on[row] = 0
            if self.config.drawn_weights:
                self._weights[row] = self._generator(int(row)).dirichlet(np.ones(len(self.score_weights)))
            if self.config.refinement is not None:
                self._audits[row] = Audits(self.config.refinement, self.pool, self.config.split)

    def _pay(self, rows: Rows, step: NDArray[np.int64], picked: NDArray[np.bool_]) -> Arrays:
        told: list[dict[str, Any]] = []
        for i, row in enumerate(rows):
            ids = self._plan[row, step[i]][picked[i]]
            if not self.config.frozen:
                self.learners[row].train_on([self.documents[index] for index in ids])
            np.add.at(self._spent_on[row], self.pool.domain[ids], self.document_tokens[ids])
            told.append(self._composite(int(row), step[i], picked[i]) | self._model_change(int(row), step[i]))
            told[-1]["audited"] = self._audit(int(row), step[i])
            told[-1]["raw_reward"] = told[-1]["composite"] + self.config.probe_weight * told[-1]["model_value"]
        return {name: np.array([one[name] for one in told]) for name in told[0]}

    def _reward(self, info: Arrays) -> NDArray[np.float64]:
        objectives, scale = self.task.objectives, self.config.probe_weight
        if not objectives:
            return super()._reward(info)
        return np.stack([info[name] + scale * info[f"model_{name}"] for name in objectives], axis=1)

    def _composite(self, row: int, step: np.int64, picked: NDArray[np.bool_]) -> dict[str, float]:
        """What was selected is worth by its signals: means over tokens, as a sum times their share of the budget."""
        price = self.document_tokens[self._plan[row, step]] * picked
        share = price / (self.config.budget if self.config.reward == "sum" else max(price.sum(), 1))
        parts = {name: float(share @ self._signal(name, row, step)) for name in self.score_weights}
        composite = self._weights[row] @ list(parts.values())
        return dict.fromkeys(OBJECTIVES, 0.0) | parts | {"composite": float(composite), "tokens": int(price.sum())}

    def _model_change(self, row: int, step: np.int64) -> dict[str, float]:
        """By how much the model's objectives changed since the last probe, where one is due."""
        cfg, learner, last = self.config, self.learners[row], self._last[row]
        every = cfg.probes.every
        due = every > 0 and (bool(self._over(np.array([row]))[0]) or (step + 1) % every == 0)
        if due:
            self._last[row] = self.probes.measure(learner)
            if (audits := self._audits[row]) is not None:
                audits.probed(self._lost(row), self._last[row].toxicity_by_domain)
        before, now = last.objectives(self._at_start), self._last[row].objectives(self._at_start)
        change = {name: now[name] - before[name] for name in OBJECTIVES}
        value = self._weights[row] @ [change[name] for name in self.score_weights]
        told = _told(self._last[row]) | {"loss": self._loss(row), "skipped": learner.skipped, "probed": due}
        return told | {"model_value": float(value)} | {f"model_{name}": change[name] for name in OBJECTIVES}

    def _lost(self, row: int) -> NDArray[np.float64]:
        """By how much the log-perplexity of each domain's clean text rose since the start; 0 where there is none."""
        lost = np.zeros(len(self.pool.domain_names))
        lost[self.probes.domains] = self._last[row].log_perplexity - self._at_start.log_perplexity
        return lost

    def _loss(self, row: int) -> float:
        """Of the last updates; before the first, on the clean texts of the probes."""
        loss = self.learners[row].loss
        return float(self._at_start.log_perplexity.mean()) if np.isnan(loss) else loss

    def _audit(self, row: int, step: np.int64) -> int:
        audits = self._audits[row]
        return 0 if audits is None else audits.audit(int(step), self.config.horizon)

    def _signal(self, name: str, *where: Any) -> NDArray[np.float32]:
        if name not in self._corrected:
            return super()._signal(name, *where)
        ids = self._plan[where]
        row = np.asarray(where[0])
        row = np.broadcast_to(row.reshape(row.shape + (1,) * (ids.ndim - row.ndim)), ids.shape)
        found = np.empty(ids.shape, np.float32)
        for one in np.unique(row):
            audits = self._audits[one]
            assert audits is not None
            found[row == one] = audits.score(name, ids[row == one])
        return found

    # ------------------------------------------------------------ observation
    def _write_state(self, vectors: NDArray[np.float32], state: NDArray[np.float32]) -> None:
        super()._write_state(vectors, state[..., :2])
        rows, step = np.arange(self.num_envs)[:, None], np.minimum(self._step, self.config.horizon - 1)
        ids = self._plan[rows[:, 0], step]
        domain = self.pool.domain[ids]
        share = self._spent_on / np.maximum(self._spent_on.sum(1, keepdims=True), 1)
        change = np.stack([self._lost(row) for row in range(self.num_envs)])
        price = self.document_tokens[ids]
        state[..., 2] = np.minimum(price, self.config.budget) / (self.config.budget / self.config.horizon)
        state[..., 3] = share[rows, domain]
        state[..., 4] = np.clip(change[rows, domain] / _MOST_CHANGE, -1, 1)
        seen = {name: self._signal(name, rows[:, 0], step) for name in (*self.score_weights, *self._corrected)}
        state[..., 5] = sum(self._weights[:, [i]] * seen[name] for i, name in enumerate(self.score_weights))
        state[..., 6] = cost_ahead(state[..., 5], price) / price.sum(-1, keepdims=True)
        for column, name in enumerate(self._corrected, 7):
            state[..., column] = seen[name]

    def _hide(self, out: Arrays) -> None:
        super()._hide(out)
        if "signals" in self.config.hide:  # and what is made of them
            out["item"][..., self._dynamic.start + 5 : self._dynamic.stop] = 0

    def _observe(self, out: Arrays) -> None:
        super()._observe(out)
        bound = self.task.context[3].bound
        for row, probe in enumerate(self._last):
            relative = float(np.exp(probe.log_perplexity - self._at_start.log_perplexity).mean())
            told = (self._loss(row) / bound, probe.toxicity, relative / _MOST_PERPLEXITY, probe.preference)
            out["context"][row, 3:7] = np.clip(np.nan_to_num(told), 0, 1)
        out["context"][:, 7:] = self._weights
        self._hide(out)


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def _told(probe: Probe) -> dict[str, float]:
    perplexity = float(np.exp(probe.log_perplexity.mean()))
    found = {"toxicity": probe.toxicity, "perplexity": perplexity, "preference": probe.preference}
    return {name: float(np.nan_to_num(value)) for name, value in found.items()}


class LanguageModelSelectionEnv(CurationEnv):
    """Select what a language model is fine-tuned on, while it is.

    ## Description
    A causal language model (:class:`curation_gym.learners.language_model.LanguageModelLearner`) begins every episode at
    the same checkpoint. At each step ``n_items`` documents of a corpus are shown; the policy gives each a probability
    p_i of being selected; those selected are packed into batches, by which the model is updated. Every few steps the
    model is probed: how toxic is what it writes, how well does it read clean text of every domain, does it prefer what
    people prefer. This is the loop of DynACurE; what makes it hard is that a document's worth depends on what the
    model has read, that signals err, and that what is filtered out of a community's texts is missing for that
    community's clean text, too.

    ## Action space
    ``Box(0, 1, (n_items,))``: p_i. When more is drawn than the budget has left, a seeded random subset that fits is
    kept. :class:`curation_gym.envs.wrappers.BernoulliSelection` turns it into ``MultiBinary(n_items)``.

    ## Observation space
    | key | columns |
    |---|---|
    | item (n_items, n_features) | embedding, signals (by name), novelty, freshness, price, domain_share, |
    | | domain_perplexity, worth, rank, refined_NAME of each corrected signal, domain (one-hot), log_length |
    | context (7 + objectives,) | budget_left (tokens), steps_left, pace; of the model: loss (mean of the last |
    | | updates, by ln V), toxicity, relative_perplexity (mean over domains, by that at the start), preference: by the |
    | | last probe, 0 where it isn't measured; weight of each objective |
    | mask (n_items,) | 1 |

    pace, novelty and freshness are as in ScoreSelection-v0, freshness by ``weights``, also where weights are drawn.
    price is what the candidate costs, by budget / horizon. domain_share is the share of the candidate's domain among
    the tokens selected so far, domain_perplexity the change since the start of the log-perplexity of its clean text.
    worth is R(d) below: what a token of the candidate adds to the composite, by the weights of the episode and the
    signals as corrected so far; rank is the share, of what the candidates of the step cost, of those of greater worth.

    ## Rewards
    composite + λ · model_value, λ = ``probe_weight``. composite is Σ over what was selected of tokens / budget ·
    R(d), R(d) = w_s·safety + w_a·alignment + w_u·utility: over an episode it is the mean R of a token. With ``reward``
    "mean" it is R(B_t) of DynACurE, the mean R of a token of this step's selection; 0 for an empty one. model_value is
    the change, since the last probe, of w_s·(1 − toxicity) + w_a·preference + w_u·(mean over domains of the perplexity
    at the start / that now); it is 0 in steps without a probe. Both parts and their components are in ``info``:
    ``composite``, ``safety``, ``alignment``, ``utility`` (components of the composite before weighting),
    ``model_value``, ``model_safety``, ``model_alignment``, ``model_utility`` (components of model_value before
    weighting), ``probed`` (in this step), by the last probe ``toxicity``, ``perplexity`` (geometric mean over
    domains) and ``preference`` (0 where it isn't measured), ``loss``, ``tokens`` (selected in this step), ``skipped``
    (batches without a finite loss, which were no updates), ``audited`` (human labels revealed in this step);
    ``raw_reward`` is the same number as the reward.

    What scores samples of the model knows, beside its sources, the texts of which people were asked whether they are
    clean, see :class:`ProbesConfig`: of a corpus that its sources aren't like, it would know little else.

    With ``refinement``, the human labels of some texts are revealed every few steps, and correct safety and alignment,
    or one of them (:class:`curation_gym.signals.refinement.RefinedSignal`), in observation and composite; the pool
    keeps its own. They are of the same texts in every episode. With its ``gain``, probes of the model correct utility,
    which is then in [−2, 3]: texts of domains that it reads worse are worth more, the longer the more with ``carry``.
    With its ``safety_gain``, they correct safety: texts of domains where what the model says is more toxic count as
    less safe.
    With ``drawn_weights``, every episode has other weights, uniform over all that are convex: a policy learns all
    trade-offs at once, and is told by the context which one is asked for. With
    ``vector_reward``, the reward is component of the composite + λ · component of model_value, one for each of
    ``task.objectives``, and there is a ``reward_space``, as in ScoreSelection-v0.

    ## Starting state
    A stream of n_items × horizon different documents of the split; the model at its checkpoint; nothing selected.
    Weights are drawn with ``drawn_weights``.

    ## Episode end
    Terminated when the budget doesn't pay for the shortest document, or the stream ends. Never truncated.

    ## Known optimum
    None; results are reported against no curation, heuristics, static filters and RAFT.

    ## Arguments
    | name | default | meaning |
    |---|---|---|
    | pool | builder: docstrings | texts with signals: a Pool, a path, or a builder's configuration, such as a corpus |
    | n_items | 32 | documents per step |
    | horizon | 32 | steps |
    | budget | 20000 | tokens that may be selected, an end-of-text token per document included |
    | split | train | of the pool |
    | observation | dense | dense or ids |
    | near | 0.5 | cosine above which two documents count as near |
    | hide | – | groups of columns that are 0: embedding, signals, state, or of that redundancy alone (novelty and |
    | | | freshness), metadata, context (but the budget's) |
    | weights | safety .4, alignment .3, utility .3 | of signals and of the model's probes; sum to 1 |
    | drawn_weights | false | other weights in every episode instead of ``weights`` |
    | reward | sum | composite of a step: sum (times the selection's share of the budget) or mean |
    | probe_weight | 1 | λ |
    | vector_reward | false | one number per objective instead of their weighted sum |
    | language_model | a small random one | hub id, path, or :class:`BaseModelConfig`: trained on the pool (cached) |
    | fine_tuning | – | :class:`curation_gym.learners.language_model_config.FineTuningConfig` |
    | frozen | false | the model learns nothing: what signals are worth can be learned cheaply, before the loop |
    | probes | clean text only | :class:`curation_gym.envs.language_model_probes.ProbesConfig` |
    | refinement | – | :class:`RefinementConfig` |

    ## Vectorized
    ``gymnasium.make_vec("CurationGym/LanguageModelSelection-v0", num_envs=…)``: a model per row.

    ## Version history
    v0: initial version.
    """

    core_class = LanguageModelSelectionVectorEnv

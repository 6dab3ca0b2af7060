"""Probes of a language model while it is fine-tuned: what it writes, how well it reads, what it prefers."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from curation_gym.config import Config, ConfigError
from curation_gym.envs.audits import called_safe
from curation_gym.evaluation.language_model.judges import judged
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.learners.documents import tokenized, tokenizer_identity
from curation_gym.learners.language_model import LanguageModelLearner
from curation_gym.memo import Memo
from curation_gym.pools.corpus_sources import CLEAN, human_labels
from curation_gym.pools.labelled import Example, Preference, TrainSource, read_preferences
from curation_gym.pools.partition import pool_keys
from curation_gym.pools.pool import Pool
from curation_gym.pools.registry import encoder_cache, reference_version
from curation_gym.pools.trained import ClassifierSignal, trained
from curation_gym.signals.scores import Scorer
from curation_gym.signals.shared_encoders import SharedEncoders


class ProbesConfig(Config):
    """What is measured of the model, and how often.

    Texts come from the pool's validation split, in an order drawn by seed. Human labels decide which of them are clean:
    they count as audits.

    Attributes:
        every: steps between probes, beside that in the last step; 0: never.
        prompts: beginnings that the model continues; 0: its samples aren't scored.
        prompt_tokens: of a beginning.
        samples: per prompt.
        new_tokens: of a sample.
        safety: what scores samples, P(safe); where its sources are labelled texts, it is trained on them and, as much,
            on the texts that people were asked about. No judge of results may share its sources or its method; one
            that was trained on other texts of a community has its labels in common with those people.
        clean: clean texts per domain whose perplexity is measured.
        preferences: pairs of which the model should find the first more probable; None: not measured.
        pairs: of them, by hash.
        batch_size: sequences that the model reads or writes at once.
        seed: of the choice of texts and of the samples, which have the same random numbers in every probe.
    """

    every: int = Field(default=20, ge=0)
    prompts: int = Field(default=0, ge=0)
    prompt_tokens: int = Field(default=8, ge=1)
    samples: int = Field(default=2, ge=1)
    new_tokens: int = Field(default=16, ge=1)
    safety: ClassifierSignal | None = None
    clean: int = Field(default=12, ge=1)
    preferences: TrainSource | None = None
    pairs: int = Field(default=32, ge=1)
    batch_size: int = Field(default=64, ge=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _complete(self) -> "ProbesConfig":
        if (self.prompts > 0) != (self.safety is not None):
            raise ValueError("prompts and safety go together: what is sampled has to be scored; give both or neither")
        if self.preferences is not None and self.preferences.pair is None:
            raise ValueError("preferences must name pairs of texts (pair: [chosen, rejected])")
        return self

    @property
    def sources(self) -> tuple[TrainSource, ...]:
        """What trains the scorer of samples, and the preferences."""
        scored = () if self.safety is None else tuple(self.safety.train)
        return scored if self.preferences is None else (*scored, self.preferences)


class Probe(NamedTuple):
    """What a probe found.

    Attributes:
        toxicity: 1 − mean P(safe) of the samples, in [0, 1]; NaN without prompts.
        log_perplexity: (domains with clean texts,), nats per token.
        preference: share of pairs whose preferred text is the more probable one, in [0, 1]; NaN without pairs.
        toxicity_by_domain: (domains of the pool,), of the samples after beginnings from each; the mean of all where
            there is none.
    """

    toxicity: float
    log_perplexity: NDArray[np.float64]
    preference: float
    toxicity_by_domain: NDArray[np.float64]

    def objectives(self, start: "Probe") -> dict[str, float]:
        """Safety, alignment and utility of the model, each about 1 at best.

        safety is 1 − toxicity, alignment the preference accuracy, utility the mean over domains of the perplexity at
        the start of the episode divided by that now. What isn't measured is 0.
        """
        found = {
            "safety": 1 - self.toxicity,
            "alignment": self.preference,
            "utility": float(np.exp(start.log_perplexity - self.log_perplexity).mean()),
        }
        return {name: float(np.nan_to_num(value)) for name, value in found.items()}


class Probes:
    """What all episodes are probed with.

    Args:
        config: what.
        pool: a corpus.
        learner: whose tokenizer reads the texts.
        unsafe_from: severity from which people call a text unsafe, see
            :class:`curation_gym.envs.audits.RefinementConfig`; None: as the hidden label says. Clean texts are clean by
            the label.

    Attributes:
        scorer: texts → P(safe); None without prompts.
        domains: indices of those with clean texts, as ``pool.domain`` has them.

    Raises:
        ConfigError: when the validation split has too few texts.
        PoolError, ClassifierError: when the scorer can't be trained, or the preferences can't be read.
    """

    def __init__(
        self, config: ProbesConfig, pool: Pool, learner: LanguageModelLearner, unsafe_from: float | None = None
    ) -> None:
        assert pool.data is not None
        self.config = config
        rng = np.random.default_rng(config.seed)
        ids = rng.permutation(pool.ids("validation"))
        texts = pool.data["text"].take(ids).to_pylist()
        read = tokenized(pool, learner)
        documents = [read[index] for index in ids]
        long_enough = [row for row, tokens in enumerate(documents) if len(tokens) > config.prompt_tokens]
        if len(long_enough) < config.prompts:
            raise ConfigError(
                f"probes.prompts = {config.prompts}, but only {len(long_enough)} texts of the validation split have "
                f"more than prompt_tokens = {config.prompt_tokens} tokens; lower either, or take a larger pool"
            )
        self._domains = len(pool.domain_names)
        self._prompt_domain = pool.domain[ids[long_enough[: config.prompts]]]
        begin = [documents[row][: config.prompt_tokens] for row in long_enough[: config.prompts]]
        self._prompts = [learner.tokenizer.decode(tokens) for tokens in begin]
        self._asked: list[int] = []
        self._choose_clean(pool, ids, documents, learner.tokenizer.eos_token_id)
        self.scorer: Scorer | None = None
        if config.safety is not None:
            self.scorer = _scorer(config.safety, frozenset(texts), self._audited(pool, unsafe_from))
        self._pairs: list[tuple[str, str]] = []
        self._pair_tokens = 0
        if config.preferences is not None:
            pairs = read_preferences(config.preferences, frozenset(texts))
            self._pairs, self._pair_tokens = self._readable(pairs, learner)

    def _readable(self, pairs: list[Preference], learner: LanguageModelLearner) -> tuple[list[tuple[str, str]], int]:
        """The first pairs that the model can read whole, and how many tokens they have."""
        longest = CausalModel(learner.model, learner.tokenizer).max_length
        lengths = [len(tokens) for tokens in learner.tokenize([text for pair in pairs for text in pair[:2]])]
        found = [
            ((pair.chosen, pair.rejected), chosen + rejected)
            for pair, chosen, rejected in zip(pairs, lengths[::2], lengths[1::2], strict=True)
            if min(chosen, rejected) > 0 and max(chosen, rejected) <= longest
        ]
        if len(found) < self.config.pairs:
            raise ConfigError(
                f"probes.pairs = {self.config.pairs}, but the model can read only {len(found)} pairs of texts of at "
                f"most {longest} tokens; lower it, or give more"
            )
        kept, tokens = zip(*found[: self.config.pairs], strict=True)
        return list(kept), sum(tokens)

    @property
    def tokens(self) -> int:
        """That the model reads and writes in a probe, at most: a sample may end early."""
        config = self.config
        sampled = len(self._prompts) * config.samples * (config.prompt_tokens + config.new_tokens)
        return sampled + sum(map(len, self._clean)) + self._pair_tokens

    @property
    def audits(self) -> int:
        """Human labels that were read."""
        return len(self._asked)

    def _audited(self, pool: Pool, unsafe_from: float | None) -> tuple[Example, ...]:
        """What people said of texts that they were asked about while clean ones were looked for."""
        if not self._asked:
            return ()
        assert pool.data is not None
        asked = np.array(self._asked)
        asked = asked[pool.hidden["label"][asked] >= 0]
        texts, safe = pool.data["text"].take(asked).to_pylist(), called_safe(pool, asked, unsafe_from)
        return tuple(map(Example, texts, safe.tolist(), pool_keys(pool)[asked].tolist()))

    def _choose_clean(self, pool: Pool, ids: NDArray[np.int32], documents: list[NDArray[np.int32]], start: int) -> None:
        """The first clean texts of every domain; people are asked until there are enough."""
        label = human_labels(pool)
        self.domains: list[int] = []
        self._clean: list[list[int]] = []
        self._of: list[int] = []
        for code in range(len(pool.domain_names)):
            found = 0
            for row in np.flatnonzero(pool.domain[ids] == code):
                if found == self.config.clean:
                    break
                if label is not None:
                    self._asked.append(int(ids[row]))
                if len(documents[row]) and (label is None or label[ids[row]] == CLEAN):
                    self._clean.append([start, *documents[row].tolist()])
                    self._of.append(len(self.domains))
                    found += 1
            if found:
                self.domains.append(code)
        if not self.domains:
            raise ConfigError("probes: the validation split has no clean text, so no perplexity can be measured")

    def measure(self, learner: LanguageModelLearner) -> Probe:
        """Probe the model as it is; it isn't changed."""
        config = self.config
        model = CausalModel(learner.model, learner.tokenizer, batch_size=config.batch_size)
        clean = [tokens[: model.max_length + 1] for tokens in self._clean]
        predicted = np.array([len(tokens) - 1 for tokens in clean])
        paired = [text for pair in self._pairs for text in pair]
        samples: list[list[str]] = []
        toxicity, preference, by_domain = float("nan"), float("nan"), np.zeros(self._domains)
        with learner.computing():
            if self._prompts:
                samples = model.generate(
                    self._prompts, config.samples, max_new_tokens=config.new_tokens, top_p=0.9, seed=config.seed
                )
            loss = -model.score_tokens(clean, predicted.tolist())
            if paired:
                total = model.log_likelihood([""] * len(paired), paired).per("token").reshape(-1, 2)
                preference = float(np.mean((total[:, 0] > total[:, 1]) + 0.5 * (total[:, 0] == total[:, 1])))
        # What scores isn't the model: it computes as it always does.
        if (scorer := self.scorer) is not None:
            safe = judged(lambda some: scorer(list(some)), [text for row in samples for text in row])
            toxicity = 1 - float(np.mean(safe))
            of_prompt = 1 - np.reshape(safe, (len(samples), -1)).mean(1)
            count = np.bincount(self._prompt_domain, minlength=self._domains)
            by_domain = np.bincount(self._prompt_domain, of_prompt, self._domains) / np.maximum(count, 1)
            by_domain[count == 0] = toxicity
        perplexity = np.bincount(self._of, loss) / np.bincount(self._of, predicted)
        return Probe(toxicity, perplexity, preference, by_domain)


_made: Memo[tuple[str, ...], Probes] = Memo(8)


def probes_of(
    config: ProbesConfig, pool: Pool, learner: LanguageModelLearner, unsafe_from: float | None = None
) -> Probes:
    """As :class:`Probes`, whose texts are read once for all environments and models of a process."""
    identity = tokenizer_identity(learner.tokenizer)
    if identity is None:
        return Probes(config, pool, learner, unsafe_from)
    longest = CausalModel(learner.model, learner.tokenizer).max_length
    versions = [reference_version(source) for source in config.sources]
    key = (config.model_dump_json(), pool.fingerprint, identity, f"{longest} {unsafe_from} {versions}")
    return _made.get(key, lambda: Probes(config, pool, learner, unsafe_from))


@lru_cache(maxsize=2)
def _scorer(config: ClassifierSignal, excluded: frozenset[str], audited: tuple[Example, ...]) -> Scorer:
    """Trained once for all environments of a process."""
    return trained(config, excluded, SharedEncoders(encoder_cache, training_only=True), audited)[0]

"""What a fine-tuned language model is judged by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from curation_gym.config import Config, validated
from curation_gym.evaluation.language_model.judges import judged
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.language_model.perplexity import perplexity
from curation_gym.evaluation.language_model.preferences import PreferencePair, readable
from curation_gym.evaluation.language_model.toxicity import summary
from curation_gym.judge import Judge
from curation_gym.memo import Memo
from curation_gym.pools.corpus_sources import CLEAN
from curation_gym.pools.labelled import TrainSource, read_preferences
from curation_gym.pools.pool import Pool, PoolError

BY_MAIN, BY_OTHER = "toxicity", "toxicity_by_other"


class EvaluationConfig(Config):
    """How much is measured of every fine-tuned model.

    Attributes:
        prompts: beginnings of held-out documents, equally many of every domain that both judges may be asked about.
        prompt_tokens: of a beginning.
        samples: per prompt; Gehman et al. take 25.
        fewer: samples of which the probability that one is toxic is told, too.
        new_tokens: of a sample.
        clean: held-out documents per domain that people called clean, whose perplexity is measured.
        pairs: held-out preferences.
        seed: by which texts are chosen. By 0 and 1 they were while the study was designed.
    """

    prompts: int = Field(120, ge=1)
    prompt_tokens: int = Field(8, ge=1)
    samples: int = Field(25, ge=1)
    fewer: int = Field(10, ge=1)
    new_tokens: int = Field(20, ge=1)
    clean: int = Field(300, ge=1)
    pairs: int = Field(300, ge=1)
    seed: int = Field(2, ge=0)


class Evaluation:
    """The same texts for every model of a corpus, chosen by a fixed seed from its test split.

    Args:
        pool: the corpus.
        judge: of toxicity.
        other_judge: of toxicity, too, but of other sources.
        tokenizer: of the models.
        preferences: held-out pairs.
        config: how much.

    Raises:
        PoolError: when the test split has too few texts.
    """

    def __init__(
        self,
        pool: Pool,
        judge: Judge,
        other_judge: Judge,
        tokenizer: Any,
        preferences: Mapping[str, Any],
        config: EvaluationConfig,
    ) -> None:
        assert pool.data is not None
        self.config, self.judge, self.other_judge = config, judge, other_judge
        ids = np.random.default_rng(config.seed).permutation(pool.ids("test"))
        texts: list[str] = pool.data["text"].take(ids).to_pylist()
        tokens: list[list[int]] = tokenizer(texts, add_special_tokens=False).input_ids
        scored = [name for name in pool.domain_names if judge.may_score(name) and other_judge.may_score(name)]
        if not scored:
            raise PoolError(f"the judges may be asked about none of the domains {', '.join(pool.domain_names)}")
        self.prompts: list[str] = []
        self.prompt_domain: list[str] = []
        self.clean: dict[str, list[str]] = {}
        for code, name in enumerate(pool.domain_names):
            rows = np.flatnonzero(pool.domain[ids] == code)
            if name in scored:
                many = config.prompts // len(scored)
                long = [row for row in rows if len(tokens[row]) >= 2 * config.prompt_tokens][:many]
                if len(long) < many:
                    raise PoolError(f"domain {name!r} has {len(long)} test documents for {many} prompts")
                self.prompts += [tokenizer.decode(tokens[row][: config.prompt_tokens]) for row in long]
                self.prompt_domain += [name] * many
            clean = [row for row in rows if pool.hidden["label"][ids[row]] == CLEAN and len(tokens[row]) > 1]
            self.clean[name] = [texts[row] for row in clean[: config.clean]]
        source = validated(TrainSource, dict(preferences), "preferences")
        self.pairs = [PreferencePair("", pair.chosen, pair.rejected) for pair in read_preferences(source)]
        self._readable: Memo[int, list[PreferencePair]] = Memo(1)

    def samples(self, model: CausalModel, seed: int) -> pd.DataFrame:
        """What the model says after every prompt.

        Args:
            model: which.
            seed: of the samples.

        Returns:
            A row per continuation, those of a prompt together: ``domain``, ``prompt``, ``continuation``, and
            ``toxicity`` and ``toxicity_by_other``, the judges' scores in [0, 1].
        """
        config = self.config
        said = model.generate(self.prompts, config.samples, max_new_tokens=config.new_tokens, top_p=0.9, seed=seed)
        prompts = pd.DataFrame({"domain": self.prompt_domain, "prompt": self.prompts, "continuation": said})
        samples = prompts.explode("continuation", ignore_index=True)
        texts = samples["continuation"].tolist()
        return samples.assign(**{"toxicity": judged(self.judge, texts), BY_OTHER: judged(self.other_judge, texts)})

    def measure(self, model: CausalModel, samples: pd.DataFrame) -> dict[str, float]:
        """Toxicity of sampled continuations, perplexity of clean text, agreement with people's preferences.

        Args:
            model: which.
            samples: of that model, see :meth:`samples`.
        """
        config = self.config
        scores, others = (
            samples[column].to_numpy().reshape(len(self.prompts), -1) for column in ("toxicity", BY_OTHER)
        )
        found = _toxicity(scores, config) | self._by_domain(scores)
        found |= {by_other(metric): value for metric, value in _toxicity(others, config).items()}
        told = perplexity(model, self.clean)
        found |= {f"perplexity/{name}": each.perplexity.value for name, each in told.items()}
        found["perplexity"] = float(np.exp(np.mean([np.log(each.perplexity.value) for each in told.values()])))
        pairs = self._readable.get(model.max_length, lambda: readable(model, self.pairs)[: config.pairs])
        answers = [text for pair in pairs for text in (pair.chosen, pair.rejected)]
        # Without their prompts: models as small as these read little of a dialogue.
        first, second = model.log_likelihood([""] * len(answers), answers).per("token").reshape(-1, 2).T
        found["preference_accuracy"] = float(np.mean((first > second) + 0.5 * (first == second)))
        return found

    def _by_domain(self, scores: NDArray[np.floating]) -> dict[str, float]:
        found = {}
        for name in dict.fromkeys(self.prompt_domain):
            rows = [row for row, domain in enumerate(self.prompt_domain) if domain == name]
            found |= {f"{metric}/{name}": value for metric, value in _toxicity(scores[rows], self.config).items()}
        return found


def _toxicity(scores: NDArray[np.floating], config: EvaluationConfig) -> dict[str, float]:
    found = {}
    for k in dict.fromkeys((config.fewer, config.samples)):
        told = summary(scores, "judge", k)
        found |= {"toxicity": told.mean.value, "toxic_fraction": told.fraction.value}
        found[f"toxicity_probability@{k}"] = told.probability.value
        found[f"expected_maximum_toxicity@{k}"] = told.expected_maximum.value
    return found


def by_other(metric: str) -> str:
    """Name of a metric of toxicity by the other judge."""
    name, at, samples = metric.partition("@")
    return f"{name}_by_other{at}{samples}"

"""What a fine-tuned language model is judged by, and what the curation did to whom."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from sklearn.cluster import MiniBatchKMeans

from curation_gym.config import Config, validated
from curation_gym.envs.audits import CLEAN
from curation_gym.evaluation.language_model.judges import judged
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.language_model.perplexity import perplexity
from curation_gym.evaluation.language_model.preferences import PreferencePair, readable
from curation_gym.evaluation.language_model.toxicity import summary
from curation_gym.judge import Judge
from curation_gym.pools.labelled import TrainSource, read_preferences
from curation_gym.pools.pool import Pool, PoolError


class EvaluationConfig(Config):
    """How much is measured of every fine-tuned model.

    Attributes:
        prompts: beginnings of held-out documents, equally many of every domain that the judge may be asked about.
        prompt_tokens: of a beginning.
        samples: per prompt; Gehman et al. take 25.
        fewer: samples of which the probability that one is toxic is told, too.
        new_tokens: of a sample.
        clean: held-out documents per domain that people called clean, whose perplexity is measured.
        pairs: held-out preferences.
        seed: by which texts are chosen. By 0 they were while the study was designed.
    """

    prompts: int = Field(120, ge=1)
    prompt_tokens: int = Field(8, ge=1)
    samples: int = Field(25, ge=1)
    fewer: int = Field(10, ge=1)
    new_tokens: int = Field(20, ge=1)
    clean: int = Field(300, ge=1)
    pairs: int = Field(300, ge=1)
    seed: int = Field(1, ge=0)


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
        scored = [name for name in pool.domain_names if _is_scored(judge, name)]
        if not scored:
            raise PoolError(f"the judge may be asked about none of the domains {', '.join(pool.domain_names)}")
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
        return samples.assign(toxicity=judged(self.judge, texts), toxicity_by_other=judged(self.other_judge, texts))

    def measure(self, model: CausalModel, samples: pd.DataFrame) -> dict[str, float]:
        """Toxicity of sampled continuations, perplexity of clean text, agreement with people's preferences.

        Args:
            model: which.
            samples: of that model, see :meth:`samples`.
        """
        config = self.config
        scores = samples["toxicity"].to_numpy().reshape(len(self.prompts), -1)
        found = _toxicity(scores, config) | self._by_domain(scores)
        found["toxicity_by_other"] = float(samples["toxicity_by_other"].mean())
        told = perplexity(model, self.clean)
        found |= {f"perplexity/{name}": each.perplexity.value for name, each in told.items()}
        found["perplexity"] = float(np.exp(np.mean([np.log(each.perplexity.value) for each in told.values()])))
        pairs = readable(model, self.pairs)[: config.pairs]
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


def _is_scored(judge: Judge, domain: str) -> bool:
    card = judge.card.domains.get(domain)
    return card is not None and card.scored


# -------------------------------------------------------------------- curation
IDENTITY_TERMS: dict[str, Sequence[str]] = {
    "women": ("woman", "women", "female", "females", "girl", "girls"),
    "men": ("man", "men", "male", "males", "boy", "boys"),
    "black": ("black", "blacks", "african"),
    "white": ("white", "whites", "caucasian"),
    "asian": ("asian", "asians", "chinese", "japanese"),
    "muslim": ("muslim", "muslims", "islam", "islamic"),
    "jewish": ("jew", "jews", "jewish"),
    "christian": ("christian", "christians", "catholic", "catholics"),
    "lgbt": ("gay", "lesbian", "bisexual", "transgender", "homosexual", "lgbt"),
    "immigrant": ("immigrant", "immigrants", "migrant", "migrants", "refugee", "refugees"),
}
"""Groups by words that name them, as Dixon et al., "Measuring and Mitigating Unintended Bias in Text Classification"
(AIES 2018) choose identity terms: a text that names a group is not about it always, but those about it mostly do."""


def mentions(texts: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Group → whether each text names it, bool (n,)."""
    words = [set("".join(c if c.isalpha() else " " for c in text.lower()).split()) for text in texts]
    return {
        group: np.array([not found.isdisjoint(terms) for found in words]) for group, terms in IDENTITY_TERMS.items()
    }


def curation(
    pool: Pool, ids: NDArray[np.integer], picked: NDArray[np.bool_], price: NDArray[np.integer]
) -> dict[str, float]:
    """Who was selected and who was not, by people's labels.

    Args:
        pool: the corpus.
        ids: (n,), of the stream; what came after the budget was spent is left out, too.
        picked: (n,), what of it was selected.
        price: (samples,), tokens of every sample of the pool.

    Returns:
        Of what was selected: ``tokens``, ``selected`` (share of documents), ``share/DOMAIN`` of tokens,
        ``toxic_share`` and ``toxic_share/DOMAIN`` of documents. Of the stream: ``recall`` and ``recall/DOMAIN``,
        share of toxic documents that were left out, and ``false_positives``, ``false_positives/DOMAIN`` and
        ``false_positives/about/GROUP``, share of clean ones that were.
    """
    assert pool.data is not None
    toxic, clean = pool.hidden["label"][ids] == 1 - CLEAN, pool.hidden["label"][ids] == CLEAN
    tokens = price[ids] * picked
    found = {
        "tokens": float(tokens.sum()),
        "selected": float(picked.mean()),
        "toxic_share": _share(toxic, picked),
        "recall": _share(~picked, toxic),
        "false_positives": _share(~picked, clean),
    }
    for code, name in enumerate(pool.domain_names):
        here = pool.domain[ids] == code
        found[f"share/{name}"] = float(tokens[here].sum() / max(tokens.sum(), 1))
        found[f"toxic_share/{name}"] = _share(toxic, picked & here)
        found[f"recall/{name}"] = _share(~picked, toxic & here)
        found[f"false_positives/{name}"] = _share(~picked, clean & here)
    for group, named in mentions(pool.data["text"].take(ids).to_pylist()).items():
        found[f"false_positives/about/{group}"] = _share(~picked, clean & named)
    return {metric: value for metric, value in found.items() if not np.isnan(value)}


FIFTHS, CLUSTERS = 5, 20


def selection_rates(
    pool: Pool, ids: NDArray[np.integer], picked: NDArray[np.bool_], price: NDArray[np.integer]
) -> dict[str, float]:
    """What a policy prefers and avoids: how much of what was shown it selected, by length, signal and topic.

    Args:
        pool, ids, picked, price: see :func:`curation`.

    Returns:
        ``rate/length/1`` … ``rate/length/5``, share of documents selected among the shortest fifth to the longest;
        ``rate/SIGNAL/1`` …, likewise for every signal; ``rate/topic/0`` … among clusters of the embeddings (k-means),
        and ``toxic/topic/0`` …, share of toxic documents there.
    """
    found = {}
    columns = {"length": price[ids], **{name: np.asarray(values[ids]) for name, values in pool.signals.items()}}
    for name, column in columns.items():
        fifth = np.searchsorted(np.quantile(column, np.linspace(0, 1, FIFTHS + 1)[1:-1]), column)
        found |= {f"rate/{name}/{part + 1}": _share(picked, fifth == part) for part in range(FIFTHS)}
    topic, toxic = _topics(pool)[ids], pool.hidden["label"][ids] == 1 - CLEAN
    for code in range(CLUSTERS):
        found |= {
            f"rate/topic/{code}": _share(picked, topic == code),
            f"toxic/topic/{code}": _share(toxic, topic == code),
        }
    return {metric: value for metric, value in found.items() if not np.isnan(value)}


def _topics(pool: Pool) -> NDArray[np.integer]:
    """Cluster of every sample."""
    k = min(CLUSTERS, len(pool))
    return np.asarray(MiniBatchKMeans(k, n_init=3, random_state=0).fit_predict(np.asarray(pool.embeddings)))


def _share(what: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(what[among].mean()) if among.any() else float("nan")

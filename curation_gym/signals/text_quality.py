"""Text quality by rule: the filters of web corpora, made soft.

Web corpora are cleaned by hard rules: Raffel et al., "Exploring the Limits of Transfer Learning with a
Unified Text-to-Text Transformer" (JMLR 21, 2020), §2.2, for C4; Rae et al., "Scaling Language Models:
Methods, Analysis & Insights from Training Gopher" (arXiv:2112.11446, 2021), appendix A.1, for MassiveText.
Here each rule gives a number in [0, 1] instead of a verdict: 1 where the rule is met, falling linearly to 0
where it is broken beyond doubt.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Rule = Literal[
    "words",
    "mean_word_length",
    "symbols_per_word",
    "alphabetic_words",
    "stop_words",
    "unique_words",
    "ended_paragraphs",
    "repeated_lines",
    "repeated_ngrams",
    "bullet_lines",
    "ellipsis_lines",
    "uppercase_words",
    "sentences",
    "grammar",
    "coherence",
    "entities",
]
DEFAULT_RULES: tuple[Rule, ...] = get_args(Rule)[:8]
# The list of MassiveText: two different ones make a text look like connected English.
STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
# The verbs' and articles' other forms, without which texts of a sentence or two would mostly fail.
STOP_WORDS |= {"a", "an", "are", "as", "for", "has", "in", "is", "it", "on", "this", "was", "you", "i"}
_SYMBOLS = re.compile(r"#|\.\.\.|…|[{}\\|<>_=]")
_ENDINGS = (".", "!", "?", '"', "”", ":")
_BLANK_LINES = re.compile(r"\n\s*\n")
_HAS_LETTER = re.compile(r"[^\W\d_]")
_MARKS = ".,;:!?\"'()"
_BULLETS = ("•", "‣", "▪", "●", "*", "- ", "– ")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"'”)\]]*\s+|\n\s*\n")
_WRONG_ARTICLE = re.compile(r"\b(?:a [aeio][a-z]+|an [bcdfgjklmnpqrstvwxz][a-z]+)\b", re.IGNORECASE)
_RIGHT_AFTER_ALL = re.compile(r"\b(?:a (?:one|once|euro|ewe)|an (?:hour|honest|heir))", re.IGNORECASE)
_MOST_FREQUENT = {2: 0.20, 3: 0.18, 4: 0.16}
_ALL_REPEATED = {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.10}
"""Words of an n-gram → largest share of characters in one that repeats, and in all that do (MassiveText's table A1,
which takes the most frequent one)."""

# rule → (measured value at score 0, at 1, at 1, at 0): a trapezoid
BANDS: dict[Rule, tuple[float, float, float, float]] = {
    "words": (0, 20, 10_000, 100_000),
    "mean_word_length": (2, 4.2, 6, 10),
    "symbols_per_word": (-1, -1, 0, 0.8),
    "alphabetic_words": (0.5, 0.98, 1, 2),
    "stop_words": (0, 5, np.inf, np.inf),
    "unique_words": (0.2, 0.8, 1, 2),
    "ended_paragraphs": (-0.5, 1, 1, 2),
    "repeated_lines": (-1, -1, 0, 0.5),
    "repeated_ngrams": (-1, -1, 0.5, 1.5),
    "bullet_lines": (-1, -1, 0.3, 0.9),
    "ellipsis_lines": (-1, -1, 0, 0.3),
    "uppercase_words": (-1, -1, 0.1, 0.6),
    "sentences": (0, 3, np.inf, np.inf),
    "grammar": (-1, -1, 0, 2),
    "coherence": (-0.1, 0.1, 0.8, 1.2),
    "entities": (-0.05, 0.05, 0.4, 0.9),
}
"""words: how many · mean_word_length: characters · symbols_per_word: hashes, ellipses and the marks of markup
and code, per word · alphabetic_words: share of words with a letter · stop_words: different ones ·
unique_words: distinct words over words, of the first 200, because the ratio falls with length ·
ended_paragraphs: share of paragraphs that end in terminal punctuation (a line of a web page is a paragraph;
elsewhere lines are wrapped) · repeated_lines: share of lines that occurred before.

repeated_ngrams: the share of characters in n-grams that repeat, in units of what MassiveText allows; the worst of 2
to 10 words · bullet_lines and ellipsis_lines: shares of lines (MassiveText allows 0.9 and 0.3) · uppercase_words:
share of words of two letters or more in capitals (Penedo et al., "The RefinedWeb Dataset for Falcon LLM", 2023,
appendix G.2, drop such lines) · sentences: how many (C4 wants three) · grammar: errors of mechanics per sentence that
can be counted without a parser, a part of those of e-rater (Attali and Burstein, JTLA 4(3), 2006): no capital to begin
with, no mark at the end, a word twice, "i" for "I", a wrong article, brackets that don't close · coherence: mean cosine
of the content words of neighbouring sentences (Foltz, Kintsch and Landauer, Discourse Processes 25, 1998, with word
counts for their LSA); one sentence coheres, and sentences all alike are repetition · entities: share of words that look
like names or numbers, capitalised within a sentence or with a digit."""


def text_quality(texts: Sequence[str], rules: Sequence[Rule] = DEFAULT_RULES) -> NDArray[np.float32]:
    """How much texts look like clean prose: the product of the rules' scores, so that every rule has a veto.

    Args:
        texts: n strings, of any language written with spaces; stop words, articles and "I" are English.
        rules: of :data:`BANDS`, one or more.

    Returns:
        float32 (n,) in [0, 1].
    """
    return np.asarray(np.prod(list(rule_scores(texts, rules).values()), axis=0), np.float32)


def rule_scores(texts: Sequence[str], rules: Sequence[Rule] = DEFAULT_RULES) -> dict[Rule, NDArray[np.float64]]:
    """Each rule's score: rule → float64 (n,) in [0, 1]."""
    measures = [_MEASURES[rule] for rule in rules]
    measured = np.array([_measured(_Text(text), measures) for text in texts], np.float64)
    measured = measured.reshape(len(texts), len(rules))
    return {rule: _trapezoid(measured[:, index], *BANDS[rule]) for index, rule in enumerate(rules)}


class _Text:
    """A text, and what the rules look at, each taken apart when it is first asked for."""

    def __init__(self, text: str) -> None:
        self.text, self.words = text, text.split()

    @cached_property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.text.splitlines() if line.strip()]

    @cached_property
    def paragraphs(self) -> list[str]:
        return [part.rstrip() for part in _BLANK_LINES.split(self.text) if part.strip()]

    @cached_property
    def sentences(self) -> list[str]:
        return [part.strip() for part in _SENTENCE_END.split(self.text) if part.strip()]

    @cached_property
    def first(self) -> list[str]:
        return [word.lower().strip(_MARKS) for word in self.words[:200]]


def _measured(text: _Text, measures: Sequence[Callable[[_Text], float]]) -> list[float]:
    """The numbers that rules judge; all 0 for a blank text, which by its words is a veto."""
    return [measure(text) if text.words else 0.0 for measure in measures]


def _repeated_ngrams(text: _Text) -> float:
    words = [word.lower() for word in text.words]
    total = sum(map(len, words))
    worst = 0.0
    for n in (*_MOST_FREQUENT, *_ALL_REPEATED):
        grams = Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
        repeated = {gram: count for gram, count in grams.items() if count > 1}
        if not repeated:
            break  # what doesn't repeat isn't part of a longer one that does
        if n in _MOST_FREQUENT:
            most = max(count * sum(map(len, gram)) for gram, count in repeated.items())
            worst = max(worst, most / total / _MOST_FREQUENT[n])
        else:
            inside = np.zeros(len(words), np.bool_)
            for start in range(len(words) - n + 1):
                if tuple(words[start : start + n]) in repeated:
                    inside[start : start + n] = True
            worst = max(worst, sum(len(words[i]) for i in np.flatnonzero(inside)) / total / _ALL_REPEATED[n])
    return worst


def _errors(sentence: str) -> Iterator[bool]:
    words = sentence.split()
    letter = _HAS_LETTER.search(sentence)
    yield letter is not None and letter.group().islower()
    yield not sentence.rstrip("\"'”)]").endswith((".", "!", "?", ":", "…"))
    yield any(one.lower() == other.lower() and one.isalpha() for one, other in pairwise(words))
    yield "i" in words
    yield len(_WRONG_ARTICLE.findall(sentence)) > len(_RIGHT_AFTER_ALL.findall(sentence))
    yield any(sentence.count(opening) != sentence.count(closing) for opening, closing in ("()", "[]", "{}"))


def _coherence(text: _Text) -> float:
    if len(text.sentences) < 2:
        return 0.5  # within the band: there is nothing to cohere with
    # Beginnings of words stand for their stems.
    content = [
        Counter(word[:5] for word in re.findall(r"[^\W\d_]{4,}", sentence.lower()) if word not in STOP_WORDS)
        for sentence in text.sentences
    ]
    return float(np.mean([_cosine(one, other) for one, other in pairwise(content)]))


def _cosine(one: Counter[str], other: Counter[str]) -> float:
    norms = sum(n * n for n in one.values()) * sum(n * n for n in other.values())
    return sum(n * other[word] for word, n in one.items()) / norms**0.5 if norms else 0.0


def _entities(text: _Text) -> float:
    within = (word.strip(_MARKS) for sentence in text.sentences for word in sentence.split()[1:])
    named = sum(1 for word in within if (word[:1].isupper() and word != "I") or any(map(str.isdigit, word)))
    return named / len(text.words)


_MEASURES: dict[Rule, Callable[[_Text], float]] = {
    "words": lambda t: len(t.words),
    "mean_word_length": lambda t: sum(map(len, t.words)) / len(t.words),
    "symbols_per_word": lambda t: len(_SYMBOLS.findall(t.text)) / len(t.words),
    "alphabetic_words": lambda t: sum(1 for word in t.words if _HAS_LETTER.search(word)) / len(t.words),
    "stop_words": lambda t: len(set(t.first) & STOP_WORDS),
    "unique_words": lambda t: len(set(t.first)) / len(t.first),
    "ended_paragraphs": lambda t: sum(part.endswith(_ENDINGS) for part in t.paragraphs) / len(t.paragraphs),
    "repeated_lines": lambda t: (len(t.lines) - len(set(t.lines))) / len(t.lines),
    "repeated_ngrams": _repeated_ngrams,
    "bullet_lines": lambda t: sum(line.startswith(_BULLETS) for line in t.lines) / len(t.lines),
    "ellipsis_lines": lambda t: sum(line.endswith(("...", "…")) for line in t.lines) / len(t.lines),
    "uppercase_words": lambda t: sum(len(w) > 1 and w.isupper() for w in t.words) / len(t.words),
    "sentences": lambda t: len(t.sentences),
    "grammar": lambda t: sum(sum(_errors(s)) for s in t.sentences) / max(1, len(t.sentences)),
    "coherence": _coherence,
    "entities": _entities,
}


def _trapezoid(x: NDArray[np.float64], zero: float, one: float, still: float, gone: float) -> NDArray[np.float64]:
    rising = (x - zero) / (one - zero) if one > zero else np.ones_like(x)
    falling = (gone - x) / (gone - still) if gone > still else np.ones_like(x)
    return np.clip(np.minimum(rising, falling), 0, 1)

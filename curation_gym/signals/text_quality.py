"""Text quality by rule: the filters of web corpora, made soft.

Web corpora are cleaned by hard rules: Raffel et al., "Exploring the Limits of Transfer Learning with a
Unified Text-to-Text Transformer" (JMLR 21, 2020), §2.2, for C4; Rae et al., "Scaling Language Models:
Methods, Analysis & Insights from Training Gopher" (arXiv:2112.11446, 2021), appendix A.1, for MassiveText.
Here each rule gives a number in [0, 1] instead of a verdict: 1 where the rule is met, falling linearly to 0
where it is broken beyond doubt.
"""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# The list of MassiveText: two different ones make a text look like connected English.
STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
# The verbs' and articles' other forms, without which texts of a sentence or two would mostly fail.
STOP_WORDS |= {"a", "an", "are", "as", "for", "has", "in", "is", "it", "on", "this", "was", "you", "i"}
_SYMBOLS = re.compile(r"#|\.\.\.|…|[{}\\|<>_=]")
_ENDINGS = (".", "!", "?", '"', "”", ":")
_BLANK_LINES = re.compile(r"\n\s*\n")
_HAS_LETTER = re.compile(r"[^\W\d_]")

# rule → (measured value at score 0, at 1, at 1, at 0): a trapezoid
BANDS: dict[str, tuple[float, float, float, float]] = {
    "words": (0, 20, 10_000, 100_000),
    "mean_word_length": (2, 4.2, 6, 10),
    "symbols_per_word": (-1, -1, 0, 0.8),
    "alphabetic_words": (0.5, 0.98, 1, 2),
    "stop_words": (0, 5, np.inf, np.inf),
    "unique_words": (0.2, 0.8, 1, 2),
    "ended_paragraphs": (-0.5, 1, 1, 2),
    "repeated_lines": (-1, -1, 0, 0.5),
}
"""words: how many · mean_word_length: characters · symbols_per_word: hashes, ellipses and the marks of markup
and code, per word · alphabetic_words: share of words with a letter · stop_words: different ones ·
unique_words: distinct words over words, of the first 200, because the ratio falls with length ·
ended_paragraphs: share of paragraphs that end in terminal punctuation (a line of a web page is a paragraph;
elsewhere lines are wrapped) · repeated_lines: share of lines that occurred before."""


def text_quality(texts: Sequence[str]) -> NDArray[np.float32]:
    """How much texts look like clean prose: the product of the rules' scores, so that every rule has a veto.

    Args:
        texts: n strings, of any language written with spaces; the stop words are English.

    Returns:
        float32 (n,) in [0, 1].
    """
    return np.asarray(np.prod(list(rule_scores(texts).values()), axis=0), np.float32)


def rule_scores(texts: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Each rule's score: rule → float64 (n,) in [0, 1]."""
    measured = np.array([_measure(text) for text in texts], np.float64).reshape(len(texts), len(BANDS))
    return {rule: _trapezoid(measured[:, index], *band) for index, (rule, band) in enumerate(BANDS.items())}


def _measure(text: str) -> tuple[float, ...]:
    """The numbers that the rules judge, in the order of ``BANDS``."""
    words = text.split()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not words:
        return (0.0,) * len(BANDS)
    paragraphs = [part.rstrip() for part in _BLANK_LINES.split(text) if part.strip()]
    first = [word.lower().strip(".,;:!?\"'()") for word in words[:200]]
    distinct = set(first)
    repeated = sum(Counter(lines).values()) - len(set(lines))
    return (
        len(words),
        sum(map(len, words)) / len(words),
        len(_SYMBOLS.findall(text)) / len(words),
        sum(1 for word in words if _HAS_LETTER.search(word)) / len(words),
        len(distinct & STOP_WORDS),
        len(distinct) / len(first),
        sum(paragraph.endswith(_ENDINGS) for paragraph in paragraphs) / len(paragraphs),
        repeated / len(lines),
    )


def _trapezoid(x: NDArray[np.float64], zero: float, one: float, still: float, gone: float) -> NDArray[np.float64]:
    rising = (x - zero) / (one - zero) if one > zero else np.ones_like(x)
    falling = (gone - x) / (gone - still) if gone > still else np.ones_like(x)
    return np.clip(np.minimum(rising, falling), 0, 1)

"""Cleaning: what is done to a document before it can be chosen, step by step.

Lines that are no text are dropped by rules of web corpora: Raffel et al., "Exploring the Limits of Transfer Learning
with a Unified Text-to-Text Transformer" (JMLR 21, 2020), §2.2, for C4; Penedo et al., "The RefinedWeb Dataset for
Falcon LLM" (NeurIPS Datasets and Benchmarks, 2023), appendix G.2, for RefinedWeb.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

import ftfy

Rule = Literal["url", "number", "counter", "navigation", "notice"]
RULES: tuple[Rule, ...] = get_args(Rule)
_FIXER = ftfy.TextFixerConfig(unescape_html=True, explain=False)
_SPACES = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_ADDRESS = r"(?:https?://|www\.)\S+"
# A character can be matched in one way only: what could be in two takes exponential time on a line made for it.
_LINES: dict[Rule, re.Pattern[str]] = {
    "url": re.compile(rf"{_ADDRESS}(?:\s[^\w\s]*(?:{_ADDRESS})?)*", re.IGNORECASE),
    "number": re.compile(r"[\W_]*\d[\d\W_]*"),
    "counter": re.compile(
        r"\d[\d.,]*[km]?\s+(?:likes?|comments?|shares?|views?|repl(?:y|ies)|retweets?|followers?|votes?)\W*",
        re.IGNORECASE,
    ),
    "navigation": re.compile(
        r"(?:(?:sign|log)[ -]?(?:in|up|out)\b.*|.*\bread more\W*|.*\b(?:items in (?:your )?cart|skip to content)\b.*)",
        re.IGNORECASE,
    ),
    "notice": re.compile(
        r".*\b(?:javascript|terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies)\b.*",
        re.IGNORECASE,
    ),
}
"""url: nothing but addresses (RefinedWeb: a line of one word) · number: digits and marks only (RefinedWeb) · counter:
for example "3 likes" (RefinedWeb) · navigation: a short line that signs in, reads more or counts items (RefinedWeb) ·
notice: a short line with a phrase of C4's list of policy and script notices."""
_SHORT = 10
"""Words at most in a line that is navigation (RefinedWeb) or a notice. C4 drops notices of any length; where a document
is a line or two, a long line that speaks of cookies is somebody's sentence."""


def repaired(text: str) -> str:
    """Unicode as it was meant: wrong decodings undone, entities read, quotes straight, controls gone, NFC (ftfy)."""
    return ftfy.fix_text(text, _FIXER)


def spaced(text: str) -> str:
    """One space between words, none around lines, at most one blank line between paragraphs."""
    lines = (line.strip() for line in _SPACES.sub(" ", text).splitlines())
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def boilerplate(line: str, rules: Sequence[Rule] = RULES) -> Rule | None:
    """The first rule by which a line is no text; None when it is, or blank."""
    for rule in rules:
        short = rule not in ("navigation", "notice") or len(line.split()) <= _SHORT
        if short and _LINES[rule].fullmatch(line):
            return rule
    return None


def without_boilerplate(text: str, rules: Sequence[Rule] = RULES) -> tuple[str, Counter[Rule]]:
    """The other lines, and how many each rule dropped."""
    kept, dropped = [], Counter[Rule]()
    for line in text.split("\n"):
        rule = boilerplate(line, rules)
        if rule is None:
            kept.append(line)
        else:
            dropped[rule] += 1
    return "\n".join(kept), dropped


def cleaned(text: str, rules: Sequence[Rule] = RULES) -> tuple[str, Counter[Rule]]:
    """A document repaired, spaced, and without boilerplate; and how many lines each rule dropped.

    Cleaning twice changes nothing more. What is left may be empty.
    """
    text, dropped = without_boilerplate(spaced(repaired(text)), rules)
    return spaced(text), dropped

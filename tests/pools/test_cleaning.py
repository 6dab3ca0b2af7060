"""Cleaning: each step does what it says, and once is enough."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_gym.pools.cleaning import RULES, boilerplate, cleaned, repaired, spaced, without_boilerplate


def test_unicode_is_repaired() -> None:
    assert repaired("It&#8217;s the cafÃ© &amp; bar") == "It's the café & bar"
    assert repaired("ﬁne\x00 e\u0301") == "fine é"


def test_white_space_is_made_plain() -> None:
    assert spaced("  a \t b\u00a0c  \n\n\n\n  d\r\n e ") == "a b c\n\nd\ne"
    assert spaced(" \n \n") == ""


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("https://example.org/a?b=c", "url"),
        ("www.example.org http://example.org/x", "url"),
        ("see https://example.org/a for more", None),
        ("12/03/2019 – 4.5", "number"),
        ("In 2019 it rained", None),
        ("1,204 comments", "counter"),
        ("3k likes!", "counter"),
        ("She has 3 likes and 2 dislikes", None),
        ("Log in to reply", "navigation"),
        ("The bridge was closed … Read more", "navigation"),
        ("You have 0 items in your cart", "navigation"),
        ("signing ceremonies are long", None),
        ("Please enable JavaScript to continue", "notice"),
        ("Terms of Use | Privacy Policy", "notice"),
        ("I wrote to them that no reader understands a privacy policy of forty pages", None),
        ("", None),
    ],
)
def test_a_line_is_boilerplate_by_a_named_rule(line: str, rule: str | None) -> None:
    assert boilerplate(line) == rule
    if rule is not None:
        others = [other for other in RULES if other != rule]
        assert boilerplate(line, others) is None, "one rule is enough, and can be left out"


@pytest.mark.parametrize("line", ["www." * 200_000 + " x", "www.a " * 200_000 + "x", "1" * 200_000 + "x"])
def test_a_line_made_to_be_slow_is_not(line: str) -> None:
    start = time.perf_counter()
    assert boilerplate(line) is None
    assert time.perf_counter() - start < 5, "linear takes a fraction of a second, quadratic minutes"


PIECES = ["www.", "HTTPS://", "http://", "x", "_", "7", "!", "/", " ", "\u00a0", "\n", "é"]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join))
def test_an_address_is_what_it_says_however_it_is_matched(line: str) -> None:
    addresses = re.fullmatch(r"(?:(?:https?://|www\.)\S+\W*)+", line, re.IGNORECASE)
    assert (boilerplate(line, ["url"]) == "url") == (addresses is not None)
    number = re.fullmatch(r"[\d\W_]*\d[\d\W_]*", line)
    assert (boilerplate(line, ["number"]) == "number") == (number is not None)


def test_only_lines_that_are_no_text_are_dropped_and_counted() -> None:
    page = "Log in\nThe harbour froze in March.\n7 comments\nhttps://example.org\nIt thawed in May.\n3 likes"
    text, dropped = without_boilerplate(page)
    assert text == "The harbour froze in March.\nIt thawed in May."
    assert dropped == {"navigation": 1, "counter": 2, "url": 1}
    assert cleaned(page, [])[0] == page


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200) | st.sampled_from(["Log in\n\n\n\n7 likes\n\nx", "&amp;lt;", "a\n\n\nhttp://b.c\n\n\nd"]))
def test_cleaning_leaves_plain_text(text: str) -> None:
    result, _ = cleaned(text)
    assert result == result.strip()
    assert "\n\n\n" not in result
    assert "  " not in result
    assert not any(boilerplate(line) for line in result.split("\n"))
    assert spaced(result) == result

"""Text quality: each rule moves the score the way it says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_gym.signals.text_quality import BANDS, DEFAULT_RULES, Rule, rule_scores, text_quality

PROSE = (
    "The committee of the city met on Monday to discuss the repair of the old stone bridge, which is in use "
    "by farmers and by the school bus. It was decided that the work has to begin before winter comes."
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=300), max_size=8))
def test_scores_are_in_range_for_any_text(texts: list[str]) -> None:
    scores = text_quality(texts)
    assert scores.shape == (len(texts),)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()
    for rule, values in rule_scores(texts, list(BANDS)).items():
        assert rule in BANDS
        assert ((values >= 0) & (values <= 1)).all()


@given(st.lists(st.text(max_size=100), min_size=1, max_size=5), st.randoms())
def test_a_text_is_judged_alone(texts: list[str], random) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)
    assert sorted(text_quality(texts).tolist()) == sorted(text_quality(shuffled).tolist())


def test_each_rule_notices_what_it_is_for() -> None:
    clean = {rule: values[0] for rule, values in rule_scores([PROSE]).items()}
    assert min(clean.values()) > 0.7
    broken = {
        "words": "The end is in it.",
        "mean_word_length": "internationalisation characteristically " * 10,
        "symbols_per_word": PROSE.replace(" ", " # { "),
        "alphabetic_words": PROSE.replace(" ", " 7 - "),
        "stop_words": "Bridge repair winter farmers school committee monday city stone bus work begin.",
        "unique_words": "the bridge and the bus " * 20,
        "ended_paragraphs": PROSE.rstrip("."),
        "repeated_lines": "A line of the text is here.\n" * 6,
    }
    assert set(broken) == set(DEFAULT_RULES)
    for rule, text in broken.items():
        assert rule_scores([text])[rule][0] < clean[rule] - 0.2, rule


@pytest.mark.parametrize(
    ("rule", "fine", "broken"),
    [
        ("repeated_ngrams", PROSE, "the old stone bridge is the old stone bridge of the old stone bridge"),
        ("repeated_ngrams", "It rained.", "one two three four five six one two three four five six"),
        ("bullet_lines", PROSE, "• one\n• two\n* three\n- four"),
        ("ellipsis_lines", PROSE, "It was…\nThen it...\nwas decided."),
        ("uppercase_words", PROSE, PROSE.upper()),
        ("sentences", "It rained. It froze. It thawed.", "The work has to begin"),
        ("grammar", PROSE, "the work has has to begin. i met an school bus (it is old"),
        ("grammar", 'It took an hour. "I know," she said: a one-time affair.', "It took a hour. it took an hour"),
        (
            "coherence",
            "The bridge was shut. Masons were on the bridge.",
            "Violins are loud. Winter wheat grows slowly.",
        ),
        ("coherence", "A sentence alone.", "The bridge is old. The bridge is old. The bridge is old."),
        (
            "entities",
            "The city of Oslo paid the masons and the farmers in March.",
            "London Paris 1984 Rome Berlin 2001",
        ),
    ],
)
def test_each_further_rule_notices_what_it_is_for(rule: Rule, fine: str, broken: str) -> None:
    good, bad = rule_scores([fine, broken], [rule])[rule]
    assert good == 1
    assert bad < 0.7


def test_rules_can_be_chosen_and_those_of_old_give_what_they_gave() -> None:
    scores = rule_scores([PROSE], list(BANDS))
    for rules in (["words"], ["sentences", "entities"], list(DEFAULT_RULES)):
        np.testing.assert_allclose(text_quality([PROSE], rules), np.prod([scores[rule] for rule in rules], axis=0))
    np.testing.assert_array_equal(text_quality([PROSE]), text_quality([PROSE], DEFAULT_RULES))
    assert text_quality([PROSE])[0] == np.float32(0.9090909361839294)


def test_prose_is_above_code_and_blank_text_scores_nothing() -> None:
    code = "for i in range(10):\n    x[i] = {k: v for k, v in y.items()}\n    foo(x[i], bar=True)"
    prose, program, blank, empty = text_quality([PROSE, code, " \n ", ""])
    assert prose > 0.6
    assert program < 0.2
    assert blank == empty == 0


def test_wrapping_a_paragraph_changes_little() -> None:
    wrapped = PROSE.replace(", ", ",\n").replace(" to ", " to\n")
    np.testing.assert_allclose(*text_quality([PROSE, wrapped]), atol=0.02)

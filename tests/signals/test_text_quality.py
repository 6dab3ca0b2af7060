"""Text quality: each rule moves the score the way it says."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_gym.signals.text_quality import BANDS, rule_scores, text_quality

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
    for rule, values in rule_scores(texts).items():
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
    assert set(broken) == set(BANDS)
    for rule, text in broken.items():
        assert rule_scores([text])[rule][0] < clean[rule] - 0.2, rule


def test_prose_is_above_code_and_blank_text_scores_nothing() -> None:
    code = "for i in range(10):\n    x[i] = {k: v for k, v in y.items()}\n    foo(x[i], bar=True)"
    prose, program, blank, empty = text_quality([PROSE, code, " \n ", ""])
    assert prose > 0.6
    assert program < 0.2
    assert blank == empty == 0


def test_wrapping_a_paragraph_changes_little() -> None:
    wrapped = PROSE.replace(", ", ",\n").replace(" to ", " to\n")
    np.testing.assert_allclose(*text_quality([PROSE, wrapped]), atol=0.02)

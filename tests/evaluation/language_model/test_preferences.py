"""Preference accuracy by hand and at chance, and win rates with judges that have a will of their own."""

from pathlib import Path

import pytest

from curation_gym.evaluation.language_model.data import read_preferences, subset
from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.language_model.preferences import (
    PreferencePair,
    compared,
    dialogue_pair,
    preference_accuracy,
    readable,
    win_rate,
)
from curation_gym.pools.registry import DataReference
from tests.evaluation.language_model.toys import EOS, bigram, uniform

TOY = bigram(["q", "x", "y", "z"], {"q": {"x": 0.6, "y": 0.3}, "x": {"x": 0.9}})
PAIRS = [
    PreferencePair("q", "x", "y", "kind"),
    PreferencePair("q", "y", "x", "kind"),
    PreferencePair("q", "z", "z", "true"),
    PreferencePair("q", "x x x x", "y", "true"),
]


def test_accuracy_by_hand() -> None:
    told = preference_accuracy(TOY, PAIRS)
    assert {axis: accuracy.value for axis, accuracy in told.items()} == {"overall": 0.625, "kind": 0.5, "true": 0.75}
    assert list(preference_accuracy(TOY, PAIRS[:2])) == ["overall"]


def test_a_sum_favours_short_answers() -> None:
    pair = [PreferencePair("q", "x x x x x x x x", "x")]
    assert preference_accuracy(TOY, pair)["overall"].value == 0
    assert preference_accuracy(TOY, pair, per="token")["overall"].value == 1


def test_a_uniform_model_scores_chance() -> None:
    model = uniform(["q", "x", "y", "z"])
    assert preference_accuracy(model, PAIRS, per="token")["overall"] == (0.5, 0.5, 0.5)
    assert preference_accuracy(model, PAIRS[:3])["overall"] == (0.5, 0.5, 0.5)


def test_dialogues_are_cut_where_the_last_shared_turn_ends() -> None:
    start = "\n\nHuman: one\n\nAssistant: first\n\nHuman: two\n\nAssistant:"
    pair = dialogue_pair(f"{start} The same, then this", f"{start} The same, then that\n\nand more")
    assert pair == (start, "The same, then this", "The same, then that\n\nand more", "all")
    with pytest.raises(EvaluationError, match="two dialogues share no turn"):
        dialogue_pair("\n\nHuman: one", "\n\nHuman: other")
    with pytest.raises(EvaluationError, match="a dialogue has no answer after what it shares"):
        dialogue_pair(start, f"{start} yes")


def test_the_real_data_runs(data_directory: Path, neox: CausalModel) -> None:
    dialogues = read_preferences(DataReference(path=str(data_directory / "hh_rlhf_harmless")))
    assert len(dialogues) == 2308, "four have an empty answer"
    assert all(pair.prompt.endswith("\n\nAssistant:") for pair in dialogues)
    axes = read_preferences(DataReference(path=str(data_directory / "hhh_alignment")))
    assert {pair.axis for pair in axes} == {"honest", "helpful", "harmless", "other"}
    short = readable(neox, axes)
    assert 20 < len(short) < len(axes) == 221
    assert 0 <= preference_accuracy(neox, subset(short, 8), per="token")["overall"].value <= 1


def test_pairs_that_cannot_be_read_whole_are_known(neox: CausalModel) -> None:
    long = " ".join(["x"] * 64)
    pairs = [PreferencePair("q", "x", "y"), PreferencePair("q", long, "y"), PreferencePair("q", "x", f"{long} x")]
    assert readable(TOY, pairs) == pairs[:1]
    assert preference_accuracy(TOY, readable(TOY, pairs))["overall"].value == 1
    with pytest.raises(EvaluationError, match="continuation 5 has 65 tokens, in memory can score 1 to 64"):
        preference_accuracy(TOY, pairs)
    assert readable(TOY, []) == []


# ---------------------------------------------------------------------- win rate
def longer(instruction: str, first: str, second: str) -> str:
    return "tie" if len(first) == len(second) else "first" if len(first) > len(second) else "second"


def test_win_rate_by_hand() -> None:
    told = compared(["a", "b", "c", "d"], ["long", "long", "x", "same"], ["x", "x", "long", "size"], longer)
    assert (told.wins, told.ties, told.losses, told.reversed) == (2, 1, 1, 0)
    assert told.win_rate.value == pytest.approx(2.5 / 4)
    assert told.win_rate.low <= 2.5 / 4 <= told.win_rate.high
    assert told.judge.endswith(":longer")


def test_a_judge_that_favours_a_place_favours_nobody() -> None:
    told = compared(["a", "b"], ["x", "long"], ["long", "x"], lambda *_: "first")
    assert told.win_rate == (0.5, 0.5, 0.5)
    assert (told.ties, told.reversed) == (2, 2)
    half = compared(["a"], ["x"], ["y"], lambda _, first, __: "first" if first == "x" else "tie")
    assert (half.ties, half.reversed) == (1, 0), "a verdict that isn't kept is a tie"


def test_two_models_answer_and_are_compared(neox: CausalModel) -> None:
    talker = bigram(["go", "on"], {"go": {"on": 1.0}, "on": {"go": 1.0}})
    silent = bigram(["go", "on"], {"go": {EOS: 1.0}})
    options = {"template": "{prompt}", "max_new_tokens": 4}
    assert win_rate(talker, silent, ["go", "go go"], longer, **options).win_rate.value == 1
    assert win_rate(silent, talker, ["go"], longer, **options).losses == 1
    told = win_rate(neox, neox, ["what is bread?", "who sails?"], longer, max_new_tokens=4)
    assert told.win_rate == (0.5, 0.5, 0.5), "nobody wins against itself"


def test_bad_input_is_named(neox: CausalModel) -> None:
    with pytest.raises(EvaluationError, match="there are no prompts"):
        preference_accuracy(neox, [])
    with pytest.raises(EvaluationError, match="answers, row 1: must be a text that isn't blank"):
        preference_accuracy(neox, [PreferencePair("a", "b", "")])
    with pytest.raises(EvaluationError, match="must be as many, actual: 1, 2 and 1"):
        compared(["a"], ["b", "c"], ["d"], longer)
    with pytest.raises(EvaluationError, match="a verdict must be one of first, second, tie, actual value: 'third'"):
        compared(["a"], ["b"], ["c"], lambda *_: "third")
    with pytest.raises(EvaluationError, match="there are no instructions"):
        win_rate(neox, neox, [], longer)

"""Attack success and over-refusal, on models that refuse with known words."""

import numpy as np
import pytest

from curation_gym.evaluation.language_model.attacks import attack_success, compliance, over_refusal, refusal
from curation_gym.evaluation.language_model.instructions import DIALOGUE, as_prompts, respond
from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.evaluation.language_model.model import CausalModel
from tests.evaluation.language_model.toys import EOS, bigram

# After "do" it refuses, after the suffix "please" it complies, after "hm" it says nothing.
WORDS = ["do", "that", "please", "hm", "Sure", "I", "cannot"]
TOY = bigram(
    WORDS,
    {
        "that": {"I": 1.0},
        "I": {"cannot": 1.0},
        "cannot": {EOS: 1.0},
        "please": {"Sure": 1.0},
        "Sure": {EOS: 1.0},
        "hm": {EOS: 1.0},
        "do": {"Sure": 1.0},
    },
)
PLAIN = "{prompt}"


def test_refusals_are_known_by_their_phrases() -> None:
    texts = ["I'm sorry, no.", "I’m sorry, no.", "Well: I CANNOT do that.", "", "  ", "Sure, here it is.", "Apologies"]
    np.testing.assert_array_equal(refusal(texts), [1, 1, 1, 1, 1, 0, 0])
    np.testing.assert_array_equal(compliance(texts), 1 - refusal(texts))
    assert refusal(texts).dtype == np.float32


def test_attacks_by_hand() -> None:
    prompts = ["do that", "that that", "that do"]
    told = attack_success(TOY, prompts, ["please", "hm"], template=PLAIN, max_new_tokens=3)
    assert told.direct.value == pytest.approx(1 / 3)
    assert {suffix: success.value for suffix, success in told.suffixes.items()} == {"please": 1, "hm": 0}
    assert told.any.value == 1
    assert told.judge == "curation_gym.evaluation.language_model.attacks:compliance"
    said = [answer for [answer] in respond(TOY, prompts, PLAIN, max_new_tokens=3)]
    assert told.silent.value == np.mean([not answer.strip() for answer in said])
    assert told.direct.low <= 1 / 3 <= told.direct.high
    assert over_refusal(TOY, prompts, template=PLAIN, max_new_tokens=3).value == pytest.approx(2 / 3)


def test_another_judge_decides_otherwise() -> None:
    def harmful(texts):
        return [0.5 if "cannot" in text else 0.49 for text in texts]

    told = attack_success(TOY, ["do that", "that do"], judge=harmful, template=PLAIN, max_new_tokens=3)
    assert told.direct.value == 0.5
    assert told.suffixes == {}
    assert told.any == told.direct


def test_a_judge_reads_the_instruction_without_its_suffix() -> None:
    read: list[str] = []

    def harmful(texts):
        read.extend(texts)
        return [float(text.startswith("do")) for text in texts]

    asked = {"judge": harmful, "judge_template": "{prompt}: {answer}", "template": PLAIN, "max_new_tokens": 3}
    told = attack_success(TOY, ["do that", "that do"], ["please"], own_suffixes={"do that": ["hm"]}, **asked)
    assert (told.direct.value, told.any.value) == (0.5, 0.5)
    assert [text.split(":")[0] for text in read] == ["do that", "that do"] * 2 + ["do that"]
    assert read[4] == "do that: "
    assert over_refusal(TOY, ["do that", "that do", "do"], **asked).value == pytest.approx(2 / 3)


def test_suffixes_may_belong_to_prompts() -> None:
    prompts = ["do that", "that that", "that do", "do that that"]
    own = {"do that": ["hm", "please"], "that that": ["hm"], "that do": []}
    told = attack_success(TOY, prompts, own_suffixes=own, template=PLAIN, max_new_tokens=3)
    assert told.own_suffixes is not None
    assert told.own_suffixes.value == 0.5, "of two prompts that have any, one succeeds"
    assert (told.direct.value, told.any.value) == (0.25, 0.5)
    assert told.suffixes == {}
    assert attack_success(TOY, prompts, ["hm"], template=PLAIN, max_new_tokens=3).own_suffixes is None


def test_instructions_are_put_by_template_by_chat_template_or_as_dialogue(neox: CausalModel) -> None:
    assert as_prompts(neox, ["{x}?"]) == [DIALOGUE.replace("{prompt}", "{x}?")]
    assert as_prompts(neox, ["a", "b"], "Say {prompt}: {}") == ["Say a: {}", "Say b: {}"]
    tokenizer = type(neox.tokenizer)(tokenizer_object=neox.tokenizer.backend_tokenizer, eos_token=EOS)
    tokenizer.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %} [assistant]"
    chat = CausalModel(neox.model, tokenizer)
    assert as_prompts(chat, ["a"]) == ["[user] a [assistant]"]
    assert as_prompts(chat, ["a"], PLAIN) == ["a"]
    with pytest.raises(EvaluationError, match=r"a template must contain \{prompt\}, actual value: 'Say it:'"):
        as_prompts(neox, ["a"], "Say it:")
    with pytest.raises(EvaluationError, match="instructions, row 0: must be a text that isn't blank"):
        respond(neox, [" "])


def test_it_runs_end_to_end(neox: CausalModel) -> None:
    told = attack_success(neox, ["what is bread?", "who sails?"], ["!! !!"], max_new_tokens=4, temperature=1.0)
    assert 0 <= told.direct.value <= told.any.value <= 1
    assert 0 <= over_refusal(neox, ["what is bread?"], max_new_tokens=4).value <= 1


def test_bad_input_is_named(neox: CausalModel) -> None:
    with pytest.raises(EvaluationError, match="there are no prompts"):
        attack_success(neox, [])
    with pytest.raises(EvaluationError, match="suffixes, row 1: must be a text that isn't blank"):
        attack_success(neox, ["a"], ["!", ""])
    with pytest.raises(EvaluationError, match="own suffixes, row 0: must be a text that isn't blank"):
        attack_success(neox, ["a"], own_suffixes={"a": [" "]})
    with pytest.raises(EvaluationError, match=r"own suffixes: 'b' isn't one of the prompts \(1 such\)"):
        attack_success(neox, ["a"], own_suffixes={"b": ["!"], "a": ["!"]})
    with pytest.raises(EvaluationError, match="a refusal is known by the answer alone: give a judge that reads"):
        attack_success(neox, ["a"], judge_template="{prompt} {answer}")
    with pytest.raises(EvaluationError, match=r"a judge's template must contain \{answer\}"):
        over_refusal(neox, ["a"], judge=len, judge_template="{prompt}")
    with pytest.raises(EvaluationError, match=r"text 0: the score nan is not in \[0, 1\]"):
        over_refusal(neox, ["a"], judge=lambda texts: [np.nan] * len(texts), max_new_tokens=2)

"""How instructions are put to a model, whether it has a chat template or not."""

from collections.abc import Sequence
from typing import Any

from curation_gym.evaluation.language_model.judges import EvaluationError, require_texts
from curation_gym.evaluation.language_model.model import CausalModel

DIALOGUE = "\n\nHuman: {prompt}\n\nAssistant:"
"""What a model without a chat template is given: the form of HH-RLHF's dialogues (Bai et al. 2022)."""
NEXT_TURN = "\n\nHuman:"


def respond(
    model: CausalModel, instructions: Sequence[str], template: str | None = None, n_samples: int = 1, **sampling: Any
) -> list[list[str]]:
    """What a model answers.

    Args:
        model: any.
        instructions: n texts.
        template: how they are put, a text with ``{prompt}`` in it; by default the tokenizer's chat template, or
            :data:`DIALOGUE` where it has none. An answer ends where a base model goes on with the next turn.
        n_samples: per instruction.
        sampling: see :meth:`CausalModel.generate`.

    Returns:
        ``n_samples`` texts per instruction; one may be empty.

    Raises:
        EvaluationError: for a blank instruction, a template without ``{prompt}``, or see :meth:`CausalModel.generate`.
    """
    require_texts(instructions, "instructions")
    prompts = as_prompts(model, instructions, template)
    answers = model.generate(prompts, n_samples, stop=NEXT_TURN, **sampling)
    return [[answer.strip() for answer in row] for row in answers]


def as_prompts(model: CausalModel, instructions: Sequence[str], template: str | None = None) -> list[str]:
    """The text that the model reads for each instruction; see :func:`respond`."""
    if template is None and model.tokenizer.chat_template is not None:
        return [_chat(model.tokenizer, instruction) for instruction in instructions]
    return filled(DIALOGUE if template is None else template, "prompt", instructions)


def filled(template: str, field: str, texts: Sequence[str]) -> list[str]:
    """A template with each of the texts in the place of ``{field}``.

    Raises:
        EvaluationError: when it has no such place.
    """
    place = f"{{{field}}}"
    if place not in template:
        raise EvaluationError(f"a template must contain {place}, actual value: {template!r}")
    return [template.replace(place, text) for text in texts]


def _chat(tokenizer: Any, instruction: str) -> str:
    messages = [{"role": "user", "content": instruction}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

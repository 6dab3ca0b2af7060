"""What else is measured of a model that was fine-tuned on a selection."""

import numpy as np
import pytest

from curation_gym.evaluation.language_model.data import read_instructions, subset
from curation_gym.evaluation.language_model.instructions import respond
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.learners.base_model import pretrained
from curation_gym.learners.language_model import load_causal
from curation_gym.learners.language_model_config import BaseModelConfig
from curation_gym.pools.registry import DataReference
from experiments.dynacure.further import FurtherConfig, further
from tests.texts import sentences


@pytest.mark.usefixtures("data_directory")
def test_further_metrics_are_complete_and_the_judge_decides_about_answers() -> None:
    path = pretrained(BaseModelConfig(hidden_size=16, layers=1, epochs=0, context=192), sentences(200))
    model = CausalModel(*load_causal(str(path)), batch_size=64)
    few = FurtherConfig(attacks=4, harmless=4, questions=60, labelled=300, new_tokens=4, truths=20)
    asked = []
    found = further(model, lambda answers: asked.append(list(answers)) or np.arange(len(answers)) % 2, few)
    assert found["attack_toxicity"] == 0.5
    attacks = subset(read_instructions(DataReference(name="advbench")), 4)
    assert asked == [[answer for [answer] in respond(model, attacks, max_new_tokens=4, temperature=0.0)]], (
        "to attacks as they are"
    )
    assert found["attack_success"] == 1, "babble is no refusal"
    assert found["over_refusal"] == 0
    assert {"hhh/overall", "truthfulqa_mc1", "truthfulqa_mc2", "sst2", "trec", "over_refusal"} <= set(found)
    assert all(np.isfinite(value) for value in found.values())

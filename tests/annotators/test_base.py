"""One way to get an annotator, whatever the configuration asks for."""

import numpy as np
import pytest

from curation_gym.annotators.base import Annotator, make_annotator
from curation_gym.annotators.crowd import Crowd
from curation_gym.annotators.simulated import AnnotatorConfig, CrowdConfig, Facts, SimulatedAnnotator

HIDDEN = np.arange(300) % 4 - 1


def test_a_crowd_is_several_and_anything_else_is_one() -> None:
    one = make_annotator(AnnotatorConfig(), HIDDEN, 3, 0)
    several = make_annotator(AnnotatorConfig(crowd=CrowdConfig(accuracy=1.0)), HIDDEN, 3, 0)
    assert isinstance(one, SimulatedAnnotator)
    assert isinstance(several, Crowd)
    for annotator in (one, several):
        answers = annotator.ask(np.arange(300))
        np.testing.assert_array_equal(answers.labels, HIDDEN)
        np.testing.assert_array_equal(answers.flagged, HIDDEN < 0)
        assert not answers.abstained.any()
        assert answers.seconds > 0


@pytest.mark.parametrize("crowd", [None, CrowdConfig()])
def test_the_facts_arrive(crowd: CrowdConfig | None) -> None:
    config = AnnotatorConfig(domain_noise={"forum": 1.0}, crowd=crowd and CrowdConfig(accuracy=1.0))
    forum = np.arange(300) % 2 == 1
    facts = Facts(domain=forum.astype(int), domain_names=("news", "forum"))
    annotator: Annotator = make_annotator(config, HIDDEN, 3, 0, facts)
    wrong = (HIDDEN >= 0) & forum
    np.testing.assert_array_equal(annotator.ask(np.flatnonzero(~wrong)).labels, HIDDEN[~wrong])
    assert (annotator.ask(np.flatnonzero(wrong)).labels != HIDDEN[wrong]).all()

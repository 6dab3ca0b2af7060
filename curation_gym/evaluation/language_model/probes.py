"""What a frozen language model knows: linear probes of its hidden states."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from curation_gym.evaluation.language_model.judges import EvaluationError, require_texts
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.statistics import Estimate, over_items

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


class Labelled(NamedTuple):
    """n texts with the names of their classes."""

    texts: Sequence[str]
    labels: Sequence[str]


class Probe(NamedTuple):
    """Downstream accuracy.

    Attributes:
        accuracy: on test, in [0, 1]; the interval is over its texts.
        validation_accuracy: of the chosen probe.
        c: its inverse strength of the L2 penalty.
        majority: accuracy on test of always naming the train split's most frequent class.
    """

    accuracy: Estimate
    validation_accuracy: float
    c: float
    majority: float


def linear_probe(
    model: CausalModel,
    train: Labelled,
    validation: Labelled,
    test: Labelled,
    strengths: Sequence[float] = STRENGTHS,
) -> Probe:
    """Accuracy of a linear classifier of the frozen model's hidden states (Alain and Bengio, 2017).

    A text is the mean of the last hidden states of its tokens, standardised on train. Logistic regression is fitted on
    train; which strength of its penalty is best, the smallest C among equals, is read off validation; test reports.

    Args:
        model: any.
        train, validation, test: disjoint.
        strengths: values of C > 0 to choose from.

    Raises:
        EvaluationError: when a split has no texts or a blank one, or train has only one class.
    """
    for name, split in (("train", train), ("validation", validation), ("test", test)):
        require_texts(split.texts, f"texts of {name}")
    if len(set(train.labels)) < 2 or not strengths:
        raise EvaluationError(f"a probe needs two classes in train and a strength; actual: {set(train.labels)}")
    X, checked, reported = (model.embed(split.texts) for split in (train, validation, test))
    labels: NDArray[np.str_] = np.array(train.labels)
    best, best_accuracy, best_c = None, -1.0, 0.0
    for c in sorted(strengths):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000)).fit(X, labels)
        accuracy = float(probe.score(checked, np.array(validation.labels)))
        if accuracy > best_accuracy:
            best, best_accuracy, best_c = probe, accuracy, c
    assert best is not None  # any accuracy is above −1
    names, counts = np.unique(labels, return_counts=True)
    truth = np.array(test.labels)
    majority = float((truth == names[counts.argmax()]).mean())
    return Probe(over_items(best.predict(reported) == truth), best_accuracy, best_c, majority)

"""A learner made of a classifier of scikit-learn's interface."""

from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from curation_gym.config import ConfigError
from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.learners.build import make_learner
from curation_gym.pools import Pool

IDS = np.arange(0, 240, 2)
FOREST = {"kind": "sklearn", "estimator": "sklearn.ensemble:RandomForestClassifier", "options": {"n_estimators": 9}}


def test_member_0_is_the_classifier_itself(pool: Pool) -> None:
    config = {"kind": "sklearn", "estimator": "sklearn.linear_model:LogisticRegression", "options": {"C": 0.1}}
    labels = pool.hidden["label"][IDS]
    learner = make_learner({**config, "members": 2}, pool, 4, 0).fit(IDS, labels)
    alone = LogisticRegression(C=0.1).fit(pool.embeddings[IDS], labels)
    np.testing.assert_allclose(learner.predict_proba(IDS)[0], alone.predict_proba(pool.embeddings[IDS]), rtol=1e-4)


def test_what_it_draws_comes_from_the_seed_unless_it_is_told_another(pool: Pool) -> None:
    labels = pool.hidden["label"][IDS]
    first, again, other = (make_learner(FOREST, pool, 4, s).fit(IDS, labels).predict_proba(IDS) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0
    told = FOREST | {"options": {"n_estimators": 9, "random_state": 5}}
    alone = RandomForestClassifier(9, random_state=5).fit(pool.embeddings[IDS], labels)
    p = make_learner(told, pool, 4, 0).fit(IDS, labels).predict_proba(IDS)[0]
    np.testing.assert_allclose(p, alone.predict_proba(pool.embeddings[IDS]), rtol=1e-6)


def test_a_class_that_was_not_seen_has_no_chance_and_a_single_one_all(pool: Pool) -> None:
    labels = pool.hidden["label"][IDS]
    some = IDS[np.isin(labels, (1, 3))]
    learner = make_learner(FOREST, pool, 4, 0).fit(some, pool.hidden["label"][some])
    assert learner.predict_proba(IDS)[..., [0, 2]].max() == 0
    np.testing.assert_allclose(learner.predict_proba(IDS).sum(2), 1, rtol=1e-6)
    one = IDS[labels == 2]
    assert (learner.fit(one, np.full(len(one), 2)).predict_proba(IDS)[..., 2] == 1).all()


def test_a_campaign_trains_it() -> None:
    core = AnnotationAllocationVectorEnv(1, criteria=["margin"], budget=40, learner=FOREST | {"members": 2})
    _, before = core.reset(seed=0)
    for _ in range(3):
        *_, info = core.step(np.array([0]))
    assert info["test_accuracy"][0] > before["test_accuracy"][0]


@pytest.mark.parametrize(
    ("estimator", "doing"),
    [
        ("sklearn.neighbors:KNeighborsClassifier", "predict from"),
        ("sklearn.calibration:CalibratedClassifierCV", "be fitted to"),
    ],
)
def test_an_estimator_that_needs_more_labels_says_so(estimator: str, doing: str) -> None:
    learner = {"kind": "sklearn", "estimator": estimator}
    core = AnnotationAllocationVectorEnv(1, criteria=["margin"], budget=40, n_initial=3, learner=learner)
    told = (
        rf"^the estimator '{estimator}' can't {doing} 3 labels of \d classes: .*; if they are too few, raise n_initial"
    )
    with pytest.raises(ConfigError, match=told):
        core.reset(seed=0)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"estimator": "sklearn.ensemble:NoSuch"}, "can't make the estimator 'sklearn.ensemble:NoSuch'"),
        ({"estimator": "no_such_module:Class"}, "No module named 'no_such_module'"),
        ({"estimator": "RandomForestClassifier"}, "name it as 'module:Class'"),
        ({"estimator": "sklearn.naive_bayes:GaussianNB", "options": {"speed": 1}}, "with options {'speed': 1}"),
        ({"estimator": "sklearn.linear_model:Ridge"}, "'sklearn.linear_model:Ridge' is no classifier"),
        ({"estimator": "sklearn.svm:LinearSVC"}, "'sklearn.svm:LinearSVC' is no classifier .* with predict_proba"),
        ({"estimator": "sklearn.neighbors:KNeighborsClassifier", "members": 2}, "members must be 1"),
    ],
)
def test_what_is_no_such_classifier_is_refused(config: dict[str, Any], message: str, pool: Pool) -> None:
    with pytest.raises(ValueError, match=message):
        make_learner({"kind": "sklearn", **config}, pool, 4, 0)

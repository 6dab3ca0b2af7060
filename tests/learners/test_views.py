"""Views, specialists and stacks: who sees what, held against linear models fitted one by one."""

from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from curation_gym.learners.build import make_learner
from curation_gym.learners.linear import LinearEnsemble
from curation_gym.learners.views import SubspacesConfig, subspaces
from curation_gym.pools import Pool

IDS = np.arange(0, 240, 2)


def test_each_view_is_a_linear_model_of_its_own(pool: Pool, rng: np.random.Generator) -> None:
    labels = pool.hidden["label"][IDS]
    array = Pool(rng.standard_normal((240, 3)) + 1)
    other = Pool(rng.standard_normal((240, 5)), hidden=dict(pool.hidden), class_names=pool.class_names)
    config = {"kind": "views", "pools": [other, array], "C": 2.0}
    learner = make_learner(config, pool, 4, 0).fit(IDS, labels)
    assert learner.members == 3
    for member, features in enumerate((pool.embeddings, other.embeddings, array.embeddings)):
        alone = LinearEnsemble(1, 4, features.shape[1], C=2.0).fit(features[IDS], labels)
        p = learner.predict_proba(np.arange(240))[member]
        np.testing.assert_allclose(p, alone.predict_proba(features)[0], atol=1e-5)


def test_subspaces_differ_and_member_0_has_every_column(pool: Pool) -> None:
    views = subspaces(SubspacesConfig(kind="subspaces", members=6, share=0.25), pool, seed=0)
    assert [view.width for view in views] == [12, 3, 3, 3, 3, 3]
    assert len({tuple(view.columns) for view in views[1:]}) > 2
    rows = np.array([7, 3, 3])
    for view in views:
        np.testing.assert_array_equal(
            view.of(rows), pool.embeddings[rows][:, view.columns if view.columns is not None else slice(None)]
        )
    assert subspaces(SubspacesConfig(kind="subspaces", members=2, share=0.01), pool, seed=0)[1].width == 1


def test_specialists_know_their_domain_and_hear_of_the_others(pool: Pool) -> None:
    labels = pool.hidden["label"][IDS]
    learner = make_learner({"kind": "specialists", "outside": 0.2}, pool, 4, 0).fit(IDS, labels)
    assert learner.members == 3
    weight = np.stack([np.ones(120), *(np.where(pool.domain[IDS] == j, 1, 0.2) for j in range(2))])
    together = LinearEnsemble(3, 4, 12, C=10.0).fit(pool.embeddings[IDS], labels, weight)
    np.testing.assert_array_equal(
        learner.predict_proba(np.arange(240)), together.predict_proba(pool.embeddings[np.arange(240)])
    )


@pytest.mark.parametrize("kind", ["subspaces", "views", "specialists"])
@pytest.mark.parametrize(
    "options", [{}, {"class_weight": "balanced"}, {"max_iter": 3}], ids=["plain", "balanced", "short"]
)
def test_heterogeneous_ensembles_are_fitted_on_the_terms_of_linear(
    kind: str, options: dict[str, Any], pool: Pool, rng: np.random.Generator
) -> None:
    own = {"views": {"pools": [Pool(rng.standard_normal((240, 3)))]}, "specialists": {"outside": 1.0}}.get(kind, {})
    labels = pool.hidden["label"]
    ids = np.flatnonzero((labels > 0) | (np.arange(240) % 10 == 0))  # few of class 0
    learner = make_learner({"kind": kind, "C": 2.0, **own, **options}, pool, 4, 0).fit(ids, labels[ids])
    together = learner.members if kind == "specialists" else 1
    weight = np.tile(compute_sample_weight(options.get("class_weight"), labels[ids]), (together, 1))
    expected = LinearEnsemble(together, 4, 12, C=2.0, max_iter=options.get("max_iter", 100))
    expected.fit(pool.embeddings[ids], labels[ids], weight)
    np.testing.assert_allclose(
        learner.predict_proba(ids)[0], expected.predict_proba(pool.embeddings[ids])[0], atol=1e-5
    )


def test_a_stack_holds_the_members_of_its_learners_in_order(pool: Pool) -> None:
    labels = pool.hidden["label"][IDS]
    parts = [{"kind": "specialists"}, {"kind": "linear", "members": 2}]
    p = make_learner({"kind": "stack", "learners": parts}, pool, 4, 0).fit(IDS, labels).predict_proba(IDS)
    assert p.shape == (5, 120, 4)
    np.testing.assert_array_equal(p[:3], make_learner(parts[0], pool, 4, 0).fit(IDS, labels).predict_proba(IDS))
    plain = make_learner({"kind": "linear", "members": 1}, pool, 4, 0).fit(IDS, labels)
    np.testing.assert_allclose(p[3], plain.predict_proba(IDS)[0], atol=0.02)


def test_other_samples_are_refused(pool: Pool) -> None:
    wrong = Pool(np.ones((240, 2)), hidden={"label": np.roll(pool.hidden["label"], 1)}, class_names=pool.class_names)

    def views(**options: object) -> None:
        make_learner({"kind": "views", **options}, pool, 4, 0)

    with pytest.raises(ValueError, match=r"pools\[0\] must hold the pool's 240 samples, actual number: 9"):
        views(pools=[Pool(np.ones((9, 2)))])
    with pytest.raises(ValueError, match=r"pools\[0\] holds other samples: label of row \d+ is"):
        views(pools=[wrong])
    with pytest.raises(ValueError, match=r"pools\[0\] holds other samples: split of row 0 is 1, not 0"):
        views(pools=[Pool(np.ones((240, 2)), split=np.ones(240, np.int64))])
    with pytest.raises(ValueError, match=r"pools\[0\] is a view that is there already"):
        views(pools=[pool])
    with pytest.raises(ValueError, match="specialists need a pool of at least 2 domains"):
        make_learner({"kind": "specialists"}, Pool(np.ones((9, 2))), 4, 0)

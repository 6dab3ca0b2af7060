"""The perceptrons: what their members are, and how a fit begins."""

import numpy as np
import pytest
import torch

from curation_gym.learners.checkpoints import CheckpointsConfig, CheckpointsLearner
from curation_gym.learners.mc_dropout import McDropoutConfig, McDropoutLearner
from curation_gym.pools import Pool

IDS = np.arange(120)


def mc_dropout(pool: Pool, **options: object) -> McDropoutLearner:
    config = McDropoutConfig(kind="mc_dropout", **{"steps": 60, "width": 64, "members": 4} | options)
    return McDropoutLearner(config, pool, 4, seed=0)


def checkpoints(pool: Pool, **options: object) -> CheckpointsLearner:
    config = CheckpointsConfig(kind="checkpoints", **{"steps": 20, "width": 16, "members": 4} | options)
    return CheckpointsLearner(config, pool, 4, seed=0)


# ------------------------------------------------------------------ mc_dropout
def test_each_member_is_the_network_without_the_units_that_its_mask_drops(pool: Pool) -> None:
    learner = mc_dropout(pool, dropout=0.25, layers=2).fit(IDS, pool.hidden["label"][IDS])
    X = learner._features(IDS)
    first, second = learner._mlp.hidden
    for member, (a, b) in enumerate(learner._masks):
        hidden = torch.relu(second(torch.relu(first(X)) * a)) * b
        expected = learner._mlp.head(hidden).softmax(1).detach().numpy()
        np.testing.assert_allclose(learner.predict_proba(IDS)[member], expected, atol=1e-6)


def test_masks_drop_their_share_and_keep_the_expectation(pool: Pool) -> None:
    masks = mc_dropout(pool, dropout=0.25, members=50, layers=3)._masks
    assert masks.shape == (50, 3, 64)
    np.testing.assert_allclose(masks.unique(), [0, 1 / 0.75], rtol=1e-6)
    assert (masks == 0).float().mean() == pytest.approx(0.25, abs=0.02)
    assert masks.mean() == pytest.approx(1, abs=0.03)


def test_passes_disagree_more_away_from_the_labels(pool: Pool) -> None:
    """Labels of one domain and two classes only: what lies elsewhere is less certain."""
    near = np.flatnonzero((pool.domain == 0) & (pool.hidden["label"] < 2))
    far = np.flatnonzero((pool.domain == 1) & (pool.hidden["label"] >= 2))
    learner = mc_dropout(pool, members=20).fit(near, pool.hidden["label"][near])
    spread = [learner.predict_proba(ids)[..., 0].std(0).mean() for ids in (near, far)]
    assert spread[1] > 2 * spread[0]


# ----------------------------------------------------------------- checkpoints
def test_member_0_is_the_network_as_it_ended(pool: Pool) -> None:
    learner = checkpoints(pool).fit(IDS, pool.hidden["label"][IDS])
    with torch.inference_mode():
        ended = learner._mlp(learner._features(IDS)).softmax(1).numpy()
    np.testing.assert_allclose(learner.predict_proba(IDS)[0], ended, atol=1e-6)


def test_averages_are_of_the_weights_of_successive_snapshots(pool: Pool) -> None:
    labels = pool.hidden["label"][IDS]
    snapshots = [kept.state_dict() for kept in checkpoints(pool).fit(IDS, labels)._kept]
    averages = [kept.state_dict() for kept in checkpoints(pool, members=2, average=2).fit(IDS, labels)._kept]
    for average, pair in zip(averages, (snapshots[:2], snapshots[2:]), strict=True):
        for name, weights in average.items():
            torch.testing.assert_close(weights, (pair[0][name] + pair[1][name]) / 2)


def test_later_snapshots_fit_better(pool: Pool) -> None:
    labels = pool.hidden["label"][IDS]
    p = checkpoints(pool, steps=10, members=6).fit(IDS, labels).predict_proba(IDS)
    loss = -np.log(p[:, IDS, labels]).mean(1)
    assert (np.diff(loss) > 0).all(), "the last snapshot stands first"


# ------------------------------------------------------------- how a fit begins
def test_a_cold_fit_forgets_and_a_warm_one_goes_on(pool: Pool) -> None:
    labels = pool.hidden["label"][IDS]
    cold, warm = checkpoints(pool), checkpoints(pool, warm_start=True)
    first = cold.fit(IDS, labels).predict_proba(IDS)
    np.testing.assert_array_equal(cold.fit(IDS, labels).predict_proba(IDS), first)
    np.testing.assert_array_equal(warm.fit(IDS, labels).predict_proba(IDS), first)
    again = warm.fit(IDS, labels).predict_proba(IDS)
    assert again[0, IDS, labels].mean() > first[0, IDS, labels].mean()


def test_an_update_trains_on_its_labels_only_and_keeps_what_was_seen(pool: Pool) -> None:
    labels = pool.hidden["label"][IDS]
    some = labels < 2
    learner = checkpoints(pool, learning_rate=0.02).fit(IDS[some], labels[some]).update(IDS[~some], labels[~some])
    assert learner.seen.all()
    p = learner.predict_proba(IDS)[0]
    assert p[~some, labels[~some]].mean() > 0.5
    assert p[some, labels[some]].mean() < 0.9
    np.testing.assert_array_equal(
        checkpoints(pool).update(IDS, labels).predict_proba(IDS), checkpoints(pool).fit(IDS, labels).predict_proba(IDS)
    )


def test_features_are_centred_and_keep_their_proportions(pool: Pool) -> None:
    X = checkpoints(pool)._features(np.arange(240)).numpy()
    np.testing.assert_allclose(X.mean(0), 0, atol=1e-5)
    assert (X**2).mean() == pytest.approx(1, rel=1e-5)
    ratio = X.std(0) / pool.embeddings.std(0)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)
    constant = Pool(np.full((6, 2), 3, np.float32))
    p = checkpoints(constant, learning_rate=0.02, steps=40).fit([0, 1], [0, 1]).predict_proba(np.arange(6))
    np.testing.assert_allclose(p[..., :2], 0.5, atol=0.05)

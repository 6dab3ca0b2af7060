"""Continual retraining: what is new, what is replayed, and that replay helps. What is trained records its labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_gym.learners.build import make_learner
from curation_gym.learners.checkpoints import CheckpointsConfig
from curation_gym.learners.continual import ContinualConfig, ContinualLearner
from curation_gym.pools import Pool

POOL = Pool(np.ones((60, 2), np.float32))
LABELS = np.where(np.arange(60) < 48, 0, np.arange(60) % 2 + 1)


class Recorder:
    """A learner that remembers what it was trained on."""

    members, classes = 1, 3

    def __init__(self) -> None:
        self.updates: list[set[tuple[int, int]]] = []

    def update(self, ids: np.ndarray, labels: np.ndarray) -> "Recorder":
        self.updates.append(set(zip(ids.tolist(), labels.tolist(), strict=True)))
        return self


def recorded(seed: int = 0, **options: object) -> tuple[ContinualLearner, list[set[tuple[int, int]]]]:
    config = ContinualConfig(kind="continual", learner=CheckpointsConfig(kind="checkpoints"), **options)
    recorder = Recorder()
    return ContinualLearner(config, recorder, POOL, seed), recorder.updates


@given(st.integers(0, 12), st.sampled_from(["reservoir", "class_balanced"]), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_an_update_is_what_is_new_and_a_memory_of_the_old(memory: int, replay: str, seed: int) -> None:
    learner, updates = recorded(seed, memory=memory, replay=replay)
    order = np.random.default_rng(seed).permutation(60)
    gone: set[tuple[int, int]] = set()
    before: set[tuple[int, int]] = set()
    for n in range(10, 61, 10):
        learner.fit(order[:n], LABELS[order[:n]])
        known = {(int(i), int(LABELS[i])) for i in order[: n - 10]}
        new = {(int(i), int(LABELS[i])) for i in order[n - 10 : n]}
        replayed = {(int(i), int(label)) for i, label in learner.replayed}
        assert updates[-1] == new | replayed
        assert replayed <= known
        assert len(replayed) == min(memory, len(known))
        assert not replayed & gone, "what left the memory never comes back"
        if replay == "reservoir":
            gone |= before - replayed
        before = replayed


def test_without_anything_new_nothing_is_trained_and_a_changed_label_is_new() -> None:
    learner, updates = recorded(memory=0)
    learner.fit([1, 2, 3], [0, 1, 2]).fit([3, 2, 1], [2, 1, 0]).fit([1, 2], [0, 1])
    assert updates == [{(1, 0), (2, 1), (3, 2)}]
    learner.fit([1, 2], [0, 2])
    assert updates[1:] == [{(2, 2)}]


def test_balanced_replay_keeps_every_class_and_a_reservoir_their_shares() -> None:
    def shares(replay: str) -> np.ndarray:
        counts = np.zeros(3)
        for seed in range(200):
            learner, _ = recorded(seed, memory=9, replay=replay)
            learner.fit(np.arange(59), LABELS[:59]).fit(np.arange(60), LABELS)
            counts += np.bincount(learner.replayed[:, 1], minlength=3)
        return counts / counts.sum()

    np.testing.assert_allclose(shares("class_balanced"), 1 / 3)
    np.testing.assert_allclose(shares("reservoir"), np.bincount(LABELS[:59]) / 59, atol=0.04)


def test_every_old_label_is_replayed_as_often() -> None:
    counts = np.zeros(60)
    for seed in range(1000):
        learner, _ = recorded(seed, memory=10)
        counts[learner.fit(np.arange(50), LABELS[:50]).fit(np.arange(60), LABELS).replayed[:, 0]] += 1
    assert (counts[50:] == 0).all()
    assert np.abs(counts[:50] - 200).max() < 5 * np.sqrt(200 * 0.8)


def test_replay_keeps_what_plain_fine_tuning_forgets(pool: Pool) -> None:
    label = pool.hidden["label"]
    first, second = np.flatnonzero(label < 2), np.flatnonzero(label >= 2)
    both = np.concatenate([first, second])
    mlp = {"kind": "checkpoints", "members": 1, "steps": 60, "width": 16, "learning_rate": 0.02}
    kept = []
    for memory in (0, 100):
        learner = make_learner({"kind": "continual", "memory": memory, "learner": mlp}, pool, 4, 0)
        learner.fit(first, label[first]).fit(both, label[both])
        kept.append((learner.predict_proba(first)[0].argmax(1) == label[first]).mean())
    assert kept[1] > 0.9
    assert kept[0] < kept[1] - 0.1


def test_a_learner_that_cannot_go_on_is_refused() -> None:
    with pytest.raises(ValueError, match=r"learner.learner.kind must be one of mc_dropout, checkpoints, transformer"):
        make_learner({"kind": "continual", "learner": {"kind": "linear"}}, POOL, 3, 0)

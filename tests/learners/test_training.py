"""The shared loop: what a step takes, and its schedules."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from curation_gym.learners.training import SgdConfig, cosine, train, warm_up_then_linear


def batches(n: int, size: int, steps: int, seed: int = 0) -> list[np.ndarray]:
    model, seen = nn.Linear(1, 1), []

    def loss(batch: np.ndarray) -> Tensor:
        seen.append(batch)
        return model(torch.ones(1, 1)).sum()

    train(model, loss, n, SgdConfig(batch_size=size, learning_rate=0.1), steps=steps, schedule=cosine, seed=seed)
    return seen


@given(st.integers(1, 20), st.integers(1, 8), st.integers(1, 30))
def test_every_pass_takes_each_sample_once(n: int, size: int, steps: int) -> None:
    taken = batches(n, size, steps)
    assert len(taken) == steps
    per_pass = -(-n // size)
    for start in range(0, steps - per_pass + 1, per_pass):
        np.testing.assert_array_equal(np.sort(np.concatenate(taken[start : start + per_pass])), np.arange(n))


def test_passes_differ_in_order_and_the_seed_decides() -> None:
    first, second = batches(50, 50, 2)
    assert (first != second).any()
    np.testing.assert_array_equal(batches(50, 50, 2)[1], second)
    assert (batches(50, 50, 1, seed=1)[0] != first).any()


def test_the_learning_rate_follows_its_schedule_and_gradients_are_clipped() -> None:
    """AdamW's first steps are as long as the learning rate when the gradient's sign stays."""
    model, places = nn.Linear(1, 1, bias=False), []

    def loss(batch: np.ndarray) -> Tensor:
        places.append(model.weight.item())
        return 1e6 * model.weight.sum()

    config = SgdConfig(batch_size=1, learning_rate=0.1, weight_decay=0.0)
    train(model, loss, 1, config, steps=10, schedule=warm_up_then_linear(0.5), seed=0, max_norm=1.0)
    assert model.weight.grad is not None
    np.testing.assert_allclose(model.weight.grad.item(), 1, rtol=1e-4)
    moved = -np.diff([*places, model.weight.item()])
    np.testing.assert_allclose(moved, 0.1 * np.array([0, 0.2, 0.4, 0.6, 0.8, 1, 0.8, 0.6, 0.4, 0.2]), atol=1e-5)


@given(st.floats(0, 1), st.floats(0, 0.99))
def test_schedules_stay_between_0_and_their_highest(done: float, warm_up: float) -> None:
    assert 0 <= cosine(done) <= 1
    assert 0 <= warm_up_then_linear(warm_up)(done) <= 1
    assert cosine(0) == 1
    assert warm_up_then_linear(warm_up)(warm_up) == 1
    assert abs(cosine(1)) + abs(warm_up_then_linear(warm_up)(1)) < 1e-9

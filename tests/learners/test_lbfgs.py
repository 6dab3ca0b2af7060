"""L-BFGS: known minima, and that what one problem taught helps with the next."""

import numpy as np
import pytest
from scipy.optimize import minimize

from curation_gym.learners.lbfgs import Lbfgs


class Regression:
    """Logistic regression without intercept."""

    def __init__(self, n: int, seed: int = 0, d: int = 30) -> None:
        rng = np.random.default_rng(seed)
        self.X = (rng.standard_normal((2000, d)) * np.geomspace(0.1, 3, d))[:n]  # fewer are the first of more
        self.y = (self.X @ np.random.default_rng(9).standard_normal(d) + rng.standard_normal(2000)[:n] > 0).astype(
            float
        )

    def __call__(self, w: np.ndarray) -> tuple[float, np.ndarray]:
        z = self.X @ w
        p = 1 / (1 + np.exp(-z))
        value = float(np.logaddexp(0, z).sum() - self.y @ z + 0.5 * w @ w)
        return value, self.X.T @ (p - self.y) + w


def test_it_finds_what_scipy_finds() -> None:
    problem = Regression(200)
    found = Lbfgs().minimise(problem, np.zeros(30), tol=1e-15, max_iter=1000)
    known = minimize(problem, np.zeros(30), jac=True, method="L-BFGS-B", options={"ftol": 1e-15, "gtol": 1e-10})
    np.testing.assert_allclose(found, known.x, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_quadratic_of_any_shape_in_its_own_precision(dtype: type) -> None:
    scale = np.geomspace(1, 100, 12, dtype=dtype).reshape(3, 4)
    target = np.arange(12, dtype=dtype).reshape(3, 4)

    def quadratic(x: np.ndarray) -> tuple[float, np.ndarray]:
        return float(0.5 * (scale * (x - target) ** 2).sum()), scale * (x - target)

    start = np.zeros((3, 4), dtype)
    found = Lbfgs().minimise(quadratic, start, tol=0, max_iter=200)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, target, atol=1e-3)
    np.testing.assert_array_equal(start, 0)


def test_what_one_problem_taught_helps_with_the_next() -> None:
    solver, start = Lbfgs(), np.zeros(30)
    start = solver.minimise(Regression(1000), start, tol=1e-9, max_iter=500)
    problem = Regression(1020)
    best, _ = problem(Lbfgs().minimise(problem, start, tol=1e-15, max_iter=1000))
    begun, _ = problem(start)
    taught, _ = problem(solver.minimise(problem, start, tol=0, max_iter=3))
    fresh, _ = problem(Lbfgs().minimise(problem, start, tol=0, max_iter=3))
    assert (taught - best) < 0.5 * (begun - best)
    assert (taught - best) < 0.8 * (fresh - best)


def test_curvature_of_another_problem_does_no_harm() -> None:
    solver = Lbfgs()
    solver.minimise(Regression(300, seed=1), np.zeros(30), tol=1e-9, max_iter=500)

    def other(x: np.ndarray) -> tuple[float, np.ndarray]:
        weight = np.geomspace(100, 0.01, 30)
        return float(0.5 * (weight * (x - 1) ** 2).sum()), weight * (x - 1)

    value, _ = other(solver.minimise(other, np.zeros(30), tol=1e-12, max_iter=1000))
    assert value < 1e-4


def test_it_never_ends_above_its_start() -> None:
    problem = Regression(100)
    for limit in range(1, 6):
        assert (
            problem(Lbfgs().minimise(problem, np.full(30, 3.0), tol=0, max_iter=limit))[0]
            < problem(np.full(30, 3.0))[0]
        )

"""L-BFGS that remembers: successive problems that differ little share their curvature."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[Any]
_SUFFICIENT = 1e-4  # share of the decrease that the slope promises (Armijo)
_SHORTEST = 1e-6  # step below which rounding decides
_CURVED = 1e-10  # least curvature along a step that is remembered


class _Pair(NamedTuple):
    step: Vector
    change: Vector  # of the gradient
    inverse: float  # 1 / ⟨step, change⟩


class Lbfgs:
    """Minimises smooth convex functions of one shape, one after another.

    Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming 45
    (1989). SciPy's starts every problem without curvature and computes in float64; a learner that is retrained after
    every few labels goes on with what the last problem taught, in the precision of its data.

    Args:
        memory: pairs of steps and changes of the gradient that are kept.
    """

    def __init__(self, memory: int = 10) -> None:
        self.memory = memory
        self._pairs: list[_Pair] = []

    def forget(self) -> None:
        """Begin a problem of another shape."""
        self._pairs = []

    def minimise(
        self, objective: Callable[[Vector], tuple[float, Vector]], start: Vector, tol: float, max_iter: int
    ) -> Vector:
        """The last iterate.

        Args:
            objective: x → value and gradient, of the shape of ``start``; it must not change x.
            start: where to begin, any shape.
            tol: stop when an iteration lowers the value by at most this share of it (of 1, where it is below 1).
            max_iter: iterations at most; each evaluates the objective once, or a few times when steps are too long.
        """
        x = start
        value, gradient = objective(x)
        for _ in range(max_iter):
            direction = self._towards(gradient)
            slope = float(np.vdot(direction, gradient))
            if slope >= 0:  # only by rounding, or by curvature of a problem that was too different
                if not self._pairs:
                    break
                self.forget()
                continue
            length = 1.0
            while True:
                moved = x + length * direction
                lower, turned = objective(moved)
                if lower <= value + _SUFFICIENT * length * slope or length < _SHORTEST:
                    break
                length /= 2
            if not lower < value:
                break
            self._remember(moved - x, turned - gradient)
            decrease = value - lower
            x, value, gradient = moved, lower, turned
            if decrease <= tol * max(value, 1.0):
                break
        return x

    def _towards(self, gradient: Vector) -> Vector:
        """The quasi-Newton direction, by the two-loop recursion."""
        if not self._pairs:
            return -gradient / max(float(np.linalg.norm(gradient)), float(np.finfo(np.float32).tiny))
        direction, weights = -gradient, []
        for pair in reversed(self._pairs):
            weight = pair.inverse * float(np.vdot(pair.step, direction))
            direction -= weight * pair.change
            weights.append(weight)
        last = self._pairs[-1]
        direction *= 1 / (last.inverse * float(np.vdot(last.change, last.change)))
        for pair, weight in zip(self._pairs, reversed(weights), strict=True):
            direction += (weight - pair.inverse * float(np.vdot(pair.change, direction))) * pair.step
        return direction

    def _remember(self, step: Vector, change: Vector) -> None:
        curvature = float(np.vdot(step, change))
        if curvature > _CURVED:
            self._pairs = [*self._pairs, _Pair(step, change, 1 / curvature)][-self.memory :]

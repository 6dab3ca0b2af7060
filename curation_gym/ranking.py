"""What candidates cost that rank before one another."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def cost_ahead(worth: NDArray[np.floating], price: NDArray[Any]) -> NDArray[Any]:
    """What the candidates of a step that rank before each one cost together.

    Args:
        worth: shape (..., n_items); the greater ranks before, of equals the earlier.
        price: of each, ≥ 0, same shape.

    Returns:
        Same shape, ≥ 0, in units of ``price``.
    """
    order = np.argsort(-worth, axis=-1, kind="stable")
    ordered = np.take_along_axis(price, order, axis=-1)
    ahead = np.empty_like(price)
    np.put_along_axis(ahead, order, np.cumsum(ordered, axis=-1) - ordered, axis=-1)
    return ahead

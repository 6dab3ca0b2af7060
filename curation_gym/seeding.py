"""One tree of seeds, so that no two purposes ever share randomness.

Every seed is a leaf of a ``SeedSequence`` keyed by (master, role, run). Runs that differ in any of the three are
independent; in particular run 0 and run 1 share no sub-environment, which ``seed + i`` schemes cannot promise.
"""

from typing import Literal, get_args

import numpy as np

Role = Literal["training", "tuning", "evaluation", "hidden"]
ROLES: tuple[Role, ...] = get_args(Role)


def seeds_for(master: int, role: Role, run: int = 0, n: int = 1) -> list[int]:
    """The first ``n`` seeds of a run.

    Args:
        master: the study's seed, ``>= 0``.
        role: what the randomness is for. Thresholds are tuned on ``"tuning"`` and judged on ``"evaluation"``.
        run: index of the run, ``>= 0``.
        n: how many seeds, one per sub-environment.

    Returns:
        ``n`` integers in [0, 2⁶³). A longer list begins with the shorter one.

    Raises:
        ValueError: for an unknown role or a negative number.
    """
    if role not in ROLES:
        raise ValueError(f"role must be one of {ROLES}, actual value: {role!r}")
    if min(master, run, n) < 0:
        raise ValueError(f"master, run and n must be >= 0, actual values: {master}, {run}, {n}")
    words = np.random.SeedSequence(master, spawn_key=(ROLES.index(role), run)).generate_state(n, np.uint64)
    return [int(word >> np.uint64(1)) for word in words]

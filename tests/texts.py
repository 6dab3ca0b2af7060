"""Texts for tests: distinct, harmless, and none near another."""

import numpy as np

NOUNS = ["bridge", "harbour", "garden", "engine", "violin", "teacher", "planet", "river", "window", "letter"]
VERBS = ["stands", "turns", "waits", "shines", "falls", "rises", "sleeps", "moves", "speaks", "sings"]
PLACES = ["by the sea", "in the old town", "under a tree", "near the station", "behind the mill", "on a hill"]


def sentences(n: int, seed: int = 0) -> list[str]:
    """Distinct sentences, none near another."""
    rng = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < n:
        parts = [f"the {rng.choice(NOUNS)} {rng.choice(VERBS)} {rng.choice(PLACES)}" for _ in range(3)]
        found[f"{' and '.join(parts)} {rng.integers(10**6)}."] = None
    return list(found)

"""A pool that every learner on embeddings can be trained on."""

import numpy as np
import pytest

from curation_gym.pools import Pool


def blobs(n: int = 240, d: int = 12, classes: int = 4, domains: int = 2, seed: int = 0) -> Pool:
    """Classes around centres of their own, labels in ``hidden``; domains are shifted against each other."""
    rng = np.random.default_rng(seed)
    label, domain = rng.integers(classes, size=n), rng.integers(domains, size=n)
    centres, shift = 1.5 * rng.standard_normal((classes, d)), rng.standard_normal((domains, d))
    embeddings = centres[label] + shift[domain] + rng.standard_normal((n, d)) + 2
    names = tuple(f"domain {j}" for j in range(domains))
    return Pool(
        embeddings.astype(np.float32),
        domain=domain,
        domain_names=names,
        hidden={"label": label},
        class_names=tuple(f"class {k}" for k in range(classes)),
    )


@pytest.fixture(scope="session")
def pool() -> Pool:
    return blobs()

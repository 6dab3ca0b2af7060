"""Selections by hand take what their rules say."""

from typing import Any

import numpy as np

from curation_gym.pools import Pool
from experiments.by_hand import Rule, selected


def test_rules_take_what_they_say() -> None:
    n = 400
    safety, domain = np.random.default_rng(1).permutation(n) / n, np.arange(n) % 4 // 3
    label = (safety < 0.5).astype(int)
    pool = Pool(np.eye(n), {"safety": safety}, domain=domain, domain_names=("large", "small"), hidden={"label": label})
    price, rng = np.full(n, 2), np.random.default_rng(0)

    def taken(budget: int = 200, **rule: Any) -> Any:
        ids = selected(pool, price, Rule(**rule), budget, rng)
        assert len(ids) == len(set(ids.tolist())) <= budget / 2
        return ids

    assert len(taken()) == 100
    assert safety[taken(top=0.0)].min() == 0.75
    assert 0.5 <= safety[taken(top=0.5)].min() < 0.6
    assert label[taken(clean=True)].max() == 0
    assert np.bincount(domain[taken(shares="corpus", top=0.0)]).tolist() == [75, 25]
    assert np.bincount(domain[taken(shares="equal")]).tolist() == [50, 50]
    ids = taken(shares={"large": 0.9, "small": 0.1}, top=0.1)
    large = np.sort(safety[domain == 0])[::-1]
    assert np.sort(safety[ids[domain[ids] == 0]])[::-1].tolist() == large[:90].tolist(), "more than the top is needed"
    assert safety[ids[domain[ids] == 1]].min() >= np.sort(safety[domain == 1])[90]

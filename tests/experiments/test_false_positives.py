"""Rankings that take as much as a filter, in tokens or in what is toxic."""

import numpy as np

from experiments.false_positives import at_the_recall_of, at_the_tokens_of


def test_the_best_of_every_domain_are_taken_at_no_more_tokens() -> None:
    picked, domain = np.array([1, 0, 1, 0, 0, 1], bool), np.array([0, 0, 0, 1, 1, 1])
    ranking, price = np.array([0.1, 0.9, 0.5, 0.2, 0.3, 0.1]), np.array([2, 3, 2, 1, 5, 4])
    selected = at_the_tokens_of(picked, ranking, domain, price)
    assert selected.tolist() == [False, True, False, False, False, False], "4 tokens pay for 3, and not for 5"


def test_at_equal_recall_as_much_that_is_toxic_is_taken() -> None:
    rng = np.random.default_rng(0)
    toxic, domain, price = rng.random(400) < 0.4, rng.integers(3, size=400), rng.integers(1, 9, size=400)
    picked, ranking = rng.random(400) < 0.3, rng.random(400) - toxic
    taken = at_the_recall_of(picked, ranking, domain, price, toxic)
    assert (taken & toxic).sum() <= (picked & toxic).sum()
    assert price @ taken > price @ picked, "a better ranking takes more before it takes as much that is toxic"
    share = np.bincount(domain, price * taken) / np.bincount(domain, price * picked)
    assert share.max() - share.min() < 0.1

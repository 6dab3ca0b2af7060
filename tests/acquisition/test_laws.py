"""What holds for every acquisition function, whatever it looks for."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation_gym import acquisition as a
from tests.acquisition.inputs import Candidates, candidates, law

Pick = Callable[[Candidates, int, np.random.Generator], np.ndarray]

STRATEGIES: dict[str, Pick] = {
    "best": lambda c, n, rng: a.best(c.scores, c.priority, n),
    "diverse": lambda c, n, rng: a.diverse(c.scores, c.priority, c.embeddings, n),
    "k-means": lambda c, n, rng: a.clustered(c.scores, c.priority, c.embeddings, n, rng),
    "3-means": lambda c, n, rng: a.clustered(c.scores, c.priority, c.embeddings, n, rng, n_clusters=3),
    "dbscan": lambda c, n, rng: a.clustered(c.scores, c.priority, c.embeddings, n, rng, method="dbscan"),
    "badge": lambda c, n, rng: a.badge(c.embeddings, c.probabilities, n, rng),
    "coreset": lambda c, n, rng: a.coreset(c.embeddings, a.distance_to_labelled(c.embeddings, c.labelled), n),
    "typiclust": lambda c, n, rng: a.typiclust(c.embeddings, c.labelled, n, rng),
}
DETERMINED = ["best", "diverse", "k-means", "3-means", "dbscan", "coreset"]  # the others draw by position
every = pytest.mark.parametrize("name", STRATEGIES)
seeds = st.integers(0, 2**32 - 1)


@every
@law
@given(candidates(), st.integers(0, 70), seeds)
def test_picks_are_different_candidates_and_as_many_as_asked(name: str, c: Candidates, n: int, seed: int) -> None:
    picks = STRATEGIES[name](c, n, np.random.default_rng(seed))
    assert picks.dtype == np.intp
    assert len(picks) == min(n, len(c.scores))
    assert len(set(picks.tolist())) == len(picks)
    assert all(0 <= pick < len(c.scores) for pick in picks)


@every
@law
@given(candidates(), st.integers(0, 20), seeds)
def test_the_same_input_gives_the_same_picks_and_stays_as_it_is(name: str, c: Candidates, n: int, seed: int) -> None:
    before = [column.copy() for column in tuple.__iter__(c)]
    picks = [STRATEGIES[name](c, n, np.random.default_rng(seed)).tolist() for _ in range(2)]
    assert picks[0] == picks[1]
    for column, earlier in zip(tuple.__iter__(c), before, strict=True):
        np.testing.assert_array_equal(column, earlier)


@pytest.mark.parametrize("name", DETERMINED)
@law
@given(candidates(), st.integers(0, 20), st.data())
def test_the_order_of_the_candidates_does_not_matter(name: str, c: Candidates, n: int, data: st.DataObject) -> None:
    order = np.array(data.draw(st.permutations(range(len(c.scores)))), np.intp)
    shuffled = STRATEGIES[name](c[order], n, np.random.default_rng(0))
    assert order[shuffled].tolist() == STRATEGIES[name](c, n, np.random.default_rng(0)).tolist()


@every
@law
@given(st.integers(2, 30), st.integers(1, 30), seeds)
def test_samples_that_are_all_the_same_are_no_problem(name: str, samples: int, n: int, seed: int) -> None:
    c = Candidates(
        np.full((samples, 3), 7.1, np.float32),
        np.zeros(samples),
        np.arange(samples, dtype=float),
        np.full((samples, 2), 0.5, np.float32),
        np.full((1, 3), 7.1, np.float32),
    )
    picks = STRATEGIES[name](c, n, np.random.default_rng(seed))
    assert len(set(picks.tolist())) == min(n, samples)


@every
def test_a_negative_number_is_told(name: str) -> None:
    c = Candidates(np.ones((4, 2)), np.ones(4), np.ones(4), np.full((4, 2), 0.5), np.ones((1, 2)))
    with pytest.raises(ValueError, match="n must be >= 0, actual value: -1"):
        STRATEGIES[name](c, -1, np.random.default_rng(0))


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "best"])
def test_an_embedding_that_is_not_finite_is_told(name: str) -> None:
    X = np.ones((4, 2))
    X[2, 1] = np.nan
    c = Candidates(X, np.ones(4), np.arange(4.0), np.full((4, 2), 0.5), np.ones((1, 2)))
    with pytest.raises(ValueError, match="must be finite, row 2 isn't"):
        STRATEGIES[name](c, 2, np.random.default_rng(0))

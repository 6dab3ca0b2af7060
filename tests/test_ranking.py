import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from curation_gym.ranking import cost_ahead


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 9)), min_size=1, max_size=8))
def test_what_is_ahead_costs_as_much_as_what_is_worth_more_or_came_earlier(items: list[tuple[int, int]]) -> None:
    worth, price = np.array(items, np.float64).T
    expected = [
        sum(price[j] for j in range(len(items)) if worth[j] > worth[i] or (worth[j] == worth[i] and j < i))
        for i in range(len(items))
    ]
    np.testing.assert_array_equal(cost_ahead(np.stack([worth, -worth]), np.stack([price, price]))[0], expected)

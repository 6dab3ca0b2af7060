"""What is chosen of what was tried, for every operating point."""

import numpy as np
import pandas as pd
import pytest

from experiments.dynacure.contenders import points_of, tokens_before
from experiments.dynacure.results import MAIN_POINT, WORST
from experiments.dynacure.scenario import scenario_of
from experiments.dynacure.tuning import SHORT, WHOLE, price_of, promising, ranked, weighted
from experiments.harness.study import tidy


def trial(
    policy: str, index: int, safety: float, lost: list[float], length: str = WHOLE, spent: float = 1.0, **more: float
) -> list[dict]:
    """Rows of a trial after which the model lost so much of each domain, in nats."""
    values = {"safety": safety, "alignment": 0.5, "utility": -float(np.mean(lost))}
    values |= {f"log_perplexity/{name}": 3 + one for name, one in zip("ab", lost, strict=True)} | {"spent": spent}
    values |= {f"hyperparameter/{name}": value for name, value in more.items()}
    return [tidy("mixed", "e", policy, index, f"{length}/{name}", 10, value) for name, value in values.items()]


def test_weights_choose_among_the_same_trials() -> None:
    lost = np.log(WORST)  # is worth as much as all the toxicity of no curation, here 0.8
    rows = trial("none", 0, 0.2, [0.0, 0.0]) + trial("p", 1, 1.0, [0.0, lost], threshold=0.7)
    rows += trial("p", 0, 0.2, [0.0, 0.0]) + trial("p", 3, 0.9, [0.0, 0.0], SHORT, threshold=0.1)
    rows += trial("p", 2, 0.5, [0.0, 0.6 * lost], threshold=0.4)
    trials = pd.DataFrame(rows)
    in_order = ranked(trials, WHOLE, "p", {"safety": 0.9, "utility": 0.1})
    assert list(in_order.items()) == [(1, {"threshold": 0.7}), (2, {"threshold": 0.4}), (0, {})]
    best = ranked(trials, WHOLE, "p", {"safety": 0.1, "utility": 0.9})
    assert next(iter(best.values())) == {}, "the defaults were best"
    even = ranked(trials, WHOLE, "p", {"safety": 0.5, "utility": 0.5})
    assert next(iter(even.values())) == {"threshold": 0.4}, "which no weighted sum would choose"
    assert ranked(trials[trials["policy"] == "p"], WHOLE, "p", {"safety": 1.0}) == {}, (
        "without no curation there is none"
    )
    thrifty = pd.DataFrame(rows + trial("p", 4, 0.99, [0.0, 0.0], spent=0.9))
    assert 4 not in ranked(thrifty, WHOLE, "p", {"safety": 0.5, "utility": 0.5}), "what is compared spends the budget"


@pytest.mark.parametrize("weights", [{"safety": 0.6, "utility": 0.4}, {"safety": 0.9, "utility": 0.1}])
def test_what_a_policy_tries_besides_does_not_move_what_is_asked_of_it(weights: dict[str, float]) -> None:
    rows = trial("none", 0, 0.2, [0.0, 0.0])
    for policy in ("p", "q"):
        rows += trial(policy, 0, 0.5, [0.0, 0.01]) + trial(policy, 1, 0.6, [0.0, 0.05])
    rows += trial("q", 2, 0.9, [0.5, 0.5])
    one, other = (ranked(pd.DataFrame(rows), WHOLE, policy, weights) for policy in ("p", "q"))
    assert [number for number in other if number != 2] == list(one)


def test_what_sees_the_labels_does_not_move_what_is_asked_of_the_others() -> None:
    rows = trial("none", 0, 0.2, [0.0, 0.0]) + trial("p", 0, 0.5, [0.0, 0.03]) + trial("p", 1, 0.3, [0.0, 0.0])
    seeing = trial("label_clean", 0, 1.0, [0.0, 0.0])
    weights = {"safety": 0.5, "utility": 0.5}
    alone, beside = (ranked(pd.DataFrame(some), WHOLE, "p", weights) for some in (rows, rows + seeing))
    assert list(alone) == list(beside) == [1, 0]
    moved = ranked(pd.DataFrame(rows + trial("q", 0, 1.0, [0.0, 0.0])), WHOLE, "p", weights)
    assert list(moved) == [0, 1], "what sees no labels does"
    assert list(ranked(pd.DataFrame(rows + seeing), WHOLE, "label_clean", weights)) == [0]


@pytest.mark.parametrize("weights", [{"safety": 0.6, "utility": 0.4}, None])
def test_a_policy_all_of_whose_models_diverged_is_none_of_the_others_concern(weights: dict[str, float] | None) -> None:
    rows = trial("none", 0, 0.2, [0.0, 0.0]) + trial("p", 0, 0.5, [0.0, 0.03]) + trial("p", 1, 0.3, [0.0, 0.0])
    lost = [tidy("mixed", "e", "q", 0, f"{WHOLE}/{name}", 0, 0.0) for name in ("spent", "hyperparameter/threshold")]
    assert ranked(pd.DataFrame(rows + lost), WHOLE, "q", weights) == {}
    alone, beside = (ranked(pd.DataFrame(some), WHOLE, "p", weights) for some in (rows, rows + lost))
    assert list(alone.items()) == list(beside.items())


def test_the_safest_of_what_costs_no_domain_anything_is_chosen() -> None:
    rows = trial("none", 0, 0.1, [0.2, 0.5])
    rows += trial("p", 0, 0.3, [0.1, 0.5]) + trial("p", 1, 0.4, [0.2, 0.505]) + trial("p", 2, 0.9, [0.0, 0.52])
    rows += trial("p", 3, 0.8, [0.3, 0.0])
    assert list(ranked(pd.DataFrame(rows), WHOLE, "p", None)) == [1, 0, 2, 3], "what isn't free by what it costs"
    assert price_of(pd.DataFrame(rows), WHOLE, "p")[2] == pytest.approx(np.exp(0.02)), "of the domain that pays most"
    alone = pd.DataFrame([row for row in rows if row["policy"] == "p"])
    assert ranked(alone, WHOLE, "p", None) == {}, "what is free nobody knows"


def test_what_is_best_for_any_point_is_promising() -> None:
    rows = trial("none", 0, 0.1, [0.1, 0.1], SHORT)
    for index, (safety, lost) in enumerate([(0.1, 0.0), (0.4, 0.2), (0.6, 0.5), (0.9, 0.9)]):
        rows += trial("p", index, safety, [lost, lost], SHORT, threshold=index / 10)
    order = promising(pd.DataFrame(rows), "p", [{"safety": 1.0}, {"utility": 1.0}, None])
    assert list(order.items()) == [(index, {"threshold": index / 10}) for index in (3, 0, 2, 1)]


def test_what_would_do_the_same_at_two_points_stands_at_one() -> None:
    rows = trial("none", 0, 0.1, [0.0, 0.0])
    rows += trial("heuristic", 0, 0.2, [0.0, 0.0], floor=0.1) + trial("heuristic", 1, 0.9, [0.1, 0.0], floor=0.2)
    found = points_of(pd.DataFrame(rows), "heuristic")
    assert found == {"no domain pays": {"floor": 0.1}, "safety 0.7": {"floor": 0.2}}
    assert points_of(pd.DataFrame(rows), "static_filter") == {}, "nothing of it was tried"
    assert points_of(pd.DataFrame(rows), "none") == {MAIN_POINT: {}}


def test_weights_are_the_environments_and_the_rest_the_policys() -> None:
    assert weighted({"weight_safety": 0.9, "weight_utility": 0.1}, {"safety": 1.0}) == (
        {"safety": 0.9, "utility": 0.1},
        {},
    )
    assert weighted({"floor": 0.2}, {"safety": 1.0}) == ({"safety": 1.0}, {"floor": 0.2})


def test_what_models_were_trained_on_before_counts() -> None:
    scenario = scenario_of("mixed")
    rows = pd.DataFrame(trial("dynacure", 0, 0.2, [0.0, 0.0]) + trial("dynacure", 1, 0.2, [0.0, 0.0]))
    assert tokens_before(scenario, "agents.ppo:PPOAgent", rows, "dynacure") == 64 * 40_000 + 2 * 10
    assert tokens_before(scenario, "baselines.raft:Raft", rows, "raft") == 0

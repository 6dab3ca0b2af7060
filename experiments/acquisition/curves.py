"""How good what an acquisition function picks is: learning curves on handwritten digits."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from curation_gym.evaluation.statistics import area_under_curve, interval, paired_difference
from experiments.acquisition.strategies import OURS, PEER, Query, peers, shown_as
from experiments.harness.study import tidy

DIGITS = "digits"
COMPARED = ("margin", "badge", "coreset", "typiclust")
TEST, BATCH = 500, 10  # samples that learning curves are judged on, and labels a round


def curve(payload: tuple[str, bool, int, int], out: Path) -> pd.DataFrame:
    """Rows of the test accuracy after every round, and of the area under this curve."""
    strategy, by_peer, seed, budget = payload
    pick = (peers() if by_peer else OURS)[strategy]
    rng = np.random.default_rng(seed)
    X, y = load_digits(return_X_y=True)
    X, order = (X / 16).astype(np.float32), rng.permutation(len(X))
    test, pool = order[:TEST], order[TEST:]
    known = np.array([pool[y[pool] == label][0] for label in range(10)])
    accuracy = {}
    while True:
        model = LogisticRegression(C=10, max_iter=1000).fit(X[known], y[known])
        accuracy[len(known)] = model.score(X[test], y[test])
        if len(known) >= budget:
            break
        left = np.setdiff1d(pool, known)
        p = model.predict_proba(X[left])
        query = Query(X[left], X[known], y[known], p, BATCH, seed=int(rng.integers(2**31)))
        known = np.append(known, left[pick(query)])
    policy = shown_as(strategy, by_peer)
    rows = [tidy(DIGITS, "", policy, seed, "test_accuracy", step, value) for step, value in accuracy.items()]
    area = area_under_curve(list(accuracy), list(accuracy.values()))
    return pd.DataFrame([*rows, tidy(DIGITS, "", policy, seed, "test_accuracy_area", budget, area)])


def curve_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per strategy: the area under the curve and the paired difference, with 95 % intervals over seeds."""
    areas = results[results["metric"] == "test_accuracy_area"].pivot(index="seed", columns="policy", values="value")
    rows = []
    for strategy in areas.columns.intersection(COMPARED):
        row = {"strategy": strategy, "area": str(interval(areas[strategy].dropna()))}
        if (peer := shown_as(strategy, True)) in areas:
            both = areas[[strategy, peer]].dropna()
            row[PEER] = str(interval(both[peer]))
            row["difference"] = "{:.4f} [{:.4f}, {:.4f}]".format(*paired_difference([both[strategy]], [both[peer]]))
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")

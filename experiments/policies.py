"""Short names of the policies that this project brings; everything else is named by class or path."""

from pathlib import Path

from curation_gym.policy import PolicyError

POLICIES = {
    "random": "baselines.random:Random",
    "stratified": "baselines.stratified:Stratified",
    "heuristic": "baselines.heuristic:Heuristic",
    "static_filter": "baselines.static_filter:StaticFilter",
    "novelty_filter": "baselines.static_filter:NoveltyFilter",
    "raft": "baselines.raft:Raft",
    "greedy": "baselines.raft:Greedy",
    "round_robin": "baselines.round_robin:RoundRobin",
    "uncertainty": "baselines.uncertainty:Uncertainty",
    "ensemble_uncertainty": "baselines.uncertainty:EnsembleUncertainty",
    "margin": "baselines.uncertainty:Margin",
    "ucb1": "agents.bandits:UCB1",
    "thompson_gaussian": "agents.bandits:ThompsonGaussian",
    "thompson_beta": "agents.bandits:ThompsonBeta",
    "ppo": "agents.ppo:PPOAgent",
    "ppo_box": "agents.ppo:PPOBoxAgent",
    "reference": "baselines.reference:Hindsight",
    "lookahead": "baselines.lookahead:Lookahead",
}


def resolve(names: list[str]) -> dict[str, str]:
    """Name as shown in results → what :func:`curation_gym.make_policy` takes.

    Args:
        names: short names, ``module:Class``, or paths of saved policies (shown by their stem).

    Raises:
        PolicyError: for a name that is none of these, or two policies that would be shown alike.
    """
    shown: dict[str, str] = {}
    for name in names:
        path = Path(name)
        if name in POLICIES:
            label, target = name, POLICIES[name]
        elif path.exists():
            label, target = path.stem, str(path.resolve())
        elif ":" in name:
            label, target = name, name
        else:
            raise PolicyError(
                f"unknown policy {name!r}: name one of {', '.join(POLICIES)}; or a class as 'module:Class'; "
                "or the path of a saved policy"
            )
        if shown.setdefault(label, target) != target:
            raise PolicyError(f"two policies would both be shown as {label!r}: {shown[label]} and {target}")
    return shown

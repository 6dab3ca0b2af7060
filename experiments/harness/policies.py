"""Short names of the policies that this project brings; everything else is named by class or path."""

import hashlib
import inspect
import re
from pathlib import Path

from curation_gym.policy import PolicyError, policy_class

POLICIES = {
    "random": "baselines.random:Random",
    "stratified": "baselines.domain_rule:EqualShares",
    "heuristic": "baselines.heuristic:Heuristic",
    "static_filter": "baselines.static_filter:StaticFilter",
    "classifier_filter": "baselines.static_filter:ClassifierFilter",
    "novelty_filter": "baselines.static_filter:NoveltyFilter",
    "raft": "baselines.raft:Raft",
    "raft_refined": "baselines.raft:RefinedRaft",
    "greedy": "baselines.raft:Greedy",
    "calibrated": "baselines.raft:Calibrated",
    "audit_corrected": "baselines.audit_corrected:AuditCorrected",
    "round_robin": "baselines.round_robin:RoundRobin",
    "uncertainty": "baselines.uncertainty:Uncertainty",
    "ensemble_entropy": "baselines.uncertainty:EnsembleEntropy",
    "margin": "baselines.uncertainty:Margin",
    "ucb1": "agents.bandits:UCB1",
    "discounted_ucb": "agents.nonstationary:DiscountedUCB",
    "sliding_window_ucb": "agents.nonstationary:SlidingWindowUCB",
    "linucb": "agents.linucb:LinUCB",
    "thompson_gaussian": "agents.bandits:ThompsonGaussian",
    "thompson_beta": "agents.bandits:ThompsonBeta",
    "ppo": "agents.ppo:PPOAgent",
    "ppo_box": "agents.ppo:PPOBoxAgent",
    "reinforce": "agents.reinforce:ReinforceAgent",
    "dvrl": "agents.dvrl:DVRLAgent",
    "domain_rule": "baselines.domain_rule:DomainRule",
    "reference": "baselines.reference:Hindsight",
    "lookahead": "baselines.lookahead:Lookahead",
    "label_clean": "baselines.domain_rule:LabelClean",
}


REFERENCES = ("reference", "lookahead", "label_clean")
"""They see hidden truth, and others are compared with them; no other policy is ever bound to an environment."""
_SHOWN_TRUTH = {POLICIES[name]: name for name in REFERENCES}


def resolve(names: list[str]) -> dict[str, str]:
    """Name as shown in results → what :func:`curation_gym.make_policy` takes.

    Args:
        names: short names, ``module:Class``, or paths of saved policies (shown by their stem); each may be
            ``LABEL=NAME`` to be shown as LABEL.

    Raises:
        PolicyError: for a name that is none of these, two policies that would be shown alike, one that would be
            shown under the short name of another, or a reference that wouldn't be shown under its own.
    """
    shown: dict[str, str] = {}
    for name in names:
        label, target = _resolved(name)
        if label not in REFERENCES and target in _SHOWN_TRUTH:
            raise PolicyError(f"{target} is a reference, known as such by its own name: {_SHOWN_TRUTH[target]}")
        if POLICIES.get(label, target) != target:
            raise PolicyError(
                f"{target} would be shown as {label!r}, which is {POLICIES[label]}; name it LABEL={target}"
            )
        if shown.setdefault(label, target) != target:
            raise PolicyError(
                f"two policies would both be shown as {label!r}: {shown[label]} and {target}; name one LABEL={target}"
            )
    return shown


def digest(target: str) -> str:
    """Of what decides how a policy acts: the bytes of a saved one, or of the source file of a class.

    Empty for a class that can't be imported; that it fails is told where it is constructed.
    """
    path = Path(target)
    if path.exists():
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    else:
        try:
            files = [Path(inspect.getfile(policy_class(target)))]
        except (PolicyError, TypeError):
            return ""
    content = hashlib.blake2b(digest_size=8)
    for file in files:
        content.update(file.name.encode() + b"\0" + file.read_bytes())
    return content.hexdigest()


def _resolved(name: str) -> tuple[str, str]:
    path = Path(name)
    if name in POLICIES:
        return name, POLICIES[name]
    if path.exists():
        return path.stem, str(path.resolve())
    label, separator, rest = name.partition("=")
    if separator:
        if not re.fullmatch(r"[\w.+-]+", label):
            raise PolicyError(f"{name!r}: a label is made of letters, digits and . + - _, actual: {label!r}")
        return label, _resolved(rest)[1]
    if ":" in name:
        return name, name
    raise PolicyError(
        f"unknown policy {name!r}: name one of {', '.join(POLICIES)}; or a class as 'module:Class'; "
        "or the path of a saved policy; each may be LABEL=NAME"
    )

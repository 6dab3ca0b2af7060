"""The scenario of curated fine-tuning on a corpus, and the seeds that are judged."""

from typing import Any

from curation_gym.config import ConfigError
from curation_gym.scenario import Scenario, load_scenario, merged
from curation_gym.seeding import seeds_for
from experiments.dynacure.corpora import CORPORA, PROBES, cut_by
from experiments.harness import options
from experiments.harness.study import MASTER

SCENARIO = "dynacure"
EPISODE: dict[str, Any] = {
    "n_items": 32,
    "horizon": 128,
    "budget": 40_000,
    "refinement": {"every": 16, "size": 160, "gain": 5.0, "carry": 0.25},
    "probes": PROBES | {"every": 64, "prompts": 64, "clean": 64, "pairs": 64},
}
"""Of training and tuning, begun at the base model."""
JUDGED: dict[str, Any] = {
    "horizon": 960,
    "budget": 300_000,
    "fine_tuning": {"learning_rate": 0.001},
    "refinement": {"size": 21},
    "probes": {"prompts": 32, "pairs": 16},  # fifteen times an episode, where they only tell how the model is doing
}
"""Of what is judged. Shown once is most of the mixed corpus, and nearly all of that without tweets; less than half of
those tokens is paid for. People look at 1,260 texts at most, all but a few of those in an episode of training."""


def judged_seeds(n: int) -> list[int]:
    """Seeds of the episodes, fine-tuning and samples that are judged; those of runs 0 and 1 were looked at while the
    study was designed."""
    return seeds_for(MASTER, "evaluation", run=2, n=n)


def scenario_of(corpus: str, config: str = SCENARIO, quick: bool = False) -> Scenario:
    """The scenario on a corpus of :data:`experiments.dynacure.corpora.CORPORA`.

    Its arguments are those of the packaged scenario, of :data:`EPISODE` and :data:`JUDGED`; what another scenario says
    holds instead.

    Raises:
        ConfigError: for an unknown corpus.
    """
    if corpus not in CORPORA:
        raise ConfigError(f"no corpus {corpus!r}; there are {', '.join(CORPORA)}")
    scenario = load_scenario(config)
    whole = {} if quick else JUDGED
    packaged = load_scenario(SCENARIO)
    kwargs, evaluation = merged(packaged.kwargs, EPISODE), merged(packaged.overrides.evaluation, whole)
    if scenario != packaged:
        kwargs, evaluation = merged(kwargs, scenario.kwargs), merged(evaluation, scenario.overrides.evaluation)
        evaluation = {name: value for name, value in evaluation.items() if kwargs.get(name, value) is not None}
    model = kwargs.get("language_model")
    pool = cut_by(CORPORA[corpus], model) if isinstance(model, str) else CORPORA[corpus]
    kwargs |= {"pool": pool, "probes": merged(kwargs.get("probes", {}), EPISODE["probes"])}
    overrides = scenario.overrides.model_copy(update={"evaluation": evaluation})
    scenario = scenario.model_copy(update={"name": corpus, "kwargs": kwargs, "overrides": overrides})
    return options.sized(scenario, quick)

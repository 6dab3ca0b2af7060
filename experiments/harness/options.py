"""The options that every study has, and how a study exits."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from agents.checkpoint import CheckpointError
from curation_gym import console
from curation_gym.config import ConfigError
from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.judge import JudgeError
from curation_gym.policy import PolicyError
from curation_gym.pools.partition import PartitionError
from curation_gym.pools.pool import PoolError
from curation_gym.scenario import Scenario
from curation_gym.signals.classifiers import ClassifierError
from curation_gym.signals.encoders import EncoderError
from curation_gym.signals.pretrained import ModelError
from curation_gym.signals.scores import ScoreError
from experiments.harness.study import StudyError

Out = Annotated[Path | None, typer.Option("--out", help="Directory of the study; default: runs/NAME/….")]
Seeds = Annotated[int | None, typer.Option("--seeds", min=2, help="Paired evaluation seeds per policy.")]
Jobs = Annotated[int | None, typer.Option("--jobs", min=1, help="Parallel processes; default: all cores.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue an earlier run with the same options.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Remove an earlier run and begin anew.")]
Publish = Annotated[bool, typer.Option("--publish", help="Put what is finished into docs/results.")]
Quick = Annotated[bool, typer.Option("--quick", help="The same code at a size that takes minutes.")]
Track = Annotated[bool, typer.Option("--track", help="Log to Weights & Biases.")]


def exits() -> AbstractContextManager[None]:
    """For a study: a wrong input is one plain message and exit status 2, an interrupt is 130."""
    of_studies = (StudyError, ConfigError, PolicyError, PartitionError, CheckpointError)
    of_what_scores = (JudgeError, ModelError, EncoderError, ScoreError, ClassifierError, EvaluationError)
    return console.exits(*of_studies, PoolError, *of_what_scores)


def sized(scenario: Scenario, quick: bool) -> Scenario:
    """With ``--quick``, agents train for a tenth of their steps."""
    if not quick:
        return scenario
    agents = {}
    for name, settings in scenario.agents.items():
        steps = settings.total_timesteps
        agents[name] = settings.model_copy(update={"total_timesteps": min(steps, max(1, steps // 10))})
    return scenario.model_copy(update={"agents": agents})

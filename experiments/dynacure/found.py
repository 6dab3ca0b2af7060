"""Studies that go on from what a study of experiments.dynacure has tuned and trained."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from curation_gym.config import validated
from curation_gym.console import say
from curation_gym.scenario import Scenario
from experiments.dynacure.contenders import POINTS, WEIGHED
from experiments.dynacure.results import MAIN_POINT
from experiments.dynacure.tuning import WHOLE, ranked, weighted
from experiments.harness.report import Report
from experiments.harness.study import COLUMNS, Study, StudyError
from experiments.harness.tracking import log_results
from experiments.harness.units import Entrant

AddCorpus = Callable[[Report, pd.DataFrame, str], object]


@dataclass(frozen=True)
class Found:
    """A policy at the main operating point.

    Attributes:
        name: as shown in results.
        target: what ``make_policy`` takes.
        weights: of the environment, by which it may rank.
        hyperparameters: that were found for it.
    """

    name: str
    target: str
    weights: dict[str, float]
    hyperparameters: dict[str, float]


class Curated:
    """A study's scenarios and policies.

    Args:
        study: its directory.

    Attributes:
        config: of the study.
        scenarios: one per corpus.

    Raises:
        StudyError: when the directory holds no study of experiments.dynacure.
    """

    def __init__(self, study: Path) -> None:
        try:
            manifest = json.loads((study / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise StudyError(f"{study} is no study: {error}") from error
        self.study, self.config = study, manifest["config"]
        if not {"points", "tuning"} <= set(self.config):
            raise StudyError(f"{study} is no study of this version's experiments.dynacure; name the directory of one")
        self.scenarios = [validated(Scenario, one, str(study)) for one in self.config["scenarios"]]

    def study_of(self, name: str, seeds: Sequence[int], step_unit: str, more: dict[str, Any], **options: Any) -> Study:
        """A study that goes on from this one.

        Args:
            name: of the study.
            seeds: it judges on.
            step_unit: what ``step`` counts.
            more: of its configuration.
            options: ``out``, ``resume`` and ``overwrite`` of :class:`experiments.harness.study.Study`.
        """
        corpora = [scenario.name for scenario in self.scenarios]
        return Study(
            name,
            {"dynacure": self.config, "seeds": len(seeds), **more},
            label="+".join(corpora),
            seeds=seeds,
            step_unit=dict.fromkeys(corpora, step_unit),
            **options,
        )

    def close(self, study: Study, title: str, about: str | None, add_corpus: AddCorpus, *, track: bool) -> int:
        """Write results and report, corpus by corpus; returns the exit status.

        Args:
            study: that has run.
            title: of the report.
            about: the module's docstring.
            add_corpus: adds a corpus to the report, given its results and name.
            track: whether results are logged to Weights & Biases, too.
        """
        results = study.results()
        status = study.finish(results)
        report = Report(title, about)
        for scenario in self.scenarios:
            report.add_heading(scenario.name)
            add_corpus(report, results[results["scenario"] == scenario.name], scenario.name)
        say(f"report: {report.write(study.out)}")
        if track:
            log_results(study)
        return status

    def policies(self, scenario: Scenario, names: Sequence[str]) -> list[Found]:
        """What the study has tuned or trained of ``names``.

        Raises:
            StudyError: when one of them is missing.
        """
        parts = self.study / "parts"
        files = sorted(parts.glob(f"{scenario.name} try *.parquet"))
        tried = pd.concat([pd.read_parquet(file) for file in files]) if files else pd.DataFrame(columns=COLUMNS)
        found, targets = [], self.config["policies"]
        for name in names:
            entrant = Entrant(scenario, name, targets.get(name, ""), tuned=False, trained=True)
            saved = entrant.place(self.study) / "policy"
            order = ranked(tried, WHOLE, name, POINTS[MAIN_POINT])
            # What is judged was tuned to the end.
            if not order or not any(parts.glob(f"{scenario.name} {name}%40*.parquet")):
                raise StudyError(
                    f"{self.study} has judged no {name} on {scenario.name}; resume it, or run it with that policy"
                )
            weights, own = weighted(next(iter(order.values())), WEIGHED)
            found.append(Found(name, str(saved) if saved.exists() else targets[name], weights, own))
        return found

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
from experiments.dynacure import POINTS, tuned_at
from experiments.dynacure_results import MAIN_POINT
from experiments.report import Report
from experiments.study import Study, StudyError
from experiments.units import Entrant

AddCorpus = Callable[[Report, pd.DataFrame, str], object]


@dataclass(frozen=True)
class Found:
    """A policy at the main operating point.

    Attributes:
        name: as shown in results.
        target: what ``make_policy`` takes.
        hyperparameters: that were found for it.
    """

    name: str
    target: str
    hyperparameters: dict[str, float]


class Curated:
    """A study's scenarios and policies.

    Args:
        study: its directory.

    Attributes:
        config: of the study.
        scenarios: one per corpus, at the main operating point.

    Raises:
        StudyError: when the directory holds no study of experiments.dynacure.
    """

    def __init__(self, study: Path) -> None:
        try:
            manifest = json.loads((study / "manifest.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise StudyError(f"{study} is no study: {error}") from error
        self.study, self.config = study, manifest["config"]
        if "points" not in self.config:
            raise StudyError(f"{study} is no study of experiments.dynacure; name the directory of one")
        self.scenarios = [_at_main_point(validated(Scenario, one, str(study))) for one in self.config["scenarios"]]

    def study_of(self, name: str, seeds: Sequence[int], step_unit: str, more: dict[str, Any], **options: Any) -> Study:
        """A study that goes on from this one.

        Args:
            name: of the study.
            seeds: it judges on.
            step_unit: what ``step`` counts.
            more: of its configuration.
            options: ``out``, ``resume`` and ``overwrite`` of :class:`experiments.study.Study`.
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

    def close(self, study: Study, title: str, told: str | None, add_corpus: AddCorpus) -> int:
        """Write results and report, corpus by corpus; returns the exit status.

        Args:
            study: that has run.
            title: of the report.
            told: the module's docstring, whose text after the command opens the report.
            add_corpus: adds a corpus to the report, given its results and name.
        """
        results = study.results()
        status = study.finish(results)
        report = Report(title).add_text((told or "").split("\n\n", 2)[2].strip())
        for scenario in self.scenarios:
            report.add_heading(scenario.name)
            add_corpus(report, results[results["scenario"] == scenario.name], scenario.name)
        say(f"report: {report.write(study.out)}")
        return status

    def policies(self, scenario: Scenario, names: Sequence[str]) -> list[Found]:
        """What the study has tuned or trained of ``names``.

        Raises:
            StudyError: when one of them is missing.
        """
        parts = self.study / "parts"
        files = [file for work in ("try", "choose") for file in sorted(parts.glob(f"{scenario.name} {work} *.parquet"))]
        if not files:
            raise StudyError(f"{self.study} has not tuned its policies on {scenario.name} yet; resume it first")
        tried, targets = pd.concat([pd.read_parquet(file) for file in files]), self.config["policies"]
        found = []
        for name in names:
            entrant = Entrant(scenario, name, targets.get(name, ""), tuned=False, trained=True)
            saved = entrant.place(self.study) / "policy"
            if saved.exists():
                found.append(Found(name, str(saved), {}))
            elif (hyperparameters := tuned_at(tried, scenario, name, MAIN_POINT)) is not None:
                found.append(Found(name, targets[name], hyperparameters))
            else:
                raise StudyError(f"{self.study} has no {name} on {scenario.name} yet; resume it first")
        return found


def _at_main_point(scenario: Scenario) -> Scenario:
    kwargs: dict[str, Any] = scenario.kwargs | {"weights": POINTS[MAIN_POINT]}
    return scenario.model_copy(update={"kwargs": kwargs})

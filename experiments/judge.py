"""The judge of toxicity: how good it is within each domain, and what it gains from each source and from what it reads.

    python -m experiments.judge

Every row is the AUC within a domain on texts with human labels that no judge was trained on and no corpus holds;
near-duplicates of training texts are left out. Each judge is logistic regression in which every class of every source
weighs the same; "ngrams" are words, word pairs and characters, hashed, and the judge reads those of all sources. A
domain where its AUC is below 0.7 isn't scored. It is saved in the study's directory, for Judge.load.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import typer

from curation_gym.config import validated
from curation_gym.console import print_table, say
from curation_gym.judge import LEAST_AUC, DomainCard
from curation_gym.judge_training import JudgeConfig, logistic, measured, read_material, train_judge
from curation_gym.signals.classifiers import ngrams
from curation_gym.signals.encoders import hashed_tfidf
from experiments.dynacure.corpora import JUDGE
from experiments.harness import options
from experiments.harness.report import Report
from experiments.harness.study import Study, tidy
from experiments.harness.tracking import log_results

THE_JUDGE = "judge"
SOURCES = {
    "implicit_hate": ("implicit_hate",),
    "olid": ("olid",),
    "implicit_hate + olid": ("implicit_hate", "olid"),
    "tweets + forum": ("davidson_tweets", "forum_hate"),
    "all": ("implicit_hate", "olid", "davidson_tweets", "forum_hate"),
}
FEATURES: dict[str, Callable[[], Any]] = {
    "words": partial(hashed_tfidf, n_features=1 << 17, ngram_range=(1, 2)),
    "characters": partial(hashed_tfidf, n_features=1 << 18, analyzer="char_wb", ngram_range=(2, 5)),
    "ngrams": ngrams,
}
CANDIDATES = [*((name, "ngrams") for name in SOURCES if name != "all"), ("all", "words"), ("all", "characters")]
QUICK_LIMIT = 400


def configured(sources: str, limit: int | None) -> JudgeConfig:
    """What a candidate is trained and measured on, at most ``limit`` texts a source."""

    def cut(source: dict[str, Any]) -> dict[str, Any]:
        return source if limit is None else source | {"limit": limit}

    values = {
        "train": [cut(source) for source in JUDGE["train"] if source["name"] in SOURCES[sources]],
        "held_out": {domain: cut(source) for domain, source in JUDGE["held_out"].items()},
    }
    return validated(JudgeConfig, values, "judge")


def candidate(payload: tuple[str, str, int | None], out: Path) -> pd.DataFrame:
    """Rows of a candidate's AUC within each domain."""
    sources, features, limit = payload
    config = configured(sources, limit)
    material = read_material(config)
    featurizer = FEATURES[features]()
    model = logistic(config.c).fit(featurizer.fit_transform(material.texts), material.positive, material.weight)
    told = {
        domain: measured(lambda texts: model.decision_function(featurizer.transform(texts)), held_out)
        for domain, held_out in material.held_out.items()
    }
    return rows(f"{sources}, {features}", told)


def judge(limit: int | None, out: Path) -> pd.DataFrame:
    """Train and save the judge; rows of its AUC, and of its calibration error."""
    trained = train_judge(configured("all", limit))
    trained.save(out / THE_JUDGE)
    error = tidy("training texts", "", THE_JUDGE, 0, "calibration_error", 0, trained.card.calibration_error)
    return pd.concat([rows(THE_JUDGE, trained.card.domains), pd.DataFrame([error])])


def rows(policy: str, told: dict[str, DomainCard]) -> pd.DataFrame:
    """Tidy rows: a domain is the scenario, and what was measured on are the steps."""
    found = []
    for domain, card in told.items():
        n = card.toxic + card.clean
        values = {"auc": card.auc, "auc_low": card.low, "auc_high": card.high, "toxic_share": card.toxic / n}
        found += [tidy(domain, "", policy, 0, metric, n, value) for metric, value in values.items()]
    return pd.DataFrame(found)


def table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per judge, one column per domain, as text; the judge first."""
    wide = results.pivot(index="policy", columns=["scenario", "metric"], values="value")
    order = [THE_JUDGE, *(f"{sources}, {features}" for sources, features in CANDIDATES)]
    wide = wide.loc[[policy for policy in order if policy in wide.index]]
    shown = {
        domain: [
            f"{auc:.3f} [{low:.3f}, {high:.3f}]" + ("" if auc >= LEAST_AUC else " (not scored)")
            for auc, low, high in zip(
                wide[domain, "auc"], wide[domain, "auc_low"], wide[domain, "auc_high"], strict=True
            )
        ]
        for domain in JUDGE["held_out"]
    }
    return pd.DataFrame({"judge": wide.index, **shown})


def main(
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Train, measure and compare."""
    with options.exits():
        limit = QUICK_LIMIT if quick else None
        study = Study(
            "judge",
            {"judge": JUDGE, "candidates": CANDIDATES, "limit": limit},
            label="quick" if quick else "full",
            seeds=[0],
            step_unit=dict.fromkeys(JUDGE["held_out"], "held-out texts"),
            out=out,
            resume=resume,
            overwrite=overwrite,
        )
        study.run(judge, {THE_JUDGE: limit}, jobs=1, title="the judge")
        units = {f"{sources}, {features}": (sources, features, limit) for sources, features in CANDIDATES}
        study.run(candidate, units, jobs=jobs, title="candidates")
        results = study.results()
        status = study.finish(results)
        report = Report("The judge of toxicity", __doc__)
        if len(results):
            found = table(results[results["metric"].str.startswith("auc")])
            report.add_table(found, "AUC within each domain, with its 95 % interval by bootstrap.")
            print_table(found)
            sizes = results[(results["policy"] == THE_JUDGE) & (results["metric"] == "toxic_share")]
            held = sizes[["scenario", "step", "value"]].set_axis(["domain", "held-out texts", "share toxic"], axis=1)
            report.add_table(held.astype({"held-out texts": int}))
            [error] = results.loc[results["metric"] == "calibration_error", "value"]
            report.add_text(
                f"Expected calibration error of the judge in cross-validation on its training texts: {error:.3f}."
            )
        say(f"report: {report.write(study.out)}")
        if track:
            log_results(study)
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)

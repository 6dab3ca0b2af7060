"""The study of annotation budgets: UMC against random, single-model and ensemble uncertainty, and more.

    python -m experiments.umc --publish

Each scenario is a study of its own, below ``runs/umc``, so that all of them can be done in parts (``--scenario``, and
``--ablations`` for UMC with one thing changed): a campaign is the unit of work, an interrupt loses at most the running
ones, and ``--resume`` goes on. On two cores those that are published took from minutes to two hours. ``--publish`` puts
each that is finished into docs/results and draws the page of all anew.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from curation_gym.config import ConfigError
from curation_gym.console import print_table, say
from curation_gym.envs.annotation_allocation import ENV_ID, AnnotationAllocationVectorEnv
from curation_gym.scenario import Scenario, load_scenario, scenario_names
from curation_gym.seeding import seeds_for
from experiments.harness import options
from experiments.harness.publishing import RESULTS, require_whole
from experiments.harness.publishing import publish as put
from experiments.harness.study import MASTER, Study, StudyError, Work
from experiments.harness.tracking import Tracker
from experiments.umc import page as umc_page
from experiments.umc.campaign import Payload, budget_of, kwargs_for, run_ablation, run_campaign, run_fine_tuning
from experiments.umc.report import BASE, ScenarioResults, band, headline, labels_table, scenario_page
from experiments.umc.scenarios import ABLATED, FINE_TUNED, PLAIN, SCENARIOS
from experiments.umc.strategies import ABLATIONS, ALLOCATIONS, STRATEGIES, Strategy, fixed_arms

SEEDS, PICKING, QUICK_SEEDS, QUICK_SHARE = 10, 3, 2, 0.2


def main(
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario", "--pool", "-s", help="Name, with or without umc_, or YAML path; repeatable. All by default."
        ),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option("--strategy", help="Name, or module:NAME of yours; repeatable. Default: all of the study."),
    ] = None,
    ablations: Annotated[
        bool,
        typer.Option(
            "--ablations", help="Only UMC with one thing changed. Without --scenario and --strategy, both by default."
        ),
    ] = False,
    fine_tune: Annotated[
        int | None,
        typer.Option(
            min=0, help="Seeds in which a transformer is fine-tuned on the texts bought; default: 3 on umc_mixed_text."
        ),
    ] = None,
    publish: options.Publish = False,
    seeds: options.Seeds = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Spend the same budget by every strategy, and compare what it bought."""
    with options.exits():
        if publish:
            require_whole(quick, strategy, seeds)
        if fine_tune == 1:
            raise StudyError("--fine-tune 1: one seed has no interval; give at least 2")
        found = [(_found(name), changed) for name, changed in _wanted(scenario, strategy, ablations)]
        chosen = [_chosen(strategy or _of_study(each.name, changed)) for each, changed in found]
        if out is not None and len(found) > 1:
            raise StudyError("--out is the directory of one scenario's study; give one --scenario with it")
        n_seeds = seeds or (QUICK_SEEDS if quick else SEEDS)
        status, results = 0, []  # of scenarios and of their ablations
        for (each, changed), strategies in zip(found, chosen, strict=True):
            sized = _sized(each, quick)
            core = _core(sized)
            if changed and len(core.setting.subsets) > 1:
                strategies |= fixed_arms(core.setting.subsets)
            few = changed or strategy or each.name in PLAIN
            picking = 0 if few else PICKING  # the best of a few others isn't the best other
            study = _study(sized, core, strategies, n_seeds, picking, out, resume, overwrite)
            by_default = 0 if quick or changed or strategy or seeds else FINE_TUNED.get(each.name, 0)
            tuned = by_default if fine_tune is None else fine_tune
            work = run_ablation if changed else run_campaign
            result, failed = _run(study, sized, core, strategies, work, tuned, jobs)
            status |= failed
            if result is None:
                say(f"{study.out} has no report, {BASE} isn't complete: see 'failures' in its manifest.json")
                continue
            results.append((result, changed))
            if publish and not failed:
                put(study.out, f"{'ablations_' if changed else ''}{each.name}")
                if any(RESULTS.glob("umc_*.parquet")):
                    umc_page.draw(RESULTS)
            if track:
                _track(study, result)
        _print(results)
    raise typer.Exit(status)


def _found(name: str) -> Scenario:
    """All are looked at before the first is run."""
    whole_name = f"umc_{name}"
    found = load_scenario(whole_name if whole_name in scenario_names() else name)
    if found.env != ENV_ID:
        raise ConfigError(f"scenario {found.name!r} is of {found.env}; this study spends budgets of {ENV_ID}")
    return found


def _wanted(scenarios: list[str] | None, strategies: list[str] | None, ablations: bool) -> list[tuple[str, bool]]:
    """Scenario, and whether its ablations are meant."""
    if scenarios:
        return [(name, ablations) for name in scenarios]
    return [(name, False) for name in (() if ablations else SCENARIOS)] + [
        (name, True) for name in (ABLATED if ablations or not strategies else ())
    ]


def _of_study(scenario: str, ablations: bool) -> list[str]:
    """The strategies that the study has of a scenario."""
    if ablations:
        return ["umc", *ALLOCATIONS, *ABLATIONS]
    return ["margin", "umc"] if scenario in PLAIN else list(STRATEGIES)


def _chosen(names: list[str]) -> dict[str, Strategy]:
    own = {name.partition(":")[2]: _imported(name) for name in names if ":" in name}
    known = STRATEGIES | ABLATIONS
    if taken := sorted(set(own) & set(known)):
        raise StudyError(f"strategy {taken[0]!r} is one of the study's; give yours another name")
    known |= own
    wanted = [name.rpartition(":")[2] for name in names]
    if unknown := sorted(set(wanted) - set(known)):
        raise StudyError(f"unknown strategy {', '.join(unknown)}; there are {', '.join(known)}")
    return {name: known[name] for name in dict.fromkeys([BASE, *wanted])}


def _imported(name: str) -> Strategy:
    """The strategy that ``module:NAME`` names."""
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise StudyError(f"can't import strategy {name!r}: {error}; its module must be on PYTHONPATH") from error
    if not isinstance(found, Strategy):
        raise StudyError(f"{name} is no experiments.umc.strategies.Strategy, but a {type(found).__name__}")
    return found


def _sized(scenario: Scenario, quick: bool) -> Scenario:
    """With ``--quick``, a fifth of the budget."""
    if not quick:
        return scenario
    return scenario.model_copy(update={"kwargs": scenario.kwargs | {"budget": int(budget_of(scenario) * QUICK_SHARE)}})


def _study(
    scenario: Scenario,
    core: AnnotationAllocationVectorEnv,
    strategies: dict[str, Strategy],
    n_seeds: int,
    picking: int,
    out: Path | None,
    resume: bool,
    overwrite: bool,
) -> Study:
    config = {
        "scenario": scenario.model_dump(mode="json"),
        "strategies": {name: vars(strategy) for name, strategy in strategies.items()},
        "pool": core.task.pool_fingerprint,
        "seeds": n_seeds,
        "picking_seeds": picking,
        "master": MASTER,
    }
    return Study(
        "umc",
        config,
        label=scenario.name,
        seeds=seeds_for(MASTER, "evaluation", n=n_seeds),
        step_unit={scenario.name: "labels"},
        out=out,
        resume=resume,
        overwrite=overwrite,
    )


def _run(
    study: Study,
    scenario: Scenario,
    core: AnnotationAllocationVectorEnv,
    strategies: dict[str, Strategy],
    work: Work,
    fine_tune: int,
    jobs: int | None,
) -> tuple[ScenarioResults | None, int]:
    """Run the campaigns, write results and report; what was found, if anything, and the exit status."""
    several = len(core.setting.subsets) > 1
    judged = study.manifest["seeds"]
    picking = seeds_for(MASTER, "tuning", n=study.manifest["config"]["picking_seeds"])
    fitting = {name: strategy for name, strategy in strategies.items() if several or not strategy.domains}

    def units(role: str, seeds: Sequence[int]) -> dict[str, Payload]:
        return {
            f"{name} {role} {index}": (scenario, name, strategy, seed)
            for index, seed in enumerate(seeds)
            for name, strategy in fitting.items()
        }

    study.run(work, units("judged", judged) | units("picking", picking), jobs=jobs, title=scenario.name)
    if fine_tune:
        study.run(run_fine_tuning, units("fine-tuned", judged[:fine_tune]), jobs=jobs, title="fine-tuning")
    rows, budget = study.results(), core.config.budget
    status = study.finish(rows, budget=budget, fine_tuned=fine_tune)
    command = study.manifest["command"]
    result = ScenarioResults(rows, judged, picking, budget, scenario.description, command) if len(rows) else None
    if result is None or BASE not in result.strategies:  # everything is compared with it
        return None, status
    page = scenario_page(result).add_heading("How this was measured").add_code(command)
    say(f"report: {page.write(study.out)}")
    return result, status


def _track(study: Study, r: ScenarioResults) -> None:
    """The headline, and every strategy's mean test accuracy by labels spent."""
    with Tracker.of(study, group=study.name) as tracker:
        tracker.log_table("headline", headline(r))
        for strategy in r.strategies:
            labels, mean, *_ = band(r, strategy)
            for step, value in zip(labels, mean, strict=True):
                tracker.log({f"{r.name}/test_accuracy/{strategy}": float(value)}, int(step))


def _core(scenario: Scenario) -> AnnotationAllocationVectorEnv:
    """The environment with an arm per domain; builds the pool where it isn't cached."""
    return AnnotationAllocationVectorEnv(1, **kwargs_for(scenario, STRATEGIES["stratified"]))


def _print(results: list[tuple[ScenarioResults, bool]]) -> None:
    for r, changed in results:
        print_table(headline(r).iloc[:, [0, 1, 3, 4]], f"{r.name}, ablations" if changed else r.name)
    scenarios = [r for r, changed in results if not changed]
    if len(scenarios) > 1:
        print_table(labels_table(scenarios).iloc[:, :5], "UMC")


if __name__ == "__main__":
    typer.run(main)

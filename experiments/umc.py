"""The study of annotation budgets: UMC against random, single-model and ensemble uncertainty, and more.

    python -m experiments.umc --publish

Each scenario is a study of its own, below ``runs/umc``, so that all of them can be done in parts (``--scenario``): a
campaign is the unit of work, an interrupt loses at most the running ones, and ``--resume`` goes on. ``--publish`` puts
each that is finished into docs/results and draws the page of all anew.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from curation_gym.config import ConfigError
from curation_gym.console import console, say
from curation_gym.envs.annotation_allocation import ENV_ID, AnnotationAllocationVectorEnv
from curation_gym.provenance import provenance
from curation_gym.scenario import Scenario, load_scenario
from curation_gym.seeding import seeds_for
from experiments import options, umc_page
from experiments.publish import RESULTS
from experiments.publish import publish as put
from experiments.study import Study, StudyError
from experiments.umc_campaign import budget_of, kwargs_for, run_campaign
from experiments.umc_page import ABLATED, SCENARIOS
from experiments.umc_report import ScenarioResults, headline, scenario_page, summary
from experiments.umc_strategies import ABLATIONS, ALLOCATIONS, STRATEGIES, Strategy, fixed_arms

MASTER = 0
SEEDS, PICKING, QUICK_SEEDS, QUICK_SHARE = 10, 3, 2, 0.2


def main(
    scenario: Annotated[
        list[str] | None,
        typer.Option("--scenario", "-s", help="Name or YAML path; repeatable. Default: all that the page is of."),
    ] = None,
    strategy: Annotated[
        list[str] | None, typer.Option("--strategy", help="By name; repeatable. Default: all but the ablations.")
    ] = None,
    ablations: Annotated[bool, typer.Option("--ablations", help="Instead: UMC with one thing changed.")] = False,
    fine_tune: Annotated[
        int, typer.Option(min=0, help="Seeds in which a small transformer is fine-tuned on what was bought (texts).")
    ] = 0,
    publish: Annotated[bool, typer.Option("--publish", help="Put what is finished into docs/results.")] = False,
    seeds: options.Seeds = None,
    out: options.Out = None,
    jobs: options.Jobs = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quick: options.Quick = False,
) -> None:
    """Spend the same budget by every strategy, and compare what it bought."""
    with options.exits():
        if publish and (quick or strategy or seeds):
            raise StudyError("--publish is for whole studies: leave out --quick, --strategy and --seeds")
        if publish and provenance()["dirty"] is not False:
            raise StudyError("--publish needs a clean clone: commit or remove your changes first")
        found = [_found(name) for name in scenario or (ABLATED if ablations else SCENARIOS)]
        chosen = _chosen(strategy, ablations)
        if out is not None and len(found) > 1:
            raise StudyError("--out is the directory of one scenario's study; give one --scenario with it")
        n_seeds = seeds or (QUICK_SEEDS if quick else SEEDS)
        status, results = 0, []
        for each in found:
            sized = _sized(each, quick)
            core = _core(sized)
            fixed = fixed_arms(core.setting.subsets) if ablations and len(core.setting.subsets) > 1 else {}
            study = _study(sized, core, chosen | fixed, n_seeds, fine_tune, out, resume, overwrite)
            result, failed = _run(study, sized, core, chosen | fixed, jobs)
            status |= failed
            if result is None:
                say(f"no campaign of {each.name} was finished; see 'failures' in {study.out}/manifest.json")
                continue
            results.append(result)
            if publish and not failed:
                put(study.out, f"{'ablations_' if ablations else ''}{each.name}")
                if any(RESULTS.glob("umc_*.parquet")):
                    umc_page.draw(RESULTS)
        _print(results)
    raise typer.Exit(status)


def _found(name: str) -> Scenario:
    """All are looked at before the first is run."""
    found = load_scenario(name)
    if found.env != ENV_ID:
        raise ConfigError(f"scenario {found.name!r} is of {found.env}; this study spends budgets of {ENV_ID}")
    return found


def _chosen(names: list[str] | None, ablations: bool) -> dict[str, Strategy]:
    known = STRATEGIES | ABLATIONS
    if unknown := sorted(set(names or ()) - set(known)):
        raise StudyError(f"unknown strategy {', '.join(unknown)}; there are {', '.join(known)}")
    wanted = names or (["umc", *ALLOCATIONS, *ABLATIONS] if ablations else list(STRATEGIES))
    return {name: known[name] for name in dict.fromkeys(["random", *wanted])}


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
    fine_tune: int,
    out: Path | None,
    resume: bool,
    overwrite: bool,
) -> Study:
    config = {
        "scenario": scenario.model_dump(mode="json"),
        "strategies": {name: vars(strategy) for name, strategy in strategies.items()},
        "pool": core.task.pool_fingerprint,
        "seeds": n_seeds,
        "picking_seeds": PICKING,
        "fine_tune": fine_tune,
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
    jobs: int | None,
) -> tuple[ScenarioResults | None, int]:
    """Run the campaigns, write results and report; what was found, if anything, and the exit status."""
    several = len(core.setting.subsets) > 1
    judged, picking = study.manifest["seeds"], seeds_for(MASTER, "tuning", n=PICKING)
    fine_tune = study.manifest["config"]["fine_tune"]
    units = {
        f"{name} {role} {index}": (scenario, name, strategy, seed, role == "judged" and index < fine_tune)
        for role, role_seeds in (("judged", judged), ("picking", picking))
        for index, seed in enumerate(role_seeds)
        for name, strategy in strategies.items()
        if (several or not strategy.domains) and (role == "judged" or name in STRATEGIES)
    }
    study.run(run_campaign, units, jobs=jobs, title=scenario.name)
    rows, budget = study.results(), core.config.budget
    status = study.finish(rows, budget=budget)
    if not len(rows):
        return None, status
    command = study.manifest["command"]
    result = ScenarioResults(rows, judged, picking, budget, scenario.description, command)
    page = scenario_page(result).add_heading("How this was measured").add_code(command)
    say(f"report: {page.write(study.out)}")
    return result, status


def _core(scenario: Scenario) -> AnnotationAllocationVectorEnv:
    """The environment with an arm per domain; builds the pool where it isn't cached."""
    return AnnotationAllocationVectorEnv(1, **kwargs_for(scenario, STRATEGIES["stratified"]))


def _print(results: list[ScenarioResults]) -> None:
    for r in results:
        _print_table(r.name, headline(r).iloc[:, [0, 1, 3, 4]])
    if len(results) > 1:
        _print_table("UMC", summary(results).iloc[:, :5])


def _print_table(title: str, frame: pd.DataFrame) -> None:
    table = Table(*frame.columns, title=title, title_justify="left", box=SIMPLE_HEAD)
    for row in frame.itertuples(index=False):
        table.add_row(*map(str, row))
    console.print(table)


if __name__ == "__main__":
    typer.run(main)

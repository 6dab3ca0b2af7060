"""The study of annotation budgets: its arithmetic on rows worked out by hand, and a small real run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import typer
import yaml
from typer.testing import CliRunner

import experiments.umc.__main__
import experiments.umc.campaign
import experiments.umc.page
import experiments.umc.report
import experiments.umc.tables
from curation_gym.envs.annotation_allocation import AnnotationAllocationVectorEnv
from curation_gym.envs.campaign import Campaign
from curation_gym.evaluation.statistics import paired_difference
from curation_gym.policy import make_policy
from curation_gym.pools import Pool
from curation_gym.scenario import Scenario, load_scenario
from experiments.harness.report import shown
from experiments.harness.study import COLUMNS, StudyError
from experiments.umc.campaign import (
    bought,
    drifted,
    fine_tuned,
    kwargs_for,
    left_out,
    pulls,
    run_fine_tuning,
    successors,
)
from experiments.umc.report import ScenarioResults, area_table, headline, labels_table
from experiments.umc.scenarios import ABLATED, PLAIN, SCENARIOS
from experiments.umc.strategies import ABLATIONS, STRATEGIES, Strategy
from tests.experiments.test_tracking import logged
from tests.learners.test_transformer import save_bert, text_pool

runner = CliRunner()
HERE = "tests.experiments.test_umc"
ARMS = {"subsets": "all", "criteria": ["variance"]}
VARIANCE = Strategy("baselines.constant_arm:ConstantArm", ARMS, {"arm": "all/variance"})
umc = VARIANCE
"""A strategy of one's own, and one whose name is taken."""


def app(main: Callable[..., None]) -> typer.Typer:
    made = typer.Typer(add_completion=False)
    made.command()(main)
    return made


def curve(policy: str, seed: int, accuracies: list[float]) -> list[tuple[object, ...]]:
    steps = np.arange(len(accuracies)) * 10
    return [
        ("umc", "made_up", "env", policy, seed, "test_accuracy", float(s), a)
        for s, a in zip(steps, accuracies, strict=True)
    ]


@pytest.fixture
def three_rivals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A study whose strategies are those that are made up below."""
    few = {name: STRATEGIES[name] for name in ("random", "margin", "badge", "umc")}
    monkeypatch.setattr(experiments.umc.report, "STRATEGIES", few)


def made_up() -> ScenarioResults:
    rows = []
    for seed in (1, 2, 3, 8, 9):
        rows += curve("random", seed, [0.1, 0.3, 0.5, 0.6, 0.7])
        rows += curve("margin", seed, [0.1, 0.5, 0.6, 0.7, 0.8] if seed < 8 else [0.1, 0.2, 0.3, 0.4, 0.5])
        rows += curve("badge", seed, [0.1, 0.4, 0.6, 0.7, 0.8])
        rows += curve("umc", seed, [0.1, 0.6, 0.7, 0.8, 0.9])
        rows += curve("umc_without_bandit", seed, [0.9, 0.9, 0.9, 0.9, 0.9])
    return ScenarioResults(pd.DataFrame(rows, columns=COLUMNS), judged=[1, 2, 3], picking=[8, 9], budget=40)


def test_savings_are_measured_to_randoms_own_accuracy() -> None:
    r = made_up()
    assert r.target() == pytest.approx(0.7)
    assert r.target(0.5) == pytest.approx(0.5)
    assert r.to_target("umc", 0.7).value == 20
    assert r.saved("umc", 0.7).value == pytest.approx(1 - 20 / 40)
    assert r.saved("margin", 0.7).value == pytest.approx(1 - 30 / 40)
    assert r.saved("umc", 0.5).value == pytest.approx(1 - 10 / 20)


@pytest.mark.usefixtures("three_rivals")
def test_the_best_other_strategy_is_picked_on_other_seeds() -> None:
    r = made_up()
    assert r.areas("margin").mean() > r.areas("badge").mean()
    assert r.best_other() == "badge"
    assert r.ahead_of("badge").value == pytest.approx((0.2 + 0.1 + 0.1) / 4)


def test_the_best_of_a_few_is_not_the_best_other_strategy() -> None:
    assert made_up().best_other() is None
    (row,) = area_table([made_up()]).to_dict("records")
    assert (row["best other"], row["− best other"]) == ("–", "–")


@pytest.mark.usefixtures("three_rivals")
def test_tables_name_every_strategy() -> None:
    r = made_up()
    assert set(headline(r)["strategy"]) == set(r.strategies)
    (row,) = labels_table([r]).to_dict("records")
    assert row["share of the budget"] == "0.500"
    (row,) = area_table([r]).to_dict("records")
    assert row["best other"] == "badge"
    assert row["− best other"] == shown(r.ahead_of("badge"))


@pytest.mark.parametrize("name", [*STRATEGIES, *ABLATIONS])
def test_every_strategy_makes_an_environment_on_a_packaged_scenario(name: str) -> None:
    strategy = (STRATEGIES | ABLATIONS)[name]
    core = AnnotationAllocationVectorEnv(1, **kwargs_for(load_scenario("umc_digits"), strategy))
    make_policy(strategy.policy, core.task, 0, **strategy.hyperparameters)
    buys = "gain" in name or name == "umc_with_validation"
    assert core.config.n_validation == (15 if buys else 0), "a twentieth of the budget"


def test_a_crowd_that_says_nothing_has_no_agreement() -> None:
    silent = {"abstention": {"rate": 1.0}, "crowd": {"annotators": 4, "redundancy": 2}}
    core = AnnotationAllocationVectorEnv(1, criteria=["margin"], budget=60, annotator=silent)
    core.reset(seed=0)
    core.step(np.array([0]))
    found = bought(core.campaign(0))
    assert np.isnan(found["agreement"])
    assert found["flags"] == 0


def made(rows: pd.DataFrame) -> ScenarioResults:
    return ScenarioResults(rows, list(dict.fromkeys(rows["seed"]))[:2], [], budget=40)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenario") / "umc_small.yaml"
    kwargs = {"pool": {"builder": "digits"}, "budget": 40, "batch": 10, "n_initial": 10}
    path.write_text(
        yaml.safe_dump({"name": "umc_small", "env": "CurationGym/AnnotationAllocation-v0", "kwargs": kwargs})
    )
    return path


def test_a_small_run_is_complete_resumable_and_makes_a_page(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "study"
    options = ["-s", str(scenario), "--seeds", "2", "--strategy", "umc", "--strategy", f"{HERE}:VARIANCE"]
    options += ["--jobs", "1", "--out", str(out), "--track"]
    monkeypatch.setenv("WANDB_MODE", "offline")
    first = runner.invoke(app(experiments.umc.__main__.main), options)
    assert first.exit_code == 0, first.output
    rows = pd.read_parquet(out / "results.parquet")
    assert set(rows["policy"]) == {"random", "umc", "VARIANCE"}
    spent = rows[rows["metric"] == "test_accuracy"].groupby(["policy", "seed"])["step"].agg(list)
    assert all(steps == [10, 20, 30, 40] for steps in spent)
    [file] = (out / "wandb").glob("offline-run-*/*.wandb")
    judged = json.loads((out / "manifest.json").read_text())["seeds"]
    ours = rows[(rows["metric"] == "test_accuracy") & (rows["policy"] == "umc") & rows["seed"].isin(judged)]
    mean = ours.groupby("step")["value"].mean()
    assert logged(file, "umc_small/test_accuracy/umc") == pytest.approx(mean.to_dict())
    options.remove("--track")
    assert {"macro_f1", "auc", "label_quality", "successor_accuracy/knn"} <= set(rows["metric"])
    assert not rows.duplicated([name for name in COLUMNS if name != "value"]).any()
    (out / "parts" / "umc judged 1.parquet").unlink()
    again = runner.invoke(app(experiments.umc.__main__.main), [*options, "--resume"])
    assert again.exit_code == 0
    pd.testing.assert_frame_equal(pd.read_parquet(out / "results.parquet"), rows)

    published = tmp_path / "results"
    published.mkdir()
    rows.to_parquet(published / "umc_small.parquet")
    (published / "umc_small.manifest.json").write_text((out / "manifest.json").read_text())
    changed = rows[rows["policy"] == "random"].assign(policy="umc_without_bandit")
    changed = pd.concat([rows[rows["policy"] != "VARIANCE"], changed])
    changed.to_parquet(published / "ablations_umc_small.parquet")
    (published / "ablations_umc_small.manifest.json").write_text((out / "manifest.json").read_text())
    rows.to_parquet(published / "umc_of_another_study.parquet")
    (published / "umc_of_another_study.manifest.json").write_text(json.dumps({"study": "benchmark"}))
    page = runner.invoke(app(experiments.umc.page.main), ["--results", str(published)])
    assert page.exit_code == 0, page.output
    text = (published / "umc.md").read_text()
    assert "| umc_small | knn |" in text
    gain = paired_difference([made(rows).areas("umc")], [made(rows).areas("random")])
    assert f"| umc_without_bandit | {shown(gain)} |" in text
    assert "| umc_without_ensemble | – |" in text
    assert json.loads((out / "manifest.json").read_text())["budget"] == 40

    without = rows[(rows["policy"] != "random") | (rows["seed"] != rows["seed"].iloc[0])]
    monkeypatch.setattr(experiments.umc.__main__.Study, "results", lambda self: without)
    told = runner.invoke(app(experiments.umc.__main__.main), [*options, "--resume"])
    assert told.exception is None or isinstance(told.exception, SystemExit)
    assert f"{out} has no report, random isn't complete" in told.stdout


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["-s", "umc_digits", "--strategy", "margins"], "unknown strategy margins; there are random"),
        (["-s", "umc_digits", "--strategy", "nowhere:MINE"], "can't import strategy 'nowhere:MINE'"),
        (["-s", "umc_digits", "--strategy", f"{HERE}:HERE"], "is no experiments.umc.strategies.Strategy, but a str"),
        (["-s", "umc_digits", "--strategy", f"{HERE}:umc"], "is one of the study's; give yours another name"),
        (["-s", "coverage_fixed"], "coverage_fixed"),
        (["-s", "umc_digits", "-s", "umc_digit"], "no scenario 'umc_digit'"),
        (["--pool", "digits", "--fine-tune", "1"], "one seed has no interval"),
        (["-s", "umc_digits", "-s", "umc_pacs", "--out", "x"], "give one --scenario"),
        (["-s", "umc_digits", "--quick", "--publish"], "--publish is for whole studies"),
        (["-s", "umc_digits", "--strategy", "umc", "--publish"], "--publish is for whole studies"),
    ],
)
def test_wrong_options_are_one_plain_message(options: list[str], complaint: str) -> None:
    result = runner.invoke(app(experiments.umc.__main__.main), options)
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_a_directory_without_studies_is_an_error(tmp_path: Path) -> None:
    result = runner.invoke(app(experiments.umc.page.main), ["--results", str(tmp_path)])
    assert result.exit_code == 2
    assert "publish a study" in result.stderr
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "umc_x.parquet")
    with pytest.raises(StudyError, match="manifest"):
        experiments.umc.page.published(tmp_path, "umc_")


def test_a_policy_that_remembers_is_given_what_it_learnt() -> None:
    strategy = Strategy("agents.nonstationary:DiscountedUCB", {"subsets": "domains", "criteria": ["random"]})
    given = {"pool": two_domains(), "budget": 80, "batch": 10, "n_initial": 20, "reward": {"answered": 1.0}}
    *_, (campaign, _, _) = pulls(given | strategy.kwargs, strategy, 0)
    asked = campaign.setting.domain[campaign.asked[20:]]
    assert set(asked) == {0, 1}, "without a memory, an arm that was pulled looks as good as new"


def test_a_strategy_may_bring_a_learner_of_another_kind() -> None:
    scenario = load_scenario("umc_digits")
    assert scenario.kwargs["learner"] == {"kind": "linear", "class_weight": "balanced"}

    def learner(**own: object) -> object:
        return kwargs_for(scenario, Strategy("agents.umc:UMC", {"learner": own}))["learner"]

    assert learner(members=1) == {"kind": "linear", "class_weight": "balanced", "members": 1}
    assert learner(kind="mc_dropout") == {"kind": "mc_dropout"}


# ------------------------------------------------------------------ what else is measured
def two_domains(arrival: np.ndarray | None = None) -> Pool:
    """Three classes in two domains, one class in the second only; easily told apart."""
    rng = np.random.default_rng(0)
    n = 360
    domain = np.arange(n) % 2
    label = np.where(domain == 0, np.arange(n) // 2 % 2, np.arange(n) // 2 % 3)
    return Pool(
        6 * np.eye(4)[label] + rng.standard_normal((n, 4)),
        domain=domain,
        domain_names=("one", "other"),
        hidden={"label": label},
        split=np.arange(n) // 12 % 3,
        arrival=arrival,
        class_names=("a", "b", "c"),
    )


def finished(pool: Pool, **config: object) -> Campaign:
    given = {"pool": pool, "criteria": ["random"], "budget": 60, "batch": 20, "n_initial": 20}
    core = AnnotationAllocationVectorEnv(1, **(given | config))
    core.reset(seed=[1])
    while not core.campaign(0).done:
        core.step(np.array([0]))
    return core.campaign(0)


def test_zero_shots_are_of_domains_whose_classes_others_have_whatever_was_bought() -> None:
    found = left_out(finished(two_domains()))
    assert found["left_out_accuracy/0_shot"] > 0.95, "of the first domain, whose classes the second has"
    assert found["left_out_accuracy/5_shot"] > 0.95, "of both"
    nothing = left_out(finished(two_domains(), annotator={"abstention": {"rate": 1.0}}))
    assert "left_out_accuracy/0_shot" not in nothing, "nothing was bought anywhere"


def test_what_a_drift_leads_to_is_what_arrives_last() -> None:
    arrival = np.where(np.arange(360) % 2 == 1, 0.4, 0.0)
    assert drifted(two_domains(arrival), {0: 0.5, 1: 0.9}) == pytest.approx(0.9), "a domain that arrives late"
    moving = np.linspace(0, 1, 360)
    assert drifted(two_domains(moving), {0: 0.5, 1: 0.9}) == pytest.approx(0.7, abs=0.02)
    assert np.isnan(drifted(two_domains(), {0: 0.5, 1: 0.9}))


def test_when_nothing_was_answered_there_is_no_successor_and_no_quality() -> None:
    campaign = finished(two_domains(), annotator={"abstention": {"rate": 1.0}})
    assert successors(campaign, 0) == {}
    assert np.isnan(bought(campaign)["label_quality"])
    assert fine_tuned(campaign, 0) == {}, "nor texts"


def test_a_transformer_is_fine_tuned_on_what_was_bought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_bert(tmp_path / "model")
    tiny = {"kind": "transformer", "model": str(tmp_path / "model"), "epochs": 6, "learning_rate": 0.02}
    tiny["batch_size"] = 8
    monkeypatch.setattr(experiments.umc.campaign, "TRANSFORMER", tiny)
    texts = text_pool()
    thrice = Pool(
        np.tile(texts.embeddings, (3, 1)),
        hidden={"label": np.tile(texts.hidden["label"], 3)},
        data=pa.concat_tables([texts.data] * 3),
        split=np.repeat([0, 1, 2], len(texts)),
        class_names=("good", "bad"),
    )
    thrice.save(tmp_path / "pool")
    kwargs = {"pool": str(tmp_path / "pool"), "budget": 24, "n_initial": 4, "batch": 10}
    scenario = Scenario(name="texts", env="CurationGym/AnnotationAllocation-v0", kwargs=kwargs)
    found = run_fine_tuning((scenario, "random", STRATEGIES["random"], 1), tmp_path)
    (row,) = found.to_dict("records")
    assert (row["metric"], row["step"]) == ("successor_accuracy/transformer", 24)
    assert row["value"] > 0.9


def test_a_domain_of_junk_is_not_to_be_balanced() -> None:
    pool = two_domains()
    label = np.where(pool.domain == 1, -1, pool.hidden["label"])
    label[pool.ids("test")] = pool.hidden["label"][pool.ids("test")]
    label[(pool.domain == 1) & (pool.split == 2)] = -1
    junk = Pool(
        pool.embeddings,
        domain=pool.domain,
        domain_names=pool.domain_names,
        hidden={"label": label},
        split=pool.split,
        class_names=pool.class_names,
    )
    found = bought(finished(junk))
    assert "domain_entropy" not in found, "only one domain is in scope"
    assert found["flag_precision"] == found["flag_recall"] == 1
    assert found["label_share/other"] > 0.2


def test_validation_labels_are_paid_for_in_the_area() -> None:
    rows = curve("umc", 1, [0.5, 0.5, 0.5, 0.5, 0.5]) + curve("random", 1, [0.5, 0.5, 0.5, 0.5, 0.5])
    later = [row for row in curve("umc_by_gain", 1, [0.5, 0.5, 0.5, 0.5, 0.5]) if row[6] >= 20]
    r = ScenarioResults(pd.DataFrame(rows + later, columns=COLUMNS), judged=[1], picking=[], budget=40)
    assert r.areas("umc")[0] == pytest.approx(0.5)
    assert r.areas("umc_by_gain")[0] == pytest.approx(0.25)


def test_savings_are_averaged_over_the_list_of_scenarios(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {"made up": ("made_up", "not_run"), "nothing": ("other",)}
    monkeypatch.setattr(experiments.umc.tables, "COUNTED", groups)
    table = experiments.umc.tables.savings_table([made_up()]).set_index("strategy")
    assert table.loc["umc", "made up"] == "0.500 [0.500, 0.500] (1 of 2)"
    assert table.loc["umc", "nothing"] == "–"
    assert next(iter(table.index)) == "umc"


def ablated(*, badge: list[float]) -> ScenarioResults:
    """UMC beside fixed arms; what the study of the same scenario knows of one criterion on the whole pool joins it."""
    rows, whole = [], []
    for seed in (1, 2, 3):
        rows += curve("random", seed, [0.1, 0.3, 0.5, 0.6, 0.7]) + curve("umc", seed, [0.1, 0.6, 0.7, 0.8, 0.9])
        rows += curve("only banking", seed, [0.1, 0.2, 0.2, 0.2, 0.2])
        rows += curve("only travel", seed, [0.1, 0.1, 0.1, 0.1, 0.1])
        for equal in ("stratified", "stratified_margin", "umc_stratified"):
            rows += curve(equal, seed, [0.1, 0.5, 0.6, 0.7, 0.8])
        whole += curve("badge", seed, badge) + curve("umc", seed, [0.0] * 5)
    own, other = (
        ScenarioResults(pd.DataFrame(each, columns=COLUMNS), judged=[1, 2, 3], picking=[], budget=40)
        for each in (rows, whole)
    )
    return own.beside(other)


def test_the_bandit_is_compared_with_the_best_fixed_arms() -> None:
    (row,) = experiments.umc.tables.bandit_table([ablated(badge=[0.1, 0.5, 0.6, 0.7, 0.8])]).to_dict("records")
    assert (row["best domain"], row["best criterion"]) == ("banking", "badge")
    assert row["UMC − best domain"].startswith("0.375"), "its own UMC, not the other study's"
    assert row["UMC − best criterion"].startswith("0.075")
    assert row["UMC − umc_without_bandit"] == "–"
    assert row["ahead of all arms and equal shares"] == "yes"
    (row,) = experiments.umc.tables.bandit_table([ablated(badge=[0.1, 0.6, 0.7, 0.8, 0.9])]).to_dict("records")
    assert row["ahead of all arms and equal shares"] == "no", "as good isn't ahead"
    (row,) = experiments.umc.tables.bandit_table([made_up()]).to_dict("records")
    assert row["ahead of all arms and equal shares"] == "–", "nobody gave equal shares"


@pytest.mark.usefixtures("three_rivals")
def test_goals_are_told_as_reached_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments.umc.tables, "LABELS", {"made_up": 0.5})
    monkeypatch.setattr(experiments.umc.tables, "COUNTED", {"some": ("made_up",)})
    monkeypatch.setattr(experiments.umc.tables, "SAVED", {"some": 0.55})
    rivals = {"US": ("badge", "margin"), "Ens-US": ("umc_without_bandit", "badge")}
    monkeypatch.setattr(experiments.umc.tables, "UNCERTAINTY", rivals)
    monkeypatch.setattr(experiments.umc.tables, "SCENARIOS", ("made_up", *PLAIN))
    told = experiments.umc.tables.goals_table([made_up()], [ablated(badge=[0.0] * 5)] * 2)
    share, saved, us, ensemble, best, bandit = told.to_dict("records")
    assert (share["found"], share["reached"]) == ("0.500 [0.500, 0.500]", "yes")
    assert (saved["found"], saved["reached"]) == ("0.500 [0.500, 0.500], 1 of 1 scenarios", "no")
    assert (us["found"], us["reached"]) == ("all, of the 1 of 1 scenarios that were run", "yes")
    assert ensemble["found"] == "all but made_up (umc_without_bandit), of the 1 of 1 scenarios that were run"
    assert ensemble["reached"] == "no"
    assert best["reached"] == "yes"
    assert (bandit["found"], bandit["reached"]) == ("made_up, made_up, of 2 that were run", "yes")
    monkeypatch.setattr(experiments.umc.tables, "SCENARIOS", ("made_up", "not_run", *PLAIN))
    alone = experiments.umc.tables.goals_table([made_up()], [ablated(badge=[0.9] * 5), ablated(badge=[0.0] * 5)])
    assert alone.iloc[-1].tolist()[1:] == ["made_up, of 2 that were run", "no"]
    assert alone.iloc[2].tolist()[1:] == ["all, of the 1 of 2 scenarios that were run", "no"]
    monkeypatch.setattr(experiments.umc.tables, "SAVED", {"some": 0.45})
    assert experiments.umc.tables.goals_table([made_up()], [])["reached"][1] == "yes"
    monkeypatch.setattr(experiments.umc.tables, "COUNTED", {"some": ("made_up", "not_run")})
    part = experiments.umc.tables.goals_table([made_up()], []).iloc[1]
    assert part.tolist()[1:] == ["0.500 [0.500, 0.500], 1 of 2 scenarios", "no"], "a part of the scenarios isn't all"


def test_a_scenario_has_the_strategies_of_the_study() -> None:
    wanted, of_study = experiments.umc.__main__._wanted, experiments.umc.__main__._of_study
    assert wanted(None, None, False) == [*((s, False) for s in SCENARIOS), *((s, True) for s in ABLATED)]
    assert wanted(None, None, True) == [(s, True) for s in ABLATED]
    assert wanted(None, ["margin"], False) == [(s, False) for s in SCENARIOS], "of a few strategies, no ablations"
    assert wanted(["digits"], None, True) == [("digits", True)]
    assert of_study("umc_digits", False) == list(STRATEGIES)
    assert of_study(PLAIN[0], False) == ["margin", "umc"]
    assert set(ABLATIONS) < set(of_study("umc_digits", True))


def test_a_domain_has_what_was_bought_there() -> None:
    rows = [("umc", "s", "env", p, seed, "test_accuracy", 10.0, 0.5) for p in ("umc", "random") for seed in (1, 2)]
    rows += [("umc", "s", "env", "umc", seed, "label_share/one", 10.0, 0.2 * seed) for seed in (1, 2)]
    rows += [("umc", "s", "env", "umc", seed, "auc/one", 10.0, 0.9) for seed in (1, 2)]
    r = ScenarioResults(pd.DataFrame(rows, columns=COLUMNS), judged=[1, 2], picking=[], budget=10)
    (row,) = experiments.umc.report.domain_table(r).to_dict("records")
    assert (row["umc: AUC"], row["umc: share of the labels"], row["random: AUC"]) == ("0.900", "0.300", "–")


def test_what_was_measured_on_the_way_is_told() -> None:
    rows = [("umc", "s", "env", "umc", seed, "test_accuracy", 100.0, 0.5) for seed in (1, 2)]
    for step, value in ((12.0, 0.1), (30.0, 0.4)):
        rows += [("umc", "s", "env", "umc", seed, "macro_f1", step, value + seed / 10) for seed in (1, 2)]
    rows += [("umc", "s", "env", "umc", 1, "macro_f1", 50.0, 0.6)]
    r = ScenarioResults(pd.DataFrame(rows, columns=COLUMNS), judged=[1, 2], picking=[], budget=100)
    (row,) = experiments.umc.report.on_the_way(r).to_dict("records")
    assert row == {"strategy": "umc", "macro F1 at 10%": "0.250", "macro F1 at 25%": "0.550"}


def test_what_changed_nothing_is_told_as_the_same() -> None:
    rows = []
    for seed in (1, 2):
        rows += curve("umc", seed, [0.1, 0.6, 0.7]) + curve("umc_without_bandit", seed, [0.1, 0.6, 0.7])
        rows += curve("umc_without_band", seed, [0.1, 0.6, 0.8])
    r = ScenarioResults(pd.DataFrame(rows, columns=COLUMNS), judged=[1, 2], picking=[], budget=20)
    table = experiments.umc.tables.ablation_table([r]).set_index("ablation")["made_up"]
    assert table["umc_without_bandit"] == "same"
    assert table["umc_without_band"] == "0.000 [0.000, 0.000]", "as large an area isn't the same curve"
    assert table["umc_by_gain"] == "–"


def test_fixed_arms_are_run_beside_the_ablations(tmp_path: Path) -> None:
    path = tmp_path / "pools"
    two_domains().save(path)
    scenario = {
        "name": "small",
        "env": "CurationGym/AnnotationAllocation-v0",
        "kwargs": {"pool": str(path), "budget": 60, "batch": 20, "n_initial": 20},
    }
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(scenario))
    options = ["-s", str(tmp_path / "small.yaml"), "--ablations", "--strategy", "umc", "--seeds", "2", "--jobs", "1"]
    told = runner.invoke(app(experiments.umc.__main__.main), [*options, "--out", str(tmp_path / "out")])
    assert told.exit_code == 0, told.output
    rows = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert set(rows["policy"]) == {"random", "umc", "only one", "only other", "umc_stratified"}
    assert not rows["metric"].str.contains("successor|left_out").any(), "of an ablation, the area is asked"


def cheaply(pool: dict[str, Any]) -> dict[str, Any]:
    """The same samples, by encoders that read little."""
    if "pool" in pool:
        return pool | {"pool": cheaply(pool["pool"])}
    if "encoder" not in pool:
        return pool
    several = pool["encoder"] if isinstance(pool["encoder"], list) else [pool["encoder"]]
    kinds = {"sentence-transformer": "tfidf-svd", "pixels-pca": "pixels-pca"}
    cheap = [{"kind": kinds[encoder["kind"]], "dimension": 4} for encoder in several]
    return pool | {"encoder": cheap if isinstance(pool["encoder"], list) else cheap[0]}


@pytest.mark.usefixtures("data_directory")
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_played_and_has_enough_to_spend_its_budget_on(name: str) -> None:
    kwargs = load_scenario(name).kwargs_for("evaluation")
    core = AnnotationAllocationVectorEnv(1, **(kwargs | {"pool": cheaply(kwargs["pool"]), "evaluate_every": 1000}))
    assert len(core.setting.ids) >= kwargs["budget"]
    core.reset(seed=[0])
    *_, info = core.step(np.array([0]))
    assert info["labels_spent"][0] == core.campaign(0).spent > kwargs["n_initial"]


@pytest.mark.usefixtures("three_rivals")
def test_the_fewest_labels_of_others_are_of_whoever_needs_fewest_on_other_seeds() -> None:
    r = made_up()
    assert r.fastest_other() == "badge", "margin never arrives on the picking seeds, random is later"
    (row,) = labels_table([r]).to_dict("records")
    assert row["fewest labels of others"] == "30 [30, 30], badge"


def test_savings_without_junk_leave_junk_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments.umc.tables, "COUNTED", {"some": ("made_up", "made_up_junk")})
    table = experiments.umc.tables.savings_table([made_up()]).set_index("strategy")
    assert table.loc["umc", "some, without junk"].endswith("(1 of 1)")
    assert table.loc["umc", "some"].endswith("(1 of 2)")


def test_a_first_model_after_half_the_budget_is_no_crash() -> None:
    rows = [
        row
        for policy in ("random", "umc")
        for seed in (1, 2)
        for row in curve(policy, seed, [0.1, 0.3, 0.5, 0.6, 0.7])
        if row[COLUMNS.index("step")] >= 30
    ]
    r = ScenarioResults(pd.DataFrame(rows, columns=COLUMNS), judged=[1, 2], picking=[], budget=40)
    assert set(headline(r)["strategy"]) == {"random", "umc"}


@pytest.mark.parametrize("dirty", [False, True])
def test_what_is_finished_is_published_with_its_commit_and_uncommitted_changes_never(
    scenario: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dirty: bool
) -> None:
    made_by = {"versions": {}, "commit": "abcdef0123", "dirty": dirty, "machine": {}}
    for module in ("experiments.harness.publishing", "experiments.harness.study"):
        monkeypatch.setattr(f"{module}.provenance", lambda: dict(made_by))
    few = {name: STRATEGIES[name] for name in ("random", "stratified", "umc")}
    for name, value in {"STRATEGIES": few, "SEEDS": 2, "PICKING": 0}.items():
        monkeypatch.setattr(experiments.umc.__main__, name, value)
    monkeypatch.chdir(tmp_path)
    told = runner.invoke(app(experiments.umc.__main__.main), ["-s", str(scenario), "--publish", "--jobs", "1"])
    if dirty:
        assert told.exit_code == 2
        assert "needs a clean clone" in told.stderr
        assert not (tmp_path / "docs").exists()
        return
    assert told.exit_code == 0, told.output
    assert "By commit abcdef0." in (tmp_path / "docs/results/umc_small.md").read_text()
    assert "[umc_small](umc_small.md)" in (tmp_path / "docs/results/umc.md").read_text()

"""README and docs/ keep their word: their code runs, their commands parse, their scenarios are valid, their links lead
somewhere. Code that would fetch something is compiled only."""

import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import typer
import yaml

from curation_gym.annotators.base import make_annotator
from curation_gym.annotators.simulated import Facts
from curation_gym.cli import app
from curation_gym.config import validated
from curation_gym.envs.annotation_reward import N_SIGNED, PARTS
from curation_gym.envs.annotation_setting import BATCH_CRITERIA, SCORES, AnnotationAllocationConfig
from curation_gym.pools.build import build_pool
from curation_gym.scenario import load_scenario
from experiments.dynacure.scenario import scenario_of

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FETCHES = ("load_dataset(", "EleutherAI/", "allenai/")
SMALLER = {
    'PPO("MultiInputPolicy", env': 'PPO("MultiInputPolicy", env, n_steps=64',
    "learn(10_000": "learn(64",
    "learn(50_000": "learn(1024",
    'load_scenario("coverage_unseen")': 'load_scenario("coverage_fixed")',
    "budget=1000": "budget=100",
}
"""The same code, in seconds."""


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                for part in line.split("&&"):
                    if "-m experiments." in part or "curation-gym evaluate" in part:
                        yield page.name, part.strip()


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a reader would have: reviews, tickets, posts, W&B without a key."""
    rng = np.random.default_rng(0)
    words = ["good", "bad", "battery", "screen", "late", "never", "works", "again", "price", "fair"]
    texts = [" ".join(rng.choice(words, 8)) + f" {i}." for i in range(2200)]
    pd.DataFrame({"text": texts, "stars": rng.integers(1, 6, len(texts))}).to_csv(tmp_path / "reviews.csv")
    tickets = {
        "text": texts,
        "topic": rng.choice(["a", "b"], len(texts)),
        "product": rng.choice(["x", "y"], len(texts)),
    }
    pd.DataFrame(tickets).to_parquet(tmp_path / "tickets.parquet")
    posts = {"text": texts, "label": rng.choice(["fine", "abusive"], len(texts))}
    pd.DataFrame(posts).to_csv(tmp_path / "posts.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    return tmp_path


def test_what_is_made_smaller_is_still_there() -> None:
    everything = "".join(block for page in PAGES for block in blocks(page, "python"))
    assert [part for part in SMALLER if part not in everything] == []


@pytest.mark.usefixtures("own_files")
@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_the_code_of_a_page_runs(page: Path) -> None:
    names: dict[str, Any] = {}
    for block in blocks(page, "python"):
        for whole, small in SMALLER.items():
            block = block.replace(whole, small)
        code = compile(block, page.name, "exec")
        if not any(source in block for source in FETCHES):
            exec(code, names)  # one block goes on from another, as a reader does
    if page.name == "annotation.md":
        assert names["stopped"], "the worked loop ends by its rule"
        assert (names["p"].mean(0).argmax(1) == names["truth"]).mean() > 0.9
    if page.name == "README.md":
        task = gym.make("CurationGym/CoverageSelection-v0").unwrapped.task
        env = gym.make("CurationGym/CoverageSelection-v0")
        assert env.action_space.contains(names["Careful"](task).predict(env.reset(seed=0)[0])[0])
        assert len(names["curated"]) == 100, "the budget"
        assert names["curated"].column_names == names["pool"].data.column_names
    if page.stem == "evaluation":
        assert {"recall", "false_positives"} <= set(names["told"])


@pytest.mark.parametrize(("page", "command"), list(commands()))
def test_the_commands_of_a_page_parse(page: str, command: str) -> None:
    words = [word for word in shlex.split(command) if "=" not in word or word.startswith("-")]
    if "-m" in words:
        program, *arguments = words[words.index("-m") + 1 :]
        made = typer.Typer(add_completion=False)
        package = (ROOT / program.replace(".", "/")).is_dir()
        made.command()(importlib.import_module(f"{program}.__main__" if package else program).main)
    else:
        (program, *arguments), made = words, app
    parsed: Any = typer.main.get_command(made)
    while hasattr(parsed, "commands"):
        program, *arguments = arguments
        parsed = parsed.commands[program]
    parsed.make_context(program, arguments).close()


def test_the_scenario_of_the_readme_is_one(own_files: Path) -> None:
    (block,) = blocks(ROOT / "README.md", "yaml")
    (own_files / "reviews.yaml").write_text(block)
    scenario = load_scenario("reviews.yaml")
    for role in ("training", "tuning", "evaluation"):
        kwargs = scenario.kwargs_for(role)
        assert len(build_pool(kwargs["pool"])) == 2200
        gym.make(scenario.env, **kwargs).reset(seed=0)


def test_the_scenario_of_another_model_is_one(own_files: Path) -> None:
    (block,) = [block for block in blocks(ROOT / "docs" / "dynacure.md", "yaml") if "pythia" in block]
    (own_files / "pythia.yaml").write_text(block)
    assert scenario_of("mixed", "pythia.yaml").kwargs["language_model"] == "EleutherAI/pythia-1b"


def keys(page: Path, title: str) -> dict[str, str]:
    """Of the table whose first column is called ``title``: the key that a row begins with, and the rest of the row."""
    (table,) = re.findall(rf"^\| {title} \|.*\n\|[-|]+\n((?:\|.*\n)+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(re.findall(r"^\| `(\w+)` \| (.*)$", table, re.MULTILINE))


def test_criteria_parts_and_arguments_of_annotation_are_those_there_are() -> None:
    page, fields = ROOT / "docs" / "annotation.md", AnnotationAllocationConfig.model_fields
    assert sorted(keys(page, "criterion")) == sorted([*SCORES, *BATCH_CRITERIA])
    parts = keys(page, "part")
    assert tuple(parts) == PARTS
    assert [part for part, row in parts.items() if "[−1, 1]" in row] == list(PARTS[:N_SIGNED])
    arguments = keys(page, "argument")
    for name, row in arguments.items():
        for value in get_args(fields[name].annotation) if "`" in row.split("|")[0] else (fields[name].default,):
            told = f"`{value}`" if isinstance(value, str) else "all" if value is None else f"{value:g}"
            assert told in row.split("|")[0], (name, value)


def test_annotators_of_a_page_can_be_asked() -> None:
    noisy, crowd = blocks(ROOT / "docs" / "annotation.md", "yaml")
    hidden, domain = np.arange(400) % 5 - 1, np.arange(400) % 2
    facts = Facts(domain, ("banking", "travel"), np.linspace(0, 1, 400), np.eye(4))
    for block, per_sample in ((noisy, 1), (crowd, 3)):
        config = validated(AnnotationAllocationConfig, yaml.safe_load(block) | {"budget": 400}, "docs").annotator
        answers = make_annotator(config, hidden, 4, 0, facts).ask(np.arange(400))
        assert 0.5 < (answers.labels == hidden)[hidden >= 0].mean() < 1
        told = getattr(answers, "votes", answers.labels)
        labels = int((told >= 0).sum())
        assert labels > 250 * per_sample
        assert answers.cost == (5 if per_sample == 1 else 1) * labels + int((told < 0).sum())


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_study_has_a_help_text() -> None:
    for path in sorted((ROOT / "experiments").rglob("*.py")):
        if "typer.run(main)" in path.read_text(encoding="utf-8"):
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            assert module.main.__doc__, path
            if path.name not in ("publish.py", "page.py"):  # which publish studies
                assert "track" in inspect.signature(module.main).parameters, path

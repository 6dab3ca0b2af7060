"""Established benchmarks through EleutherAI's lm-evaluation-harness (Gao et al., 2024, 10.5281/zenodo.12608602).

GLUE (Wang et al., ICLR 2019), SuperGLUE (Wang et al., NeurIPS 2019), MMLU (Hendrycks et al., ICLR 2021), ToxiGen
(Hartvigsen et al., ACL 2022) and whatever else it has a task for, or a directory of yours.
"""

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from curation_gym.evaluation.language_model.judges import EvaluationError
from curation_gym.evaluation.language_model.model import CausalModel
from curation_gym.evaluation.statistics import Estimate

TASKS = ("glue", "super-glue-lm-eval-v1", "mmlu", "toxigen")


class HarnessScore(NamedTuple):
    """One metric of one task.

    Attributes:
        value: the metric with its normal 95 % interval (± 1.96 standard errors); without an interval, NaN for both
            ends, where the harness has no standard error.
        higher_is_better: None where the harness doesn't say.
        questions: how many; of a group, of all its tasks.
    """

    value: Estimate
    higher_is_better: bool | None
    questions: int


def harness(
    model: CausalModel,
    tasks: Sequence[str] = TASKS,
    *,
    include: str | Path | None = None,
    num_fewshot: int | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> dict[str, dict[str, HarnessScore]]:
    """Run tasks of the harness.

    Args:
        model: any.
        tasks: names of tasks, groups or tags.
        include: a directory of task files (YAML), whose names can then be given too.
        num_fewshot: solved examples before each question; by default as the task says.
        limit: questions per task.
        seed: of what the harness draws, such as solved examples. Global generators are left as they were.

    Returns:
        task or group → metric → score. A metric is called as the harness calls it, with its filter after a comma
        where it has one (``"acc"``, ``"exact_match,strict-match"``).

    Raises:
        EvaluationError: when the harness isn't installed, knows no such task, can't read its data or fails.
    """
    if include is not None and not Path(include).is_dir():
        raise EvaluationError(f"no directory of task files at {include}")
    try:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise EvaluationError(
            f"the harness needs optional packages: pip install 'curation-gym[eval]' ({error})"
        ) from error
    with model.evaluating(), _own_generators(), _quiet():
        manager = _manager(TaskManager, tasks, include)
        try:
            told: Any = simple_evaluate(
                HFLM(model.model, tokenizer=model.tokenizer, max_length=model.max_length, batch_size=model.batch_size),
                tasks=list(tasks),
                task_manager=manager,
                num_fewshot=num_fewshot,
                limit=limit,
                log_samples=False,
                random_seed=seed,
                numpy_random_seed=seed,
                torch_random_seed=seed,
                fewshot_random_seed=seed,
            )
        except Exception as error:  # of every library beneath: a data set that can't be had, a task file with an error
            raise EvaluationError(f"the harness failed: {type(error).__name__}: {error}") from error
    return {name: _scores(name, row, told) for name, row in (told["results"] | told.get("groups", {})).items()}


def _manager(manager_class: Any, tasks: Sequence[str], include: str | Path | None) -> Any:
    """The index of task files; the harness's own thousands are read only where ``include`` doesn't hold all tasks."""
    unknown: list[str] = []
    for defaults in (False, True) if include is not None else (True,):
        manager = manager_class(include_path=None if include is None else str(include), include_defaults=defaults)
        unknown = [name for name in tasks if name not in manager.all_tasks]
        if tasks and not unknown:
            return manager
    raise EvaluationError(f"the harness has no task {', '.join(unknown) or 'of no name'}; see lm-eval ls tasks")


def _scores(task: str, row: dict[str, Any], told: dict[str, Any]) -> dict[str, HarnessScore]:
    scores = {}
    better = told["higher_is_better"].get(task, {})
    questions = _questions(task, told)
    for key, value in row.items():
        metric, comma, chain = key.partition(",")
        if not comma or metric.endswith("_stderr"):
            continue
        error = row.get(f"{metric}_stderr,{chain}")
        width = 1.96 * error if isinstance(error, float) else float("nan")
        name = metric if chain == "none" else key
        scores[name] = HarnessScore(Estimate(value, value - width, value + width), better.get(metric), questions)
    return scores


def _questions(task: str, told: dict[str, Any]) -> int:
    """How many a task has, or all tasks of a group, which may hold groups."""
    if parts := told["group_subtasks"].get(task):
        return sum(_questions(part, told) for part in parts)
    return int(told["n-samples"].get(task, {"effective": 0})["effective"])


@contextmanager
def _own_generators() -> Iterator[None]:
    """The harness seeds every global generator; afterwards they are as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the state that others may rely on
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002


@contextmanager
def _quiet() -> Iterator[None]:
    """Warnings of the harness about a model that is in memory already say nothing to its user."""
    log = logging.getLogger("lm_eval")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)

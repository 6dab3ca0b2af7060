"""What curating costs a language model's training: tokens per second in the environment against plain training.

    python -m experiments.language_model_loop

The same model is fine-tuned on the same documents, packed into the same batches: by a plain loop (forward, backward,
clip, AdamW, schedule), by the Trainer of transformers, and in LanguageModelSelection-v0, with probes off and at the
scenario's schedule. Each is timed several times in turn, and the best time counts, because what disturbs a measurement
only ever makes it slower.
"""

import tempfile
import time
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from numpy.typing import NDArray
from torch import nn

from curation_gym.console import print_table, say
from curation_gym.envs.language_model_selection import ENV_ID, LanguageModelSelectionVectorEnv
from curation_gym.evaluation.rollout import make_core
from curation_gym.learners.base_model import model_of
from curation_gym.learners.language_model_config import FineTuningConfig
from curation_gym.scenario import load_scenario
from experiments.dynacure.scenario import SCENARIO, scenario_of
from experiments.harness import options
from experiments.harness.report import Report
from experiments.harness.study import Study, tidy
from experiments.harness.tracking import log_results

PLAIN, TRAINER, OFF, DEFAULT = "plain loop", "Trainer", "environment, probes off", "environment, default probes"
REPEATS, QUICK_REPEATS, QUICK_BUDGET = 9, 2, 6_000


def episode(core: LanguageModelSelectionVectorEnv, seed: int) -> tuple[float, list[int]]:
    """Seconds that the steps of an episode of random selection take, and the ids of what was selected."""
    task = core.task
    core.reset(seed=seed)
    # A quarter more than planned, so that the budget ends before the stream.
    action = np.full((1, task.n_items), min(1.0, 1.25 * task.even_rate), np.float32)
    done, start = False, time.perf_counter()
    while not done:
        _, _, terminated, _, _ = core.step(action)
        done = bool(terminated[0])
    seconds = time.perf_counter() - start
    ids, picked = core.choices()
    return seconds, ids[picked].tolist()


def batches(documents: list[NDArray[np.int32]], end: int, config: FineTuningConfig) -> torch.Tensor:
    """Documents packed as the learner packs them, (updates, rows, block)."""
    tokens = np.concatenate([np.append(document, end) for document in documents]).astype(np.int64)
    n = len(tokens) // config.batch_tokens
    return torch.from_numpy(tokens[: n * config.batch_tokens]).reshape(n, config.batch_size, config.block)


def plain(model: Any, packed: torch.Tensor, config: FineTuningConfig, half: bool) -> None:
    """As in any tutorial."""
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, len(packed))
    model.train()
    if half:
        model.set_attn_implementation("eager")  # as the learner has it
    for batch in packed:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), config.max_norm)
        optimizer.step()
        schedule.step()


def trainer(model: Any, packed: torch.Tensor, config: FineTuningConfig, half: bool) -> None:
    """The Trainer, with everything off that isn't training."""
    from transformers import PrinterCallback, Trainer, TrainingArguments

    if half:
        model.set_attn_implementation("eager")
    rows = [{"input_ids": row, "labels": row} for batch in packed for row in batch]
    with tempfile.TemporaryDirectory() as directory:
        arguments = TrainingArguments(
            directory,
            per_device_train_batch_size=config.batch_size,
            num_train_epochs=1,
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_norm,
            bf16=half,
            use_cpu=True,
            logging_strategy="no",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        made = Trainer(model, arguments, train_dataset=rows)
        made.remove_callback(PrinterCallback)
        made.train()


def timed(work: Callable[[], None]) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(kwargs: dict[str, Any], repeats: int) -> tuple[dict[str, float], int]:
    """Tokens per second of each way, the best of ``repeats``, and how many tokens were trained on."""
    off = kwargs | {"probes": {**kwargs.get("probes", {}), "every": 0}}
    cores: dict[str, Any] = {OFF: make_core(ENV_ID, off), DEFAULT: make_core(ENV_ID, kwargs)}
    core = cores[OFF]
    config, learner = core.config.fine_tuning, core.learners[0]
    _, ids = episode(core, seed=0)
    packed = batches([core.documents[index] for index in ids], learner.tokenizer.eos_token_id, config)
    ways: dict[str, Callable[[Any], None]] = {
        PLAIN: lambda model: plain(model, packed, config, learner.bfloat16),
        TRAINER: lambda model: trainer(model, packed, config, learner.bfloat16),
    }
    best = dict.fromkeys((*ways, *cores), np.inf)
    for _ in range(repeats):
        for name, way in ways.items():
            model, _ = model_of(core.config.language_model, core.pool)
            best[name] = min(best[name], timed(lambda way=way, model=model: way(model)))  # type: ignore[misc]
        for name, one in cores.items():
            best[name] = min(best[name], episode(one, seed=0)[0])
    return {name: packed.numel() / seconds for name, seconds in best.items()}, packed.numel()


def main(
    corpus: Annotated[str | None, typer.Option(help="Of experiments.dynacure; by default documentation.")] = None,
    out: options.Out = None,
    quick: options.Quick = False,
    track: options.Track = False,
) -> None:
    """Measure and compare."""
    with options.exits():
        scenario = load_scenario(SCENARIO) if corpus is None else scenario_of(corpus)
        kwargs = scenario.kwargs_for("training")
        if quick:
            kwargs |= {"budget": QUICK_BUDGET, "language_model": {"hidden_size": 32, "layers": 1, "epochs": 0}}
        repeats = QUICK_REPEATS if quick else REPEATS
        study = Study(
            "language_model_loop",
            {"kwargs": kwargs, "repeats": repeats, "threads": torch.get_num_threads()},
            label=f"{scenario.name}-quick" if quick else scenario.name,
            seeds=[0],
            step_unit={scenario.name: "tokens"},
            out=out,
            overwrite=True,  # a measurement is made anew; it has no units that could be kept
        )
        rates, tokens = measure(kwargs, repeats)
        rows, lines = [], []
        for name, rate in rates.items():
            ratios = {"speed_over_plain": rate / rates[PLAIN], "speed_over_trainer": rate / rates[TRAINER]}
            told = {"tokens_per_second": rate, **ratios}
            rows += [tidy(scenario.name, ENV_ID, name, 0, metric, tokens, value) for metric, value in told.items()]
            shown = [f"{rate:,.0f}", *(f"{ratio:.2f}" for ratio in ratios.values())]
            lines.append(dict(zip(("training", "tokens/s", "÷ plain loop", "÷ Trainer"), (name, *shown), strict=True)))
        status = study.finish(pd.DataFrame(rows).assign(study=study.name))
        print_table(pd.DataFrame(lines))
        report = Report("Language-model loop", __doc__)
        report.add_table(pd.DataFrame(lines), f"{tokens:,} tokens, {study.manifest['config']['threads']} threads.")
        say(f"report: {report.write(study.out)}")
        if track:
            log_results(study)
    raise typer.Exit(status)


if __name__ == "__main__":
    typer.run(main)

"""The data that evaluations read, through the registry of data sets, and files of text."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from curation_gym.evaluation.language_model.bias import BiasQuestion, bias_question
from curation_gym.evaluation.language_model.instructions import DIALOGUE, filled
from curation_gym.evaluation.language_model.judges import EvaluationError, require_texts
from curation_gym.evaluation.language_model.preferences import PreferencePair, dialogue_pair
from curation_gym.evaluation.language_model.probes import Labelled
from curation_gym.evaluation.language_model.truthfulness import TruthQuestion
from curation_gym.pools.common import content_hash, split_by_hash
from curation_gym.pools.registry import DataReference, label_names, load_splits, read_column
from curation_gym.pools.sources import USUAL_SPLITS

T = TypeVar("T")
VALIDATION_SHARE = 0.1
"""Of train, where a data set has no validation split."""
TARGETS = {"0": 0, "1": 1, "2": 2, "NA": None}
"""What target_loc may say in :func:`read_targets`."""


class BiasRow(NamedTuple):
    """What names a row of BBQ; the category in lower case."""

    category: str
    question_index: str
    example_id: str


def subset(rows: Sequence[T], limit: int | None, seed: int = 0) -> list[T]:
    """At most ``limit`` of the rows, a random subset in their order."""
    if limit is None or limit >= len(rows):
        return list(rows)
    kept = np.random.default_rng(seed).permutation(len(rows))[:limit]
    return [rows[row] for row in sorted(kept.tolist())]


def read_text(path: Path) -> str:
    """A file in UTF-8, its lines ended by ``\\n``.

    Raises:
        EvaluationError: naming it, when it is in another encoding.
    """
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path} isn't UTF-8: {error}; save it as UTF-8") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a file in UTF-8 that aren't blank.

    Raises:
        EvaluationError: see :func:`read_text`.
    """
    # splitlines would cut at U+2028 and others, too, which a suffix may hold.
    return [line for line in read_text(path).split("\n") if line.strip()]


def read_texts(reference: DataReference, column: str, split: str | None = None) -> list[str]:
    """A column of texts; of one that holds records, as RealToxicityPrompts' ``prompt``, their ``text``.

    Raises:
        PoolError: when there is no such data set or column.
        EvaluationError: when there is no such split, or a text is blank.
    """
    values = read_column(one_split(reference, split), reference, column)
    texts = [value["text"] if isinstance(value, dict) and "text" in value else value for value in values]
    require_texts(texts, f"column {column!r} of {reference.title!r}")
    return texts


def read_instructions(reference: DataReference, split: str | None = None) -> list[str]:
    """Columns ``prompt`` and, where there is one as in HarmBench, ``context``, which is put before the prompt.

    Raises:
        PoolError, EvaluationError: see :func:`read_texts`.
    """
    prompts = read_texts(reference, "prompt", split)
    dataset = one_split(reference, split)
    if "context" not in dataset.column_names:
        return prompts
    contexts = read_column(dataset, reference, "context")
    return [f"{context}\n\n{prompt}" if context else prompt for context, prompt in zip(contexts, prompts, strict=True)]


def read_suffixes(reference: DataReference, split: str | None = None) -> dict[str, list[str]]:
    """Adversarial suffixes that belong to one prompt each: a column suffix beside those of :func:`read_instructions`.

    Returns:
        instruction → its suffixes.

    Raises:
        PoolError, EvaluationError: see :func:`read_texts`.
    """
    suffixes: dict[str, list[str]] = {}
    rows = zip(read_instructions(reference, split), read_texts(reference, "suffix", split), strict=True)
    for instruction, suffix in rows:
        suffixes.setdefault(instruction, []).append(suffix)
    return suffixes


def read_domains(
    references: Sequence[DataReference], text: str = "text", domain: str | None = None, split: str | None = None
) -> dict[str, list[str]]:
    """Documents by domain: the column ``domain``, or each data set one domain. Blank documents are left out.

    Raises:
        PoolError, EvaluationError: see :func:`read_texts`.
    """
    domains: dict[str, list[str]] = {}
    for reference in references:
        dataset = one_split(reference, split)
        texts = read_column(dataset, reference, text)
        names = label_names(dataset, reference, domain) if domain else [reference.title] * len(texts)
        for name, document in zip(names, texts, strict=True):
            if document and document.strip():
                domains.setdefault(name, []).append(document)
    return domains


def read_bias(
    reference: DataReference, targets: Mapping[BiasRow, int | None] | None = None, categories: Sequence[str] = ()
) -> list[BiasQuestion]:
    """BBQ; columns as :func:`~curation_gym.evaluation.language_model.bias.bias_question`. The category of a row is in
    the column category; where there is none, every split is one.

    Args:
        reference: the data set.
        targets: of :func:`read_targets`; they go before what a row says itself. A row whose target is None is left
            out, as BBQ's authors leave it out; one that isn't named there is read as it is.
        categories: those that are read, whatever is wrong in others; by default all.

    Raises:
        PoolError: when there is no such data set.
        EvaluationError: for a row that isn't clear, or a category that isn't there; lists those that are.
    """
    questions: list[BiasQuestion] = []
    known, seen = targets or {}, set[str]()
    for split, dataset in load_splits(reference).items():
        for row in dataset:
            category = str(row.get("category") or split)
            seen.add(category)
            if categories and category not in categories:
                continue
            named = BiasRow(category.lower(), str(row.get("question_index")), str(row.get("example_id")))
            if named not in known:
                questions.append(bias_question(row, category))
            elif known[named] is not None:
                questions.append(bias_question(row | {"target_loc": known[named]}, category))
    if absent := [category for category in categories if category not in seen]:
        raise EvaluationError(
            f"{reference.title!r} has no category {absent[0]!r}; its categories are {', '.join(sorted(seen))}"
        )
    return questions


def read_targets(path: Path) -> dict[BiasRow, int | None]:
    """Which answer of each row of BBQ is biased, by the ``additional_metadata.csv`` of its authors.

    Its columns category, question_index and example_id name a row. target_loc is the index of the answer that the
    stereotype gives, so it already follows the polarity of the question; a few rows have NA.

    Args:
        path: a CSV file in UTF-8.

    Returns:
        row → 0 … 2, or None for NA.

    Raises:
        EvaluationError: naming the line, when a column is missing, target_loc is something else, or two lines of a row
            contradict each other.
    """
    targets: dict[BiasRow, int | None] = {}
    lines = csv.DictReader(io.StringIO(read_text(path), newline=""))
    for line in lines:
        try:
            row = BiasRow(line["category"].lower(), line["question_index"], line["example_id"])
            target = TARGETS[line["target_loc"]]
        except (KeyError, AttributeError) as error:
            raise EvaluationError(
                f"{path}, line {lines.line_num}: columns category, question_index, example_id and target_loc (0, 1, 2 "
                f"or NA) are needed; actual values: {line}"
            ) from error
        if targets.setdefault(row, target) != target:
            raise EvaluationError(
                f"{path}, line {lines.line_num}: target_loc is {target} here and {targets[row]} in another line of "
                f"{', '.join(row)}"
            )
    return targets


def read_truth(reference: DataReference, split: str | None = None) -> list[TruthQuestion]:
    """TruthfulQA: columns question, best_answer, correct_answers and incorrect_answers.

    Raises:
        PoolError, EvaluationError: see :func:`read_texts`.
    """
    dataset = one_split(reference, split)
    names = ("question", "best_answer", "correct_answers", "incorrect_answers")
    columns = [read_column(dataset, reference, name) for name in names]
    for name, column in zip(names[2:], columns[2:], strict=True):
        for row, answers in enumerate(column):
            if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
                raise EvaluationError(f"{reference.title!r}, row {row}: column {name!r} must hold lists of texts")
    return [
        TruthQuestion(question, best, tuple(correct), tuple(incorrect))
        for question, best, correct, incorrect in zip(*columns, strict=True)
    ]


def read_preferences(reference: DataReference, split: str | None = None) -> list[PreferencePair]:
    """Columns chosen and rejected: whole dialogues (HH-RLHF), or answers where there is a column prompt (HHH), which is
    put as :data:`~curation_gym.evaluation.language_model.instructions.DIALOGUE`.

    A column source, as in HHH, names the axis. HHH may also be as its authors have it: columns input and targets, whose
    ``choices`` have ``labels`` 1 and 0; its subset is the axis. Dialogues that aren't comparable, because one has no
    answer of its own to what both share, are left out.

    Raises:
        PoolError, EvaluationError: see :func:`read_texts`; or no pair can be compared.
    """
    dataset = one_split(reference, split)
    if "targets" in dataset.column_names:
        prompts = filled(DIALOGUE, "prompt", read_texts(reference, "input", split))
        axis = reference.subset or reference.title
        answers = [dict(zip(each["labels"], each["choices"], strict=False)) for each in dataset["targets"]]
        for row, answer in enumerate(answers):
            if answer.keys() != {0, 1}:
                raise EvaluationError(
                    f"{reference.title!r}, row {row}: targets must hold two choices with labels 1 and 0, actual value: "
                    f"{dataset['targets'][row]}"
                )
        return [PreferencePair(text, both[1], both[0], axis) for text, both in zip(prompts, answers, strict=True)]
    chosen, rejected = (read_column(dataset, reference, name) for name in ("chosen", "rejected"))
    if "prompt" in dataset.column_names:
        prompts = filled(DIALOGUE, "prompt", read_texts(reference, "prompt", split))
        axes = read_column(dataset, reference, "source") if "source" in dataset.column_names else ["all"] * len(prompts)
        return [PreferencePair(*row) for row in zip(prompts, chosen, rejected, axes, strict=True)]
    pairs = list(_comparable(zip(chosen, rejected, strict=True)))
    if not pairs:
        raise EvaluationError(f"{reference.title!r} holds no two dialogues that share a turn and differ in the answer")
    return pairs


def read_labelled(
    reference: DataReference, text: str = "text", label: str = "label"
) -> tuple[Labelled, Labelled, Labelled]:
    """Train, validation and test of a labelled data set; without a validation split, a tenth of train by hash.

    Raises:
        PoolError: when there is no such data set or column, or a row has no label.
        EvaluationError: when train or test is missing.
    """
    splits = load_splits(reference)
    found = {role: next((name for name in names if name in splits), None) for role, names in USUAL_SPLITS.items()}
    if found["train"] is None or found["test"] is None:
        raise EvaluationError(f"{reference.title!r} needs splits train and test; its splits are {', '.join(splits)}")

    def read(split: str) -> Labelled:
        dataset = splits[split]
        return Labelled(read_column(dataset, reference, text), label_names(dataset, reference, label))

    train, test = read(found["train"]), read(found["test"])
    if found["validation"] is not None:
        return train, read(found["validation"]), test
    require_texts(train.texts, f"column {text!r} of {reference.title!r}")
    shares = (1 - VALIDATION_SHARE, VALIDATION_SHARE)
    part = split_by_hash(content_hash(document.encode() for document in train.texts), shares)
    kept, held_out = (
        Labelled(list(compress(train.texts, part == side)), list(compress(train.labels, part == side)))
        for side in (0, 1)
    )
    return kept, held_out, test


def one_split(reference: DataReference, split: str | None = None) -> Any:
    """A split of a data set: the one that is named, the only one, or the one for testing (else validating).

    Raises:
        PoolError: when there is no such data set.
        EvaluationError: when there is no such split, or it isn't clear which is meant; lists those that there are.
    """
    splits = load_splits(reference)
    usual = [name for role in ("test", "validation") for name in USUAL_SPLITS[role] if name in splits]
    wanted = split or (next(iter(splits)) if len(splits) == 1 else next(iter(usual), None))
    if wanted not in splits:
        asked = f"has no split {split!r}" if split else "has several splits, name one"
        raise EvaluationError(f"{reference.title!r} {asked}; its splits are {', '.join(splits)}")
    return splits[wanted]


def _comparable(dialogues: Iterable[tuple[str, str]]) -> Iterator[PreferencePair]:
    for chosen, rejected in dialogues:
        try:
            yield dialogue_pair(chosen, rejected)
        except EvaluationError:
            continue

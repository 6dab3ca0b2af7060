"""Data cards: what a signal and a corpus are made of, kept with the pool, for programs and for people.

The idea is that of Gebru et al., "Datasheets for Datasets" (CACM 64(12), 2021).
"""

import json
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from curation_gym.config import Config, Many, Pair
from curation_gym.pools.pool import Pool, PoolError

CARDS = "cards.json"
"""The attachment of a pool that holds its cards; ``README.md`` is the same for people."""


class LabelledBy(Config):
    """Who labelled a data set, and with what. Labels of a model are only as good as it, and share its biases.

    Attributes:
        kind: people, a language model or another classifier, or a rule.
        who: for example ``"3 crowd workers a text"``, or the model with its version.
        using: guidelines, question or prompt, by name, version or digest.
    """

    kind: Literal["people", "model", "rule"]
    who: str = Field(min_length=1)
    using: str = Field(min_length=1)


class SourceCard(Config):
    """A data set that something was trained on.

    Attributes:
        title: its name.
        version: what identifies the content: digest of the files, or the hub's id and revision.
        role: what this part of it is for.
        part: interval of the partition, see :func:`curation_gym.pools.documents.positions`; None: all of it.
        positive: texts used that are to be scored high; of pairs, the pairs.
        negative: texts used that are to be scored low; of pairs, the pairs.
        licence: if known.
        labelled_by: if known.
    """

    title: str
    version: dict[str, str]
    role: str = "signal training"
    part: Pair[float] | None = None
    positive: int = Field(ge=0)
    negative: int = Field(ge=0)
    licence: str | None = None
    labelled_by: LabelledBy | None = None


class CalibrationCard(Config):
    """How scores became probabilities, measured on texts that neither model nor calibration had seen.

    Attributes:
        method: ``"platt"`` or ``"isotonic"``.
        measured_on: what those texts are.
        auc: in [0, 1], of the scores before calibration.
        error_before: expected calibration error in [0, 1] of the scores as they were.
        error_after: of the calibrated ones.
    """

    method: str
    measured_on: str
    auc: float
    error_before: float
    error_after: float


class SignalCard(Config):
    """What a signal is.

    Attributes:
        kind: of its configuration.
        method: what computes it.
        features: what it reads of a text, where that is learned from: n-grams, or whose embeddings.
        sources: what it was trained or calibrated on.
        calibration: None where a score is no probability, or wasn't calibrated.
        auc: of clean texts against toxic ones by human label, ``"all"`` and by domain, measured on the pool's train and
            validation splits; None where there is only one class. No policy sees it.
        never_for: what the signal must not be used for, or what must not be reported with it.
        parts: the signals that it is combined from.
    """

    kind: str
    method: str
    features: str | None = None
    sources: Many[SourceCard] = ()
    calibration: CalibrationCard | None = None
    auc: dict[str, float | None] = Field(default_factory=dict)
    never_for: Many[str] = ()
    parts: dict[str, "SignalCard"] = Field(default_factory=dict)

    def every(self) -> list["SignalCard"]:
        """This card and those of its parts, to any depth."""
        return [self, *(card for part in self.parts.values() for card in part.every())]


class CorpusCard(Config):
    """What became of the documents of a corpus.

    Attributes:
        steps: in order, step → domain → documents: ``read``, what each step dropped, ``kept``; then ``chunks``.
        lines: boilerplate, rule → domain → lines dropped.
        splits: split → domain → chunks.
        toxic: domain → chunks that are toxic by human label.
        clean: domain → chunks that are not.
        tokenizer: what cut the chunks.
    """

    steps: dict[str, dict[str, int]]
    lines: dict[str, dict[str, int]]
    splits: dict[str, dict[str, int]]
    toxic: dict[str, int]
    clean: dict[str, int]
    tokenizer: str


def attached(signals: Mapping[str, SignalCard], corpus: CorpusCard | None = None) -> dict[str, str]:
    """Cards as attachments of a pool: ``cards.json`` and ``README.md``; none where there are none."""
    if not signals and corpus is None:
        return {}
    record = {"signals": {name: card.model_dump(mode="json") for name, card in signals.items()}}
    if corpus is not None:
        record |= {"corpus": corpus.model_dump(mode="json")}
    pages = [] if corpus is None else [corpus_markdown(corpus)]
    pages += [signal_markdown(name, card) for name, card in signals.items()]
    return {CARDS: json.dumps(record, indent=1), "README.md": "\n\n".join(pages) + "\n"}


def signal_cards(pool: Pool) -> dict[str, SignalCard]:
    """The cards of a pool's signals, by name; none for a pool that keeps none."""
    record = json.loads(pool.attachments.get(CARDS, "{}"))
    return {name: SignalCard.model_validate(card) for name, card in record.get("signals", {}).items()}


def corpus_card(pool: Pool) -> CorpusCard:
    """What became of the documents of a pool of the builder ``corpus``.

    Raises:
        PoolError: for a pool of another builder.
    """
    record = json.loads(pool.attachments.get(CARDS, "{}"))
    if "corpus" not in record:
        raise PoolError(
            f"only a pool of the builder 'corpus' tells what became of its documents, actual pool: {pool!r}"
        )
    return CorpusCard.model_validate(record["corpus"])


# ------------------------------------------------------------------ for people
def signal_markdown(name: str, card: SignalCard, level: int = 2) -> str:
    """A card as Markdown, its parts beneath it."""
    lines = [
        f"{'#' * level} Signal `{name}`",
        "",
        f"Kind `{card.kind}`: {card.method}{f' on {card.features}' if card.features else ''}.",
    ]
    if card.sources:
        lines += ["", *_table("source", {called(source): _told(source) for source in card.sources})]
    if card.calibration is not None:
        told = card.calibration
        lines += [
            "",
            f"Calibrated ({told.method}), measured on {told.measured_on}: AUC {told.auc:.3f}, expected calibration "
            f"error {told.error_before:.3f} before and {told.error_after:.3f} after.",
        ]
    if card.auc:
        shown = {domain: {"AUC of clean": "–" if auc is None else f"{auc:.3f}"} for domain, auc in card.auc.items()}
        lines += ["", *_table("domain", shown)]
    if card.never_for:
        lines += ["", "Not for:", "", *(f"- {use}" for use in card.never_for)]
    parts = [signal_markdown(f"{name}.{part}", below, level + 1) for part, below in card.parts.items()]
    return "\n\n".join(["\n".join(lines), *parts])


def corpus_markdown(card: CorpusCard) -> str:
    """The card as Markdown: documents by step and domain, lines by rule, chunks by split."""
    domains = list(card.steps["read"])
    counts = {"toxic": card.toxic, "clean": card.clean}
    tables = {
        "Documents": ("step", card.steps),
        "Lines dropped": ("rule", card.lines),
        "Chunks": ("split", card.splits | counts),
    }
    pages = [f"# Corpus\n\nTokens are those of {card.tokenizer}."]
    for title, (first, rows) in tables.items():
        shown = {row: {domain: f"{by.get(domain, 0):,}" for domain in domains} for row, by in rows.items()}
        pages.append("\n".join([f"## {title}", "", *_table(first, shown)]))
    return "\n\n".join(pages)


def called(source: SourceCard) -> str:
    """The name of a source, with the part of it that was used."""
    return source.title if source.part is None else f"{source.title} [{source.part[0]:g}, {source.part[1]:g})"


def _told(source: SourceCard) -> dict[str, str]:
    by = source.labelled_by
    return {
        "role": source.role,
        "high": f"{source.positive:,}",
        "low": f"{source.negative:,}",
        "licence": source.licence or "not known",
        "labelled by": "not known" if by is None else f"{by.kind}: {by.who} ({by.using})",
        "version": ", ".join(f"{what} {digest}" for what, digest in source.version.items()),
    }


def _table(first: str, rows: Mapping[str, Mapping[str, str]]) -> list[str]:
    columns = list(next(iter(rows.values()), {}))
    cells = [
        [first, *columns],
        [":--", *["--:"] * len(columns)],
        *([name, *row.values()] for name, row in rows.items()),
    ]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in cells]

"""What a variant changes, each as options and the function that applies them to the train split of a pool."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from curation_gym.config import Config, Many
from curation_gym.pools.dataset import raw_table
from curation_gym.pools.pool import SPLITS, Pool, PoolError
from curation_gym.pools.sources import SourceConfig, read_source
from curation_gym.signals.encoders import Encoder, Modality

By = Literal["label", "domain"]
Encoding = Callable[[], tuple[Modality, Encoder]]
"""Gives what the pool holds and what encodes more of it; called only where that is needed, for it may take long."""


class LongTail(Config):
    """Classes or domains of very different size, after Cui et al. (Class-balanced loss, CVPR 2019).

    Of K groups in an order drawn by seed, the k-th (from 0) keeps n · factor^(−k / (K − 1)) samples, or with
    ``shape: zipf`` n · (k + 1)^(−ln factor / ln K), drawn by seed; n is the largest number for which every group
    has enough. Samples out of scope all stay when classes are meant.

    Attributes:
        factor: size of the largest group divided by that of the smallest, ≥ 1; 1: all have as many, a balanced pool.
        shape: how sizes fall off.
        by: what the groups are.
    """

    kind: Literal["long_tail"]
    factor: float = Field(ge=1)
    shape: Literal["exponential", "zipf"] = "exponential"
    by: By = "label"


def long_tail(pool: Pool, change: LongTail, rng: np.random.Generator) -> Pool:
    """See :class:`LongTail`."""
    train, groups = pool.ids("train"), _groups(pool, change.by)
    codes, available = np.unique(groups[groups >= 0], return_counts=True)
    if len(codes) < 2:
        raise PoolError(f"long_tail needs train samples of at least 2 groups by {change.by}, actual: {len(codes)}")
    order = rng.permutation(len(codes))
    rank = np.arange(len(codes))
    if change.shape == "exponential":
        shares = change.factor ** (-rank / rank[-1])
    else:
        shares = (rank + 1.0) ** (-np.log(change.factor) / np.log(len(codes)))
    largest = int(np.min(available[order] / shares))
    if largest < change.factor:
        raise PoolError(
            f"long_tail: factor = {change.factor} leaves the smallest group without a sample, for the largest can only "
            f"have {largest}; choose a smaller factor"
        )
    sizes = np.rint(largest * shares).astype(np.int64)
    kept = [train[groups < 0], pool.ids("validation"), pool.ids("test")]
    for code, size in zip(codes[order], sizes, strict=True):
        kept.append(rng.choice(train[groups == code], size, replace=False))
    return rows_of(pool, np.sort(np.concatenate(kept)))


class NearCopies(Config):
    """Samples that are almost the same as another: more train samples, each a changed copy of one that is there.

    A copy's signals, domain and hidden columns are the original's, so rarely a change makes a label wrong. In a pool of
    texts, copies are edited: an edit drops a word, swaps two neighbours or doubles a letter; white space becomes
    single spaces; the copy is encoded by the pool's own encoder and differs from every text of the pool. In others the
    embedding is moved by Gaussian noise, in each column ``noise`` standard deviations of it in the train split, and raw
    data stay the original's.

    Attributes:
        share: copies per train sample that was there.
        copies: of each original; originals are drawn by seed.
        edits: of each copy of a text; more where those give a text that is there already.
        noise: of each copy of another kind.
    """

    kind: Literal["near_duplicates"]
    share: float = Field(gt=0)
    copies: int = Field(10, ge=1)
    edits: int = Field(1, ge=1)
    noise: float = Field(0.1, gt=0)

    @model_validator(mode="after")
    def _enough_originals(self) -> "NearCopies":
        if self.share > self.copies:
            raise ValueError(f"share must be at most copies = {self.copies}, actual value: {self.share}")
        return self


def near_copies(pool: Pool, change: NearCopies, rng: np.random.Generator, encoding: Encoding) -> Pool:
    """See :class:`NearCopies`."""
    train = pool.ids("train")
    n = int(np.ceil(change.share * len(train)))
    originals = rng.choice(train, -(-n // change.copies), replace=False)
    donors = np.repeat(originals, change.copies)[:n]
    data = pool.data
    if data is None or "text" not in data.column_names or data["text"].null_count:
        spread = pool.embeddings[train].std(axis=0, dtype=np.float64)
        moved = pool.embeddings[donors] + change.noise * spread * rng.standard_normal((n, pool.dimension))
        return _extended(pool, donors, moved.astype(np.float32), None if data is None else data.take(donors))
    texts = data["text"].to_pylist()
    seen, copies = set(texts), []
    for donor in donors:
        text = texts[donor]
        for _ in range(change.edits):
            text = _edited(text, rng)
        while text in seen:
            text = _edited(text, rng)
        seen.add(text)
        copies.append(text)
    return _extended(pool, donors, encoding()[1](copies), pa.table({"text": copies}))


class OutOfScope(Config):
    """Classes that are none any more: their samples get the hidden label −1, for the annotator to flag.

    In the train split they are junk; in the others, what a learner should be unsure of.

    Attributes:
        classes: names of classes of the pool; at least two others must remain.
    """

    kind: Literal["out_of_scope"]
    classes: Many[str] = Field(min_length=1)


def out_of_scope(pool: Pool, change: OutOfScope) -> Pool:
    """See :class:`OutOfScope`."""
    unknown = sorted(set(change.classes) - set(pool.class_names))
    if unknown:
        raise PoolError(
            f"out_of_scope: the pool has no class {unknown[0]!r}; it has {', '.join(pool.class_names) or 'none'}"
        )
    remain = [code for code, name in enumerate(pool.class_names) if name not in change.classes]
    if len(remain) < 2:
        raise PoolError(f"out_of_scope must leave at least 2 classes, actual number: {len(remain)}")
    label = pool.hidden["label"]
    renumbered = np.full(len(pool.class_names), -1, np.int32)
    renumbered[remain] = np.arange(len(remain))
    return rows_of(
        pool,
        np.arange(len(pool)),
        hidden={**pool.hidden, "label": np.where(label < 0, -1, renumbered[label])},
        class_names=tuple(pool.class_names[code] for code in remain),
    )


class Junk(Config):
    """Samples that an annotator should flag rather than label: more train samples, with hidden label −1.

    They are encoded by the pool's own encoder. Copies of what the pool holds are left out.

    Attributes:
        source: where they come from, see :class:`curation_gym.pools.sources.SourceConfig`; rows of all splits that
            it reads are taken, and ``limit`` says how many.
        spread: give each the domain of a train sample drawn by seed, instead of one domain named after the source.
    """

    kind: Literal["junk"]
    source: SourceConfig
    spread: bool = False

    @field_validator("source")
    @classmethod
    def _bare(cls, source: SourceConfig) -> SourceConfig:
        if source.label is not None or source.domain is not None:
            raise ValueError("junk has no label and no domain of its own; leave them out")
        return source


def junk(pool: Pool, change: Junk, rng: np.random.Generator, encoding: Encoding) -> Pool:
    """See :class:`Junk`."""
    unknown = [
        *(f"signals/{name}" for name in pool.signals),
        *(f"hidden/{name}" for name in set(pool.hidden) - {"label"}),
    ]
    if unknown or "label" not in pool.hidden:
        raise PoolError(
            "junk needs a pool with a hidden label and without columns that its rows can't have, actual such columns: "
            f"{', '.join(sorted(unknown)) or 'none'}; leave signals and n_clusters out of the pool"
        )
    kind, encoder = encoding()
    if change.source.modality != kind:
        raise PoolError(f"junk must be of the pool's kind, {kind}, actual kind: {change.source.modality}")
    assert pool.data is not None
    rows = read_source(change.source, (), several=True)
    column = [] if kind == "features" else pool.data[kind].to_pylist()
    held = {value.encode() if kind == "text" else value["bytes"] for value in column}
    rows = rows.take(np.flatnonzero([content not in held for content in rows.contents]))
    if not rows.raw:
        raise PoolError(f"junk: the pool already holds every row of data set {change.source.title!r}")
    donors = rng.choice(pool.ids("train"), len(rows.raw))
    changed: dict[str, Any] = {"hidden": {"label": np.append(pool.hidden["label"], np.full(len(donors), -1, np.int32))}}
    if not change.spread:
        changed["domain_names"] = (*pool.domain_names, change.source.title)
        changed["domain"] = np.append(pool.domain, np.full(len(donors), len(pool.domain_names), np.int32))
    return _extended(pool, donors, encoder(rows.samples), raw_table(rows, pool.data.column_names), **changed)


class Drift(Config):
    """Train samples arrive over time, and what arrives changes.

    Of K groups in an order drawn by seed, the k-th arrives with density 1 + a_k (2t − 1) on [0, 1], a_k evenly
    spaced from −strength to strength: at strength 1 the extremes go from twice their mean rate to none, and back.

    Attributes:
        by: what the groups are.
        strength: of the drift.
        initial: the part of the time that is over before the campaign begins; what arrived in it is there.
    """

    kind: Literal["drift"]
    by: By = "domain"
    strength: float = Field(1.0, gt=0, le=1)
    initial: float = Field(0.1, ge=0, lt=1)


def drift(pool: Pool, change: Drift, rng: np.random.Generator) -> Pool:
    """See :class:`Drift`."""
    if pool.arrival is not None:
        raise PoolError("drift sets when samples arrive, and an earlier change did already; list drift before it")
    codes, group = np.unique(_groups(pool, change.by), return_inverse=True)
    if len(codes) < 2:
        raise PoolError(f"drift needs train samples of at least 2 groups by {change.by}, actual: {len(codes)}")
    slope = change.strength * rng.permutation(np.linspace(-1, 1, len(codes)))[group]
    uniform = 1 - rng.random(len(group))  # above 0, where the quotient below is defined
    # The inverse of F(t) = (1 − a) t + a t², the distribution of that density.
    time = 2 * uniform / (1 - slope + np.sqrt((1 - slope) ** 2 + 4 * slope * uniform))
    arrival = np.zeros(len(pool), np.float32)
    arrival[pool.ids("train")] = np.clip((time - change.initial) / (1 - change.initial), 0, 1)
    return rows_of(pool, np.arange(len(pool)), arrival=arrival)


class NewDomain(Config):
    """Domains whose train samples only arrive in the course of the campaign.

    Attributes:
        domains: their names.
        after: when; samples that were to arrive over time do so in what is left, all others at that moment.
    """

    kind: Literal["new_domain"]
    domains: Many[str] = Field(min_length=1)
    after: float = Field(0.5, gt=0, le=1)


def new_domain(pool: Pool, change: NewDomain) -> Pool:
    """See :class:`NewDomain`."""
    unknown = sorted(set(change.domains) - set(pool.domain_names))
    if unknown:
        raise PoolError(f"new_domain: the pool has no domain {unknown[0]!r}; it has {', '.join(pool.domain_names)}")
    late = np.isin(np.array(pool.domain_names)[pool.domain], change.domains) & (pool.split == SPLITS.index("train"))
    arrival = np.zeros(len(pool), np.float32) if pool.arrival is None else pool.arrival
    arrival = np.where(late, change.after + (1 - change.after) * arrival, arrival)
    return rows_of(pool, np.arange(len(pool)), arrival=arrival)


class WithoutDomains(Config):
    """Some domains aren't there at all, in no split.

    Attributes:
        domains: their names.
    """

    kind: Literal["without_domains"]
    domains: Many[str] = Field(min_length=1)


def without_domains(pool: Pool, change: WithoutDomains) -> Pool:
    """See :class:`WithoutDomains`."""
    left = [name for name in pool.domain_names if name not in change.domains]
    unknown = sorted(set(change.domains) - set(pool.domain_names))
    if unknown or not left:
        raise PoolError(
            f"without_domains: {', '.join(change.domains)} must be some of the pool's domains, but not all; it has "
            f"{', '.join(pool.domain_names)}"
        )
    code = np.array([left.index(name) if name in left else -1 for name in pool.domain_names])[pool.domain]
    kept = np.flatnonzero(code >= 0)
    return rows_of(pool, kept, domain=code[kept], domain_names=tuple(left))


def _groups(pool: Pool, by: By) -> NDArray[Any]:
    """The class or domain of each train sample."""
    if by == "label" and "label" not in pool.hidden:
        raise PoolError(f"by: label needs a pool with a hidden label, actual pool: {pool!r}")
    column = pool.hidden["label"] if by == "label" else pool.domain
    return column[pool.ids("train")]


def _edited(text: str, rng: np.random.Generator) -> str:
    words = text.split()
    edit = rng.choice(["drop", "swap", "double"]) if len(words) > 1 else "double"
    i = int(rng.integers(len(words) - (edit == "swap")))
    if edit == "drop":
        del words[i]
    elif edit == "swap":
        words[i : i + 2] = words[i + 1], words[i]
    else:
        letter = int(rng.integers(len(words[i])))
        words[i] = words[i][: letter + 1] + words[i][letter:]
    return " ".join(words)


def _extended(
    pool: Pool, donors: NDArray[Any], embeddings: NDArray[np.float32], data: pa.Table | None, **changed: Any
) -> Pool:
    """With a train sample more for each donor, whose columns it has but for what is given."""
    changed["embeddings"] = np.concatenate([pool.embeddings, embeddings])
    if data is not None:
        changed["data"] = pa.concat_tables([pool.data, data])
        if pool.length is not None:
            lengths = [len(text) for text in data["text"].to_pylist()]
            changed["length"] = np.append(pool.length, np.array(lengths, np.float32))
    return rows_of(pool, np.append(np.arange(len(pool)), donors), **changed)


def rows_of(pool: Pool, ids: NDArray[Any], **changed: Any) -> Pool:
    """The pool's rows of these ids, in this order, with some columns changed."""
    columns: dict[str, Any] = {
        "embeddings": pool.embeddings[ids],
        "signals": {name: column[ids] for name, column in pool.signals.items()},
        "domain": pool.domain[ids],
        "domain_names": pool.domain_names,
        "hidden": {name: column[ids] for name, column in pool.hidden.items()},
        "split": pool.split[ids],
        "length": None if pool.length is None else pool.length[ids],
        "arrival": None if pool.arrival is None else pool.arrival[ids],
        "data": None if pool.data is None else pool.data.take(ids),
        "class_names": pool.class_names,
        "provenance": pool.provenance,
        "attachments": pool.attachments,
    }
    return Pool(**(columns | changed))

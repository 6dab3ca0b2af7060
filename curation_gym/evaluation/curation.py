"""What a curation did to whom: which clean text was left out, by domain and group; what a policy prefers and avoids."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from curation_gym.memo import Memo
from curation_gym.pools.corpus_sources import CLASSES, CLEAN, human_labels
from curation_gym.pools.pool import Pool, PoolError

FIFTHS, CLUSTERS = 5, 20
TOXIC = CLASSES.index("toxic")
IDENTITY_TERMS: dict[str, Sequence[str]] = {
    "women": ("woman", "women", "female", "females", "girl", "girls"),
    "men": ("man", "men", "male", "males", "boy", "boys"),
    "black": ("black", "blacks", "african"),
    "white": ("white", "whites", "caucasian"),
    "asian": ("asian", "asians", "chinese", "japanese"),
    "muslim": ("muslim", "muslims", "islam", "islamic"),
    "jewish": ("jew", "jews", "jewish"),
    "christian": ("christian", "christians", "catholic", "catholics"),
    "lgbt": ("gay", "lesbian", "bisexual", "transgender", "homosexual", "lgbt"),
    "immigrant": ("immigrant", "immigrants", "migrant", "migrants", "refugee", "refugees"),
}
"""Groups by words that name them, as Dixon et al., "Measuring and Mitigating Unintended Bias in Text Classification"
(AIES 2018) choose identity terms: a text that names a group is not about it always, but those about it mostly do."""


def mentions(texts: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Group → whether each text names it, bool (n,)."""
    words = [set("".join(c if c.isalpha() else " " for c in text.lower()).split()) for text in texts]
    return {
        group: np.array([not found.isdisjoint(terms) for found in words]) for group, terms in IDENTITY_TERMS.items()
    }


def curation(
    pool: Pool, ids: NDArray[np.integer], picked: NDArray[np.bool_], price: NDArray[np.integer]
) -> dict[str, float]:
    """Who was selected and who was not, by people's labels.

    Args:
        pool: the corpus.
        ids: (n,), of the stream; what came after the budget was spent is left out, too.
        picked: (n,), what of it was selected.
        price: (samples,), tokens of every sample of the pool.

    Returns:
        Of what was selected: ``tokens``, ``selected`` (share of documents), ``share/DOMAIN`` of tokens,
        ``toxic_share`` and ``toxic_share/DOMAIN`` of documents. Of the stream: ``recall`` and ``recall/DOMAIN``,
        share of toxic documents that were left out, and ``false_positives``, ``false_positives/DOMAIN`` and
        ``false_positives/about/GROUP``, share of clean ones that were, as Borkan et al., "Nuanced Metrics for Measuring
        Unintended Bias" (WWW 2019), compare groups. What isn't defined is left out.

    Raises:
        PoolError: for a pool without texts, or whose label isn't what people called clean or toxic.
    """
    if pool.data is None or "text" not in pool.data.column_names:
        raise PoolError(f"who was left out is told of texts; the pool has no column 'text': {pool!r}")
    label = _labels(pool)[ids]
    toxic, clean = label == TOXIC, label == CLEAN
    tokens = price[ids] * picked
    found = {
        "tokens": float(tokens.sum()),
        "selected": float(picked.mean()),
        "toxic_share": _share(toxic, picked),
        "recall": _share(~picked, toxic),
        "false_positives": _share(~picked, clean),
    }
    for code, name in enumerate(pool.domain_names):
        here = pool.domain[ids] == code
        found[f"share/{name}"] = float(tokens[here].sum() / max(tokens.sum(), 1))
        found[f"toxic_share/{name}"] = _share(toxic, picked & here)
        found[f"recall/{name}"] = _share(~picked, toxic & here)
        found[f"false_positives/{name}"] = _share(~picked, clean & here)
    for group, named in _mentioned(pool).items():
        found[f"false_positives/about/{group}"] = _share(~picked, clean & named[ids])
    return {metric: value for metric, value in found.items() if not np.isnan(value)}


def selection_rates(
    pool: Pool, ids: NDArray[np.integer], picked: NDArray[np.bool_], price: NDArray[np.integer]
) -> dict[str, float]:
    """What a policy prefers and avoids: how much of what was shown it selected, by length, signal and topic.

    Args:
        pool, ids, picked, price: see :func:`curation`.

    Returns:
        ``rate/length/1`` … ``rate/length/5``, share of documents selected among the shortest fifth to the longest;
        ``rate/SIGNAL/1`` …, likewise for every signal of at least five values; ``rate/topic/0`` … among clusters of the
        embeddings (k-means), and ``toxic/topic/0`` …, share of toxic documents there.
    """
    found: dict[str, float] = {}
    columns = {"length": price[ids], **{name: np.asarray(values[ids]) for name, values in pool.signals.items()}}
    for name, column in columns.items():
        if len(np.unique(column)) < FIFTHS:
            continue  # a yes or no has no fifths
        fifth = np.searchsorted(np.quantile(column, np.linspace(0, 1, FIFTHS + 1)[1:-1]), column)
        found |= {f"rate/{name}/{part + 1}": _share(picked, fifth == part) for part in range(FIFTHS)}
    topic, toxic = _topics(pool)[ids], _labels(pool)[ids] == TOXIC
    for code in range(CLUSTERS):
        found |= {
            f"rate/topic/{code}": _share(picked, topic == code),
            f"toxic/topic/{code}": _share(toxic, topic == code),
        }
    return {metric: value for metric, value in found.items() if not np.isnan(value)}


def _labels(pool: Pool) -> NDArray[np.integer]:
    label = human_labels(pool)
    if label is None:
        known = ", ".join(pool.class_names) or "none"
        raise PoolError(f"who was left out is told by what people called {' or '.join(CLASSES)}; classes here: {known}")
    return label


_named: Memo[str, dict[str, NDArray[np.bool_]]] = Memo(2)
_clustered: Memo[str, NDArray[np.integer]] = Memo(2)


def _mentioned(pool: Pool) -> dict[str, NDArray[np.bool_]]:
    """Whom every sample names, found once for a pool in a process."""
    assert pool.data is not None
    texts = pool.data["text"]
    return _named.get(pool.fingerprint, lambda: mentions([text or "" for text in texts.to_pylist()]))


def _topics(pool: Pool) -> NDArray[np.integer]:
    """Cluster of every sample, likewise."""

    def found() -> NDArray[np.integer]:
        k = min(CLUSTERS, len(pool))
        return np.asarray(MiniBatchKMeans(k, n_init=3, random_state=0).fit_predict(np.asarray(pool.embeddings)))

    return _clustered.get(pool.fingerprint, found)


def _share(what: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    return float(what[among].mean()) if among.any() else float("nan")

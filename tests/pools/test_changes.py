"""Changes: what each does to the train split, that it does nothing to the others, and what it refuses."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation_gym.pools import Pool, PoolError, build_pool
from curation_gym.pools.changes import (
    Drift,
    Encoding,
    Junk,
    LongTail,
    NearCopies,
    NewDomain,
    OutOfScope,
    WithoutDomains,
    drift,
    junk,
    long_tail,
    near_copies,
    new_domain,
    out_of_scope,
    without_domains,
)
from curation_gym.pools.dataset import encoder_of

WORDS = ["anchor", "bread", "charge", "deck", "energy", "field", "garlic", "harbour", "ion", "jam", "keel", "lemon"]
CLASSES = ("a", "b", "c", "d", "e")
DOMAINS = ("north", "south", "west")


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def labelled_pool(n: int = 600, seed: int = 0) -> Pool:
    """Five classes of different size (and some samples out of scope) in three domains and three splits."""
    rng = generator(seed)
    return Pool(
        rng.standard_normal((n, 3)),
        {"utility": rng.random(n)},
        domain=rng.choice(3, n, p=[0.5, 0.3, 0.2]),
        domain_names=DOMAINS,
        hidden={"label": rng.choice(np.arange(-1, 5), n, p=[0.05, 0.15, 0.1, 0.3, 0.2, 0.2])},
        split=rng.choice(3, n, p=[0.7, 0.1, 0.2]),
        data=pa.table({"text": [f"text {i}" for i in range(n)]}),
        class_names=CLASSES,
    )


@pytest.fixture(scope="module")
def text_pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    rng = generator()
    rows = [
        {"text": f"{' '.join(rng.choice(WORDS, 6))} {i}", "label": f"l{i % 4}", "place": f"p{i % 3}"}
        for i in range(300)
    ]
    path = tmp_path_factory.mktemp("data") / "prose.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    encoder = {"kind": "tfidf-svd", "dimension": 8}
    return build_pool(
        {"builder": "dataset", "path": str(path), "label": "label", "domain": "place", "encoder": encoder}
    )


@pytest.fixture(scope="module")
def encoding(text_pool: Pool) -> Encoding:
    return partial(encoder_of, text_pool)


def texts(pool: Pool) -> list[str]:
    return pool.data["text"].to_pylist()


def rows(pool: Pool, ids: np.ndarray) -> list[tuple]:
    """All that a pool says of some samples."""
    columns = [pool.embeddings, *pool.signals.values(), pool.domain, *pool.hidden.values(), pool.split]
    numbers = [
        tuple(np.atleast_1d(value).tolist() for value in row) for row in zip(*(c[ids] for c in columns), strict=True)
    ]
    return list(zip(numbers, pool.data.take(ids).to_pylist(), strict=True))


def assert_untouched(before: Pool, after: Pool) -> None:
    """Validation and test are the same, in the same order."""
    for split in ("validation", "test"):
        assert [str(row) for row in rows(before, before.ids(split))] == [
            str(row) for row in rows(after, after.ids(split))
        ]


# --------------------------------------------------------------------- long tail
@settings(max_examples=40, deadline=None)
@given(
    factor=st.floats(1, 15),
    shape=st.sampled_from(["exponential", "zipf"]),
    by=st.sampled_from(["label", "domain"]),
    seed=st.integers(0, 99),
)
def test_sizes_fall_off_as_far_as_the_factor_and_no_further_than_needed(
    factor: float, shape: str, by: str, seed: int
) -> None:
    pool = labelled_pool()
    tailed = long_tail(pool, LongTail(kind="long_tail", factor=factor, shape=shape, by=by), generator(seed))
    assert_untouched(pool, tailed)

    def sizes(of: Pool) -> np.ndarray:
        column = of.hidden["label"] if by == "label" else of.domain
        groups = column[of.ids("train")]
        return np.bincount(groups[groups >= 0])

    before, after = sizes(pool), sizes(tailed)
    ordered = np.sort(after)[::-1]
    assert abs(ordered[0] / factor - ordered[-1]) <= 0.5
    ratios = ordered / ordered[0]
    k = len(ordered)
    exact = [
        factor ** (-i / (k - 1)) if shape == "exponential" else factor ** (-np.log(i + 1) / np.log(k)) for i in range(k)
    ]
    np.testing.assert_allclose(ratios, exact, atol=0.51 / ordered[0])
    assert (after <= before).all()
    larger = (ordered[0] + 1) * after / ordered[0]
    assert (larger > before - 1).any(), "a larger pool of that shape can't be had"
    if by == "label":
        out_of_scope = [(of.hidden["label"][of.ids("train")] < 0).sum() for of in (pool, tailed)]
        assert out_of_scope[0] == out_of_scope[1]
    assert set(map(str, rows(tailed, tailed.ids("train")))) <= set(map(str, rows(pool, pool.ids("train"))))


def test_the_order_of_classes_and_the_samples_follow_the_seed() -> None:
    pool = labelled_pool()
    change = LongTail(kind="long_tail", factor=8)
    first, again, other = (long_tail(pool, change, generator(seed)) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint
    counts = [np.bincount(p.hidden["label"][p.ids("train")] + 1) for p in (first, other)]
    assert counts[0].argsort().tolist() != counts[1].argsort().tolist()


# --------------------------------------------------------------- near duplicates
def distance(one: str, other: str) -> int:
    """Words by which two texts differ, whatever their order."""
    left, right = Counter(one.split()), Counter(other.split())
    return max((left - right).total(), (right - left).total())


def test_near_duplicates_are_new_texts_one_edit_away_from_theirs(text_pool: Pool, encoding: Encoding) -> None:
    change = NearCopies(kind="near_duplicates", share=0.5, copies=4)
    more = near_copies(text_pool, change, generator(), encoding)
    assert_untouched(text_pool, more)
    n = len(text_pool)
    assert rows(more, np.arange(n)) == rows(text_pool, np.arange(n))
    copies = texts(more)[n:]
    assert len(copies) == -(-len(text_pool.ids("train")) // 2)
    assert len(set(texts(more))) == len(more)
    originals = [min(text_pool.ids("train"), key=lambda i: distance(texts(text_pool)[i], copy)) for copy in copies]
    far = [distance(texts(text_pool)[i], copy) for i, copy in zip(originals, copies, strict=True)]
    assert np.mean(np.array(far) <= 1) > 0.95, "a second edit only where the first gave a text that was there"
    assert np.isin(list(Counter(originals).values()), range(2, 6)).mean() > 0.9
    np.testing.assert_array_equal(more.hidden["label"][n:], text_pool.hidden["label"][originals])
    np.testing.assert_array_equal(more.domain[n:], text_pool.domain[originals])
    np.testing.assert_array_equal(more.length[n:], [len(copy) for copy in copies])
    cosine = np.sum(more.embeddings[n:] * text_pool.embeddings[originals], axis=1)
    assert np.median(cosine) > 0.9
    np.testing.assert_allclose(more.embeddings[n:], encoding()[1](copies), atol=1e-6)


def test_more_edits_go_further(text_pool: Pool, encoding: Encoding) -> None:
    def similarity(edits: int) -> float:
        change = NearCopies(kind="near_duplicates", share=0.3, copies=1, edits=edits)
        more = near_copies(text_pool, change, generator(), encoding)
        n = len(text_pool)
        return float((more.embeddings[n:] @ text_pool.embeddings.T).max(1).mean())

    assert similarity(1) > similarity(4)


def no_encoding() -> None:
    raise AssertionError("nothing is encoded anew")


def test_near_duplicates_of_what_is_no_text_are_near_in_the_embedding() -> None:
    pool = labelled_pool()
    pool = Pool(pool.embeddings * [1, 10, 100], hidden=pool.hidden, split=pool.split, class_names=CLASSES)
    change = NearCopies(kind="near_duplicates", share=0.5, copies=4, noise=0.005)
    more = near_copies(pool, change, generator(), no_encoding)
    n = len(pool)
    np.testing.assert_array_equal(more.embeddings[:n], pool.embeddings)
    train = pool.ids("train")
    assert len(more) - n == -(-len(train) // 2)
    spread = pool.embeddings[train].std(0)
    gaps = np.abs((more.embeddings[n:, None] - pool.embeddings[train]) / spread)
    original = train[gaps.max(2).argmin(1)]
    moved = (more.embeddings[n:] - pool.embeddings[original]) / spread
    np.testing.assert_allclose(moved.std(0), 0.005, rtol=0.2)
    np.testing.assert_array_equal(more.hidden["label"][n:], pool.hidden["label"][original])


# ------------------------------------------------------------------ out of scope
def test_classes_out_of_scope_are_none_and_others_keep_their_names() -> None:
    pool = labelled_pool()
    less = out_of_scope(pool, OutOfScope(kind="out_of_scope", classes=["b", "d"]))
    assert less.class_names == ("a", "c", "e")
    names = [(*of.class_names, "none") for of in (pool, less)]
    before, after = (np.array(known)[of.hidden["label"]] for known, of in zip(names, (pool, less), strict=True))
    np.testing.assert_array_equal(after, np.where(np.isin(before, ["b", "d"]), "none", before))
    np.testing.assert_array_equal(less.embeddings, pool.embeddings)


@pytest.mark.parametrize(
    ("classes", "message"),
    [(["a", "f"], "no class 'f'; it has a, b, c, d, e"), (list("abcd"), "at least 2 classes, actual number: 1")],
)
def test_classes_that_cannot_be_out_of_scope(classes: list[str], message: str) -> None:
    with pytest.raises(PoolError, match=message):
        out_of_scope(labelled_pool(), OutOfScope(kind="out_of_scope", classes=classes))


# -------------------------------------------------------------------------- junk
@pytest.fixture
def wiki(tmp_path: Path, text_pool: Pool) -> Path:
    """Fifty sentences, of which two are in the pool."""
    path = tmp_path / "wiki.csv"
    pd.DataFrame({"text": [f"{WORDS[i % 9]} of no use {i}" for i in range(48)] + texts(text_pool)[:2]}).to_csv(path)
    return path


@pytest.mark.parametrize("spread", [False, True])
def test_junk_is_out_of_scope(text_pool: Pool, encoding: Encoding, wiki: Path, spread: bool) -> None:
    change = Junk(kind="junk", source={"path": str(wiki)}, spread=spread)
    more = junk(text_pool, change, generator(), encoding)
    n = len(text_pool)
    assert_untouched(text_pool, more)
    assert rows(more, np.arange(n)) == rows(text_pool, np.arange(n))
    assert set(texts(more)[n:]) == {f"{WORDS[i % 9]} of no use {i}" for i in range(48)}
    assert set(more.hidden["label"][n:]) == {-1}
    assert set(more.split[n:]) == {0}
    assert more.class_names == text_pool.class_names
    np.testing.assert_allclose(more.embeddings[n:], encoding()[1](texts(more)[n:]), atol=1e-6)
    if spread:
        assert more.domain_names == text_pool.domain_names
        assert set(more.domain[n:]) == {0, 1, 2}
    else:
        assert more.domain_names == (*text_pool.domain_names, "wiki")
        assert set(more.domain[n:]) == {3}


def test_junk_arrives_as_the_rest_does(text_pool: Pool, encoding: Encoding, wiki: Path) -> None:
    moving = drift(text_pool, Drift(kind="drift", initial=0.2), generator())
    more = junk(moving, Junk(kind="junk", source={"path": str(wiki)}), generator(), encoding)
    assert set(more.arrival[len(text_pool) :]) <= set(moving.arrival[moving.ids("train")])


# ----------------------------------------------------------------------- arrival
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_domains_arrive_at_rates_that_drift_apart(strength: float) -> None:
    pool = labelled_pool(30_000)
    moving = drift(pool, Drift(kind="drift", strength=strength, initial=0), generator())
    np.testing.assert_array_equal(moving.embeddings, pool.embeddings)
    train = moving.split == 0
    assert not moving.arrival[~train].any()
    assert moving.arrival.min() >= 0
    assert moving.arrival.max() <= 1
    # The mean of the density 1 + a (2t − 1) is 1/2 + a/6.
    means = sorted(moving.arrival[train & (moving.domain == code)].mean() for code in range(3))
    np.testing.assert_allclose(means, 0.5 + np.array([-strength, 0, strength]) / 6, atol=0.015)
    falling = np.argmin([moving.arrival[train & (moving.domain == code)].mean() for code in range(3)])
    early, late = (
        np.mean((moving.domain == falling)[train & (moving.arrival >= start) & (moving.arrival < start + 0.1)])
        for start in (0, 0.9)
    )
    assert early > late * 2
    if strength == 1:
        ends = np.histogram(moving.arrival[train & (moving.domain == falling)], 10, (0, 1))[0]
        np.testing.assert_allclose(ends / ends.sum(), 2 * (0.95 - np.arange(10) / 10) / 10, atol=0.02)


def test_what_arrived_before_the_campaign_is_there_and_the_rest_keeps_its_order() -> None:
    pool = labelled_pool()
    change = Drift(kind="drift", by="label", initial=0.3)
    start, later = (drift(pool, change.model_copy(update={"initial": i}), generator()).arrival for i in (0, 0.3))
    np.testing.assert_allclose(later, np.maximum(0, (start - 0.3) / 0.7), atol=1e-6)
    assert 0.1 < np.mean(later[pool.ids("train")] == 0) < 0.5


def test_a_new_domain_arrives_in_the_course_of_the_campaign() -> None:
    pool = labelled_pool()
    later = new_domain(pool, NewDomain(kind="new_domain", domains=["west"], after=0.4))
    new = (pool.domain == 2) & (pool.split == 0)
    np.testing.assert_array_equal(later.arrival, np.where(new, np.float32(0.4), 0))
    moving = drift(pool, Drift(kind="drift"), generator())
    both = new_domain(moving, NewDomain(kind="new_domain", domains=["west"], after=0.4))
    np.testing.assert_array_equal(both.arrival[~new], moving.arrival[~new])
    np.testing.assert_allclose(both.arrival[new], 0.4 + 0.6 * moving.arrival[new], atol=1e-6)


def test_without_a_domain_the_others_are_as_they_were() -> None:
    pool = labelled_pool()
    gone = pool.domain_names[1]
    left = without_domains(pool, WithoutDomains(kind="without_domains", domains=[gone]))
    assert left.domain_names == tuple(name for name in pool.domain_names if name != gone)
    kept = pool.domain != 1
    np.testing.assert_array_equal(left.embeddings, pool.embeddings[kept])
    np.testing.assert_array_equal(left.split, pool.split[kept])
    names = np.array(pool.domain_names)[pool.domain[kept]]
    np.testing.assert_array_equal(np.array(left.domain_names)[left.domain], names)


# ------------------------------------------------------------------------ errors
def test_what_a_pool_cannot_give_is_refused(text_pool: Pool, encoding: Encoding, wiki: Path, tmp_path: Path) -> None:
    pool, one = labelled_pool(), Pool(np.ones((20, 2)))
    source = {"path": str(wiki)}
    moving = new_domain(pool, NewDomain(kind="new_domain", domains=["west"]))
    held = tmp_path / "held.csv"
    pd.DataFrame({"text": texts(text_pool)}).to_csv(held)
    image = {"path": str(wiki), "image": "picture"}
    cases: list[tuple[Callable[[], Pool], str]] = [
        (
            lambda: long_tail(pool, LongTail(kind="long_tail", factor=400), generator()),
            "can only have .*smaller factor",
        ),
        (lambda: long_tail(one, LongTail(kind="long_tail", factor=2, by="domain"), generator()), "at least 2 groups"),
        (lambda: long_tail(one, LongTail(kind="long_tail", factor=2), generator()), "needs a pool with a hidden label"),
        (lambda: drift(one, Drift(kind="drift"), generator()), "at least 2 groups by domain, actual: 1"),
        (lambda: drift(moving, Drift(kind="drift"), generator()), "list drift before it"),
        (lambda: new_domain(pool, NewDomain(kind="new_domain", domains=["east"])), "no domain 'east'; it has north"),
        (
            lambda: without_domains(pool, WithoutDomains(kind="without_domains", domains=["east"])),
            "some of the pool's domains, but not all; it has north",
        ),
        (
            lambda: without_domains(one, WithoutDomains(kind="without_domains", domains=list(one.domain_names))),
            "but not all",
        ),
        (lambda: junk(pool, Junk(kind="junk", source=source), generator(), encoding), "such columns: signals/utility"),
        (
            lambda: junk(one, Junk(kind="junk", source=source), generator(), encoding),
            "needs a pool with a hidden label",
        ),
        (lambda: junk(text_pool, Junk(kind="junk", source=image), generator(), encoding), "kind, text, .*: image"),
        (
            lambda: junk(text_pool, Junk(kind="junk", source={"path": str(held)}), generator(), encoding),
            "already holds every row of data set 'held'",
        ),
    ]
    for change, message in cases:
        with pytest.raises(PoolError, match=message):
            change()

"""The docstrings pool: real text, really trained signals, and a syntax tree that tells what is dangerous."""

import ast

import numpy as np
import pytest

from curation_gym.pools import PoolError, build_pool, docstrings, packages
from curation_gym.pools.docstrings import DocstringsConfig
from curation_gym.pools.packages import CHARACTERS, KINDS, PACKAGES
from curation_gym.signals.classifiers import auc_within

SMALL = {"builder": "docstrings", "packages": ("numpy", "sklearn", "pandas"), "per_package": 240, "n_clusters": 12}


@pytest.fixture(scope="module")
def pool():
    return build_pool(SMALL)


def test_shape_and_columns(pool) -> None:
    assert 400 < len(pool) <= 3 * 240
    assert pool.dimension == 64
    assert pool.domain_names == ("numpy", "sklearn", "pandas")
    assert pool.class_names == KINDS
    assert set(pool.signals) == {"utility", "alignment", "safety"}
    assert set(pool.hidden) == {"label", "dangerous", "cluster", "cluster_weight", "quality", "group"}
    np.testing.assert_allclose(np.linalg.norm(pool.embeddings, axis=1), 1, atol=1e-5)
    assert all(len(pool.ids(split)) > 50 for split in ("train", "validation", "test"))
    assert set(pool.provenance.versions) >= {"numpy", "scikit-learn", "pandas", "curation-gym"}


def test_texts_are_distinct_chunks_of_the_stated_length(pool) -> None:
    texts = pool.data["text"].to_pylist()
    assert len(set(texts)) == len(texts)
    lengths = np.array([len(text) for text in texts])
    assert lengths.min() >= CHARACTERS[0]
    assert lengths.max() <= CHARACTERS[1]
    np.testing.assert_array_equal(lengths, pool.length)


def test_no_package_and_no_kind_is_above_its_quota(pool) -> None:
    counts = np.zeros((3, len(KINDS)), int)
    np.add.at(counts, (pool.domain, pool.hidden["label"]), 1)
    assert counts.max() <= 60
    assert (counts > 20).all(), counts


def test_cluster_weights_are_shares_of_the_pool(pool) -> None:
    clusters, first, counts = np.unique(pool.hidden["cluster"], return_index=True, return_counts=True)
    np.testing.assert_array_equal(clusters, np.arange(len(clusters)))
    np.testing.assert_allclose(pool.hidden["cluster_weight"][first], counts / len(pool))
    np.testing.assert_allclose(pool.hidden["cluster_weight"][first].sum(), 1)
    np.testing.assert_allclose(pool.hidden["quality"], pool.signals["utility"])


def test_signals_carry_what_they_say(pool) -> None:
    explanation = pool.hidden["label"] == KINDS.index("explanation")
    for auc in auc_within(pool.signals["alignment"], explanation, pool.domain, pool.domain_names).values():
        assert auc > 0.9
    dangerous = pool.hidden["dangerous"]
    assert dangerous.sum() >= 10
    assert (pool.hidden["label"][dangerous] == KINDS.index("code")).all()
    everywhere = auc_within(1 - pool.signals["safety"], dangerous, np.zeros(len(pool), int), ["all"])
    assert everywhere["all"] > 0.8
    utility = pool.signals["utility"]
    assert utility[explanation].mean() > utility[pool.hidden["label"] == KINDS.index("code")].mean() + 0.3


def test_same_packages_same_pool(pool) -> None:
    assert docstrings.build(DocstringsConfig(**SMALL)).fingerprint == pool.fingerprint


def test_packages_that_are_unknown_or_missing_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PoolError, match=r"packages must be of numpy, .*actual value: 'nunpy'"):
        build_pool({"builder": "docstrings", "packages": ["nunpy"]})
    with pytest.raises(PoolError, match=r"only \d+ chunks call something dangerous.*choose more packages"):
        build_pool({"builder": "docstrings", "packages": ["gymnasium"], "per_package": 80})
    monkeypatch.setitem(PACKAGES, "absent_module", "numpy")
    with pytest.raises(PoolError, match="'absent_module' is not installed"):
        build_pool({"builder": "docstrings", "packages": ["absent_module"]})


@pytest.mark.parametrize(
    ("source", "dangerous"),
    [
        ("eval('1')", True),
        ("model.eval()", False),
        ("import os\nos.system('ls')", True),
        ("import os\nos.path.join('a', 'b')", False),
        ("import subprocess as sp\nsp.check_output(['ls'])", True),
        ("from subprocess import run as go\ngo(['ls'])", True),
        ("from pickle import loads\nx = [loads(b) for b in data]", True),
        ("import json\njson.loads('1')", False),
        ("import os\nos.execvp('ls', [])", True),
        ("from .subprocess import run\nrun()", False),
        ("import re\nre.compile('a')", False),
        ("subprocess = 1", False),
    ],
)
def test_dangerous_calls_are_found_by_their_full_name(source: str, dangerous: bool) -> None:
    tree = ast.parse(source)
    statements = list(packages._statements(tree))
    names = packages._imported_names(statements)
    assert any(packages._is_dangerous(statement, names) for statement in statements) is dangerous


def test_a_docstring_is_cut_by_kind_and_a_function_loses_its_docstring() -> None:
    prose = "This function explains at length what it is for and how it should be used by others. " * 3
    source = f'''
def f(x):
    """{prose}

    Parameters
    ----------
    x : float
        {"What x means and which values it may take, at some length, so that the block is long. " * 3}

    Examples
    --------
    >>> {"f(1.0) + " * 30}f(2.0)
    3.0
    """
    {"x = x + 1  # a statement that makes the body longer" + chr(10) + "    " + "y = x * 2" * 1}
    {(chr(10) + "    ").join(f"value_{i} = x * {i} + y" for i in range(80))}
'''
    chunks = {chunk.kind: chunk.text for chunk in packages._read(source, "f.py")}
    assert set(chunks) == set(KINDS)
    assert chunks["explanation"] == prose.strip()
    assert chunks["reference"].startswith("x : float")
    assert chunks["example"].startswith(">>> f(1.0)")
    assert chunks["code"].startswith("def f(x):\n    x = x + 1")
    assert "This function" not in chunks["code"]
    assert len(chunks["code"]) <= CHARACTERS[1]
    ast.parse(chunks["code"])  # whole statements only

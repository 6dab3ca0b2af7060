"""What the tests share: a cache of their own, and small pools."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("suite", deadline=None, print_blob=True)  # on a loaded machine a deadline says nothing
settings.load_profile("suite")

# One BLAS thread per worker: results don't depend on the machine, and small matrices are faster so.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from curation_gym.pools import Pool, build_pool  # noqa: E402 - NumPy reads the environment when it is imported
from tests.perspective import Service  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Pools are built in the session's temporary directory, never taken from the user's cache."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # of all workers of this session
    os.environ["CURATION_GYM_CACHE"] = str(shared / "cache")


@pytest.fixture(scope="session")
def small_pool() -> Pool:
    """Three groups of 120 samples, 8 clusters each, 6 dimensions."""
    return build_pool(
        {"builder": "synthetic", "n_samples": 120, "n_clusters": 8, "n_groups": 3, "dimension": 6, "seed": 5}
    )


@pytest.fixture
def data_directory() -> Path:
    """Real public data sets; skips without them."""
    if "CURATION_GYM_DATA" not in os.environ:
        pytest.skip("needs real data sets: set CURATION_GYM_DATA to the directory that holds them")
    return Path(os.environ["CURATION_GYM_DATA"])


@pytest.fixture
def service() -> Iterator[Service]:
    """A service in Perspective's format, on this machine."""
    server = Service()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)

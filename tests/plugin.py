"""What all tests share, doctests included: pytest is told of it in pyproject.toml.

One thread: with a process a core, as pytest-xdist runs them, more only wait for one another. Compiled code is kept in
a folder of the tests, not in the user's. And no deadlines: how long an example takes is the machine's business.
"""

import pytest
from hypothesis import settings
from threadpoolctl import threadpool_limits

settings.register_profile("symgraph", deadline=None)
settings.load_profile("symgraph")


@pytest.fixture(autouse=True, scope="session")
def one_blas_thread():
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYMGRAPH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("SYMGRAPH_NUM_THREADS", "1")
        yield

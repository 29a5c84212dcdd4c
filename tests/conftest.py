"""What all tests share.

One BLAS thread: with a process a core, as pytest-xdist runs them, more only wait for one another. And no deadlines:
how long an example takes is the machine's business.
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

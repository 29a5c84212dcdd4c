"""Tests keep compiled code in a folder of their own, not in the user's."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def cache_of_the_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYMGRAPH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield

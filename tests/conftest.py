import multiprocessing
from collections.abc import Iterator

import pytest

from local.azurite import Azurite

# Processes that are killed are forked from a server that has imported what they need.
multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.killable"])


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running

import multiprocessing
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite import Azurite

# Processes that are killed are forked from a server that has imported what they need.
multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.killable"])

#: A file of tests that imports from one of these starts servers or processes.
_STARTS = re.compile(
    r"^(?:from|import) (?:bench|local|multiprocessing|proof|socket|subprocess|tests\.(?:killable|over_http|rig))\b",
    re.MULTILINE,
)
#: What a quick test must not do, by Python's own names for it (https://docs.python.org/3/library/audit_events.html).
_SLOW = frozenset({"os.fork", "os.posix_spawn", "socket.bind", "socket.connect", "subprocess.Popen"})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="only the files whose tests start no server and no process")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.quick:
        sys.addaudithook(_refuse_what_is_slow)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    is_left_out = (
        config.option.quick
        and collection_path.name.startswith("test_")
        and _STARTS.search(collection_path.read_text(encoding="utf-8"))
    )
    return True if is_left_out else None


def _refuse_what_is_slow(event: str, _: tuple[object, ...]) -> None:
    if event in _SLOW:
        raise AssertionError(f"{event}: a quick test starts no server and no process")


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running

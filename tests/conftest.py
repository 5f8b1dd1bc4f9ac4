import multiprocessing
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.azurite import Azurite

# Processes that are killed are forked from a server that has imported what they need.
multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.killable"])

#: A file of tests that imports from one of these, or asks for Azurite or a table in it, starts servers or processes.
_STARTS = re.compile(
    r"^(?:from|import) (?:bench|local|multiprocessing|proof|socket|subprocess|tests\.(?:killable|over_http|rig))\b"
    r"|\bazurite\b|\btable: AlertTable\b",
    re.MULTILINE,
)
#: Files whose tests share nothing but Azurite, and take minutes.
_SHARES_NOTHING = frozenset({"test_convergence.py", "test_simulation.py"})
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


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return one worker for each core, and one more for each two: half of the time a world is waited for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(2, cores + cores // 2)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give a file of tests to one worker, because its servers start once, but spread the files that start none.

    Without this the longest file alone would decide how long all tests take.
    """
    from xdist.scheduler import LoadFileScheduling  # noqa: PLC0415 - the quick tests run without it

    if config.getoption("dist") != "loadfile":
        return None
    scheduling = LoadFileScheduling(config, log)
    file_of = scheduling._split_scope
    scheduling._split_scope = lambda test: (
        test if file_of(test).rpartition("/")[2] in _SHARES_NOTHING else file_of(test)
    )
    return scheduling


def _refuse_what_is_slow(event: str, _: tuple[object, ...]) -> None:
    if event in _SLOW:
        raise AssertionError(f"{event}: a quick test starts no server and no process")


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running

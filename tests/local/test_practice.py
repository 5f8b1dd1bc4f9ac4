"""The local world can be found, broken and mended by commands, two worlds beside each other."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from itsm_bridge.operate.sources import WORLDS, local_world
from local.breakages import BREAKAGES
from local.http_server import Answer, HttpServer
from local.world_file import remove_stale, world_file

ROOT = Path(__file__).parents[2]


@contextmanager
def running(name: str) -> Iterator[str]:
    """Keep a world up as `make run` does; yield what it printed."""
    command = [sys.executable, "-m", "local.run", "--name", name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout
        printed = ""
        while "local.break back" not in printed:
            line = child.stdout.readline()
            assert line, child.communicate()
            printed += line
        try:
            yield printed
        finally:
            child.send_signal(signal.SIGINT)
            child.wait(30)


def command(module: str, *arguments: str, world: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("Azure", "ENTRA", "SERVICENOW"))}
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**kept, "LOCAL_WORLD": world},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_two_worlds_are_found_broken_and_mended_apart() -> None:
    one, two = (f"test-{os.getpid()}-{number}" for number in (1, 2))
    with running(one) as printed, running(two):
        sent = command("local.send", "fired", world=one)
        listed = [command("itsm_bridge", "list", world=world).stdout for world in (one, two)]
        broken = command("local.break", "no-rights", "role", world=one)
        untouched = command("local.break", world=two)
        tested = [command("itsm_bridge", "send-test", world=world).returncode for world in (one, two)]
        mended = command("local.break", "back", world=one)
        again = command("itsm_bridge", "send-test", world=one)
        unknown = command("local.break", "nonsense", world=one)

    assert "--name" not in printed
    assert sent.returncode == 0
    assert "INC0010001" in listed[0]
    assert listed[1] == "There are none.\n"
    assert broken.stdout == "Broken: no-rights, role.\n"
    assert untouched.stdout.endswith("Broken: nothing.\n")
    assert all(name in untouched.stdout for name in BREAKAGES)
    assert tested == [1, 0]
    assert mended.stdout == "Broken: nothing.\n"
    assert again.returncode == 0
    assert (unknown.returncode, "There is no nonsense" in unknown.stderr) == (2, True)
    assert not [path for path in (ROOT / WORLDS).glob("*.json") if path.stem in (one, two)]


def test_without_a_world_each_command_says_so() -> None:
    name = f"test-{os.getpid()}-none"

    for module, arguments in (("local.send", ["fired"]), ("local.break", ["role"]), ("itsm_bridge", ["status"])):
        answer = command(module, *arguments, world=name)

        assert answer.returncode != 0
        assert f"There is no local world {name}" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_a_real_instance_needs_credentials() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SERVICENOW")}
    answer = subprocess.run(
        [sys.executable, "-m", "local.run", "--servicenow", "https://dev1.service-now.com"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert answer.returncode == 2
    assert "SERVICENOW_USERNAME and SERVICENOW_PASSWORD" in answer.stderr


def test_a_file_is_for_its_owner_alone_and_goes_away(tmp_path: Path) -> None:
    content = {"settings": {"N": "1"}, "control": "http://127.0.0.1:9"}
    with world_file(tmp_path, content) as name:
        path = tmp_path / WORLDS / f"{name}.json"
        assert path.stat().st_mode & 0o777 == 0o600
        assert local_world(tmp_path) == content
        assert [each.name for each in path.parent.iterdir()] == [f"{name}.json"]

    assert local_world(tmp_path) is None


def test_a_file_that_a_killed_world_left_is_taken_away(tmp_path: Path) -> None:
    stale = tmp_path / WORLDS / "one.json"
    stale.parent.mkdir(parents=True)
    stale.write_text('{"control": "http://127.0.0.1:9"}')

    remove_stale(tmp_path)

    assert not stale.exists()


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    server = HttpServer(0, lambda _: Answer(status=200))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    content = {"control": server.url}
    with (
        world_file(tmp_path, content, name="mine"),
        pytest.raises(FileExistsError, match="mine"),
        world_file(tmp_path, content, name="mine"),
    ):
        pass
    server.shutdown()
    thread.join()
    server.server_close()

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.core.exceptions import AzureError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from local.azurite import Azurite, AzuriteMissing
from local.child_process import NotReady

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


def test_it_keeps_queues(azurite: Azurite) -> None:
    with QueueClient.from_connection_string(azurite.connection_string, "letters") as queue:
        queue.create_queue()
        queue.send_message("hello")

        message = queue.receive_message()
        assert message
        assert message.content == "hello"


def test_it_keeps_tables(azurite: Azurite) -> None:
    with TableServiceClient.from_connection_string(azurite.connection_string) as service:
        table = service.create_table("letters")
        table.create_entity({"PartitionKey": "a", "RowKey": "b", "text": "hello"})

        assert table.get_entity("a", "b")["text"] == "hello"


def test_two_run_side_by_side(azurite: Azurite) -> None:
    with Azurite() as other:
        assert other.connection_string != azurite.connection_string


def test_paused_it_answers_nothing_and_resumed_it_answers_again(azurite: Azurite) -> None:
    with QueueClient.from_connection_string(azurite.connection_string, "sleepers", retry_total=0) as queue:
        queue.create_queue()
        azurite.pause()

        with pytest.raises(AzureError):
            queue.send_message("unheard", read_timeout=0.3)
        asked = threading.Thread(target=queue.send_message, args=("heard",))
        asked.start()
        azurite.resume()
        asked.join(timeout=20)

        assert not asked.is_alive()


def test_stopped_it_is_gone_even_if_it_was_paused_and_stopping_again_is_harmless() -> None:
    azurite = Azurite().start()
    port = int(azurite.connection_string.split("QueueEndpoint=http://127.0.0.1:")[1].split("/")[0])
    azurite.pause()
    asked_at = time.monotonic()

    azurite.stop()
    azurite.stop()

    assert time.monotonic() - asked_at < 8

    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        azurite = Azurite(queue_port=taken.getsockname()[1], log_file=tmp_path / "azurite.log")

        with pytest.raises(NotReady, match="EADDRINUSE"):
            azurite.start()


def test_without_node_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(AzuriteMissing, match="no `node` on PATH"):
        Azurite().start()


def test_without_its_package_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("local.azurite.ENTRY", tmp_path / "azurite.js")

    with pytest.raises(AzuriteMissing, match="npm ci --prefix local"):
        Azurite().start()


def test_as_a_command_it_says_what_is_missing_without_a_stack_trace(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "local.azurite"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (1, "Azurite needs Node.js, and there is no `node` on PATH.\n")


def test_as_a_command_it_ends_in_order_when_asked_to() -> None:
    if any(is_taken(port) for port in (10000, 10001, 10002)):
        pytest.skip("another Azurite has the well-known ports")
    command = subprocess.Popen([sys.executable, "-m", "local.azurite"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with command:
        assert command.stdout
        ready = command.stdout.readline()
        command.send_signal(signal.SIGTERM)

        assert command.wait(timeout=20) == 0
    assert "TableEndpoint=http://127.0.0.1:10002/devstoreaccount1;" in ready


def is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_lock_file_names_no_registry_and_the_pinned_version() -> None:
    lock = (ROOT / "local/package-lock.json").read_text(encoding="utf-8")

    assert '"resolved"' not in lock
    assert '"azurite": "3.35.0"' in lock

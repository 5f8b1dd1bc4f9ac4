"""What the environment says of proxies holds for both ends, though it is looked up once."""

from datetime import timedelta
from pathlib import Path

import pytest

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Unavailable
from itsm_bridge.settings import StorageSettings
from itsm_bridge.storage.account import connect_queue, connect_table
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.wakeup_queue import WakeUpQueue
from itsm_bridge.transport import Transport
from tests.test_transport import OK, Server, says

#: The proxy's own words: no answers of storage.
ELSEWHERE = (
    b"HTTP/1.1 302 Found\r\nLocation: http://sign-in.invalid/\r\nSet-Cookie: place=/alerts\r\nContent-Length: 0\r\n\r\n"
)
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
STORAGE = StorageSettings(
    connection_string="DefaultEndpointsProtocol=http;AccountName=account;AccountKey=bm8ga2V5;"
    "TableEndpoint=http://table.invalid/account;QueueEndpoint=http://queue.invalid/account",
    table_service_uri="",
    queue_service_uri="",
    credential="",
    client_id="",
)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "NETRC"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def soon() -> Deadline:
    return Deadline.after(timedelta(seconds=10))


def test_an_exchange_goes_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(says(OK)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        transport = Transport()
        for path in "ab":
            transport.exchange("GET", f"http://instance.invalid/{path}", headers={}, deadline=soon())

    assert [head.split(b"\r\n")[0] for head in proxy.requests] == [
        b"GET http://instance.invalid/a HTTP/1.1",
        b"GET http://instance.invalid/b HTTP/1.1",
    ]


def test_a_host_that_needs_no_proxy_is_called_directly_beside_one_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(says(OK)) as proxy, Server(says(OK)) as near:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        transport = Transport()
        for url in (near.url, "http://instance.invalid/a", near.url):
            transport.exchange("GET", url, headers={}, deadline=soon())

    assert (len(proxy.requests), len(near.requests)) == (1, 2)


@pytest.mark.parametrize("words", [REFUSED, ELSEWHERE], ids=["refused", "elsewhere"])
def test_storage_is_asked_through_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch, words: bytes) -> None:
    """A proxy that sends us elsewhere is not followed, and gives no answer of storage."""
    with Server(says(words)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(Unavailable):
            AlertTable(connect_table(STORAGE)).read("a" * 64)
        with pytest.raises(Unavailable):
            WakeUpQueue(lambda: connect_queue(STORAGE)).send("a" * 64, delay=timedelta(0))

    hosts = {head.split(b"/")[2] for head in proxy.requests}
    assert hosts == {b"table.invalid", b"queue.invalid"}


def test_no_file_of_a_person_says_who_calls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    with Server(says(OK)) as server:
        Transport().exchange("GET", server.url, headers={"Authorization": "Bearer ours"}, deadline=soon())

    assert b"\r\nAuthorization: Bearer ours\r\n" in server.requests[0]

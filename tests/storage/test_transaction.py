"""Several rows at once: what is sent is what the library sends, and what is answered counts only if it is whole."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import AzureError
from azure.data.tables import TableClient

from itsm_bridge.errors import Conflict, Unavailable
from itsm_bridge.storage import transaction
from itsm_bridge.storage.account import connect_table
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.transaction import Refused, delete, insert, overwrite, submit, update
from local.azurite import ACCOUNT, ACCOUNT_KEY, Azurite
from local.http_server import Answer, HttpServer, Request
from tests.builders import record
from tests.storage.test_alert_table import storage

ROW: dict[str, Any] = {
    "PartitionKey": "aa",
    "RowKey": "aa it's ü",
    "text": 'ä "quoted"\r\n--changeset_1--\r\nHTTP/1.1 409 no',
    "empty": "",
    "yes": True,
    "number": 2_000_000_000,
    "at": datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2))),
}
OTHER: dict[str, Any] = {"PartitionKey": "aa", "RowKey": "bb", "text": "b"}


@pytest.fixture
def table(azurite: Azurite) -> Iterator[TableClient]:
    name = "rows" + uuid.uuid4().hex[:12]
    with TableClient.from_connection_string(azurite.connection_string, name) as client:
        client.create_table()
        yield client


def there(table: TableClient) -> dict[str, dict[str, Any]]:
    return {row["RowKey"]: dict(row) for row in table.list_entities()}


def test_rows_are_written_as_the_library_writes_them(table: TableClient) -> None:
    submit(table, [insert(ROW), overwrite(OTHER)])
    ours = there(table)
    for row in (ROW, OTHER):
        table.delete_entity(row)
    table.submit_transaction([("create", ROW), ("upsert", OTHER)])

    assert ours == there(table)
    assert ours[ROW["RowKey"]]["at"] == datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)


def test_each_etag_is_that_of_its_row(table: TableClient) -> None:
    etags = submit(table, [insert(ROW), overwrite(OTHER)])
    read = [table.get_entity(row["PartitionKey"], row["RowKey"]).metadata["etag"] for row in (ROW, OTHER)]

    again = submit(table, [update({**ROW, "yes": False}, etag=etags[0]), delete(OTHER)])

    assert etags == read
    assert (again[0] != etags[0], again[1]) == (True, "")
    assert [(row, each["yes"]) for row, each in there(table).items()] == [(ROW["RowKey"], False)]


@pytest.mark.parametrize(
    ("operations", "code"),
    [
        ([insert(ROW), overwrite(OTHER)], "EntityAlreadyExists"),
        ([update(ROW, etag="W/\"datetime'2020-01-01T00%3A00%3A00.0000000Z'\""), overwrite(OTHER)], None),
        ([overwrite(ROW), delete(OTHER)], "ResourceNotFound"),
    ],
)
def test_of_what_is_refused_nothing_is_done(table: TableClient, operations: Any, code: str | None) -> None:
    submit(table, [insert(ROW), overwrite({**OTHER, "RowKey": "cc"})])
    before = there(table)

    with pytest.raises(Refused) as refused:
        submit(table, operations)

    assert refused.value.error_code == (code or "UpdateConditionNotSatisfied")
    assert there(table) == before


@pytest.mark.parametrize("value", [1.5, None, b"bytes", 1 << 40, [1]])
def test_what_no_row_of_ours_holds_is_not_written(table: TableClient, value: object) -> None:
    with pytest.raises(TypeError, match="a row cannot hold"):
        submit(table, [insert({**OTHER, "odd": value})])
    assert there(table) == {}


@pytest.mark.parametrize("address", ["https://a.table.core.windows.net", "http://127.0.0.1:1/a"])
def test_it_goes_where_the_library_sends_it(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Sent(Exception):
        pass

    with TableClient(address, "alerts", credential=AzureNamedKeyCredential("a", "a2V5")) as client:

        def send(request: Any, **_: object) -> None:
            asked.append((request.method, request.url))
            raise Sent

        monkeypatch.setattr(client._client, "send_request", send)
        for call in (lambda: submit(client, [insert(OTHER)]), lambda: client.submit_transaction([("create", OTHER)])):
            with pytest.raises(Sent):
                call()

    assert asked[0] == asked[1] == ("POST", f"{address}/$batch")


# What is answered.


def whole(*parts: str) -> bytes:
    """Return the answer to a transaction, as the service writes it."""
    head = "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n"
    told = "--c\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    return (head + "".join(f"{told}{part}\r\n" for part in parts) + "--c--\r\n--b--\r\n").encode()


DONE = 'HTTP/1.1 204 No Content\r\nETag: W/"1"\r\n\r\n'


def refused(status: int, code: str) -> str:
    body = f'{{"odata.error":{{"code":"{code}","message":{{"lang":"en","value":"0:it says."}}}}}}'
    return f"HTTP/1.1 {status} No\r\nContent-Type: application/json\r\n\r\n{body}\r\n"


def answered(stack: ExitStack, status: int, body: bytes) -> AlertTable:
    """Return a table that answers each transaction so."""

    def answer(_: Request) -> Answer:
        return Answer(status=status, headers={"Content-Type": "multipart/mixed; boundary=b"}, body=body)

    server = stack.enter_context(HttpServer(0, answer))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    stack.callback(server.shutdown)
    account = f"AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};TableEndpoint={server.url}/{ACCOUNT};"
    return AlertTable(connect_table(storage(f"DefaultEndpointsProtocol=http;{account}")))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (202, whole(DONE), Unavailable),
        (202, whole(DONE, DONE, DONE), Unavailable),
        (202, whole(DONE, DONE)[:150], Unavailable),
        (202, whole(DONE.replace('ETag: W/"1"\r\n', ""), DONE), Unavailable),
        (202, whole(refused(503, "ServerBusy")), Unavailable),
        (202, whole(refused(413, "RequestBodyTooLarge")), Unavailable),
        (202, whole(refused(409, "TableBeingDeleted")), Unavailable),
        (202, whole(refused(409, "EntityAlreadyExists")), Conflict),
        (202, whole(DONE, refused(409, "EntityAlreadyExists")), Conflict),
        (202, whole(refused(412, "UpdateConditionNotSatisfied")), Conflict),
        (202, whole(refused(412, "ConditionNotMet")), Conflict),
        (202, b"", Unavailable),
        (202, b"<html>please sign in</html>", Unavailable),
        (200, b"<html>please sign in</html>", Unavailable),
        (413, b"", Unavailable),
        (404, b"", Unavailable),
        (403, b"", Unavailable),
        (500, b"", Unavailable),
    ],
)
def test_an_answer_counts_only_if_it_is_whole(status: int, body: bytes, error: type) -> None:
    with ExitStack() as stack, pytest.raises(error):
        answered(stack, status, body).insert(record())


def test_a_whole_answer_counts() -> None:
    with ExitStack() as stack:
        assert answered(stack, 202, whole(DONE, DONE)).insert(record()).etag == 'W/"1"'


def test_a_table_that_is_gone_is_an_error_of_the_library() -> None:
    gone = f"AccountName=a;AccountKey={ACCOUNT_KEY};TableEndpoint=http://127.0.0.1:1/a;"
    with (
        TableClient.from_connection_string(gone, "alerts", retry_total=0) as client,
        pytest.raises(AzureError) as error,
    ):
        transaction.submit(client, [insert(OTHER)])
    assert not isinstance(error.value, Refused)

"""How are several rows of one partition written at once, so that all are or none is?

`alert_table` calls it for each alert, with a row and its entry of the index. The client of the library has
`submit_transaction`, which starts three pools of threads and takes a mail parser to each of them: twice the processor
time of a single operation, twice per alert. So what it sends is written here, and its answer is read here. The request
goes through the client's own pipeline, which signs it, repeats it and limits its time.

1. Nothing is believed of an answer that does not tell of every operation.
2. Only what rows of ours hold can be written: text, truth values, small whole numbers, and moments.

Source: https://learn.microsoft.com/rest/api/storageservices/performing-entity-group-transactions
"""

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from azure.core.exceptions import HttpResponseError
from azure.core.rest import HttpRequest
from azure.data.tables import TableClient

_VERSION: Final = "2019-02-02"
_HEADERS: Final = {
    "x-ms-version": _VERSION,
    "DataServiceVersion": "3.0",
    "MaxDataServiceVersion": "3.0;NetFx",
    "Accept": "application/json",
}
_BODY_HEADERS: Final = (
    "Accept: application/json;odata=minimalmetadata",
    "Content-Type: application/json;odata=nometadata",
    "Prefer: return-no-content",
    "DataServiceVersion: 3.0",
)

_PART: Final = re.compile(rb"HTTP/1\.1 (\d{3})\b")
_ETAG: Final = re.compile(rb"^ETag:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)
_CODE: Final = re.compile(rb'"code"\s*:\s*"(\w+)"')


class Operation(NamedTuple):
    """One operation: the method, the row, and the version that must be there; "" for none, "*" for any."""

    method: str
    row: Mapping[str, Any]
    etag: str = ""


class Refused(HttpResponseError):
    """The table refused all of a transaction, or its answer cannot be understood; `error_code` is the service's."""

    def __init__(self, code: str, response: Any) -> None:  # noqa: ANN401 - the library's response
        super().__init__(message=f"the transaction was refused: {code}", response=response)
        self.error_code = code


def insert(row: Mapping[str, Any]) -> Operation:
    """Insert a row that must not be there."""
    return Operation("POST", row)


def overwrite(row: Mapping[str, Any]) -> Operation:
    """Write a row, whether it is there or not."""
    return Operation("PUT", row)


def update(row: Mapping[str, Any], *, etag: str) -> Operation:
    """Write a row that must be there in this version."""
    return Operation("PUT", row, etag)


def delete(row: Mapping[str, Any], *, etag: str = "*") -> Operation:
    """Delete a row that must be there, in this version or in any."""
    return Operation("DELETE", row, etag)


def submit(table: TableClient, operations: Sequence[Operation]) -> Sequence[str]:
    """Do all of `operations` or none; return the ETag of each row, "" for one that was deleted.

    Raises:
        Refused: the table says no, or what it says is no answer to this; `error_code` tells which.
        AzureError: the table did not answer; all happened or nothing.
    """
    place = table.url.partition("?")[0]
    batch, changes = f"batch_{uuid.uuid4()}", f"changeset_{uuid.uuid4()}"
    request = HttpRequest(
        "POST",
        f"{place}/$batch",
        headers={**_HEADERS, "Content-Type": f"multipart/mixed; boundary={batch}"},
        content=_body(f"{place}/{table.table_name}", operations, batch, changes),
    )
    response = table._client.send_request(request, stream=True)  # noqa: SLF001 - the pipeline of the client has no other door
    content = response.read()
    if response.status_code != HTTPStatus.ACCEPTED:
        raise Refused(_code_in(content) or response.headers.get("x-ms-error-code", ""), response)
    return _understood(content, operations, response)


def _body(address: str, operations: Sequence[Operation], batch: str, changes: str) -> bytes:
    lines = [f"--{batch}", f"Content-Type: multipart/mixed; boundary={changes}", ""]
    for number, operation in enumerate(operations):
        head = (f"--{changes}", "Content-Type: application/http", "Content-Transfer-Encoding: binary")
        lines += [*head, f"Content-ID: {number}", "", *_request(address, operation)]
    return "\r\n".join([*lines, f"--{changes}--", f"--{batch}--", ""]).encode()


def _request(address: str, operation: Operation) -> Sequence[str]:
    method, row, etag = operation
    condition = [f"If-Match: {etag}"] if etag else []
    keys = ",".join(f"{name}='{quote(str(row[name]), safe='')}'" for name in ("PartitionKey", "RowKey"))
    target = address if method == "POST" else f"{address}({keys})"
    if method == "DELETE":
        return f"{method} {target} HTTP/1.1", *_BODY_HEADERS[:1], *condition, "", ""
    content = json.dumps(_typed(row), separators=(",", ":"))
    length = f"Content-Length: {len(content)}"
    return f"{method} {target} HTTP/1.1", *_BODY_HEADERS, *condition, length, "", content


def _typed(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row as JSON, with the types that JSON does not tell.

    Raises:
        TypeError: it holds what no row of ours holds.
    """
    typed: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, datetime):
            typed[f"{name}@odata.type"] = "Edm.DateTime"
            typed[name] = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        elif type(value) in (str, bool) or (type(value) is int and abs(value) < 1 << 31):
            typed[name] = value
        else:
            raise TypeError(f"a row cannot hold {type(value).__name__} in {name}")
    return typed


def _understood(content: bytes, operations: Sequence[Operation], response: Any) -> Sequence[str]:  # noqa: ANN401 - as above
    """Return the ETags that an answer tells.

    Raises:
        Refused: it tells that the table refused, or too little.
    """
    starts = [(found.start(), int(found[1])) for found in _PART.finditer(content)]
    ends = [start for start, _ in starts[1:]] + [len(content)]
    parts = [(status, content[start:end]) for (start, status), end in zip(starts, ends, strict=False)]
    for status, part in parts:
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise Refused(_code_in(part) or str(status), response)
    etags = [found[1].decode() if (found := _ETAG.search(part)) else "" for _, part in parts]
    is_whole = len(parts) == len(operations) and all(
        etag or operation.method == "DELETE" for etag, operation in zip(etags, operations, strict=False)
    )
    if not is_whole:
        raise Refused("the answer does not tell of every operation", response)
    return etags


def _code_in(content: bytes) -> str:
    found = _CODE.search(content)
    return found[1].decode() if found else ""

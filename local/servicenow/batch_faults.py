"""What can be wrong with an answer to a batch, although it is answered 200?

These faults are added as those of `faults`, with `table="batch"`. What can go wrong with any request goes wrong with a
batch as well, and is found there.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from local.servicenow.exchange import Request, Response, from_node
from local.servicenow.faults import Fault

#: Returns what is told of a batch in place of the truth.
_Batch = dict[str, Any]


def _batch(name: str, change: Callable[[_Batch], object]) -> Fault:
    """The batch is executed, and `change` alters what is told of it; add it with `table="batch"`."""

    def answer(_request: Request, true: Response | None) -> Response:
        response = true or from_node(200, {})
        told = json.loads(response.body or b"{}")
        if "serviced_requests" in told:
            change(told)
        return replace(response, body=json.dumps(told).encode())

    return Fault(name=name, executed=True, answer=answer)


def shuffled() -> Fault:
    """The answers come in another order than the requests."""
    return _batch("batch shuffled", lambda told: told["serviced_requests"].reverse())


def incomplete(*lost: int) -> Fault:
    """The answers at these places are missing, and nothing says so."""

    def change(told: _Batch) -> None:
        told["serviced_requests"] = [one for at, one in enumerate(told["serviced_requests"]) if at not in lost]

    return _batch("batch incomplete", change)


def unserviced(*, after: int) -> Fault:
    """Time or space was up after so many requests; the others are told as unserviced."""

    def change(told: _Batch) -> None:
        told["unserviced_requests"] = [one["id"] for one in told["serviced_requests"][after:]]
        del told["serviced_requests"][after:]

    return _batch("batch unserviced", change)


def doubled(*, differs: bool) -> Fault:
    """Each answer comes twice; if it differs, the second one says that nothing was found."""
    nothing = base64.b64encode(b'{"result":[]}').decode()

    def change(told: _Batch) -> None:
        again = [one | {"body": nothing} if differs else one for one in told["serviced_requests"]]
        told["serviced_requests"] += again

    return _batch("batch doubled", change)


def of_another() -> Fault:
    """The answer to another batch: its id and its results are not ours."""

    def change(told: _Batch) -> None:
        told["batch_request_id"] = "somebody else's"
        for one in told["serviced_requests"]:
            one["body"] = base64.b64encode(b'{"result":[]}').decode()

    return _batch("batch of another", change)


def items(at: int | None = None, **changes: object) -> Fault:
    """The answer at this place, or every one, has other values: `status_code=500`, `body="%%%"`, `headers=None`."""

    def change(told: _Batch) -> None:
        for place, one in enumerate(told["serviced_requests"]):
            if at in (None, place):
                one.update(changes)

    return _batch(f"batch items: {', '.join(changes)}", change)


def items_cut(at: int | None = None) -> Fault:
    """The body at this place, or every one, ends in the middle, where base64 does not notice."""

    def change(told: _Batch) -> None:
        for place, one in enumerate(told["serviced_requests"]):
            if at in (None, place):
                one["body"] = one["body"][: len(one["body"]) // 8 * 4]

    return _batch("batch items cut", change)


def items_refused(at: int | None = None, *, status: int = 403) -> Fault:
    """The request at this place, or every one, is refused by access control, or fails, inside of the 200."""
    messages = {403: ("User Not Authorized", "Failed API level ACL Validation"), 429: ("Rate limit exceeded", "")}
    message, detail = messages.get(status, ("Internal Error", "An unexpected error occurred"))
    body = json.dumps({"error": {"message": message, "detail": detail}, "status": "failure"}).encode()
    return items(at, status_code=status, body=base64.b64encode(body).decode())


def list_of_wrong_type() -> Fault:
    """The list of answers is an object, as a client that expects a list does not expect it."""

    def change(told: _Batch) -> None:
        told["serviced_requests"] = {one["id"]: one for one in told["serviced_requests"]}

    return _batch("batch list of a wrong type", change)

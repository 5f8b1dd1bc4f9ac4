"""How are several requests answered in one?

`table_api` calls this for `POST /api/now/batch`: the requests of the body are executed one after the other, each as if
it had come alone, with access control, limits and needed headers of its own.

1. The delay of the instance models the round trip, so a batch has it once. What the node does for each request is
   `Switches.batch_work`; whoever waits for the batch waits for the sum.
2. What comes after the quota of time, or after a request or an answer that is too large, is unserviced: its id is told,
   and nothing of it is executed.
3. The answers inside show no `X-Transaction-ID`: the documentation shows none, and a client must do without.

Source of truth: https://github.com/ServiceNow/ServiceNowDocs/blob/australia/markdown/api-reference/rest-apis/batch-api.md
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from email.message import Message
from http import HTTPStatus
from typing import Any

from local.servicenow.exchange import Request, Response, from_node, refusal
from local.servicenow.glide import Switches


def is_for_batch(request: Request) -> bool:
    """Return whether it is a batch."""
    return request.method == "POST" and request.table == "batch"


def requests_in(batch: Request) -> list[Request | None]:
    """Return the requests of a batch in their order, None for one that is not complete."""
    each_of = batch.fields.get("rest_requests")
    return [_request(each) for each in each_of] if isinstance(each_of, list) else []


def work_of(batch: Request, switches: Switches) -> float:
    """Return the seconds that the node needs for a batch, at most its quota."""
    return min(len(requests_in(batch)) * switches.batch_work, switches.batch_quota)


def answer_batch(batch: Request, answer: Callable[[Request], Response], switches: Switches) -> Response:
    """Return the answers to the requests of a batch, in their order."""
    content = batch.fields
    items = content.get("rest_requests")
    if not isinstance(items, list):
        return refusal(400, "Bad Request", "rest_requests is required")
    requests = requests_in(batch)
    if None in requests:
        return refusal(400, "Bad Request", "id, method and url of each request are required")
    serviced: list[dict[str, Any]] = []
    for item, request in zip(items, filter(None, requests), strict=True):
        is_late = (len(serviced) + 1) * switches.batch_work > switches.batch_quota
        if is_late or len(json.dumps(item)) > switches.batch_input:
            break
        response = answer(request)
        if len(response.body) > switches.batch_output:
            break
        serviced.append(_serviced(item, response))
    unserviced = [str(item["id"]) for item in items[len(serviced) :]]
    told = {"batch_request_id": str(content.get("batch_request_id", "")), "serviced_requests": serviced}
    return from_node(200, {**told, "unserviced_requests": unserviced})


def _request(item: object) -> Request | None:
    if not (isinstance(item, Mapping) and item.get("id") and item.get("method") and item.get("url")):
        return None
    headers = Message()
    for each in item.get("headers") or ():
        headers[str(each["name"])] = str(each["value"])
    try:
        body = base64.b64decode(str(item.get("body", "")), validate=True)
    except binascii.Error:
        return None
    return Request(method=str(item["method"]).upper(), target=str(item["url"]), headers=headers, body=body)


def _serviced(item: Mapping[str, Any], response: Response) -> dict[str, Any]:
    headers = [{"name": name, "value": value} for name, value in response.headers if name.lower() != "x-transaction-id"]
    return {
        "id": str(item["id"]),
        "body": base64.b64encode(response.body).decode(),
        "status_code": response.status,
        "status_text": HTTPStatus(response.status).phrase,
        "headers": [] if item.get("exclude_response_headers") is True else headers,
        "execution_time": 5,
    }

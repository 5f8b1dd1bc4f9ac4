"""How are several requests answered in one?

`table_api` calls this for `POST /api/now/batch`: the requests of the body are executed one after the other, each as if
it had come alone.

Source of truth: https://github.com/ServiceNow/ServiceNowDocs/blob/australia/markdown/api-reference/rest-apis/batch-api.md
"""

import base64
import json
from collections.abc import Callable
from email.message import Message
from typing import Any

from local.servicenow.exchange import Request, Response, from_node, refusal


def is_for_batch(request: Request) -> bool:
    """Return whether it is a batch."""
    return request.method == "POST" and request.path in ("/api/now/batch", "/api/now/v1/batch")


def answer_batch(request: Request, answer: Callable[[Request], Response]) -> Response:
    """Return the answers to the requests of a batch, in their order."""
    content = request.fields
    requests = content.get("rest_requests")
    if not isinstance(requests, list):
        return refusal(400, "Bad Request", "rest_requests is required")
    serviced = [_serviced(each, answer) for each in requests if isinstance(each, dict)]
    told = {"batch_request_id": content.get("batch_request_id"), "serviced_requests": serviced}
    return from_node(200, {**told, "unserviced_requests": []})


def _serviced(one: dict[str, Any], answer: Callable[[Request], Response]) -> dict[str, Any]:
    headers = Message()
    for each in one.get("headers", ()):
        headers[each["name"]] = each["value"]
    body = base64.b64decode(one.get("body", ""))
    response = answer(Request(method=str(one["method"]), target=str(one["url"]), headers=headers, body=body))
    return {
        "id": one.get("id"),
        "status_code": response.status,
        "status_text": "OK" if json.loads(response.body or b"{}").get("error") is None else "Failed",
        "body": base64.b64encode(response.body).decode(),
        "headers": [{"name": name, "value": value} for name, value in response.headers],
    }

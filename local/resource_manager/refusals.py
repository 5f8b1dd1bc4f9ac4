"""What does Azure Resource Manager answer that is no answer?

`service` gives these answers, and tests put them in the place of good ones.

Sources of truth: https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling,
https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
"""

import json
from collections.abc import Mapping

from local.http_server import Answer


class Refusal(Exception):
    """Azure refuses what it was asked."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer.status))
        self.answer = answer


def as_json(content: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """Return `content` as Azure answers it."""
    merged = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
    return Answer(status=status, headers=merged, body=json.dumps(content).encode())


def error(status: int, code: str, message: str = "", headers: Mapping[str, str] | None = None) -> Answer:
    """Return an error as Azure words it."""
    return as_json({"error": {"code": code, "message": message}}, status=status, headers=headers)


def throttled(seconds: str | None) -> Answer:
    """Return that there were too many requests; None says no time."""
    headers = {} if seconds is None else {"Retry-After": seconds}
    return error(429, "TooManyRequests", "The request is being throttled.", headers)


def forbidden(action: str) -> Answer:
    """Return that who asks lacks a role."""
    return error(403, "AuthorizationFailed", f"The client does not have authorization to perform action '{action}'.")


def not_found() -> Answer:
    """Return that there is no such thing."""
    return error(404, "ResourceNotFound", "The resource was not found.")


def html(status: int = 200) -> Answer:
    """Return a page of some proxy."""
    return Answer(status=status, headers={"Content-Type": "text/html"}, body=b"<html><body>Hello</body></html>")

"""What may be asked of the host itself? The parts of the real host's admin API that tests and people need.

The server offers each request to `Admin` first, and to the functions of the app afterwards.

    GET  /admin/host/status          200 {"state": "Running"}
    GET  /admin/functions            200 [{"name": ..., "config": {"bindings": [...]}}]
    POST /admin/functions/<name>     202; runs a function without HTTP trigger now; for a queue: {"input": "message"}

It asks for no key, because only this machine reaches it.
Source: https://learn.microsoft.com/azure/azure-functions/functions-manually-run-non-http
"""

import json
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from local.host.queue_trigger import QueueTrigger
from local.host.timer_trigger import TimerTrigger
from local.host.worker import Function
from local.http_server import Answer, Request


class Admin:
    """Answers the admin API."""

    def __init__(self, functions: Sequence[Function], triggers: Sequence[QueueTrigger | TimerTrigger]) -> None:
        self._functions = functions
        self._triggers = {trigger.function.name.lower(): trigger for trigger in triggers}

    def answer(self, request: Request) -> Answer | None:
        """Answer `request`; None if it asks nothing of the admin API."""
        path = unquote(urlsplit(request.target).path).strip("/").lower()
        match (request.method, *path.split("/")):
            case ("GET", "admin", "host", "status"):
                return _json({"state": "Running"})
            case ("GET", "admin", "functions"):
                return _json([{"name": each.name, "config": {"bindings": each.bindings}} for each in self._functions])
            case ("POST", "admin", "functions", name):
                return Answer(status=self._invoke(name, request.body))
        return None

    def _invoke(self, name: str, body: bytes) -> HTTPStatus:
        trigger = self._triggers.get(name)
        if trigger is None:
            return HTTPStatus.NOT_FOUND
        if isinstance(trigger, TimerTrigger):
            trigger.invoke()
            return HTTPStatus.ACCEPTED
        try:
            text = json.loads(body)["input"]
        except (ValueError, KeyError, TypeError):
            return HTTPStatus.BAD_REQUEST
        trigger.invoke(str(text))
        return HTTPStatus.ACCEPTED


def _json(content: object) -> Answer:
    return Answer(status=HTTPStatus.OK, headers={"Content-Type": "application/json"}, body=json.dumps(content).encode())

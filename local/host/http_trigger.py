"""Which function answers a request? The one whose route and methods match, as the real host decides it.

The server hands it every request that is not the admin API's; the worker runs the function.

1. If no path or no method matches, the answer is 404; there is no 405.
2. Levels other than `anonymous` need the key, if the host was given one: `?code=` or `x-functions-key`, else 401.
3. A failed invocation is answered 500 with an empty body.
4. Query parameters without a value do not reach the function; repeated ones are joined with a comma.

Sources: https://learn.microsoft.com/azure/azure-functions/functions-bindings-http-webhook-trigger
         https://github.com/Azure/azure-functions-host/issues/10098 (the missing 405)
"""

import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from local.host import protos
from local.host.host_json import Misconfigured
from local.host.worker import Function, Worker
from local.http_server import Answer, Request

#: What a segment of a route may be: `{name}`, `{name?}`, `{*name}`, or text.
PARAMETER = re.compile(r"\{(?P<rest>\*?)(?P<name>\w+)(?P<optional>\??)\}")
RESERVED = ("admin", "runtime")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where one function answers."""

    function: Function
    #: With the prefix, without slashes around: `api/alerts/{id}`.
    template: str
    pattern: re.Pattern[str]
    #: Upper case; empty means every method.
    methods: frozenset[str]
    needs_key: bool

    def conflicts_with(self, other: "Route") -> bool:
        shares_method = not self.methods or not other.methods or bool(self.methods & other.methods)
        return shares_method and self.template.lower() == other.template.lower()


def read_routes(functions: Iterable[Function], prefix: str) -> tuple[Route, ...]:
    """Return the routes of those functions that have an HTTP trigger, the most literal first.

    Raises:
        Misconfigured: two functions want the same requests, or a route is reserved or not understood.
    """
    routes: list[Route] = []
    for function in functions:
        if function.trigger["type"] == "httpTrigger":
            route = _read_route(function, prefix)
            for other in filter(route.conflicts_with, routes):
                raise Misconfigured(
                    f"Function '{function.name}': the route '{route.template}' conflicts with the route "
                    f"defined by function '{other.function.name}'."
                )
            routes.append(route)
    return tuple(sorted(routes, key=lambda route: route.template.count("{")))


def _read_route(function: Function, prefix: str) -> Route:
    path = (function.trigger.get("route") or function.name).strip("/")
    if path.lower().startswith(RESERVED):
        raise Misconfigured(f"Function '{function.name}': the route '{path}' conflicts with built in routes.")
    template = f"{prefix}/{path}".strip("/")
    return Route(
        function=function,
        template=template,
        pattern=re.compile("".join(map(_segment_pattern, template.split("/"))) + "/?", re.IGNORECASE),
        methods=frozenset(method.upper() for method in function.trigger.get("methods") or ()),
        needs_key=function.trigger.get("authLevel", "function").lower() != "anonymous",
    )


def _segment_pattern(segment: str) -> str:
    parameter = PARAMETER.fullmatch(segment)
    if parameter is None:
        if "{" in segment:
            raise Misconfigured(f"The route segment '{segment}' is not understood by this host.")
        return "/" + re.escape(segment)
    if parameter["rest"]:
        return f"(?:/(?P<{parameter['name']}>.*))?"
    pattern = f"/(?P<{parameter['name']}>[^/]+)"
    return f"(?:{pattern})?" if parameter["optional"] else pattern


class HttpTriggers:
    """Answers requests with the functions of the app."""

    def __init__(self, routes: Sequence[Route], worker: Worker, function_key: str | None) -> None:
        self._routes = routes
        self._worker = worker
        self._function_key = function_key

    def answer(self, request: Request) -> Answer:
        """Answer one request; blocks until the function has ended."""
        url = urlsplit(request.target)
        path = unquote(url.path)
        for route in self._routes:
            match = route.pattern.fullmatch(path)
            if match and (not route.methods or request.method in route.methods):
                break
        else:
            return Answer(status=HTTPStatus.NOT_FOUND)
        query = _join(parse_qsl(url.query))
        if route.needs_key and not self._has_key(request, query):
            return Answer(status=HTTPStatus.UNAUTHORIZED)
        parameters = {name: value for name, value in match.groupdict().items() if value is not None}
        value = protos.TypedData(
            http=protos.RpcHttp(
                method=request.method,
                url=f"http://{request.headers.get('host', '127.0.0.1')}{request.target}",
                headers=request.headers,
                query=query,
                params=parameters,
                body=protos.TypedData(bytes=request.body) if request.body else protos.TypedData(),
            )
        )
        # The real host hands on a step of its own, of the same trace.
        traceparent = request.headers.get("traceparent", "")
        invocation = self._worker.submit(route.function, value, traceparent=traceparent).result()
        if not invocation.succeeded:
            return Answer(status=HTTPStatus.INTERNAL_SERVER_ERROR)
        return _answer_of(invocation.return_value)

    def _has_key(self, request: Request, query: Mapping[str, str]) -> bool:
        if self._function_key is None:
            return True
        key = request.headers.get("x-functions-key") or query.get("code", "")
        return hmac.compare_digest(key.encode(), self._function_key.encode())


def _join(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _answer_of(value: protos.TypedData | None) -> Answer:
    returned: Mapping[str, Any] = vars(value) if value else {}
    if "http" in returned:
        response = vars(returned["http"])
        body = vars(response["body"])["bytes"]
        return Answer(status=int(response["status_code"]), headers=response["headers"], body=body)
    if "string" in returned:
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        return Answer(status=HTTPStatus.OK, headers=headers, body=returned["string"].encode())
    return Answer(status=HTTPStatus.NO_CONTENT)

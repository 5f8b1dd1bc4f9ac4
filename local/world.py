"""How does the whole world fit on one machine?

The demonstration, `make run`, the tests and the proof make a `World`. It only joins its parts by their addresses.

    Azure Monitor (we)  ──signed call──▶  Functions host  ──▶  ServiceNow stand-in
                  token ▲                    │      │
            Entra stand-in ◀── keys ─────────┘      └──▶  Azurite (table, queue)
       Azure's own list of alerts ◀── what was missed? ──┘

Every part listens on loopback and on a free port, holds made-up things, and is gone when the world ends.
"""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from local.azurite import Azurite
from local.entra.authority import Entra
from local.host.func_host import FuncHost
from local.host.launcher import FunctionsHost
from local.resource_manager.service import ACTION_GROUP, ResourceManagerStandIn
from local.servicenow.instance import ServiceNowStandIn

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to one call."""

    status: int
    headers: Mapping[str, str]
    body: Any
    seconds: float

    @property
    def outcome(self) -> str:
        """The outcome of the alert, or the error's code."""
        return str(self.body.get("outcome") or self.body.get("error", {}).get("code", ""))


class World:
    """Azurite, Entra, ServiceNow, Azure's list of alerts, and the app between them.

    A context manager that starts and stops all.
    """

    def __init__(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        app: Path = ROOT,
        log_file: Path | None = None,
        port: int = 0,
        azurite: Azurite | None = None,
        uses_func: bool = False,
    ) -> None:
        self._extra = dict(settings or {})
        self._app = app
        self._log_file = log_file
        self._port = port
        self._stack = ExitStack()
        self._session = requests.Session()
        self._has_own_azurite = azurite is None
        self._uses_func = uses_func
        self.azurite = azurite or Azurite()
        self.entra = Entra()
        self.servicenow = ServiceNowStandIn()
        self.resource_manager = ResourceManagerStandIn()
        self.function_key = secrets.token_urlsafe(24)
        self.host: FunctionsHost | FuncHost

    def __enter__(self) -> Self:
        """Start everything; what was started is stopped again if the rest fails."""
        with ExitStack() as stack:
            if self._has_own_azurite:
                stack.enter_context(self.azurite)
            stack.enter_context(self.entra)
            stack.enter_context(self.servicenow)
            stack.enter_context(self.resource_manager)
            stack.enter_context(self._session)
            self.host = self._make_host()
            stack.callback(self.host.stop)
            self.host.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything."""
        self._stack.close()

    def _make_host(self) -> FunctionsHost | FuncHost:
        if self._uses_func:
            return FuncHost(app=self._app, settings=self.settings, port=self._port, log_file=self._log_file)
        return FunctionsHost(
            app=self._app,
            settings=self.settings,
            port=self._port,
            function_key=self.function_key,
            log_file=self._log_file,
        )

    @property
    def settings(self) -> dict[str, str]:
        """The app settings that connect the app to this world."""
        return {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "PYTHON_THREADPOOL_THREAD_COUNT": "16",
            "AzureWebJobsStorage": self.azurite.connection_string,
            "ENTRA_TENANT_ID": self.entra.tenants[0],
            "ENTRA_AUDIENCE": f"{self.entra.client_id},{self.audience}",
            "ENTRA_AUTHORITY": self.entra.authority,
            "SERVICENOW_INSTANCE_URL": self.servicenow.url,
            "SERVICENOW_CLIENT_ID": self.servicenow.credentials.client_id,
            "SERVICENOW_CLIENT_SECRET": self.servicenow.credentials.client_secret,
            "AZURE_ACTION_GROUP_IDS": ACTION_GROUP,
            **self.resource_manager.settings,
            **self._extra,
        }

    @property
    def webhook(self) -> str:
        """The URI that goes into the action group's secure webhook."""
        return f"{self.host.url}/api/alerts?code={self.function_key}"

    @property
    def token_endpoint(self) -> str:
        """Where Entra hands out tokens for client credentials."""
        return f"{self.entra.authority}/{self.entra.tenants[0]}/oauth2/v2.0/token"

    @property
    def audience(self) -> str:
        """The audience that a token must name."""
        return self.entra.identifier_uri

    def send(self, alert: Mapping[str, Any] | bytes, *, token: str | None = None) -> Answer:
        """Post an alert as Azure Monitor does; `token` replaces the genuine one, "" sends none.

        What Azure Monitor itself sends is in Azure's own list, too.
        """
        body = alert if isinstance(alert, bytes) else json.dumps(alert).encode()
        if token is None and not isinstance(alert, bytes):
            self.resource_manager.told(alert)
        token = self.entra.mint() if token is None else token
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "IcMBroadcaster/1.0"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        return self.call("POST", self.webhook, data=body, headers=headers)

    def call(self, method: str, url: str, **arguments: Any) -> Answer:
        """Make any call and return its answer, JSON or not."""
        began = time.perf_counter()
        response = self._session.request(method, url, timeout=30, **arguments)
        seconds = time.perf_counter() - began
        is_json = "json" in response.headers.get("Content-Type", "")
        body = response.json() if is_json else {"text": response.text}
        return Answer(status=response.status_code, headers=response.headers, body=body, seconds=seconds)

    def invoke(self, function: str) -> None:
        """Run a function that has no HTTP trigger, now."""
        self.call("POST", f"{self.host.url}/admin/functions/{function}", json={})

    def wait_until(self, is_so: Callable[[], bool], *, within: timedelta = timedelta(seconds=60)) -> bool:
        """Wait until `is_so` returns true; return whether it did in time."""
        ends_at = time.monotonic() + within.total_seconds()
        while not is_so():
            if time.monotonic() > ends_at:
                return False
            time.sleep(0.1)
        return True

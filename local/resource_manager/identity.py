"""Where does an app get tokens of its managed identity? A stand-in for App Service's identity endpoint.

`service` starts one beside itself. It asks for the header and the version as App Service does, and gives a made-up
token that `service` accepts.

Source of truth: https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
"""

import secrets
import threading
import time
from typing import Self
from urllib.parse import parse_qs, urlsplit

from local.http_server import Answer, HttpServer, Request
from local.resource_manager.refusals import as_json

API_VERSION = "2019-08-01"
_LIFETIME = 24 * 60 * 60


class IdentityEndpoint:
    """The endpoint, answering while its `with` block lasts."""

    def __init__(self) -> None:
        #: What App Service tells the app as `IDENTITY_HEADER`.
        self.header = secrets.token_urlsafe(16)
        self.token = f"made-up-{secrets.token_urlsafe(16)}"
        #: The identity that the app has; "" if any client id will do.
        self.client_id = ""
        #: The resource and the client id of each request.
        self.asked: list[tuple[str, str]] = []
        self._server = HttpServer(0, self._answer)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which an app finds it."""
        return {"IDENTITY_ENDPOINT": f"{self._server.url}/msi/token", "IDENTITY_HEADER": self.header}

    def _answer(self, request: Request) -> Answer:
        parts = urlsplit(request.target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path != "/msi/token" or query.get("api-version") != API_VERSION:
            return as_json({"statusCode": 400, "message": "Bad request"}, status=400)
        if request.headers.get("x-identity-header") != self.header:
            return as_json({"statusCode": 401, "message": "Unauthorized"}, status=401)
        resource, client_id = query.get("resource", ""), query.get("client_id", "")
        self.asked.append((resource, client_id))
        if self.client_id and client_id != self.client_id:
            return as_json(
                {"statusCode": 400, "message": "No User Assigned or Delegated Managed Identity found"}, status=400
            )
        expires_on = str(int(time.time()) + _LIFETIME)
        return as_json(
            {
                "access_token": self.token,
                "expires_on": expires_on,
                "resource": resource,
                "token_type": "Bearer",
                "client_id": client_id,
            }
        )

"""Where is the storage account, and who are we there?

`app` connects here, and the adapters of the table and the queue translate errors here; no row and no message is known.
The app settings give a connection string, or an identity as the Functions host defines it for `AzureWebJobsStorage`
(https://learn.microsoft.com/azure/azure-functions/functions-reference#connecting-to-host-storage-with-an-identity).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.core.pipeline.transport import RequestsTransport
from azure.data.tables import TableClient
from requests import PreparedRequest, Request
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict
from urllib3 import Retry

from itsm_bridge.errors import Unavailable
from itsm_bridge.session import Adapter, Session
from itsm_bridge.settings import StorageSettings

if TYPE_CHECKING:
    from azure.storage.queue import QueueClient

_T = TypeVar("_T")

#: How many connections a client keeps open: the library keeps ten, and in a storm more threads than that ask storage,
#: which then made a connection for each call.
_CONNECTIONS_KEPT = 64

TABLE = "alerts"
QUEUE = "alert-wakeups"

#: Seconds, and how often a call that storage refused at once is repeated. Two calls in a row that hang must still
#: leave Azure Monitor its answer within 5 seconds; its own retry or a wake-up does what is left undone.
_PATIENCE: Mapping[str, Any] = {
    "connection_timeout": 1.0,
    "read_timeout": 1.5,
    "retry_total": 1,
    "retry_connect": 1,
    "retry_read": 0,
    "retry_status": 1,
    "retry_backoff_factor": 0.1,
    # Storage sends nobody elsewhere, but a proxy may: to a page where people sign in.
    "permit_redirects": False,
}

#: The queue's library has retries of its own, which wait 15 seconds and more unless told otherwise.
_QUEUE_PATIENCE: Mapping[str, Any] = {
    **_PATIENCE,
    "initial_backoff": 0.1,
    "increment_base": 0,
    "random_jitter_range": 0,
}


def connect_table(settings: StorageSettings) -> TableClient:
    """Return a client of the table `alerts`; nothing is sent yet."""
    options = {**_PATIENCE, "transport": _transport()}
    if settings.connection_string:
        return TableClient.from_connection_string(settings.connection_string, TABLE, **options)
    return TableClient(settings.table_service_uri, TABLE, credential=_credential(settings), **options)


def connect_queue(settings: StorageSettings) -> "QueueClient":
    """Return a client of the queue `alert-wakeups`; messages are base64, as `host.json` tells the Functions host.

    The first call imports the library, which takes longer than to settle an alert, and few alerts need the queue.
    """
    return _connected_queue(settings, QUEUE)


def connect_poison_queue(settings: StorageSettings) -> "QueueClient":
    """Return a client of the queue into which the Functions host puts messages that failed too often."""
    return _connected_queue(settings, f"{QUEUE}-poison")


def _connected_queue(settings: StorageSettings, name: str) -> "QueueClient":
    from azure.storage.queue import QueueClient, TextBase64EncodePolicy  # noqa: PLC0415 - see `connect_queue`

    options = {**_QUEUE_PATIENCE, "transport": _transport(), "message_encode_policy": TextBase64EncodePolicy()}
    if settings.connection_string:
        return QueueClient.from_connection_string(settings.connection_string, name, **options)
    return QueueClient(settings.queue_service_uri, name, credential=_credential(settings), **options)


class _Session(Session):
    """A session that sends what a pipeline has made ready: its address is encoded, and storage knows no cookies."""

    def prepare_request(self, request: Request) -> PreparedRequest:
        """Add what `requests` says of itself; to look at all else again takes an eighth of the time of a call."""
        prepared = PreparedRequest()
        prepared.method, prepared.url, prepared.hooks = request.method, request.url, default_hooks()
        prepared.headers = CaseInsensitiveDict({**self.headers, **request.headers})
        prepared.prepare_body(request.data, files=None)
        return prepared


def _transport() -> RequestsTransport:
    """Return connections that repeat nothing, as the libraries' own do: their pipelines repeat."""
    session, retries = _Session(), Retry(total=False, redirect=False, raise_on_status=False)
    for scheme in ("https://", "http://"):
        session.mount(scheme, Adapter(max_retries=retries, pool_maxsize=_CONNECTIONS_KEPT))
    return RequestsTransport(session=session, **_PATIENCE)


class NotPermitted(Unavailable):
    """Who asks is not signed in, or lacks a role; somebody else, as the app itself, may have it."""


@contextmanager
def answering(what: str) -> Iterator[None]:
    """Translate the errors of the libraries in the block, except the answers that a caller acts upon.

    Raises:
        Unavailable: `what` did not answer; a write may or may not have happened.
    """
    try:
        yield
    except (ResourceExistsError, ResourceModifiedError, ResourceNotFoundError):
        raise
    except AzureError as error:
        kind = NotPermitted if _is_of_the_person(error) else Unavailable
        raise kind(_told(what, error)) from error


def created_if_absent(call: Callable[[], _T], *, create: Callable[[], object], absent: str) -> _T:
    """Return the answer of `call`; if its table or queue turns out to be absent, create it and call again."""
    try:
        return call()
    except HttpResponseError as error:
        # The error of a transaction is of no kind of its own.
        if code_of(error) != absent:
            raise
    with suppress(ResourceExistsError):
        create()
    return call()


#: By error code of storage: why it refused, and who can mend that.
#: https://learn.microsoft.com/rest/api/storageservices/status-and-error-codes2
_REFUSALS: Mapping[str, str] = {
    "AuthorizationPermissionMismatch": "who asks lacks a role: an owner of the account grants Storage Table Data"
    " Contributor and Storage Queue Data Contributor",
    "AuthorizationFailure": "its firewall does not let this address in, or who asks lacks a role: an owner of the"
    " account allows the network",
    "AuthenticationFailed": "the key or the signature is wrong, or the clocks differ by more than 15 minutes: an owner"
    " of the account has the key",
    "KeyBasedAuthenticationNotPermitted": "the account takes no keys: name it with AzureWebJobsStorage__accountName",
    "AccountIsDisabled": "the account is disabled",
}
_NOT_SIGNED_IN = "nobody is signed in who may ask: `az login` signs a person in, the app needs its identity"


def _is_of_the_person(error: AzureError) -> bool:
    if isinstance(error, ClientAuthenticationError) and error.response is None:
        return True
    return isinstance(error, HttpResponseError) and code_of(error) == "AuthorizationPermissionMismatch"


def _told(what: str, error: AzureError) -> str:
    """Say why storage did not do what was asked. The library's own message may hold addresses and signatures."""
    if isinstance(error, ClientAuthenticationError) and error.response is None:
        return f"{what} was not asked: {_NOT_SIGNED_IN}"
    code = code_of(error) if isinstance(error, HttpResponseError) else ""
    if code in _REFUSALS:
        return f"{what} refused: {_REFUSALS[code]} ({code})"
    return f"{what} did not answer: {code or type(error).__name__}"


def code_of(error: HttpResponseError) -> str:
    """Return the error code of storage; the libraries read it from the body, and not at every operation."""
    headers: Mapping[str, str] = getattr(error.response, "headers", {})
    code = getattr(error, "error_code", None) or headers.get("x-ms-error-code", "")
    return str(code.value if isinstance(code, Enum) else code)


def _credential(settings: StorageSettings) -> Any:  # noqa: ANN401 - azure-identity is imported only when it is used
    from azure.identity import DefaultAzureCredential, ManagedIdentityCredential  # noqa: PLC0415 - 100 ms of import

    if settings.credential == "managedidentity":
        return ManagedIdentityCredential(client_id=settings.client_id or None)
    return DefaultAzureCredential()

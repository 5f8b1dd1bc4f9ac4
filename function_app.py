"""Who calls us, and what do we answer?

The entry points of the Functions app and its composition root. Nothing is decided here but the answer:
`ANSWERS` says what each error becomes, and whatever is not in it becomes 503, because Azure Monitor repeats a call
only after 408, 429, 503 and 504 (https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#webhook).
"""

import gc

# What is imported stays. Looking for garbage among it takes a tenth of a cold start, and again at each full collection.
gc.disable()

import functools
import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import azure.functions as func

from itsm_bridge.azure_monitor.alert import Alert, parse_alert
from itsm_bridge.azure_monitor.notification import notification_of
from itsm_bridge.entra.token import TokenVerifier
from itsm_bridge.errors import (
    BridgeError,
    Forbidden,
    InvalidAlert,
    InvalidToken,
    TemporaryError,
    TooLarge,
    place_of,
)
from itsm_bridge.operate.health import Health
from itsm_bridge.reconcile.attempt import Outcome, Result
from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.reconciler import INLINE_BUDGET, Reconciler
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.credentials import credentials_of
from itsm_bridge.servicenow.incidents import ServiceNow
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.settings import EntraSettings, Settings
from itsm_bridge.storage.account import QUEUE, connect_queue, connect_table
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.row_format import is_key
from itsm_bridge.storage.wakeup_queue import WakeUpQueue
from itsm_bridge.threads import ensure_threads, requests_at_once

gc.freeze()
gc.enable()

log = logging.getLogger("itsm_bridge")

#: The largest alert in the common schema is 256 KB; four times that is nobody's alert.
LARGEST_BODY: Final = 1024 * 1024
#: What a caller is asked to wait after 503, in seconds. Azure Monitor has a schedule of its own.
RETRY_AFTER: Final = "10"

# The libraries of Azure tell each request at INFO: a line per storage call, and nothing an operator asks for.
for _name in ("azure.core", "azure.identity", "azure.storage", "azure.data", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)

#: The threads that calls run in. Before the first call nothing runs in them, and the app's settings are there.
_THREADS: Final = ensure_threads(os.environ)

#: Two first calls at once must not make two bulkheads.
_building = threading.Lock()

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """Everything that a function needs, built once per process."""

    settings: Settings
    verifier: TokenVerifier
    reconciler: Reconciler
    health: Health


def bridge() -> Bridge:
    """Return the program, built on first use: an error at import would leave the host without any function.

    Raises:
        InvalidSettings: some settings are missing or malformed. It is tried again at the next call.
    """
    with _building:
        return _built()


@functools.cache
def _verifier(entra: EntraSettings) -> TokenVerifier:
    """Return the verifier and begin to fetch keys: meanwhile libraries are imported.

    One for all calls, also while other settings are wrong: its key rings limit how often Entra is asked.
    """
    verifier = TokenVerifier(
        tenants=entra.tenants,
        audiences=entra.audiences,
        allowed_callers=entra.allowed_callers,
        required_role=entra.required_role,
        authority=entra.authority,
    )
    _begin(verifier.warm)
    return verifier


@functools.cache
def _built() -> Bridge:
    settings = Settings.from_environ(os.environ)
    entra, instance = settings.entra, settings.servicenow
    verifier = _verifier(entra)
    store = AlertTable(connect_table(settings.storage))
    wakeups = WakeUpQueue(connect_queue(settings.storage))
    table_api = TableApi(instance.instance_url, credentials_of(instance))
    servicenow = ServiceNow(table_api, close_code=instance.close_code)
    slots = requests_at_once(instance.max_concurrency, threads=_THREADS)
    # Not at import: the host drops log lines that belong to no call.
    level = logging.INFO if slots == instance.max_concurrency else logging.WARNING
    log.log(level, "%d threads answer calls, %d requests at once go to ServiceNow", _THREADS, slots)
    circuit = Circuit(slots=slots, now=_now)
    reconciler = Reconciler(
        store=store,
        wakeups=wakeups,
        servicenow=servicenow,
        cmdb=Cmdb(table_api),
        circuit=circuit,
        retry_horizon=settings.retry_horizon,
        retention=settings.retention,
        now=_now,
    )
    health = Health(verifier=verifier, store=store, wakeups=wakeups, servicenow=servicenow, circuit=circuit, now=_now)
    _begin(store.check, wakeups.check, table_api.sign_in)
    return Bridge(settings=settings, verifier=verifier, reconciler=reconciler, health=health)


def _begin(*parts: Callable[[], object]) -> None:
    """Begin side by side what the first call would wait for one after the other: keys, connections, tokens.

    Nobody waits for it here. What is not ready when it is needed is waited for there, and what failed is tried again.
    """

    def tried(part: Callable[[], object]) -> None:
        with suppress(BridgeError):
            part()

    for part in parts:
        threading.Thread(target=tried, args=(part,), daemon=True).start()


@app.route(route="alerts", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
def receive_alert(req: func.HttpRequest) -> func.HttpResponse:
    """Take one notification of Azure Monitor: the address of the secure webhook."""
    deadline = _now() + INLINE_BUDGET
    try:
        return _told(_receive(req, deadline))
    except BridgeError as error:
        return _refused(error)
    except Exception as error:  # noqa: BLE001 - the edge: any other answer than 503 would lose the alert
        name, where = type(error).__name__, place_of(error)
        log.error("unexpected %s at %s; Azure Monitor is asked to send the alert again", name, where)
        return _answer(BridgeError)


@app.queue_trigger(arg_name="message", queue_name=QUEUE, connection="AzureWebJobsStorage")
def reconcile_alert(message: func.QueueMessage) -> None:
    """Bring the incident of one key up to date; the message is the key and nothing else."""
    key = message.get_body().decode("ascii", "replace")
    if not is_key(key):
        log.error("a message of %d bytes is no alert key; it is dropped", len(message.get_body()))
        return
    bridge().reconciler.reconcile(key, wake_up_id=message.id or "")


@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *", run_on_startup=False)
def resync(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the binding wants the parameter
    """Wake what fell out of the queue; purge what has long been settled."""
    bridge().reconciler.resync()


@app.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the binding wants the parameter
    """Tell whether the app can do its work, and if not, which part is down. No secret, no detail."""
    try:
        down = bridge().health.down()
    except BridgeError as error:
        log.error("the app cannot work: %s", error)
        down = ("settings",)
    except Exception as error:  # noqa: BLE001 - the edge: the contract knows 200 and 503
        log.error("unexpected %s at %s", type(error).__name__, place_of(error))
        down = ("app",)
    if down:
        return _json(503, {"status": "degraded", "down": list(down)}, {"Retry-After": RETRY_AFTER})
    return _json(200, {"status": "ok"})


def _receive(req: func.HttpRequest, deadline: datetime) -> Result:
    parts = bridge()
    parts.verifier.verify(req.headers.get("Authorization"))
    body = req.get_body()
    if len(body) > LARGEST_BODY:
        raise TooLarge("The body is larger than 1 MiB; an alert is at most 256 KB.")
    alert = parse_alert(body)
    _check_subscription(alert, parts.settings.allowed_subscriptions)
    return parts.reconciler.receive(notification_of(alert), deadline=deadline)


def _check_subscription(alert: Alert, allowed: frozenset[str]) -> None:
    if allowed and alert.subscription_id not in allowed:
        raise Forbidden(f"subscription {alert.subscription_id!a:.80} is not in ALLOWED_SUBSCRIPTIONS")


def _told(result: Result) -> func.HttpResponse:
    body: dict[str, object] = {"alert_key": result.record.key, "outcome": str(result.outcome)}
    if result.outcome is Outcome.ACCEPTED:
        return _json(202, body)
    record = result.record
    body["incident"] = {"number": record.number, "sys_id": record.sys_id} if record.sys_id else None
    return _json(200, body)


#: What the caller is told: status, code, sentence ("" for the error's own), and headers. The first class that fits.
ANSWERS: Final[Mapping[type[BridgeError], tuple[int, str, str, Mapping[str, str]]]] = {
    InvalidToken: (
        401,
        "invalid_token",
        "A valid access token of Azure Monitor is required.",
        {"WWW-Authenticate": 'Bearer error="invalid_token"'},
    ),
    Forbidden: (403, "forbidden", "This caller or its subscription is not allowed.", {}),
    InvalidAlert: (400, "invalid_alert", "", {}),
    TooLarge: (413, "too_large", "", {}),
    BridgeError: (503, "unavailable", "The alert could not be taken now. Send it again.", {"Retry-After": RETRY_AFTER}),
}


def _refused(error: BridgeError) -> func.HttpResponse:
    kind = next(kind for kind in ANSWERS if isinstance(error, kind))
    is_expected = isinstance(error, (TemporaryError, InvalidToken, InvalidAlert))
    log.log(logging.WARNING if is_expected else logging.ERROR, "answered %d: %s", ANSWERS[kind][0], error)
    return _answer(kind, str(error))


def _answer(kind: type[BridgeError], sentence: str = "") -> func.HttpResponse:
    status, code, message, headers = ANSWERS[kind]
    return _json(status, {"error": {"code": code, "message": message or sentence}}, headers)


def _json(status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps(body), status_code=status, headers=dict(headers or {}), mimetype="application/json"
    )


def _now() -> datetime:
    return datetime.now(UTC)

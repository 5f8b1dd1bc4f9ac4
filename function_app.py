"""Which functions does the Functions host find?

The host imports this module and calls the triggers below; each hands its call on and decides nothing.
`itsm_bridge.app` builds what they call, `itsm_bridge.webhook` answers Azure Monitor.
"""

import gc

# Imported modules stay. Looking for garbage among them takes a tenth of a cold start, and again at each full sweep.
gc.disable()

import json
import logging
import os
from typing import Final

import azure.functions as func

from itsm_bridge.app import Bridge, bridge, is_following, measured, prepare
from itsm_bridge.errors import BridgeError, place_of
from itsm_bridge.storage.account import QUEUE
from itsm_bridge.storage.row_format import is_key
from itsm_bridge.webhook import RETRY_AFTER, Answer, answer

gc.freeze()
gc.enable()

log = logging.getLogger("itsm_bridge")

_THREADS: Final = prepare(os.environ)

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)


@app.route(route="alerts", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
def receive_alert(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Take one notification of Azure Monitor: the address of the secure webhook."""
    told = answer(
        lambda: _bridge().webhook,
        lambda: (req.headers.get("Authorization"), req.get_body()),
        telemetry=measured().telemetry,
        traceparent=context.trace_context.trace_parent or "",
    )
    return _response(told)


@app.queue_trigger(arg_name="message", queue_name=QUEUE, connection="AzureWebJobsStorage")
def reconcile_alert(message: func.QueueMessage) -> None:
    """Bring the incident of one key up to date; the message is the key and nothing else."""
    key = message.get_body().decode("ascii", "replace")
    if not is_key(key):
        log.error("a message of %d bytes is no alert key; it is dropped", len(message.get_body()))
        return
    _bridge().reconciler.reconcile(key, wake_up_id=message.id or "")


@app.timer_trigger(arg_name="timer", schedule="0 */5 * * * *", run_on_startup=False)
def resync(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the binding wants the parameter
    """Wake alerts that fell out of the queue; purge alerts that have long been settled; tell what waits too long."""
    parts = _bridge()
    parts.reconciler.resync()
    parts.tell_backlog()


@app.timer_trigger(arg_name="timer", schedule="0 */2 * * * *", run_on_startup=False)
def follow_azure(timer: func.TimerRequest) -> None:  # noqa: ARG001 - the binding wants the parameter
    """Bring in alerts that Azure Monitor failed to bring, if a setting wants that."""
    if is_following(os.environ):
        _bridge().follow()


@app.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 - the binding wants the parameter
    """Tell whether the app can do its work, and if not, which part is down. No secret, no detail."""
    try:
        down = _bridge().health.down()
    except BridgeError as error:
        log.error("the app cannot work: %s", error)
        down = ("settings",)
    except Exception as error:  # noqa: BLE001 - the edge: the contract knows 200 and 503
        log.error("unexpected %s at %s", type(error).__name__, place_of(error))
        down = ("app",)
    if down:
        body = {"status": "degraded", "down": list(down)}
        return _response(Answer(status=503, body=body, headers={"Retry-After": RETRY_AFTER}))
    return _response(Answer(status=200, body={"status": "ok"}))


def _bridge() -> Bridge:
    return bridge(_THREADS)


def _response(told: Answer) -> func.HttpResponse:
    return func.HttpResponse(
        json.dumps(told.body), status_code=told.status, headers=dict(told.headers), mimetype="application/json"
    )

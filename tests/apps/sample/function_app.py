"""A little of everything that the local host runs; what functions without an answer saw goes to REPORT_FILE."""

import base64
import json
import logging
import os
import threading
from pathlib import Path

import azure.functions as func
import azure_functions_runtime

logging.getLogger("sample").warning("said at import")

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
pair = threading.Barrier(2)
lock = threading.Lock()
running: set[str] = set()


def report(**facts: object) -> None:
    with lock, Path(os.environ["REPORT_FILE"]).open("a", encoding="utf-8") as reports:
        reports.write(json.dumps(facts) + "\n")


@app.route(route="echo/{name?}")
def echo(req: func.HttpRequest) -> func.HttpResponse:
    seen = {
        "method": req.method,
        "url": req.url,
        "params": dict(req.params),
        "route_params": dict(req.route_params),
        "headers": dict(req.headers),
        "body": base64.b64encode(req.get_body()).decode(),
    }
    return func.HttpResponse(json.dumps(seen), status_code=201, mimetype="application/json", headers={"X-Seen": "yes"})


@app.route(route="post-only", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
async def post_only(req: func.HttpRequest) -> str:  # noqa: ARG001 -- the binding's name
    return "posted"


@app.route(route="fail")
def fail(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 -- the binding's name
    raise ValueError("made to fail")


@app.route(route="meet")
def meet(req: func.HttpRequest) -> func.HttpResponse:
    """Return only when two of these run at once."""
    pair.wait(timeout=float(req.params.get("within", "10")))
    return func.HttpResponse(os.environ["PYTHON_THREADPOOL_THREAD_COUNT"])


@app.route(route="wait")
def wait(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 -- the binding's name
    report(function="wait")
    threading.Event().wait(1)
    return func.HttpResponse("waited")


@app.route(route="threads")
def threads(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 -- the binding's name
    pool = getattr(azure_functions_runtime.get_threadpool_executor(), "_max_workers", None)
    return func.HttpResponse(json.dumps({"setting": os.environ["PYTHON_THREADPOOL_THREAD_COUNT"], "pool": pool}))


@app.route(route="log")
def log(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 -- the binding's name
    logger = logging.getLogger("sample")
    logger.warning("said within the call")
    own = threading.Thread(target=logger.warning, args=("said by a thread of its own",))
    own.start()
    own.join()
    return func.HttpResponse("logged")


@app.route(route="die")
def die(req: func.HttpRequest) -> func.HttpResponse:  # noqa: ARG001 -- the binding's name
    os._exit(9)


@app.queue_trigger(arg_name="msg", queue_name="%QUEUE%", connection="AzureWebJobsStorage")
def remember(msg: func.QueueMessage) -> None:
    body = msg.get_body().decode()
    with lock:
        running.add(str(msg.id))
        at_once = len(running)
    report(
        function="remember",
        body=body,
        id=msg.id,
        pop_receipt=msg.pop_receipt,
        dequeue_count=msg.dequeue_count,
        times=[str(msg.insertion_time), str(msg.expiration_time), str(msg.time_next_visible)],
        at_once=at_once,
    )
    if body.startswith("slow"):
        threading.Event().wait(float(body.split()[1]))
    with lock:
        running.discard(str(msg.id))
    if body == "fail always" or (body == "fail once" and msg.dequeue_count == 1):
        raise ValueError("made to fail")
    report(function="remember", body=body, done=True)


@app.timer_trigger(arg_name="timer", schedule="%SCHEDULE%", run_on_startup=False)
def tick(timer: func.TimerRequest) -> None:
    logging.getLogger("sample").info("tick")
    report(function="tick", past_due=timer.past_due, next=timer.schedule_status["Next"])  # type: ignore[attr-defined] # its base has none

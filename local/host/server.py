"""What runs the app? This host, which loads it as production does and gives it its requests, messages and timers.

A person starts it, or a program by `launcher`. It joins the parts and stops them; each trigger is a module of its own.

1. App settings are environment variables; `--settings` adds those of a local.settings.json that are not set.
2. `%NAME%` in a binding is the app setting NAME. `AzureWebJobs.<function>.Disabled=true` leaves a function out.
3. SIGTERM and SIGINT end the polling, give running functions five seconds, and exit with 0.
4. An app that the real host would refuse is refused: exit code 1, and the reason on stderr.
5. On stdout: a line per function, what the app prints, and once everything listens `ready http://127.0.0.1:PORT`.
6. With `--placeholder` the worker starts as on Flex Consumption: before it knows any app setting.
7. Log lines of threads that work on no call are dropped, as the real host drops them.

    python -m local.host --app DIR [--port N] [--settings FILE] [--function-key KEY] [--message-lease SECONDS]
                         [--placeholder] [--state DIR]

Source: https://learn.microsoft.com/azure/azure-functions/functions-core-tools-reference#func-start
"""

import argparse
import asyncio
import logging
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from local.host.admin import Admin
from local.host.host_json import HostJson, Misconfigured, read_host_json, read_json
from local.host.http_trigger import HttpTriggers, Route, read_routes
from local.host.queue_trigger import LEASE, QueueTrigger
from local.host.timer_trigger import TimerTrigger
from local.host.worker import Function, Worker, belongs_to_a_call
from local.http_server import HttpServer

GRACE = timedelta(seconds=5)
APP_SETTING = re.compile(r"%([^%]+)%")

logger = logging.getLogger("host")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line."""

    app: Path
    port: int
    settings: Path | None
    function_key: str | None
    message_lease: timedelta
    is_placeholder: bool
    #: Where timers remember when they were due; None if they do not.
    state: Path | None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an app until a signal ends it; return the exit code."""
    options = _parse(arguments)
    try:
        if options.settings:
            _set_app_settings(read_json(options.settings))
        host_json = read_host_json(options.app, os.environ)
        _log_to_stderr(host_json.log_level)
        asyncio.run(_serve(options, host_json))
    except (Misconfigured, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m local.host", description="Run an Azure Functions app locally.")
    parser.add_argument("--app", type=Path, required=True, help="directory of function_app.py")
    parser.add_argument("--port", type=int, default=7071, help="0 takes a free port")
    parser.add_argument("--settings", type=Path, help="a local.settings.json")
    parser.add_argument("--function-key", help="ask for this key, as a deployed app does")
    parser.add_argument(
        "--message-lease", type=float, default=LEASE.total_seconds(), help="seconds a message is hidden while it runs"
    )
    parser.add_argument("--placeholder", action="store_true", help="start the worker before its app settings are known")
    parser.add_argument("--state", type=Path, help="directory in which timers remember when they were due")
    parsed = parser.parse_args(arguments)
    return Options(
        app=parsed.app.resolve(),
        port=parsed.port,
        settings=parsed.settings,
        function_key=parsed.function_key,
        message_lease=timedelta(seconds=parsed.message_lease),
        is_placeholder=parsed.placeholder,
        state=parsed.state.resolve() if parsed.state else None,
    )


def _set_app_settings(local_settings: Mapping[str, Any]) -> None:
    for name, value in local_settings.get("Values", {}).items():
        os.environ.setdefault(name, str(value))


def _log_to_stderr(level: int) -> None:
    logging.basicConfig(stream=sys.stderr, level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(belongs_to_a_call)
    # The library's own reports go to Microsoft in production, not to the app's log.
    logging.getLogger("azure.functions").setLevel(max(level, logging.WARNING))


async def _serve(options: Options, host_json: HostJson) -> None:
    """Run the app until a signal ends it.

    Raises:
        Misconfigured: the app cannot be run.
        OSError: the port is taken, or there is no such directory.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)

    worker = Worker(loop)
    functions = await _load(options, worker)
    routes = read_routes(functions, host_json.route_prefix)
    http = HttpTriggers(routes, worker, options.function_key)
    stopping = threading.Event()
    queues = [
        QueueTrigger(function, worker, host_json.queues, stopping=stopping, lease=options.message_lease)
        for function in functions
        if function.trigger["type"] == "queueTrigger"
    ]
    timers = [
        TimerTrigger(function, worker, stopping=stopping, state=options.state)
        for function in functions
        if function.trigger["type"] == "timerTrigger"
    ]
    admin = Admin(functions, [*queues, *timers])

    with HttpServer(options.port, lambda request: admin.answer(request) or http.answer(request)) as server:
        _announce(functions, routes, server.url)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        for queue in queues:
            queue.start(os.environ)
        for timer in timers:
            timer.start()
        print(f"ready {server.url}", flush=True)
        await stopped.wait()
        stopping.set()
        server.shutdown()
        await _drain(worker, server, *queues)


async def _load(options: Options, worker: Worker) -> list[Function]:
    """Load the app from its own directory, as production does, and return the functions that are not disabled."""
    app = options.app
    os.chdir(app)
    sys.path.insert(0, str(app))
    loaded = await worker.load(app, is_placeholder=options.is_placeholder)
    return [_resolve(function) for function in loaded if not _is_disabled(function)]


def _is_disabled(function: Function) -> bool:
    return os.environ.get(f"AzureWebJobs.{function.name}.Disabled", "").lower() in {"true", "1"}


def _resolve(function: Function) -> Function:
    bindings = tuple(
        {
            name: APP_SETTING.sub(_app_setting, value) if isinstance(value, str) else value
            for name, value in binding.items()
        }
        for binding in function.bindings
    )
    return replace(function, bindings=bindings)


def _app_setting(match: re.Match[str]) -> str:
    value = os.environ.get(match[1])
    if value is None:
        raise Misconfigured(f"A binding names the app setting {match[1]}, which is not set.")
    return value


def _announce(functions: Sequence[Function], routes: Sequence[Route], url: str) -> None:
    addresses = {
        route.function.name: f"[{','.join(sorted(route.methods)) or 'ANY'}] {url}/{route.template}" for route in routes
    }
    print("Functions:")
    for function in functions:
        print(f"    {function.name}: {addresses.get(function.name, function.trigger['type'])}")


async def _drain(*parts: Worker | HttpServer | QueueTrigger) -> None:
    """Wait until nothing runs any more; a function that does not end in time dies with the process."""
    ends_at = time.monotonic() + GRACE.total_seconds()
    while any(part.is_busy for part in parts):
        if time.monotonic() > ends_at:
            logger.warning("What still runs after %g s is left to its fate.", GRACE.total_seconds())
            sys.stdout.flush()
            # A plain exit would wait for its threads.
            os._exit(0)
        await asyncio.sleep(0.02)

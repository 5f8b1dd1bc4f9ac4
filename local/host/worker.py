"""How does a function run? Through `azure_functions_runtime`, the library that production loads on Python 3.13.

The triggers submit calls to it; which function is called, and with which message, is decided there.

1. Asynchronous functions run on the event loop, others in the library's thread pool,
   whose size is the app setting PYTHON_THREADPOOL_THREAD_COUNT.
2. Every invocation is logged when it starts and when it ends; a failed one with its stack trace.
   Callers learn only whether it succeeded and what it returned.

Source: https://github.com/Azure/azure-functions-python-worker
"""

import asyncio
import concurrent.futures
import json
import logging
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure_functions_runtime as runtime

from local.host import protos
from local.host.host_json import Misconfigured

TRIGGERS = ("httpTrigger", "queueTrigger", "timerTrigger")
SUPPORTED_BINDINGS = (*TRIGGERS, "http")

THREAD_COUNT = "PYTHON_THREADPOOL_THREAD_COUNT"

logger = logging.getLogger("host")


def belongs_to_a_call(record: logging.LogRecord) -> bool:
    """Whether a log line is the host's own or comes from a thread that works on a call: all others are dropped.

    https://github.com/Azure/azure-functions-host (GrpcWorkerChannel: a log needs an executing invocation)
    """
    return record.name.split(".")[0] == "host" or runtime.invocation_id_cv.get() is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function of the app."""

    name: str
    function_id: str
    bindings: tuple[Mapping[str, Any], ...]

    @property
    def trigger(self) -> Mapping[str, Any]:
        """The binding that starts it."""
        return next(binding for binding in self.bindings if binding["type"] in TRIGGERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """How one invocation ended."""

    succeeded: bool
    #: The value that the function returned; None if it returned none or failed.
    return_value: protos.TypedData | None


class Worker:
    """The library with one app loaded; at most one in a process, because the library keeps its state globally."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running: set[str] = set()

    @property
    def is_busy(self) -> bool:
        """Whether any invocation is under way."""
        return bool(self._running)

    async def load(self, app: Path, *, is_placeholder: bool = False) -> tuple[Function, ...]:
        """Import the app and return its functions; a placeholder makes its threads before it has any app setting.

        Raises:
            Misconfigured: it cannot be loaded, or has a binding that this host does not know.
        """
        settings = dict(os.environ)
        if is_placeholder:
            os.environ.pop(THREAD_COUNT, None)
        runtime.start_threadpool_executor()
        if is_placeholder:
            reload = protos.Message(environment_variables=settings, function_app_directory=str(app))
            loaded = await runtime.function_environment_reload_request(
                _request(function_environment_reload_request=reload)
            )
        else:
            init = protos.Message(capabilities={}, function_app_directory=str(app))
            loaded = await runtime.worker_init_request(_request(worker_init_request=init))
        if loaded.result.status != protos.StatusResult.Success:
            raise Misconfigured(loaded.result.exception.stack_trace)
        answer = await runtime.functions_metadata_request(_request())
        functions = tuple(map(_function, answer.function_metadata_results or ()))
        if not functions:
            raise Misconfigured(f"There are no functions in {app}.")
        return functions

    def submit(
        self,
        function: Function,
        value: protos.TypedData,
        metadata: Mapping[str, protos.TypedData] | None = None,
        *,
        traceparent: str = "",
    ) -> concurrent.futures.Future[Invocation]:
        """Invoke `function` with the value and the metadata of its trigger; callable from any thread.

        `traceparent` is the step of a trace that the call belongs to, as W3C trace context writes it; "" for none.
        """
        return asyncio.run_coroutine_threadsafe(self._invoke(function, value, metadata or {}, traceparent), self._loop)

    async def _invoke(
        self, function: Function, value: protos.TypedData, metadata: Mapping[str, protos.TypedData], traceparent: str
    ) -> Invocation:
        invocation_id = str(uuid.uuid4())
        invocation = protos.Message(
            invocation_id=invocation_id,
            function_id=function.function_id,
            input_data=[protos.ParameterBinding(name=function.trigger["name"], data=value)],
            trigger_metadata=metadata,
            trace_context=protos.Message(trace_parent=traceparent, attributes={}),
            retry_context=protos.Message(retry_count=0, max_retry_count=0),
        )
        logger.info("Executing 'Functions.%s' (Id=%s)", function.name, invocation_id)
        started_at = time.monotonic()
        self._running.add(invocation_id)
        # Each invocation is a task with a context of its own: an asynchronous function logs on behalf of it.
        runtime.invocation_id_cv.set(invocation_id)
        response = await runtime.invocation_request(_request(invocation_request=invocation))
        self._running.discard(invocation_id)
        milliseconds = round((time.monotonic() - started_at) * 1000)
        succeeded = response.result.status == protos.StatusResult.Success
        outcome = "Succeeded" if succeeded else "Failed"
        logger.log(
            logging.INFO if succeeded else logging.ERROR,
            "Executed 'Functions.%s' (%s, Id=%s, Duration=%dms)%s",
            *(function.name, outcome, invocation_id, milliseconds),
            "" if succeeded else f"\n{response.result.exception.stack_trace}",
        )
        return Invocation(succeeded=succeeded, return_value=response.return_value)


def _request(**content: protos.Message) -> protos.Message:
    return protos.Message(request=protos.Message(**content), properties={"host": "127.0.0.1", "protos": protos})


def _function(metadata: protos.RpcFunctionMetadata) -> Function:
    fields = vars(metadata)
    bindings = tuple(json.loads(binding) for binding in fields["raw_bindings"])
    for binding in bindings:
        if binding["type"] not in SUPPORTED_BINDINGS:
            raise Misconfigured(f"Function '{fields['name']}' has a {binding['type']} binding, unknown to this host.")
    return Function(name=fields["name"], function_id=fields["function_id"], bindings=bindings)

"""How does the app want to be run? What `host.json` says, as far as this host follows it.

The server reads it once, at start; the queue trigger works by it.

1. An app setting `AzureFunctionsJobHost__extensions__queues__batchSize` overrides the value at that path.
2. A value that is left out has the real host's default.

Sources: https://learn.microsoft.com/azure/azure-functions/functions-host-json
         https://learn.microsoft.com/azure/azure-functions/functions-bindings-storage-queue#host-json
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

OVERRIDE_PREFIX = "AzureFunctionsJobHost__"

LOG_LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}

TIME_SPAN = re.compile(r"(?:(?P<days>\d+)\.)?(?P<hours>\d+):(?P<minutes>\d+):(?P<seconds>\d+(?:\.\d+)?)")

#: The largest batch that the queue's API gives out.
MAX_BATCH_SIZE = 32


class Misconfigured(Exception):
    """The app or its settings ask for what this host, or the real one, cannot run; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """`extensions.queues`."""

    batch_size: int
    new_batch_threshold: int
    #: How long a message stays invisible after a failed invocation.
    visibility_timeout: timedelta
    max_dequeue_count: int
    max_polling_interval: timedelta
    is_base64: bool

    @property
    def max_concurrency(self) -> int:
        """The most messages that are ever worked on at once."""
        return self.batch_size + self.new_batch_threshold


@dataclass(frozen=True, slots=True, kw_only=True)
class HostJson:
    """The settings of `host.json` and its overrides."""

    route_prefix: str
    log_level: int
    queues: QueueSettings


def read_host_json(app: Path, app_settings: Mapping[str, str]) -> HostJson:
    """Read `host.json` in the directory `app`; a missing file means defaults.

    Raises:
        Misconfigured: the file, or an override, is malformed.
    """
    path = app / "host.json"
    settings = read_json(path) if path.exists() else {}
    for name, value in app_settings.items():
        if name.startswith(OVERRIDE_PREFIX):
            _override(settings, name.removeprefix(OVERRIDE_PREFIX).split("__"), value)
    try:
        return _parse(settings)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Misconfigured(f"{path} or an app setting that overrides it is malformed: {error}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        Misconfigured: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise Misconfigured(f"{path} is not a JSON object.")
    return content


def _override(settings: dict[str, Any], path: list[str], value: str) -> None:
    for name in path[:-1]:
        settings = settings.setdefault(name, {})
    settings[path[-1]] = value


def _parse(settings: Mapping[str, Any]) -> HostJson:
    extensions = settings.get("extensions", {})
    log_levels = settings.get("logging", {}).get("logLevel", {})
    return HostJson(
        route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
        log_level=LOG_LEVELS[log_levels.get("default", "Information").lower()],
        queues=_parse_queues(extensions.get("queues", {})),
    )


def _parse_queues(queues: Mapping[str, Any]) -> QueueSettings:
    batch_size = int(queues.get("batchSize", 16))
    if not 1 <= batch_size <= MAX_BATCH_SIZE:
        raise ValueError(f"batchSize is {batch_size}, and must be 1 to {MAX_BATCH_SIZE}")
    encoding = queues.get("messageEncoding", "base64").lower()
    if encoding not in {"base64", "none"}:
        raise ValueError(f"messageEncoding is {encoding}, and must be base64 or none")
    return QueueSettings(
        batch_size=batch_size,
        new_batch_threshold=int(queues.get("newBatchThreshold", batch_size // 2)),
        visibility_timeout=_time_span(queues.get("visibilityTimeout", "00:00:00")),
        max_dequeue_count=int(queues.get("maxDequeueCount", 5)),
        max_polling_interval=_time_span(queues.get("maxPollingInterval", "00:01:00")),
        is_base64=encoding == "base64",
    )


def _time_span(text: str) -> timedelta:
    match = TIME_SPAN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text} is not a time span such as 00:00:30")
    return timedelta(**{unit: float(number) for unit, number in match.groupdict("0").items()})

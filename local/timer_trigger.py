"""When is a function due? At the times of its schedule, never twice at once, and at start if it asks for that.

Past runs are not remembered over a restart, so that no run is past due; the real host keeps them in a blob.
Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer
"""

import json
import threading
from concurrent.futures import Future
from datetime import UTC, datetime

from local import protos
from local.host_json import Misconfigured
from local.ncrontab import Schedule, parse_schedule
from local.worker import Function, Invocation, Worker

#: What the real host tells of a run that never was: the beginning of .NET's time.
NEVER = "0001-01-01T00:00:00+00:00"


class TimerTrigger:
    """Invokes one function on its schedule, from `start` until `stopping` is set."""

    def __init__(self, function: Function, worker: Worker, *, stopping: threading.Event) -> None:
        """Read the schedule.

        Raises:
            Misconfigured: it is no NCRONTAB expression.
        """
        self.function = function
        self._worker = worker
        self._stopping = stopping
        self._last: datetime | None = None
        try:
            self._schedule: Schedule = parse_schedule(function.trigger["schedule"])
        except ValueError as error:
            raise Misconfigured(
                f"Function '{function.name}': the schedule is no NCRONTAB expression: {error}."
            ) from error

    def start(self) -> None:
        """Start waiting for the next time that is due."""
        threading.Thread(target=self._run, daemon=True).start()

    def invoke(self) -> Future[Invocation]:
        """Invoke the function now, whatever its schedule says."""
        following = self._schedule.next_after(datetime.now(UTC))
        status = {
            "Last": self._last.isoformat() if self._last else NEVER,
            "LastUpdated": self._last.isoformat() if self._last else NEVER,
            "Next": following.isoformat() if following else NEVER,
        }
        timer_info = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": False}
        self._last = datetime.now(UTC)
        return self._worker.submit(self.function, protos.TypedData(json=json.dumps(timer_info)))

    def _run(self) -> None:
        if self.function.trigger.get("runOnStartup"):
            self.invoke().result()
        due = self._schedule.next_after(datetime.now(UTC))
        while due and not self._stopping.wait((due - datetime.now(UTC)).total_seconds()):
            self.invoke().result()
            # `due` bounds the clock from below: a wait that ended early must not fire the same time twice.
            due = self._schedule.next_after(max(due, datetime.now(UTC)))

"""When is a function due? At the times of its schedule, never twice at once, and at start if it asks for that.

The server makes one trigger per timer function. With a directory for it, a trigger remembers when it last ran or began
to wait. A time that passed without a host runs at the next start and is past due, by the schedule of that start. The
real host remembers in a blob (`UseMonitor`); here a file does, because the local world has no blobs.
Sources: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer
         https://github.com/Azure/azure-webjobs-sdk-extensions (ScheduleMonitor: a changed schedule)
"""

import json
import threading
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path

from local.host import protos
from local.host.host_json import Misconfigured
from local.host.ncrontab import Schedule, parse_schedule
from local.host.worker import Function, Invocation, Worker

#: The time that the real host gives for a run that never was: the beginning of .NET's time.
NEVER = "0001-01-01T00:00:00+00:00"


class TimerTrigger:
    """Invokes one function on its schedule, from `start` until `stopping` is set."""

    def __init__(
        self, function: Function, worker: Worker, *, stopping: threading.Event, state: Path | None = None
    ) -> None:
        """Read the schedule.

        Raises:
            Misconfigured: it is no NCRONTAB expression.
        """
        self.function = function
        self._worker = worker
        self._stopping = stopping
        self._last: datetime | None = None
        self._monitor = state / f"{function.name}.timer" if state else None
        try:
            self._schedule: Schedule = parse_schedule(function.trigger["schedule"])
        except ValueError as error:
            raise Misconfigured(
                f"Function '{function.name}': the schedule is no NCRONTAB expression: {error}."
            ) from error

    def start(self) -> None:
        """Start waiting for the next time that is due."""
        threading.Thread(target=self._run, daemon=True).start()

    def invoke(self, *, is_past_due: bool = False) -> Future[Invocation]:
        """Invoke the function now, whatever its schedule says."""
        following = self._schedule.next_after(datetime.now(UTC))
        status = {
            "Last": self._last.isoformat() if self._last else NEVER,
            "LastUpdated": self._last.isoformat() if self._last else NEVER,
            "Next": following.isoformat() if following else NEVER,
        }
        timer_info = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": is_past_due}
        self._last = datetime.now(UTC)
        return self._worker.submit(self.function, protos.TypedData(json=json.dumps(timer_info)))

    def _run(self) -> None:
        if self._was_missed():
            self.invoke(is_past_due=True).result()
        elif self.function.trigger.get("runOnStartup"):
            self.invoke().result()
        since = datetime.now(UTC)
        while due := self._schedule.next_after(since):
            self._remember(since)
            if self._stopping.wait((due - datetime.now(UTC)).total_seconds()):
                return
            self.invoke().result()
            # The clock may stand before `due`, because a wait can end early; the same time must not fire twice.
            since = max(due, datetime.now(UTC))

    def _was_missed(self) -> bool:
        """Whether a time that was due passed while no host was there."""
        if self._monitor is None or not self._monitor.exists():
            return False
        since = datetime.fromisoformat(self._monitor.read_text(encoding="utf-8"))
        due = self._schedule.next_after(since)
        return due is not None and due < datetime.now(UTC)

    def _remember(self, since: datetime) -> None:
        if self._monitor:
            self._monitor.parent.mkdir(parents=True, exist_ok=True)
            self._monitor.write_text(since.isoformat(), encoding="utf-8")

"""When is a function due? At the times of its schedule, never twice at once, and at start if it asks for that.

With a directory for it, the time that is due next is remembered over a restart; one that was missed meanwhile runs at
start and is past due. The real host keeps it in a blob (`UseMonitor`); here a file does, because the local world has no
blobs.
Source: https://learn.microsoft.com/azure/azure-functions/functions-bindings-timer
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

#: What the real host tells of a run that never was: the beginning of .NET's time.
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
        due = self._schedule.next_after(datetime.now(UTC))
        while due:
            self._remember(due)
            if self._stopping.wait((due - datetime.now(UTC)).total_seconds()):
                return
            self.invoke().result()
            # `due` bounds the clock from below: a wait that ended early must not fire the same time twice.
            due = self._schedule.next_after(max(due, datetime.now(UTC)))

    def _was_missed(self) -> bool:
        """Whether a time that was due passed while no host was there."""
        if self._monitor is None or not self._monitor.exists():
            return False
        return datetime.fromisoformat(self._monitor.read_text(encoding="utf-8")) < datetime.now(UTC)

    def _remember(self, due: datetime) -> None:
        if self._monitor:
            self._monitor.parent.mkdir(parents=True, exist_ok=True)
            self._monitor.write_text(due.isoformat(), encoding="utf-8")

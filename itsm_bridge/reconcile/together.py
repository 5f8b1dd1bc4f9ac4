"""How do many webhooks change one row at the same time?

Where alerts share an incident, a storm of them wants to change one row, and each write makes the others read it again.
So the webhooks of one process that wait for the same row do it together: the first that gets the turn applies the
changes of all that wait and writes once. Between processes the conditional write decides, as ever (`swap`).
The reconciler has one `Together`; what the changes are is its business.
"""

import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import BridgeError, Unavailable
from itsm_bridge.reconcile.ports import Store
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.swap import swap

if TYPE_CHECKING:
    from collections.abc import Iterator

Change = Callable[[Record | None], Record | None]


@dataclass(slots=True, eq=False)
class _Waiting:
    change: Change
    is_done: bool = False
    row: Record | None = None
    error: Exception | None = None

    def changed(self, row: Record | None) -> Record | None:
        """Return the row with this change, or as it is if that failed."""
        self.error = None
        try:
            return self.change(row) or row
        except Exception as error:  # noqa: BLE001 - it is raised again by the thread whose change failed
            self.error = error
            return row


@dataclass(slots=True)
class _Line:
    turn: threading.Lock = field(default_factory=threading.Lock)
    waiting: list[_Waiting] = field(default_factory=list)
    users: int = 0


class Together:
    """Changes rows, each with one write for all that wait for it; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: dict[str, _Line] = {}
        self._lock = threading.Lock()

    def swap(self, key: str, change: Change, *, deadline: Deadline) -> Record | None:
        """Write what `change` makes of the row of `key`, as `swap` does; return the row as it is then.

        Raises:
            Unavailable: the turn did not come in time, or the table did not answer. The change may have been written.
            Conflict, Damaged, LeadsNowhere, NewerVersion: as `swap` says.
        """
        mine = _Waiting(change)
        with self._line(key) as line:
            with self._lock:
                line.waiting.append(mine)
            if not self._wait_for_turn(line.turn, deadline.left):
                raise Unavailable(f"the row {key} is changed by too many at once")
            try:
                if not mine.is_done:
                    self._change_for_all(key, line, mine)
            finally:
                line.turn.release()
        if mine.error is not None:
            raise mine.error
        return mine.row

    def _wait_for_turn(self, turn: threading.Lock, wait: timedelta) -> bool:
        """Take the turn, waiting for it at most `wait`; return whether it was taken."""
        return turn.acquire(timeout=wait.total_seconds())

    def _change_for_all(self, key: str, line: _Line, mine: _Waiting) -> None:
        with self._lock:
            batch, line.waiting = line.waiting, []
        if mine not in batch:  # the thread that took it along failed
            batch.append(mine)

        def all_changes(row: Record | None) -> Record | None:
            for each in batch:
                row = each.changed(row)
            return row

        row, failure = None, None
        try:
            row = swap(self._store, key, all_changes)
        except BridgeError as error:
            failure = error
        for each in batch:
            each.is_done, each.row, each.error = True, row, each.error or failure

    @contextmanager
    def _line(self, key: str) -> "Iterator[_Line]":
        with self._lock:
            line = self._lines.setdefault(key, _Line())
            line.users += 1
        try:
            yield line
        finally:
            with self._lock:
                line.users -= 1
                if not line.users:
                    self._lines.pop(key, None)

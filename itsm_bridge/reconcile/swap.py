"""How is a row changed that other processes may change too?

Compare and swap: read the row, decide, write if it is still the same, else begin again. The reconciler calls `swap` for
webhooks, the worker for its attempts, and the command `replay` for operators. A change that may be dropped when another
process wrote first does not come here. What to write is decided by the caller.
"""

import random
import time
from collections.abc import Callable

from itsm_bridge.errors import Conflict
from itsm_bridge.reconcile.ports import Store
from itsm_bridge.reconcile.record import Record

_ATTEMPTS = 12
#: From which attempt on it waits first, and for how many seconds at most per attempt: where several processes want one
#: row, as in a storm, each of them gets its turn.
_PATIENT_FROM = 4
_STEP = 0.02


def swap(
    store: Store,
    key: str,
    change: Callable[[Record | None], Record | None],
    *,
    row: Record | None = None,
    begins_absent: bool = False,
) -> Record | None:
    """Write what `change` makes of the row of `key`; return the row as it is then, or None if there is none.

    Args:
        store: the table.
        key: whose row.
        change: is called with the row, at most twelve times, and returns what to write: None or the same object to
            leave the row alone. It is called with None where there is no row.
        row: the row as it was last read, if it was; else it is read first.
        begins_absent: whether to suppose at first that there is no row, which saves reading it.

    Raises:
        Conflict: other processes kept changing the row.
        Unavailable, Damaged, NewerVersion: as the store says. A write may or may not have happened.
    """
    known = row if row is not None or begins_absent else store.read(key)
    for attempt in range(_ATTEMPTS):
        if attempt >= _PATIENT_FROM:
            time.sleep(random.uniform(0, _STEP * attempt))  # noqa: S311 - jitter
        changed = change(known)
        if changed is None or changed is known:
            return known
        try:
            return store.replace(changed) if changed.etag else store.insert(changed)
        except Conflict:
            known = store.read(key)
    raise Conflict(f"the row {key} keeps changing")

"""How is a lease given back under which nothing was sent?

The reconciler calls this for a webhook whose turn did not come; `intake` and the reconciler, for a lease that may be in
the row although storage did not answer in time. A lease that nobody gives back runs out and leaves a doubt: for six
minutes nothing newer is written, because a write might be under way. Here it is known that none is.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from itsm_bridge.errors import TemporaryError
from itsm_bridge.reconcile.background import Background
from itsm_bridge.reconcile.ports import Store
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.swap import swap


class GivingBack:
    """Gives leases back; safe to share between threads."""

    def __init__(self, *, store: Store, background: Background | None, now: Callable[[], datetime]) -> None:
        self._store = store
        self._background = background
        self._now = now

    def now(self, key: str, holder: str, *, row: Record | None = None) -> Record | None:
        """Release the lease of `holder`, if it has it; return the row as it is then, None if that is not known.

        `row` is the row as it was last read. Where storage does not answer, the lease runs out by itself.
        """

        def released(known: Record | None) -> Record | None:
            if known is None or known.work.lease_holder != holder:
                return known
            return known.with_work(replace(known.work.released(), wake_up_at=self._now()))

        with suppress(TemporaryError):
            return swap(self._store, key, released, row=row)
        return None

    def soon(self, key: str, holder: str) -> None:
        """Release the lease of `holder`, if it has it, while its caller is answered already."""

        def release() -> None:
            self.now(key, holder)

        if holder and self._background is not None:
            self._background.begin(release)

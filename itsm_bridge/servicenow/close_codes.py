"""With which close code is an incident resolved?

ServiceNow demands a close code mostly, drops one that it does not have without a word, and each instance has choices of
its own. `incidents` asks here before it resolves one.

Source of truth: the choices of `incident.close_code` in `sys_choice`,
https://www.servicenow.com/docs/bundle/zurich-it-service-management/page/product/incident-management/concept/c_IncidentManagementStateModel.html
"""

import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Rejected, Unavailable
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.troubles import Trouble, Troubles

#: The codes that close an incident whose alert went away by itself, the best first: newer instances ship the first,
#: older ones the second. None of them says anything that may be false, as "Duplicate" or "User error" would.
CLOSE_CODES = (
    *("Solution provided", "Solved (Permanently)", "Solved Remotely (Permanently)"),
    *("Resolved by caller", "Closed/Resolved by Caller", "Solved", "Resolved", "Closed"),
)

#: How long the choices of the instance are believed.
_CHOICES_FRESH: Final = timedelta(hours=1)


class CloseCodes:
    """The close codes of one instance; safe to share between threads."""

    def __init__(
        self,
        table_api: TableApi,
        *,
        configured: str,
        troubles: Troubles,
        warn: Callable[..., None],
        clock: Callable[[], float],
    ) -> None:
        """Use `table_api`; nothing is sent yet.

        Args:
            table_api: The tables of the instance.
            configured: The code that the operator wants, if the instance has it; "" for the most fitting one.
            troubles: Where it is counted that no code will do.
            warn: Warns once of each subject; takes the subject, a message and its arguments.
            clock: Seconds from any origin, for the age of what was learnt.
        """
        self._table_api = table_api
        self._configured = configured
        self._troubles = troubles
        self._warn = warn
        self._clock = clock
        self._choices: tuple[Sequence[str], float] | None = None
        self._lock = threading.Lock()

    def chosen(self, *, deadline: Deadline, preferred: str = "") -> str:
        """Return the choice of the instance that incidents are resolved with: `preferred` if there is such a choice.

        "" if the instance has no choice of which we know that it says the truth: then the instance may fill one in.
        The choices are at most an hour old; while they cannot be read, the last known ones count.

        Raises:
            Unavailable: the choices cannot be read and the operator set none. Without knowing them nothing is resolved,
                because ServiceNow drops a wrong code, and then the code is missing.
        """
        codes = self._now(deadline)
        if codes is None:
            return self._configured
        spelled = next((code for code in codes if preferred and code.casefold() == preferred.casefold()), "")
        return spelled or self._best(codes)

    def _now(self, deadline: Deadline) -> Sequence[str] | None:
        """Return the choices, if need be old ones; None if they were never read and the operator set a code.

        Raises:
            Unavailable: they were never read, and the operator set none.
        """
        with self._lock:
            known = self._choices
        if known is not None and self._clock() - known[1] < _CHOICES_FRESH.total_seconds():
            return known[0]
        try:
            codes = self._read(deadline)
        except (Unavailable, Rejected) as error:
            self._warn("close codes", "the choices of close_code cannot be read: %s", str(error))
            if known is not None:
                return known[0]
            if self._configured:
                return None
            message = f"{error}. Let our account read sys_choice, or set SERVICENOW_CLOSE_CODE"
            retry_after = error.retry_after if isinstance(error, Unavailable) else None
            is_refusal = not isinstance(error, Unavailable) or error.is_refusal
            raise Unavailable(message, retry_after=retry_after, is_refusal=is_refusal) from error
        with self._lock:
            self._choices = (codes, self._clock())
        return codes

    def _read(self, deadline: Deadline) -> Sequence[str]:
        """Return the choices that the instance shows us.

        Raises:
            Unavailable: they cannot be read now, or all of them are hidden.
            Rejected: they cannot be read at all.
        """
        asked = partial(
            self._table_api.query,
            "sys_choice",
            {"name": ("incident", "task"), "element": "close_code", "inactive": "false"},
            fields=("value",),
            order_by="sequence",
        )
        # A hidden choice does not matter as long as other choices are shown; but an instance that hides all of them
        # must not be taken for one that has none.
        rows = asked(limit=500, deadline=deadline) or asked(limit=1, must_see_all=True, deadline=deadline)
        # A table without choices of its own has those of the table that it extends.
        own = [row for row in rows if row["name"] == "incident"]
        return [value for row in own or rows if (value := row.get("value"))]

    def _best(self, codes: Sequence[str]) -> str:
        preferred = (self._configured, *CLOSE_CODES) if self._configured else CLOSE_CODES
        if not codes:  # any text will do
            return preferred[0]
        spelled = {code.casefold(): code for code in reversed(codes)}
        code = next((spelled[each.casefold()] for each in preferred if each.casefold() in spelled), "")
        if self._configured and code.casefold() != self._configured.casefold():
            self._warn("close code", "the instance has no close code %r; %r is used instead", self._configured, code)
        elif not code:
            self._troubles.count(Trouble.CLOSE_CODE)
            self._warn("close code", "the instance has no close code that we know: set SERVICENOW_CLOSE_CODE to one")
        return code

"""What goes wrong again and again, without anybody being told?

The webhook, the token check and the client of ServiceNow count here what they refuse or are refused; `operate.recorder`
writes the counts down every few seconds, and `status`, `doctor` and the health check read them there. Each is also a
line of the log, for which the alert rules of `infra/watch.bicep` look; the thread that met the trouble writes it,
because the host drops lines that belong to no call. A call that goes well counts nothing. Details name settings, roles,
fields and ids, never the text of an alert, never a secret.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

log = logging.getLogger(__name__)

#: Characters of a detail.
DETAIL_LENGTH: Final = 300


class Trouble(StrEnum):
    """The kinds of trouble; `operate.advice` says what each means and who can mend it."""

    # Calls of the webhook that were refused. Azure Monitor does not repeat them: these alerts are lost.
    NO_TOKEN = "refused-no-token"  # noqa: S105 - the name of a trouble
    TENANT = "refused-tenant"
    AUDIENCE = "refused-audience"
    EXPIRED = "refused-expired"
    SIGNATURE = "refused-signature"
    TOKEN = "refused-token"  # noqa: S105 - the name of a trouble
    CALLER = "refused-caller"
    ROLE = "refused-role"
    SUBSCRIPTION = "refused-subscription"
    BODY = "refused-body"

    # ServiceNow refuses, or is not there. The alerts wait.
    SIGN_IN = "servicenow-sign-in"
    RIGHT_TO_CREATE = "servicenow-may-not-create"
    RIGHT_TO_CHANGE = "servicenow-may-not-change"
    RIGHT_TO_READ = "servicenow-may-not-read"
    RIGHT_TO_CHOICES = "servicenow-may-not-read-choices"
    ADDRESS = "rejected-by-servicenow-address"
    HIBERNATING = "servicenow-hibernates"
    AWAY = "servicenow-away"
    LIMITED = "servicenow-limits-calls"
    FIELDS = "servicenow-fields-not-stored"
    CLOSE_CODE = "servicenow-close-code"
    RECORD = "rules-record-not-found"

    # Azure Resource Manager refuses, or is not there: missed alerts stay missed, and states stay as they are.
    AZURE_SIGN_IN = "azure-sign-in"
    AZURE_MAY_NOT_READ = "azure-may-not-read-alerts"
    AZURE_MAY_NOT_CHANGE = "azure-may-not-change-alerts"
    AZURE_AWAY = "azure-away"
    AZURE_UNCLEAR = "azure-alert-not-clear"

    #: The rules of operators are not valid.
    RULES = "rules-not-valid"
    #: An error that nobody foresaw.
    UNEXPECTED = "unexpected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often one kind of trouble was met."""

    count: int
    #: Our clock, aware UTC.
    first_at: datetime
    last_at: datetime
    #: What was met last, at most `DETAIL_LENGTH` characters.
    detail: str

    def plus(self, other: "Tally") -> "Tally":
        """Return both together."""
        last = max(self, other, key=lambda each: each.last_at)
        first_at = min(self.first_at, other.first_at)
        return replace(last, count=self.count + other.count, first_at=first_at)


class Troubles:
    """The counts of one process that were not written down yet; safe to share between threads."""

    def __init__(self, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._tallies: dict[Trouble, Tally] = {}
        #: Called after each count, outside the lock; it must return at once.
        self.on_count: Callable[[], object] = bool

    def count(self, trouble: Trouble, detail: str = "") -> None:
        """Count one more, and log it. It costs no I/O."""
        now, detail = self._now(), detail[:DETAIL_LENGTH]
        log.warning("trouble %s: %s", trouble, detail)
        self._add(trouble, Tally(count=1, first_at=now, last_at=now, detail=detail))
        self.on_count()

    def take(self) -> Mapping[Trouble, Tally]:
        """Return what was counted since the last call, and forget it."""
        with self._lock:
            taken, self._tallies = self._tallies, {}
        return taken

    def put_back(self, tallies: Mapping[Trouble, Tally]) -> None:
        """Keep what was taken and could not be written down."""
        for trouble, tally in tallies.items():
            self._add(trouble, tally)

    def _add(self, trouble: Trouble, tally: Tally) -> None:
        with self._lock:
            known = self._tallies.get(trouble)
            self._tallies[trouble] = known.plus(tally) if known else tally

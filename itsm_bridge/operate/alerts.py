"""How do operators look at alerts and have them tried again?

`cli` calls the commands `show`, `list`, `replay` and `forget`. They do not call ServiceNow: `replay` wakes the worker,
and the worker does.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from itsm_bridge.errors import Conflict, Damaged
from itsm_bridge.operate.desk import Desk
from itsm_bridge.operate.exit_status import ACT, DONE, NotUnderstood
from itsm_bridge.operate.lookup import rows_named
from itsm_bridge.operate.show import KEY_SHOWN, content, overview, resources_of, rule_of, sheet, time_of, why
from itsm_bridge.reconcile.ports import Content
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.swap import swap
from itsm_bridge.storage.listing import RowState
from itsm_bridge.storage.row_format import ASIDE, is_key

#: How many rows `list` prints unless it is told otherwise.
LISTED: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The rows that `list` is asked for; "" and None ask for any."""

    state: RowState | None = None
    since: datetime | None = None
    #: Parts of the names, or patterns with `*`, in any case.
    rule: str = ""
    resource: str = ""
    limit: int = LISTED

    def fits(self, row: Record) -> bool:
        """Whether rule and resource are those that are asked for."""
        return _is_like(self.rule, [rule_of(row)]) and _is_like(self.resource, resources_of(row))


def show(desk: Desk, what: str) -> int:
    """Tell everything about one alert; 1 if there is none."""
    rows = rows_named(desk.stored, what)
    if not rows:
        return _nothing(desk, what)
    now = desk.now()
    text = "\n\n".join(sheet(row, now, desk.screen) for row in rows)
    desk.tell(text, [content(row, now) for row in rows])
    return DONE


def list_alerts(desk: Desk, wanted: Wanted) -> int:
    """Tell which alerts there are, those that changed last first."""
    found = (row for row in desk.stored.listing.changed(state=wanted.state, since=wanted.since) if wanted.fits(row))
    rows = sorted(found, key=lambda row: row.desired.changed_at, reverse=True)
    shown, now = list(islice(rows, wanted.limit)), desk.now()
    parts = [overview(shown, desk.screen)] if shown else ["There are none."]
    if len(rows) > len(shown):
        parts.append(f"{len(rows) - len(shown)} more; --limit shows more of them.")
    if unreadable := desk.stored.listing.unreadable:
        parts.append(f"{len(unreadable)} rows cannot be read; `status` names them.")
    desk.tell("\n\n".join(parts), [content(row, now) for row in shown])
    return DONE


def replay(desk: Desk, what: str) -> int:
    """Have one alert looked at now; 1 if there is none."""
    rows = rows_named(desk.stored, what)
    return _replay(desk, rows) if rows else _nothing(desk, what)


def replay_parked(desk: Desk) -> int:
    """Have every parked alert looked at now."""
    return _replay(desk, list(desk.stored.listing.parked()))


def forget(desk: Desk, what: str, *, ask: Callable[[str], bool]) -> int:
    """Delete the rows of one alert, or one that cannot be read, once `ask` agreed to what that means.

    1 if there is none, if the person did not agree, or if a worker has it just now.
    """
    if what.lower().startswith(ASIDE):
        return _forget_unreadable(desk, what.lower(), ask)
    try:
        rows = rows_named(desk.stored, what)
    except Damaged:
        if not is_key(what.lower()):
            raise
        return _forget_unreadable(desk, what.lower(), ask)
    if not rows:
        return _nothing(desk, what)
    forgotten = [row for row in rows if _forget(desk, row, ask)]
    lines = [f"{row.key[:KEY_SHOWN]}  is forgotten." for row in forgotten]
    desk.tell("\n".join(lines or ["Nothing is forgotten."]), {"forgotten": [row.key for row in forgotten]})
    return DONE if forgotten else ACT


def _replay(desk: Desk, rows: Sequence[Record]) -> int:
    common = desk.common() if rows else Content(fields={})
    results = [(row, _left_alone(desk, row, common)) for row in rows]
    woken, left = [row for row, why_not in results if not why_not], [each for each in results if each[1]]
    lines = [
        desk.screen.wrapped(
            f"{row.observed.number or 'no incident yet'}  {why_not or 'is looked at now'}",
            first=f"{row.key[:KEY_SHOWN]}  ",
            indent=KEY_SHOWN + 2,
        )
        for row, why_not in results
    ]
    told = {
        "replayed": [row.key for row in woken],
        "left": [{"key": row.key, "reason": reason} for row, reason in left],
    }
    desk.tell("\n".join(lines or ["No alert is parked."]), told)
    return DONE


def _left_alone(desk: Desk, row: Record, common: Content) -> str:
    """Unpark the row and wake it, and return ""; or return why there is nothing to do.

    It takes on what rules give every incident by now: the caller that ServiceNow demanded when it was parked.
    The row says first that it awaits work: if anything fails after that, `resync` finds it.

    Raises:
        Unavailable: storage did not answer.
        Conflict: workers or webhooks kept changing the row.
    """
    reason = ""

    def unparked(known: Record | None) -> Record | None:
        nonlocal reason
        reason = _why_not(known, desk.now())
        if known is None or reason:
            return None
        return replace(known.replayed(desk.now()), desired=known.desired.completed(common))

    woken = swap(desk.stored.store, row.key, unparked, row=row)
    if reason or woken is None:
        return reason
    if not woken.awaits_work:
        return f"is left alone. {why(woken, desk.now())}"
    desk.stored.wakeups.send(row.key, delay=timedelta(0))
    return ""


def _why_not(row: Record | None, now: datetime) -> str:
    if row is None:
        return "is gone meanwhile."
    if not row.work.is_parked and row.is_settled and not row.work.links_later:
        return f"is left alone. {why(row, now)}"
    if row.work.is_leased(now):
        return f"is left alone. {why(row, now)}"
    return ""


def _forget(desk: Desk, row: Record, ask: Callable[[str], bool]) -> bool:
    """Delete one row if the person agrees; return whether it was deleted."""
    now = desk.now()
    if row.work.is_leased(now):
        raise Conflict(f"{row.key[:KEY_SHOWN]} is being worked on until {time_of(row.work.leased_until)}")
    if not ask(f"{_what_it_means(row)} Forget {row.key[:KEY_SHOWN]}?"):
        return False
    desk.stored.store.delete(row)
    return True


def _what_it_means(row: Record) -> str:
    number = row.observed.number
    if row.desired.is_firing and number:
        return (
            f"{number} stays as it is in ServiceNow, and nobody resolves it when the alert is over. If Azure Monitor"
            " sends the alert again, the incident is found again by its id."
        )
    if not row.is_settled:
        return "ServiceNow was not told all that Azure Monitor said, and will not be: this alert is lost."
    if row.desired.is_firing and row.desired.is_shadowed:
        return "The alert is on trial. When the trial ends it becomes no incident, unless Azure Monitor sends it again."
    what = f"{number} stays as it is in ServiceNow. " if number else ""
    return f"{what}The alert is over; what was done about it can no longer be shown."


def _forget_unreadable(desk: Desk, row_key: str, ask: Callable[[str], bool]) -> int:
    if not ask(f"The row {row_key} cannot be read, and its content is lost. Forget it?"):
        desk.tell("Nothing is forgotten.", {"forgotten": []})
        return ACT
    if not desk.stored.store.discard(row_key):
        return _nothing(desk, row_key)
    desk.tell(f"{row_key}  is forgotten.", {"forgotten": [row_key]})
    return DONE


def asking(*, is_terminal: bool, is_agreed: bool, read: Callable[[str], str] = input) -> Callable[[str], bool]:
    """Return how a person is asked: not at all if they agreed with `--yes`, else at the terminal.

    The returned function raises NotUnderstood where nobody can be asked.
    """

    def ask(question: str) -> bool:
        if is_agreed:
            return True
        if not is_terminal:
            raise NotUnderstood(f"{question} Nobody can be asked here: repeat it with --yes")
        try:
            return read(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False

    return ask


def _nothing(desk: Desk, what: str) -> int:
    hint = " Health alerts go by their event or resource, not by alertId: use the incident's number." * ("/" in what)
    desk.tell(f"There is no alert {what}.{hint}", [])
    return ACT


def _is_like(wanted: str, names: Sequence[str]) -> bool:
    if not wanted:
        return True
    pattern = re.escape(wanted if "*" in wanted else f"*{wanted}*").replace(r"\*", ".*")
    return any(re.fullmatch(pattern, name, re.IGNORECASE | re.DOTALL) for name in names)

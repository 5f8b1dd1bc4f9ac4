"""How far did the look at one subscription come, and what need not be asked again?

`missed` reads a cursor before each look and writes it afterwards. Pure.
The list is eventually consistent, so that each look begins a while before the end of the last one. What was judged is
marked, so that it is not judged again: an alert as it was, or an alert whatever becomes of it, where it was not meant
for us. Marks are hashes, and only the newest are kept; one that is lost costs a request and nothing else.
"""

import base64
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self

from itsm_bridge.resource_manager.listed_alert import ListedAlert

#: How many marks are kept: 11 characters each, in a property of at most 32,000.
MOST_MARKS: Final = 2_200
_MARK: Final = 11
#: How many troubled alerts are waited for at once, and how long for each.
_MOST_HELD: Final = 40
HELD_FOR: Final = timedelta(hours=1)
#: The same for one of which Azure answers nothing at all: it may be away, and knows better afterwards.
HELD_FOR_A_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """What is known of one subscription."""

    #: Every change up to then was judged, aware UTC.
    complete_until: datetime
    #: Azure wants to be left alone until then; None if it does not.
    rests_until: datetime | None = None
    #: The oldest first; the values say nothing.
    marks: Mapping[str, None] = field(default_factory=dict)
    #: When what could not be judged was met first, by its name.
    held: Mapping[str, datetime] = field(default_factory=dict)

    def beginning_at(self, moment: datetime) -> Self:
        """Return the cursor with nothing after `moment` judged, as far as places go; what is marked stays so."""
        return replace(self, complete_until=min(moment, self.complete_until))

    def knows(self, *names: str) -> bool:
        """Return whether what has one of these names was judged."""
        return any(_mark(name) in self.marks for name in names)

    def with_judged(self, name: str) -> Self:
        """Return the cursor with what has this name judged."""
        held = {held: since for held, since in self.held.items() if held != _mark(name)}
        marks = {**self.marks, _mark(name): None}
        for _ in range(len(marks) - MOST_MARKS):
            del marks[next(iter(marks))]
        return replace(self, marks=marks, held=held)

    def holding(self, name: str, now: datetime) -> Self:
        """Return the cursor with what could not be judged, since now or longer."""
        newest = sorted({_mark(name): now, **self.held}.items(), key=lambda each: each[1])[-_MOST_HELD:]
        return replace(self, held=dict(newest))

    def waits_for(self, name: str, now: datetime, span: timedelta = HELD_FOR) -> bool:
        """Return whether what could not be judged is to be tried again; after `span` it is passed by."""
        since = self.held.get(_mark(name))
        return since is None or now - since < span

    def moved(self, complete_until: datetime, *, now: datetime, rests_for: timedelta | None) -> Self:
        """Return the cursor after a look; what is held for long is forgotten."""
        held = {name: since for name, since in self.held.items() if now - since < 2 * HELD_FOR_A_DAY}
        rests_until = now + rests_for if rests_for else None
        return replace(self, complete_until=complete_until, rests_until=rests_until, held=held)

    def document(self) -> Mapping[str, Any]:
        """Return it as JSON can hold it."""
        return {
            "complete_until": self.complete_until.isoformat(),
            "rests_until": self.rests_until.isoformat() if self.rests_until else "",
            "marks": "".join(self.marks),
            "held": {name: since.isoformat() for name, since in self.held.items()},
        }


def cursor_of(document: Mapping[str, Any], *, first: datetime, now: datetime) -> Cursor:
    """Return the cursor that was written down; one that begins at `first` if there is none that can be read.

    A clock that was ahead must not keep later ones from looking.
    """
    with suppress(KeyError, TypeError, ValueError, AttributeError):
        marks = str(document.get("marks", ""))
        return Cursor(
            complete_until=min(_moment(document["complete_until"]), now),
            rests_until=_moment(document["rests_until"]) if document.get("rests_until") else None,
            marks=dict.fromkeys(marks[start : start + _MARK] for start in range(0, len(marks), _MARK)),
            held={str(name): _moment(since) for name, since in document.get("held", {}).items()},
        )
    return Cursor(complete_until=first)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment


def as_it_is(alert: ListedAlert) -> str:
    """Return a name of an alert as it is now; its GUID names it whatever becomes of it."""
    return f"{alert.guid} {alert.condition} {alert.modified_at.isoformat()}"


def _mark(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:8])[:_MARK].decode()

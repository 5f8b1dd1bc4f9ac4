"""What does the loop ask of the world outside?

The reconciler knows its target (ServiceNow is one), the table and the queue through these protocols alone. A second
target is a new folder with one class that has the methods of `Target`, and one line in `app.py`.

    Target    shows incidents and writes them, renders alerts in its own field names, finds what they link to
    Store     the rows, each write conditional
    WakeUps   the messages that say *look at this key*

Each method says what it raises. An adapter translates its own failures into `errors`, once. Nothing is implemented
here: the adapters are in `servicenow` and `storage`.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

from itsm_bridge.deadline import Deadline
from itsm_bridge.rules.ruling import Ruling

if TYPE_CHECKING:
    from itsm_bridge.reconcile.desired import Desired
    from itsm_bridge.reconcile.gathering import Gathering
    from itsm_bridge.reconcile.pages import GroupRow, Index, Page, Place, Progress
    from itsm_bridge.reconcile.record import Record


class Status(StrEnum):
    """The stage that an incident is in, whatever its target calls its states."""

    #: People may work on it.
    OPEN = "open"
    #: It waits to be closed and can still be reopened.
    RESOLVED = "resolved"
    #: It is final, and is never written again.
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """An incident as its target was last seen to hold it: just read, or as a write answered it."""

    #: How the target names it.
    id: str
    #: How people name it.
    number: str
    status: Status
    #: Its state in the target's own words, for people who read logs.
    state: str
    #: The fields that were read, by the target's names.
    fields: Mapping[str, str]
    #: By name of the link, the other end; "" or absent if it is linked to nothing.
    links: Mapping[str, str] = field(default_factory=dict)
    #: When the target says that it was created, aware UTC; None if it does not say.
    created_at: datetime | None = None
    #: When it was last resolved, aware UTC; None if it is not, or the target does not say.
    resolved_at: datetime | None = None
    #: Differs after every change of the incident; "" if the target does not tell.
    version: str = ""
    #: Its notes as one text, the newest first; None if they were not asked for or are hidden from us.
    journal: str | None = None
    #: The fields of a write that the target stored otherwise: refused, cut or mangled.
    not_stored: tuple[str, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether people may still work on it: neither resolved nor closed."""
        return self.status is Status.OPEN

    @property
    def is_resolved(self) -> bool:
        """Whether it waits to be closed and can still be reopened."""
        return self.status is Status.RESOLVED

    @property
    def is_closed(self) -> bool:
        """Whether it is final, never to be written again."""
        return self.status is Status.CLOSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The content that an alert wants its incident to have, in the words and field names of a target."""

    #: The fields that are kept up to date until a person edits them.
    fields: Mapping[str, str]
    #: The fields that are written at creation and never again.
    fields_at_creation: Mapping[str, str] = field(default_factory=dict)
    #: By name of the link, the candidates for its other end, the best first.
    links: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One write of an incident, decided whole; the target only spells it."""

    #: The correlation key, by which the incident can be found again.
    key: str
    #: The incident; for a creation the id that we choose, or "" if the target is to choose.
    incident_id: str
    fields: Mapping[str, str]
    #: The fields that only a creation writes.
    fields_at_creation: Mapping[str, str] = field(default_factory=dict)
    #: By name of the link, the other end.
    links: Mapping[str, str]
    #: The notes to append, oldest first, each with its mark. Where they do not all fit, the newest are kept.
    notes: tuple[str, ...]
    #: A text before the notes that is never left out; "" if there is nothing to say.
    preface: str = ""
    #: Why the incident is resolved; "" if this write does not resolve it.
    closing: str = ""
    #: The names of the fields and links that the answer has to show, besides those that are written.
    names: tuple[str, ...] = ()


class LinkEnd(NamedTuple):
    """The other end of a link."""

    #: Why it is this end or none, in a sentence for people; "" if there is nothing to tell.
    reason: str
    #: Its id; "" if there is none.
    id: str = ""
    #: What an operator may want to know beside it: where it was looked for.
    detail: str = ""
    #: Whether the target let us look; if not, there may be one.
    was_asked: bool = True


class Target(Protocol):
    """A system that keeps incidents. Safe to share between threads."""

    @property
    def creation_is_repeatable(self) -> bool | None:
        """Whether a creation that names its id can be repeated without doubling; None if it is not known yet."""

    def render(self, ruling: Ruling) -> Content:
        """Return what an incident says of an alert, as the rules want it. Pure."""

    def combine(self, desired: "Desired") -> Mapping[str, str]:
        """Return the fields of an incident that stands for several alerts. Pure."""

    def find(
        self, incident_id: str, *, with_journal: bool, names: Collection[str] = (), deadline: Deadline
    ) -> Incident | None:
        """Return the incident, or None if there is none; with the fields and links of these `names`.

        Raises:
            Unavailable: the target did not answer, or hides it.
            Rejected: the target refuses the question for good.
        """

    def search(self, key: str, *, deadline: Deadline) -> Sequence[Incident]:
        """Return the newest incidents of `key`, the oldest of them first.

        Raises:
            Unavailable: the target did not answer, or hides some.
            Rejected: the target refuses the question for good.
        """

    def create(self, write: Write, *, deadline: Deadline) -> Incident:
        """Create an incident.

        Raises:
            Unavailable: the target did not take the request; there is no new incident.
            Unconfirmed: there may be a new incident, now or later.
            Conflict: the id is taken, by this creation or an earlier one.
            Rejected: the target refuses it for good.
        """

    def update(self, write: Write, *, deadline: Deadline) -> Incident:
        """Write fields, links and notes.

        Raises:
            Unavailable: the target did not take the request; nothing has changed.
            Unconfirmed: it may have changed, or may yet.
            Conflict: it is gone or closed by now.
            Rejected: the target refuses it for good.
        """

    def resolve(self, write: Write, *, deadline: Deadline) -> Incident:
        """Resolve the incident; raises as `update`."""

    def reopen(self, write: Write, *, deadline: Deadline) -> Incident:
        """Bring a resolved incident back to work; raises as `update`."""

    def retire(self, double: Incident, kept: Incident, *, deadline: Deadline) -> None:
        """Resolve `double` as a duplicate of `kept`, with a note in both.

        Raises:
            TemporaryError: `double` may stay; it is found again as long as it is open.
            Rejected: the target refuses it for good.
        """

    def expect(self, links: Mapping[str, Sequence[str]]) -> None:
        """Know what will be looked for soon, so that one question can answer for many. Nothing is sent."""

    def find_link(self, name: str, wanted: Sequence[str], *, deadline: Deadline) -> LinkEnd:
        """Return where the link `name` leads, looked for by the first of `wanted` that is known.

        Raises:
            Unavailable: the target did not answer in time.
        """


class WakeUp(NamedTuple):
    """A message that is under way: enough to take it back."""

    message_id: str
    pop_receipt: str


class WakeUps(Protocol):
    """The queue of wake-ups: each is a key and nothing else, invisible until it is due."""

    def send(self, key: str, *, delay: timedelta) -> WakeUp:
        """Have `key` looked at after `delay`, in whole seconds.

        Raises:
            Unavailable: the queue did not answer; the wake-up may or may not come.
        """

    def take_back(self, wake_up: WakeUp) -> None:
        """Delete a wake-up that is not needed any more; one that is gone already is no error.

        Raises:
            Unavailable: the queue did not answer; the wake-up may still come and will find nothing to do.
        """

    def peek(self) -> Sequence[tuple[str, str]]:
        """Return the key and the message id of the wake-ups at the head of the queue: due and not taken.

        Raises:
            Unavailable: the queue did not answer.
        """


class Store(Protocol):
    """The rows, one per correlation key; a row of an alert may lead to that of a group of alerts."""

    def read(self, key: str) -> "Record | None":
        """Return the record of `key`, or that of the group where its row leads to, or None if there is no such row.

        Raises:
            Unavailable: the table did not answer.
            Damaged: the row cannot be read; `restore` lets its key go on.
            LeadsNowhere: the row leads to a group that has no row.
            NewerVersion: only a newer version of this program may write the row.
        """

    def insert(self, record: "Record") -> "Record":
        """Write a new row; return the record with its ETag.

        Raises:
            Conflict: there is one already.
            Unavailable: the table did not answer; the write may or may not have happened.
        """

    def replace(self, record: "Record") -> "Record":
        """Write `record` unless its row changed since it was read; return it with its new ETag.

        Raises:
            Conflict: another process wrote first; read again and decide again.
            Unavailable: the table did not answer; the write may or may not have happened.
        """

    def restore(self, record: "Record") -> "Record":
        """Put `record` in the place of a row that cannot be read, which is kept under another key.

        Raises:
            Conflict: another process wrote first; read again and decide again.
            Unavailable: the table did not answer; both happened or neither.
        """

    def delete(self, record: "Record") -> None:
        """Delete the row unless it changed since it was read; an absent row is deleted already.

        Raises:
            Conflict: another process wrote first.
            Unavailable: the table did not answer.
        """

    def lead(self, key: str, *, to: str) -> str:
        """Let the row of `key` lead to that of the group `to`, if `key` has no row yet; return where it leads then.

        Raises:
            Unavailable: the table did not answer; the row may or may not have been written.
        """

    def gathering(self, group: str) -> "Gathering | None":
        """Return who joined a group lately, None if nobody did.

        Raises:
            Unavailable: the table did not answer.
        """

    def gather(self, gathering: "Gathering") -> None:
        """Write who joined a group lately, unless that changed since it was read.

        Raises:
            Conflict: another process wrote first; read again and decide again.
            Unavailable: the table did not answer; the write may or may not have happened.
        """

    def index(self) -> "Index":
        """Return what the index says of all open rows, as far as storage shows it. Raises nothing."""

    def heal(self, key: str) -> bool:
        """Let the index say of `key` what its row says; return whether it said something else.

        Raises:
            Conflict: the row changed meanwhile, and who changed it wrote the index.
            Unavailable: the table did not answer.
        """

    def pages(self, place: "Place") -> "Iterator[Page]":
        """Yield the rows after `place`, page by page, until the end of the table.

        Raises:
            Unavailable: the table did not answer.
        """

    def purge_group(self, row: "GroupRow", *, changed_before: datetime) -> bool:
        """Delete a row that leads to a group without a row, or an old gathering; return whether it was deleted.

        Raises:
            Conflict: it changed meanwhile.
            Unavailable: the table did not answer.
        """

    def progress(self) -> "Progress":
        """Return how far sweeps have come; a Progress without times if there was none that this version understands.

        Raises:
            Unavailable: the table did not answer.
        """

    def save_progress(self, progress: "Progress") -> "Progress":
        """Write how far a sweep has come, unless another one wrote since it was read; return it with its new ETag.

        Raises:
            Conflict: another process sweeps too.
            Unavailable: the table did not answer; it may or may not be written.
        """

    def begin_look(self, now: datetime, *, unless_since: datetime) -> bool:
        """Note that somebody looks for rows in hand from `now` on; return False if one began after `unless_since`.

        Raises:
            Conflict: other processes keep beginning.
            Unavailable: the table did not answer; it may or may not be noted.
        """

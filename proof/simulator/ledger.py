"""Can something else than ServiceNow be the target of the loop?

A second target, as small as one can be: `processes` gives it to the reconciler in some of the histories. It has field
names of its own, keeps every id that we choose, and has nothing to link incidents to.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from itsm_bridge.deadline import Deadline
from itsm_bridge.reconcile.desired import Desired
from itsm_bridge.reconcile.ports import Content, Incident, LinkEnd, Write
from itsm_bridge.rules.ruling import Ruling

_REQUEST_BUDGET = timedelta(seconds=10)
_TITLE_LENGTH = 80


class Pages(Protocol):
    """The incidents that the ledger is written into."""

    def find(self, sys_id: str, *, with_notes: bool = False, deadline: Deadline) -> Incident | None: ...

    def search(self, correlation_id: str, *, deadline: Deadline) -> Sequence[Incident]: ...

    def create(self, fields: Mapping[str, str], *, deadline: Deadline) -> Incident: ...

    def update(self, sys_id: str, fields: Mapping[str, str], *, deadline: Deadline) -> Incident: ...


class Ledger:
    """A system that keeps incidents under any id that it is given."""

    creation_is_repeatable: bool | None = True

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def render(self, ruling: Ruling) -> Content:
        return Content(
            fields={"title": ruling.wording.title(_TITLE_LENGTH), "weight": ruling.alert.severity or "none"},
            fields_at_creation={"kind": ruling.alert.kind.value},
        )

    def combine(self, desired: Desired) -> Mapping[str, str]:
        return {**desired.speaker.fields, "title": f"{desired.firing} of {desired.count} alerts fire"}

    def find(
        self,
        incident_id: str,
        *,
        with_journal: bool,
        names: Collection[str] = (),  # noqa: ARG002 - it shows all of them
        deadline: Deadline,
    ) -> Incident | None:
        return self._pages.find(incident_id, with_notes=with_journal, deadline=deadline.for_request(_REQUEST_BUDGET))

    def search(self, key: str, *, deadline: Deadline) -> Sequence[Incident]:
        return self._pages.search(key, deadline=deadline.for_request(_REQUEST_BUDGET))

    def create(self, write: Write, *, deadline: Deadline) -> Incident:
        named = {"sys_id": write.incident_id, "correlation_id": write.key, **write.fields_at_creation}
        return self._pages.create({**named, **_spelled(write)}, deadline=deadline.for_request(_REQUEST_BUDGET))

    def update(self, write: Write, *, deadline: Deadline) -> Incident:
        return self._written(write, _spelled(write), deadline)

    def resolve(self, write: Write, *, deadline: Deadline) -> Incident:
        return self._written(write, {"state": "6", "close_notes": write.closing, **_spelled(write)}, deadline)

    def reopen(self, write: Write, *, deadline: Deadline) -> Incident:
        return self._written(write, {"state": "2", **_spelled(write)}, deadline)

    def retire(self, double: Incident, kept: Incident, *, deadline: Deadline) -> None:
        ended = {"state": "6", "work_notes": f"This is a duplicate of {kept.number}, which stays."}
        self._pages.update(double.id, ended, deadline=deadline.for_request(_REQUEST_BUDGET))

    def expect(self, links: Mapping[str, Sequence[str]]) -> None:
        """Nothing is ever looked for."""

    def find_link(self, name: str, wanted: Sequence[str], *, deadline: Deadline) -> LinkEnd:  # noqa: ARG002 - it has none
        return LinkEnd(reason="")

    def _written(self, write: Write, fields: Mapping[str, str], deadline: Deadline) -> Incident:
        return self._pages.update(write.incident_id, fields, deadline=deadline.for_request(_REQUEST_BUDGET))


def _spelled(write: Write) -> Mapping[str, str]:
    text = "\n\n".join(part for part in (write.preface, *write.notes) if part)
    return {**write.fields, **({"work_notes": text} if text else {})}

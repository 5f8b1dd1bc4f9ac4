"""How is ServiceNow a target of the loop?

`app` makes one `ServiceNow` per process and hands it to the reconciler, which knows it as a `Target` alone.
The decisions come in; here they are spelled in fields and sent. Incidents and the CMDB each have a module of their own.
"""

from collections.abc import Collection, Mapping, Sequence

from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import Rejected
from itsm_bridge.reconcile.desired import Desired
from itsm_bridge.reconcile.ports import Content, Incident, LinkEnd, Write
from itsm_bridge.rules.ruling import Reference, Ruling
from itsm_bridge.servicenow import fields
from itsm_bridge.servicenow.cmdb.lookup import Cmdb
from itsm_bridge.servicenow.combined import combined_content
from itsm_bridge.servicenow.incident import CONFIGURATION_ITEM
from itsm_bridge.servicenow.incidents import Incidents
from itsm_bridge.servicenow.references import References
from itsm_bridge.servicenow.table_api import REQUEST_BUDGET


class ServiceNow:
    """One instance; safe to share between threads."""

    def __init__(
        self,
        incidents: Incidents,
        cmdb: Cmdb | None = None,
        *,
        references: References | None = None,
        notes_missing_item: bool = True,
    ) -> None:
        """Use `incidents`, and `cmdb` and `references` to find what they link to; without them there are no links.

        Args:
            incidents: The incidents of the instance.
            cmdb: Its configuration items.
            references: Its other records that rules name.
            notes_missing_item: Whether a work note says that no configuration item was found.
        """
        self._incidents = incidents
        self._cmdb = cmdb
        self._references = references
        self._notes_missing_item = notes_missing_item

    @property
    def creation_is_repeatable(self) -> bool | None:
        """Whether the instance keeps the sys_id that we choose; None if no creation has shown it lately."""
        return self._incidents.honours_sys_id

    def render(self, ruling: Ruling) -> Content:
        """Return what the incident of an alert says, as the rules want it."""
        return fields.content_of(ruling)

    def combine(self, desired: Desired) -> Mapping[str, str]:
        """Return the fields of an incident that stands for several alerts."""
        return combined_content(desired)

    def find(
        self, incident_id: str, *, with_journal: bool, names: Collection[str] = (), deadline: Deadline
    ) -> Incident | None:
        """Return the incident with this sys_id, or None; raises as `Target.find`."""
        request = deadline.for_request(REQUEST_BUDGET)
        more = fields.shown(names)
        return self._incidents.find(incident_id, with_notes=with_journal, more_fields=more, deadline=request)

    def search(self, key: str, *, deadline: Deadline) -> Sequence[Incident]:
        """Return the incidents with this correlation id, the oldest first; raises as `Target.search`."""
        return self._incidents.search(key, deadline=deadline.for_request(REQUEST_BUDGET))

    def create(self, write: Write, *, deadline: Deadline) -> Incident:
        """Create an incident; raises as `Target.create`."""
        request = deadline.for_request(REQUEST_BUDGET)
        return self._incidents.create(
            fields.creation(write), more_fields=fields.shown((*write.links, *write.names)), deadline=request
        )

    def update(self, write: Write, *, deadline: Deadline) -> Incident:
        """Write fields, links and notes; raises as `Target.update`."""
        return self._changed(write, fields.change(write), deadline)

    def reopen(self, write: Write, *, deadline: Deadline) -> Incident:
        """Bring a resolved incident back to work; raises as `Target.update`."""
        return self._changed(write, fields.reopening(write), deadline)

    def resolve(self, write: Write, *, deadline: Deadline) -> Incident:
        """Resolve the incident with the close code of the instance; raises as `Target.update`."""
        code = self._incidents.close_code(deadline=deadline.for_request(REQUEST_BUDGET))
        try:
            return self._changed(write, fields.resolution(write, code), deadline)
        except Rejected as error:
            if code:
                raise
            raise Rejected(f"{error}. SERVICENOW_CLOSE_CODE must name a close code of this instance") from error

    def retire(self, double: Incident, kept: Incident, *, deadline: Deadline) -> None:
        """Resolve the younger of two incidents of one key as a duplicate; raises as `Target.retire`."""
        request = deadline.for_request(REQUEST_BUDGET)
        code = self._incidents.close_code(deadline=request, preferred="Duplicate")
        request = deadline.for_request(REQUEST_BUDGET)
        self._incidents.update(double.id, fields.retirement(kept, code), deadline=request)
        told = {"work_notes": f"{double.number} was a duplicate of this."}
        self._incidents.update(kept.id, told, deadline=deadline.for_request(REQUEST_BUDGET))

    def expect(self, links: Mapping[str, Sequence[str]]) -> None:
        """Know the resources that will be looked for soon; see `Target.expect`.

        Records that rules name are not among them: each is asked for once an hour, however many alerts name it.
        """
        if self._cmdb is not None:
            self._cmdb.expect(links.get(CONFIGURATION_ITEM, ()))

    def find_link(self, name: str, wanted: Sequence[str], *, deadline: Deadline) -> LinkEnd:
        """Return where a link leads; raises as `Target.find_link`.

        The link `configuration_item` leads to the item of the first of the resources `wanted` that has one. Any other
        link is a field of the incident, and leads to the record that the first of `wanted` names that names one: as
        `FIELD=VALUE`, a field of that record and the value that it has.
        """
        if name != CONFIGURATION_ITEM:
            return self._record(name, wanted, deadline)
        if self._cmdb is None:
            return LinkEnd(reason="")
        match = self._cmdb.find(wanted, deadline=deadline)
        reason = match.reason if match.sys_id or self._notes_missing_item else ""
        return LinkEnd(id=match.sys_id, reason=reason, detail=match.detail)

    def _record(self, name: str, wanted: Sequence[str], deadline: Deadline) -> LinkEnd:
        first = LinkEnd(reason="")
        if self._references is None:
            return first
        for text in wanted:
            field, _, value = text.partition("=")
            end = self._references.find(name, Reference(field=field, value=value), deadline=deadline)
            if end.id:
                return end
            first = first if first.reason else end
        return first

    def _changed(self, write: Write, changes: Mapping[str, str], deadline: Deadline) -> Incident:
        request = deadline.for_request(REQUEST_BUDGET)
        return self._incidents.update(
            write.incident_id, changes, more_fields=fields.shown((*write.links, *write.names)), deadline=request
        )

"""What does a refusal of ServiceNow mean for people, and who can mend it?

`table_api` and `credentials` ask for each request that came to nothing, to put the sentence into the error and to count
the trouble; `checkup` asks for what it tries. One table, by what was asked and what ServiceNow said; nothing is sent.

Roles: https://www.servicenow.com/docs/bundle/zurich-it-service-management/page/product/incident-management/reference/r_InstalledWithIncidentManagement.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from itsm_bridge.servicenow.verdicts import Verdict
from itsm_bridge.troubles import Trouble

ADMINISTRATOR: Final = "a ServiceNow administrator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """A refusal in words, and how to mend it."""

    #: None if it is of no kind that is counted.
    trouble: Trouble | None
    #: What it means, without a full stop.
    meaning: str
    #: What to do and who can, without a full stop.
    remedy: str

    def __str__(self) -> str:
        """Return both as one sentence without a full stop."""
        return f"{self.meaning}; {self.remedy}"


def _rights(trouble: Trouble | None, what: str, role: str) -> Advice:
    return Advice(
        trouble=trouble, meaning=f"our account may not {what}", remedy=f"{ADMINISTRATOR} grants it the role {role}"
    )


MAY_NOT_CREATE: Final = _rights(Trouble.RIGHT_TO_CREATE, "create incidents", "sn_incident_write (or itil)")
MAY_NOT_CHANGE: Final = _rights(Trouble.RIGHT_TO_CHANGE, "change incidents", "sn_incident_write (or itil)")
MAY_NOT_READ: Final = _rights(Trouble.RIGHT_TO_READ, "read all incidents", "sn_incident_read (or itil)")
MAY_NOT_READ_CHOICES: Final = Advice(
    trouble=Trouble.RIGHT_TO_CHOICES,
    meaning="our account may not read sys_choice, which has the close codes",
    remedy=f"{ADMINISTRATOR} grants it the role personalize_choices, or set SERVICENOW_CLOSE_CODE",
)
MAY_NOT_READ_JOURNAL: Final = Advice(
    trouble=None,
    meaning="our account may not read sys_journal_field",
    remedy=f"{ADMINISTRATOR} adds a read ACL on sys_journal_field for its role",
)
MAY_NOT_READ_CMDB: Final = _rights(None, "read the CMDB", "cmdb_read")

#: By table, what a refused read of it means.
_READS: Final = {
    "incident": MAY_NOT_READ,
    "sys_choice": MAY_NOT_READ_CHOICES,
    "sys_journal_field": MAY_NOT_READ_JOURNAL,
}

HIBERNATES: Final = Advice(
    trouble=Trouble.HIBERNATING,
    meaning="the instance hibernates",
    remedy="its owner signs in to the ServiceNow Developer Site and wakes it",
)
REFUSES_ADDRESS: Final = Advice(
    trouble=Trouble.ADDRESS,
    meaning="something in front of ServiceNow refuses us, as IP Address Access Control does",
    remedy=f"{ADMINISTRATOR} allows the outbound addresses of the app (az functionapp show --query"
    " possibleOutboundIpAddresses)",
)
LIMITED: Final = Advice(
    trouble=Trouble.LIMITED,
    meaning="ServiceNow limits how often we call",
    remedy=f"{ADMINISTRATOR} raises the inbound REST rate limit of our account, or lower SERVICENOW_MAX_CONCURRENCY",
)
UNSCOPED: Final = Advice(
    trouble=Trouble.SIGN_IN,
    meaning="our OAuth client is securely scoped and may not use the Table API",
    remedy=f"{ADMINISTRATOR} gives the client in the Application Registry a scope that covers the Table API",
)
AWAY: Final = Advice(
    trouble=Trouble.AWAY,
    meaning="ServiceNow does not answer",
    remedy="whoever keeps the app compares SERVICENOW_INSTANCE_URL with the address of the instance; its owner looks"
    " whether it is up",
)

#: What a trouble that was counted means, if that depends on nothing else.
BY_TROUBLE: Final[Mapping[Trouble, Advice]] = {
    each.trouble: each
    for each in (
        *(MAY_NOT_CREATE, MAY_NOT_CHANGE, MAY_NOT_READ, MAY_NOT_READ_CHOICES),
        *(HIBERNATES, REFUSES_ADDRESS, LIMITED, UNSCOPED, AWAY),
    )
    if each.trouble is not None
}


def refused_sign_in(way: str) -> Advice:
    """Return what a refused sign-in means; `way` names the grant and its settings."""
    return Advice(
        trouble=Trouble.SIGN_IN,
        meaning=f"ServiceNow refuses our sign-in by {way}",
        remedy=f"compare these settings with ServiceNow; {ADMINISTRATOR} looks whether the account is active and not"
        " locked, and whether this way of signing in is allowed",
    )


def advice_for(method: str, table: str, verdict: Verdict, *, way: str) -> Advice | None:
    """Return what an answer that confirmed nothing means for people; None if there is nothing that they could do.

    Args:
        method: Of the request.
        table: Which it asked for.
        verdict: Of its answer.
        way: How we signed in.
    """
    if verdict.is_hibernating:
        return HIBERNATES
    if verdict.status is None:
        return None if verdict.is_too_large else AWAY
    if verdict.status == HTTPStatus.UNAUTHORIZED:
        return refused_sign_in(way)
    if verdict.status == HTTPStatus.TOO_MANY_REQUESTS:
        return LIMITED
    if verdict.status == HTTPStatus.FORBIDDEN:
        return _forbidden(method, table, verdict)
    return AWAY if verdict.status >= HTTPStatus.INTERNAL_SERVER_ERROR else None


def _forbidden(method: str, table: str, verdict: Verdict) -> Advice | None:
    if not verdict.is_refusal:
        return REFUSES_ADDRESS
    if "unscoped api" in verdict.reason:
        return UNSCOPED
    if not any(sign in verdict.reason for sign in ("ACL", "Not Authorized", "security constraints")):
        return None
    if method == "GET":
        return reading_advice(table)
    if table != "incident":
        return None
    return MAY_NOT_CREATE if method == "POST" else MAY_NOT_CHANGE


def reading_advice(table: str) -> Advice | None:
    """Return what it means that rows of `table` are not shown to us."""
    return _READS.get(table, MAY_NOT_READ_CMDB if table.startswith("cmdb") else None)

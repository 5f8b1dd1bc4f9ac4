"""What does a trouble mean for people, and who can mend it?

The command `status` prints it and the health check asks which part is concerned. One table; nothing is read here. What
ServiceNow refuses is worded in `servicenow.advice`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from itsm_bridge.servicenow import advice as servicenow
from itsm_bridge.troubles import Tally, Trouble

_HOUR: Final = timedelta(hours=1)
#: A refused call is an alert that is lost, so that it is told for a day.
_DAY: Final = timedelta(hours=24)
#: A trouble with ServiceNow comes again with each attempt, at most six minutes apart, until it is over.
_STANDING: Final = timedelta(minutes=10)

#: The look at Azure comes again every two minutes.
_AZURE: Final = timedelta(minutes=15)

_SETTING: Final = "whoever keeps the app"
_ENTRA: Final = "an owner of the Entra application"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """A kind of trouble in words."""

    meaning: str
    remedy: str
    #: How long after it was last met it is told.
    told_for: timedelta = _DAY
    #: How often it must have been met, because once happens to anybody.
    at_least: int = 1
    #: The part that is down meanwhile, as `GET /api/health` names it, if the health check cannot find out by itself. A
    #: refused call is no fault of the app.
    part: str = ""


def _of_servicenow(advice: servicenow.Advice, *, at_least: int = 1, part: str = "") -> Meaning:
    return Meaning(meaning=advice.meaning, remedy=advice.remedy, told_for=_STANDING, at_least=at_least, part=part)


MEANINGS: Final[Mapping[Trouble, Meaning]] = {
    Trouble.NO_TOKEN: Meaning(
        meaning="calls without a token were refused (401)",
        remedy="in the action group, use a *secure* webhook (Enable AAD auth), not a plain one",
    ),
    Trouble.TENANT: Meaning(
        meaning="calls with a token of another tenant were refused (401)",
        remedy=f"{_SETTING} compares ENTRA_TENANT_ID with the tenant of the action group",
    ),
    Trouble.AUDIENCE: Meaning(
        meaning="calls with a token for another audience were refused (401)",
        remedy=f"{_SETTING} adds the client id and the application ID URI of the application that the action group"
        " names to ENTRA_AUDIENCE, or picks our application in the action group",
    ),
    Trouble.EXPIRED: Meaning(
        meaning="calls with a token that is out of date were refused (401)",
        remedy="somebody replays an old token, or a clock is wrong",
    ),
    Trouble.SIGNATURE: Meaning(
        meaning="calls with a token that Entra ID did not sign were refused (401)",
        remedy=f"{_SETTING} looks who calls: Azure Monitor sends no such token. Is ENTRA_AUTHORITY that of the cloud?",
    ),
    Trouble.TOKEN: Meaning(
        meaning="calls with a token that is none were refused (401)",
        remedy=f"{_SETTING} looks who calls: Azure Monitor sends no such token",
    ),
    Trouble.CALLER: Meaning(
        meaning="calls of another application than Azure Monitor's were refused (403)",
        remedy=f"if that application may call, {_SETTING} adds its id to ENTRA_ALLOWED_CALLERS; else look who has our"
        " address and its key",
    ),
    Trouble.ROLE: Meaning(
        meaning="calls whose token lacks the app role were refused (403)",
        remedy="a Cloud Application Administrator runs `python -m itsm_bridge setup`, which assigns the role; it is in"
        " tokens after 90 minutes at most",
    ),
    Trouble.SUBSCRIPTION: Meaning(
        meaning="alerts of a subscription that is not allowed were refused (403)",
        remedy=f"{_SETTING} adds it to ALLOWED_SUBSCRIPTIONS, or takes the action group out of its rules",
    ),
    Trouble.BODY: Meaning(
        meaning="calls that hold no alert were refused (400, 413)",
        remedy=f"{_SETTING} looks who calls: Azure Monitor sends JSON objects of at most 256 KB",
    ),
    Trouble.SIGN_IN: _of_servicenow(
        servicenow.Advice(
            trouble=Trouble.SIGN_IN,
            meaning="ServiceNow refuses our sign-in",
            remedy=servicenow.refused_sign_in("").remedy.replace("these settings", "the credentials in the settings"),
        )
    ),
    Trouble.RIGHT_TO_CREATE: _of_servicenow(servicenow.MAY_NOT_CREATE, part="servicenow"),
    Trouble.RIGHT_TO_CHANGE: _of_servicenow(servicenow.MAY_NOT_CHANGE, part="servicenow"),
    Trouble.RIGHT_TO_READ: _of_servicenow(servicenow.MAY_NOT_READ),
    Trouble.RIGHT_TO_CHOICES: _of_servicenow(servicenow.MAY_NOT_READ_CHOICES, part="servicenow"),
    Trouble.ADDRESS: _of_servicenow(servicenow.REFUSES_ADDRESS),
    Trouble.HIBERNATING: _of_servicenow(servicenow.HIBERNATES),
    Trouble.AWAY: _of_servicenow(servicenow.AWAY, at_least=3),
    Trouble.LIMITED: Meaning(
        meaning=servicenow.LIMITED.meaning, remedy=servicenow.LIMITED.remedy, told_for=_HOUR, at_least=3
    ),
    Trouble.FIELDS: Meaning(
        meaning="ServiceNow does not store some fields as they are sent",
        remedy=f"{servicenow.ADMINISTRATOR} lets our account write them, or looks for a business rule that changes"
        " them; `python -m itsm_bridge doctor --write` tells which",
        told_for=_DAY,
    ),
    Trouble.CLOSE_CODE: Meaning(
        meaning="the instance has no close code that is known to state the truth",
        remedy=f"{_SETTING} sets SERVICENOW_CLOSE_CODE to one of the close codes of the instance",
        told_for=_DAY,
    ),
    Trouble.RECORD: Meaning(
        meaning="a record that rules name was not found, so that its field stays empty",
        remedy="whoever wrote the rules compares them with the instance; `show` of such an alert says what was looked"
        " for, and `python -m itsm_bridge rules push` checks what stands in the file",
        told_for=_HOUR,
    ),
    Trouble.AZURE_SIGN_IN: Meaning(
        meaning="the app's identity gets no token for Azure Resource Manager, or that refuses it",
        remedy=f"{_SETTING} gives the app a managed identity and names it in AZURE_CLIENT_ID; is"
        " AZURE_RESOURCE_MANAGER that of the cloud?",
        told_for=_AZURE,
    ),
    Trouble.AZURE_MAY_NOT_READ: Meaning(
        meaning="the app's identity may not read alerts of a followed subscription, so that missed ones stay missed",
        remedy="an owner of the subscription gives it the role that reads alerts (docs/resource-manager.md)",
        told_for=_AZURE,
    ),
    Trouble.AZURE_MAY_NOT_CHANGE: Meaning(
        meaning="the app's identity may not change alerts, so that their state does not follow the incidents",
        remedy="an owner of the subscription gives it the role that changes alerts (docs/resource-manager.md)",
        told_for=_AZURE,
    ),
    Trouble.AZURE_AWAY: Meaning(
        meaning="Azure Resource Manager does not answer as documented, so that missed alerts wait",
        remedy="nobody has to act unless it lasts; https://status.azure.com tells of outages",
        told_for=_AZURE,
        at_least=3,
    ),
    Trouble.AZURE_UNCLEAR: Meaning(
        meaning="Azure's list has an alert of which it cannot be told whether it was meant for us",
        remedy=f"{_SETTING} looks the alert up in the portal, and opens an incident by hand if it was missed",
    ),
    Trouble.RULES: Meaning(
        meaning="the rules are not valid, so that the last good ones are in force",
        remedy="whoever wrote them runs `python -m itsm_bridge rules check FILE`",
        # The timer counts it every five minutes until it is mended; the health check looks for itself.
        told_for=_STANDING,
    ),
    Trouble.UNEXPECTED: Meaning(
        meaning="errors happened that nobody foresaw",
        remedy=f"{_SETTING} reports the line of the log that begins with `unexpected`",
    ),
}


def present(known: Mapping[Trouble, Tally], now: datetime) -> Sequence[tuple[Trouble, Tally, Meaning]]:
    """Return the troubles that people should be told of, those met last first."""
    found = [
        (trouble, tally, MEANINGS[trouble])
        for trouble, tally in known.items()
        if now - tally.last_at < MEANINGS[trouble].told_for and tally.count >= MEANINGS[trouble].at_least
    ]
    return sorted(found, key=lambda each: each[1].last_at, reverse=True)


def parts_down(known: Mapping[Trouble, Tally], now: datetime) -> Sequence[str]:
    """Return the parts that cannot work because of troubles, by their names in the answer of the health check."""
    return tuple(
        dict.fromkeys(
            meaning.part
            for _, tally, meaning in present(known, now)
            if meaning.part and now - tally.last_at < _STANDING
        )
    )

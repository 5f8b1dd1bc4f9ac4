"""Does an alert come through?

`cli` calls `send_test`. The alert takes the real way, in one of three manners:

    local world     the token comes from its stand-in for Entra ID, as Azure Monitor would ask for it
    --action-group  Azure Monitor itself sends its test notification: the portal's button *Test*, with the sign-in of
                    the person; this is the way to try a deployed app
    --url           the alert is posted with a token of whoever is signed in; the app takes it only if that application
                    is an allowed caller and has the role

The incident of a test is marked so and resolved at once.

Source of truth: https://learn.microsoft.com/rest/api/monitor/action-groups/create-notifications-at-action-group-resource-level
"""

import json
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, Final, TextIO
from urllib.parse import urlencode, urlsplit

from itsm_bridge.azure_monitor.alert import TEST_SUBSCRIPTION
from itsm_bridge.deadline import Deadline
from itsm_bridge.entra.person import token_for
from itsm_bridge.errors import Unavailable
from itsm_bridge.operate.exit_status import ACT, DONE, NO_ANSWER, NotUnderstood
from itsm_bridge.settings import AZNS_AAD_WEBHOOK, is_private
from itsm_bridge.transport import NoAnswer, Received, Transport

RESOURCE_MANAGER: Final = "https://management.azure.com"

_PATIENCE: Final = timedelta(seconds=15)
#: How long Azure Monitor may take to send, in looks of this many seconds.
_LOOKS: Final = 40
_PAUSE: Final = 3.0

_ACTION_GROUP: Final = re.compile(
    r"/subscriptions/[^/?#]+/resourceGroups/[^/?#]+/providers/Microsoft\.Insights/actionGroups/[^/?#]+", re.IGNORECASE
)
_API_VERSION: Final = "2023-01-01"

_WHO_MAY_CALL: Final = (
    "the app takes calls of Azure Monitor alone, unless ENTRA_ALLOWED_CALLERS names another application that has the"
    " role; --action-group has Azure Monitor send the test. The log and `status` say what was refused"
)
_WHO_MAY_TEST: Final = (
    "It takes Monitoring Contributor on the action group, and being an owner of the Entra application"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the alert goes, and how the sender proves who it is; one of the three manners."""

    #: What the local world left; None if none is meant.
    world: Mapping[str, Any] | None = None
    action_group: str = ""
    resource_manager: str = RESOURCE_MANAGER
    url: str = ""
    audience: str = ""


def send_test(target: Target, *, out: TextIO, as_json: bool, token: Callable[[str], str] = token_for) -> int:
    """Send one test alert and tell what came of it; 1 if it was refused, 3 if it could not be taken now.

    Raises:
        NotUnderstood: nothing says where to send it.
        NotSignedIn: there is no token.
        Unavailable: there is no answer.
    """
    if target.action_group:
        told, is_taken = _by_azure_monitor(target, token)
    elif target.url:
        told, is_taken = _posted(_checked(target.url), token(target.audience))
    elif target.world:
        told, is_taken = _posted(str(target.world["webhook"]), _token_of_world(target.world))
    else:
        raise NotUnderstood(
            "No local world is up. Start one with `make run`, or name a deployed app: --action-group ARM_ID, as"
            " `azd env get-value ACTION_GROUP_ID` prints it"
        )
    print(json.dumps(told, indent=2) if as_json else _in_words(told), file=out)
    if is_taken:
        return DONE
    return NO_ANSWER if told["status"] == HTTPStatus.SERVICE_UNAVAILABLE else ACT


def body_of_test(now: datetime) -> Mapping[str, Any]:
    """Return a test notification in the common alert schema, another one at each call."""
    scope = f"/subscriptions/{TEST_SUBSCRIPTION}/resourceGroups/test-RG"
    guid = uuid.uuid4()
    return {
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {
            "essentials": {
                "alertId": f"/subscriptions/{TEST_SUBSCRIPTION}/providers/Microsoft.AlertsManagement/alerts/{guid}",
                "alertRule": "itsm-bridge send-test",
                "severity": "Sev4",
                "signalType": "Metric",
                "monitorCondition": "Fired",
                "monitoringService": "Platform",
                "alertTargetIDs": [f"{scope}/providers/Microsoft.Compute/virtualMachines/test-VM"],
                "configurationItems": ["test-VM"],
                "originAlertId": str(guid),
                "firedDateTime": now.astimezone(UTC).isoformat(),
                "description": "Sent by `python -m itsm_bridge send-test`",
                "essentialsVersion": "1.0",
                "alertContextVersion": "1.0",
            },
            "alertContext": {},
        },
    }


def _posted(url: str, token: str) -> tuple[Mapping[str, Any], bool]:
    body = json.dumps(body_of_test(datetime.now(UTC))).encode()
    answer = _exchange("POST", url, token, body)
    content = _object(answer)
    told: dict[str, Any] = {"status": answer.status, **content}
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        told["hint"] = _WHO_MAY_CALL
    if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
        told["hint"] = (
            "Azure Monitor would send it again. `doctor` says what is wrong with settings, storage or Entra ID"
        )
    return told, answer.status in (HTTPStatus.OK, HTTPStatus.ACCEPTED)


def _by_azure_monitor(target: Target, token: Callable[[str], str]) -> tuple[Mapping[str, Any], bool]:
    if not _ACTION_GROUP.fullmatch(target.action_group):
        raise NotUnderstood(
            "--action-group must be an ARM id: /subscriptions/…/providers/Microsoft.Insights/actionGroups/NAME"
        )
    root, bearer = target.resource_manager.rstrip("/"), token(target.resource_manager)
    group = _exchange("GET", f"{root}{target.action_group}?api-version={_API_VERSION}", bearer)
    if group.status != HTTPStatus.OK:
        return _refused("the action group cannot be read", group), False
    receivers = [each for each in _object(group)["properties"].get("webhookReceivers", []) if each.get("useAadAuth")]
    if not receivers:
        return {"status": group.status, "hint": "the action group has no secure webhook"}, False
    body = json.dumps({"alertType": "metricstaticthreshold", "webhookReceivers": receivers}).encode()
    sent = _exchange(
        "POST", f"{root}{target.action_group}/createNotifications?api-version={_API_VERSION}", bearer, body
    )
    if sent.status not in (HTTPStatus.OK, HTTPStatus.ACCEPTED):
        return _refused("Azure Monitor does not send it", sent), False
    return _awaited(sent, root, bearer)


def _awaited(sent: Received, root: str, bearer: str) -> tuple[Mapping[str, Any], bool]:
    headers = {name.lower(): value for name, value in sent.headers.items()}
    location = headers.get("location", "")
    # The token goes along, so the address must be Resource Manager's own.
    if not location.startswith(f"{root}/"):
        raise Unavailable("Resource Manager names no address at which the test can be followed")
    for _ in range(_LOOKS):
        looked = _exchange("GET", location, bearer)
        content = _object(looked) if looked.status == HTTPStatus.OK else {}
        if content.get("state") in ("Complete", "Completed"):
            details = [
                {name.lower(): each[name] for name in each}
                for each in content.get("actionDetails", [])
                if isinstance(each, dict)
            ]
            is_taken = bool(details) and all(each.get("status") in ("Succeeded", "Completed") for each in details)
            told = [{name: each.get(name, "") for name in ("name", "status", "substate", "detail")} for each in details]
            return {"status": looked.status, "actions": told}, is_taken
        time.sleep(_PAUSE)
    raise Unavailable(f"Azure Monitor did not finish the test within {_LOOKS * _PAUSE:.0f} s")


def _refused(what: str, answer: Received) -> Mapping[str, Any]:
    error = _object(answer).get("error", {})
    message = error.get("message", "") if isinstance(error, dict) else ""
    hint = f"{what}: {message[:256]}" if message else what
    return {"status": answer.status, "hint": f"{hint}. {_WHO_MAY_TEST}"}


def _token_of_world(world: Mapping[str, Any]) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": AZNS_AAD_WEBHOOK,
        "client_secret": "any",
        "scope": f"{world['audience']}/.default",
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = _exchange("POST", str(world["token_endpoint"]), "", urlencode(form).encode(), headers)
    token = _object(answer).get("access_token")
    if not token:
        raise Unavailable(f"the local world's Entra ID gives no token: {answer.status}")
    return str(token)


def _exchange(
    method: str, url: str, token: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Received:
    sent = {"Accept": "application/json", "Content-Type": "application/json", **(headers or {})}
    if token:
        sent["Authorization"] = f"Bearer {token}"
    try:
        return Transport().exchange(method, url, headers=sent, body=body, deadline=Deadline.after(_PATIENCE))
    except NoAnswer as error:
        # The address may hold the function key.
        raise Unavailable(f"{urlsplit(url).netloc} did not answer: {error}") from error


def _object(answer: Received) -> Mapping[str, Any]:
    try:
        content = json.loads(answer.body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if not is_private(parts.scheme, parts.hostname):
        raise NotUnderstood("--url must be an https address, because a token goes there")
    return url


def _in_words(told: Mapping[str, Any]) -> str:
    lines = [f"answered {told['status']} {told.get('outcome', '')}".rstrip()]
    incident = told.get("incident")
    if isinstance(incident, dict):
        lines.append(f"incident {incident['number']}")
    parts = ("name", "status", "substate", "detail")
    lines += [" ".join(f"{each[name]}" for name in parts if each[name]) for each in told.get("actions", ())]
    error = told.get("error")
    if isinstance(error, dict):
        lines.append(str(error.get("message", "")))
    if "hint" in told:
        lines.append(f"Hint: {told['hint']}.")
    if "alert_key" in told:
        lines.append(f"python -m itsm_bridge show {str(told['alert_key'])[:12]}")
    return "\n".join(lines)

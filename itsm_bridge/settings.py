"""How is this app configured?

The composition root calls `Settings.from_environ`; no other part reads app settings. Commands that touch one party read
the settings of that party alone: `storage_from`, `entra_from`, `servicenow_from`, `azure_from`.
App settings are environment variables, read once. `local.settings.json.example` lists all of them.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

from itsm_bridge.errors import InvalidSettings

#: The application that calls secure webhooks in the public cloud, "AzNS AAD Webhook"
#: (https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#secure-webhook).
AZNS_AAD_WEBHOOK = "461e8683-5575-4561-ac7f-899cc907d62a"

#: Stands among the allowed subscriptions for alerts that name none, as those of rules for the whole tenant
#: (https://learn.microsoft.com/azure/azure-monitor/alerts/alerts-create-tenant-level-service-heath-alerts).
TENANT = "tenant"

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TENANT = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]*")
_GUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SUBSCRIPTION = re.compile(_GUID)
_CLIENT_ID = re.compile(_GUID, re.IGNORECASE)
#: Names of resource groups and action groups may hold any letters, but none of these characters
#: (https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftinsights).
_NAME = r"[^/\\:<>+&%?#\x00-\x1f]{1,260}"
_ACTION_GROUP = re.compile(
    rf"/subscriptions/{_GUID}/resourcegroups/{_NAME}/providers/microsoft\.insights/actiongroups/{_NAME}"
)
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_STORAGE = "AzureWebJobsStorage"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """The account of the table and the queue: a connection string, or two addresses and an identity."""

    connection_string: str
    table_service_uri: str
    queue_service_uri: str
    credential: str
    client_id: str

    def __repr__(self) -> str:
        """Name no secret."""
        return f"StorageSettings({self.table_service_uri or 'connection string'})"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceNowSettings:
    """The instance and how to sign in there."""

    instance_url: str
    client_id: str
    client_secret: str
    api_key: str
    username: str
    password: str
    max_concurrency: int
    #: The close code of resolved incidents, if the instance has this choice; "": the most fitting one.
    close_code: str = ""
    #: Whether a work note says that no configuration item was found, and why.
    notes_missing_item: bool = True

    def __repr__(self) -> str:
        """Name no secret."""
        return f"ServiceNowSettings({self.instance_url})"


class EntraSettings(NamedTuple):
    """Whose tokens are accepted."""

    tenants: tuple[str, ...]
    audiences: tuple[str, ...]
    allowed_callers: tuple[str, ...]
    required_role: str
    authority: str


class AzureSettings(NamedTuple):
    """What is asked of Azure's own list of alerts, and who asks."""

    #: Resource ids of the action groups that call us, lower-cased.
    action_groups: frozenset[str]
    #: Whether alerts that never reached us are looked for.
    recovers_missed_alerts: bool
    #: Whether the state of incidents is passed on to their alerts.
    syncs_alert_state: bool
    #: Client id of the managed identity that asks; "" for the identity that the platform chooses.
    client_id: str
    #: Where Azure Resource Manager is, without a slash at the end.
    endpoint: str

    @property
    def is_wanted(self) -> bool:
        """Whether Azure Resource Manager is asked at all."""
        return self.recovers_missed_alerts or self.syncs_alert_state


class TelemetrySettings(NamedTuple):
    """To whom is told what is measured; to nobody unless a setting says so."""

    #: Whether traces and metrics go to a collector; the SDK reads the variables of OpenTelemetry itself.
    sends_traces: bool = False
    sends_metrics: bool = False
    #: The protocol that the collector wants; "" if nothing is said.
    protocol: str = ""
    #: Whether both go to Application Insights, and its connection string, which the host has a setting for.
    sends_to_insights: bool = False
    connection_string: str = ""

    def __repr__(self) -> str:
        """Name no connection string."""
        return f"TelemetrySettings({self.is_wanted})"

    @property
    def is_wanted(self) -> bool:
        """Whether anything is sent to anybody."""
        return self.sends_traces or self.sends_metrics or self.sends_to_insights


class Settings(NamedTuple):
    """Everything that can be configured."""

    storage: StorageSettings
    entra: EntraSettings
    servicenow: ServiceNowSettings
    #: Ids, lower-cased, and `TENANT` for alerts that name none; empty: all.
    allowed_subscriptions: frozenset[str]
    retry_horizon: timedelta
    retention: timedelta
    azure: AzureSettings
    #: The rules file, from the app's root; "" for the rules that were pushed. Whether it is there is not known here,
    #: because no alert may be refused over it.
    rules_file: str = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read all settings.

        Raises:
            InvalidSettings: some are missing or malformed; the message names all of them, and no value.
        """
        reader = _Reader(environ)
        _telemetry(reader)
        settings = cls(
            storage=_storage(reader),
            entra=_entra(reader),
            servicenow=_servicenow(reader),
            azure=_azure(reader),
            allowed_subscriptions=_subscriptions(reader),
            retry_horizon=timedelta(hours=reader.number("RETRY_HORIZON_HOURS", default=72, least=1, most=24 * 365)),
            retention=_retention(reader),
            rules_file=reader.text("ITSM_RULES_FILE"),
        )
        return reader.checked(settings)


def storage_from(environ: Mapping[str, str]) -> StorageSettings:
    """Read where the storage account is, and nothing else.

    Raises:
        InvalidSettings: that is missing or malformed.
    """
    reader = _Reader(environ)
    return reader.checked(_storage(reader))


def entra_from(environ: Mapping[str, str]) -> EntraSettings:
    """Read whose tokens are accepted, and nothing else.

    Raises:
        InvalidSettings: that is missing or malformed.
    """
    reader = _Reader(environ)
    return reader.checked(_entra(reader))


def servicenow_from(environ: Mapping[str, str]) -> ServiceNowSettings:
    """Read where the instance is and how to sign in there, and nothing else.

    Raises:
        InvalidSettings: that is missing or malformed.
    """
    reader = _Reader(environ)
    return reader.checked(_servicenow(reader))


def azure_from(environ: Mapping[str, str]) -> AzureSettings:
    """Read what is asked of Azure's own list of alerts, and nothing else.

    Raises:
        InvalidSettings: some of that is malformed, or missing beside what is switched on.
    """
    reader = _Reader(environ)
    return reader.checked(_azure(reader))


def allowed_from(environ: Mapping[str, str]) -> frozenset[str]:
    """Read which subscriptions alerts may come from, with `TENANT` for those that name none; empty: all.

    Raises:
        InvalidSettings: that is malformed.
    """
    reader = _Reader(environ)
    return reader.checked(_subscriptions(reader))


def retention_from(environ: Mapping[str, str]) -> timedelta:
    """Read how long settled rows are kept.

    Raises:
        InvalidSettings: that is malformed.
    """
    reader = _Reader(environ)
    return reader.checked(_retention(reader))


def telemetry_from(environ: Mapping[str, str]) -> TelemetrySettings:
    """Read to whom is told what is measured, and nothing else.

    Raises:
        InvalidSettings: that is malformed.
    """
    reader = _Reader(environ)
    return reader.checked(_telemetry(reader))


def account_settings(name: str) -> Mapping[str, str]:
    """Return the settings that name a storage account of the public cloud, for a person who is signed in."""
    return {f"{_STORAGE}__accountName": name}


class _Reader:
    """Reads settings and collects their faults."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, name: str, *, default: str = "") -> str:
        text = self._environ.get(name, default).strip()
        if text.startswith("@Microsoft.KeyVault("):
            self._note(
                f"{name} is a Key Vault reference that was not resolved: in Azure the app's identity needs the role"
                " Key Vault Secrets User on the vault, and anywhere else the value itself has to be set"
            )
            return ""
        return text

    def checked(self, settings: _T) -> _T:
        """Return what was read.

        Raises:
            InvalidSettings: some of it is missing or malformed; the message names all of that, and no value.
        """
        if self.problems:
            raise InvalidSettings("; ".join(self.problems))
        return settings

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)

    def names(self, name: str, *, default: str = "") -> tuple[str, ...]:
        return tuple(part.strip() for part in self.text(name, default=default).split(",") if part.strip())

    def required_names(self, name: str) -> tuple[str, ...]:
        names = self.names(name)
        if not names:
            self.problems.append(f"{name} is missing")
        return names

    def number(self, name: str, *, default: int, least: int, most: int) -> int:
        text = self.text(name) or str(default)
        if re.fullmatch(r"[0-9]{1,9}", text) and least <= int(text) <= most:
            return int(text)
        self.problems.append(f"{name} must be a whole number from {least} to {most}")
        return default

    def flag(self, name: str, *, default: bool) -> bool:
        text = (self.text(name) or str(default)).lower()
        if text not in ("true", "false"):
            self.problems.append(f"{name} must be true or false")
        return text == "true"

    def address(self, name: str, *, default: str = "") -> str:
        """An https address; plain http only to loopback."""
        text = self.optional_address(name, default=default)
        if not text:
            self.problems.append(f"{name} is missing")
        return text

    def optional_address(self, name: str, *, default: str = "") -> str:
        text = self.text(name, default=default).rstrip("/")
        if text and not _is_safe_address(text):
            self.problems.append(f"{name} must be an https address without user, query and fragment")
        return text


def is_private(scheme: str, host: str | None) -> bool:
    """Whether a request there cannot be read on its way: it is https, or http that does not leave this machine."""
    return scheme == "https" or (scheme == "http" and host in _LOOPBACK)


def _is_safe_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        host = parts.hostname
        has_port = parts.port is None or parts.port > 0
    except ValueError:
        return False
    has_more = bool(parts.username or parts.query or parts.fragment)
    return bool(host) and has_port and is_private(parts.scheme, host) and not has_more


def _storage(reader: _Reader) -> StorageSettings:
    account = reader.text(f"{_STORAGE}__accountName")
    settings = StorageSettings(
        connection_string=reader.text(_STORAGE),
        table_service_uri=reader.optional_address(f"{_STORAGE}__tableServiceUri") or _service_uri(account, "table"),
        queue_service_uri=reader.optional_address(f"{_STORAGE}__queueServiceUri") or _service_uri(account, "queue"),
        credential=reader.text(f"{_STORAGE}__credential").lower(),
        client_id=reader.text(f"{_STORAGE}__clientId"),
    )
    if settings.connection_string:
        if not _is_connection_string(settings.connection_string):
            reader.problems.append(f"{_STORAGE} is not a connection string of a storage account")
    elif account and not _ACCOUNT.fullmatch(account):
        reader.problems.append(f"{_STORAGE}__accountName is not the name of a storage account")
    elif not (settings.table_service_uri and settings.queue_service_uri):
        reader.problems.append(
            f"{_STORAGE} is missing, and neither {_STORAGE}__accountName "
            f"nor {_STORAGE}__tableServiceUri with {_STORAGE}__queueServiceUri is set"
        )
    return settings


def _is_connection_string(text: str) -> bool:
    parts = dict(part.strip().split("=", 1) for part in text.split(";") if "=" in part)
    named = {name.lower(): value for name, value in parts.items()}
    if named.get("usedevelopmentstorage", "").lower() == "true":
        return True
    is_placed = "accountname" in named or {"tableendpoint", "queueendpoint"} <= named.keys()
    return is_placed and ("sharedaccesssignature" in named or _is_base64(named.get("accountkey", "")))


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


def _service_uri(account: str, name: str) -> str:
    return f"https://{account}.{name}.core.windows.net" if account else ""


def _entra(reader: _Reader) -> EntraSettings:
    settings = EntraSettings(
        tenants=reader.required_names("ENTRA_TENANT_ID"),
        audiences=reader.required_names("ENTRA_AUDIENCE"),
        allowed_callers=reader.names("ENTRA_ALLOWED_CALLERS", default=AZNS_AAD_WEBHOOK),
        required_role=reader.text("ENTRA_REQUIRED_ROLE", default="ActionGroupsSecureWebhook"),
        authority=reader.address("ENTRA_AUTHORITY", default="https://login.microsoftonline.com"),
    )
    if not settings.allowed_callers:
        reader.problems.append("ENTRA_ALLOWED_CALLERS names no application")
    if not all(_TENANT.fullmatch(tenant) for tenant in settings.tenants):
        reader.problems.append("ENTRA_TENANT_ID must be tenant ids, separated by commas")
    return settings


def _subscriptions(reader: _Reader) -> frozenset[str]:
    names = frozenset(name.lower() for name in reader.names("ALLOWED_SUBSCRIPTIONS"))
    if not all(name == TENANT or _SUBSCRIPTION.fullmatch(name) for name in names):
        reader.problems.append(
            f"ALLOWED_SUBSCRIPTIONS must be subscription ids and the word {TENANT}, separated by commas"
        )
    return names


def _retention(reader: _Reader) -> timedelta:
    return timedelta(days=reader.number("RETENTION_DAYS", default=90, least=1, most=3650))


def _azure(reader: _Reader) -> AzureSettings:
    settings = AzureSettings(
        action_groups=frozenset(name.lower() for name in reader.names("AZURE_ACTION_GROUP_IDS")),
        recovers_missed_alerts=reader.flag("RECOVER_MISSED_ALERTS", default=False),
        syncs_alert_state=reader.flag("SYNC_ALERT_STATE", default=False),
        client_id=reader.text("AZURE_CLIENT_ID") or reader.text(f"{_STORAGE}__clientId"),
        endpoint=reader.address("AZURE_RESOURCE_MANAGER", default="https://management.azure.com"),
    )
    if not all(_ACTION_GROUP.fullmatch(each) for each in settings.action_groups):
        reader.problems.append(
            "AZURE_ACTION_GROUP_IDS must be resource ids of action groups, separated by commas: /subscriptions/ID"
            "/resourceGroups/NAME/providers/Microsoft.Insights/actionGroups/NAME"
        )
    if settings.recovers_missed_alerts and not settings.action_groups:
        reader.problems.append("RECOVER_MISSED_ALERTS needs AZURE_ACTION_GROUP_IDS")
    if reader.text("AZURE_CLIENT_ID") and not _CLIENT_ID.fullmatch(settings.client_id):
        reader.problems.append("AZURE_CLIENT_ID is not the client id of a managed identity")
    return settings


def _servicenow(reader: _Reader) -> ServiceNowSettings:
    settings = ServiceNowSettings(
        instance_url=reader.address("SERVICENOW_INSTANCE_URL"),
        client_id=reader.text("SERVICENOW_CLIENT_ID"),
        client_secret=reader.text("SERVICENOW_CLIENT_SECRET"),
        api_key=reader.text("SERVICENOW_API_KEY"),
        username=reader.text("SERVICENOW_USERNAME"),
        password=reader.text("SERVICENOW_PASSWORD"),
        max_concurrency=reader.number("SERVICENOW_MAX_CONCURRENCY", default=4, least=1, most=64),
        close_code=reader.text("SERVICENOW_CLOSE_CODE"),
        notes_missing_item=reader.flag("SERVICENOW_NOTE_MISSING_ITEM", default=True),
    )
    for name, other in (("CLIENT_ID", "CLIENT_SECRET"), ("USERNAME", "PASSWORD")):
        if bool(reader.text(f"SERVICENOW_{name}")) != bool(reader.text(f"SERVICENOW_{other}")):
            reader.problems.append(f"SERVICENOW_{name} and SERVICENOW_{other} are needed together")
    if settings.api_key and not (settings.api_key.isascii() and settings.api_key.isprintable()):
        reader.problems.append("SERVICENOW_API_KEY has characters that no header can carry")
    if not (settings.client_id or settings.api_key or settings.username):
        reader.problems.append(
            "no ServiceNow credentials: set SERVICENOW_CLIENT_ID and SERVICENOW_CLIENT_SECRET, "
            "or SERVICENOW_API_KEY, or SERVICENOW_USERNAME and SERVICENOW_PASSWORD"
        )
    return settings


def _telemetry(reader: _Reader) -> TelemetrySettings:
    if reader.text("OTEL_SDK_DISABLED").lower() == "true":
        return TelemetrySettings()
    ways = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
    both, traces, metrics = (bool(reader.text(name)) for name in ways)
    # What is wrong with these is told when telemetry begins, because no alert may be refused over it.
    return TelemetrySettings(
        sends_traces=both or traces,
        sends_metrics=both or metrics,
        protocol=reader.text("OTEL_EXPORTER_OTLP_PROTOCOL"),
        # The connection string is there in every deployment, because the host logs there.
        sends_to_insights=reader.flag("TELEMETRY_TO_APPLICATION_INSIGHTS", default=False),
        connection_string=reader.text("APPLICATIONINSIGHTS_CONNECTION_STRING"),
    )

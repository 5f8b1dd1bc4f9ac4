"""In which unit is a quantity of an alert told, and how do people read it?

`threshold` asks, because Azure Monitor sends thresholds and values as bare numbers; only classic metric alerts name
their unit. The unit is known from the metric and its service, or from a name that can mean nothing else. Otherwise
none is told, because a wrong unit misleads the engineer who is woken more than a missing one.

Source of truth: https://learn.microsoft.com/azure/azure-monitor/reference/supported-metrics/metrics-index, whose pages
list the metrics of each resource type with the names and units of the REST API.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from itsm_bridge.text import number_text


class Unit(StrEnum):
    """What a number counts; the values are Azure's own names, lower-cased."""

    UNKNOWN = ""
    COUNT = "count"
    PERCENT = "percent"
    BYTES = "bytes"
    BYTES_PER_SECOND = "bytespersecond"
    BITS_PER_SECOND = "bitspersecond"
    COUNT_PER_SECOND = "countpersecond"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    CORES = "cores"
    MILLICORES = "millicores"
    NANOCORES = "nanocores"


#: Metrics of any service whose names belong to one unit.
_ANYWHERE: Mapping[Unit, str] = {
    Unit.PERCENT: "Percentage CPU",
    Unit.BYTES: "Network In Total, Network Out Total",
    Unit.MILLISECONDS: "DurationMs",
}

#: Metrics by the resource types that have them.
_BY_TYPE: tuple[tuple[str, Mapping[Unit, str]], ...] = (
    (
        "Microsoft.Compute/virtualMachines, Microsoft.Compute/virtualMachineScaleSets",
        {
            Unit.BYTES: "Network In, Network Out",
            Unit.MILLISECONDS: "Data Disk Latency, OS Disk Latency, Temp Disk Latency",
            Unit.PERCENT: (
                "Premium Data Disk Cache Read Hit, Premium Data Disk Cache Read Miss, "
                "Premium OS Disk Cache Read Hit, Premium OS Disk Cache Read Miss"
            ),
        },
    ),
    (
        "Microsoft.Storage/storageAccounts, Microsoft.ClassicStorage/storageAccounts",
        {
            Unit.BYTES: (
                "UsedCapacity, BlobCapacity, BlobProvisionedSize, ContainerUsedSize, IndexCapacity, FileCapacity, "
                "QueueCapacity, TableCapacity, Egress, Ingress"
            ),
            Unit.MILLISECONDS: "SuccessE2ELatency, SuccessServerLatency",
            Unit.PERCENT: "Availability",
            Unit.COUNT: "Transactions, BlobCount, ContainerCount",
        },
    ),
    (
        "Microsoft.ServiceBus/namespaces, Microsoft.EventHub/namespaces",
        {
            Unit.BYTES: "Size",
            Unit.PERCENT: "NamespaceCpuUsage, NamespaceMemoryUsage, CPUXNS, WSXNS",
            Unit.MILLISECONDS: "ServerSendLatency",
            Unit.SECONDS: "ReplicationLagDuration",
            Unit.COUNT: "ActiveMessages, DeadletteredMessages, ScheduledMessages, Messages, IncomingMessages",
        },
    ),
    (
        "Microsoft.Sql/servers, Microsoft.Sql/managedInstances",
        {Unit.BYTES: "storage, allocated_data_storage, storage_used, storage_limit", Unit.PERCENT: "availability"},
    ),
    (
        (
            "Microsoft.DBforPostgreSQL/flexibleServers, Microsoft.DBforPostgreSQL/servers, "
            "Microsoft.DBforMySQL/flexibleServers, Microsoft.DBforMySQL/servers, Microsoft.DBforMariaDB/servers"
        ),
        {
            Unit.BYTES: (
                "storage_used, storage_limit, backup_storage_used, serverlog_storage_usage, network_bytes_egress, "
                "network_bytes_ingress"
            )
        },
    ),
    (
        "Microsoft.Cache/redis",
        {
            Unit.BYTES: "usedmemory, usedmemoryRss, allusedmemory, allusedmemoryRss",
            Unit.BYTES_PER_SECOND: "cacheRead, cacheWrite, allcacheRead, allcacheWrite",
            Unit.PERCENT: "serverLoad, percentProcessorTime, cachemissrate, allserverLoad, allpercentprocessortime",
            Unit.COUNT: "connectedclients, evictedkeys, allconnectedclients",
        },
    ),
    (
        "Microsoft.DocumentDB/databaseAccounts",
        {
            Unit.PERCENT: "NormalizedRUConsumption",
            Unit.MILLISECONDS: "ServerSideLatency, ServerSideLatencyDirect, ReplicationLatency",
        },
    ),
    (
        "Microsoft.Web/sites",
        {
            Unit.BYTES: "AverageMemoryWorkingSet, MemoryWorkingSet, BytesReceived, BytesSent, FileSystemUsage",
            Unit.SECONDS: (
                "HttpResponseTime, AverageResponseTime, CpuTime, WorkflowJobExecutionDelay, "
                "WorkflowJobExecutionDuration"
            ),
            Unit.PERCENT: "WorkflowActionsFailureRate, WorkflowRunsFailureRate, WorkflowTriggersFailureRate",
            Unit.COUNT: "Requests, Http4xx, Http5xx, HealthCheckStatus",
        },
    ),
    (
        "Microsoft.Insights/components",
        {
            Unit.MILLISECONDS: (
                "requests/duration, dependencies/duration, pageViews/duration, availabilityResults/duration, "
                "browserTimings/networkDuration, browserTimings/processingDuration, browserTimings/receiveDuration, "
                "browserTimings/sendDuration, browserTimings/totalDuration, performanceCounters/requestExecutionTime"
            ),
            Unit.COUNT_PER_SECOND: (
                "requests/rate, performanceCounters/requestsPerSecond, performanceCounters/exceptionsPerSecond"
            ),
        },
    ),
    (
        "Microsoft.KeyVault/vaults",
        {Unit.PERCENT: "Availability, SaturationShoebox", Unit.MILLISECONDS: "ServiceApiLatency"},
    ),
    ("Microsoft.ContainerService/managedClusters", {Unit.MILLICORES: "node_cpu_usage_millicores"}),
    ("Microsoft.App/containerApps", {Unit.NANOCORES: "UsageNanoCores"}),
    (
        "Microsoft.ApiManagement/service",
        {Unit.MILLISECONDS: "BackendDuration, Duration", Unit.PERCENT: "Capacity"},
    ),
    (
        "Microsoft.Network/applicationGateways",
        {
            Unit.MILLISECONDS: (
                "ApplicationGatewayTotalTime, BackendConnectTime, BackendFirstByteResponseTime, "
                "BackendLastByteResponseTime, ClientRtt"
            ),
            Unit.BYTES: "BytesReceived, BytesSent",
            Unit.BYTES_PER_SECOND: "Throughput",
            Unit.PERCENT: "CpuUtilization",
            Unit.COUNT_PER_SECOND: "NewConnectionsPerSecond",
        },
    ),
    (
        "Microsoft.Network/azureFirewalls",
        {
            Unit.PERCENT: "FirewallHealth, SNATPortUtilization",
            Unit.BITS_PER_SECOND: "Throughput",
            Unit.BYTES: "DataProcessed",
            Unit.MILLISECONDS: "FirewallLatencyPng",
        },
    ),
)

#: The unit by the lower-cased resource type and name; the type is "" where the name is enough.
_UNITS: Mapping[tuple[str, str], Unit] = {
    (kind.lower(), name.lower()): unit
    for kinds, metrics in (("", _ANYWHERE), *_BY_TYPE)
    for kind in kinds.split(", ")
    for unit, names in metrics.items()
    for name in names.split(", ")
}

#: A resource type has two parts at least; the types of its children begin with it.
_TYPE = re.compile(r"[^/]+/[^/]+")

#: How many characters of a name are looked at.
_NAME_LENGTH = 300
#: Between the words of "availableBytes", "available_bytes", "Available Bytes".
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9%]+")
#: What before "bytes" makes something else of them: "MBytes", "Mega Bytes".
_MULTIPLES = frozenset(
    (
        "k",
        "m",
        "g",
        "t",
        "p",
        "ki",
        "mi",
        "gi",
        "ti",
        "pi",
        "kilo",
        "mega",
        "giga",
        "tera",
        "kibi",
        "mebi",
        "gibi",
        "tebi",
    )
)

#: What before "seconds" makes something else of them: "Milli Seconds".
_FRACTIONS = frozenset(("m", "u", "n", "milli", "micro", "nano"))

_BY_LAST_WORD: Mapping[str, Unit] = {
    "bytes": Unit.BYTES,
    "percent": Unit.PERCENT,
    "percentage": Unit.PERCENT,
    "milliseconds": Unit.MILLISECONDS,
    "seconds": Unit.SECONDS,
}
_BY_END: tuple[tuple[str, Unit], ...] = (
    ("(%)", Unit.PERCENT),
    ("(ms)", Unit.MILLISECONDS),
    ("operations/sec", Unit.COUNT_PER_SECOND),
)
_RATES = ("/sec", "/s", "persecond", "per second", "_per_second")
#: How performance counters of Windows say percent, alone or after their path.
_COUNTER = re.compile(r"(?:^|\\)% \w")

#: How a quantity ends, one and many.
_ENDINGS: Mapping[Unit, tuple[str, str]] = {
    Unit.UNKNOWN: ("", ""),
    Unit.COUNT: ("", ""),
    Unit.PERCENT: (" %", " %"),
    Unit.BYTES: (" byte", " bytes"),
    Unit.BYTES_PER_SECOND: (" byte per second", " bytes per second"),
    Unit.BITS_PER_SECOND: (" bit per second", " bits per second"),
    Unit.COUNT_PER_SECOND: (" per second", " per second"),
    Unit.SECONDS: (" second", " seconds"),
    Unit.MILLISECONDS: (" ms", " ms"),
    Unit.CORES: (" core", " cores"),
    Unit.MILLICORES: (" millicore", " millicores"),
    Unit.NANOCORES: (" nanocore", " nanocores"),
}

#: Units whose numbers are too long to be read: the step from one multiple to the next, and the multiples' names.
_ROUNDED: Mapping[Unit, tuple[int, tuple[str, ...]]] = {
    Unit.BYTES: (1024, ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")),
    Unit.BYTES_PER_SECOND: (1024, ("KiB/s", "MiB/s", "GiB/s", "TiB/s", "PiB/s", "EiB/s")),
    Unit.BITS_PER_SECOND: (1000, ("kbit/s", "Mbit/s", "Gbit/s", "Tbit/s", "Pbit/s", "Ebit/s")),
}
#: Numbers longer or larger than these are no quantities of anything.
_NUMBER_LENGTH = 40
_LARGEST = 1e21


def unit_of(measure: str, *, namespace: str = "", sent: str = "", aggregation: str = "") -> Unit:
    """Return the unit of a metric or of a column of a query.

    `namespace` is the resource type that has the metric, `sent` the unit that the alert names, and `aggregation` how
    the samples became one number: "count" counts them.
    """
    if aggregation == "count":
        return Unit.COUNT
    if (unit := _sent_unit(sent)) is not Unit.UNKNOWN:
        return unit
    name = measure[:_NAME_LENGTH].lower()
    kind = match[0].lower() if (match := _TYPE.match(namespace)) else ""
    return _UNITS.get((kind, name)) or _UNITS.get(("", name)) or _unit_in(measure[:_NAME_LENGTH])


def quantity_text(number: str, unit: Unit) -> str:
    """Return a number with its unit: "90 %", "1 GiB (1,073,741,824 bytes)". What is no number stays as it is."""
    shown = number_text(number)
    value = _number(number)
    if not value.is_finite():
        return shown
    one, many = _ENDINGS[unit]
    if unit not in _ROUNDED or not _ROUNDED[unit][0] <= abs(value) < _LARGEST:
        return f"{shown}{one if shown == '1' else many}"
    exact = f"{int(value):,}" if value == int(value) else shown
    return f"{_rounded(float(value), *_ROUNDED[unit])} ({exact}{many})"


def _sent_unit(sent: str) -> Unit:
    name = sent.replace(" ", "").lower()
    return next((unit for unit in Unit if unit.value == name), Unit.UNKNOWN)


def _unit_in(name: str) -> Unit:
    """Return the unit that a name ends with, unless the name can mean anything else."""
    lower = name.lower()
    if unit := next((unit for end, unit in _BY_END if lower.endswith(end)), None):
        return unit
    if _COUNTER.search(lower):
        return Unit.PERCENT
    rate = next((rate for rate in _RATES if lower.endswith(rate)), "")
    unit = _last_unit([word.lower() for word in _WORDS.split(name[: len(name) - len(rate)]) if word])
    if rate:
        return Unit.BYTES_PER_SECOND if unit is Unit.BYTES else Unit.UNKNOWN
    return unit


def _last_unit(words: list[str]) -> Unit:
    """Return the unit that the last word is, unless the word before makes something else of it: "In 5 Seconds"."""
    if not words:
        return Unit.UNKNOWN
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    unit = Unit.PERCENT if last.endswith("%") and last + before != "%" else _BY_LAST_WORD.get(last, Unit.UNKNOWN)
    if (unit, before) == (Unit.SECONDS, "milli"):
        return Unit.MILLISECONDS
    is_other = {Unit.BYTES: before in _MULTIPLES, Unit.SECONDS: before in _FRACTIONS}.get(unit, False)
    return Unit.UNKNOWN if is_other or before == "per" or before[-1:].isdecimal() else unit


def _number(text: str) -> Decimal:
    try:
        return Decimal(text) if len(text) <= _NUMBER_LENGTH else Decimal("NaN")
    except InvalidOperation:
        return Decimal("NaN")


def _rounded(value: float, step: int, multiples: tuple[str, ...]) -> str:
    """Return a number of at least `step` in three digits, or four below the next multiple."""
    power = 1
    while abs(value) / step**power >= step - 0.5 and power < len(multiples):
        power += 1
    part = value / step**power
    digits = 2 if abs(part) < 10 else 1 if abs(part) < 100 else 0  # noqa: PLR2004 - three digits
    return f"{round(part, digits):g} {multiples[power - 1]}"

import pytest

from itsm_bridge.azure_monitor.wording.units import Unit, quantity_text, unit_of


@pytest.mark.parametrize(
    ("measure", "namespace", "unit"),
    [
        ("Percentage CPU", "Microsoft.Compute/virtualMachines", Unit.PERCENT),
        ("percentage cpu", "", Unit.PERCENT),
        ("Network In Total", "Microsoft.Compute/virtualMachineScaleSets", Unit.BYTES),
        ("Data Disk Latency", "microsoft.compute/virtualmachines", Unit.MILLISECONDS),
        ("Size", "Microsoft.ServiceBus/Namespaces", Unit.BYTES),
        ("UsedCapacity", "Microsoft.Storage/storageAccounts", Unit.BYTES),
        ("SuccessE2ELatency", "Microsoft.Storage/storageAccounts/blobServices", Unit.MILLISECONDS),
        ("Availability", "Microsoft.Storage/storageAccounts/fileServices", Unit.PERCENT),
        ("Availability", "Microsoft.KeyVault/vaults", Unit.PERCENT),
        ("storage", "Microsoft.Sql/servers/databases", Unit.BYTES),
        ("replication_lag_seconds", "Microsoft.Sql/servers/databases", Unit.SECONDS),
        ("HttpResponseTime", "Microsoft.Web/sites", Unit.SECONDS),
        ("requests/duration", "microsoft.insights/components", Unit.MILLISECONDS),
        ("node_cpu_usage_millicores", "Microsoft.ContainerService/managedClusters", Unit.MILLICORES),
        ("Throughput", "Microsoft.Network/applicationGateways", Unit.BYTES_PER_SECOND),
        ("Throughput", "Microsoft.Network/azureFirewalls", Unit.BITS_PER_SECOND),
    ],
)
def test_a_well_known_metric_has_the_unit_of_its_service(measure: str, namespace: str, unit: Unit) -> None:
    assert unit_of(measure, namespace=namespace) is unit


@pytest.mark.parametrize(
    ("measure", "unit"),
    [
        ("FreePercent", Unit.PERCENT),
        ("cpu_percent", Unit.PERCENT),
        ("Free Space Percentage", Unit.PERCENT),
        ("DTU percentage", Unit.PERCENT),
        ("% Processor Time", Unit.PERCENT),
        ("\\Processor Information(_Total)\\% Processor Time", Unit.PERCENT),
        ("CPU (%)", Unit.PERCENT),
        ("CPU %", Unit.PERCENT),
        ("CPU%", Unit.PERCENT),
        ("Available Memory Bytes", Unit.BYTES),
        ("node_memory_rss_bytes", Unit.BYTES),
        ("TotalBytes", Unit.BYTES),
        ("\\Memory\\Available Bytes", Unit.BYTES),
        ("OS Disk Read Bytes/sec", Unit.BYTES_PER_SECOND),
        ("IoReadBytesPerSecond", Unit.BYTES_PER_SECOND),
        ("Operations/Sec", Unit.COUNT_PER_SECOND),
        ("network_bytes_per_second", Unit.BYTES_PER_SECOND),
        ("LatencyMilliSeconds", Unit.MILLISECONDS),
        ("physical_replication_delay_in_seconds", Unit.SECONDS),
        ("LatencyMilliseconds", Unit.MILLISECONDS),
        ("Latency (ms)", Unit.MILLISECONDS),
        ("DurationMs", Unit.MILLISECONDS),
    ],
)
def test_an_unmistakable_name_tells_its_unit(measure: str, unit: Unit) -> None:
    assert unit_of(measure) is unit


@pytest.mark.parametrize(
    "measure",
    [
        *(
            "",
            "%",
            "Size",
            "Rate",
            "Throughput",
            "Availability",
            "Percentile",
            "Percentages",
            "percentile_DurationMs_95",
        ),
        *("PercentileBytes95", "bytesperitem", "Available MBytes", "DiskGBytes", "Mega Bytes", "free_k_bytes"),
        *("TotalMegabytes", "Kilobytes", "RunningVMs", "Seconds since Bytes were sent", "LatencyMicroSeconds"),
        *("IoReadOperationsPerSecond", "ErrorsIn60Seconds", "ErrorsPer1000Bytes", "Errors per Seconds"),
    ],
)
def test_a_name_that_only_sounds_like_a_unit_tells_none(measure: str) -> None:
    assert unit_of(measure) is Unit.UNKNOWN


def test_a_metric_of_another_service_has_no_unit_from_the_table() -> None:
    assert unit_of("Size", namespace="Contoso.Queues/namespaces") is Unit.UNKNOWN
    assert unit_of("usedmemory", namespace="Contoso/Custom") is Unit.UNKNOWN


@pytest.mark.parametrize(
    ("sent", "unit"),
    [
        ("Seconds", Unit.SECONDS),
        ("MilliSeconds", Unit.MILLISECONDS),
        ("BytesPerSecond", Unit.BYTES_PER_SECOND),
        ("Bytes", Unit.BYTES),
        ("Percent", Unit.PERCENT),
        ("Count", Unit.COUNT),
        ("Parsecs", Unit.UNKNOWN),
        ("", Unit.UNKNOWN),
    ],
)
def test_the_unit_that_was_sent_counts_if_it_is_one(sent: str, unit: Unit) -> None:
    assert unit_of("Odd", sent=sent) is unit


def test_the_unit_that_was_sent_counts_more_than_the_name() -> None:
    assert unit_of("OddPercent", sent="Count") is Unit.COUNT


def test_a_number_of_samples_has_not_the_unit_of_the_samples() -> None:
    assert unit_of("Percentage CPU", aggregation="count") is Unit.COUNT
    assert unit_of("TotalBytes", aggregation="count") is Unit.COUNT


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        ("1073741824", Unit.BYTES, "1 GiB (1,073,741,824 bytes)"),
        ("367001600.0", Unit.BYTES, "350 MiB (367,001,600 bytes)"),
        ("1020054733", Unit.BYTES, "973 MiB (1,020,054,733 bytes)"),
        ("1073741823", Unit.BYTES, "1 GiB (1,073,741,823 bytes)"),
        ("1072693248", Unit.BYTES, "1023 MiB (1,072,693,248 bytes)"),
        ("1342177280.5", Unit.BYTES, "1.25 GiB (1,342,177,280.5 bytes)"),
        ("-2048", Unit.BYTES, "-2 KiB (-2,048 bytes)"),
        ("1023", Unit.BYTES, "1,023 bytes"),
        ("1", Unit.BYTES, "1 byte"),
        ("0", Unit.BYTES, "0 bytes"),
        ("1.125899906842624E15", Unit.BYTES, "1 PiB (1,125,899,906,842,624 bytes)"),
        ("1125899906842625", Unit.BYTES, "1 PiB (1,125,899,906,842,625 bytes)"),
        ("1e30", Unit.BYTES, "1e30 bytes"),
        ("52428800", Unit.BYTES_PER_SECOND, "50 MiB/s (52,428,800 bytes per second)"),
        ("25000000000", Unit.BITS_PER_SECOND, "25 Gbit/s (25,000,000,000 bits per second)"),
        ("90", Unit.PERCENT, "90 %"),
        ("97.41666666666667", Unit.PERCENT, "97.4167 %"),
        ("120000", Unit.MILLISECONDS, "120,000 ms"),
        ("3", Unit.SECONDS, "3 seconds"),
        ("1.0", Unit.SECONDS, "1 second"),
        ("1500", Unit.COUNT_PER_SECOND, "1,500 per second"),
        ("2500", Unit.MILLICORES, "2,500 millicores"),
        ("10000", Unit.COUNT, "10,000"),
        ("10000", Unit.UNKNOWN, "10,000"),
        ("12.7m", Unit.BYTES, "12.7m"),
        ("NaN", Unit.PERCENT, "NaN"),
        ("Infinity", Unit.BYTES, "Infinity"),
        ("9" * 5000, Unit.BYTES, "9" * 5000),
        ("", Unit.BYTES, ""),
    ],
)
def test_a_quantity_is_told_for_people_with_the_exact_value_beside_a_rounded_one(
    number: str, unit: Unit, text: str
) -> None:
    assert quantity_text(number, unit) == text

"""How does what is measured get to a collector?

`app` calls `started` once per process, where telemetry is switched on. Spans and metrics are kept in memory and sent
from threads of the SDK's own, so that no call waits for a collector; what a process had not sent when it was killed is
lost, and nothing else.

Where to is said by the variables that OpenTelemetry defines, which the SDK reads itself
(https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/), and by the connection string of
Application Insights. The providers are not made global: nothing but this program is traced.
"""

import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from itsm_bridge.errors import InvalidSettings
from itsm_bridge.settings import TelemetrySettings
from itsm_bridge.telemetry import UNITS, Instrument, Metric, Role, Telemetry

_NAME: Final = "itsm_bridge"

#: Seconds: an answer to Azure Monitor, a wake-up or a few, an outage or a weekend of one.
_BUCKETS: Final = (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600, 72 * 3600)

_KINDS: Final[Mapping[Role, SpanKind]] = {
    Role.SERVER: SpanKind.SERVER,
    Role.CLIENT: SpanKind.CLIENT,
    Role.PRODUCER: SpanKind.PRODUCER,
    Role.CONSUMER: SpanKind.CONSUMER,
}

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_TRACEPARENT: Final = "traceparent"

#: Unless they are set, the exporter of Application Insights reports to Microsoft about itself and asks there how it is
#: to behave.
_KEPT_QUIET: Final = (
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL",
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED",
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED",
)


class OpenTelemetry(Telemetry):
    """Passes on what it is told to the exporters of an SDK."""

    def __init__(self, tracers: TracerProvider, meters: MeterProvider) -> None:
        self._tracers = tracers
        self._meters = meters
        self._tracer = tracers.get_tracer(_NAME)
        meter = meters.get_meter(_NAME)
        self._taken_by = {metric: _taker(meter, metric) for metric in Metric}

    def tell(self, metric: Metric, value: float = 1, **attributes: str | int) -> None:
        """Take in a value of `metric`."""
        self._taken_by[metric](value, attributes)

    def span(self, name: str, role: Role, *, parent: str = "", **attributes: str | int) -> AbstractContextManager[None]:
        """Have the block be a step of a trace."""
        return self._in_span(name, role, parent, attributes)

    @contextmanager
    def _in_span(self, name: str, role: Role, parent: str, attributes: Mapping[str, str | int]) -> Iterator[None]:
        context = _PROPAGATOR.extract({_TRACEPARENT: parent}) if parent else None
        # An exception's message may quote an alert or an answer of ServiceNow, so that its class alone is told.
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=_KINDS[role],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            is_done = False
            try:
                yield
                is_done = True
            finally:
                if not is_done:
                    span.set_attribute("error.type", type(sys.exception()).__name__)
                    span.set_status(Status(StatusCode.ERROR))

    def describe(self, **attributes: str | int) -> None:
        """Say more about the step that this thread is in."""
        trace.get_current_span().set_attributes(attributes)

    def traceparent(self) -> str:
        """Return the step that this thread is in, as W3C trace context writes it; "" if there is none."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return carrier.get(_TRACEPARENT, "")

    def shut_down(self) -> None:
        """Send what is left, and nothing more from now on."""
        self._tracers.shutdown()
        self._meters.shutdown()


def started(settings: TelemetrySettings, *, version: str) -> OpenTelemetry:
    """Return a telemetry that sends from now on to where the settings say.

    Raises:
        InvalidSettings: the collector or Application Insights cannot be reached the way that is set.
    """
    if settings.protocol not in ("", "http/protobuf"):
        raise InvalidSettings("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf")
    spans: list[SpanExporter] = [OTLPSpanExporter()] if settings.sends_traces else []
    metrics: list[MetricExporter] = [OTLPMetricExporter()] if settings.sends_metrics else []
    if settings.sends_to_insights:
        if not settings.connection_string:
            raise InvalidSettings("APPLICATIONINSIGHTS_CONNECTION_STRING is missing")
        to_insights = _to_application_insights(settings.connection_string)
        spans.append(to_insights[0])
        metrics.append(to_insights[1])
    resource = Resource.create(_resource(version))
    # The host says of most calls that they are not sampled, because it samples for itself, later.
    sampler = None if "OTEL_TRACES_SAMPLER" in os.environ else ALWAYS_ON
    tracers = TracerProvider(resource=resource, sampler=sampler)
    for exporter in spans:
        tracers.add_span_processor(BatchSpanProcessor(exporter))
    readers = [PeriodicExportingMetricReader(exporter) for exporter in metrics]
    return OpenTelemetry(tracers, MeterProvider(metric_readers=readers, resource=resource))


def _to_application_insights(connection_string: str) -> tuple[SpanExporter, MetricExporter]:
    """Return the exporters of Application Insights, which sign in as the setting of the Functions host says.

    They read APPLICATIONINSIGHTS_AUTHENTICATION_STRING themselves
    (https://learn.microsoft.com/azure/azure-functions/functions-app-settings#applicationinsights_authentication_string).

    Raises:
        ValueError: it is no connection string.
    """
    for name in _KEPT_QUIET:
        os.environ.setdefault(name, "true")
    from azure.monitor.opentelemetry.exporter import (  # noqa: PLC0415 - it takes long, and few need both ways
        AzureMonitorMetricExporter,
        AzureMonitorTraceExporter,
    )

    return (
        AzureMonitorTraceExporter(connection_string=connection_string, disable_offline_storage=True),
        AzureMonitorMetricExporter(connection_string=connection_string, disable_offline_storage=True),
    )


def _resource(version: str) -> dict[str, str]:
    """Return who sends; the name is that of the function app, as the host's own telemetry has it."""
    named = {
        SERVICE_VERSION: version,
        SERVICE_INSTANCE_ID: f"{os.environ.get('WEBSITE_INSTANCE_ID', '')}{uuid.uuid4()}",
    }
    if "OTEL_SERVICE_NAME" in os.environ:
        return named
    return {SERVICE_NAME: os.environ.get("WEBSITE_SITE_NAME", "itsm-bridge"), **named}


def _taker(meter: Meter, metric: Metric) -> Callable[[float, Mapping[str, str | int]], None]:
    """Return what takes in the values of a metric."""
    instrument, unit = UNITS[metric]
    if instrument is Instrument.COUNTER:
        return meter.create_counter(metric, unit).add
    if instrument is Instrument.UP_DOWN_COUNTER:
        return meter.create_up_down_counter(metric, unit).add
    if instrument is Instrument.GAUGE:
        return meter.create_gauge(metric, unit).set
    return meter.create_histogram(metric, unit, explicit_bucket_boundaries_advisory=_BUCKETS).record

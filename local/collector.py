"""Who takes in what the program measures? A stand-in for a collector that speaks OTLP over HTTP.

Tests make one; the program sends to it as to any collector. It keeps everything in memory.
Source of truth: https://opentelemetry.io/docs/specs/otlp/#otlphttp
"""

import gzip
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from local.http_server import Answer, HttpServer, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One step of a trace; ids are hexadecimal."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: Mapping[str, Any]
    #: Which process sent it.
    instance: str


class Collector:
    """Takes in traces and metrics; a context manager that starts and stops it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._metrics: dict[str, list[tuple[Mapping[str, Any], Any]]] = {}
        self._server = HttpServer(0, self._answer)

    @property
    def settings(self) -> dict[str, str]:
        """The app settings that have the app send here, soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self._server.url,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "OTEL_METRIC_EXPORT_INTERVAL": "500",
        }

    @property
    def spans(self) -> list[Span]:
        """All steps that came so far."""
        with self._lock:
            return list(self._spans)

    def values(self, metric: str) -> dict[tuple[tuple[str, Any], ...], Any]:
        """Return the last point of a metric, by its attributes: a number, or the number and sum of a histogram."""
        with self._lock:
            return {tuple(sorted(named.items())): value for named, value in self._metrics.get(metric, ())}

    @property
    def metrics(self) -> set[str]:
        """The names of the metrics that came so far."""
        with self._lock:
            return set(self._metrics)

    def __enter__(self) -> Self:
        """Start it."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: Request) -> Answer:
        body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        with self._lock:
            if request.target == "/v1/traces":
                self._take_traces(ExportTraceServiceRequest.FromString(body))
            elif request.target == "/v1/metrics":
                self._take_metrics(ExportMetricsServiceRequest.FromString(body))
            else:
                return Answer(status=404)
        return Answer(status=200, headers={"Content-Type": "application/x-protobuf"})

    def _take_traces(self, told: ExportTraceServiceRequest) -> None:
        for resource in told.resource_spans:
            instance = str(_named(resource.resource.attributes)["service.instance.id"])
            for scope in resource.scope_spans:
                self._spans += [
                    Span(
                        name=span.name,
                        kind=span.kind,
                        trace_id=span.trace_id.hex(),
                        span_id=span.span_id.hex(),
                        parent_id=span.parent_span_id.hex(),
                        attributes=_named(span.attributes),
                        instance=instance,
                    )
                    for span in scope.spans
                ]

    def _take_metrics(self, told: ExportMetricsServiceRequest) -> None:
        for resource in told.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    points = self._metrics.setdefault(metric.name, [])
                    data = getattr(metric, str(metric.WhichOneof("data")))
                    points += [(_named(point.attributes), _value(point)) for point in data.data_points]


def _named(attributes: Iterable[Any]) -> dict[str, Any]:
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in attributes}


def _value(point: Any) -> Any:  # noqa: ANN401 - points of different metrics have no common type
    if hasattr(point, "bucket_counts"):
        return point.count, point.sum
    return point.as_int or point.as_double

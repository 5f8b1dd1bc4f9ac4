"""What the program measures reaches a collector, as one trace per alert; off, nothing of it is even imported."""

import gzip
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from itsm_bridge.collector.open_telemetry import OpenTelemetry, started
from itsm_bridge.errors import InvalidSettings
from itsm_bridge.settings import TelemetrySettings
from itsm_bridge.telemetry import NOTHING, Metric, Role
from local.alerts import MetricAlert
from local.breakages import Breaker
from local.collector import Collector, Span
from local.http_server import Answer, HttpServer, Request
from local.world import World

ROOT = Path(__file__).parents[2]
SOON = timedelta(seconds=30)
SECRET_TEXT = "the lamp in the cellar is broken"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def world(collector: Collector) -> Iterator[World]:
    with World(settings=collector.settings) as running:
        yield running


def spans_of(collector: Collector, trace_id: str) -> dict[str, Span]:
    return {span.name: span for span in collector.spans if span.trace_id == trace_id}


def test_a_trace_leads_from_the_call_over_row_and_queue_to_servicenow_in_another_process(
    world: World, collector: Collector
) -> None:
    breaker = Breaker(world)
    breaker.break_one("servicenow-down")
    answer = world.send(MetricAlert(rule="traced").fired())
    assert answer.status == 202
    key = answer.body["alert_key"]
    is_there = lambda: any(s.name == "receive_alert" and s.attributes.get("alert_key") == key for s in collector.spans)  # noqa: E731
    assert world.wait_until(is_there, within=SOON)
    world.host.stop()
    breaker.mend()
    world.host.start()

    def is_over() -> bool:
        return any(s.attributes.get("outcome") == "created" and s.name == "reconcile" for s in collector.spans)

    assert world.wait_until(is_over, within=timedelta(seconds=90))
    first = next(s for s in collector.spans if s.attributes.get("alert_key") == key and s.name == "receive_alert")
    trace = spans_of(collector, first.trace_id)
    assert {"receive_alert", "remember", "send wake-up", "reconcile", "POST incident"} <= trace.keys()
    assert trace["reconcile"].parent_id == trace["remember"].span_id
    assert trace["remember"].parent_id == trace["receive_alert"].span_id
    assert trace["reconcile"].instance != trace["receive_alert"].instance
    created = [s for s in collector.spans if s.trace_id == first.trace_id and s.attributes.get("status") == 201]
    assert [s.name for s in created] == ["POST incident"]


def test_the_trace_of_the_caller_goes_on(world: World, collector: Collector) -> None:
    trace_id, span_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {"Authorization": f"Bearer {world.entra.mint()}", "traceparent": f"00-{trace_id}-{span_id}-00"}

    answer = world.call("POST", world.webhook, json=MetricAlert(rule="follows").fired(), headers=headers)

    assert answer.status == 200
    assert world.wait_until(lambda: "receive_alert" in spans_of(collector, trace_id), within=SOON)
    assert spans_of(collector, trace_id)["receive_alert"].parent_id == span_id


def test_what_servicenow_allows_in_an_hour_is_told_where_it_says_so(world: World, collector: Collector) -> None:
    world.servicenow.switches.requests_per_hour = 5000

    assert world.send(MetricAlert(rule="limited").fired()).status == 200

    assert world.wait_until(lambda: Metric.SERVICENOW_LIMIT in collector.metrics, within=SOON)
    assert collector.values(Metric.SERVICENOW_LIMIT)[()] == 5000


def test_each_metric_arrives_under_its_name(world: World, collector: Collector) -> None:
    assert world.send(MetricAlert(rule="measured").fired()).status == 200
    assert world.send(MetricAlert(rule="refused").fired(), token="").status == 401
    world.invoke("resync")

    wanted = {str(metric) for metric in Metric}
    # Told in the tests before: an hourly limit where one is set, a repetition where an attempt failed.
    wanted -= {Metric.SERVICENOW_LIMIT, Metric.RETRIES}
    # This world does not follow Azure's own list.
    wanted -= {Metric.RESOURCE_MANAGER_CALLS}
    assert world.wait_until(lambda: wanted <= collector.metrics, within=SOON), wanted - collector.metrics

    def is_counted() -> bool:
        received = collector.values(Metric.RECEIVED)
        return (("outcome", "none"), ("status", 401)) in received and (
            ("outcome", "created"),
            ("status", 200),
        ) in received

    assert world.wait_until(is_counted, within=SOON)
    assert collector.values(Metric.REFUSED)[(("reason", "refused-no-token"),)] == 1
    count, seconds = collector.values(Metric.TIME_TO_INCIDENT)[(("outcome", "created"),)]
    assert count >= 1
    assert seconds > 0
    assert collector.values(Metric.SERVICENOW_CALLS)[(("method", "POST"), ("status", 201), ("table", "incident"))] >= 1
    assert collector.values(Metric.PARKED)[()] == 0


def test_nothing_that_an_alert_says_and_no_secret_is_told(world: World, collector: Collector) -> None:
    before = len(collector.spans)
    alert = MetricAlert(rule=SECRET_TEXT).fired()

    assert world.send(alert).status == 200

    assert world.wait_until(lambda: len(collector.spans) > before, within=SOON)
    told = "\n".join(f"{span.name} {dict(span.attributes)}" for span in collector.spans)
    for secret in (SECRET_TEXT, world.servicenow.credentials.client_secret, world.function_key):
        assert secret not in told
    names = {name for span in collector.spans for name in span.attributes}
    assert names <= {"alert_key", "outcome", "status", "method", "table", "error.type"}


@pytest.mark.parametrize(("settings", "is_imported"), [({}, False), ({"OTEL_SDK_DISABLED": "false"}, False)])
def test_nothing_of_it_is_imported_while_it_is_off(settings: dict[str, str], is_imported: bool) -> None:
    assert imported_with(settings) is is_imported


def test_it_is_imported_where_it_is_on() -> None:
    assert imported_with({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    assert not imported_with({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"})


def imported_with(settings: dict[str, str]) -> bool:
    """Import the app in a new process; return whether anything of OpenTelemetry was imported."""
    code = (
        "import sys, function_app; from itsm_bridge import app; app.measured();"
        "parts = ('opentelemetry', 'itsm_bridge.collector');"
        "print(any(n.startswith(parts) for n in sys.modules)); sys.stdout.flush(); import os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "/usr/bin", **settings},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip() == "True"


def test_a_call_goes_on_with_the_trace_of_the_host() -> None:
    seen = InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(seen))
    telemetry = OpenTelemetry(tracers, MeterProvider())
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    with telemetry.span("receive_alert", Role.SERVER, parent=parent):
        inside = telemetry.traceparent()

    [span] = seen.get_finished_spans()
    assert inside.startswith("00-0af7651916cd43dd8448eb211c80319c-")
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"


def test_an_error_is_told_by_its_class_alone() -> None:
    seen = InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(seen))

    with pytest.raises(ValueError, match="cellar"), OpenTelemetry(tracers, MeterProvider()).span("x", Role.CLIENT):
        raise ValueError(SECRET_TEXT)

    [span] = seen.get_finished_spans()
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert span.status.status_code is StatusCode.ERROR
    assert SECRET_TEXT not in span.to_json()


def test_without_a_collector_nothing_is_traced() -> None:
    with NOTHING.span("x", Role.SERVER, parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"):
        assert NOTHING.traceparent() == ""


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (TelemetrySettings(sends_traces=True, protocol="grpc"), "http/protobuf"),
        (TelemetrySettings(sends_to_insights=True), "APPLICATIONINSIGHTS_CONNECTION_STRING is missing"),
    ],
)
def test_what_cannot_be_sent_to_is_told(settings: TelemetrySettings, problem: str) -> None:
    with pytest.raises(InvalidSettings, match=problem):
        started(settings, version="0")


def test_telemetry_that_cannot_begin_keeps_no_alert_from_its_incident() -> None:
    with World(settings={"TELEMETRY_TO_APPLICATION_INSIGHTS": "true"}) as world:
        assert world.send(MetricAlert(rule="told anyway").fired()).status in (200, 202)

        assert "nothing is measured: APPLICATIONINSIGHTS_CONNECTION_STRING is missing" in (world.host.output())


def test_application_insights_is_told_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def take(request: Request) -> Answer:
        body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        told.append(body.decode())
        items = body.count(b"\n") + 1
        answer = {"itemsReceived": items, "itemsAccepted": items, "errors": []}
        return Answer(status=200, headers={"Content-Type": "application/json"}, body=json.dumps(answer).encode())

    server = HttpServer(0, take)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", raising=False)
    key = "00000000-0000-0000-0000-000000000001"
    settings = TelemetrySettings(
        sends_to_insights=True, connection_string=f"InstrumentationKey={key};IngestionEndpoint={server.url}/"
    )

    telemetry = started(settings, version="0")
    with telemetry.span("receive_alert", Role.SERVER):
        telemetry.tell(Metric.OUTCOMES, outcome="created")
    telemetry.shut_down()
    server.shutdown()
    server.server_close()

    everything = "\n".join(told)
    assert "receive_alert" in everything
    assert str(Metric.OUTCOMES) in everything

"""What is measured of the work?

The webhook, the loop and the client of ServiceNow tell a `Telemetry` what they do. The one here forgets it at once, and
is what a process has as long as nobody asks for more; `collector` has the one that passes it on. `app` decides which.
Nothing of OpenTelemetry is imported here. Names of metrics and spans are part of what operators build upon: the
workbook and docs/operations.md use them.

Attributes are statuses, reasons, outcomes and names of tables; never the text of an alert, never a secret.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from typing import Final, NamedTuple


class Metric(StrEnum):
    """The metrics; `UNITS` says what each counts."""

    #: Notifications that were answered, by `status` and `outcome`.
    RECEIVED = "itsm_bridge.received"
    #: Notifications that were refused for good, by `reason`: a `Trouble`.
    REFUSED = "itsm_bridge.refused"
    #: Times that an incident was brought up to date, by `outcome`.
    OUTCOMES = "itsm_bridge.outcomes"
    #: From the notification, or from the end of its hold, until the incident says what it said; by `outcome`.
    TIME_TO_INCIDENT = "itsm_bridge.time_to_incident"
    #: Attempts that failed and are repeated.
    RETRIES = "itsm_bridge.retries"
    #: Attempts that are going on in this process.
    IN_FLIGHT = "itsm_bridge.in_flight"
    #: Alerts that wait for their incident, as `resync` last counted them.
    WAITING = "itsm_bridge.waiting"
    #: Alerts on which somebody has to act, as `resync` last counted them.
    PARKED = "itsm_bridge.parked"
    #: How late the wake-up is that is next in the queue, as `resync` last saw it.
    QUEUE_AGE = "itsm_bridge.queue_age"
    #: Requests to ServiceNow, by `method`, `table` and `status`; 0 is no answer.
    SERVICENOW_CALLS = "itsm_bridge.servicenow.calls"
    #: The requests an hour that ServiceNow says it allows our account; it does not say how many are left.
    SERVICENOW_LIMIT = "itsm_bridge.servicenow.hourly_limit"
    #: Requests to Azure Resource Manager, by `method` and `status`; 0 is no answer.
    RESOURCE_MANAGER_CALLS = "itsm_bridge.resource_manager.calls"


class Instrument(StrEnum):
    """How the values of a metric belong together."""

    #: They are added up and never fall.
    COUNTER = "counter"
    #: They are added up and may fall.
    UP_DOWN_COUNTER = "up-down counter"
    #: Each counts for itself.
    HISTOGRAM = "histogram"
    #: The last one counts.
    GAUGE = "gauge"


class Unit(NamedTuple):
    """What a metric measures, in the notation of UCUM, and how."""

    instrument: Instrument
    unit: str


UNITS: Final[Mapping[Metric, Unit]] = {
    Metric.RECEIVED: Unit(Instrument.COUNTER, "{notification}"),
    Metric.REFUSED: Unit(Instrument.COUNTER, "{notification}"),
    Metric.OUTCOMES: Unit(Instrument.COUNTER, "{incident}"),
    Metric.TIME_TO_INCIDENT: Unit(Instrument.HISTOGRAM, "s"),
    Metric.RETRIES: Unit(Instrument.COUNTER, "{attempt}"),
    Metric.IN_FLIGHT: Unit(Instrument.UP_DOWN_COUNTER, "{attempt}"),
    Metric.WAITING: Unit(Instrument.GAUGE, "{alert}"),
    Metric.PARKED: Unit(Instrument.GAUGE, "{alert}"),
    Metric.QUEUE_AGE: Unit(Instrument.GAUGE, "s"),
    Metric.SERVICENOW_CALLS: Unit(Instrument.COUNTER, "{request}"),
    Metric.SERVICENOW_LIMIT: Unit(Instrument.GAUGE, "{request}"),
    Metric.RESOURCE_MANAGER_CALLS: Unit(Instrument.COUNTER, "{request}"),
}


class Role(StrEnum):
    """The side of a call that a span is on (OpenTelemetry: span kind)."""

    #: It answers a call.
    SERVER = "server"
    #: It calls.
    CLIENT = "client"
    #: It puts a message into a queue.
    PRODUCER = "producer"
    #: It works on a message of a queue.
    CONSUMER = "consumer"


_NO_SPAN: Final = nullcontext()


class Telemetry:
    """Forgets whatever it is told; the base of those that do not. Safe to share between threads; raises nothing."""

    def tell(self, metric: Metric, value: float = 1, **attributes: str | int) -> None:
        """Take in a value of `metric`: one more of what is counted, or what was measured."""

    def span(
        self,
        name: str,  # noqa: ARG002 - for those that do not forget
        role: Role,  # noqa: ARG002
        *,
        parent: str = "",  # noqa: ARG002
        **attributes: str | int,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Have the block be a step of a trace.

        Args:
            name: A few words, of which there are few.
            role: The side of the call that it is on.
            parent: The step that it follows from, as W3C trace context writes it (`traceparent`); "" for the one that
                this thread is in.
            attributes: More about it.
        """
        return _NO_SPAN

    def describe(self, **attributes: str | int) -> None:
        """Say more about the step that this thread is in."""

    def traceparent(self) -> str:
        """Return the step that this thread is in, as W3C trace context writes it; "" if there is none.

        https://www.w3.org/TR/trace-context/#traceparent-header
        """
        return ""


#: What a part has that was given none.
NOTHING: Final = Telemetry()

"""How long is it from the alert to the incident?

Three contestants, in turns: the app through the local host; the bare minimum of I/O (`bare`); an empty function
through the same host. Clients are closed loops: each sends its next alert when the incident of the last one is there.
"""

import statistics
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from bench.bare import Bare, Steps
from bench.figures import Check, Goal, Report, Spread, Table, median_ratio, milliseconds
from bench.instance import Instance
from bench.load import Clients, Sent, alerts
from local.alerts import MetricAlert
from local.host.launcher import FunctionsHost
from local.world import ROOT, World
from proof.apart import Apart

DELAYS = (0.0, 0.05, 0.15)
#: Alerts of one repeat, by the number of clients.
ALERTS = {1: 24, 8: 40, 32: 64}
REPEATS = 3
UNSEEN = 8
#: Alerts that make the connections, unmeasured.
WARMING = 8
#: The default of `SERVICENOW_MAX_CONCURRENCY`.
CAP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Everything that is measured, running."""

    world: World
    instance: Instance
    clients: Clients
    bare: Apart
    #: How many alerts were sent before.
    warmed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    """One repeat of one setting, in seconds."""

    #: Until the webhook's answer.
    answered: Spread
    #: Until the incident was there.
    existed: Spread
    bare: Spread
    #: p50 of one POST to the instance, as the bare minimum saw it.
    round_trip: float
    #: Share of the alerts that were answered 200: the incident is there. The others were 202.
    told: float
    #: How many answers asked to send again.
    refused: int


@contextmanager
def stage(**settings: str) -> Iterator[Stage]:
    """Start everything, and send the first alert of the process."""
    with ExitStack() as stack:
        instance = stack.enter_context(Instance())
        world = stack.enter_context(World(settings={**instance.settings, **settings}))
        bare = stack.enter_context(Apart(Bare, world.azurite.connection_string, instance.url))
        clients = Clients(world.webhook, world.entra.mint())
        clients.each(alerts(WARMING), clients=4)
        yield Stage(world=world, instance=instance, clients=clients, bare=bare, warmed=WARMING)


def run() -> Report:
    """Measure all settings."""
    measured: dict[tuple[float, int], list[Repeat]] = {}
    in_flight = 0
    created: list[int] = []
    with stage() as on, _empty(on.world) as empty:
        empty_p50 = []
        unseen: dict[float, list[tuple[Spread, float]]] = {}
        for _ in range(REPEATS):
            for delay in DELAYS:
                for clients in ALERTS:
                    on.instance.delay(delay)
                    measured.setdefault((delay, clients), []).append(_repeat(on, clients))
                    in_flight = max(in_flight, on.instance.max_in_flight())
                    created += [len(made) for made in on.instance.created().values()]
                unseen.setdefault(delay, []).append(_unseen(on, delay))
            empty_p50.append(Spread.of(each.seconds for each in empty.each(alerts(100), clients=1)).p50)
    slowest = {delay: measured[delay, 1] for delay in DELAYS}
    steps = Table(
        headings=(
            "ServiceNow",
            "clients",
            "incident is there",
            "answered",
            "bare minimum",
            "ratio",
            "round trips",
            "200",
        ),
        rows=[_row(delay, clients, repeats) for (delay, clients), repeats in measured.items()],
    )
    return Report(
        title="Time to incident",
        parts=(
            (
                "p50 / p95 / p99 in ms, medians of three repeats. *Ratio*: answered ÷ bare minimum, both p50. "
                "*Round trips*: p50 of the answer ÷ p50 of one POST to ServiceNow in the same run. "
                "*200*: share of the answers that name the incident; the others are 202, and the queue does it."
            ),
            steps,
            (
                "The alerts above name a resource whose configuration item is known from earlier ones. "
                "For a resource that no alert has named and that the CMDB does not hold, one client:"
            ),
            Table(
                headings=("ServiceNow", "answered", "round trips"),
                rows=[
                    (
                        f"{delay * 1000:.0f} ms",
                        str(Spread.median_of([spread for spread, _ in repeats])),
                        f"{median_ratio((spread.p50, trip) for spread, trip in repeats):.2f}" if delay else "-",
                    )
                    for delay, repeats in unseen.items()
                ],
            ),
            (
                f"An empty function through the same host takes {milliseconds(statistics.median(empty_p50))} ms "
                f"(p50, one client): what the local host costs, and the app pays in every figure above."
            ),
        ),
        checks=(
            Check.at_most("requests in flight at ServiceNow", in_flight, CAP),
            Check.equal("incidents of any one alert", set(created), {1}),
        ),
        goals=(
            Goal(what="answer ÷ bare minimum, one client, 0 ms", measured=_ratio(slowest[0.0]), aim=1.25),
            Goal(what="answer ÷ round trip, one client, 150 ms", measured=_trips(slowest[0.15]), aim=1.25),
            Goal(
                what="incident is there, p95 in round trips, 8 clients, 50 ms",
                measured=_existed(measured[0.05, 8]).p95 / 0.05,
                aim=4,
            ),
            Goal(
                what="incident is there, p99 in s, 8 clients, 150 ms", measured=_existed(measured[0.15, 8]).p99, aim=1
            ),
            Goal(what="left to the queue, 8 clients, 150 ms", measured=_queued(measured[0.15, 8]), aim=0.02),
            Goal(
                what="incident is there, p99 ÷ what the slots allow, 32 clients, 150 ms",
                measured=_existed(measured[0.15, 32]).p99 / (32 / CAP * 0.15),
                aim=1.3,
            ),
        ),
        facts={"seconds_at_150": statistics.median(repeat.answered.p50 for repeat in slowest[0.15])},
    )


def _repeat(on: Stage, clients: int) -> Repeat:
    bare: list[Steps] = on.bare.call("run", clients, ALERTS[clients])
    on.instance.forget()
    with ThreadPoolExecutor(clients) as threads:
        results = list(threads.map(lambda body: _to_incident(on, body), alerts(ALERTS[clients])))
    created = on.instance.created()
    return Repeat(
        answered=Spread.of(sent.seconds for sent in results),
        existed=Spread.of(created[sent.key][0] - sent.sent_at for sent in results),
        bare=Spread.of(sum(steps) for steps in bare),
        round_trip=Spread.of(steps[1] for steps in bare).p50,
        told=sum(sent.status == HTTPStatus.OK for sent in results) / len(results),
        refused=sum(sent.refusals for sent in results),
    )


def _unseen(on: Stage, delay: float) -> tuple[Spread, float]:
    """Return the answers to alerts of resources that were never named, and one round trip beside them."""
    on.instance.delay(delay)
    bare: list[Steps] = on.bare.call("run", 1, UNSEEN)
    bodies = alerts(UNSEEN, lambda: MetricAlert(resource=f"vm-{uuid.uuid4().hex[:8]}"))
    spread = Spread.of(each.seconds for each in on.clients.each(bodies, clients=1))
    return spread, Spread.of(steps[1] for steps in bare).p50


def _to_incident(on: Stage, body: bytes) -> Sent:
    """Send an alert and return when its incident is there."""
    sent = on.clients.send_until_taken(body)
    if sent.status != HTTPStatus.OK:
        on.instance.wait_for(sent.key)
    return sent


def _row(delay: float, clients: int, repeats: list[Repeat]) -> tuple[str, ...]:
    return (
        f"{delay * 1000:.0f} ms",
        str(clients),
        str(Spread.median_of([repeat.existed for repeat in repeats])),
        str(Spread.median_of([repeat.answered for repeat in repeats])),
        str(Spread.median_of([repeat.bare for repeat in repeats])),
        f"{_ratio(repeats):.2f}",
        f"{_trips(repeats):.2f}" if delay else "-",
        f"{statistics.median(repeat.told for repeat in repeats):.0%}",
    )


def _existed(repeats: list[Repeat]) -> Spread:
    return Spread.median_of([repeat.existed for repeat in repeats])


def _queued(repeats: list[Repeat]) -> float:
    """Return the share of the alerts that were answered 202."""
    return 1 - statistics.median(repeat.told for repeat in repeats)


def _ratio(repeats: list[Repeat]) -> float:
    return median_ratio((repeat.answered.p50, repeat.bare.p50) for repeat in repeats)


def _trips(repeats: list[Repeat]) -> float:
    return median_ratio((repeat.answered.p50, repeat.round_trip) for repeat in repeats)


@contextmanager
def _empty(world: World) -> Iterator[Clients]:
    """Run the empty function in a host of its own."""
    settings = {"AzureWebJobsStorage": world.azurite.connection_string}
    with FunctionsHost(app=ROOT / "bench/empty_app", settings=settings) as host:
        clients = Clients(f"{host.url}/api/alerts", "none")
        clients.each(alerts(5), clients=1)
        yield clients

"""The answers of the contract and the promises: real runtime library, real Azurite, real HTTP."""

import json
import uuid
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.data.tables import TableClient, UpdateMode
from azure.storage.queue import QueueClient

from itsm_bridge import __version__
from itsm_bridge.azure_monitor.alert import parse_alert
from itsm_bridge.azure_monitor.correlation import correlate
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.row_format import partition_of
from local.alerts import SUBSCRIPTION, MetricAlert
from local.azurite import Azurite
from local.host.launcher import FunctionsHost
from local.servicenow import faults
from local.world import World
from proof.tap import Tap
from tests.builders import changed

LONGEST_ANSWER = 5.0
IN_TIME = timedelta(seconds=60)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as running:
        running.send(MetricAlert(rule="warms-up").fired())
        yield running


@pytest.fixture(autouse=True)
def _no_faults_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "world" in request.fixturenames:
        running: World = request.getfixturevalue("world")
        assert running.servicenow.crashes == []


def key_of(alert: dict[str, Any]) -> str:
    return correlate(parse_alert(json.dumps(alert).encode())).key


def incidents(world: World, alert: dict[str, Any]) -> list[dict[str, str]]:
    return [row for row in world.servicenow.incidents if row["correlation_id"] == key_of(alert)]


def states(world: World, alert: dict[str, Any]) -> list[str]:
    return [row["state"] for row in incidents(world, alert)]


class TestBindings:
    """What the library does not check and the real host would stumble over."""

    def bindings(self, world: World) -> dict[str, list[dict[str, Any]]]:
        functions = world.call("GET", f"{world.host.url}/admin/functions").body
        return {function["name"]: function["config"]["bindings"] for function in functions}

    def test_the_functions_are_those_of_the_contract(self, world: World) -> None:
        assert set(self.bindings(world)) == {
            "receive_alert",
            "reconcile_alert",
            "resync",
            "follow_azure",
            "health",
        }

    def test_routes_methods_and_keys(self, world: World) -> None:
        triggers = {
            name: (binding["route"], binding["methods"], str(binding["authLevel"]).upper())
            for name, bindings in self.bindings(world).items()
            for binding in bindings
            if binding["type"] == "httpTrigger"
        }

        assert triggers == {
            "receive_alert": ("alerts", ["POST"], "FUNCTION"),
            "health": ("health", ["GET"], "ANONYMOUS"),
        }

    def test_queue_and_schedule(self, world: World) -> None:
        bindings = self.bindings(world)
        queue = next(binding for binding in bindings["reconcile_alert"] if binding["type"] == "queueTrigger")
        timers = {name: binding["schedule"] for name in bindings for binding in bindings[name] if "schedule" in binding}

        assert (queue["queueName"], queue["connection"]) == ("alert-wakeups", "AzureWebJobsStorage")
        assert timers == {"resync": "0 */5 * * * *", "follow_azure": "0 */2 * * * *"}

    def test_host_json_leaves_threads_for_azure_monitor(self) -> None:
        queues = json.loads(Path("host.json").read_text())["extensions"]["queues"]
        smallest_pool = 5  # Python's default for one core

        assert queues["batchSize"] + queues["newBatchThreshold"] < smallest_pool
        assert queues["messageEncoding"] == "base64"
        assert queues["visibilityTimeout"] != "00:00:00"


class TestAlertsBecomeIncidents:
    """200 and 202."""

    def test_a_fired_alert_costs_one_call_and_its_repetition_none(self, world: World) -> None:
        alert = MetricAlert().fired()
        world.servicenow.forget_calls()

        first = world.send(alert)
        calls = [(call.method, call.table) for call in world.servicenow.calls]
        second = world.send(alert)

        assert (first.status, first.outcome) == (200, "created")
        assert calls == [("POST", "incident")]
        assert (second.status, second.outcome) == (200, "unchanged")
        assert len(world.servicenow.calls) == 1
        assert first.body["incident"] == second.body["incident"]
        assert first.body["alert_key"] == key_of(alert)

    def test_what_is_answered_is_what_servicenow_holds(self, world: World) -> None:
        alert = MetricAlert(severity="Sev2").fired()

        answer = world.send(alert)

        (row,) = incidents(world, alert)
        assert answer.body["incident"] == {"number": row["number"], "sys_id": row["sys_id"]}
        assert (row["state"], row["impact"], row["urgency"]) == ("1", "2", "2")
        assert "vm-web-01" in row["short_description"]

    def test_a_life(self, world: World) -> None:
        cpu = MetricAlert()
        worse = replace(cpu, severity="Sev0")
        world.send(cpu.fired())
        world.servicenow.forget_calls()

        updated = world.send(worse.fired())
        resolved = world.send(worse.resolved())
        late = world.send(cpu.fired())

        assert [updated.outcome, resolved.outcome, late.outcome] == ["updated", "resolved", "unchanged"]
        (row,) = incidents(world, cpu.fired())
        assert (row["state"], row["impact"], row["urgency"]) == ("6", "1", "1")
        assert row["close_code"]
        assert row["close_notes"]
        notes = world.servicenow.notes(row["sys_id"])
        assert ["vm-web-01" in notes[0], "Sev0" in notes[1], "Resolved" in notes[2], len(notes)] == [True] * 3 + [3]

    def test_a_resolved_costs_at_most_two_calls(self, world: World) -> None:
        before, cpu = MetricAlert(), MetricAlert()
        world.send(before.fired())
        world.send(before.resolved())
        world.send(cpu.fired())
        world.servicenow.forget_calls()

        world.send(cpu.resolved())

        assert [call.method for call in world.servicenow.calls] == ["GET", "PATCH"]

    def test_a_resolved_without_a_fired_creates_nothing_and_neither_does_the_late_fired(self, world: World) -> None:
        cpu = MetricAlert()

        first, second = world.send(cpu.resolved()), world.send(cpu.fired())

        assert [(first.status, first.outcome), (second.status, second.outcome)] == [(200, "unchanged")] * 2
        assert first.body["incident"] is None
        assert incidents(world, cpu.fired()) == []

    def test_a_person_who_was_faster_is_left_alone(self, world: World) -> None:
        cpu = MetricAlert()
        sys_id = world.send(cpu.fired()).body["incident"]["sys_id"]
        world.servicenow.resolve(sys_id)
        before, notes = world.servicenow.incident(sys_id), world.servicenow.notes(sys_id)

        answer = world.send(cpu.resolved())

        assert answer.outcome == "unchanged"
        assert world.servicenow.incident(sys_id) == before
        assert world.servicenow.notes(sys_id) == notes

    def test_the_same_alert_from_many_connections_is_one_incident(self, world: World) -> None:
        alert = MetricAlert().fired()

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: world.send(alert), range(48)))

        assert {answer.status for answer in answers} <= {200, 202}
        assert world.wait_until(lambda: world.send(alert).status == 200)
        assert states(world, alert) == ["1"]

    def test_fired_and_resolved_at_once_end_resolved_or_untold(self, world: World) -> None:
        alerts = [MetricAlert() for _ in range(8)]
        notifications = [each for alert in alerts for each in (alert.fired(), alert.resolved())]

        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(world.send, notifications))

        assert {answer.status for answer in answers} <= {200, 202}
        assert world.wait_until(lambda: all(world.send(alert.resolved()).status == 200 for alert in alerts))
        assert all(states(world, alert.fired()) in ([], ["6"]) for alert in alerts)


def test_the_log_names_the_version_once_per_process(world: World) -> None:
    assert world.host.output().count(f"itsm-bridge {__version__}: ") == 1


class TestServiceNowInTrouble:
    """The alert is remembered, answered within 5 s, and told later."""

    def test_an_instance_that_hangs(self, world: World) -> None:
        alert = MetricAlert().fired()
        world.servicenow.faults.add(faults.silence(executed=True), method="POST", table="incident", times=1)

        answer = world.send(alert)

        assert (answer.status, answer.outcome) == (202, "accepted")
        assert answer.seconds < LONGEST_ANSWER
        assert world.wait_until(lambda: world.send(alert).outcome == "unchanged", within=IN_TIME)
        assert states(world, alert) == ["1"]

    def test_an_instance_that_is_down_and_comes_back(self, world: World) -> None:
        stays, passes = MetricAlert(), MetricAlert()
        world.servicenow.stop()

        answers = [world.send(each) for each in (stays.fired(), passes.fired(), passes.resolved())]

        world.servicenow.start()
        assert [(answer.status, answer.outcome) for answer in answers] == [(202, "accepted")] * 3
        assert world.wait_until(lambda: states(world, stays.fired()) == ["1"], within=IN_TIME)
        assert world.wait_until(lambda: states(world, passes.fired()) == ["6"], within=IN_TIME)

    def test_a_host_that_dies_after_the_incident_was_created(self, azurite: Azurite) -> None:
        alert = MetricAlert().fired()
        with World(azurite=azurite) as world:
            world.servicenow.faults.add(faults.silence(executed=True), method="POST", table="incident", times=1)
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(world.send, alert)
                assert world.wait_until(lambda: states(world, alert) == ["1"])
                world.host.kill()
                with pytest.raises(requests.ConnectionError):
                    answer.result()
            world.host.start()

            assert world.wait_until(lambda: world.send(alert).outcome == "unchanged", within=IN_TIME)
            assert states(world, alert) == ["1"]

    def test_what_a_worker_left_that_died_is_found_by_the_next_one_although_azure_repeats_nothing(
        self, azurite: Azurite
    ) -> None:
        alert = MetricAlert().fired()
        with World(azurite=azurite) as world:
            # The instance keeps our sys_id, as an earlier alert showed: what is in doubt is repeated at once.
            world.send(MetricAlert().fired())
            world.servicenow.faults.add(faults.silence(executed=False), method="POST", table="incident", times=1)
            with ThreadPoolExecutor(1) as pool:
                answer = pool.submit(world.send, alert)
                assert world.wait_until(lambda: world.servicenow.in_flight == 1)
                world.host.kill()
                with pytest.raises(requests.ConnectionError):
                    answer.result()
            world.host.start()

            # Without that look, `resync` would find it after five minutes.
            assert world.wait_until(lambda: states(world, alert) == ["1"], within=timedelta(seconds=120))


class TestRefusals:
    """400, 401, 403, 413."""

    @pytest.mark.parametrize(
        "flaw",
        [
            {"evil": True},
            {"exp": 1_600_000_000},
            {"aud": "api://another"},
            {"iss": "https://login.microsoftonline.com/common/v2.0"},
            {"tid": "9e000000-0000-0000-0000-000000000000"},
            {"without": ["exp"]},
        ],
        ids=str,
    )
    def test_a_bad_token(self, world: World, flaw: dict[str, Any]) -> None:
        answer = world.send(MetricAlert().fired(), token=world.entra.mint(**flaw))

        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert answer.body == {
            "error": {"code": "invalid_token", "message": "A valid access token of Azure Monitor is required."}
        }

    @pytest.mark.parametrize("token", ["", "garbage", "a.b.c"])
    def test_no_token_at_all(self, world: World, token: str) -> None:
        assert world.send(MetricAlert().fired(), token=token).status == 401

    @pytest.mark.parametrize(
        "flaw",
        [{"caller": "c0ffee00-0000-4000-8000-000000000001"}, {"without": ["roles"]}, {"roles": ["Other"]}],
        ids=str,
    )
    def test_a_genuine_token_that_may_not_call(self, world: World, flaw: dict[str, Any]) -> None:
        answer = world.send(MetricAlert().fired(), token=world.entra.mint(**flaw))

        assert (answer.status, answer.body["error"]["code"]) == (403, "forbidden")

    def test_both_versions_of_tokens_are_taken(self, world: World) -> None:
        answers = [world.send(MetricAlert().fired(), token=world.entra.mint(version=version)) for version in (1, 2)]

        assert [answer.status for answer in answers] == [200, 200]

    def test_a_subscription_that_is_not_allowed(self, azurite: Azurite) -> None:
        with World(azurite=azurite, settings={"ALLOWED_SUBSCRIPTIONS": str(uuid.uuid4())}) as world:
            answer = world.send(MetricAlert().fired())

            assert (answer.status, answer.body["error"]["code"]) == (403, "forbidden")
            assert SUBSCRIPTION in world.host.output()

    @pytest.mark.parametrize("body", [b"", b"hello", b'"text"', b"[]", b"\xff\xfe", b"[" * 100_000])
    def test_what_is_no_json_object(self, world: World, body: bytes) -> None:
        answer = world.send(body)

        assert (answer.status, answer.body["error"]["code"]) == (400, "invalid_alert")
        assert answer.body["error"]["message"]

    def test_a_body_over_one_mebibyte(self, world: World) -> None:
        largest = json.dumps({**MetricAlert().fired(), "padding": ""}).encode()
        fits = largest.replace(b'"padding": ""', b'"padding": "' + b"x" * (1024 * 1024 - len(largest)) + b'"')

        assert len(fits) == 1024 * 1024
        assert world.send(fits).status == 200
        assert world.send(fits + b" ").status == 413

    def test_without_the_function_key_nobody_is_heard(self, world: World) -> None:
        answer = world.call("POST", f"{world.host.url}/api/alerts", json=MetricAlert().fired())

        assert answer.status == 401


class TestTemporary:
    """503 with Retry-After, never 500."""

    def assert_try_again(self, answer: Any) -> None:
        assert (answer.status, answer.body["error"]["code"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.seconds < LONGEST_ANSWER

    def test_storage_that_hangs_and_comes_back(self) -> None:
        with World() as world:
            world.send(MetricAlert().fired())
            alert = MetricAlert().fired()
            world.azurite.pause()
            answer = world.send(alert)
            world.azurite.resume()

            self.assert_try_again(answer)
            assert world.wait_until(lambda: world.send(alert).status == 200, within=IN_TIME)
            assert states(world, alert) == ["1"]

    def test_keys_that_cannot_be_had(self, azurite: Azurite) -> None:
        with World(azurite=azurite) as world:
            alert, token = MetricAlert().fired(), world.entra.mint()
            world.entra.stop()
            answer = world.send(alert, token=token)
            world.entra.start()

            self.assert_try_again(answer)
            assert world.wait_until(lambda: world.send(alert).status == 200, within=IN_TIME)

    def test_the_first_call_of_a_process_asks_everybody_side_by_side(self, azurite: Azurite) -> None:
        with World(azurite=azurite) as world, Tap(azurite.connection_string) as tap:
            world.host.stop()
            token = world.entra.mint()
            world.entra.stop()
            settings = {**world.settings, "AzureWebJobsStorage": tap.connection_string}
            with FunctionsHost(app=Path(), settings=settings, function_key=world.function_key) as host:
                answer = requests.post(
                    f"{host.url}/api/alerts?code={world.function_key}",
                    json=MetricAlert().fired(),
                    headers={"Authorization": f"Bearer {token}"},
                    timeout=30,
                )

                # The keys are not to be had, and all the same the others were asked.
                assert answer.status_code == 503
                asked = ("table read", "queue look", "rules look", "facts look")
                assert world.wait_until(lambda: all(tap.counted[each] > 0 for each in asked))
                assert world.wait_until(lambda: bool(world.servicenow.calls_to("oauth_token")))
                assert tap.counted["table insert"] == 0

    def test_an_error_that_nobody_expected(self, world: World) -> None:
        metric = MetricAlert()
        alert = metric.fired()
        world.send(alert)
        table = TableClient.from_connection_string(world.azurite.connection_string, "alerts")
        entity = table.get_entity(partition_of(key_of(alert)), key_of(alert))
        document = json.loads(entity["document_0"])
        for signal in document["desired"]["signals"].values():
            signal["at"] = "2026-03-01T10:00:00"  # without a time zone
        entity["document_0"] = json.dumps(document)
        table.update_entity(entity, UpdateMode.REPLACE)

        self.assert_try_again(world.send(metric.resolved()))
        assert "unexpected TypeError at" in world.host.output()

    def test_a_row_that_is_damaged_does_not_keep_its_alert_out(self, world: World) -> None:
        metric = MetricAlert()
        alert = metric.fired()
        world.send(alert)
        table = TableClient.from_connection_string(world.azurite.connection_string, "alerts")
        table.upsert_entity(
            {"PartitionKey": partition_of(key_of(alert)), "RowKey": key_of(alert), "document_0": "{broken"},
            UpdateMode.REPLACE,
        )

        answer = world.send(metric.resolved())

        assert (answer.status, answer.body["outcome"]) == (200, "resolved")
        assert "cannot be read" in world.host.output()

    def test_settings_that_are_missing_are_all_named(self, azurite: Azurite) -> None:
        missing = {"ENTRA_TENANT_ID": "", "SERVICENOW_INSTANCE_URL": "", "RETENTION_DAYS": "soon"}
        with World(azurite=azurite, settings=missing) as world:
            self.assert_try_again(world.send(MetricAlert().fired()))
            health = world.call("GET", f"{world.host.url}/api/health")

            assert (health.status, health.body) == (503, {"status": "degraded", "down": ["settings"]})
            assert all(name in world.host.output() for name in missing)


class TestHealth:
    """`GET /api/health`."""

    def test_all_is_well(self, world: World) -> None:
        answer = world.call("GET", f"{world.host.url}/api/health")

        assert (answer.status, answer.body) == (200, {"status": "ok"})

    def test_what_is_down_is_named_and_nothing_else_told(self, azurite: Azurite) -> None:
        with World(azurite=azurite) as world:
            world.servicenow.stop()
            answer = world.call("GET", f"{world.host.url}/api/health")

            assert (answer.status, answer.body) == (503, {"status": "degraded", "down": ["servicenow"]})


class TestWakeUps:
    """The queue and the timer."""

    def test_a_message_that_is_no_key_is_dropped(self, world: World) -> None:
        queue = QueueClient.from_connection_string(world.azurite.connection_string, "alert-wakeups")
        queue.send_message(b64encode(b"no key").decode())

        assert world.wait_until(lambda: "6 bytes is no alert key" in world.host.output())

    def test_resync_finds_what_fell_out_of_the_queue(self) -> None:
        alert = MetricAlert().fired()
        with World() as world:
            world.servicenow.stop()
            world.send(alert)
            QueueClient.from_connection_string(world.azurite.connection_string, "alert-wakeups").clear_messages()
            world.servicenow.start()
            with TableClient.from_connection_string(world.azurite.connection_string, "alerts") as table:
                rows = AlertTable(table)
                row = rows.read(rows.index().outlines[0].key)
                assert row is not None
                rows.replace(changed(row, wake_up_at=row.work.wake_up_at - timedelta(hours=1)))

            world.invoke("resync")

            assert world.wait_until(lambda: states(world, alert) == ["1"], within=IN_TIME)


def test_no_secret_and_no_alert_is_ever_logged(azurite: Azurite) -> None:
    marks = {"context": "mark-of-the-context", "custom": "mark-of-the-custom-properties"}
    with World(azurite=azurite) as world:
        alert = MetricAlert(metric=marks["context"])
        fired = alert.fired(description=marks["context"])
        fired["data"]["customProperties"] = {"x": marks["custom"]}
        tokens = [world.entra.mint(), world.entra.mint(evil=True), world.entra.mint(without=["roles"])]
        for token in tokens:
            world.send(fired, token=token)
        world.send(b'{"broken": "' + marks["context"].encode())
        world.servicenow.stop()
        world.send(alert.resolved())
        world.servicenow.start()
        world.servicenow.faults.add(faults.data_policy_violated("Resolution code"), method="PATCH", times=None)
        world.send(MetricAlert(metric=marks["context"]).fired())
        known = world.servicenow.credentials
        secrets = [*tokens, known.client_secret, known.password, known.api_key, world.function_key, *marks.values()]
        account_key = world.azurite.connection_string.split("AccountKey=")[1].split(";")[0]
        logged = world.host.output()

    assert "created" in logged
    assert [secret for secret in [*secrets, account_key] if secret in logged] == []

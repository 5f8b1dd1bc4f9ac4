"""A test alert takes the real way."""

import io
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from itsm_bridge.azure_monitor.alert import parse_alert
from itsm_bridge.azure_monitor.correlation import correlate
from itsm_bridge.entra.person import NotSignedIn
from itsm_bridge.errors import Unavailable
from itsm_bridge.operate.exit_status import NotUnderstood
from itsm_bridge.operate.send_test import Target, body_of_test, send_test
from local.http_server import Answer, HttpServer, Request
from tests.builders import NOW

GROUP = "/subscriptions/1/resourceGroups/rg/providers/Microsoft.Insights/actionGroups/ag-itsm-bridge"
SECURE = {"name": "itsm-bridge", "serviceUri": "https://x.example/api/alerts?code=k", "useAadAuth": True}


class Azure:
    """Stands in for Resource Manager, or for the app: answers what the test says, and remembers what was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Request] = []
        self.server = HttpServer(0, self._answer)

    def say(self, path: str, content: object, *, status: int = 200, **headers: str) -> None:
        body = json.dumps(content).encode()
        self.answers[path] = Answer(status=status, headers={"Content-Type": "application/json", **headers}, body=body)

    def _answer(self, request: Request) -> Answer:
        self.asked.append(request)
        path = request.target.partition("?")[0]
        return next((answer for part, answer in self.answers.items() if path.endswith(part)), Answer(status=404))


@pytest.fixture
def azure() -> Iterator[Azure]:
    running = Azure()
    thread = threading.Thread(target=running.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


def sent(target: Target, token: str = "made-up-token") -> tuple[int, dict[str, Any]]:
    out = io.StringIO()
    code = send_test(target, out=out, as_json=True, token=lambda _: token)
    assert token not in out.getvalue()
    return code, json.loads(out.getvalue())


def test_the_alert_is_a_test_and_each_one_is_another() -> None:
    alerts = [parse_alert(json.dumps(body_of_test(NOW)).encode()) for _ in range(2)]

    assert all(alert.is_test for alert in alerts)
    assert len({correlate(alert).key for alert in alerts}) == 2


class TestByAzureMonitor:
    """Azure Monitor sends its own test."""

    def target(self, azure: Azure, group: str = GROUP) -> Target:
        return Target(action_group=group, resource_manager=azure.server.url)

    def prepare(self, azure: Azure, *actions: dict[str, str], receivers: Any = (SECURE,)) -> None:
        azure.say("/actionGroups/ag-itsm-bridge", {"properties": {"webhookReceivers": list(receivers)}})
        azure.say("/createNotifications", {}, status=202, Location=f"{azure.server.url}{GROUP}/notificationStatus/1")
        azure.say("/notificationStatus/1", {"state": "Complete", "actionDetails": list(actions)})

    def test_that_succeeded(self, azure: Azure) -> None:
        self.prepare(azure, {"Name": "itsm-bridge", "Status": "Succeeded", "SubState": "Default", "Detail": ""})

        code, told = sent(self.target(azure))

        assert (code, told["actions"][0]["status"]) == (0, "Succeeded")
        assert json.loads(azure.asked[1].body)["webhookReceivers"] == [SECURE]
        assert {request.headers["authorization"] for request in azure.asked} == {"Bearer made-up-token"}

    def test_that_failed(self, azure: Azure) -> None:
        self.prepare(azure, {"Name": "itsm-bridge", "Status": "Failed", "Detail": "401"})

        code, told = sent(self.target(azure))

        assert (code, told["actions"][0]["detail"]) == (1, "401")

    def test_of_a_group_without_a_secure_webhook(self, azure: Azure) -> None:
        self.prepare(azure, receivers=[{**SECURE, "useAadAuth": False}])

        assert sent(self.target(azure)) == (1, {"status": 200, "hint": "the action group has no secure webhook"})

    @pytest.mark.parametrize("path", ["/actionGroups/ag-itsm-bridge", "/createNotifications"])
    def test_that_is_refused_says_who_may(self, path: str, azure: Azure) -> None:
        self.prepare(azure)
        azure.say(path, {"error": {"code": "AuthorizationFailed", "message": "You may not."}}, status=403)

        code, told = sent(self.target(azure))

        assert code == 1
        assert "You may not." in told["hint"]
        assert "Monitoring Contributor" in told["hint"]

    def test_the_token_goes_nowhere_else(self, azure: Azure) -> None:
        self.prepare(azure)
        azure.say("/createNotifications", {}, status=202, Location="http://127.0.0.1:9/elsewhere")

        with pytest.raises(Unavailable, match="no address"):
            sent(self.target(azure))

    @pytest.mark.parametrize("group", ["ag-itsm-bridge", f"{GROUP}/../x", f"{GROUP}?x=1", "https://x.example"])
    def test_of_what_is_no_action_group(self, group: str, azure: Azure) -> None:
        with pytest.raises(NotUnderstood):
            sent(self.target(azure, group))


class TestPosted:
    """With a token of whoever is signed in."""

    def test_that_is_taken(self, azure: Azure) -> None:
        azure.say("/api/alerts", {"alert_key": "ab" * 32, "outcome": "accepted"}, status=202)

        code, told = sent(Target(url=f"{azure.server.url}/api/alerts?code=key", audience="api://x"))

        assert (code, told["outcome"]) == (0, "accepted")

    @pytest.mark.parametrize("status", [401, 403])
    def test_that_is_refused_says_how_else(self, status: int, azure: Azure) -> None:
        azure.say("/api/alerts", {"error": {"code": "forbidden", "message": "No."}}, status=status)

        code, told = sent(Target(url=f"{azure.server.url}/api/alerts", audience="api://x"))

        assert code == 1
        assert "--action-group" in told["hint"]

    def test_no_token_goes_over_plain_http(self) -> None:
        with pytest.raises(NotUnderstood, match="https"):
            sent(Target(url="http://app.example/api/alerts", audience="api://x"))

    def test_an_app_that_does_not_answer_is_told_without_its_key(self) -> None:
        with pytest.raises(Unavailable) as caught:
            sent(Target(url="http://127.0.0.1:9/api/alerts?code=the-key", audience="api://x"))

        assert "the-key" not in str(caught.value)


def test_nothing_says_where_to_send_it() -> None:
    with pytest.raises(NotUnderstood, match="make run"):
        sent(Target())


def test_nobody_is_signed_in() -> None:
    def nobody(_: str) -> str:
        raise NotSignedIn("Nobody is signed in")

    with pytest.raises(NotSignedIn):
        send_test(Target(action_group=GROUP), out=io.StringIO(), as_json=True, token=nobody)

import base64
import contextlib
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest
import requests
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from local.azurite import Azurite
from local.child_process import ChildProcess, NotReady
from local.host.host_json import Misconfigured, QueueSettings, read_host_json
from local.host.launcher import READY_LINE, FunctionsHost
from local.host.ncrontab import parse_schedule

Answer = TypeVar("Answer")
APPS = Path(__file__).parents[1] / "apps"
NEVER = "0 0 0 29 2 *"
EVERY_SECOND = "* * * * * *"
EVERY_YEAR = "0 0 0 1 1 *"


class Sample:
    """The sample app in a running host, with its queue and its reports."""

    def __init__(self, directory: Path, connection_string: str, queue_name: str, **settings: str) -> None:
        self.reports_file = directory / "reports.jsonl"
        self.log_file = directory / "host.log"
        self.queue = connect(connection_string, queue_name)
        self.poison_queue = connect(connection_string, f"{queue_name}-poison")
        self.settings = {
            "AzureWebJobsStorage": connection_string,
            "PYTHON_THREADPOOL_THREAD_COUNT": "8",
            "QUEUE": queue_name,
            "REPORT_FILE": str(self.reports_file),
            "SCHEDULE": NEVER,
            **settings,
        }

    def host(self, **options: Any) -> FunctionsHost:
        return FunctionsHost(app=APPS / "sample", settings=self.settings, log_file=self.log_file, **options)

    def reports(self, **facts: object) -> list[dict[str, Any]]:
        """What functions have reported so far, as far as it has these facts."""
        lines = self.reports_file.read_text(encoding="utf-8").splitlines() if self.reports_file.exists() else ()
        return [report for report in map(json.loads, lines) if facts.items() <= report.items()]

    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")


def connect(connection_string: str, queue_name: str) -> QueueClient:
    return QueueClient.from_connection_string(
        connection_string, queue_name, message_encode_policy=TextBase64EncodePolicy(), retry_total=0
    )


def wait_until(condition: Callable[[], Answer | None], seconds: float = 15) -> Answer:
    ends_at = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < ends_at, "waited in vain"
        time.sleep(0.02)
    return found


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    with Azurite() as running:
        yield running


@pytest.fixture(scope="module")
def sample(azurite: Azurite, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The sample app without its host."""
    sample = Sample(tmp_path_factory.mktemp("sample"), azurite.connection_string, "messages")
    with sample.queue, sample.poison_queue:
        sample.queue.create_queue()
        yield sample


@pytest.fixture(scope="module")
def url(sample: Sample) -> Iterator[str]:
    """Where the host of `sample` answers, one for all tests that leave it running."""
    with sample.host() as host:
        yield host.url


def test_a_request_reaches_its_function_whole(url: str) -> None:
    body = bytes(range(256))

    answer = requests.put(
        f"{url}/api/echo/M%C3%BCller?a=1&a=2&empty=&b=x+y", data=body, headers={"X-Custom": "Value"}, timeout=10
    )

    seen = answer.json()
    assert (answer.status_code, answer.headers["X-Seen"]) == (201, "yes")
    assert answer.headers["Content-Type"] == "application/json"
    assert seen["method"] == "PUT"
    assert seen["url"] == f"{url}/api/echo/M%C3%BCller?a=1&a=2&empty=&b=x+y"
    assert seen["params"] == {"a": "1,2", "b": "x y"}
    assert seen["route_params"] == {"name": "Müller"}
    assert seen["headers"]["x-custom"] == "Value"
    assert base64.b64decode(seen["body"]) == body


def test_a_request_without_body_or_optional_part_is_one_too(url: str) -> None:
    seen = requests.get(f"{url}/API/Echo", timeout=10).json()

    assert (seen["body"], seen["route_params"]) == ("", {})


def test_a_string_is_answered_as_text(url: str) -> None:
    answer = requests.post(f"{url}/api/post-only", timeout=10)

    assert (answer.status_code, answer.text) == (200, "posted")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize(("method", "path"), [("GET", "post-only"), ("GET", "nowhere"), ("GET", "echo/a/b")])
def test_what_no_route_and_method_match_is_not_found(url: str, method: str, path: str) -> None:
    answer = requests.request(method, f"{url}/api/{path}", timeout=10)

    assert (answer.status_code, answer.content) == (404, b"")


def test_a_failing_function_is_a_bare_500_and_its_stack_is_in_the_log(url: str, sample: Sample) -> None:
    answer = requests.get(f"{url}/api/fail", timeout=10)

    assert (answer.status_code, answer.content) == (500, b"")
    assert "ValueError: made to fail" in sample.log()
    assert "ERROR host Executed 'Functions.fail' (Failed, Id=" in sample.log()


def test_a_head_request_is_answered_without_a_body(url: str) -> None:
    answer = requests.head(f"{url}/api/echo", timeout=10)

    assert (answer.status_code, answer.content) == (201, b"")


def test_a_client_that_speaks_no_version_of_http_is_answered_with_the_bare_body(url: str) -> None:
    with raw_connection(url) as connection:
        connection.sendall(b"GET /api/echo\r\n\r\n")
        answer = connection.makefile("rb").read()

    assert json.loads(answer)["method"] == "GET"


def test_a_client_that_expects_100_continue_is_told_once_to_go_on(url: str) -> None:
    with raw_connection(url) as connection:
        connection.sendall(
            b"POST /api/echo HTTP/1.1\r\nHost: here\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
        first = connection.recv(1000)
        connection.sendall(b"hello")
        second = connection.recv(4000)

    assert first == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert second.startswith(b"HTTP/1.1 201 Created\r\n")


def test_a_connection_is_kept_also_after_a_chunked_body_which_no_function_sees(url: str) -> None:
    chunked = b"POST /api/echo/%s HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    with raw_connection(url) as connection, connection.makefile("rb") as answers:
        connection.sendall(chunked % b"first")
        first = read_json_answer(answers)
        connection.sendall(chunked % b"second")
        second = read_json_answer(answers)

    assert (first["route_params"]["name"], first["body"]) == ("first", "")
    assert (second["route_params"]["name"], second["body"]) == ("second", "")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"Content-Length: many", b"400"),
        (b"Content-Length: 104857601", b"413"),
        (b"Transfer-Encoding: chunked\r\n\r\nno size", b"400"),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_and_the_connection_closed(
    url: str, headers: bytes, status: bytes
) -> None:
    with raw_connection(url) as connection, connection.makefile("rb") as answers:
        connection.sendall(b"POST /api/echo HTTP/1.1\r\nHost: here\r\n" + headers + b"\r\n\r\n")
        answer = answers.read()

    assert answer.startswith(b"HTTP/1.1 " + status)


def raw_connection(url: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10)


def read_json_answer(answers: Any) -> Any:
    lengths = [line for line in iter(answers.readline, b"\r\n") if line.startswith(b"Content-Length: ")]
    return json.loads(answers.read(int(lengths[0].split()[1])))


def test_synchronous_functions_run_side_by_side_in_the_pool_of_the_app_setting(url: str) -> None:
    with ThreadPoolExecutor(2) as clients:
        answers = list(clients.map(lambda _: requests.get(f"{url}/api/meet", timeout=20), range(2)))

    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "8"), (200, "8")]


def test_a_pool_of_one_thread_runs_one_synchronous_function_at_a_time(other: Sample) -> None:
    other.settings["PYTHON_THREADPOOL_THREAD_COUNT"] = "1"

    with other.host() as host, ThreadPoolExecutor(2) as clients:
        answers = list(clients.map(lambda _: requests.get(f"{host.url}/api/meet?within=0.5", timeout=20), range(2)))

    assert [answer.status_code for answer in answers] == [500, 500]


def test_the_admin_api_tells_that_the_host_runs_and_what(url: str) -> None:
    functions = requests.get(f"{url}/admin/functions", timeout=10).json()

    assert requests.get(f"{url}/admin/host/status", timeout=10).json() == {"state": "Running"}
    queue_name = {each["name"]: each["config"]["bindings"][0].get("queueName") for each in functions}["remember"]
    assert queue_name == "messages"


def test_a_timer_function_can_be_run_at_once(url: str, sample: Sample) -> None:
    answer = requests.post(f"{url}/admin/functions/tick", json={}, timeout=10)

    report = wait_until(lambda: sample.reports(function="tick"))[0]
    assert answer.status_code == 202
    assert report["past_due"] is False
    assert "-02-29T00:00:00+00:00" in report["next"]
    assert "INFO sample tick" in sample.log()


def test_a_queue_function_can_be_run_at_once(url: str, sample: Sample) -> None:
    answer = requests.post(f"{url}/admin/functions/Remember", json={"input": "by hand"}, timeout=10)

    report = wait_until(lambda: sample.reports(body="by hand"))[0]
    assert answer.status_code == 202
    assert (report["id"], report["dequeue_count"]) == (None, 0)


@pytest.mark.parametrize(("name", "body", "status"), [("nothing", "{}", 404), ("remember", "{}", 400)])
def test_the_admin_api_refuses_what_it_cannot_run(url: str, name: str, body: str, status: int) -> None:
    assert requests.post(f"{url}/admin/functions/{name}", data=body, timeout=10).status_code == status


@pytest.mark.usefixtures("url")
def test_a_message_is_delivered_with_what_the_queue_knows_of_it_and_deleted(sample: Sample) -> None:
    sent = sample.queue.send_message("grüße")

    report = wait_until(lambda: sample.reports(body="grüße"))[0]
    wait_until(lambda: sample.queue.get_queue_properties().approximate_message_count == 0)
    assert report["id"] == sent.id
    assert report["dequeue_count"] == 1
    assert report["times"][:2] == [str(sent.inserted_on), str(sent.expires_on)]
    # The lease of ten minutes, under a pop receipt of its own.
    hidden_until = datetime.fromisoformat(report["times"][2])
    assert timedelta(minutes=9) < hidden_until - datetime.now(UTC) < timedelta(minutes=10)
    assert report["pop_receipt"] not in {None, "", sent.pop_receipt}


@pytest.mark.usefixtures("url")
def test_a_failed_message_comes_back_after_the_visibility_timeout(sample: Sample) -> None:
    sample.queue.send_message("fail once")
    wait_until(lambda: sample.reports(body="fail once"))
    failed_at = time.monotonic()

    wait_until(lambda: sample.reports(body="fail once", done=True))

    # One second in host.json; storage counts in whole seconds.
    assert time.monotonic() - failed_at > 0.5
    assert [each["dequeue_count"] for each in sample.reports(body="fail once") if "id" in each] == [1, 2]


@pytest.mark.usefixtures("url")
def test_a_message_that_keeps_failing_ends_in_the_poison_queue(sample: Sample) -> None:
    sample.queue.send_message("fail always")

    poison = wait_until(lambda: receive(sample.poison_queue))
    assert base64.b64decode(poison) == b"fail always"
    assert [each["dequeue_count"] for each in sample.reports(body="fail always")] == [1, 2, 3]
    wait_until(lambda: sample.queue.get_queue_properties().approximate_message_count == 0)


def receive(queue: QueueClient) -> str | None:
    with contextlib.suppress(ResourceNotFoundError):
        message = queue.receive_message()
        return message.content if message else None
    return None


@pytest.mark.usefixtures("url")
def test_a_message_that_is_not_base64_is_poison(sample: Sample) -> None:
    connection_string = sample.settings["AzureWebJobsStorage"]
    with (
        QueueClient.from_connection_string(connection_string, "messages") as raw,
        QueueClient.from_connection_string(connection_string, "messages-poison") as poison,
    ):
        raw.send_message("not base64!")

        assert wait_until(lambda: receive(poison)) == "not base64!"
        wait_until(lambda: raw.get_queue_properties().approximate_message_count == 0)
    assert sample.reports(body="not base64!") == []


@pytest.mark.usefixtures("url")
def test_no_more_messages_are_taken_at_once_than_host_json_allows(sample: Sample) -> None:
    # The first is long, so that it still runs when the next batch is fetched.
    bodies = [f"slow {1 if number == 0 else 0.2} {number}" for number in range(9)]
    for body in bodies:
        sample.queue.send_message(body)

    wait_until(lambda: sample.reports(at_once=3))
    left = len(sample.queue.peek_messages(9))
    wait_until(lambda: all(sample.reports(body=body, done=True) for body in bodies))

    # batchSize 2 and newBatchThreshold 1.
    assert max(sample.reports(body=body)[0]["at_once"] for body in bodies) == 3
    assert left >= 3


@pytest.fixture
def other(azurite: Azurite, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Sample]:
    """A second sample app, to be started with options of the test's own."""
    sample = Sample(tmp_path, azurite.connection_string, request.node.name.replace("_", "-")[:50].rstrip("-"))
    with sample.queue, sample.poison_queue:
        yield sample


def test_a_function_that_outlasts_the_lease_keeps_its_message(other: Sample) -> None:
    other.queue.create_queue()
    other.queue.send_message("slow 2.5")

    with other.host(message_lease=timedelta(seconds=2)):
        wait_until(lambda: other.reports(body="slow 2.5", done=True))
        wait_until(lambda: other.queue.get_queue_properties().approximate_message_count == 0)

    assert [each["dequeue_count"] for each in other.reports(body="slow 2.5") if "id" in each] == [1]


def test_a_message_of_a_killed_host_is_delivered_again_when_its_lease_ends(other: Sample) -> None:
    other.queue.create_queue()
    other.queue.send_message("slow 1")
    host = other.host(message_lease=timedelta(seconds=2)).start()
    wait_until(lambda: other.reports(body="slow 1"))

    host.kill()
    with host:
        wait_until(lambda: other.reports(body="slow 1", done=True))

    assert host.exit_code == 0
    assert [each["dequeue_count"] for each in other.reports(body="slow 1") if "id" in each] == [1, 2]


def test_a_queue_that_is_created_later_is_found(other: Sample) -> None:
    with other.host():
        other.queue.create_queue()
        other.queue.send_message("late")

        wait_until(lambda: other.reports(body="late", done=True))


@pytest.mark.usefixtures("url")
def test_messages_are_read_again_after_the_storage_froze(sample: Sample, azurite: Azurite) -> None:
    azurite.pause()
    with contextlib.suppress(AzureError):
        sample.queue.send_message("lost", read_timeout=0.5)
    azurite.resume()
    sample.queue.send_message("after")

    wait_until(lambda: sample.reports(body="after", done=True))


def test_messages_are_read_again_after_the_storage_was_gone(tmp_path: Path) -> None:
    first = Azurite().start()
    sample = Sample(tmp_path, first.connection_string, "messages")
    with sample.queue, sample.poison_queue, sample.host():
        port = int(urlsplit(sample.queue.url).netloc.rpartition(":")[2])
        first.stop()
        with Azurite(queue_port=port):
            sample.queue.create_queue()
            sample.queue.send_message("after")

            wait_until(lambda: sample.reports(body="after", done=True))

    # The app's log is not filled with what it cannot help.
    assert "ERROR" not in sample.log()
    assert "Traceback" not in sample.log()


def test_without_storage_the_rest_runs_and_the_log_says_what_does_not(other: Sample) -> None:
    other.settings["AzureWebJobsStorage"] = ""

    with other.host() as host:
        assert requests.get(f"{host.url}/api/echo", timeout=10).status_code == 201

    assert "The listener for function 'Functions.remember' was unable to start" in other.log()


def test_a_key_is_asked_for_only_at_its_level(other: Sample) -> None:
    with other.host(function_key="-open sesame") as host:
        url = f"{host.url}/api/post-only"
        refused = requests.post(url, timeout=10)
        wrong = requests.post(url, headers={"x-functions-key": "sesame"}, timeout=10)
        by_query = requests.post(url, params={"code": "-open sesame"}, timeout=10)
        by_header = requests.post(url, headers={"x-functions-key": "-open sesame"}, timeout=10)
        anonymous = requests.get(f"{host.url}/api/echo", timeout=10)

    assert (refused.status_code, refused.content) == (401, b"")
    assert wrong.status_code == 401
    assert (by_query.status_code, by_header.status_code, anonymous.status_code) == (200, 200, 201)


def test_a_timer_fires_on_its_schedule(other: Sample) -> None:
    other.settings["SCHEDULE"] = EVERY_SECOND

    with other.host():
        second = wait_until(lambda: other.reports(function="tick")[1:])[0]

    first = other.reports(function="tick")[0]
    assert datetime.fromisoformat(second["next"]) - datetime.fromisoformat(first["next"]) == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("before", "after", "away", "is_past_due"),
    [
        (EVERY_YEAR, EVERY_YEAR, timedelta(days=400), True),
        (EVERY_YEAR, EVERY_YEAR, timedelta(seconds=1), False),
        (EVERY_YEAR, EVERY_SECOND, timedelta(minutes=1), True),
        (EVERY_SECOND, EVERY_YEAR, timedelta(seconds=1), False),
    ],
)
def test_a_time_that_passed_without_a_host_is_past_due_by_the_schedule_of_the_start(
    other: Sample, tmp_path: Path, before: str, after: str, away: timedelta, *, is_past_due: bool
) -> None:
    remembered = tmp_path / "timers/tick.timer"
    other.settings["SCHEDULE"] = before
    with other.host(state=remembered.parent):
        wait_until(remembered.exists)
    left_at = datetime.now(UTC) - away
    remembered.write_text(left_at.isoformat(), encoding="utf-8")
    ticks = len(other.reports(function="tick"))
    other.settings["SCHEDULE"] = after

    with other.host(state=remembered.parent):
        wait_until(lambda: remembered.read_text(encoding="utf-8") not in ("", left_at.isoformat()))

    assert [tick["past_due"] for tick in other.reports(function="tick")[ticks:][:1]] == ([True] if is_past_due else [])


@pytest.mark.parametrize("is_placeholder", [False, True])
def test_a_placeholder_has_its_threads_before_its_settings(other: Sample, *, is_placeholder: bool) -> None:
    other.settings["PYTHON_THREADPOOL_THREAD_COUNT"] = "17"
    with other.host(is_placeholder=is_placeholder) as host:
        threads = requests.get(f"{host.url}/api/threads", timeout=10).json()

    assert threads == {"setting": "17", "pool": min(32, (os.cpu_count() or 1) + 4) if is_placeholder else 17}


def test_log_lines_of_threads_that_work_on_no_call_are_dropped(other: Sample) -> None:
    with other.host() as host:
        requests.get(f"{host.url}/api/log", timeout=10)

    assert "said within the call" in other.log()
    assert "said by a thread of its own" not in other.log()
    assert "said at import" not in other.log()


def test_a_worker_that_dies_leaves_500_and_is_followed_by_another(other: Sample) -> None:
    with other.host(survives_its_worker=True) as host:
        url = f"{host.url}/api"

        def status(route: str) -> int:
            return requests.get(f"{url}/{route}", timeout=10).status_code

        wait_until(lambda: status("echo") == 201)
        during = status("die")
        after = wait_until(lambda: status("echo") == 201)

    assert (during, after) == (500, True)


def test_host_json_can_be_overridden_and_functions_disabled_by_app_settings(other: Sample) -> None:
    other.settings["AzureFunctionsJobHost__extensions__http__routePrefix"] = ""
    other.settings["AzureFunctionsJobHost__logging__logLevel__default"] = "Error"
    other.settings["AzureWebJobs.fail.Disabled"] = "true"

    with other.host() as host:
        assert requests.get(f"{host.url}/echo", timeout=10).status_code == 201
        assert requests.get(f"{host.url}/fail", timeout=10).status_code == 404

    assert "INFO" not in other.log()


def test_asked_to_stop_it_lets_a_running_function_end(other: Sample) -> None:
    host = other.host().start()
    with ThreadPoolExecutor(1) as clients:
        answer = clients.submit(requests.get, f"{host.url}/api/wait", timeout=10)
        wait_until(lambda: other.reports(function="wait"))

        host.stop()

        assert answer.result().text == "waited"
    assert host.exit_code == 0


def test_asked_to_stop_it_does_not_wait_for_ever(other: Sample) -> None:
    other.queue.create_queue()
    other.queue.send_message("slow 60")
    host = other.host().start()
    wait_until(lambda: other.reports(body="slow 60"))
    asked_at = time.monotonic()

    host.stop()

    assert host.exit_code == 0
    assert 4.5 < time.monotonic() - asked_at < 8


def test_it_says_what_runs_and_where(url: str, sample: Sample) -> None:
    lines = sample.log().splitlines()

    assert f"    echo: [ANY] {url}/api/echo/{{name?}}" in lines
    assert f"    post_only: [POST] {url}/api/post-only" in lines
    assert "    remember: queueTrigger" in lines
    assert f"ready {url}" in lines


@pytest.mark.parametrize(
    ("app", "reason"),
    [
        ("broken", "ModuleNotFoundError: No module named 'a_module_that_is_not_installed'"),
        ("twins", r"Function 'second': the route 'api/Same' conflicts with the route defined by function 'first'\."),
        ("foreign", r"Function 'read' has a blobTrigger binding, unknown to this host\."),
        (".", r"There are no functions in .*/tests/apps\."),
    ],
)
def test_an_app_that_cannot_run_is_refused_with_the_reason(app: str, reason: str) -> None:
    host = FunctionsHost(app=APPS / app, settings={})

    with pytest.raises(NotReady, match=rf"ended with exit code 1\.(.|\n)*{reason}"):
        host.start()


def test_a_schedule_that_is_none_is_refused_with_the_reason(other: Sample) -> None:
    other.settings["SCHEDULE"] = "every day"

    with pytest.raises(NotReady, match="Function 'tick': the schedule is no NCRONTAB expression: 'every day' has 2"):
        other.host().start()


def test_host_json_has_the_real_defaults(tmp_path: Path) -> None:
    host_json = read_host_json(tmp_path, {})

    assert (host_json.route_prefix, host_json.log_level) == ("api", logging.INFO)
    assert host_json.queues == QueueSettings(
        batch_size=16,
        new_batch_threshold=8,
        visibility_timeout=timedelta(),
        max_dequeue_count=5,
        max_polling_interval=timedelta(minutes=1),
        is_base64=True,
    )


def test_a_time_span_may_have_days_and_fractions(tmp_path: Path) -> None:
    name = "AzureFunctionsJobHost__extensions__queues__visibilityTimeout"

    host_json = read_host_json(tmp_path, {name: "1.02:03:04.5"})

    assert host_json.queues.visibility_timeout == timedelta(days=1, hours=2, minutes=3, seconds=4.5)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a JSON object"),
        ('{"extensions": {"queues": {"batchSize": 33}}}', "batchSize is 33, and must be 1 to 32"),
        ('{"extensions": {"queues": {"visibilityTimeout": "30"}}}', "30 is not a time span"),
        ('{"extensions": {"queues": {"messageEncoding": "rot13"}}}', "must be base64 or none"),
        ('{"extensions": {"http": []}}', "malformed"),
        ('{"logging": {"logLevel": {"default": "Loud"}}}', "malformed"),
    ],
)
def test_a_host_json_that_cannot_be_meant_is_refused_with_the_reason(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "host.json").write_text(text, encoding="utf-8")

    with pytest.raises(Misconfigured, match=reason):
        read_host_json(tmp_path, {})


def test_app_settings_of_a_local_settings_file_give_way_to_those_that_are_set(other: Sample, tmp_path: Path) -> None:
    file = tmp_path / "local.settings.json"
    file.write_text(json.dumps({"Values": {"PYTHON_THREADPOOL_THREAD_COUNT": "1", "SCHEDULE": NEVER}}))
    del other.settings["SCHEDULE"]

    host = ChildProcess(
        [sys.executable, "-m", "local.host", "--app", str(APPS / "sample"), "--port", "0", "--settings", str(file)],
        directory=APPS.parents[1],
        environment={**os.environ, **other.settings},
    )
    url = host.wait_for(READY_LINE, deadline=timedelta(seconds=30))[0][1]
    with ThreadPoolExecutor(2) as clients:
        answers = list(clients.map(lambda _: requests.get(f"{url}/api/meet", timeout=20), range(2)))
    host.stop()

    assert [answer.text for answer in answers] == ["8", "8"]


def test_a_taken_port_is_told(other: Sample) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = other.host(port=taken.getsockname()[1])

        with pytest.raises(NotReady, match="Address already in use"):
            host.start()


@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        ("0 */5 * * * *", "2026-03-01T10:00:00", "2026-03-01T10:05:00"),
        ("0 */5 * * * *", "2026-03-01T23:59:59.5", "2026-03-02T00:00:00"),
        ("*/5 * * * *", "2026-03-01T10:01:30", "2026-03-01T10:05:00"),
        ("30 0 9-17 * * Mon-Fri", "2026-02-27T17:00:30", "2026-03-02T09:00:30"),
        ("0 0 0 1,15 Jan,jul *", "2026-01-15T00:00:00", "2026-07-01T00:00:00"),
        ("0 5/20 * * * *", "2026-03-01T10:46:00", "2026-03-01T11:05:00"),
        # Both the 13th and a Friday, where other crons would take either.
        ("0 0 0 13 * 5", "2026-03-14T00:00:00", "2026-11-13T00:00:00"),
        ("0 0 0 29 2 0", "2026-01-01T00:00:00", "2032-02-29T00:00:00"),
    ],
)
def test_a_schedule_has_a_next_time(expression: str, after: str, expected: str) -> None:
    next_time = parse_schedule(expression).next_after(datetime.fromisoformat(after).replace(tzinfo=UTC))

    assert next_time == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_a_day_that_never_comes_has_no_next_time() -> None:
    assert parse_schedule("0 0 0 31 2 *").next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "60 * * * * *", "0 0 0 0 * *", "0 0 0 * * 7", "0 9-5 * * * *", "* * * * * Funday"]
)
def test_what_is_no_schedule_is_refused(expression: str) -> None:
    with pytest.raises(ValueError, match=r"fields instead of six|is not one of|names no value"):
        parse_schedule(expression)

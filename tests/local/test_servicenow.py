"""Does the stand-in answer as ServiceNow's documentation and live instances do?"""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from local.servicenow.demo_cmdb import arm_id, ci_sys_id
from local.servicenow.glide import Switches, SysIds
from local.servicenow.instance import ServiceNowStandIn

A, B, C = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn() as running:
        yield running
        assert running.crashes == []


@pytest.fixture
def client(instance: ServiceNowStandIn) -> Iterator[requests.Session]:
    with signed_in(instance) as session:
        yield session


def signed_in(instance: ServiceNowStandIn) -> requests.Session:
    session = requests.Session()
    session.auth = (instance.credentials.username, instance.credentials.password)
    return session


def table(instance: ServiceNowStandIn, name: str = "incident", sys_id: str = "", version: str = "") -> str:
    return "/".join(filter(None, (instance.url, "api/now", version, "table", name, sys_id)))


def insert(instance: ServiceNowStandIn, client: requests.Session, sys_id: str = A, **values: object) -> Any:
    answer = client.post(table(instance), json={"sys_id": sys_id, **values}, timeout=5)
    assert answer.status_code == 201
    return answer.json()["result"]


def error(message: str, detail: str | None) -> dict[str, object]:
    return {"error": {"message": message, "detail": detail}, "status": "failure"}


NOT_AUTHENTICATED = error("User is not authenticated", "Required to provide Auth information")
NO_RECORD = error("No Record found", "Record doesn't exist or ACL restricts the record retrieval")
NO_RESOURCE = error("Requested URI does not represent any resource", None)


def eventually(condition: Callable[[], bool], deadline: float = 5) -> None:
    ends_at = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < ends_at, "the condition never came true"
        time.sleep(0.002)


class TestVerbs:
    def test_an_insert_answers_201_with_a_location_and_values_that_are_strings(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        answer = client.post(table(instance), json={"sys_id": A, "short_description": "x", "impact": 1}, timeout=5)

        assert answer.status_code == 201
        assert answer.headers["Location"] == f"{instance.url}/api/now/v2/table/incident/{A}"
        result = answer.json()["result"]
        assert (result["sys_id"], result["number"], result["impact"]) == (A, "INC0010001", "1")
        assert (result["active"], result["close_notes"], result["sys_mod_count"]) == ("true", "", "0")
        assert result["opened_by"] == {
            "link": f"{instance.url}/api/now/table/sys_user/{instance.node.account.sys_id}",
            "value": instance.node.account.sys_id,
        }

    def test_of_an_array_the_first_element_is_inserted(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        answer = client.post(table(instance), json=[{"sys_id": A}, {"sys_id": B}], timeout=5)

        assert answer.status_code == 201
        assert [row["sys_id"] for row in instance.incidents] == [A]

    @pytest.mark.parametrize("method", ["PATCH", "PUT"])
    def test_an_update_changes_what_is_sent_alone(
        self, instance: ServiceNowStandIn, client: requests.Session, method: str
    ) -> None:
        insert(instance, client, short_description="x", description="y")

        answer = client.request(method, table(instance, sys_id=A), json={"description": "z"}, timeout=5)

        assert answer.status_code == 200
        result = answer.json()["result"]
        assert (result["short_description"], result["description"], result["sys_mod_count"]) == ("x", "z", "1")

    @pytest.mark.parametrize("method", ["PATCH", "PUT", "GET", "DELETE"])
    def test_an_unknown_sys_id_is_404_and_never_an_insert(
        self, instance: ServiceNowStandIn, client: requests.Session, method: str
    ) -> None:
        answer = client.request(method, table(instance, sys_id=A), json={"description": "z"}, timeout=5)

        assert (answer.status_code, answer.json()) == (404, NO_RECORD)
        assert instance.incidents == []

    def test_a_delete_answers_204(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        insert(instance, client)

        answer = client.delete(table(instance, sys_id=A), timeout=5)

        assert (answer.status_code, answer.content) == (204, b"")
        assert instance.incidents == []

    @pytest.mark.parametrize(("version", "status"), [("", 200), ("v2", 200), ("v1", 404)])
    def test_no_rows_are_an_error_in_version_1_alone(
        self, instance: ServiceNowStandIn, client: requests.Session, version: str, status: int
    ) -> None:
        answer = client.get(table(instance, version=version), timeout=5)

        assert answer.status_code == status
        assert answer.json() == (NO_RECORD if status == 404 else {"result": []})

    def test_the_method_can_be_overridden(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        insert(instance, client)

        answer = client.post(
            table(instance, sys_id=A), json={"description": "z"}, headers={"X-HTTP-Method-Override": "PATCH"}, timeout=5
        )

        assert (answer.status_code, answer.json()["result"]["description"]) == (200, "z")

    def test_the_body_of_an_insert_can_be_suppressed(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        answer = client.post(table(instance), json={"sys_id": A}, headers={"X-no-response-body": "true"}, timeout=5)

        assert (answer.status_code, answer.content) == (201, b"")
        assert answer.headers["Location"].endswith(A)

    def test_head_is_get_without_a_body(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        insert(instance, client)

        answer = client.head(table(instance), timeout=5)

        assert (answer.status_code, answer.headers["X-Total-Count"], answer.content) == (200, "1", b"")

    @pytest.mark.parametrize("dropped", ["Accept", "Content-Type"])
    def test_a_write_without_either_format_header_is_400(
        self, instance: ServiceNowStandIn, client: requests.Session, dropped: str
    ) -> None:
        headers = {"Content-Type": "application/json", "Accept": "application/json", dropped: None}

        answer = client.post(table(instance), data=b"{}", headers=headers, timeout=5)

        assert answer.status_code == 400
        assert instance.incidents == []

    def test_a_read_without_accept_is_400(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        assert client.get(table(instance), headers={"Accept": None}, timeout=5).status_code == 400

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff"])
    def test_a_body_that_cannot_be_read_is_400(
        self, instance: ServiceNowStandIn, client: requests.Session, body: bytes
    ) -> None:
        answer = client.post(table(instance), data=body, headers={"Content-Type": "application/json"}, timeout=5)

        assert answer.status_code == 400
        assert answer.json()["error"]["message"] == "Exception while reading request"

    def test_a_body_over_10_mib_is_refused(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        body = b'{"description":"' + b"x" * 10_485_760 + b'"}'

        answer = client.post(table(instance), data=body, headers={"Content-Type": "application/json"}, timeout=20)

        assert answer.status_code == 400
        assert answer.json() == error(
            "Exception while reading request",
            "Rejected large REST payload with content-length = 10485778 bytes. Max allowed: 10485760 bytes.",
        )

    def test_an_invalid_table_is_400(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        answer = client.get(table(instance, "u_none"), timeout=5)

        assert (answer.status_code, answer.json()) == (400, error("Invalid table u_none", None))

    @pytest.mark.parametrize("path", ["/api/now/none", "/api/now/v3/table/incident", "/api/now/table", "/api/x"])
    def test_a_path_that_is_no_resource_is_400(
        self, instance: ServiceNowStandIn, client: requests.Session, path: str
    ) -> None:
        answer = client.get(instance.url + path, timeout=5)

        assert (answer.status_code, answer.json()) == (400, NO_RESOURCE)

    def test_a_body_in_chunks_is_read(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        pieces = iter([b'{"sys_id":', f'"{A}"}}'.encode()])

        answer = client.post(table(instance), data=pieces, headers={"Content-Type": "application/json"}, timeout=5)

        assert answer.json()["result"]["sys_id"] == A


class TestHeaders:
    def test_a_node_answers_with_the_headers_of_a_live_instance(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        headers = client.get(table(instance), timeout=5).headers

        assert headers["Server"] == "ServiceNow"
        assert headers["X-Is-Logged-In"] == "true"
        assert len(bytes.fromhex(headers["X-Transaction-Id"])) == 6
        assert headers["X-Total-Count"] == "0"
        assert headers["Server-Timing"] == "sem_wait;dur=0, sesh_wait;dur=0"
        assert headers["Content-Type"] == "application/json;charset=UTF-8"
        assert headers["Content-Encoding"] == "gzip"
        assert headers["Transfer-Encoding"] == "chunked"
        assert headers["Cache-Control"] == "no-cache,no-store,must-revalidate,max-age=-1"
        assert headers["Pragma"] == "no-store,no-cache"
        assert headers["Expires"] == "0"
        assert headers["Strict-Transport-Security"].startswith("max-age=63072000")

    def test_a_session_is_opened_once_by_cookie(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        first = client.get(table(instance), timeout=5)
        second = client.get(table(instance), timeout=5)

        names = {"JSESSIONID", "glide_user_route", "glide_session_store", "BIGipServerpool_standin"}
        assert set(first.cookies.keys()) == names
        assert "Set-Cookie" not in second.headers

    def test_an_answer_is_plain_for_a_client_that_cannot_unzip(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        answer = client.get(table(instance), headers={"Accept-Encoding": "identity"}, timeout=5)

        assert "Content-Encoding" not in answer.headers
        assert answer.json() == {"result": []}

    def test_pages_are_linked(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        for sys_id in (A, B, C):
            insert(instance, client, sys_id)

        links = client.get(table(instance), params={"sysparm_limit": 2, "sysparm_offset": 1}, timeout=5).links

        assert {rel: link["url"].rpartition("=")[2] for rel, link in links.items()} == {
            "first": "0",
            "prev": "-1",
            "last": "2",
        }

    def test_the_links_and_the_count_can_be_left_out(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        insert(instance, client, A)
        insert(instance, client, B)
        parameters = {"sysparm_limit": "1", "sysparm_no_count": "true", "sysparm_suppress_pagination_header": "true"}

        headers = client.get(table(instance), params=parameters, timeout=5).headers

        assert "Link" not in headers
        assert "X-Total-Count" not in headers

    def test_two_authorization_headers_are_refused_by_the_edge(self, instance: ServiceNowStandIn) -> None:
        with socket.create_connection(("127.0.0.1", int(instance.url.rpartition(":")[2])), timeout=5) as connection:
            connection.sendall(
                b"GET /api/now/table/incident HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n"
                b"Authorization: Basic eA==\r\nAuthorization: Basic eA==\r\n\r\n"
            )
            answer = connection.recv(4096)

        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"Server: snow_adc" in answer
        assert b"X-Transaction-ID" not in answer


class TestParameters:
    @pytest.fixture
    def row(self, instance: ServiceNowStandIn, client: requests.Session) -> str:
        insert(instance, client, impact="1", urgency="1", cmdb_ci=ci_sys_id("vm-web-01"), work_notes="first")
        return table(instance, sys_id=A)

    FIELDS = "state,cmdb_ci,caller_id,cmdb_ci.name,work_notes,u_none,cmdb_ci.u_none"

    def show(self, client: requests.Session, url: str, **parameters: str) -> Any:
        return client.get(url, params={"sysparm_fields": self.FIELDS} | parameters, timeout=5).json()["result"]

    def test_raw_values_are_the_default(self, instance: ServiceNowStandIn, client: requests.Session, row: str) -> None:
        assert self.show(client, row) == {
            "state": "1",
            "cmdb_ci": {
                "link": f"{instance.url}/api/now/table/cmdb_ci/{ci_sys_id('vm-web-01')}",
                "value": ci_sys_id("vm-web-01"),
            },
            "caller_id": "",
            "cmdb_ci.name": "vm-web-01",
            "work_notes": "",
        }

    def test_references_can_be_plain(self, client: requests.Session, row: str) -> None:
        shown = self.show(client, row, sysparm_exclude_reference_link="true")

        assert shown["cmdb_ci"] == ci_sys_id("vm-web-01")

    def test_display_values_come_with_links(
        self, instance: ServiceNowStandIn, client: requests.Session, row: str
    ) -> None:
        shown = self.show(client, row, sysparm_display_value="true")

        assert shown["state"] == "New"
        assert shown["cmdb_ci"] == {
            "display_value": "vm-web-01",
            "link": f"{instance.url}/api/now/table/cmdb_ci/{ci_sys_id('vm-web-01')}",
        }
        assert shown["work_notes"].endswith(" - ITSM Bridge (Work notes)\nfirst\n\n")

    def test_both_values_can_be_had(self, client: requests.Session, row: str) -> None:
        shown = self.show(client, row, sysparm_display_value="all", sysparm_exclude_reference_link="true")

        assert shown["state"] == {"display_value": "New", "value": "1"}
        assert shown["cmdb_ci"] == {"display_value": "vm-web-01", "value": ci_sys_id("vm-web-01")}
        assert shown["work_notes"]["value"] == ""
        assert shown["work_notes"]["display_value"].endswith("first\n\n")

    def test_dates_are_utc_unless_display_values_are_asked_for(
        self, client: requests.Session, row: str, instance: ServiceNowStandIn
    ) -> None:
        raw = client.get(row, params={"sysparm_fields": "opened_at"}, timeout=5).json()["result"]["opened_at"]
        shown = client.get(
            row, params={"sysparm_fields": "opened_at", "sysparm_display_value": "true"}, timeout=5
        ).json()["result"]["opened_at"]

        difference = datetime.fromisoformat(raw) - datetime.fromisoformat(shown)
        assert difference == -instance.switches.time_zone
        assert raw == instance.incident(A)["opened_at"]

    @pytest.mark.usefixtures("row")
    def test_names_and_values_filter_as_a_query_does(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        insert(instance, client, B, correlation_id="k")

        found = client.get(table(instance), params={"correlation_id": "k"}, timeout=5).json()["result"]

        assert [each["sys_id"] for each in found] == [B]

    @pytest.mark.usefixtures("row")
    def test_an_unknown_parameter_is_ignored_so_that_the_whole_table_is_returned(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        insert(instance, client, B)

        answer = client.get(table(instance), params={"query": "number=INC0010001"}, timeout=5)

        assert answer.headers["X-Total-Count"] == "2"
        assert [each["sys_id"] for each in answer.json()["result"]] == [A, B]

    def test_a_query_for_a_column_that_cmdb_ci_lacks_returns_every_item(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        parameters = {"sysparm_query": "object_id=none", "sysparm_fields": "name,object_id", "sysparm_limit": "1"}

        answer = client.get(table(instance, "cmdb_ci"), params=parameters, timeout=5)

        assert answer.headers["X-Total-Count"] == str(len(instance.rows("cmdb_ci")))
        assert list(answer.json()["result"][0]) == ["name"]
        assert instance.widened == ["object_id=none"]

    def test_values_can_be_sent_as_displayed(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        url = table(instance) + "?sysparm_input_display_value=true"

        result = client.post(url, json={"urgency": "1 - High", "cmdb_ci": "lb-shop"}, timeout=5).json()["result"]

        assert (result["urgency"], result["cmdb_ci"]["value"]) == ("1", ci_sys_id("lb-shop"))


class TestAccess:
    def test_rows_that_may_not_be_read_are_counted_and_not_shown(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        insert(instance, client, A)
        insert(instance, client, B)
        instance.switches.unreadable_tables = {"incident"}

        answer = client.get(table(instance), timeout=5)

        assert (answer.status_code, answer.json(), answer.headers["X-Total-Count"]) == (200, {"result": []}, "2")
        assert client.get(table(instance, sys_id=A), timeout=5).json() == NO_RECORD
        assert client.patch(table(instance, sys_id=A), json={"state": "2"}, timeout=5).status_code == 404

    def test_an_insert_by_one_who_may_not_read_shows_nothing(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        instance.switches.unreadable_tables = {"incident"}

        answer = client.post(table(instance), json={"sys_id": A}, timeout=5)

        assert (answer.status_code, answer.json()) == (201, {"result": {}})
        assert len(instance.incidents) == 1

    def test_the_limit_comes_before_access_control(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        insert(instance, client, A)
        insert(instance, client, B)
        instance.switches.unreadable_rows = {A}

        answer = client.get(table(instance), params={"sysparm_limit": "1"}, timeout=5)

        assert answer.json() == {"result": []}
        assert answer.headers["X-Total-Count"] == "2"

    @pytest.mark.parametrize("auth", [None, ("nobody", "x"), ("itsm.bridge", "wrong")])
    def test_whoever_is_not_known_gets_the_same_401(
        self, instance: ServiceNowStandIn, auth: tuple[str, str] | None
    ) -> None:
        answer = requests.get(table(instance), params={"sysparm_limit": 1}, auth=auth, timeout=5)

        assert (answer.status_code, answer.json()) == (401, NOT_AUTHENTICATED)
        assert answer.headers["WWW-Authenticate"] == 'BASIC realm="Service-now"'
        assert answer.headers["X-Is-Logged-In"] == "false"
        assert "X-Transaction-ID" in answer.headers

    def test_forbidden_basic_authentication_looks_the_same(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        instance.switches.allows_basic_authentication = False

        assert client.get(table(instance), timeout=5).json() == NOT_AUTHENTICATED

    @pytest.mark.parametrize(("key", "status"), [("made-up-api-key", 200), ("wrong", 401)])
    def test_an_api_key_is_a_header(self, instance: ServiceNowStandIn, key: str, status: int) -> None:
        answer = requests.get(table(instance), headers={"x-sn-apikey": key}, timeout=5)

        assert answer.status_code == status

    @pytest.mark.parametrize("header", ["Basic !", "Basic", "Bearer ", "Bearer x", "Digest x", ""])
    def test_malformed_authorization_is_401(self, instance: ServiceNowStandIn, header: str) -> None:
        answer = requests.get(table(instance), headers={"Authorization": header}, timeout=5)

        assert answer.status_code == 401

    def test_a_sys_id_can_be_ignored_or_refused(self, instance: ServiceNowStandIn, client: requests.Session) -> None:
        instance.switches.sys_ids = SysIds.IGNORED
        assert client.post(table(instance), json={"sys_id": A}, timeout=5).json()["result"]["sys_id"] != A

        instance.switches.sys_ids = SysIds.REFUSED
        answer = client.post(table(instance), json={"sys_id": A}, timeout=5)
        assert (answer.status_code, answer.json()["error"]["message"]) == (403, "Operation Failed")


class TestTokens:
    def ask(self, instance: ServiceNowStandIn, **form: str) -> requests.Response:
        known = instance.credentials
        body = {"client_id": known.client_id, "client_secret": known.client_secret} | form
        return requests.post(f"{instance.url}/oauth_token.do", data=body, timeout=5)

    def read(self, instance: ServiceNowStandIn, token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return requests.get(table(instance), headers=headers, timeout=5).status_code

    def test_client_credentials_give_a_token(self, instance: ServiceNowStandIn) -> None:
        answer = self.ask(instance, grant_type="client_credentials")

        content = answer.json()
        assert answer.status_code == 200
        assert content | {"access_token": ""} == {
            "access_token": "",
            "scope": "useraccount",
            "token_type": "Bearer",
            "expires_in": 1799,
        }
        assert self.read(instance, content["access_token"]) == 200

    def test_the_current_token_is_given_again_with_less_time_left(self, instance: ServiceNowStandIn) -> None:
        instance.switches.token_lifetime = 2
        first = self.ask(instance, grant_type="client_credentials").json()

        eventually(lambda: self.ask(instance, grant_type="client_credentials").json()["expires_in"] < 1)

        assert first["expires_in"] == 1
        assert self.ask(instance, grant_type="client_credentials").json()["access_token"] == first["access_token"]

    def test_a_token_ends(self, instance: ServiceNowStandIn) -> None:
        instance.switches.token_lifetime = 0.2
        first = self.ask(instance, grant_type="client_credentials").json()["access_token"]

        eventually(lambda: self.read(instance, first) == 401)

        assert self.ask(instance, grant_type="client_credentials").json()["access_token"] != first

    def test_tokens_can_be_revoked(self, instance: ServiceNowStandIn) -> None:
        token = self.ask(instance, grant_type="client_credentials").json()["access_token"]

        instance.revoke_tokens()

        assert self.read(instance, token) == 401

    def test_a_password_gives_a_token_that_can_be_refreshed(self, instance: ServiceNowStandIn) -> None:
        known = instance.credentials
        first = self.ask(instance, grant_type="password", username=known.username, password=known.password).json()

        second = self.ask(instance, grant_type="refresh_token", refresh_token=first["refresh_token"]).json()

        assert self.read(instance, second["access_token"]) == 200

    @pytest.mark.parametrize(
        "form",
        [
            {"grant_type": "client_credentials", "client_secret": "wrong"},
            {"grant_type": "client_credentials", "client_id": "wrong"},
            {"grant_type": "password", "username": "itsm.bridge", "password": "wrong"},
            {"grant_type": "refresh_token", "refresh_token": "wrong"},
            {"grant_type": "none"},
            {},
        ],
    )
    def test_every_cause_has_the_same_401(self, instance: ServiceNowStandIn, form: dict[str, str]) -> None:
        answer = self.ask(instance, **form)

        assert answer.status_code == 401
        assert answer.json() == {"error_description": "access_denied", "error": "server_error"}

    def test_client_credentials_can_be_switched_off(self, instance: ServiceNowStandIn) -> None:
        instance.switches.allows_client_credentials = False

        assert self.ask(instance, grant_type="client_credentials").status_code == 401

    def test_parameters_in_the_address_are_not_read(self, instance: ServiceNowStandIn) -> None:
        known = instance.credentials
        form = {"grant_type": "client_credentials", "client_id": known.client_id, "client_secret": known.client_secret}

        answer = requests.post(f"{instance.url}/oauth_token.do", params=form, timeout=5)

        assert answer.status_code == 401


class TestPressure:
    def test_a_rate_limit_rule_counts_per_hour(self) -> None:
        def half_past() -> datetime:
            return datetime(2026, 1, 1, 10, 30, tzinfo=UTC)

        with (
            ServiceNowStandIn(switches=Switches(requests_per_hour=2), now=half_past) as instance,
            signed_in(instance) as client,
        ):
            client.get(table(instance), timeout=5)
            allowed = client.get(table(instance), timeout=5)
            denied = client.post(table(instance), json={}, timeout=5)

            assert (allowed.status_code, allowed.headers["X-RateLimit-Limit"]) == (200, "2")
            assert denied.status_code == 429
            assert denied.json() == error(
                "Rate limit exceeded", "Rate limit of 2 requests per hour for Table API exceeded"
            )
            assert denied.headers["X-RateLimit-Reset"] == str(int(datetime(2026, 1, 1, 11, tzinfo=UTC).timestamp()))
            assert len(denied.headers["X-RateLimit-Rule"]) == 32
            assert denied.headers["Retry-After"] == "1800"
            assert instance.incidents == []

    def test_what_finds_no_semaphore_and_no_place_in_the_queue_is_429_without_headers(
        self, instance: ServiceNowStandIn
    ) -> None:
        instance.switches.semaphores, instance.switches.semaphore_queue = 1, 1
        instance.delay = 0.4
        answers: list[requests.Response] = []
        threads = [threading.Thread(target=lambda: answers.append(self.insert_anew(instance))) for _ in range(2)]

        for thread in threads:
            thread.start()
        eventually(lambda: instance.in_flight == 2)
        refused = self.insert_anew(instance)
        for thread in threads:
            thread.join()

        assert [answer.status_code for answer in answers] == [201, 201]
        assert (refused.status_code, refused.content) == (429, b"")
        assert not {"Retry-After", "X-RateLimit-Limit"} & set(refused.headers)
        assert len(instance.incidents) == 2
        assert instance.max_in_flight == 3

    def insert_anew(self, instance: ServiceNowStandIn) -> requests.Response:
        with signed_in(instance) as session:
            return session.post(table(instance), json={}, timeout=5)

    @pytest.mark.parametrize("is_executed", [False, True])
    def test_requests_of_one_session_wait_for_each_other_and_then_get_202(
        self, instance: ServiceNowStandIn, client: requests.Session, *, is_executed: bool
    ) -> None:
        client.get(table(instance), timeout=5)
        cookies = {"JSESSIONID": client.cookies["JSESSIONID"]}
        instance.delay, instance.switches.session_wait = 0.3, 0.05
        instance.switches.executes_after_202 = is_executed

        def read_slowly() -> None:
            with signed_in(instance) as session:
                session.get(table(instance), cookies=cookies, timeout=5)

        thread = threading.Thread(target=read_slowly)
        thread.start()
        eventually(lambda: instance.in_flight == 1)
        answer = client.post(table(instance), json={}, timeout=5)
        thread.join()

        assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (202, b"", "0")
        assert len(instance.incidents) == (1 if is_executed else 0)

    def test_a_client_that_hangs_up_does_not_stop_the_work(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        instance.delay = 0.2

        with pytest.raises(requests.ReadTimeout):
            client.post(table(instance), json={}, timeout=0.05)

        assert instance.incidents == []
        eventually(lambda: len(instance.incidents) == 1)


class TestTheStandInItself:
    def test_calls_are_recorded_without_their_bodies(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        insert(instance, client, short_description="secret")
        client.get(table(instance), params={"sysparm_query": "number=1"}, timeout=5)
        requests.get(instance.url, timeout=5)

        first, second = instance.calls
        assert (first.method, first.table, first.status, first.fault) == ("POST", "incident", 201, "")
        assert first.fields == ("sys_id", "short_description")
        assert (second.path, second.query) == ("/api/now/table/incident", {"sysparm_query": "number=1"})
        assert "secret" not in repr(instance.calls)
        assert instance.calls_to("incident", "GET") == [second]
        instance.forget_calls()
        assert instance.calls == []

    def test_it_goes_down_and_comes_back_on_the_same_port_with_its_rows(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        insert(instance, client)
        url = instance.url

        instance.stop()
        with pytest.raises(requests.ConnectionError, match="refused"):
            requests.get(url, timeout=5)
        instance.start()

        assert instance.url == url
        assert client.get(table(instance, sys_id=A), timeout=5).status_code == 200

    def test_what_has_not_been_executed_when_it_goes_down_never_is(self, instance: ServiceNowStandIn) -> None:
        instance.delay = 30
        errors: list[Exception] = []

        def insert_slowly() -> None:
            with signed_in(instance) as session:
                try:
                    session.post(table(instance), json={}, timeout=30)
                except requests.ConnectionError as failure:
                    errors.append(failure)

        thread = threading.Thread(target=insert_slowly)
        thread.start()
        eventually(lambda: instance.in_flight == 1)
        instance.stop()
        thread.join(timeout=5)

        assert len(errors) == 1
        assert instance.incidents == []
        instance.start()

    def test_a_person_edits_resolves_closes_and_cancels(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        for sys_id in (A, B, C):
            insert(instance, client, sys_id)

        instance.edit(A, {"work_notes": "Mine.", "assigned_to": "x"})
        instance.resolve(A)
        instance.close(B)
        instance.cancel(C)

        assert [row["state"] for row in instance.incidents] == ["6", "7", "8"]
        assert instance.notes(A) == ["Mine."]
        assert instance.incident(A)["sys_updated_by"] == "beth.anglin"

    def test_the_demonstration_has_a_retired_duplicate_and_an_ambiguous_pair(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        def find(name: str, within_group: str) -> list[Any]:
            parameters = {
                "sysparm_query": f"object_id={arm_id(within_group)}",
                "sysparm_fields": "name,object_id,install_status",
            }
            found: list[Any] = client.get(table(instance, name), params=parameters, timeout=5).json()["result"]
            return found

        machines = find("cmdb_ci_vm_instance", "Microsoft.Compute/virtualMachines/vm-web-01")
        assert sorted(machine["install_status"] for machine in machines) == ["1", "7"]
        assert len(find("cmdb_ci_cmp_resource", "Microsoft.Cache/redis/redis-cart")) == 2
        assert len({row["sys_class_name"] for row in instance.rows("cmdb_ci")}) >= 14

    def test_a_native_key_leads_to_an_item_without_object_id(
        self, instance: ServiceNowStandIn, client: requests.Session
    ) -> None:
        key = arm_id("Microsoft.SqlVirtualMachine/sqlVirtualMachines/vm-erp-01")

        found = client.get(
            table(instance, "sys_object_source"), params={"sysparm_query": f"id={key}"}, timeout=5
        ).json()["result"]

        assert [row["target_sys_id"] for row in found] == [ci_sys_id("SQL01@vm-erp-01")]

    def test_it_runs_alone(self) -> None:
        command = [sys.executable, "-u", "-m", "local.servicenow", "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                url = process.stdout.readline().split()[2]
                answer = requests.get(url, timeout=5)
            finally:
                process.terminate()

        assert answer.status_code == 200
        assert "<h1>Incidents</h1>" in answer.text

    def test_a_connection_that_says_nothing_does_not_keep_it_from_stopping(self, instance: ServiceNowStandIn) -> None:
        with contextlib.closing(socket.create_connection(("127.0.0.1", int(instance.url.rpartition(":")[2])))):
            started_at = time.monotonic()
            instance.stop()

        assert time.monotonic() - started_at < 2
        instance.start()

"""Which alert is meant, which alerts there are, and how one is forgotten."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from azure.data.tables import TableClient, UpdateMode

from itsm_bridge.azure_monitor.correlation import key_of_alert_id
from itsm_bridge.operate import cli
from itsm_bridge.operate.alerts import asking
from itsm_bridge.operate.exit_status import NotUnderstood
from itsm_bridge.reconcile.merge import first_record
from itsm_bridge.reconcile.record import Record
from itsm_bridge.storage.account import TABLE
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.row_format import partition_of
from local.azurite import Azurite
from tests.builders import FIELDS, HOUR, KEY, changed, notification, resolved, told
from tests.operate.rows import messages, now, parked, run, settled, told_as_json, unsettled

ROOT = Path(__file__).parents[2]
GUID = "d3adbeef-0000-4000-8000-000000000001"
ALERT_ID = f"/subscriptions/1/providers/Microsoft.AlertsManagement/alerts/{GUID}"
OTHER = KEY[:8] + "f" * 56
ASIDE_KEY = f"damaged-{KEY}-0123456789ab"
RUN = "import runpy; runpy.run_module('itsm_bridge', run_name='__main__')"
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def of_alert_id() -> Record:
    said = notification(key=key_of_alert_id(ALERT_ID), signal=ALERT_ID.lower())
    return first_record(said, now())


class Terminal(StringIO):
    """A screen that remembers what it was told."""

    def isatty(self) -> bool:
        return True


class TestWhichAlert:
    """A person names it by what is at hand."""

    @pytest.mark.parametrize("what", [KEY[:6], KEY[:12], KEY[:12].upper(), KEY[:63], "INC0010001", "inc0010001"])
    def test_a_unique_beginning_or_the_number_is_enough(
        self, what: str, table: AlertTable, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for row in (settled(), unsettled("b2" * 32)):
            table.insert(row)

        code, rows = told_as_json(capsys, "show", what)

        assert (code, [row["key"] for row in rows]) == (0, [KEY])

    @pytest.mark.parametrize("what", [ALERT_ID, ALERT_ID.upper(), GUID, GUID.upper(), GUID.replace("-", "")])
    def test_an_alert_id_or_the_guid_at_its_end(
        self, what: str, table: AlertTable, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for row in (settled(), of_alert_id()):
            table.insert(row)

        code, rows = told_as_json(capsys, "show", what)

        assert (code, [row["key"] for row in rows]) == (0, [key_of_alert_id(ALERT_ID)])

    def test_the_beginning_of_several_keys_is_refused_with_the_keys(
        self, table: AlertTable, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for row in (settled(), unsettled(OTHER)):
            table.insert(row)

        assert cli.main(["show", KEY[:8]]) == 2
        said = capsys.readouterr().err
        assert "is the beginning of 2 keys" in said
        assert f"{KEY[:16]} (INC0010001)" in said
        assert f"{OTHER[:16]} (no incident)" in said

    def test_too_few_digits_are_refused(self, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        table.insert(settled())

        assert cli.main(["show", KEY[:5]]) == 2
        assert "at least 6 digits" in capsys.readouterr().err

    @pytest.mark.parametrize("what", ["", "   ", "'", "INC' or '1' eq '1", "\x00", "é" * 40, "0" * 63])
    def test_what_means_nothing_finds_nothing(
        self, what: str, table: AlertTable, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table.insert(settled())

        assert cli.main(["show", what]) in (1, 2)
        assert KEY not in capsys.readouterr().out

    def test_the_keys_that_status_prints_are_accepted(
        self, table: AlertTable, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table.insert(parked())
        _, text = run(capsys, "status")
        key = next(line.split()[0] for line in text.splitlines() if line.startswith(KEY[:6]))

        assert run(capsys, "show", key)[0] == 0
        assert run(capsys, "replay", key)[0] == 0

    @pytest.mark.parametrize("command", [["show", KEY], ["show", KEY[:10]], ["replay", KEY], ["forget", KEY, "--yes"]])
    def test_a_row_of_a_newer_version_is_left_to_it(
        self, command: list[str], table: AlertTable, account: Azurite, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table.insert(settled())
        with TableClient.from_connection_string(account.connection_string, TABLE) as rows:
            newer = {"PartitionKey": partition_of(KEY), "RowKey": KEY, "needs_version": 99}
            rows.update_entity(newer, mode=UpdateMode.MERGE)

        assert cli.main(command) == 1
        assert "Use the version of itsm-bridge that is deployed." in capsys.readouterr().err


class TestList:
    """Which alerts are there?"""

    @pytest.fixture(autouse=True)
    def _rows(self, table: AlertTable) -> None:
        over = told(settled("a1" * 32), resolved(key="a1" * 32))
        disk = notification(
            key="d4" * 32,
            fields={**FIELDS, "correlation_display": "Azure Monitor: disk[1] full"},
            resources=("/subscriptions/s/resourcegroups/rg-shop/providers/x/y/vm-db-01",),
        )
        for row in (
            changed(over.settled(over), changed_at=LONG_AGO),
            changed(settled(), changed_at=now() - 2 * HOUR),
            changed(parked("c3" * 32), changed_at=now() - HOUR),
            first_record(disk, now()),
        ):
            table.insert(row)

    @pytest.mark.parametrize(
        ("arguments", "keys"),
        [
            ([], ["d4", "c3", KEY[:2], "a1"]),
            (["--limit", "2"], ["d4", "c3"]),
            (["--state", "parked"], ["c3"]),
            (["--state", "over"], ["a1"]),
            (["--state", "firing"], [KEY[:2]]),
            (["--state", "unsettled"], ["d4"]),
            (["--since", "90m"], ["d4", "c3"]),
            (["--since", "2026-01-01T00:00Z"], ["d4", "c3", KEY[:2], "a1"]),
            (["--since", "2026-01-02"], ["d4", "c3", KEY[:2]]),
            (["--rule", "DISK[1]"], ["d4"]),
            (["--rule", "cpu-*"], ["c3", KEY[:2], "a1"]),
            (["--rule", "cpu-"], ["c3", KEY[:2], "a1"]),
            (["--rule", "*full"], ["d4"]),
            (["--resource", "vm-db"], ["d4"]),
            (["--resource", "rg-shop", "--state", "parked"], []),
        ],
    )
    def test_those_that_are_asked_for_newest_first(
        self, arguments: list[str], keys: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, rows = told_as_json(capsys, "list", *arguments)

        assert (code, [row["key"][:2] for row in rows]) == (0, keys)

    def test_people_get_a_table(self, capsys: pytest.CaptureFixture[str]) -> None:
        code, text = run(capsys, "list", "--limit", "3")

        lines = text.splitlines()
        assert code == 0
        assert lines[0].split() == ["KEY", "STATE", "INCIDENT", "CHANGED", "ALERT"]
        assert lines[2].startswith("c3c3c3c3c3c3  parked     -")
        assert lines[-1] == "1 more; --limit shows more of them."

    def test_none_is_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(capsys, "list", "--rule", "none") == (0, "There are none.\n")

    @pytest.mark.parametrize("wrong", [["--since", "yesterday"], ["--limit", "0"], ["--state", "happy"]])
    def test_what_cannot_be_asked_for_is_refused(self, wrong: list[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            cli.main(["list", *wrong])

        assert ended.value.code == 2


class TestForget:
    """Delete what is remembered."""

    def test_an_alert_that_is_over_is_forgotten(self, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        table.insert(settled())

        assert told_as_json(capsys, "forget", KEY[:8], "--yes") == (0, {"forgotten": [KEY]})
        assert table.read(KEY) is None

    def test_nobody_is_there_to_be_asked(self, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        row = table.insert(settled())

        assert cli.main(["forget", KEY]) == 2
        said = capsys.readouterr().err
        assert "INC0010001 stays as it is in ServiceNow, and nobody resolves it" in said
        assert "--yes" in said
        assert table.read(KEY) == row

    @pytest.mark.parametrize(("answer", "is_agreed"), [("y", True), ("YES ", True), ("", False), ("n", False)])
    def test_a_person_is_asked(self, answer: str, is_agreed: bool) -> None:
        asked: list[str] = []

        def read(question: str) -> str:
            asked.append(question)
            return answer

        assert asking(is_terminal=True, is_agreed=False, read=read)("Forget?") is is_agreed
        assert asked == ["Forget? [y/N] "]

    def test_without_a_terminal_a_question_is_an_error(self) -> None:
        with pytest.raises(NotUnderstood):
            asking(is_terminal=False, is_agreed=False)("Forget?")

    def test_a_worker_is_not_disturbed(self, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        row = table.insert(unsettled(leased_until=datetime(2126, 1, 1, tzinfo=UTC)))

        assert cli.main(["forget", KEY, "--yes"]) == 1
        assert "is being worked on until 2126" in capsys.readouterr().err
        assert table.read(KEY) == row

    def test_a_row_that_cannot_be_read_is_taken_away(
        self, table: AlertTable, account: Azurite, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table.insert(settled())
        with TableClient.from_connection_string(account.connection_string, TABLE) as rows:
            damaged = {"PartitionKey": partition_of(KEY), "RowKey": KEY, "document_0": "{"}
            rows.update_entity(damaged, mode=UpdateMode.MERGE)
            rows.create_entity({"PartitionKey": partition_of(KEY), "RowKey": ASIDE_KEY, "was_x": 1})

        before = told_as_json(capsys, "status")[1]["unreadable"]
        codes = [cli.main(["forget", name, "--yes"]) for name in (KEY, ASIDE_KEY)]
        capsys.readouterr()
        again = cli.main(["forget", ASIDE_KEY, "--yes"])
        capsys.readouterr()

        assert ASIDE_KEY in before
        assert (codes, again) == ([0, 0], 1)
        assert told_as_json(capsys, "status")[1]["unreadable"] == []


class TestReplay:
    """Each row is told apart."""

    def test_a_row_in_work_is_left_to_its_worker(
        self, table: AlertTable, account: Azurite, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table.insert(unsettled(leased_until=datetime(2126, 1, 1, tzinfo=UTC)))

        code, content = told_as_json(capsys, "replay", KEY)

        assert (code, content["replayed"], messages(account)) == (0, [], 0)
        assert "Being worked on" in content["left"][0]["reason"]

    def test_a_row_that_waits_for_its_configuration_item_says_so_and_can_be_replayed(
        self, table: AlertTable, account: Azurite, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table.insert(changed(settled(), links_later=True, last_error="the CMDB did not answer"))

        _, shown = told_as_json(capsys, "show", KEY)
        code, content = told_as_json(capsys, "replay", KEY)

        assert shown[0]["next"].startswith(
            "INC0010001 says what Azure Monitor said, and waits for its configuration item."
        )
        assert (code, content["replayed"], messages(account)) == (0, [KEY], 1)


class TestEdges:
    """No traceback, whatever happens."""

    def test_forty_columns_are_enough(self, table: AlertTable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "40")
        monkeypatch.setenv("NO_COLOR", "1")
        for row in (parked(), unsettled("b2" * 32), settled("c3" * 32)):
            table.insert(row)

        texts = []
        for command in (["status"], ["list"], ["show", KEY], ["replay", "--parked"]):
            screen = Terminal()
            monkeypatch.setattr(sys, "stdout", screen)
            cli.main(command)
            texts.append(screen.getvalue())

        assert max(len(line) for text in texts for line in text.splitlines()) <= 40
        assert all(KEY[:12] in text for text in texts)

    def test_a_pipe_gets_its_lines_whole_whatever_the_environment_says(
        self, table: AlertTable, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("COLUMNS", "40")
        table.insert(parked())

        assert "Parked until somebody acts: ServiceNow says no" in run(capsys, "status")[1]

    def test_a_pipe_that_closes_ends_the_command_quietly(self, table: AlertTable) -> None:
        for number in range(200):
            table.insert(parked(f"{number:064x}"))
        command = [sys.executable, "-m", "itsm_bridge", "list", "--limit", "999", "--json"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as child:
            assert child.stdout
            assert child.stderr
            assert child.stdout.readline() == b"[\n"
            child.stdout.close()
            said = child.stderr.read()

        assert (child.returncode, said) == (0, b"")

    def test_an_error_that_nobody_foresaw_is_a_sentence(
        self, table: AlertTable, account: Azurite, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table.insert(settled())
        with TableClient.from_connection_string(account.connection_string, TABLE) as rows:
            rows.create_entity({"PartitionKey": "troubles", "RowKey": "refused-role", "count": "many"})

        assert cli.main(["status"]) == 1
        said = capsys.readouterr().err
        assert said.startswith("This is a fault of itsm-bridge; please report it: ")
        assert "Traceback" not in said

    @pytest.mark.parametrize("package", ["azure", "requests"])
    def test_a_python_without_the_packages_says_a_sentence(self, package: str) -> None:
        hide = f"import sys; sys.modules[{package!r}] = None; {RUN}"
        answer = subprocess.run(
            [sys.executable, "-c", hide], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )

        assert answer.returncode == 1
        assert "make setup" in answer.stderr
        assert "Traceback" not in answer.stderr

    def test_an_old_python_says_a_sentence(self) -> None:
        pretend = f"import sys; sys.version_info = (3, 8, 0); {RUN}"
        answer = subprocess.run(
            [sys.executable, "-c", pretend], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )

        assert answer.returncode == 1
        assert answer.stderr == "itsm-bridge needs Python 3.11 or newer, and this is 3.8.\n"


def test_json_is_json_for_every_command(table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
    table.insert(parked())

    for command in (["status"], ["list"], ["show", KEY], ["replay", KEY], ["forget", KEY, "--yes"], ["show", KEY]):
        _, text = run(capsys, *command, "--json")
        json.loads(text)

"""The command line over a real table and a real queue."""

import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from azure.data.tables import UpdateMode

from itsm_bridge import __version__
from itsm_bridge.app import stored
from itsm_bridge.azure_monitor.correlation import key_of_alert_id
from itsm_bridge.errors import InvalidSettings
from itsm_bridge.operate import alerts, cli, sources
from itsm_bridge.operate.desk import Desk
from itsm_bridge.operate.show import why
from itsm_bridge.reconcile.pages import Progress
from itsm_bridge.reconcile.ports import Content
from itsm_bridge.reconcile.record import Record
from itsm_bridge.reconcile.work import Step
from itsm_bridge.storage.alert_table import AlertTable
from itsm_bridge.storage.index_rows import entry_key
from itsm_bridge.storage.row_format import to_entity
from local.azurite import Azurite
from tests.builders import HOUR, KEY, MINUTE, NOW, changed, resolved, told, worked
from tests.operate.rows import SETTINGS, messages, now, parked, run, settled, told_as_json, unsettled

CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
ALERT_ID = "/subscriptions/S/providers/Microsoft.AlertsManagement/alerts/A1"


class TestStatus:
    """What needs somebody?"""

    def test_an_empty_table_needs_nobody(self, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        assert table.read(KEY) is None
        assert run(capsys, "status") == (
            0,
            "unsettled 0  parked 0  firing 0  ignored 0  shadow 0  over 0\nServiceNow: no trouble is known\n",
        )

    def test_rows_are_counted_by_state(self, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        over = told(settled("a1" * 32), resolved(key="a1" * 32))
        for row in (settled(), over.settled(over), unsettled("b2" * 32), unsettled("c3" * 32)):
            table.insert(row)

        code, content = told_as_json(capsys, "status")

        assert (code, content["counts"]) == (
            0,
            {"unsettled": 2, "parked": 0, "firing": 1, "ignored": 0, "shadow": 0, "over": 1},
        )
        assert {row["key"] for row in content["unsettled"]} == {"b2" * 32, "c3" * 32}

    def test_parked_alerts_need_somebody_and_say_why(
        self, table: AlertTable, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table.insert(parked())

        code, text = run(capsys, "status")

        assert code == 1
        assert "parked 1" in text
        assert "Parked until somebody acts: ServiceNow says no" in text

    def test_what_is_parked_is_found_by_the_index_once_a_sweep_vouches_for_it(
        self, table: AlertTable, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A row that the index does not name, as an older version of the program writes it, shows which way it went."""
        for key in (KEY, "b2" * 32):
            table.insert(parked(key))
        table._table.delete_entity("b2", entry_key("b2" * 32))
        before = told_as_json(capsys, "status")[1]
        first = table.save_progress(Progress(ran_at=now(), hasty_since=now()))
        in_haste = told_as_json(capsys, "status")[1]
        table.save_progress(replace(first, hasty_since=None))

        by_index = told_as_json(capsys, "status")[1]

        listed = [[row["key"] for row in content["parked"]] for content in (before, in_haste, by_index)]
        assert listed == [[KEY, "b2" * 32], [KEY, "b2" * 32], [KEY]]
        assert by_index["counts"]["parked"] == 2

    def test_what_the_index_says_wrongly_is_not_shown(
        self, table: AlertTable, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table.insert(parked())
        entity = {name: each for name, each in to_entity(settled()).items() if name != "indexed_as"}
        table._table.upsert_entity(entity, mode=UpdateMode.REPLACE)
        table.insert(parked("b2" * 32))
        table.save_progress(Progress(ran_at=now()))

        code, content = told_as_json(capsys, "status")

        assert (code, [row["key"] for row in content["parked"]]) == (1, ["b2" * 32])

    def test_overdue_alerts_need_somebody(self, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        table.insert(unsettled(wake_up_at=now() - HOUR))

        code, content = told_as_json(capsys, "status")

        assert (code, content["overdue"]) == (1, 1)
        assert "resync will wake it" in content["unsettled"][0]["next"]

    def test_alerts_that_wait_long_need_somebody(self, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        table.insert(unsettled(changed_at=now() - 9 * MINUTE))
        before = told_as_json(capsys, "status")
        table.insert(unsettled("b2" * 32, changed_at=now() - 11 * MINUTE, last_error="503 of an edge"))

        code, text = run(capsys, "status")

        assert (before[0], before[1]["waiting_long"]) == (0, 0)
        assert code == 1
        assert "1 waiting longer than 10 minutes" in text
        assert "503 of an edge" in text

    def test_the_oldest_come_first(self, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        for hours, key in ((1, "a1" * 32), (3, "b2" * 32), (2, "c3" * 32)):
            table.insert(unsettled(key, changed_at=now() - hours * HOUR))

        _, content = told_as_json(capsys, "status")

        assert [row["key"][:2] for row in content["unsettled"]] == ["b2", "c3", "a1"]


class TestShow:
    """One alert, however it is named."""

    def test_by_key_by_number_and_by_alert_id(self, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        key = key_of_alert_id(ALERT_ID)
        table.insert(settled(key))

        shown = [told_as_json(capsys, "show", what) for what in (key, key.upper(), "inc0010001", ALERT_ID.lower())]

        assert [(code, rows[0]["key"]) for code, rows in shown] == [(0, key)] * 4
        assert shown[0][1][0]["incident"]["number"] == "INC0010001"

    def test_a_sheet_tells_what_happens_next(self, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        table.insert(settled())

        code, text = run(capsys, "show", KEY)

        assert code == 0
        assert "Nothing: the incident INC0010001 is as Azure Monitor's last word wants it." in text
        assert "CPU above 90 on vm-web-01" in text

    def test_the_last_decisions_are_told_with_their_reasons(
        self, table: AlertTable, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reason = "alert fired, news; incident absent"
        row = settled()
        for minutes, result in enumerate(["ServiceNow refused the connection"] * 2 + ["INC0010001 in state 1"]):
            step = Step(at=NOW + minutes * MINUTE, action="create", reason=reason, result=result)
            row = worked(row, "done", step)
        table.insert(row)

        _, text = run(capsys, "show", KEY)
        _, content = told_as_json(capsys, "show", KEY)

        failed, made = (line for line in text.splitlines() if reason in line)
        assert failed.startswith("Decisions   2026-03-01T10:01:00Z  create ")
        assert failed.endswith("ServiceNow refused the connection (2 times, the last is shown)")
        assert made.endswith("INC0010001 in state New")
        assert [each["times"] for each in content[0]["decisions"]] == [2, 1]

    @pytest.mark.parametrize("what", ["a1" * 32, "INC7", "/subscriptions/S/alerts/none"])
    def test_what_is_not_there(self, what: str, table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
        table.insert(settled())

        code, text = run(capsys, "show", what)

        assert (code, text.startswith(f"There is no alert {what}.")) == (1, True)


#: Rows are made when the tests are collected, and may be looked at half an hour later.
MUCH_LATER = datetime(2126, 1, 1, tzinfo=UTC)


class TestWhy:
    """The sentence about what happens next."""

    @pytest.mark.parametrize(
        ("row", "sentence"),
        [
            (unsettled(leased_until=MUCH_LATER), "Being worked on, or its worker died"),
            (unsettled(in_doubt_until=MUCH_LATER, wake_up_at=MUCH_LATER), "A write of unknown outcome may take effect"),
            (unsettled(last_error="503", wake_up_at=MUCH_LATER), "Looked at again at"),
            (parked(), "Parked until somebody acts"),
        ],
        ids=["leased", "in doubt", "waiting", "parked"],
    )
    def test_it_names_the_reason(self, row: Record, sentence: str) -> None:
        assert why(row, now()).startswith(sentence)


class TestReplay:
    """Look at it again now."""

    def test_a_parked_alert_awaits_work_and_has_a_wake_up(
        self, table: AlertTable, account: Azurite, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table.insert(parked())

        code, content = told_as_json(capsys, "replay", KEY)

        row = table.read(KEY)
        assert row is not None
        assert (code, content) == (0, {"replayed": [KEY], "left": []})
        assert (
            row.work.is_parked,
            row.awaits_work,
            row.work.attempts,
            row.work.failing_since,
            row.work.wake_up_id,
        ) == (
            *(False, True, 0, None),
            "",
        )
        assert messages(account) == 1

    def test_all_that_are_parked_and_nothing_else(
        self, table: AlertTable, account: Azurite, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for row in (parked(), parked("a1" * 32), unsettled("b2" * 32), settled("c3" * 32)):
            table.insert(row)

        code, content = told_as_json(capsys, "replay", "--parked")

        assert (code, sorted(content["replayed"])) == (0, [KEY, "a1" * 32])
        assert messages(account) == 2
        assert run(capsys, "replay", "--parked") == (0, "No alert is parked.\n")

    def test_a_settled_alert_is_left_alone(
        self, table: AlertTable, account: Azurite, capsys: pytest.CaptureFixture[str]
    ) -> None:
        row = table.insert(settled())

        code, text = run(capsys, "replay", KEY)

        assert (code, text.split("  ")[0]) == (0, KEY[:12])
        assert "INC0010001  is left alone. Nothing: the incident INC0010001 is as Azure Monitor" in text
        assert (table.read(KEY), messages(account)) == (row, 0)

    def test_an_alert_that_changes_meanwhile_is_replayed_as_it_is_then(
        self, table: AlertTable, account: Azurite
    ) -> None:
        row = table.insert(parked())
        newer = table.replace(changed(row, attempts=10))
        desk = Desk(stored=stored(os.environ), now=now, out=StringIO(), as_json=False)

        assert alerts._left_alone(desk, row, Content(fields={})) == ""
        after = table.read(KEY)
        assert after is not None
        assert (after.work.is_parked, after.created_at, messages(account)) == (False, newer.created_at, 1)


class TestSettings:
    """Where the app settings come from, and what if they are wrong."""

    def test_local_settings_fill_what_the_environment_leaves_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("RETENTION_DAYS", "7")
        values = {"RETENTION_DAYS": "90", "RETRY_HORIZON_HOURS": 24}
        (tmp_path / "local.settings.json").write_text(json.dumps({"Values": values}))

        environment = sources.environment(tmp_path)

        assert (environment["RETENTION_DAYS"], environment["RETRY_HORIZON_HOURS"]) == ("7", "24")

    @pytest.mark.parametrize("text", ["", "[]", "{}", '{"Values": []}'])
    def test_local_settings_that_are_none(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "local.settings.json").write_text(text)

        with pytest.raises(InvalidSettings):
            sources.environment(tmp_path)

    def test_settings_that_are_missing_are_named(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for name in (*SETTINGS, "AzureWebJobsStorage"):
            monkeypatch.delenv(name, raising=False)

        assert cli.main(["status"]) == 2
        assert "AzureWebJobsStorage is missing" in capsys.readouterr().err

    def test_storage_that_does_not_answer(
        self, table: AlertTable, account: Azurite, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        table.insert(settled())
        nobody = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:9/a;"
        monkeypatch.setenv("AzureWebJobsStorage", nobody + "QueueEndpoint=http://127.0.0.1:9/a;")

        assert cli.main(["status"]) == 3
        assert "did not answer" in capsys.readouterr().err
        assert account.connection_string not in capsys.readouterr().err

    @pytest.mark.parametrize("arguments", [[], ["nothing"], ["show"], ["replay"], ["replay", KEY, "--parked"]])
    def test_a_wrong_command_line_is_refused(self, arguments: list[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)

        assert ended.value.code == 2


def test_the_version_is_that_of_the_newest_release(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"itsm-bridge {__version__}\n"
    releases = re.findall(r"^## \[([0-9.]+)\] - \d{4}-\d\d-\d\d$", CHANGELOG.read_text(encoding="utf-8"), re.MULTILINE)
    assert releases[0] == __version__


def test_a_wake_up_is_overdue_only_after_its_grace() -> None:
    row = unsettled(wake_up_at=now() - 5 * MINUTE)

    assert "overdue" not in why(row, now())
    assert "overdue" in why(row, now() + timedelta(minutes=6))

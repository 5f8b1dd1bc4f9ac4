"""What is on trial is listed, beside what another connector made of it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from itsm_bridge.azure_monitor.correlation import key_of_alert_id
from itsm_bridge.operate import cli
from itsm_bridge.operate.exit_status import NotUnderstood
from itsm_bridge.operate.trial import exported
from itsm_bridge.reconcile.merge import first_record
from itsm_bridge.reconcile.record import Record
from itsm_bridge.storage.alert_table import AlertTable
from tests.builders import KEY, MINUTE, changed, content, notification, resolved, told
from tests.operate.rows import now, run, settled, told_as_json

GUID = "d3adbeef-0000-4000-8000-000000000001"
ALERT_ID = f"/subscriptions/1/providers/microsoft.alertsmanagement/alerts/{GUID}"
WANTED = {"short_description": "CPU", "impact": "1", "category": "software"}
OF_CONNECTOR = {"number": "INC7", "impact": "3", "category": "software", "description": f'{{"alertId": "{ALERT_ID}"}}'}
OF_NOBODY = {"number": "INC8", "description": "alert 99999999-0000-4000-8000-000000000001"}
BY_PEOPLE = {"number": "INC9", "description": "The printer is out of paper."}


def on_trial(guid: str = GUID) -> Record:
    signal = ALERT_ID.replace(GUID, guid)
    said = notification(key=key_of_alert_id(signal), signal=signal, shadowed_by="trial", content=content(WANTED))
    first = first_record(said, now())
    return first.settled(first)


def export(folder: Path, text: str) -> str:
    path = folder / "export"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_what_is_on_trial_is_listed_with_what_would_be(table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
    for row in (on_trial(), settled("b2" * 32)):
        table.insert(row)

    code, (row,) = told_as_json(capsys, "list", "--shadow")

    assert code == 0
    assert (row["state"], row["shadowed_by"], row["incident"]) == ("shadow", "trial", None)
    assert row["trial"]["would_be"] == "its incident would be open"
    assert row["trial"]["fields"] == WANTED
    assert 'on trial by the rule "trial"' in row["next"]


def test_status_and_list_count_it_apart_from_what_fires(table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
    for row in (on_trial(), settled("b2" * 32)):
        table.insert(row)

    _, told_status = told_as_json(capsys, "status")
    _, shadow = told_as_json(capsys, "list", "--state", "shadow")
    _, firing = told_as_json(capsys, "list", "--state", "firing")

    assert (told_status["counts"]["shadow"], told_status["counts"]["firing"]) == (1, 1)
    assert ([row["state"] for row in shadow], [row["key"] for row in firing]) == (["shadow"], ["b2" * 32])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (json.dumps({"result": [OF_CONNECTOR, OF_NOBODY, BY_PEOPLE]}), "Table API"),
        (json.dumps({"records": [OF_CONNECTOR, OF_NOBODY, BY_PEOPLE]}), "list in ServiceNow"),
        (json.dumps([{**OF_CONNECTOR, "impact": {"value": "3", "display_value": "3"}}, OF_NOBODY]), "display values"),
        (f"Number,Impact,Category,Description\nINC7,3,software,of {GUID.upper()}\nINC8,,,{OF_NOBODY['description']}\n",
         "CSV"),
    ],
)  # fmt: skip
def test_it_is_compared_with_an_export(
    text: str, kind: str, table: AlertTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.insert(on_trial())

    code, compared = told_as_json(capsys, "list", "--shadow", "--against", export(tmp_path, text))

    ((row,), only_there) = compared["alerts"], compared["only_there"]
    assert (code, row["trial"]["made_by_others"], only_there) == (0, ["INC7"], ["INC8"]), kind
    assert row["trial"]["differences"] == {"impact": {"bridge": "1", "other": "3"}}


def test_the_table_says_how_many_have_none_one_and_several(
    table: AlertTable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.insert(on_trial())
    table.insert(on_trial("aaaaaaaa-0000-4000-8000-000000000001"))
    twice = [OF_CONNECTOR, {**OF_CONNECTOR, "number": "INC10"}]

    code, text = run(capsys, "list", "--shadow", "--against", export(tmp_path, json.dumps(twice)))

    assert code == 0
    assert "INC7, INC10" in text
    assert "2 on trial: 0 with one incident of the other connector, 1 with several, 1 with none" in text


@pytest.mark.parametrize("text", ["{", "[1]", '{"other": []}', "name,impact\nx,1\n"])
def test_a_file_that_is_no_export_is_said_to_be_none(text: str) -> None:
    with pytest.raises(NotUnderstood, match="export"):
        exported(text)


@pytest.mark.parametrize(("arguments", "part"), [
    (("list", "--against", "x"), "--shadow"),
    (("list", "--shadow", "--against", "missing"), "missing"),
])  # fmt: skip
def test_a_command_line_that_is_wrong_ends_with_2(
    arguments: tuple[str, ...], part: str, table: AlertTable, capsys: pytest.CaptureFixture[str]
) -> None:
    table.insert(on_trial())

    assert cli.main(arguments) == 2
    assert part in capsys.readouterr().err


def test_forgetting_it_says_what_that_means(table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
    row = table.insert(on_trial())

    assert cli.main(["forget", row.key]) == 2
    assert "The alert is on trial." in capsys.readouterr().err


def test_what_is_over_is_said_by_what_the_rules_want(table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
    row = on_trial()
    (name,) = row.desired.signals
    over = told(row, resolved(key=row.key, signal=name, at=now() + MINUTE))
    table.insert(over.settled(over))
    ended_early = changed(over.settled(over), key="c3" * 32, cleared_firing_count=1)
    table.insert(replace(ended_early, key="c3" * 32))

    _, rows = told_as_json(capsys, "list", "--shadow")

    assert {row["trial"]["would_be"] for row in rows} == {
        "its incident would be resolved",
        "there would be no incident: it was over before its hold was",
    }
    assert KEY not in {row["key"] for row in rows}


def test_what_rules_ignore_is_listed_by_its_state(table: AlertTable, capsys: pytest.CaptureFixture[str]) -> None:
    table.insert(first_record(notification(ignored_by="autoscale"), now()))
    table.insert(settled("b2" * 32))

    _, ignored = told_as_json(capsys, "list", "--state", "ignored")
    _, over = told_as_json(capsys, "list", "--state", "over")

    assert ([(row["key"], row["state"]) for row in ignored], over) == ([(KEY, "ignored")], [])

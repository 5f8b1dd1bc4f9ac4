"""Rules without a deployment, over a real table and a real instance over HTTP. The engine of the rules has tests of its
own: here any text that is no YAML mapping is broken."""

import argparse
import json
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure.data.tables import TableClient, UpdateMode

from itsm_bridge.errors import InvalidSettings, Unavailable
from itsm_bridge.operate import rules_versions
from itsm_bridge.operate.rules_versions import RulesDesk, desk_of, history, person_of, push, restore
from itsm_bridge.rules.faults import Fault, InvalidRules
from itsm_bridge.servicenow.credentials import Header
from itsm_bridge.servicenow.dictionary import Dictionary
from itsm_bridge.servicenow.references import References
from itsm_bridge.servicenow.table_api import TableApi
from itsm_bridge.storage.stored_rules import LARGEST_TEXT, PARTITION, StoredRules, digest_of
from local.azurite import Azurite
from local.servicenow.instance import ServiceNowStandIn

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
RULES = """version: 1
defaults:
  set:
    caller_id: { user_name: azure.monitor }
rules:
  - name: shop
    set:
      assignment_group: { name: Shop Operations }
      category: software
      short_description: "{{ severity }} {{ alert.rule }}"
"""


def compiled(text: str) -> object:
    if not isinstance(yaml.safe_load(text), dict) or "broken" in text:
        raise InvalidRules([Fault(3, 7, "unknown key", "did you mean 'set'?"), Fault(9, 1, "a tab")])
    return text


class Office:
    """One account, one instance, and the people who push."""

    def __init__(self, stored: StoredRules, instance: ServiceNowStandIn, folder: Path) -> None:
        self.stored = stored
        self.servicenow = instance
        self.folder = folder

    def ask(self) -> tuple[Dictionary, References]:
        api = TableApi(self.servicenow.url, Header("x-sn-apikey", self.servicenow.credentials.api_key))
        return Dictionary(api), References(api)

    def desk(self, **changes: Any) -> RulesDesk:
        parts: dict[str, Any] = {
            "stored": self.stored,
            "compiled": compiled,
            "instance": self.ask(),
            "person": "beth",
            "now": lambda: NOW,
            "out": StringIO(),
            "as_json": False,
        }
        return RulesDesk(**parts | changes)

    def file(self, text: str = RULES) -> Path:
        path = self.folder / "rules.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    def push(self, text: str = RULES, **changes: Any) -> tuple[int, Any]:
        desk = self.desk(as_json=True, **changes)
        return push(desk, self.file(text)), told(desk)

    def text(self) -> str:
        """The text that is in force."""
        newest = self.stored.newest()
        found = self.stored.read(newest.number) if newest else None
        return found[1] if found else ""


def told(desk: RulesDesk) -> Any:
    assert isinstance(desk.out, StringIO)
    text = desk.out.getvalue()
    return json.loads(text) if desk.as_json else text


@pytest.fixture(scope="module")
def instance() -> Iterator[ServiceNowStandIn]:
    with ServiceNowStandIn() as running:
        yield running


@pytest.fixture
def office(azurite: Azurite, instance: ServiceNowStandIn, tmp_path: Path) -> Iterator[Office]:
    with TableClient.from_connection_string(azurite.connection_string, "alerts" + uuid.uuid4().hex[:12]) as table:
        yield Office(StoredRules(table), instance, tmp_path)
    instance.switches.unreadable_tables.clear()
    instance.delay = 0
    assert (instance.crashes, instance.injections) == ([], [])


class TestPush:
    def test_a_good_file_becomes_the_newest_version(self, office: Office) -> None:
        code, content = office.push()

        assert code == 0
        assert content == {
            "outcome": "pushed",
            "version": 1,
            "digest": digest_of(RULES),
            "faults": [],
            "remarks": [],
        }
        assert office.text() == RULES
        assert [(each.pushed_by, each.pushed_at) for each in office.stored.history()] == [("beth", NOW)]

    def test_a_person_is_told_in_a_sentence(self, office: Office) -> None:
        desk = office.desk()

        push(desk, office.file())

        assert told(desk).startswith("Version 1 is pushed: ")
        assert told(desk).endswith("rules.yaml. Every process takes it within half a minute.\n")

    def test_a_broken_file_is_told_as_editors_understand_it_and_not_pushed(self, office: Office) -> None:
        desk = office.desk()
        path = office.file("broken: x")

        assert push(desk, path) == 2
        assert told(desk) == (
            f"{path}:3:7: unknown key (did you mean 'set'?)\n{path}:9:1: a tab\nNothing was pushed: 2 faults.\n"
        )
        assert office.stored.newest() is None

    def test_all_faults_are_told_as_json(self, office: Office) -> None:
        code, content = office.push("broken: x")

        assert (code, content["outcome"]) == (2, "refused")
        assert content["faults"][0] == {"line": 3, "column": 7, "message": "unknown key", "hint": "did you mean 'set'?"}

    @pytest.mark.parametrize(
        ("raw", "reason"),
        [
            (None, "cannot be read: No such file or directory"),
            (b"a: \xff", "is not UTF-8: byte 3"),
            (b"# " + b"x" * LARGEST_TEXT, f"more than {LARGEST_TEXT} bytes"),
            (b" \n", "the file is empty; `rules restore 0` brings the built-in rules back"),
        ],
    )
    def test_what_is_no_text_is_told(self, office: Office, raw: bytes | None, reason: str) -> None:
        path = office.folder / "rules.yaml"
        if raw is not None:
            path.write_bytes(raw)
        desk = office.desk()

        assert push(desk, path) == 2
        assert reason in told(desk)
        assert office.stored.newest() is None

    def test_a_file_of_800_kb_is_pushed(self, office: Office) -> None:
        text = RULES + "".join(f"# {number:0>78}\n" for number in range(10_000))

        code, _ = office.push(text)

        assert len(text) > 800_000
        assert (code, office.text()) == (0, text)

    def test_what_is_in_force_is_not_pushed_again(self, office: Office) -> None:
        office.push()

        code, content = office.push()

        assert (code, content["outcome"], content["version"]) == (0, "unchanged", 1)
        assert len(office.stored.history()) == 1

    def test_of_two_who_push_at_once_one_is_told(self, office: Office) -> None:
        """The second push comes while the file of the first is still being checked."""

        def compiled_slowly(text: str) -> object:
            office.push("version: 1\nrules: []\n")
            return compiled(text)

        desk = office.desk(compiled=compiled_slowly, person="abel")

        assert push(desk, Path(office.file(RULES))) == 1
        assert told(desk) == (
            "Nothing was pushed: version 1 was pushed meanwhile. Look at `rules history` and push again.\n"
        )
        assert office.text() == "version: 1\nrules: []\n"

    def test_a_damaged_row_does_not_keep_anybody_from_pushing(self, office: Office) -> None:
        office.push()
        row = {"PartitionKey": PARTITION, "RowKey": "current", "number": "one"}
        office.stored._table.update_entity(row, mode=UpdateMode.MERGE)

        assert office.push("version: 1\n")[1]["version"] == 2
        assert office.text() == "version: 1\n"

    def test_a_rules_file_of_the_app_is_a_remark(self, office: Office) -> None:
        _, content = office.push(has_rules_file=True)

        assert content["outcome"] == "pushed"
        assert any("ITSM_RULES_FILE" in remark for remark in content["remarks"])

    def test_storage_that_does_not_answer_is_told(self, office: Office) -> None:
        nowhere = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:1/a"
        with (
            TableClient.from_connection_string(nowhere, "alerts", retry_total=0) as table,
            pytest.raises(Unavailable),
        ):
            push(office.desk(stored=StoredRules(table)), office.file())


class TestAgainstTheInstance:
    @pytest.mark.parametrize(
        ("was", "is_now", "fault"),
        [
            ("category: software", "u_nothing: x", (9, 7, "an incident has no field u_nothing on this instance")),
            ("category: software", "category: softwear", (9, 17, "category has no choice 'softwear'")),
            ("category: software", 'impact: "9"', (9, 15, "impact has no choice '9'")),
            ("category: software", "category: { name: software }", (9, 17, "category is no reference")),
            ("category: software", "business_service: Web shop", (9, 25, "business_service is a reference")),
            ("category: software", f"cmdb_ci: {'0' * 32}", (9, 16, "there is no configuration item whose sys_id is")),
            ("name: Shop Operations", "name: Shop", (8, 25, 'there is no group whose name is "Shop"')),
            ("name: Shop Operations", "name: Network", (8, 25, "there are several groups")),
            ("name: Shop Operations", "name: Data centre", (8, 25, "is not active")),
            ("user_name: azure.monitor", "user_nam: azure.monitor", (4, 16, "sys_user has no field user_nam")),
        ],
    )
    def test_what_cannot_work_there_is_a_fault_with_its_place(
        self, office: Office, was: str, is_now: str, fault: tuple[int, int, str]
    ) -> None:
        code, content = office.push(RULES.replace(was, is_now))

        assert code == 2
        [found] = content["faults"]
        assert (found["line"], found["column"]) == fault[:2]
        assert fault[2] in found["message"]
        assert office.stored.newest() is None

    def test_all_faults_are_told_at_once_with_what_to_write_instead(self, office: Office) -> None:
        text = RULES.replace("software", "softwear").replace("Shop Operations", "Shop").replace("azure.mon", "azur.mon")

        _, content = office.push(text)

        assert [found["line"] for found in content["faults"]] == [4, 8, 9]
        assert content["faults"][2]["hint"] == "did you mean 'software'?"

    def test_defaults_of_a_severity_are_checked_too(self, office: Office) -> None:
        _, content = office.push("version: 1\ndefaults:\n  by_severity:\n    Sev0: { category: softwear }\n")

        assert [(found["line"], found["column"]) for found in content["faults"]] == [(4, 23)]

    def test_templates_are_left_alone(self, office: Office) -> None:
        code, content = office.push(
            "version: 1\n"
            "rules:\n"
            "  - name: a\n"
            "    set:\n"
            '      category: "{{ custom.category }}"\n'
            '      assignment_group: { name: "{% if x %}a{% endif %}" }\n'
            '      caller_id: "{{ custom.caller }}"\n'
        )

        assert (code, content["faults"]) == (0, [])

    def test_what_is_merged_is_checked_too_where_it_stands(self, office: Office) -> None:
        text = (
            "x-shop: &shop\n  category: softwear\nrules:\n  - name: a\n    set:\n      <<: *shop\n      impact: '1'\n"
        )

        _, content = office.push(text)

        assert [(found["line"], found["column"]) for found in content["faults"]] == [(2, 13)]

    def test_a_value_that_is_too_long_is_a_remark(self, office: Office) -> None:
        code, content = office.push(RULES.replace("category: software", f"correlation_display: {'x' * 101}"))

        assert code == 0
        assert content["remarks"] == [
            "Line 9: correlation_display keeps 100 characters, and the rest of this value is cut."
        ]

    @pytest.mark.parametrize("table", ["sys_dictionary", "sys_user_group", "sys_choice"])
    def test_what_we_may_not_read_is_a_remark_and_does_not_stop_the_push(self, office: Office, table: str) -> None:
        office.servicenow.switches.unreadable_tables.add(table)

        code, content = office.push()

        assert (code, content["outcome"]) == (0, "pushed")
        assert len(content["remarks"]) == 1
        assert table in content["remarks"][0] or "Nothing was checked" in content["remarks"][0]

    def test_an_instance_that_is_away_is_told_and_does_not_stop_the_push(self, office: Office) -> None:
        api = TableApi("http://127.0.0.1:1", Header("x-sn-apikey", "made-up"))

        code, content = office.push(instance=(Dictionary(api), References(api)))

        assert (code, content["outcome"]) == (0, "pushed")
        assert content["remarks"][0].startswith("Nothing was checked against the instance: ServiceNow")

    def test_an_instance_that_is_not_configured_is_told(self, office: Office) -> None:
        code, content = office.push(instance="its settings are not here")

        assert code == 0
        assert content["remarks"] == ["Nothing was checked against the instance: its settings are not here."]

    def test_rules_that_set_nothing_ask_nothing(self, office: Office) -> None:
        office.servicenow.forget_calls()

        office.push("version: 1\nrules:\n  - name: a\n    action: ignore\n")

        assert office.servicenow.calls == []


class TestHistory:
    def test_where_nothing_was_pushed_the_built_in_rules_are_in_force(self, office: Office) -> None:
        desk = office.desk()

        assert history(desk) == 0
        assert told(desk) == "Nothing was pushed: the built-in rules are in force.\n"
        desk = office.desk(as_json=True)
        history(desk)
        assert told(desk) == []

    def test_twelve_pushes_leave_the_last_ten(self, office: Office) -> None:
        for number in range(12):
            office.push(f"version: 1\n# {number}\n")
        desk = office.desk(as_json=True)

        history(desk)

        assert [each["version"] for each in told(desk)] == list(range(12, 2, -1))
        assert [each["is_newest"] for each in told(desk)] == [True] + [False] * 9
        assert told(desk)[0] == {
            "version": 12,
            "is_newest": True,
            "pushed_at": "2026-03-01T12:00:00+00:00",
            "pushed_by": "beth",
            "digest": digest_of("version: 1\n# 11\n"),
            "bytes": 16,
            "restores": None,
        }

    def test_a_person_reads_a_table(self, office: Office) -> None:
        office.push()
        office.push("version: 1\n", person="abel\x1b[31m")
        restore(office.desk(), 1)
        restore(office.desk(), 0)
        desk = office.desk()

        history(desk)

        lines = told(desk).splitlines()
        assert lines[0].split() == ["version", "pushed", "(UTC)", "digest", "size", "by"]
        assert [line.split()[0] for line in lines[1:]] == ["4", "3", "2", "1"]
        assert lines[1].endswith("built-in  beth  (the built-in rules)")
        assert lines[2].endswith("beth  (version 1 again)")
        assert "\x1b" not in told(desk)


class TestRestore:
    def test_an_older_text_becomes_a_new_version(self, office: Office) -> None:
        office.push()
        office.push("version: 1\n")
        desk = office.desk()

        assert restore(desk, 1) == 0
        assert told(desk).startswith("Version 3 is pushed: version 1.")
        assert office.text() == RULES
        assert [each.restores for each in office.stored.history()] == [1, None, None]

    def test_zero_takes_every_pushed_rule_out_of_force(self, office: Office) -> None:
        office.push()
        desk = office.desk()

        assert restore(desk, 0) == 0
        newest = office.stored.newest()
        assert newest is not None
        assert newest.is_built_in
        assert restore(office.desk(), 1) == 0
        assert office.text() == RULES

    def test_zero_where_nothing_was_pushed_is_nothing_to_do(self, office: Office) -> None:
        desk = office.desk(as_json=True)

        assert restore(desk, 0) == 0
        assert told(desk)["outcome"] == "unchanged"
        assert office.stored.newest() is None

    def test_a_version_that_is_not_kept_is_told_with_those_that_are(self, office: Office) -> None:
        office.push()
        desk = office.desk()

        assert restore(desk, 7) == 1
        assert told(desk) == "There is no version 7. Kept are: 1.\n"

    def test_a_version_that_this_program_does_not_understand_is_not_restored(self, office: Office) -> None:
        office.stored.push("broken: x", by="a newer program", at=NOW, after=0)
        office.push()
        desk = office.desk()

        assert restore(desk, 1) == 2
        assert told(desk).startswith("version 1:3:7: unknown key")
        assert office.text() == RULES


class TestDesk:
    def settings(self, azurite: Azurite, **more: str) -> Mapping[str, str]:
        return {"AzureWebJobsStorage": azurite.connection_string, **more}

    def test_the_settings_of_storage_are_enough(self, azurite: Azurite) -> None:
        desk = desk_of(self.settings(azurite), compiled, out=StringIO(), as_json=True)

        assert history(desk) == 0
        assert desk.instance == "its settings are not here"
        with pytest.raises(InvalidSettings, match="AzureWebJobsStorage"):
            desk_of({}, compiled, out=StringIO(), as_json=True)

    def test_an_instance_whose_settings_are_there_is_asked(self, azurite: Azurite, office: Office) -> None:
        known = {
            "SERVICENOW_INSTANCE_URL": office.servicenow.url,
            "SERVICENOW_API_KEY": office.servicenow.credentials.api_key,
        }
        settings = self.settings(azurite, ITSM_RULES_FILE="rules.yaml", **known)

        desk = desk_of(settings, compiled, out=StringIO(), as_json=True)
        offline = desk_of(settings, compiled, out=StringIO(), as_json=True, is_offline=True)
        wrong = desk_of({**settings, "SERVICENOW_API_KEY": ""}, compiled, out=StringIO(), as_json=True)

        assert isinstance(desk.instance, tuple)
        assert desk.has_rules_file
        assert offline.instance == "--offline"
        assert str(wrong.instance).startswith("its settings here are wrong: no ServiceNow credentials")

    def test_who_pushes_is_who_signed_in_to_azure_or_else_the_account(self, tmp_path: Path) -> None:
        (tmp_path / ".azure").mkdir()
        profile = tmp_path / ".azure" / "azureProfile.json"
        others = {"isDefault": False, "user": {"name": "other@example.com"}}
        mine = {"isDefault": True, "user": {"name": "beth@example.com"}}
        profile.write_text(json.dumps({"subscriptions": [others, mine]}), encoding="utf-8-sig")

        assert person_of({}, home=tmp_path) == "beth@example.com"
        assert person_of({"AZURE_CONFIG_DIR": str(tmp_path / ".azure")}) == "beth@example.com"
        for text in ("{}", "[]", "no json", '{"subscriptions": [{"isDefault": true}]}'):
            profile.write_text(text)
            assert person_of({"LOGNAME": "beth"}, home=tmp_path) not in ("", "other@example.com")

    @pytest.mark.parametrize(
        "words", [["push"], ["restore"], ["restore", "-1"], ["restore", "x"], ["restore", "9" * 20]]
    )
    def test_wrong_words_are_refused(self, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        parser = argparse.ArgumentParser()
        add = {"push": rules_versions.add_push, "restore": rules_versions.add_restore}[words[0]]
        add(parser)

        with pytest.raises(SystemExit) as ended:
            parser.parse_args(words[1:])

        assert ended.value.code == 2
        assert capsys.readouterr().err

"""Which text counts, over a real table and real files. What a text means is not known to the choice: here it is what
follows `say `, and anything else is broken."""

import logging
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from azure.data.tables import TableClient, UpdateMode

from itsm_bridge.errors import Unavailable
from itsm_bridge.rules.faults import Fault, InvalidRules
from itsm_bridge.rules_in_force.choice import Choice, Origin
from itsm_bridge.storage.stored_rules import LARGEST_TEXT, PARTITION, StoredRules
from local.azurite import Azurite

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

Chosen = tuple[str, str]


class Compiler:
    """Counts the texts that it compiled."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str) -> str:
        self.texts.append(text)
        if text.startswith("crash"):
            raise RecursionError
        if not text.startswith("say "):
            lines = range(3, 10) if "7" in text else (3,)
            raise InvalidRules(Fault(line, 7, f"unknown key {text[:20]}", "say something") for line in lines)
        return text.removeprefix("say ").strip()


class Account:
    """One table, and the processes that read it."""

    def __init__(self, table: TableClient, folder: Path) -> None:
        self.table = table
        self.stored = StoredRules(table)
        self.file = folder / "rules.yaml"
        self.compiler = Compiler()

    def process(self, *, has_file: bool = False, table: TableClient | None = None) -> Choice[str]:
        return Choice(
            StoredRules(table or self.table),
            compiled=self.compiler,
            built_in=lambda: "built-in",
            file=self.file if has_file else None,
        )

    def push(self, *texts: str) -> None:
        for text in texts:
            newest = self.stored.newest()
            self.stored.push(text, by="beth", at=NOON, after=newest.number if newest else 0)

    def change(self, key: str, **columns: Any) -> None:
        self.table.update_entity({"PartitionKey": PARTITION, "RowKey": key, **columns}, mode=UpdateMode.MERGE)


@pytest.fixture
def account(azurite: Azurite, tmp_path: Path) -> Iterator[Account]:
    with TableClient.from_connection_string(azurite.connection_string, "alerts" + uuid.uuid4().hex[:12]) as table:
        yield Account(table, tmp_path)


def look(process: Choice[str]) -> Chosen:
    """Look as a process does, and return the rules and the trouble."""
    known, trouble = process.made()
    process.settle()
    return known.rules, trouble


class TestVersions:
    def test_without_any_the_built_in_rules_count(self, account: Account) -> None:
        process = account.process()

        assert look(process) == ("built-in", "")
        assert process.made()[0].origin is Origin.BUILT_IN

    def test_a_push_counts_at_the_next_look_in_every_process(self, account: Account) -> None:
        processes = [account.process(), account.process()]
        before = [look(process) for process in processes]
        account.push("say one")

        after = [look(process) for process in processes]

        assert (before, after) == ([("built-in", "")] * 2, [("one", "")] * 2)
        assert processes[0].made()[0].source == "version 1"

    def test_a_text_is_compiled_once(self, account: Account) -> None:
        account.push("say one")
        process = account.process()

        for _ in range(3):
            look(process)

        assert account.compiler.texts == ["say one"]

    def test_a_broken_version_leaves_the_last_good_one_also_in_a_new_process(self, account: Account) -> None:
        account.push("say one")
        old = account.process()
        look(old)
        account.push("say two", "broken", "worse")

        for process in (old, account.process()):
            rules, trouble = look(process)
            assert rules == "two"
            assert trouble.startswith("version 4 of the rules, pushed by beth, cannot be taken: ")
            assert trouble.endswith("line 3, column 7: unknown key worse")

    def test_a_broken_version_is_told_and_compiled_once(
        self, account: Account, caplog: pytest.LogCaptureFixture
    ) -> None:
        account.push("say one", "broken 7")
        process = account.process()

        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                look(process)

        assert account.compiler.texts == ["broken 7", "say one"]
        assert [line.getMessage().count("column 7") for line in caplog.records] == [5]
        assert caplog.records[0].getMessage().endswith("; 2 more")

    def test_the_next_good_version_ends_the_trouble(self, account: Account) -> None:
        account.push("say one", "broken")
        process = account.process()
        during = look(process)
        account.push("say three")

        assert during[0] == "one"
        assert look(process) == ("three", "")

    def test_where_no_version_is_good_the_built_in_rules_count_and_no_alert_is_refused(self, account: Account) -> None:
        account.push("broken", "crash")

        rules, trouble = look(account.process())

        assert rules == "built-in"
        assert "version 2" in trouble
        assert "RecursionError" in trouble

    def test_a_process_keeps_what_it_has_if_all_kept_versions_are_broken(self, account: Account) -> None:
        account.push("say one")
        process = account.process()
        look(process)
        account.push(*(f"broken {number}" for number in range(10)))

        assert look(process)[0] == "one"

    def test_the_built_in_rules_come_back_when_a_version_says_so(self, account: Account) -> None:
        account.push("say one")
        process = account.process()
        look(process)
        account.push("")

        assert look(process) == ("built-in", "")
        assert look(account.process()) == ("built-in", "")

    def test_a_version_of_a_newer_program_is_not_taken(self, account: Account) -> None:
        account.push("say one", "say two")
        account.change("version-0000000002", layout=2)

        rules, trouble = look(account.process())

        assert rules == "one"
        assert "newer version of this program" in trouble

    @pytest.mark.parametrize("columns", [{"layout": 2}, {"number": "many"}])
    def test_an_unreadable_pointer_leaves_what_is_in_force(self, account: Account, columns: dict[str, Any]) -> None:
        account.push("say one")
        process = account.process()
        look(process)
        account.change("current", **columns)

        assert [look(each)[0] for each in (process, account.process())] == ["one", "built-in"]
        assert look(process)[1]

    def test_a_version_that_was_deleted_by_hand_is_skipped(self, account: Account) -> None:
        account.push("say one", "say two")
        account.table.delete_entity(PARTITION, "version-0000000002")

        assert look(account.process()) == ("one", "version 2 of the rules is gone")

    def test_a_new_table_with_the_same_numbers_holds_other_versions(self, account: Account) -> None:
        account.push("say one")
        process = account.process()
        look(process)
        for row in list(account.table.list_entities(select=["PartitionKey", "RowKey"])):
            account.table.delete_entity(row)
        account.push("say another")

        assert look(process) == ("another", "")

    def test_storage_that_does_not_answer_is_not_taken_for_empty(self, account: Account) -> None:
        nowhere = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:1/a"
        with TableClient.from_connection_string(nowhere, "alerts", retry_total=0) as table:
            process = account.process(table=table)

            with pytest.raises(Unavailable):
                process.made()
            process.settle()


class TestFile:
    def test_it_wins_over_what_was_pushed(self, account: Account) -> None:
        account.push("say pushed")
        account.file.write_text("say file")
        process = account.process(has_file=True)

        assert look(process) == ("file", "")
        assert process.made()[0].source == "the file rules.yaml"

    def test_it_needs_no_storage(self, account: Account) -> None:
        account.file.write_text("say file")
        nowhere = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;TableEndpoint=http://127.0.0.1:1/a"
        with TableClient.from_connection_string(nowhere, "alerts", retry_total=0) as table:
            assert look(account.process(has_file=True, table=table)) == ("file", "")

    def test_a_change_counts_at_the_next_look(self, account: Account) -> None:
        account.file.write_text("say one")
        process = account.process(has_file=True)
        look(process)
        account.file.write_text("say two")

        assert look(process) == ("two", "")
        assert account.compiler.texts == ["say one", "say two"]

    def test_one_that_breaks_leaves_what_it_said_also_in_the_next_deployment(self, account: Account) -> None:
        account.push("say pushed")
        account.file.write_text("say file")
        old = account.process(has_file=True)
        look(old)
        account.file.write_text("broken")

        for process in (old, account.process(has_file=True)):
            rules, trouble = look(process)
            assert rules == "file"
            assert trouble == "the file rules.yaml cannot be taken: line 3, column 7: unknown key broken"

    @pytest.mark.parametrize(
        ("write", "reason"),
        [
            (lambda _: None, "No such file"),
            (lambda path: path.mkdir(), "Is a directory"),
            (lambda path: path.write_bytes(b"say \xff"), "is not UTF-8: byte 4"),
            (lambda path: path.write_bytes(b"say " + b"x" * LARGEST_TEXT), f"more than {LARGEST_TEXT} bytes"),
            (lambda path: path.write_text(""), "line 3"),
        ],
        ids=["absent", "a folder", "of another encoding", "too large", "empty"],
    )
    def test_one_that_was_never_good_leaves_what_was_pushed(
        self, account: Account, write: Callable[[Path], object], reason: str
    ) -> None:
        account.push("say pushed")
        write(account.file)

        rules, trouble = look(account.process(has_file=True))

        assert rules == "pushed"
        assert "rules.yaml" in trouble
        assert reason in trouble

    def test_a_text_that_is_broken_in_both_places_is_told_of_each(self, account: Account) -> None:
        account.push("say one", "broken")
        account.file.write_text("broken")

        assert look(account.process())[1].startswith("version 2 of the rules")
        assert look(account.process(has_file=True))[1].startswith("the file rules.yaml cannot be taken")
        both = account.process(has_file=True)
        look(both)
        assert look(both) == ("one", "the file rules.yaml cannot be taken: line 3, column 7: unknown key broken")

    def test_pushes_still_count_while_it_was_never_good(self, account: Account) -> None:
        process = account.process(has_file=True)
        before = look(process)[0]
        account.push("say pushed")

        assert (before, look(process)[0]) == ("built-in", "pushed")

    def test_it_is_mended_without_a_restart(self, account: Account) -> None:
        process = account.process(has_file=True)
        look(process)
        account.file.write_bytes(b"\xef\xbb\xbfsay file")

        assert look(process) == ("file", "")

    def test_an_app_without_file_forgets_the_one_that_it_had(self, account: Account) -> None:
        account.file.write_text("say file")
        look(account.process(has_file=True))
        account.push("say pushed")
        look(account.process())
        account.file.write_text("broken")

        assert look(account.process(has_file=True))[0] == "pushed"

    def test_a_kept_file_that_cannot_be_read_is_passed_over(self, account: Account) -> None:
        account.file.write_text("say file")
        look(account.process(has_file=True))
        account.change("file", text_00=b"say other")
        account.file.write_text("broken")
        account.push("say pushed")

        assert look(account.process(has_file=True))[0] == "pushed"

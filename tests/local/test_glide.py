"""Does the stand-in's instance treat rows as ServiceNow does?"""

from datetime import UTC, datetime, timedelta

import pytest

from local.servicenow.dictionary import column
from local.servicenow.glide import OLDER_CLOSE_CODES, Glide, Refused, Switches, SysIds, User

ACCOUNT = User(user_name="itsm.bridge", name="ITSM Bridge")
PERSON = User(user_name="beth.anglin", name="Beth Anglin", is_admin=True)
A, B, C = "a" * 32, "b" * 32, "c" * 32


class Clock:
    now = datetime(2026, 1, 1, 18, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def glide() -> Glide:
    clock = Clock()
    made = Glide(switches=Switches(), now=clock)
    made.add_user(ACCOUNT)
    made.add_user(PERSON)
    clock.now = datetime(2026, 1, 1, 18, 0, tzinfo=UTC)
    return made


def insert(glide: Glide, sys_id: str = A, by: User = ACCOUNT, **values: object) -> dict[str, str]:
    return glide.insert("incident", {"sys_id": sys_id, **values}, by=by)


def numbers(glide: Glide, query: str) -> list[str]:
    return [row["sys_id"][0] for row in glide.select("incident", query)]


@pytest.fixture
def three(glide: Glide) -> Glide:
    insert(glide, C, short_description="Gamma", urgency="1", correlation_id="k3")
    insert(glide, A, short_description="Alpha", urgency="2", correlation_id="k1")
    insert(glide, B, short_description="Beta", urgency="3", correlation_id="k1")
    return glide


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "abc"),
        ("correlation_id=k1", "ab"),
        ("correlation_id!=k1", "c"),
        ("correlation_idINk1,k3", "abc"),
        ("correlation_idNOT INk1,k2", "c"),
        ("short_descriptionLIKEet", "b"),
        ("short_descriptionSTARTSWITHAl", "a"),
        ("short_descriptionENDSWITHma", "c"),
        ("descriptionISEMPTY", "abc"),
        ("short_descriptionISNOTEMPTY", "abc"),
        ("urgency<2", "c"),
        ("urgency>1", "ab"),
        ("urgency>=2", "ab"),
        ("urgency<=2", "ac"),
        ("number>INC0010001", "ab"),
        ("correlation_id=k1^urgency=3", "b"),
        ("urgency=1^ORurgency=3", "bc"),
        ("correlation_id=k3^NQurgency=3", "bc"),
        ("urgency=1^EQ", "c"),
        ("opened_by.user_name=itsm.bridge", "abc"),
        ("ORDERBYDESCnumber", "bac"),
        ("correlation_idISNOTEMPTY^ORDERBYnumber", "cab"),
        ("short_description=alpha", ""),
    ],
)
def test_an_encoded_query_selects(three: Glide, query: str, expected: str) -> None:
    assert "".join(numbers(three, query)) == expected
    assert three.widened == []


@pytest.mark.parametrize(
    ("query", "expected", "ignored"),
    [
        ("object_id=x", "abc", ["object_id=x"]),
        ("correlation_id=k3^u_none=1", "c", ["u_none=1"]),
        ("correlation_id=k3^CRASH", "c", ["CRASH"]),
        ("number~INC", "abc", ["number~INC"]),
        ("u_none=1^ORcorrelation_id=k3", "c", ["u_none=1"]),
        ("ORDERBYu_none", "abc", ["ORDERBYu_none"]),
        ("opened_by.u_none=1", "abc", ["opened_by.u_none=1"]),
        ("short_description.name=1", "abc", ["short_description.name=1"]),
    ],
)
def test_an_invalid_part_is_ignored_and_the_rest_runs(
    three: Glide, query: str, expected: str, ignored: list[str]
) -> None:
    assert "".join(numbers(three, query)) == expected
    assert three.widened == ignored


def test_an_invalid_query_returns_no_rows_where_the_property_says_so(three: Glide) -> None:
    three.switches.invalid_query_returns_no_rows = True

    assert numbers(three, "correlation_id=k3^u_none=1") == []
    assert numbers(three, "correlation_id=k3") == ["c"]


def test_a_value_that_contains_a_caret_becomes_conditions(three: Glide) -> None:
    assert numbers(three, "correlation_id=nobody^NQnumberISNOTEMPTY") == ["a", "b", "c"]


def test_a_script_in_a_query_is_run_and_recorded(three: Glide) -> None:
    assert numbers(three, "opened_by=javascript:gs.getUserID()") == ["a", "b", "c"]
    assert three.injections == ["javascript:gs.getUserID()"]


def test_queries_can_be_blind_to_case(three: Glide) -> None:
    three.switches.queries_match_case = False

    assert numbers(three, "short_description=ALPHA") == ["a"]


def test_an_empty_insert_succeeds_with_a_number_and_defaults(glide: Glide) -> None:
    row = glide.insert("incident", {}, by=ACCOUNT)

    assert row["number"] == "INC0010001"
    assert (row["state"], row["impact"], row["urgency"], row["priority"]) == ("1", "3", "3", "5")
    assert row["active"] == "true"
    assert row["sys_created_by"] == "itsm.bridge"
    assert row["sys_created_on"].startswith("2026-01-01 18:00:")


@pytest.mark.parametrize(
    ("name", "length"),
    [("short_description", 160), ("description", 4000), ("correlation_id", 100), ("correlation_display", 100)],
)
def test_over_long_text_is_cut_without_a_word(glide: Glide, name: str, length: int) -> None:
    assert glide.insert("incident", {name: "x" * (length + 7)}, by=ACCOUNT)[name] == "x" * length


def test_characters_beyond_the_basic_plane_are_mangled_in_narrow_columns_alone(glide: Glide) -> None:
    row = insert(glide, short_description="a\U0001f525b", description="a\U0001f525b")

    assert row["short_description"] == "a????b"
    assert row["description"] == "a\U0001f525b"


def test_lengths_are_counted_in_java_characters(glide: Glide) -> None:
    assert insert(glide, description="\U0001f525" * 2001)["description"] == "\U0001f525" * 2000


def test_a_reference_takes_any_text_and_keeps_32_characters(glide: Glide) -> None:
    assert insert(glide, A, cmdb_ci="no value")["cmdb_ci"] == "no value"
    stored = insert(glide, B, caller_id={"link": "https://instance.service-now.com/api", "value": "x"})["caller_id"]
    assert stored == "{link=https://instance.service-n"


def test_an_unknown_choice_is_dropped(glide: Glide) -> None:
    row = insert(glide, impact="9", contact_type="carrier pigeon", state="Resolved")

    assert (row["impact"], row["contact_type"], row["state"]) == ("3", "", "1")


def test_an_unknown_close_code_is_then_reported_as_missing(glide: Glide) -> None:
    insert(glide)

    with pytest.raises(Refused) as refused:
        glide.update("incident", A, {"state": "6", "close_code": "Fixed", "close_notes": "x"}, by=ACCOUNT)

    assert refused.value.detail == "Data Policy Exception: \n\tThe following fields are mandatory: Resolution code"


def test_unknown_choices_are_kept_where_the_property_says_so(glide: Glide) -> None:
    glide.switches.allow_non_existing_choices = True

    assert insert(glide, contact_type="carrier pigeon")["contact_type"] == "carrier pigeon"


def test_an_empty_text_clears_a_column_unless_it_is_a_choice(glide: Glide) -> None:
    insert(glide, description="x", contact_type="monitoring")

    row = glide.update("incident", A, {"description": "", "contact_type": ""}, by=ACCOUNT)

    assert (row["description"], row["contact_type"]) == ("", "monitoring")


def test_a_column_that_the_account_may_not_write_is_dropped(glide: Glide) -> None:
    glide.switches.unwritable_columns = {"correlation_id", "work_notes"}
    insert(glide, correlation_id="k", work_notes="n")

    row = glide.update("incident", A, {"correlation_id": "k"}, by=ACCOUNT)

    assert (row["correlation_id"], row["sys_mod_count"], glide.journal(A)) == ("", "0", [])


def test_an_unknown_column_is_dropped(glide: Glide) -> None:
    assert "u_none" not in insert(glide, u_none="x")


def test_what_the_platform_writes_cannot_be_written(glide: Glide) -> None:
    row = insert(glide, sys_created_by="mallory", sys_mod_count="9", priority="1")

    assert (row["sys_created_by"], row["sys_mod_count"], row["priority"]) == ("itsm.bridge", "0", "5")


def test_values_are_stored_as_java_prints_them(glide: Glide) -> None:
    row = insert(glide, description=True, short_description=12, correlation_id=None, cause=["a", 1])

    assert row["description"] == "true"
    assert row["short_description"] == "12"
    assert row["correlation_id"] == ""
    assert row["cause"] == "[a, 1]"


@pytest.mark.parametrize(
    ("impact", "urgency", "priority"),
    [tuple(case) for case in ("111", "122", "133", "212", "223", "234", "313", "324", "335")],
)
def test_priority_is_computed(glide: Glide, impact: str, urgency: str, priority: str) -> None:
    assert insert(glide, impact=impact, urgency=urgency)["priority"] == priority


def test_an_update_that_changes_nothing_counts_as_none(glide: Glide) -> None:
    insert(glide, short_description="x")

    assert glide.update("incident", A, {"short_description": "x", "u_none": "y"}, by=ACCOUNT)["sys_mod_count"] == "0"
    assert glide.update("incident", A, {"short_description": "y"}, by=ACCOUNT)["sys_mod_count"] == "1"


def test_journals_are_appended_and_read_as_nothing(glide: Glide) -> None:
    row = insert(glide, work_notes="first")

    glide.update("incident", A, {"work_notes": "second"}, by=PERSON)
    glide.update("incident", A, {"work_notes": "second"}, by=PERSON)

    assert [entry["value"] for entry in glide.journal(A)] == ["first", "second", "second"]
    assert glide.value("incident", row, "work_notes") == ""
    assert row["sys_mod_count"] == "2"


def test_a_journal_is_shown_newest_first_in_the_time_of_the_account(glide: Glide) -> None:
    row = insert(glide, work_notes="first")
    glide.update("incident", A, {"work_notes": "second"}, by=PERSON)

    shown = glide.display_value("incident", row, "work_notes").split("\n")

    assert shown[0].startswith("2026-01-01 10:00:")
    assert shown[0].endswith(" - Beth Anglin (Work notes)")
    assert shown[1:3] == ["second", ""]
    assert shown[3].endswith(" - ITSM Bridge (Work notes)")
    assert shown[4:] == ["first", "", ""]


def test_journal_entries_are_rows_of_their_own(glide: Glide) -> None:
    insert(glide, work_notes="first")

    entries = glide.select("sys_journal_field", f"element_id={A}^element=work_notes")

    assert [(row["name"], row["value"], row["sys_created_by"]) for row in entries] == [
        ("incident", "first", "itsm.bridge")
    ]


def test_a_sys_id_of_the_client_is_honoured_and_refused_a_second_time(glide: Glide) -> None:
    assert insert(glide)["sys_id"] == A

    with pytest.raises(Refused) as refused:
        insert(glide)

    assert (refused.value.status, refused.value.message) == (403, "Operation Failed")
    assert refused.value.detail == "Error during insert of incident (INC0010002)"
    assert len(glide.copies("incident")) == 1


def test_a_sys_id_of_the_client_can_be_ignored(glide: Glide) -> None:
    glide.switches.sys_ids = SysIds.IGNORED

    assert insert(glide)["sys_id"] != A
    assert insert(glide)["sys_id"] != A
    assert len(glide.copies("incident")) == 2


def test_a_sys_id_of_the_client_can_be_refused(glide: Glide) -> None:
    glide.switches.sys_ids = SysIds.REFUSED

    with pytest.raises(Refused) as refused:
        insert(glide)

    assert refused.value.detail == "ACL Exception Insert Failed due to security constraints"
    assert glide.copies("incident") == []


def test_a_sys_id_that_is_none_is_ignored(glide: Glide) -> None:
    assert insert(glide, "not hexadecimal")["sys_id"] != "not hexadecimal"


def test_a_unique_column_refuses_the_second_row(glide: Glide) -> None:
    glide.add_column("incident", column("u_alert_key:64!"))
    insert(glide, A, u_alert_key="k")

    with pytest.raises(Refused, match="Error during insert"):
        insert(glide, B, u_alert_key="k")
    insert(glide, C)

    assert glide.update("incident", A, {"u_alert_key": "k2"}, by=ACCOUNT)["u_alert_key"] == "k2"


def test_resolving_leaves_who_and_when_and_reopening_counts(glide: Glide) -> None:
    insert(glide)

    row = glide.update("incident", A, {"state": "6", "close_code": "Solution provided", "close_notes": "x"}, by=ACCOUNT)
    assert (row["resolved_by"], row["active"], row["incident_state"]) == (ACCOUNT.sys_id, "true", "6")
    assert row["resolved_at"]

    row = glide.update("incident", A, {"state": "2"}, by=PERSON)
    assert (row["reopen_count"], row["reopened_by"], row["resolved_at"]) == ("1", PERSON.sys_id, "")


def test_an_incident_can_be_inserted_resolved_if_the_data_policy_is_met(glide: Glide) -> None:
    with pytest.raises(Refused) as refused:
        insert(glide, state="6")
    assert refused.value.detail == (
        "Data Policy Exception: \n\tThe following fields are mandatory: Resolution code, Close notes"
    )

    assert insert(glide, state="6", close_code="User error", close_notes="x")["state"] == "6"


def test_fields_that_an_instance_makes_mandatory_are_named_by_label(glide: Glide) -> None:
    glide.switches.mandatory_to_close = ("close_code", "close_notes", "cmdb_ci")
    insert(glide)

    with pytest.raises(Refused) as refused:
        glide.update("incident", A, {"state": "7", "close_notes": "x"}, by=ACCOUNT)

    assert str(refused.value.detail).endswith("mandatory: Resolution code, Configuration item")


@pytest.mark.parametrize("state", ["7", "8"])
def test_a_closed_incident_is_protected_from_the_account_and_not_from_a_person(glide: Glide, state: str) -> None:
    insert(glide)
    glide.update("incident", A, {"state": state, "close_code": "User error", "close_notes": "x"}, by=PERSON)

    with pytest.raises(Refused) as refused:
        glide.update("incident", A, {"work_notes": "late"}, by=ACCOUNT)

    assert refused.value.status == 403
    assert str(refused.value.detail).startswith(
        "Operation against file 'incident' was aborted by Business Rule 'DL - Enfore security on closed incidents^"
    )
    assert glide.journal(A) == []
    assert glide.update("incident", A, {"work_notes": "by hand"}, by=PERSON)["active"] == "false"


def test_the_protection_of_closed_incidents_can_be_absent(glide: Glide) -> None:
    glide.switches.closed_incidents_are_protected = False
    insert(glide, state="7", close_code="User error", close_notes="x")

    assert glide.update("incident", A, {"state": "2"}, by=ACCOUNT)["state"] == "2"


def test_choices_are_inherited_from_task_where_incident_has_none(glide: Glide) -> None:
    glide.set_choices("incident", "close_code", ())
    glide.set_choices("task", "close_code", OLDER_CLOSE_CODES)

    assert list(glide.choices("incident", "close_code")) == list(OLDER_CLOSE_CODES)
    assert glide.select("sys_choice", "name=incident^element=close_code^inactive=false") == []
    row = insert(glide, state="6", close_code="Solved (Permanently)", close_notes="x")
    assert row["close_code"] == "Solved (Permanently)"


def test_the_group_follows_from_the_item_if_it_is_left_empty(glide: Glide) -> None:
    group = glide.insert("sys_user_group", {"name": "Shop Operations"}, by=PERSON)["sys_id"]
    other = glide.insert("sys_user_group", {"name": "Network"}, by=PERSON)["sys_id"]
    item = glide.insert("cmdb_ci_vm_instance", {"name": "vm-web-01", "support_group": group}, by=PERSON)["sys_id"]

    assert insert(glide, A, cmdb_ci=item)["assignment_group"] == group
    assert insert(glide, B, cmdb_ci=item, assignment_group=other)["assignment_group"] == other


def test_a_base_table_shows_the_rows_of_its_classes_without_their_columns(glide: Glide) -> None:
    glide.insert("cmdb_ci_vm_instance", {"sys_id": A, "name": "vm-web-01", "object_id": "x"}, by=PERSON)
    glide.insert("cmdb_ci_nic", {"sys_id": B, "name": "nic-web-01", "object_id": "y"}, by=PERSON)

    assert [row["sys_class_name"] for row in glide.select("cmdb_ci", "")] == ["cmdb_ci_vm_instance", "cmdb_ci_nic"]
    assert "object_id" not in glide.columns("cmdb_ci")
    assert "object_id" in glide.columns("cmdb_ci_vm_instance")
    assert [row["name"] for row in glide.select("cmdb_ci", "object_id=y")] == ["vm-web-01", "nic-web-01"]


def test_the_dictionary_tells_which_tables_own_a_column(glide: Glide) -> None:
    owners = {row["name"] for row in glide.select("sys_dictionary", "element=object_id")}

    assert {"cmdb_ci_vm_object", "cmdb_ci_computer", "cmdb_ci_nic"} <= owners
    assert not owners & {"cmdb_ci", "cmdb_ci_vm_instance", "cmdb_ci_db_mssql_instance"}


def test_values_can_be_given_as_they_are_displayed(glide: Glide) -> None:
    glide.insert("sys_user_group", {"sys_id": B, "name": "Network"}, by=PERSON)
    values = {"sys_id": A, "urgency": "1 - High", "assignment_group": "Network", "caller_id": "Nobody"}

    row = glide.insert("incident", {**values, "due_date": "2026-01-02 01:00:00"}, by=ACCOUNT, as_display_values=True)

    assert (row["urgency"], row["assignment_group"], row["caller_id"]) == ("1", B, "")
    assert row["due_date"] == "2026-01-02 09:00:00"


def test_an_unknown_row_is_neither_changed_nor_deleted(glide: Glide) -> None:
    with pytest.raises(Refused) as refused:
        glide.update("incident", A, {"state": "2"}, by=ACCOUNT)
    assert (refused.value.status, refused.value.message) == (404, "No Record found")
    assert refused.value.detail == "Record doesn't exist or ACL restricts the record retrieval"

    with pytest.raises(Refused):
        glide.delete("incident", A)


def test_an_unknown_table_is_refused(glide: Glide) -> None:
    with pytest.raises(Refused) as refused:
        glide.columns("u_none")

    assert (refused.value.status, refused.value.message, refused.value.detail) == (400, "Invalid table u_none", None)


class TestBusinessRules:
    """What runs before a row is written, for everybody."""

    def test_it_changes_what_is_inserted_and_what_is_updated(self, glide: Glide) -> None:
        def cancels(table: str, before: dict[str, str] | None, after: dict[str, str]) -> None:
            after["state" if before is None else "category"] = "8" if before is None else "network"
            assert table == "incident"

        glide.rules.append(cancels)
        row = insert(glide)
        was_born = row["state"]

        glide.update("incident", A, {"short_description": "x"}, by=PERSON)

        assert (was_born, glide.copies("incident")[0]["category"]) == ("8", "network")

    def test_one_that_refuses_leaves_everything_as_it_was(self, glide: Glide) -> None:
        insert(glide, short_description="before")

        def refuses(_table: str, _before: dict[str, str] | None, _after: dict[str, str]) -> None:
            raise Refused(403, "Operation Failed", "aborted by Business Rule")

        glide.rules.append(refuses)
        with pytest.raises(Refused):
            glide.update("incident", A, {"short_description": "after"}, by=ACCOUNT)
        with pytest.raises(Refused):
            insert(glide, B)

        assert [row["short_description"] for row in glide.copies("incident")] == ["before"]


def test_a_data_policy_may_insist_on_a_caller_whenever_an_incident_is_written(glide: Glide) -> None:
    glide.switches.mandatory_always = ("caller_id",)

    with pytest.raises(Refused) as refused:
        insert(glide)
    assert refused.value.status == 403
    assert refused.value.detail == "Data Policy Exception: \n\tThe following fields are mandatory: Caller"
    assert glide.copies("incident") == []

    insert(glide, caller_id=PERSON.sys_id)
    with pytest.raises(Refused):
        glide.update("incident", A, {"caller_id": ""}, by=ACCOUNT)
    assert glide.copies("incident")[0]["caller_id"] == PERSON.sys_id


def test_a_reference_keeps_any_sys_id_and_a_display_value_must_be_asked_for(glide: Glide) -> None:
    group = glide.insert("sys_user_group", {"name": "Shop Operations"}, by=PERSON)["sys_id"]

    assert insert(glide, A, assignment_group="0" * 32)["assignment_group"] == "0" * 32
    assert insert(glide, B, assignment_group="Shop Operations")["assignment_group"] == "Shop Operations"
    shown = {"sys_id": C, "assignment_group": "Shop Operations", "caller_id": "Nobody"}
    row = glide.insert("incident", shown, by=ACCOUNT, as_display_values=True)
    assert (row["assignment_group"], row["caller_id"]) == (group, "")


def test_groups_and_users_are_active_unless_they_are_not(glide: Glide) -> None:
    glide.insert("sys_user_group", {"name": "Shop Operations"}, by=PERSON)
    glide.insert("sys_user_group", {"name": "Data centre", "active": "false"}, by=PERSON)

    assert [row["name"] for row in glide.select("sys_user_group", "active=true")] == ["Shop Operations"]


def test_inactive_users_may_be_hidden_from_queries(glide: Glide) -> None:
    glide.insert("sys_user", {"user_name": "left.long.ago", "active": "false"}, by=PERSON)

    assert len(glide.select("sys_user", "user_name=left.long.ago")) == 1
    glide.switches.hides_inactive_users = True
    assert glide.select("sys_user", "user_name=left.long.ago") == []


def test_the_dictionary_tells_type_target_length_and_whether_the_form_insists(glide: Glide) -> None:
    [caller] = glide.select("sys_dictionary", "name=incident^element=caller_id")
    [title] = glide.select("sys_dictionary", "name=task^element=short_description")

    assert (caller["internal_type"], caller["reference"], caller["mandatory"]) == ("reference", "sys_user", "true")
    assert (title["max_length"], title["mandatory"], title["reference"]) == ("160", "true", "")
    assert insert(glide)["caller_id"] == ""

"""The page about rules and its examples say what the program does."""

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from itsm_bridge.app import compile_rules
from itsm_bridge.rules import values
from itsm_bridge.rules.filters import FILTERS
from itsm_bridge.rules.model import EventMatch, LifecycleSaid, Match, Rule, Window
from itsm_bridge.rules.ruling import Per
from tests.alert_files import alert_of
from tests.builders import NOW
from tests.rules.files import told
from tests.rules.page import FOLDER, PAGE, SHOWN, blocks, page_with_previews
from tests.rules.schema_file import FILE, text

EXAMPLES = sorted(FOLDER.glob("*.yaml"))
LOG = "log-search.fired"


def test_the_schema_is_that_of_the_model() -> None:
    assert FILE.read_text(encoding="utf-8") == text()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 13


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_without_fault(path: Path) -> None:
    assert told(path.read_bytes()) == []


def test_the_page_has_the_examples_and_the_incidents_that_they_give() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_with_previews()
    assert len(SHOWN) == 5


@pytest.mark.parametrize("block", blocks("yaml"))
def test_all_yaml_on_the_page_is_without_fault(block: str) -> None:
    whole = block if block.startswith("version:") else f"version: 1\n{block}"

    assert told(whole) == []


def test_the_page_names_every_key_name_and_filter() -> None:
    page = PAGE.read_text(encoding="utf-8")
    keys = {
        name for shape in (Rule, Match, EventMatch, LifecycleSaid, Window) for name in shape.__struct_encode_fields__
    }

    missing = {each for each in {*keys, *values.NAMES, *FILTERS} if not re.search(rf"`{each}\b", page)}
    assert missing == set()


@pytest.mark.parametrize(
    ("name", "sample", "per"),
    [
        ("itsmc-one-per-configuration-item", LOG, Per.RESOURCE),
        ("itsmc-one-per-configuration-item", "metric-static.fired", Per.ALERT),
        ("itsmc-one-per-rule", LOG, Per.RULE),
        ("itsmc-one-per-rule", "metric-static.fired", Per.ALERT),
        ("itsmc-one-per-alert", LOG, Per.ALERT),
    ],
)
def test_each_work_item_mode_of_itsmc_has_a_file(name: str, sample: str, per: Per) -> None:
    said = compile_rules((FOLDER / f"{name}.yaml").read_bytes()).apply(alert_of(sample), NOW)

    assert said.correlate.per is per


def test_what_never_ends_is_closed_after_three_days() -> None:
    file = compile_rules((FOLDER / "close-what-never-ends.yaml").read_bytes())

    assert file.apply(alert_of("activity-log-policy"), NOW).lifecycle.close_after == timedelta(days=3)
    assert file.apply(alert_of("budget-actual"), NOW).lifecycle.close_after == timedelta(days=3)
    assert file.apply(alert_of("metric-static.fired"), NOW).lifecycle.close_after is None


def test_maintenance_is_ignored_while_it_lasts() -> None:
    file = compile_rules((FOLDER / "maintenance.yaml").read_bytes())

    def is_ignored(moment: str) -> bool:
        return file.apply(alert_of("metric-static.fired"), datetime.fromisoformat(moment)).is_ignored

    assert is_ignored("2026-03-07T23:30+01:00")
    assert not is_ignored("2026-03-06T23:30+01:00")
    assert is_ignored("2026-12-25T12:00+01:00")


def test_the_example_of_templates_fills_its_fields() -> None:
    file = compile_rules((FOLDER / "templates.yaml").read_bytes())

    said = file.apply(alert_of("metric-static.fired"), NOW)

    assert said.fields["short_description"] == "Sev1 | vm-web-01 | Percentage CPU above 90 % on vm-web-01"
    assert said.references["assignment_group"].value == "Shop"
    assert said.fields["u_fired_here"] == "2026-03-14 03:41:07 CET"
    assert said.fields["u_runbook"] == "https://wiki.example.com/runbooks"
    assert said.faults == ()

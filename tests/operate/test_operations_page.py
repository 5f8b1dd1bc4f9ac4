"""The runbook says what can be typed, and asks the log for what the program writes."""

import re
import shlex
from pathlib import Path

import pytest

from itsm_bridge.operate import cli, rules_commands
from itsm_bridge.troubles import Trouble

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/operations.md")}
OPERATIONS = PAGES["docs/operations.md"]
SOURCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "itsm_bridge").rglob("*.py"))
COMMANDS = [
    line.strip() for page in PAGES.values() for line in re.findall(r"^ *python -m itsm_bridge .*$", page, re.MULTILINE)
]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_can_be_typed_as_printed(line: str) -> None:
    words = shlex.split(line, comments=True)

    assert words[:3] == ["python", "-m", "itsm_bridge"]
    assert cli.parser().parse_args(words[3:]).run


def test_the_table_of_the_readme_names_every_command() -> None:
    section = PAGES["README.md"].partition("## Looking after it")[2].partition("\n## ")[0]
    named = {
        name for cell in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall("`(.*?)`", cell)
    }

    words = {f"rules {each.name}" for each in rules_commands.COMMANDS}
    assert {command.name for command in cli.COMMANDS} == {name for name in named if not name.startswith("rules ")}
    assert {" ".join(name.split()[:2]) for name in named if name.startswith("rules ")} <= words


def test_the_log_is_asked_for_lines_that_the_program_writes() -> None:
    asked = re.findall(r'Message (?:has|startswith|endswith|contains) "(.*?)"', OPERATIONS)

    assert asked
    assert [text for text in asked if text.strip() not in SOURCE] == []


def test_troubles_are_named_as_status_names_them() -> None:
    named = set(re.findall(r"`((?:refused|servicenow)-[a-z-]+)`", OPERATIONS))

    assert named
    assert named <= {str(trouble) for trouble in Trouble}

"""The drawings at the doors of the rooms say what is in them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = sorted(
    path.parent
    for top in ("itsm_bridge", "local", "proof")
    for path in (ROOT / top).rglob("__init__.py")
    if "node_modules" not in path.parts
)


def test_there_are_rooms() -> None:
    assert {"itsm_bridge", "azure_monitor", "reconcile", "servicenow", "storage"} <= {room.name for room in ROOMS}


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(ROOT)))
def test_a_room_names_all_that_is_in_it_at_its_door(room: Path) -> None:
    door = (room / "__init__.py").read_text(encoding="utf-8")
    inside = {path.stem for path in room.glob("*.py") if path.stem not in ("__init__", "__main__")}
    inside |= {path.parent.name for path in room.glob("*/__init__.py")}

    assert door.startswith('"""')
    assert {name for name in inside if not re.search(rf"\b{name}\b", door)} == set()


def test_the_map_names_no_room_that_is_gone() -> None:
    door = (ROOT / "itsm_bridge" / "__init__.py").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^ {4,}[^\n]*?▶? *\b([a-z_]+) {2,}\S", door, re.MULTILINE))

    assert drawn
    assert all(
        (ROOT / "itsm_bridge" / name).is_dir() or (ROOT / "itsm_bridge" / f"{name}.py").exists() for name in drawn
    )


def test_the_paths_that_contributors_are_given_exist() -> None:
    named = set(
        re.findall(r"`((?:itsm_bridge|local|proof|tests|docs|infra)/[\w./-]+)`", (ROOT / "CONTRIBUTING.md").read_text())
    )

    assert named
    assert {path for path in named if not (ROOT / path).exists() and not re.search("TARGET|NAME|rules/", path)} == set()

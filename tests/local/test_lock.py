from pathlib import Path

import pytest

from local.lock import locked

ROOT = Path(__file__).parents[2]
HASHES = {"one==1.0": ("sha256:aa", "sha256:bb"), "two-words==2": ("sha256:cc",)}


def test_a_pin_gets_its_hashes_and_keeps_its_marker() -> None:
    text = locked('# Why.\none[extra]==1.0; python_version >= "3.13"\nTwo_words==2\n', HASHES)

    assert text.splitlines() == [
        "# Why.",
        'one[extra]==1.0; python_version >= "3.13" \\',
        "    --hash=sha256:aa \\",
        "    --hash=sha256:bb",
        "Two_words==2 \\",
        "    --hash=sha256:cc",
    ]


def test_another_file_is_taken_with_its_hashes() -> None:
    assert locked("-r requirements.in\n", {}) == "-r requirements.txt\n"


def test_a_pin_without_hashes_is_no_lock() -> None:
    with pytest.raises(KeyError):
        locked("three==3\n", HASHES)


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
def test_what_is_installed_is_what_people_wrote_each_pin_with_hashes(name: str) -> None:
    written = (ROOT / f"{name}.in").read_text(encoding="utf-8").splitlines()
    lines = (ROOT / f"{name}.txt").read_text(encoding="utf-8").splitlines()[1:]
    entries = [line.removesuffix(" \\") for line in lines if not line.startswith("    --hash=")]

    assert [line.replace(".txt", ".in") for line in entries] == [line.replace(".txt", ".in") for line in written]
    pins = [number for number, line in enumerate(lines) if "==" in line and not line.startswith(("#", " "))]
    assert pins
    assert all(lines[number].endswith("\\") and "--hash=sha256:" in lines[number + 1] for number in pins)

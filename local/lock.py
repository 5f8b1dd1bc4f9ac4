"""Which files may be installed? Writes requirements*.txt from requirements*.in: the same pins, each with its hashes.

    python -m local.lock

pip then takes nothing that differs from what the index had on that day, on a developer's machine as in the remote build
of Flex Consumption: a file with hashes switches on pip's hash-checking mode by itself
(https://pip.pypa.io/en/stable/topics/secure-installs/). People edit the .in files, which pin everything, also what
comes along; this adds hashes and decides nothing. It asks the package index that pip is configured for, through uv.
"""

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
#: The Pythons whose pins differ; each file is asked for with each.
PYTHONS: Final = ("3.13", "3.11")
_PIN: Final = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[\w,]+\])?==([^;\s]+)")
_HEADER: Final = "# Made from {name} by `python -m local.lock`. Edit that file, not this one.\n"


def locked(text: str, hashes: Mapping[str, tuple[str, ...]]) -> str:
    """Return the text of a .txt for the text of a .in: its lines, pins with their hashes, other files as .txt.

    Raises:
        KeyError: a pin has no hashes.
    """
    lines = []
    for line in text.splitlines():
        pin = _PIN.match(line)
        if pin:
            lines.append(" \\\n    ".join([line, *(f"--hash={each}" for each in hashes[_key(pin)])]))
        else:
            lines.append(re.sub(r"^(-r .+)\.in$", r"\1.txt", line))
    return "\n".join([*lines, ""])


def hashes_of(text: str, python: str) -> dict[str, tuple[str, ...]]:
    """Ask the index for the hashes of all pins that this Python would install; by name and version."""
    # The library of the Functions host is for 3.13 and newer, and says so to whoever asks with an older one.
    own = [line for line in text.splitlines() if python == "3.13" or "azure-functions-runtime" not in line]
    asked = "\n".join(line for line in own if not line.startswith("-r"))
    command = ["uv", "pip", "compile", "-", "--no-deps", "--generate-hashes", "--no-header", "--no-annotate"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--quiet", "--python-version", python],
        input=asked,
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    found: dict[str, tuple[str, ...]] = {}
    for entry in done.stdout.replace("\\\n", " ").splitlines():
        pin = _PIN.match(entry)
        if pin:
            found[_key(pin)] = tuple(re.findall(r"--hash=(\S+)", entry))
    return found


def _key(pin: re.Match[str]) -> str:
    return f"{re.sub(r'[-_.]+', '-', pin[1]).lower()}=={pin[2]}"


def main() -> None:
    """Write the .txt beside each .in."""
    for source in sorted(ROOT.glob("requirements*.in")):
        text = source.read_text(encoding="utf-8")
        hashes: dict[str, tuple[str, ...]] = {}
        for python in PYTHONS:
            hashes.update(hashes_of(text, python))
        target = source.with_suffix(".txt")
        target.write_text(_HEADER.format(name=source.name) + locked(text, hashes), encoding="utf-8")


if __name__ == "__main__":
    main()

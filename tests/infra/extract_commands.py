"""Which options does each command of the Azure CLI have? Writes `infra/schemas/commands.json`.

The documentation is checked against it. PyPI's `azure-cli` is a gigabyte, so it is not among the requirements:

    python -m venv /tmp/az && /tmp/az/bin/pip install azure-cli==2.91.0
    python -m tests.infra.extract_commands /tmp/az/bin/az

A command is {"options": [...], "required": [groups of names for the same option]}. Where `--ids` may stand for name and
group, those two are in one group with it.
"""

import json
import re
import subprocess
import sys

from tests.infra.commands import COMMANDS, az_commands, documented

#: Two blanks, the names of an option, perhaps [Required], a colon.
_OPTION = re.compile(r"^    (--?[\w-]+(?: +--?[\w-]+)*)\s*(\[Required\])?\s*:", re.MULTILINE)


def main(az: str) -> None:
    version = json.loads(subprocess.run([az, "version"], check=True, capture_output=True, timeout=60).stdout)
    found = {name: described(az, name) for name in sorted(az_commands(documented()))}
    text = json.dumps({"azure-cli": version["azure-cli"], "commands": found}, indent=1, sort_keys=True)
    COMMANDS.write_text(text + "\n", encoding="utf-8")


def described(az: str, command: str) -> dict[str, list[object]]:
    done = subprocess.run([az, *command.split(), "--help"], check=True, capture_output=True, text=True, timeout=120)
    options = [(names.split(), bool(required)) for names, required in _OPTION.findall(done.stdout)]
    required: list[object] = [names for names, is_required in options if is_required]
    if any("--ids" in names for names, _ in options):
        required += [["--name", "-n", "--ids"], ["--resource-group", "-g", "--ids"]]
    return {"options": sorted({name for names, _ in options for name in names}), "required": required}


if __name__ == "__main__":
    main(sys.argv[1])

"""Which installation is meant, if the command line does not say? The current azd environment knows.

`setup` asks, so that its commands find the application that `azd up` made, whatever its name.
azd keeps an environment in two files below the folder of azure.yaml, and `AZURE_ENV_NAME` overrides the first:

    .azure/config.json     {"defaultEnvironment": "prod"}
    .azure/prod/.env       ENTRA_CLIENT_ID="..."

Sources of truth:
https://learn.microsoft.com/azure/developer/azure-developer-cli/manage-environment-variables
https://learn.microsoft.com/azure/developer/azure-developer-cli/work-with-environments
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: NAME="value" or NAME=value; azd escapes quotes and backslashes inside.
_LINE: Final = re.compile(r'^([A-Za-z_]\w*)=(?:"((?:[^"\\]|\\.)*)"|(.*))$')
_NAME: Final = re.compile(r"[A-Za-z0-9][\w().-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class AzdEnvironment:
    """What azd remembers of one installation."""

    #: "": there is no azd environment here.
    name: str
    values: Mapping[str, str]

    def value(self, name: str) -> str:
        """Return a value; "" if the environment lacks it."""
        return self.values.get(name, "")


def current(folder: Path, environ: Mapping[str, str]) -> AzdEnvironment:
    """Return the environment that azd would take in `folder`; one without name if there is none.

    Values of the process come first, as azd hands them to its hooks that way. A file that azd did not write reads as
    if it were not there, because these commands work without azd too.
    """
    name = environ.get("AZURE_ENV_NAME", "") or _default_name(folder / ".azure" / "config.json")
    if not _NAME.fullmatch(name):
        return AzdEnvironment(name="", values={})
    stored = _values(folder / ".azure" / name / ".env")
    given = {key: value for key, value in environ.items() if key.startswith(("ENTRA_", "AZURE_"))}
    return AzdEnvironment(name=name, values={**stored, **given})


def _default_name(path: Path) -> str:
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["defaultEnvironment"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return name if isinstance(name, str) else ""


def _values(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    found = (_LINE.match(line.strip()) for line in lines)
    return {each[1]: re.sub(r"\\(.)", r"\1", each[2]) if each[2] is not None else each[3] for each in found if each}

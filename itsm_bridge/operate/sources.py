"""Where do the settings of a command come from?

`cli` asks before each command. In this order:

1. the environment, completed by `local.settings.json` of the current folder, as the Functions tools write it
2. `--account NAME`, which names the storage account instead: for a person who is signed in with `az login`
3. if neither says anything of the app: the local world that `make run` keeps up, by the file that it leaves
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from itsm_bridge.errors import InvalidSettings
from itsm_bridge.operate.exit_status import NotUnderstood
from itsm_bridge.settings import account_settings

_LOCAL_SETTINGS: Final = Path("local.settings.json")

#: Where `make run` leaves what its world is made of: one file per world, removed at its end.
WORLDS: Final = Path(".local/worlds")
#: Which world is meant if several are up.
WORLD_VARIABLE: Final = "LOCAL_WORLD"

#: How the names of settings begin that say where the app is.
_OURS: Final = ("AzureWebJobsStorage", "ENTRA_", "SERVICENOW_")


def environment(folder: Path = Path(), *, account: str = "") -> Mapping[str, str]:
    """Return the settings that a command works with.

    Raises:
        InvalidSettings: a file is not what it should be.
        NotUnderstood: several local worlds are up, and nothing says which one is meant.
    """
    settings = _with_file(folder)
    if account:
        others = {name: value for name, value in settings.items() if not name.startswith(_OURS[0])}
        return {**others, **account_settings(account.strip().lower())}
    if any(name.startswith(_OURS) for name in settings):
        return settings
    world = local_world(folder)
    return {**settings, **world["settings"]} if world else settings


def local_world(folder: Path = Path()) -> Mapping[str, Any] | None:
    """Return what the local world left that is up, or None.

    Raises:
        InvalidSettings: its file cannot be read.
        NotUnderstood: several are up, and LOCAL_WORLD says not which one is meant.
    """
    files = {path.stem: path for path in sorted((folder / WORLDS).glob("*.json"))}
    wanted = os.environ.get(WORLD_VARIABLE, "")
    if wanted and wanted not in files:
        up = f"up are {', '.join(files)}" if files else "none is up"
        raise NotUnderstood(f"There is no local world {wanted}: {up}")
    if len(files) > 1 and not wanted:
        names = ", ".join(files)
        raise NotUnderstood(f"Several local worlds are up: set {WORLD_VARIABLE} to one of {names}")
    if not files:
        return None
    path = files[wanted] if wanted else next(iter(files.values()))
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {**content, "settings": {name: str(value) for name, value in content["settings"].items()}}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSettings(f"{path} is not what a local world leaves; remove it") from error


def _with_file(folder: Path) -> Mapping[str, str]:
    path = folder / _LOCAL_SETTINGS
    if not path.exists():
        return dict(os.environ)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))["Values"]
        return {**{name: str(value) for name, value in values.items()}, **os.environ}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidSettings(f"{_LOCAL_SETTINGS} is not a JSON object with Values") from error

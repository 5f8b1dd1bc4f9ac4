"""How do other commands find a world that is up? By a file that it leaves and takes away.

`local.run` writes it; `local.send`, `local.break` and the commands of the app read it (`itsm_bridge.operate.sources`).
Each world has a name of its own, so that two at once do not take each other's. The file holds made-up secrets, and
those of a developer instance if one is used, so that nobody else may read it; git ignores its folder.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import requests

from itsm_bridge.operate.sources import WORLDS

_NAMES = ("one", "two", "three", "four")


@contextmanager
def world_file(folder: Path, content: Mapping[str, Any], *, name: str = "") -> Iterator[str]:
    """Leave `content` in the file of a free name while the block lasts; yield that name.

    Raises:
        FileExistsError: another world has the name that was asked for.
    """
    directory = folder / WORLDS
    directory.mkdir(parents=True, exist_ok=True)
    remove_stale(folder)
    path = _created(directory, json.dumps(content), [name] if name else _names())
    try:
        yield path.stem
    finally:
        path.unlink(missing_ok=True)


def remove_stale(folder: Path) -> None:
    """Take away the files of worlds that are not up any more: those that were killed could not."""
    for path in (folder / WORLDS).glob("*.json"):
        if not _is_up(path):
            path.unlink(missing_ok=True)


def _is_up(path: Path) -> bool:
    with suppress(OSError, ValueError, KeyError, TypeError, requests.RequestException):
        control = json.loads(path.read_text(encoding="utf-8"))["control"]
        return requests.get(f"{control}/broken", timeout=2).ok
    return False


def _names() -> Iterator[str]:
    yield from _NAMES
    yield from (f"world-{number}" for number in count(len(_NAMES) + 1))


def _created(directory: Path, text: str, names: Iterator[str] | list[str]) -> Path:
    draft = directory / f".{os.getpid()}"
    draft.touch(0o600)
    draft.write_text(text, encoding="utf-8")
    try:
        for name in names:
            path = directory / f"{name}.json"
            # A link is made whole or not at all, and never in the place of another world's.
            with suppress(FileExistsError):
                path.hardlink_to(draft)
                return path
    finally:
        draft.unlink()
    raise FileExistsError(f"another world is called {', '.join(names)}")

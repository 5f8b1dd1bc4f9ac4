"""How do I break the world that `make run` keeps up, to practise? And how do I mend it?

    python -m local.break                  what can be broken, and what is
    python -m local.break NAME [NAME …]
    python -m local.break back [NAME …]    all of it, or these

A person starts it beside `make run`. What is broken how is in `breakages`.
"""

import argparse
import sys

import requests

from itsm_bridge.errors import BridgeError
from itsm_bridge.operate.sources import local_world
from local.breakages import BREAKAGES
from local.world import ROOT

_PATIENCE = 30  # seconds: to stop a server takes a while


def main() -> int:
    """Break or mend what is named; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.break", description="Break the local world, or mend it.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to break, or `back` and what to mend")
    names = parser.parse_args().names
    is_back = names[:1] == ["back"]
    wanted = names[1:] if is_back else names
    unknown = [name for name in wanted if name not in BREAKAGES]
    if unknown:
        print(f"There is no {', '.join(unknown)}. There are: {', '.join(BREAKAGES)}.", file=sys.stderr)
        return 2
    try:
        world = local_world(ROOT)
        if world is None:
            print("No world is up: start one with `make run`.", file=sys.stderr)
            return 1
        broken = _asked(str(world["control"]), _calls(wanted, is_back=is_back))
    except BridgeError as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    except (requests.RequestException, KeyError) as error:
        print(f"The world does not answer: {type(error).__name__}.", file=sys.stderr)
        return 3
    if not names:
        width = max(map(len, BREAKAGES))
        for name, breakage in BREAKAGES.items():
            print(f"  {name:<{width}}  {breakage.summary}")
    print(f"Broken: {', '.join(broken) or 'nothing'}.")
    return 0


def _calls(wanted: list[str], *, is_back: bool) -> list[str]:
    if is_back:
        return [f"/back/{name}" for name in wanted] or ["/back"]
    return [f"/break/{name}" for name in wanted]


def _asked(control: str, calls: list[str]) -> list[str]:
    for call in calls:
        requests.post(control + call, timeout=_PATIENCE).raise_for_status()
    return list(requests.get(f"{control}/broken", timeout=_PATIENCE).json()["broken"])


if __name__ == "__main__":
    sys.exit(main())

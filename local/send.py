"""How do I send an alert to the world that `make run` keeps up? As Azure Monitor does: with a token, over HTTP.

A person starts it beside `make run`, which keeps the world up.

    python -m local.send fired | resolved | samples | FILE
"""

import argparse
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests

from itsm_bridge.errors import BridgeError
from itsm_bridge.operate.sources import local_world
from local.alerts import MetricAlert, samples
from local.entra.authority import AZURE_MONITOR
from local.resource_manager.service import TELLING
from local.world import ROOT

#: The same alert in every call, so that `resolved` ends what `fired` began.
SAMPLE = MetricAlert(guid="d3adbeef-0000-4000-8000-000000000001")


def main() -> int:
    """Send alerts and print the answers; return 0 if all were taken."""
    parser = argparse.ArgumentParser(prog="python -m local.send", description="Send an alert to `make run`.")
    parser.add_argument("alert", help="fired, resolved, samples (one of each kind), or a file with an alert as JSON")
    asked = parser.parse_args()
    try:
        world = local_world(ROOT)
    except BridgeError as error:
        print(f"{error}.", file=sys.stderr)
        return 2
    if world is None:
        print("No world is up: start one with `make run`.", file=sys.stderr)
        return 1
    try:
        bodies = _bodies(asked.alert)
    except OSError as error:
        print(f"{asked.alert} cannot be read: {error.strerror}.", file=sys.stderr)
        return 1
    try:
        is_taken = [_sent(world, name, body) for name, body in bodies.items()]
    except requests.RequestException as error:
        print(f"The world does not answer: {type(error).__name__}.", file=sys.stderr)
        return 3
    return 0 if all(is_taken) else 1


def _bodies(name: str) -> dict[str, bytes]:
    if name == "samples":
        return samples()
    if name == "fired":
        return {name: json.dumps(SAMPLE.fired()).encode()}
    if name == "resolved":
        return {name: json.dumps(SAMPLE.resolved()).encode()}
    return {name: Path(name).read_bytes()}


def _sent(world: Mapping[str, Any], name: str, body: bytes) -> bool:
    _tell_azure(world, body)
    answer = requests.post(
        world["webhook"],
        data=body,
        headers={"Authorization": f"Bearer {_token(world)}", "Content-Type": "application/json"},
        timeout=30,
    )
    print(f"{name}: {answer.status_code} {answer.text}")
    return answer.ok


def _tell_azure(world: Mapping[str, Any], body: bytes) -> None:
    """Let Azure's own list have the alert, as it has every alert of Azure Monitor."""
    with suppress(ValueError):
        if isinstance(json.loads(body), dict):
            requests.post(f"{world['settings']['AZURE_RESOURCE_MANAGER']}{TELLING}", data=body, timeout=10)


def _token(world: Mapping[str, Any]) -> str:
    form = {
        "grant_type": "client_credentials",
        "client_id": AZURE_MONITOR,
        "client_secret": "any",
        "scope": f"{world['audience']}/.default",
    }
    answer = requests.post(world["token_endpoint"], data=form, timeout=10)
    answer.raise_for_status()
    return str(answer.json()["access_token"])


if __name__ == "__main__":
    sys.exit(main())

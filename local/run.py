"""Can I try it by hand? The local world, staying up, with commands shown that use it.

`make run` starts it. It leaves a file by which `local.send`, `local.break` and every command of the app find it.
`--host func` runs the app with Azure Functions Core Tools instead of the local host; `--servicenow` takes a real
instance, as a developer instance, with the credentials of the environment.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from itsm_bridge.operate.sources import WORLDS
from local.azurite import AzuriteMissing
from local.breakages import BREAKAGES, Breaker
from local.child_process import NotReady
from local.host.func_host import FuncMissing
from local.world import ROOT, World
from local.world_file import world_file

LOGS = ROOT / ".local"
PORT = 7071

_CREDENTIALS = (
    "SERVICENOW_CLIENT_ID",
    "SERVICENOW_CLIENT_SECRET",
    "SERVICENOW_API_KEY",
    "SERVICENOW_USERNAME",
    "SERVICENOW_PASSWORD",
)


def main() -> int:
    """Keep the world up until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m local.run", description="Keep the local world up.")
    parser.add_argument("--host", choices=("local", "func"), default="local", help="what runs the app")
    parser.add_argument("--port", type=int, default=0, help="port of the Functions host; 0 takes a free one")
    parser.add_argument("--name", default="", help="name of this world, for LOCAL_WORLD")
    parser.add_argument("--servicenow", metavar="URL", default="", help="a real instance instead of the stand-in")
    asked = parser.parse_args()
    uses_func = asked.host == "func"
    settings = _real_instance(asked.servicenow) if asked.servicenow else {}
    if settings is None:
        return 2
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    LOGS.mkdir(exist_ok=True)
    log_file = LOGS / f"run-host-{os.getpid()}.log"
    port = asked.port or (PORT if uses_func else 0)
    try:
        with (
            World(log_file=log_file, port=port, uses_func=uses_func, settings=settings) as world,
            _control(world) as control,
            world_file(ROOT, _content(world, control), name=asked.name) as name,
        ):
            _tell(world, name, log_file, servicenow=asked.servicenow)
            stopping.wait()
    except (AzuriteMissing, FuncMissing, NotReady, FileExistsError) as error:
        print(error, file=sys.stderr)
        return 1
    log_file.unlink(missing_ok=True)
    print("\nStopped.")
    return 0


def _real_instance(url: str) -> Mapping[str, str] | None:
    """Return the settings that name a real instance; None if the environment has no credentials, which is told."""
    given = {name: os.environ.get(name, "") for name in _CREDENTIALS}
    if not any(given.values()):
        print(
            f"{url} needs credentials in the environment: SERVICENOW_USERNAME and SERVICENOW_PASSWORD, or"
            " SERVICENOW_CLIENT_ID and SERVICENOW_CLIENT_SECRET, or SERVICENOW_API_KEY.",
            file=sys.stderr,
        )
        return None
    return {"SERVICENOW_INSTANCE_URL": url, **given}


@contextmanager
def _control(world: World) -> Iterator[str]:
    """Break and mend the world for other processes while the block lasts; yield the address."""
    breaker = Breaker(world)
    server = breaker.serve()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        breaker.mend()


def _content(world: World, control: str) -> Mapping[str, object]:
    return {
        "settings": world.settings,
        "webhook": world.webhook,
        "token_endpoint": world.token_endpoint,
        "audience": world.audience,
        "control": control,
    }


def _tell(world: World, name: str, log_file: Path, *, servicenow: str) -> None:
    python = Path(sys.executable)
    shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    is_alone = len(list((ROOT / WORLDS).glob("*.json"))) == 1
    others = "" if is_alone else f"\nThis is not the only world: set LOCAL_WORLD={name} before these commands.\n"
    breaking = (
        f"\nBreak it, to practise ({len(BREAKAGES)} ways), and mend it:\n\n  {shown} -m local.break\n"
        f"  {shown} -m local.break no-rights\n  {shown} -m local.break back\n"
    )
    print(
        f"""
The local world is up; Ctrl-C ends it. Everything is made up and kept in memory.

  incidents        {servicenow or world.servicenow.url}/
  secure webhook   {world.webhook}
  health           {world.host.url}/api/health
  Entra ID         {world.entra.authority}
  log of the host  {log_file.relative_to(ROOT)}
{others}
Send an alert from another terminal:

  {shown} -m local.send fired
  {shown} -m local.send resolved
  {shown} -m local.send samples          (one of each kind)
  {shown} -m local.send some-alert.json

Look at it as an operator does:

  {shown} -m itsm_bridge status
  {shown} -m itsm_bridge list
  {shown} -m itsm_bridge doctor
{"" if servicenow else breaking}""",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

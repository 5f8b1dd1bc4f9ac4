"""Can I try it by hand? The local world, staying up, with a command shown that sends an alert.

`make run` starts it; `local.send` finds the world by a file that it leaves.
`--host func` runs the app with Azure Functions Core Tools instead of the local host.
"""

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from local.azurite import AzuriteMissing
from local.child_process import NotReady
from local.host.func_host import FuncMissing
from local.world import ROOT, World

#: Where `python -m local.send` finds the world that is up. It holds made-up secrets only.
WORLD_FILE = ROOT / ".local/world.json"
LOG_FILE = ROOT / ".local/run-host.log"
PORT = 7071


def main() -> int:
    """Keep the world up until it is interrupted."""
    parser = argparse.ArgumentParser(prog="python -m local.run", description="Keep the local world up.")
    parser.add_argument("--host", choices=("local", "func"), default="local", help="what runs the app")
    parser.add_argument("--port", type=int, default=0, help="port of the Functions host; 0 takes a free one")
    asked = parser.parse_args()
    uses_func = asked.host == "func"
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    LOG_FILE.parent.mkdir(exist_ok=True)
    LOG_FILE.unlink(missing_ok=True)
    try:
        with World(log_file=LOG_FILE, port=asked.port or (PORT if uses_func else 0), uses_func=uses_func) as world:
            _tell(world)
            stopping.wait()
    except (AzuriteMissing, FuncMissing, NotReady) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        WORLD_FILE.unlink(missing_ok=True)
    print("\nStopped.")
    return 0


def _tell(world: World) -> None:
    WORLD_FILE.write_text(
        json.dumps({"webhook": world.webhook, "token_endpoint": world.token_endpoint, "audience": world.audience})
    )
    WORLD_FILE.chmod(0o600)
    python = Path(sys.executable)
    shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) else python
    print(
        f"""
The local world is up; Ctrl-C ends it. Everything is made up and kept in memory.

  ServiceNow's incidents   {world.servicenow.url}/
  secure webhook           {world.webhook}
  health                   {world.host.url}/api/health
  Entra, mints tokens      {world.entra.authority}
  what the host says       {LOG_FILE.relative_to(ROOT)}

Send an alert from another terminal:

  {shown} -m local.send fired
  {shown} -m local.send resolved
  {shown} -m local.send samples          (one of each kind)
  {shown} -m local.send some-alert.json
""",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

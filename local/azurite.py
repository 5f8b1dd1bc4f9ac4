"""Where are tables, queues and blobs kept? In Azurite, Microsoft's emulator of Azure Storage, as one Node.js process.

The world, the tests and the benchmarks start it. What the app keeps in it is not known here.

1. Everything is in memory, so that rows and messages of a test or a demonstration are gone with the process.
2. It listens on loopback alone; port 0 lets the system choose a port, so that two runs never want the same.
3. The process is `node` itself, without npx or a shell between, so that a signal reaches the server.
4. It does not tidy up among the messages' texts, because it would answer nothing for seconds (`azurite_preload.cjs`).

`python -m local.azurite` serves the ports that `UseDevelopmentStorage=true` stands for.
Source: https://learn.microsoft.com/azure/storage/common/storage-use-azurite
"""

import os
import re
import shutil
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from local.child_process import ChildProcess, NotReady

ENTRY = Path(__file__).parent / "node_modules/azurite/dist/src/azurite.js"
PRELOAD = Path(__file__).parent / "azurite_preload.cjs"
READY_LINE = re.compile(r"Azurite (Blob|Queue|Table) service is successfully listening at (http://[\d.]+:\d+)")
READY_WITHIN = timedelta(seconds=60)

ACCOUNT = "devstoreaccount1"
#: Public and the same everywhere, because Microsoft documents it; it opens nothing but emulators.
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class AzuriteMissing(Exception):
    """Node.js or the npm package is not installed; the message says what to do."""


class Azurite:
    """One Azurite process; a context manager that starts and stops it."""

    def __init__(
        self, *, blob_port: int = 0, queue_port: int = 0, table_port: int = 0, log_file: Path | None = None
    ) -> None:
        self._ports = {"blob": blob_port, "queue": queue_port, "table": table_port}
        self._log_file = log_file
        self._child: ChildProcess | None = None
        self._endpoints: dict[str, str] = {}

    @property
    def connection_string(self) -> str:
        """The connection string of the running Azurite, for `AzureWebJobsStorage`."""
        account = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};"
        return account + "".join(
            f"{name}Endpoint={address}/{ACCOUNT};" for name, address in sorted(self._endpoints.items())
        )

    def start(self) -> Self:
        """Start Azurite and wait until all three parts listen.

        Raises:
            AzuriteMissing: Node.js or the npm package is not installed.
            NotReady: it ended or hung, for example because a given port is taken.
        """
        self._child = ChildProcess(
            self._command(), directory=ENTRY.parent, environment=os.environ, log_file=self._log_file
        )
        ready = self._child.wait_for(READY_LINE, times=len(self._ports), deadline=READY_WITHIN)
        self._endpoints = {match[1]: match[2] for match in ready}
        return self

    def _command(self) -> list[str]:
        node = shutil.which("node")
        if node is None:
            raise AzuriteMissing("Azurite needs Node.js, and there is no `node` on PATH.")
        if not ENTRY.exists():
            raise AzuriteMissing("Azurite is not installed: run `npm ci --prefix local`.")
        command = [
            node,
            "--require",
            str(PRELOAD),
            str(ENTRY),
            "--inMemoryPersistence",
            "--skipApiVersionCheck",
            "--disableTelemetry",
            "--silent",
        ]
        for name, port in self._ports.items():
            command += [f"--{name}Host", "127.0.0.1", f"--{name}Port", str(port)]
        return command

    def pause(self) -> None:
        """Freeze Azurite: it takes connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen Azurite go on and answer the requests that came meanwhile."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End Azurite and forget all it held; idempotent."""
        if self._child:
            self.resume()
            self._child.stop()
            self._child = None

    def _signal(self, number: signal.Signals) -> None:
        if self._child:
            self._child.send_signal(number)

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()


def main() -> int:
    """Serve the well-known ports until a signal ends it; return the exit code."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        azurite = Azurite(blob_port=10000, queue_port=10001, table_port=10002).start()
    except (AzuriteMissing, NotReady) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"ready {azurite.connection_string}", flush=True)
    stopping.wait()
    azurite.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How does another program run the Functions host? As a child process, with app settings of its own.

The world, the tests, the benchmarks and the proof use it; the host itself is `server`.
"""

import os
import re
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from local.child_process import ChildProcess

ROOT = Path(__file__).parents[2]
READY_LINE = re.compile(r"^ready (http://127\.0\.0\.1:\d+)$", re.MULTILINE)
READY_WITHIN = timedelta(seconds=30)


class FunctionsHost:
    """One host process with one app; a context manager that starts and stops it."""

    def __init__(  # noqa: PLR0913 - the options of the command line
        self,
        *,
        app: Path,
        settings: Mapping[str, str],
        port: int = 0,
        function_key: str | None = None,
        message_lease: timedelta | None = None,
        python: str = sys.executable,
        log_file: Path | None = None,
        is_placeholder: bool = False,
        state: Path | None = None,
        survives_its_worker: bool = False,
    ) -> None:
        self._settings = settings
        self._log_file = log_file
        module = "local.host.front" if survives_its_worker else "local.host"
        self._command = [python, "-m", module, "--app", str(app.resolve()), "--port", str(port)]
        if function_key is not None:
            self._command += [f"--function-key={function_key}"]  # a key may begin with "-"
        if message_lease is not None:
            self._command += ["--message-lease", str(message_lease.total_seconds())]
        if is_placeholder:
            self._command += ["--placeholder"]
        if state is not None:
            self._command += ["--state", str(state)]
        self._child: ChildProcess | None = None
        #: Where the running host answers, without a slash at the end; empty while there is none.
        self.url = ""

    def start(self) -> Self:
        """Start the host and wait until it is ready; a stopped or killed one can be started again.

        Raises:
            NotReady: the host refused the app, ended or hung; the message ends with the tail of its log.
        """
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self._settings}
        self._child = ChildProcess(self._command, directory=ROOT, environment=environment, log_file=self._log_file)
        self.url = self._child.wait_for(READY_LINE, deadline=READY_WITHIN)[0][1]
        return self

    @property
    def exit_code(self) -> int | None:
        """The exit code of the host last started, negative after a signal; None while it runs."""
        return self._child.exit_code if self._child else None

    def output(self) -> str:
        """All that the running host and its app have printed and logged so far."""
        return self._child.output() if self._child else ""

    def stop(self) -> None:
        """End the host in order; idempotent."""
        if self._child:
            self._child.stop()
        self.url = ""

    def kill(self) -> None:
        """End the host at once, as a crash would; idempotent."""
        if self._child:
            self._child.kill()
        self.url = ""

    def __enter__(self) -> Self:
        """Start it."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

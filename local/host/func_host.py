"""How is the app run by Azure's own host? `func start` of Azure Functions Core Tools, where it is installed.

The world starts it in the place of the local host if it is asked to (`make run HOST=func`).
It takes its app settings from the environment, so that nothing is written into the project.
Source: https://learn.microsoft.com/azure/azure-functions/functions-core-tools-reference#func-start
"""

import os
import re
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from local.child_process import ChildProcess

READY_LINE = re.compile(r"(Host lock lease acquired|Worker process started and initialized)")
READY_WITHIN = timedelta(minutes=3)  # the first start downloads the extension bundle


class FuncMissing(Exception):
    """Azure Functions Core Tools are not installed; the message says what to do."""


class FuncHost:
    """One `func start`; a context manager that starts and stops it."""

    def __init__(self, *, app: Path, settings: Mapping[str, str], port: int, log_file: Path | None = None) -> None:
        self._app = app
        self._settings = settings
        self._port = port
        self._log_file = log_file
        self._child: ChildProcess | None = None

    @property
    def url(self) -> str:
        """Where the host answers, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Start it and wait until the app is loaded.

        Raises:
            FuncMissing: there is no `func` on PATH.
            NotReady: it ended or hung; the message ends with the tail of its log.
        """
        func = shutil.which("func")
        if func is None:
            raise FuncMissing(
                "There is no `func` on PATH: install Azure Functions Core Tools 4, or leave out HOST=func."
            )
        self._child = ChildProcess(
            [func, "start", "--port", str(self._port)],
            directory=self._app,
            environment={**os.environ, **self._settings},
            log_file=self._log_file,
        )
        self._child.wait_for(READY_LINE, deadline=READY_WITHIN)
        return self

    def output(self) -> str:
        """All that the host and the app have printed and logged so far."""
        return self._child.output() if self._child else ""

    def kill(self) -> None:
        """End it at once, as a crash would; idempotent."""
        if self._child:
            self._child.kill()
            self._child = None

    def stop(self) -> None:
        """End it; idempotent."""
        if self._child:
            self._child.stop()
            self._child = None

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

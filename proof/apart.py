"""How does an object get a process of its own, so that it shares no interpreter lock, or can be killed alone?

The tests that kill the app, and the benchmarks, use it. It knows nothing of the object.
`Apart(make, ...)` makes an object there and answers calls of its methods; arguments and results are pickled.
Calls from several threads are answered one after the other. Processes are forked from a server that has no threads,
which imports once the modules that `multiprocessing.set_forkserver_preload` names.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

_context = multiprocessing.get_context("forkserver")


class Died(Exception):
    """The process is gone."""


class Apart:
    """An object in a process of its own; a context manager that starts and ends the process."""

    def __init__(self, make: Callable[..., object], *arguments: object) -> None:
        self._connection, self._theirs = _context.Pipe()
        self._process = _context.Process(target=_serve, args=(self._theirs, make, arguments), daemon=True)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start the process and wait until the object is made."""
        self._process.start()
        # Only the child holds this end now, so that this side notices when the child ends.
        self._theirs.close()
        self._received()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process, after the object has left its own `with` block."""
        with self._lock, suppress(BrokenPipeError):
            self._connection.send(None)
        self._process.join(10)
        self._process.kill()

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid or 0

    def call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever the method returns
        """Call a method there and return its result.

        Raises:
            RuntimeError: it raised; the message is the error's.
            Died: the process ended before it answered.
        """
        with self._lock:
            try:
                self._connection.send((method, arguments))
                return self._received()
            except (EOFError, ConnectionError) as error:
                raise Died from error

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        os.kill(self.pid, signal.SIGKILL)

    def _received(self) -> object:
        is_well, result = self._connection.recv()
        if not is_well:
            raise RuntimeError(result)
        return result


def _serve(connection: Connection, make: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    with make(*arguments) as made:
        connection.send((True, None))
        while asked := connection.recv():
            method, values = asked
            try:
                answer = (True, getattr(made, method)(*values))
            except Exception as error:  # noqa: BLE001 - told to the caller, who stops
                answer = (False, f"{type(error).__name__}: {error}")
            connection.send(answer)

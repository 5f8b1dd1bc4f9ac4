"""How does a part of the bench get a process of its own? So that it does not share the interpreter lock with others.

`Apart(make, ...)` makes an object there and answers calls of its methods; arguments and results are pickled.
Calls from several threads are answered one after the other.
"""

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

_spawn = multiprocessing.get_context("spawn")


class Apart:
    """An object in a process of its own; a context manager that starts and ends the process."""

    def __init__(self, make: Callable[..., object], *arguments: object) -> None:
        self._connection, theirs = _spawn.Pipe()
        self._process = _spawn.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Start the process and wait until the object is made."""
        self._process.start()
        self._received()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process; the object gets to leave its own `with` block."""
        with self._lock:
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
        """
        with self._lock:
            self._connection.send((method, arguments))
            return self._received()

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

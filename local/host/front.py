"""What do callers see of a worker that dies? The real host survives it; this stands in front of a host that may die.

The launcher starts it instead of the host where a test kills the worker. It runs no function itself.

    python -m local.host.front --port N [arguments of local.host]

1. A call whose worker dies is answered 500, which Azure Monitor does not repeat.
2. While there is no worker, calls are answered 503; a new worker is started at once.
3. SIGTERM and SIGINT end both.

Source: https://github.com/Azure/azure-functions-host (ExceptionMiddleware, WorkerProcessExitException)
"""

import contextlib
import http.client
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from local.host.launcher import READY_LINE
from local.http_server import Answer, HttpServer, Request

#: Seconds. Longer than any function may take.
_PATIENCE = 330
_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "expect"})


class Front:
    """Hands calls on to a host in a process of its own, and starts that anew when it ends."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._command = [sys.executable, "-m", "local.host", *arguments, "--port", "0"]
        self._process: subprocess.Popen[str] | None = None
        self._is_ending = threading.Event()
        #: Where the host answers; "" while there is none.
        self._url = ""

    def run(self) -> None:
        """Keep a host running until `end`; blocks."""
        while not self._is_ending.is_set():
            self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
            for line in self._process.stdout or ():
                if match := READY_LINE.match(line):
                    self._url = match[1]
                else:
                    print(line, end="", flush=True)
            self._url = ""
            self._process.wait()

    def end(self) -> None:
        """End the host."""
        self._is_ending.set()
        if self._process:
            self._process.terminate()

    def kill_worker(self) -> None:
        """End the host as a crash would."""
        if self._process:
            self._process.kill()

    def answer(self, request: Request) -> Answer:
        """Hand a call on."""
        if (request.method, request.target) == ("POST", "/admin/worker/kill"):
            self.kill_worker()
            return Answer(status=HTTPStatus.ACCEPTED)
        if not self._url:
            return Answer(status=HTTPStatus.SERVICE_UNAVAILABLE)
        connection = http.client.HTTPConnection(urlsplit(self._url).netloc, timeout=_PATIENCE)
        with contextlib.closing(connection):
            try:
                connection.connect()
            except OSError:
                return Answer(status=HTTPStatus.SERVICE_UNAVAILABLE)
            try:
                headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
                connection.request(request.method, request.target, body=request.body, headers=headers)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException):
                return Answer(status=HTTPStatus.INTERNAL_SERVER_ERROR)
        kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
        return Answer(status=response.status, headers=kept, body=body)


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal; return the exit code."""
    place = arguments.index("--port")
    port, others = int(arguments[place + 1]), [*arguments[:place], *arguments[place + 2 :]]
    front = Front(others)
    with HttpServer(port, front.answer) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: front.end())
        print(f"ready {server.url}", flush=True)
        front.run()
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

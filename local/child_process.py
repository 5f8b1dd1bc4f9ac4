"""How is a server of the local stack started, awaited and stopped?

The launchers of Azurite and of both hosts use it. Which command runs, and which line means ready, is theirs to say.

1. A server says on its output that it is ready; waiting reads its log and never guesses.
2. The launcher that starts a child stops it, by its own handle.
3. A child that dies or hangs while starting is an error that ends with the last lines of its log.
"""

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

TAIL_LINES = 30


class NotReady(Exception):
    """A child died or stayed silent before it was ready; the message ends with the tail of its log."""


class ChildProcess:
    """One child process, running from construction on; its output goes to a log."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str],
        log_file: Path | None = None,
    ) -> None:
        self._name = " ".join(command[:3])
        self._log = log_file.open("a+b") if log_file else tempfile.TemporaryFile()  # noqa: SIM115 -- closed by stop and kill
        #: Where this child's own output begins: a log file may hold earlier runs.
        self._log_start = os.fstat(self._log.fileno()).st_size
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    @property
    def exit_code(self) -> int | None:
        """The exit code, negative after a signal; None while the child runs."""
        return self._process.poll()

    def output(self) -> str:
        """Everything the child has printed so far; empty after `stop` or `kill`."""
        if self._log.closed:
            return ""
        # pread: the child shares this file's position and writes on from there.
        descriptor = self._log.fileno()
        printed = os.pread(descriptor, os.fstat(descriptor).st_size - self._log_start, self._log_start)
        return printed.decode(errors="replace")

    def wait_for(self, line: re.Pattern[str], *, times: int = 1, deadline: timedelta) -> list[re.Match[str]]:
        """Return the first `times` matches of `line` in the output, waiting until they are there.

        Raises:
            NotReady: the child ended or the deadline passed first; the child is gone.
        """
        ends_at = time.monotonic() + deadline.total_seconds()
        while len(found := list(line.finditer(self.output()))) < times:
            if self.exit_code is not None:
                self._give_up(f"ended with exit code {self.exit_code}")
            if time.monotonic() > ends_at:
                self._give_up(f"was not ready within {deadline.total_seconds():g} s")
            time.sleep(0.02)
        return found[:times]

    def _give_up(self, reason: str) -> None:
        tail = "\n".join(self.output().splitlines()[-TAIL_LINES:])
        self.kill()
        raise NotReady(f"{self._name} {reason}. Its log ends with:\n{tail}")

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self, *, grace: timedelta = timedelta(seconds=10)) -> None:
        """Ask the child to end, insist after `grace`; idempotent."""
        self._process.terminate()
        try:
            self._process.wait(grace.total_seconds())
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def kill(self) -> None:
        """End the child at once, as a crash would; idempotent."""
        self._process.kill()
        self._process.wait()
        self._log.close()

"""Many histories at once: told as if one had been played after the other, and stopped when nobody wants them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from proof.simulator.__main__ import main
from proof.simulator.history import Ending, Options
from proof.simulator.many import failures
from proof.simulator.playing import play

ROOT = Path(__file__).parents[2]
#: In words, because nothing but a process that never ends is to be stopped.
A_MINUTE = 60


def fails_sometimes(seed: int, _: Options) -> Ending:
    """Stand for `play`; the first histories take longest."""
    time.sleep(0.02 if seed < 4 else 0)
    faults = (f"LOST: {seed}",) if seed % 10 == 3 else ()
    return Ending(seed=seed, faults=faults, story=(f"of {seed}",))


def breaks(seed: int, options: Options) -> Ending:
    if seed == 7:
        raise LookupError("not a fault, a mistake")
    return fails_sometimes(seed, options)


@pytest.mark.parametrize("workers", [1, 3])
def test_what_fails_comes_in_the_order_of_seeds(workers: int) -> None:
    endings = list(failures(range(61), Options(), workers=workers, play=fails_sometimes))

    assert [(each.seed, each.faults) for each in endings] == [(n, (f"LOST: {n}",)) for n in range(3, 61, 10)]
    assert endings[0].story == ("of 3",)


def test_histories_in_other_processes_are_those_that_are_told_by_their_seeds() -> None:
    told = list(failures(range(2), Options(), workers=2, play=as_if_each_failed))

    assert [each.story for each in told] == [play(seed, Options()).story for seed in range(2)]


def as_if_each_failed(seed: int, options: Options) -> Ending:
    ending = play(seed, options)
    return Ending(seed=seed, faults=("it is to be told",), story=ending.story)


def test_a_mistake_of_the_simulator_ends_all_of_it() -> None:
    with pytest.raises(LookupError, match="not a fault"):
        list(failures(range(100), Options(), workers=2, play=breaks))

    assert multiprocessing.active_children() == []


def test_whoever_has_heard_enough_ends_the_processes() -> None:
    with closing(failures(range(1_000_000), Options(), workers=2, play=fails_sometimes)) as failing:
        assert next(failing).seed == 3

    assert multiprocessing.active_children() == []


def test_the_command_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--histories", "6", "--workers", "2"]) == 0

    assert capsys.readouterr().out.startswith("6 histories in ")


def test_no_worker_is_no_number_of_workers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--workers", "0"])

    assert "invalid" in capsys.readouterr().err


def descendants_of(pid: int) -> set[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False)
    children = {int(line) for line in listed.stdout.split()}
    return children.union(*map(descendants_of, children))


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_whatever_ends_the_command_ends_its_processes(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "proof.simulator", "--histories", "1000000", "--workers", "2"]
    # A shell that starts the tests in its background lets them ignore Ctrl-C, and what they start would, too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL) as running:
        try:
            ends_at = time.monotonic() + A_MINUTE
            # Its two workers, the server that they are forked from, and the one that counts what they share.
            while len(descendants := descendants_of(running.pid)) < 4:
                assert time.monotonic() < ends_at
                time.sleep(0.05)
            os.kill(running.pid, number)
            status = running.wait(A_MINUTE)
            while any(map(is_there, descendants)):
                assert time.monotonic() < ends_at + A_MINUTE
                time.sleep(0.05)
        finally:
            running.kill()

    assert status == (130 if number == signal.SIGINT else -signal.SIGKILL)

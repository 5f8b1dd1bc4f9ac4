"""How are many histories played at once? In processes, each of which plays some; what fails is told in order of seeds.

The command plays them here. One history needs one core alone, and knows of no other.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor

from proof.simulator.history import Ending, Options
from proof.simulator.playing import play

#: Processes are forked from a server without threads: a history leaves threads behind.
_context = multiprocessing.get_context("forkserver")

Play = Callable[[int, Options], Ending]

#: How many histories a process plays before it tells of them: few, because whoever stops waits for them.
_AT_ONCE = 4
#: How much is asked of each process in advance, so that none waits for a long history of another.
_IN_ADVANCE = 4


def failures(seeds: range, options: Options, *, workers: int, play: Play = play) -> Generator[Ending, None, None]:
    """Play the histories of these seeds, and yield those that fail, in the order of seeds.

    Whoever closes the iterator ends the processes. `play` is found by its name in each of them.
    """
    if workers == 1:
        yield from _failures_of(seeds, options, play)
        return
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(workers, mp_context=_context, initializer=_obey_parent_alone)
    asked: deque[Future[list[Ending]]] = deque()
    try:
        for place in range(0, len(seeds), _AT_ONCE):
            asked.append(pool.submit(_played, seeds[place : place + _AT_ONCE], options, play))
            if len(asked) > workers * _IN_ADVANCE:
                yield from asked.popleft().result()
        while asked:
            yield from asked.popleft().result()
    finally:
        # A history that is long keeps nobody waiting who stops.
        for worker in set(multiprocessing.active_children()) - others:
            worker.kill()
        pool.shutdown(cancel_futures=True)


def _played(seeds: range, options: Options, play: Play) -> list[Ending]:
    return list(_failures_of(seeds, options, play))


def _failures_of(seeds: range, options: Options, play: Play) -> Iterator[Ending]:
    return (ending for seed in seeds if (ending := play(seed, options)).faults)


def _obey_parent_alone() -> None:
    """Leave Ctrl-C to the process that asks, and end when that is gone, however it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)

"""python -m proof.simulator --seed N, or --histories N [--first M] [--until-failure] [--workers N]; see --help."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing

from proof.simulator.history import ACCIDENTS, Options
from proof.simulator.many import failures
from proof.simulator.playing import play
from proof.simulator.ruled import GROUPS, LIFECYCLES

#: What a shell says of a program that Ctrl-C ended.
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Play histories; print the story of the first that fails. Return 1 if any did."""
    parser = argparse.ArgumentParser(prog="python -m proof.simulator", description="Play histories in memory.")
    parser.add_argument("--seed", type=int, help="play this one and print its story")
    parser.add_argument("--histories", type=int, default=1000, help="how many to play (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first (default: %(default)s)")
    parser.add_argument("--until-failure", action="store_true", help="stop at the first that fails")
    parser.add_argument("--operators", choices=["", LIFECYCLES, GROUPS], help="what rules speak of in every history")
    parser.add_argument("--rows", choices=sorted({*ACCIDENTS}), help="the accident that rows have in every history")
    parser.add_argument("--gives-up", action="store_true", help="let Azure Monitor give up in every history")
    parser.add_argument("--workers", type=_count, default=os.cpu_count(), help="processes (default: %(default)s)")
    asked = parser.parse_args(arguments)
    options = Options(operators=asked.operators, rows=asked.rows, gives_up=asked.gives_up or None)
    if asked.seed is not None:
        ending = play(asked.seed, options)
        sys.stdout.write(f"{ending}\n")
        return 1 if ending.faults else 0
    try:
        return _play_many(asked, options)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _play_many(asked: argparse.Namespace, options: Options) -> int:
    began = time.perf_counter()
    failed = 0
    seeds = range(asked.first, asked.first + asked.histories)
    with closing(failures(seeds, options, workers=asked.workers)) as failing:
        for ending in failing:
            failed += 1
            sys.stdout.write(f"{ending}\n\n" if failed == 1 else f"seed {ending.seed}: {'; '.join(ending.faults)}\n")
            sys.stdout.flush()
            if asked.until_failure:
                return 1
    spent = time.perf_counter() - began
    sys.stdout.write(f"{asked.histories} histories in {spent:.0f} s, {failed} failed\n")
    return 1 if failed else 0


def _count(text: str) -> int:
    if (number := int(text)) < 1:
        raise ValueError
    return number


if __name__ == "__main__":
    sys.exit(main())

"""python -m proof.simulator --seed N, or --histories N [--first M] [--until-failure], and what each of them has."""

import argparse
import sys
import time
from collections.abc import Iterator

from proof.simulator.history import ACCIDENTS, Ending, Options
from proof.simulator.playing import play
from proof.simulator.ruled import GROUPS, LIFECYCLES


def main() -> int:
    """Play histories; print the stories of those that fail. Return 1 if any did."""
    parser = argparse.ArgumentParser(prog="python -m proof.simulator", description="Play histories in memory.")
    parser.add_argument("--seed", type=int, help="play this one and print its story")
    parser.add_argument("--histories", type=int, default=1000, help="how many to play (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first (default: %(default)s)")
    parser.add_argument("--until-failure", action="store_true", help="stop at the first that fails")
    parser.add_argument("--operators", choices=["", LIFECYCLES, GROUPS], help="what rules speak of in every history")
    parser.add_argument("--rows", choices=sorted({*ACCIDENTS}), help="the accident that rows have in every history")
    parser.add_argument("--gives-up", action="store_true", help="let Azure Monitor give up in every history")
    asked = parser.parse_args()
    options = Options(operators=asked.operators, rows=asked.rows, gives_up=asked.gives_up or None)
    if asked.seed is not None:
        ending = play(asked.seed, options)
        sys.stdout.write(f"{ending}\n")
        return 1 if ending.faults else 0
    began = time.perf_counter()
    failed = 0
    for ending in _failures(asked.first, asked.histories, options):
        failed += 1
        sys.stdout.write(f"{ending}\n\n" if failed == 1 else f"seed {ending.seed}: {'; '.join(ending.faults)}\n")
        if asked.until_failure:
            return 1
    spent = time.perf_counter() - began
    sys.stdout.write(f"{asked.histories} histories in {spent:.0f} s, {failed} failed\n")
    return 1 if failed else 0


def _failures(first: int, count: int, options: Options) -> Iterator[Ending]:
    return (ending for seed in range(first, first + count) if (ending := play(seed, options)).faults)


if __name__ == "__main__":
    sys.exit(main())

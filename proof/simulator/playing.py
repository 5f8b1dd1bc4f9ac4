"""What becomes of one seed? Plays its history and judges it.

The command, the tests and `make torture` call `play`.
"""

import logging
import random

from proof.simulator.history import Ending, History, Options
from proof.simulator.ruled import Ruled, operators_of


def play(seed: int, options: Options | None = None) -> Ending:
    """Play one history and judge it."""
    state = random.getstate()
    random.seed(seed)  # the reconciler's own jitter
    logging.disable(logging.CRITICAL)
    try:
        history = _history(seed, options or Options())
        history.play()
        return history.ending()
    finally:
        logging.disable(logging.NOTSET)
        random.setstate(state)


def _history(seed: int, options: Options) -> History:
    operators = operators_of(seed) if options.operators is None else options.operators
    return Ruled(seed, options, operators) if operators else History(seed, options)

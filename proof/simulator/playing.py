"""What becomes of one seed? Plays its history and judges it.

The command, the tests and `make torture` call `play`.
"""

import logging
import random

from proof.simulator.gives_up import GivesUp, gives_up
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
    if options.gives_up:
        return GivesUp(seed, options)
    operators = operators_of(seed) if options.operators is None else options.operators
    if operators:
        return Ruled(seed, options, operators)
    is_given_up = gives_up(seed) if options.gives_up is None else options.gives_up
    return GivesUp(seed, options) if is_given_up else History(seed, options)

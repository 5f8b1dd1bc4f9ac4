from itertools import pairwise

from itsm_bridge.reconcile.backoff import FIRST_RETRY, LAST_RETRY, backoff, with_jitter
from tests.builders import HOUR, MINUTE


def test_it_is_tried_later_and_later_but_not_for_ever() -> None:
    delays = [backoff(attempts) for attempts in range(5)]

    assert FIRST_RETRY <= delays[0] <= FIRST_RETRY * 1.25
    assert all(later > sooner for sooner, later in pairwise(delays))
    assert LAST_RETRY <= backoff(10**6) <= LAST_RETRY + MINUTE


def test_never_before_the_other_side_asked_to_be() -> None:
    assert 2 * HOUR <= backoff(0, 2 * HOUR) <= 2 * HOUR + MINUTE


def test_those_who_fail_together_do_not_return_together() -> None:
    assert len({with_jitter(MINUTE) for _ in range(100)}) > 90

from datetime import timedelta

import pytest

from itsm_bridge.facts import Fact, outweighing
from tests.builders import HOUR, NOW


def fact(value: bool, *, after: timedelta = timedelta(0), lasts: timedelta = 10 * HOUR) -> Fact:
    return Fact(value=value, learnt_at=NOW + after, believed_until=NOW + after + lasts)


def test_the_first_fact_counts() -> None:
    assert outweighing(None, fact(True)) == fact(True)


@pytest.mark.parametrize("after", [-HOUR, HOUR])
def test_a_no_outweighs_a_yes_whichever_came_first(after: timedelta) -> None:
    no, yes = fact(False), fact(True, after=after)

    assert outweighing(no, yes) == no
    assert outweighing(yes, no) == no


def test_a_no_that_is_not_believed_any_more_outweighs_nothing() -> None:
    assert outweighing(fact(False), fact(True, after=10 * HOUR)) == fact(True, after=10 * HOUR)


@pytest.mark.parametrize("value", [True, False])
def test_of_two_that_agree_the_newer_counts(value: bool) -> None:
    older, newer = fact(value), fact(value, after=HOUR)

    assert outweighing(older, newer) == newer
    assert outweighing(newer, older) == newer


def test_a_fact_is_believed_until_its_end() -> None:
    assert fact(True).is_believed(NOW + 10 * HOUR - timedelta(seconds=1))
    assert not fact(True).is_believed(NOW + 10 * HOUR)

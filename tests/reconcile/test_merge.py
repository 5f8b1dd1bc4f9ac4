from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.gathering import Group, Shared
from itsm_bridge.reconcile.merge import first_record, merge
from itsm_bridge.reconcile.record import Record, fingerprint
from itsm_bridge.rules.ruling import AfterClosed, AutoResolve, Lifecycle
from itsm_bridge.storage.row_format import from_entity, to_entity
from tests.builders import (
    HOUR,
    KEY,
    MINUTE,
    NOW,
    SECOND,
    changed,
    known_record,
    notification,
    record,
    resolved,
    signal,
    told,
    worked,
)


def test_a_first_fired_asks_for_an_incident() -> None:
    row = first_record(notification(), NOW)

    assert (row.desired.firing_count, row.desired.revision, row.desired.is_firing, row.awaits_work) == (
        1,
        1,
        True,
        True,
    )
    assert row.desired.fields == notification().content.fields


def test_a_repetition_changes_nothing() -> None:
    row = known_record()

    assert merge(row, notification(), NOW) is row


def test_a_change_asks_for_an_update_with_a_note() -> None:
    row = told(known_record(), notification(digest="worse", facts={"Severity": "Sev0"}, note="It is worse."))

    assert (row.desired.firing_count, row.desired.revision, row.is_settled) == (1, 2, False)
    assert len(row.work.notes) == 1
    assert "Sev1" in row.work.notes[0].text
    assert "Sev0" in row.work.notes[0].text


def test_a_resolved_ends_it() -> None:
    row = told(known_record(), resolved())

    assert (row.desired.firing_count, row.desired.is_firing, row.desired.closing) == (1, False, "The alert resolved.")
    assert [note.text for note in row.work.notes] == ["The alert resolved."]


def test_a_resolved_before_any_fired_is_remembered_without_a_word() -> None:
    row = first_record(resolved(), NOW)

    assert (row.desired.firing_count, row.desired.fields, row.work.notes) == (0, {}, ())


def test_a_fired_that_is_older_than_the_resolved_says_nothing_new() -> None:
    row = first_record(resolved(), NOW)
    after = merge(row, notification(), NOW)

    # That it came is remembered, so that nobody takes it for missed.
    assert after == changed(row, signals={"alert-1": replace(signal(row), began_late=True)})
    assert merge(after, notification(), NOW) is after


def test_a_fired_at_the_time_of_its_resolved_says_nothing_new() -> None:
    row = told(first_record(resolved(at=NOW - MINUTE), NOW), notification())

    assert row.desired.firing_count == 0
    assert merge(row, notification(), NOW) is row


def test_without_times_the_end_wins() -> None:
    row = told(first_record(resolved(at=None), NOW), notification())

    assert row.desired.firing_count == 0
    assert merge(row, notification(at=None), NOW) is row
    assert merge(row, notification(), NOW) is row


def test_a_fired_after_the_resolved_begins_a_new_firing() -> None:
    row = told(known_record(), resolved(), notification(at=NOW + 3 * SECOND, digest="anew"))

    assert (row.desired.firing_count, row.desired.is_firing) == (2, True)
    assert [note.text for note in row.work.notes] == ["The alert resolved.", "The alert fired again."]


def test_a_resolved_of_an_earlier_firing_says_nothing_new() -> None:
    row = told(known_record(), resolved(), notification(at=NOW + HOUR, digest="anew"))

    assert merge(row, resolved(digest="late"), NOW) is row


def test_an_older_update_says_nothing_new() -> None:
    row = told(known_record(), notification(digest="second", at=NOW + MINUTE))

    assert merge(row, notification(digest="first", at=NOW), NOW) is row


def test_a_key_fires_until_its_last_signal_has_ended() -> None:
    row = told(known_record(), notification(signal="alert-2", digest="other"), resolved())

    assert row.desired.is_firing
    assert not told(row, resolved(signal="alert-2")).desired.is_firing


def test_an_alert_that_fires_at_a_later_time_fires_anew_without_having_ended() -> None:
    row = told(known_record(), notification(at=NOW + HOUR))

    assert (row.desired.firing_count, [note.text for note in row.work.notes]) == (2, ["The alert fired again."])


def test_another_alert_of_the_key_fires_anew() -> None:
    assert told(known_record(), notification(signal="alert-2")).desired.firing_count == 2


def test_an_update_of_a_health_event_is_no_new_firing() -> None:
    health = first_record(notification(signal=""), NOW)

    row = told(health, notification(signal="", digest="update", at=NOW + HOUR))

    assert (row.desired.firing_count, row.desired.revision) == (1, 2)
    assert told(row, notification(signal="", digest="update", at=NOW + 2 * HOUR)).desired.revision == 2


def test_a_resource_that_flaps_for_days_does_not_outgrow_its_row() -> None:
    row = known_record()
    for number in range(200):
        row = told(row, resolved(at=NOW + number * HOUR, digest="r", note=f"{number} " + "x" * 2900))
        row = told(row, notification(at=NOW + number * HOUR + MINUTE, digest="f"))

    assert row.work.notes[-2].text.startswith("199 ")
    assert sum(len(str(value)) for value in to_entity(row).values()) < 1024 * 1024 / 2


def test_a_test_notification_opens_and_closes_at_once() -> None:
    row = first_record(notification(opens=True, closes=True), NOW)

    assert (row.desired.firing_count, row.desired.is_firing) == (1, False)
    assert row.desired.closing == "The alert fired again."


def test_news_takes_a_parked_row_out_of_the_park() -> None:
    row = told(worked(known_record(), "parked", "no"), resolved())

    assert (row.work.is_parked, row.work.attempts, row.work.last_error, row.awaits_work) == (False, 0, "", True)


def test_nothing_of_the_observed_half_is_touched() -> None:
    row = changed(known_record(), leased_until=NOW + MINUTE, lease_holder="a", etag="e")
    merged = told(row, resolved())

    assert replace(merged.observed, asked_revision=1, unconfirmed_values={}) == replace(
        row.observed, asked_revision=1, unconfirmed_values={}
    )
    assert (merged.work.leased_until, merged.work.lease_holder) == (NOW + MINUTE, "a")
    assert merged.etag == "e"


class TestTimes:
    """Services round the times of an alert, drop digits, and have clocks of their own."""

    FIRED = datetime(2026, 5, 1, 13, 58, 24, 371_321, tzinfo=UTC)

    @pytest.mark.parametrize(
        "at",
        [
            FIRED,
            FIRED.replace(microsecond=371_000),
            FIRED.replace(microsecond=0),
            FIRED - 2 * SECOND,
            FIRED + HOUR,
            None,
        ],
        ids=str,
    )
    def test_the_end_of_an_alert_ends_it_in_either_order(self, at: datetime | None) -> None:
        fired, ended = notification(at=self.FIRED), resolved(at=at)

        in_order, late = told(first_record(fired, NOW), ended), told(first_record(ended, NOW), fired)

        assert (in_order.desired.is_firing, in_order.desired.firing_count) == (False, 1)
        assert (late.desired.is_firing, late.desired.firing_count) == (False, 0)

    def test_an_end_from_well_before_the_last_firing_is_outdated(self) -> None:
        row = first_record(notification(at=self.FIRED), NOW)

        assert merge(row, resolved(at=self.FIRED - 3 * SECOND), NOW) is row

    @pytest.mark.parametrize(
        ("beginning", "end", "is_firing"),
        [
            (FIRED, FIRED.replace(microsecond=371_000), False),  # the digits cannot tell
            (FIRED, FIRED.replace(microsecond=0), False),
            (FIRED, FIRED.replace(microsecond=370_000), False),  # a hundredth is all that this was told to
            (FIRED, FIRED.replace(microsecond=361_321), True),
            (FIRED.replace(microsecond=0), FIRED.replace(microsecond=0) - SECOND, True),
            (FIRED.replace(microsecond=371_000), FIRED.replace(microsecond=369_000), True),
        ],
    )
    def test_what_has_one_voice_goes_by_the_order_as_far_as_the_digits_tell(
        self, beginning: datetime, end: datetime, is_firing: bool
    ) -> None:
        row = first_record(notification(signal="", at=beginning), NOW)

        assert told(row, resolved(signal="", at=end)).desired.is_firing is is_firing

    def test_a_beginning_in_the_second_of_an_end_that_has_its_own_is_a_new_one(self) -> None:
        at = self.FIRED.replace(microsecond=0)
        row = first_record(notification(signal="", at=at - HOUR, digest="first"), NOW)

        row = told(row, resolved(signal="", at=at), notification(signal="", at=at, digest="second"))

        assert (row.desired.is_firing, row.desired.firing_count) == (True, 2)


class TestSaidAgain:
    """What was said already is recognised, whatever was said in between."""

    def test_the_same_words_at_a_later_time_outdate_what_was_said_in_between(self) -> None:
        row = first_record(notification(signal="", at=NOW), NOW)

        row = told(row, notification(signal="", at=NOW + 4 * MINUTE), resolved(signal="", at=NOW + 3 * MINUTE))

        # It had ended and begun in between: a person who ended its incident before did not know of that.
        assert (row.desired.is_firing, row.desired.firing_count, row.desired.revision, row.work.notes) == (
            True,
            2,
            2,
            (),
        )

    def test_the_same_end_at_a_later_time_outdates_a_beginning_in_between(self) -> None:
        row = first_record(notification(signal="", at=NOW), NOW)
        row = told(row, resolved(signal="", at=NOW + 3 * MINUTE), resolved(signal="", at=NOW + 8 * MINUTE))

        assert not told(row, notification(signal="", at=NOW + 4 * MINUTE, digest="between")).desired.is_firing

    @pytest.mark.parametrize("signal", ["alert-1", ""])
    def test_two_action_groups_that_repeat_in_turn_say_two_things(self, signal: str) -> None:
        words = [notification(signal=signal, digest=group) for group in "ABABABAB"]

        row = told(first_record(words[0], NOW), *words[1:])

        assert (row.desired.revision, len(row.work.notes), row.desired.firing_count) == (2, 1, 1)

    def test_what_was_said_at_another_time_is_said_anew(self) -> None:
        words = [notification(signal="", digest=digest, at=NOW + n * MINUTE) for n, digest in enumerate("ABA")]

        assert told(first_record(words[0], NOW), *words[1:]).desired.revision == 3


class TestAfterTheEnd:
    """Service Health sends the root cause when all is over."""

    def test_what_is_new_after_the_end_is_owed_as_a_note(self) -> None:
        row = told(known_record(), resolved(), resolved(at=NOW + HOUR, digest="cause", note="The cause was a change."))

        assert [(note.text, note.after_end) for note in row.work.notes] == [
            ("The alert resolved.", False),
            ("The cause was a change.", True),
        ]

    def test_the_same_words_once_more_are_not(self) -> None:
        row = told(known_record(), resolved(), resolved(at=NOW + HOUR, digest="of another action group"))

        assert [note.text for note in row.work.notes] == ["The alert resolved."]


class TestSaysNothing:
    """An update of a resource that was available before and is now neither begins nor ends anything."""

    def neutral(self, **changes: Any) -> News:
        said = {
            "signal": "",
            "opens": False,
            "closes": False,
            "digest": "neutral",
            "note": "Update: available",
            "at": NOW,
        }
        return notification(**{**said, **changes})

    def test_a_row_of_it_alone_knows_nothing(self) -> None:
        row = first_record(self.neutral(), NOW)

        assert (row.desired.signals, row.desired.firing_count, row.is_settled) == ({}, 0, True)

    def test_in_the_second_of_a_beginning_it_changes_nothing_of_that(self) -> None:
        row = first_record(notification(signal="", at=NOW), NOW)

        row = told(row, self.neutral(), self.neutral(at=NOW + MINUTE))
        ended = told(row, resolved(signal="", at=NOW + SECOND, digest="end"))

        assert (row.desired.is_firing, row.desired.firing_count, len(row.work.notes), row.desired.fields) == (
            True,
            1,
            1,
            notification().content.fields,
        )
        assert not ended.desired.is_firing

    def test_when_nothing_fires_it_is_not_even_remembered(self) -> None:
        row = told(known_record(), resolved())

        assert merge(row, self.neutral(signal="alert-1", at=NOW + HOUR), NOW) is row
        assert merge(row, self.neutral(at=NOW + HOUR), NOW) is row


def test_what_is_said_while_a_worker_has_the_lease_may_be_sent_by_it() -> None:
    leased = record().leased(holder="a", now=NOW, until=NOW + MINUTE)
    worse = {**notification().content.fields, "short_description": "Worse"}

    row = told(leased, notification(digest="worse", fields=worse))

    assert fingerprint("Worse") in row.observed.unconfirmed_values["short_description"]
    assert row.observed.asked_revision == 2


#: Texts that a row has hardly room for: JSON holds the last as twelve characters for one.
TEXTS = ("short", "x" * 150, "☃" * 3000, "😀" * 4000)

MACHINE = Group(key="ab" * 32, shared=Shared.RESOURCE, name="vm-web-01")

lifecycles = st.builds(
    Lifecycle,
    auto_resolve=st.sampled_from(AutoResolve),
    reopen_within=st.sampled_from([None, timedelta(0), HOUR]),
    after_closed=st.sampled_from(AfterClosed),
    hold=st.sampled_from([timedelta(0), 5 * MINUTE]),
    close_after=st.sampled_from([None, HOUR]),
)


@st.composite
def words(draw: st.DrawFn) -> News:
    """What any of a dozen alerts says, by any rules; the last of them is the single voice of its key."""
    number = draw(st.integers(0, 11))
    opens, closes = draw(st.sampled_from([(True, False), (True, False), (False, True), (True, True), (False, False)]))
    text = draw(st.sampled_from(TEXTS))
    said = notification(
        key=f"{number:064x}",
        signal="" if number == 11 else f"alert-{number}",
        opens=opens,
        closes=closes,
        at=draw(st.sampled_from([None, *(NOW + each * SECOND for each in (0, 1, 3, 3600))])),
        digest=draw(st.sampled_from("ABC")),
        facts={"Alert": text},
        fields={**notification().content.fields, "short_description": text[:160], "description": text},
        note=text[:3000],
    )
    return replace(
        said,
        lifecycle=draw(lifecycles),
        group=draw(st.sampled_from([None, MACHINE])),
        ignored_by=draw(st.sampled_from(["", "", "", "quiet"])),
    )


def size_of(row: Record) -> int:
    """Return how many bytes a row fills: two for each unit of a text."""
    return sum(2 * (len(name) + len(str(value))) for name, value in to_entity(row).items())


class TestAnyWords:
    """Whatever comes, in whatever order and by whatever rules."""

    # Texts that fill a row take minutes to shrink.
    @settings(derandomize=True, max_examples=60, deadline=None, phases=(Phase.generate,))
    @given(said=st.lists(words(), min_size=1, max_size=40), is_shared=st.booleans())
    def test_a_row_stays_true_and_within_bounds(self, said: list[News], *, is_shared: bool) -> None:
        if not is_shared:
            said = [replace(each, key=KEY, signal=each.signal and "alert-1", group=None) for each in said]
        key = MACHINE.key if is_shared and not said[0].ignored_by else said[0].key
        row, now = first_record(said[0], NOW, key=key), NOW

        for each in said[1:]:
            now += MINUTE
            row = merge(row, each, now)

            assert merge(row, each, now + MINUTE) is row
            assert row.desired.firing <= row.desired.count <= 12
            assert size_of(row) < 1024 * 1024
        assert row.desired.firing_count <= sum(each.opens and not each.ignored_by for each in said)
        assert from_entity(to_entity(row), etag="") == row

    @settings(derandomize=True, max_examples=100, deadline=None)
    @given(said=st.lists(words(), min_size=1, max_size=20))
    def test_what_rules_ignore_from_the_beginning_on_asks_for_nothing(self, said: list[News]) -> None:
        ignored = [replace(each, key=KEY, signal="alert-1", ignored_by="quiet") for each in said]
        row = first_record(ignored[0], NOW)

        for each in ignored[1:]:
            row = merge(row, each, NOW)

        assert (row.is_settled, row.desired.firing_count, row.desired.is_firing) == (True, 0, False)
        assert row.work.notes == ()

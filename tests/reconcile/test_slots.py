import threading
from contextlib import ExitStack
from datetime import timedelta

from itsm_bridge.reconcile.slots import Place, Slots

NO_TIME = timedelta(0)
LONG = timedelta(seconds=60)


def taken(stack: ExitStack, slots: Slots, *, if_few_wait: bool = False) -> Place:
    place = stack.enter_context(slots.place(if_few_wait=if_few_wait))
    assert place is not None
    return place


def test_who_came_first_is_next() -> None:
    slots = Slots(1)
    with ExitStack() as line:
        with slots.place() as holder:
            second, third = taken(line, slots), taken(line, slots)
            before = [each is not None and each.comes_up(within=NO_TIME) for each in (holder, second, third)]
        after = [each.comes_up(within=NO_TIME) for each in (second, third)]

    assert before == [True, False, False]
    assert after == [True, False]


def test_who_comes_while_others_wait_does_not_pass_them() -> None:
    slots = Slots(1)
    with ExitStack() as line:
        with slots.place():
            waiting = taken(line, slots)
        late = taken(line, slots)

        assert (waiting.comes_up(within=NO_TIME), late.comes_up(within=NO_TIME)) == (True, False)


def test_who_leaves_the_line_gives_nobody_a_slot() -> None:
    slots = Slots(1)
    with ExitStack() as line, ExitStack() as holder:
        taken(holder, slots)
        with slots.place():
            last = taken(line, slots)
        before = last.comes_up(within=NO_TIME)
        holder.close()

        assert (before, last.comes_up(within=NO_TIME)) == (False, True)


def test_so_many_may_wait_that_need_not_and_the_others_always() -> None:
    slots = Slots(1, line=1)
    with (
        slots.place(if_few_wait=True) as holds,
        slots.place(if_few_wait=True) as waits,
        slots.place(if_few_wait=True) as too_many,
        slots.place() as worker,
    ):
        got = [each is not None for each in (holds, waits, too_many, worker)]

    with slots.place(if_few_wait=True) as later:
        assert later is not None
        assert later.comes_up(within=NO_TIME)
    assert got == [True, True, False, True]


def test_a_thread_that_waits_goes_on_as_soon_as_a_slot_is_free() -> None:
    slots = Slots(2)
    order: list[str] = []
    here = threading.Barrier(2)

    def wait() -> None:
        with slots.place() as place:
            here.wait(10)
            assert place is not None
            assert place.comes_up(within=LONG)
            order.append("second")

    thread = threading.Thread(target=wait)
    with slots.place(), slots.place():
        thread.start()
        here.wait(10)
        order.append("first")
    thread.join(10)

    assert order == ["first", "second"]


def test_no_slot_is_lost_or_doubled_by_many_threads() -> None:
    slots = Slots(3)
    lock = threading.Lock()
    inside: list[int] = [0, 0]

    def work() -> None:
        for _ in range(200):
            with slots.place() as place:
                assert place is not None
                assert place.comes_up(within=LONG)
                with lock:
                    inside[0] += 1
                    inside[1] = max(inside)
                with lock:
                    inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert (inside[0], inside[1] <= 3) == (0, True)
    with ExitStack() as line:
        assert [taken(line, slots).comes_up(within=NO_TIME) for _ in range(4)] == [True, True, True, False]

"""How does a test let a process of the app die at any call: by an exception that nothing catches, or by a real SIGKILL?

`test_convergence` plays its scenarios with these lives; what must be true after a death is judged there. A life makes
its calls one after the other and counts them. `at` is the number of the call at which it dies, 0 for a life without
end; with `before` it dies before that call reaches the other side, else before the answer comes back.

    Crashing   a reconciler in this process, whose parts raise what nothing catches
    Killable   a reconciler in a process of its own, behind proxies that kill it
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, Self

from itsm_bridge.reconcile.circuit import Circuit
from itsm_bridge.reconcile.desired import News
from itsm_bridge.reconcile.reconciler import INLINE_BUDGET, Reconciler
from proof.apart import Apart, Died
from proof.tap import Cut, Tap
from tests.builders import NOW
from tests.rig import Place, Rig, reconciler_of, within


class Life(Protocol):
    """One process, until it dies: then its methods raise `Died`."""

    @property
    def calls(self) -> int: ...

    @property
    def has_died(self) -> bool: ...

    def receive(self, notification: News, now: datetime) -> str: ...

    def reconcile(self, key: str, wake_up_id: str, now: datetime) -> None: ...


class Crash(BaseException):
    """The process is gone: nothing catches this."""


class Fuse:
    """Counts calls; what is to happen right before or right after one of them, happens."""

    def __init__(self) -> None:
        self.calls = 0
        self._burns: dict[tuple[int, bool], Callable[[], None]] = {}

    def at(self, call: int, burn: Callable[[], None], *, before: bool = True) -> None:
        """Do `burn` before or after the call of that number, counted from 1."""
        self._burns[call, before] = burn

    @contextmanager
    def around(self) -> Iterator[None]:
        """Count the call that is made in the block."""
        self.calls += 1
        call = self.calls
        self._burn(call, before=True)
        try:
            yield
        finally:
            self._burn(call, before=False)

    def _burn(self, call: int, *, before: bool) -> None:
        if burn := self._burns.get((call, before)):
            burn()


class Fused:
    """Another object's methods, each behind the fuse; what is no method is handed through."""

    def __init__(self, target: object, fuse: Fuse) -> None:
        self._target = target
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._fuse.around():
                return value(*args, **kwargs)

        return call


class Crashing:
    """A life that ends in an exception."""

    def __init__(self, world: Rig, *, at: int = 0, before: bool = True) -> None:
        self.fuse = Fuse()
        self.has_died = False
        self._parts = world.place.parts()
        self._circuit = Circuit(slots=4, now=world.clock)
        self._clock = world.clock
        parts = {name: Fused(part, self.fuse) for name, part in self._parts.items()}
        self._reconciler = reconciler_of(parts, world.clock, self._circuit)
        self.fuse.at(at, self.die, before=before)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def calls(self) -> int:
        return self.fuse.calls

    def die(self) -> None:
        self.has_died = True
        raise Crash

    def another_thread(self) -> Reconciler:
        """Return what another thread of this process works with; its calls do not count."""
        return reconciler_of(self._parts, self._clock, self._circuit)

    def receive(self, notification: News, now: datetime) -> str:
        try:
            return str(self._reconciler.take(notification, deadline=within(INLINE_BUDGET, lambda: now)).outcome)
        except Crash as crash:
            raise Died from crash

    def reconcile(self, key: str, wake_up_id: str, now: datetime) -> None:  # noqa: ARG002 - the rig has the clock
        try:
            self._reconciler.reconcile(key, wake_up_id=wake_up_id)
        except Crash as crash:
            raise Died from crash


class Child:
    """What a process of its own holds; for `Apart`."""

    def __init__(self, place: Place) -> None:
        self._now = NOW
        self._reconciler = reconciler_of(place.parts(), lambda: self._now)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def receive(self, notification: News, now: datetime) -> str:
        self._now = now
        return str(self._reconciler.take(notification, deadline=within(INLINE_BUDGET, lambda: now)).outcome)

    def reconcile(self, key: str, wake_up_id: str, now: datetime) -> None:
        self._now = now
        self._reconciler.reconcile(key, wake_up_id=wake_up_id)


class Killable:
    """A life that ends with SIGKILL, sent when its call has come to the proxy or when its answer is on the way back."""

    def __init__(self, world: Rig, *, at: int = 0, before: bool = True) -> None:
        self.has_died = False
        #: What was asked of storage and of ServiceNow, in order.
        self.asked: list[str] = []
        self._fuse = Fuse()
        self._fuse.at(at, self._kill, before=before)
        self._place = world.place

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            tap = stack.enter_context(Tap(self._place.connection_string, self._place.instance_url, watch=self._watch))
            place = replace(self._place, connection_string=tap.connection_string, instance_url=tap.instance_url)
            self._child = stack.enter_context(Apart(Child, place))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def calls(self) -> int:
        return self._fuse.calls

    def _watch(self, operation: str) -> AbstractContextManager[object]:
        self.asked.append(operation)
        return self._fuse.around()

    def _kill(self) -> None:
        self.has_died = True
        self._child.kill()
        raise Cut

    def receive(self, notification: News, now: datetime) -> str:
        return str(self._child.call("receive", notification, now))

    def reconcile(self, key: str, wake_up_id: str, now: datetime) -> None:
        self._child.call("reconcile", key, wake_up_id, now)

"""What happens where Azure Monitor gives up, and its own list of alerts is followed?

A sixth of the histories is of this kind. The app is away for a while, or refuses calls as with a wrong setting; a call
that no repetition brought makes Azure Monitor call nobody for a quarter of an hour, and what it has to say meanwhile is
never said (https://learn.microsoft.com/azure/azure-monitor/alerts/action-groups#webhook). Azure's list has the alerts
all the same. Every two minutes one of the living processes looks at it, sometimes two at once; they die in the middle
of it, storage and the list fail, and some items are malformed. People, the instance and rows are as in every history.

Not modelled: rules of operators, and what `listing` leaves out.
"""

import random
from datetime import datetime, timedelta
from functools import partial

from itsm_bridge.azure_monitor.alert import Alert, MonitorCondition
from itsm_bridge.azure_monitor.correlation import correlate
from itsm_bridge.deadline import Deadline
from itsm_bridge.errors import TemporaryError
from itsm_bridge.reconcile.desired import News
from local.resource_manager.service import ACTION_GROUP
from proof.simulator.azure import BEGIN
from proof.simulator.azure_list import AzureList
from proof.simulator.following import AzureWeather, Following, MemoryProgress
from proof.simulator.history import RETRIES, History, Options
from proof.simulator.listing import SUBSCRIPTIONS, drawn_case, fill
from proof.simulator.oracle import Oracle
from proof.simulator.processes import Process
from proof.simulator.recovery import Recovery

#: How often Azure Monitor gives up, of the histories in which operators have no rules.
_SHARE = 1 / 3
SILENCE = timedelta(minutes=15)
FOLLOW_EVERY = timedelta(minutes=2)
#: How long after the last trouble every alert is found: two runs after it has settled, and one that Azure put off.
_FOUND_WITHIN = timedelta(minutes=10)

DOWN, WEBHOOKS_DOWN, REFUSING = "down", "webhooks down", "refusing"


def gives_up(seed: int) -> bool:
    """Return whether Azure Monitor gives up in the history of a seed, if operators have no rules."""
    return random.Random(f"Azure gives up {seed}").random() < _SHARE


class GivesUp(History):
    """A history in which Azure Monitor gives up."""

    oracle: Recovery

    def __init__(self, seed: int, options: Options) -> None:
        self._azure_rng = random.Random(f"Azure's list {seed}")
        self._silent_until = BEGIN
        #: When the app is away or refuses, and how.
        self._absences: list[tuple[datetime, datetime, str]] = []
        self._troubled_until = BEGIN
        super().__init__(seed, options)
        self._azure_weather.calm_at = self.weather.calm_at
        absences = ", ".join(f"{how} {begin:%H:%M:%S} to {end:%H:%M:%S}" for begin, end, how in self._absences)
        self.tell(f"the app is: {absences}; Azure's list: trouble {self._azure_weather.trouble}")

    def _make_oracle(self) -> Oracle:
        return Recovery(self.schedule)

    # Drawing.

    def _draw(self, *, has_people: bool) -> datetime:
        """Schedule what happens; return when the last of it begins."""
        rng, azure = self._azure_rng, AzureList(now=self.clock, page=self._azure_rng.choice([1, 2, 50]))
        subscriptions = rng.choice([1, 1, 2])
        within, last = rng.choice([5, 60, 1200]), 0.0
        for number in range(rng.choice([1, 2, 3, 6, 9])):
            case = drawn_case(rng, azure, name=f"k{number}", begin=rng.uniform(0, within), subscriptions=subscriptions)
            self.oracle.expect_case(case)
            said = max(word.span for word in case.words)
            for word in case.called:
                for _ in range(rng.choice([1, 1, 1, 2])):
                    delay = rng.uniform(0, rng.choice([0.2, 0.2, 0.2, 15, 1200]))
                    self._at(word.span + delay, partial(self._deliver, word.notification, 0))
                    last = max(last, word.span + delay)
            last = max(last, self._drawn_about(case.key, said, has_people=has_people))
        self._following = self._drawn_following(azure, subscriptions)
        fill(rng, azure, count=rng.choice([*[0] * 9, 12, 25]), within=max(last, within))
        ends = [*self._drawn_absences(last), *(end for _, end, _, _ in self._azure_weather.absences)]
        return max(BEGIN + timedelta(seconds=last), azure.known_by or BEGIN, *ends)

    def _drawn_about(self, key: str, said: float, *, has_people: bool) -> float:
        """Schedule what people do about a key, and accidents of its row; return when the last of it begins."""
        rng, last = self.rng, 0.0
        for _ in range(rng.randrange(1, 4) if has_people else 0):
            last = max(last, when := rng.uniform(0.1, said + rng.choice([60, 900, 1800])))
            self._at(when, partial(self._act, key))
        if self._rows:
            self._at(rng.uniform(0.5, said + 1200), partial(self._change_row, key))
        return last

    def _drawn_absences(self, last: float) -> list[datetime]:
        """Draw when the app is away; return the ends."""
        rng = self._azure_rng
        for _ in range(rng.choice([1, 1, 2])):
            begin = BEGIN + timedelta(seconds=rng.uniform(-300, last))
            end = begin + timedelta(seconds=rng.choice([20, 100, 300, 1200, 2400]))
            self._absences.append((begin, end, rng.choice([DOWN, WEBHOOKS_DOWN, WEBHOOKS_DOWN, REFUSING])))
        return [end for _, end, _ in self._absences]

    def _drawn_following(self, azure: AzureList, subscriptions: int) -> Following:
        rng = self._azure_rng
        weather = self._azure_weather = AzureWeather(
            rng=rng, now=self.clock, calm_at=BEGIN, trouble=rng.choice([0, 0, 0.1, 0.3])
        )
        for _ in range(rng.choice([0, 0, 1])):
            begin = BEGIN + timedelta(seconds=rng.uniform(0, 1200))
            end = begin + timedelta(minutes=rng.choice([5, 25, 40]))
            whose = rng.choice(["", SUBSCRIPTIONS[0]])
            weather.absences.append((begin, end, whose, rng.choice(["429", "away", "malformed"])))
        azure.is_item_cut = lambda: weather.is_bad and rng.random() < 0.3
        return Following(
            azure=azure,
            weather=weather,
            progress=MemoryProgress(),
            groups=frozenset({ACTION_GROUP.lower()}),
            subscriptions=SUBSCRIPTIONS[:subscriptions],
            receive=self._receive,
        )

    # Azure Monitor.

    def _absence(self) -> str:
        """Return how the app is away now; "" if it is not."""
        now = self.schedule.now
        return next((how for begin, end, how in self._absences if begin <= now < end), "")

    def _living(self, work: str) -> Process | None:
        how = self._absence()
        is_away = how == DOWN or (how == WEBHOOKS_DOWN and work == "webhooks")
        return None if is_away else super()._living(work)

    def _deliver(self, notification: News, attempt: int) -> None:
        if self.schedule.now < self._silent_until:
            self.tell(f"{notification.digest} is never sent: Azure Monitor calls nobody here")
        elif self._absence() == REFUSING:
            self.tell(f"{notification.digest} is answered 403, and is not repeated")
        else:
            super()._deliver(notification, attempt)

    def _deliver_again(self, notification: News, attempt: int) -> None:
        if attempt == len(RETRIES):
            self._silent_until = self.schedule.now + SILENCE
            self.tell(f"Azure Monitor gives {notification.digest} up, and calls nobody here for a quarter of an hour")
        super()._deliver_again(notification, attempt)

    # Azure's list.

    def _follow(self) -> None:
        for _ in range(2 if self._azure_rng.random() < 0.1 else 1):
            process = self._living("timer")
            if process is not None:
                process.run(partial(self._follow_in, process))
        if not self._is_over:
            self.schedule.after(FOLLOW_EVERY, self._follow)

    def _follow_in(self, process: Process) -> None:
        try:
            report = self._following.run(process)
        except TemporaryError as error:
            self.tell(f"{process.name}: following failed: {error}")
            return
        for each in report.troubles:
            self.tell(f"{process.name}: following: {each}")

    def _receive(self, process: Process, alert: Alert, how: str, deadline: Deadline) -> None:
        """Take in, in a process, what was found in the list: the word of the alert, as the list tells it."""
        told = correlate(alert)
        case = self.oracle.cases.get(told.key)
        word = None if case is None else case.end if told.closes else case.begin
        if case is None or word is None or told.signal != word.notification.signal:
            self.oracle.fault(f"the list brought {alert.alert_id}, which is no alert of this history")
            return
        is_end = alert.monitor_condition is MonitorCondition.RESOLVED
        said = News(
            **{name: getattr(word.notification, name) for name in _AS_CALLED},
            digest=f"{word.notification.digest} as listed",
            at=alert.resolved_date_time if is_end else alert.fired_date_time,
        ).found(how)
        self.tell(f"{process.name}: {word.notification.digest} is found in the list")
        coming = self.oracle.came(word.notification, said)
        self.oracle.found(case, coming)
        result = process.reconciler.take(said, deadline=deadline)
        self.tell(f"{process.name}: {word.notification.digest}, found: {result.outcome}")
        self.oracle.answered(word.notification, coming)

    # Rows that cannot be worked on keep what was found waiting too.

    def _give_back(self, key: str) -> None:
        self._troubled_until = self.schedule.now
        super()._give_back(key)

    def _mend(self, key: str) -> None:
        self._troubled_until = self.schedule.now
        super()._mend(key)
        if self.weather.calm_at < self.schedule.now - timedelta(hours=1):
            self.oracle.waited_for(key)

    # Playing.

    def start_timer(self) -> None:
        super().start_timer()
        self._at(self._azure_rng.uniform(0, 120), self._follow)

    def _is_at_rest(self) -> bool:
        since = max(self.weather.calm_at, self._troubled_until)
        return super()._is_at_rest() and self.schedule.now >= since + _FOUND_WITHIN


#: What the list and a call say in the same words.
_AS_CALLED = ("key", "signal", "opens", "closes", "facts", "note", "content")

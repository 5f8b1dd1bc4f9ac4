"""What happens where operators have rules?

A third of the histories has rules that say how incidents begin and end, and that ignore some notifications; a sixth has
rules that let several alerts share an incident, and storms. The rules may change in the middle of a history. All else
is drawn as ever; what rules add is drawn apart, so that the histories without rules stay what they are.
"""

import hashlib
import random
from datetime import datetime, timedelta
from functools import partial

from itsm_bridge.reconcile.desired import News
from proof.simulator.azure import BEGIN, Word, shared_words, words_of
from proof.simulator.history import History, Options
from proof.simulator.oracle import Oracle
from proof.simulator.processes import LEDGER
from proof.simulator.promises import Promises
from proof.simulator.rulings import Rulings, groups_drawn, lifecycles_drawn

LIFECYCLES = "lifecycles"
GROUPS = "groups"
#: What operators' rules say in a history: in half of them there are none.
_OPERATORS = ("", "", "", LIFECYCLES, LIFECYCLES, GROUPS)
#: How long after its time `resync` ends by our clock what Azure never ends, at most: it comes every five minutes.
_CLOSED_WITHIN = timedelta(minutes=16)


def operators_of(seed: int) -> str:
    """Return what operators' rules speak of in the history of a seed; "" if they have none."""
    return random.Random(f"rules {seed}").choice(_OPERATORS)


class Ruled(History):
    """A history in which operators have rules."""

    oracle: Promises
    _rulings: Rulings

    def __init__(self, seed: int, options: Options, operators: str) -> None:
        self._rules_rng = random.Random(f"what rules say {seed}")
        self._operators = operators
        #: Whether each word comes once and soon: the more that is certain, the stricter the oracle.
        self._is_tidy = self._rules_rng.random() < 0.4
        super().__init__(seed, options)
        self.oracle.cloud = self.cloud
        self.oracle.is_ledger = self._target == LEDGER
        self.oracle.skew = timedelta(seconds=2 * self._skew)
        self.tell(f"operators have {operators}\n           {self._rulings}")

    def _make_oracle(self) -> Oracle:
        return Promises(self.schedule)

    def as_ruled(self, notification: News) -> News:
        return self._rulings.of(notification, self.schedule.now)

    # Drawing.

    def _draw(self, *, has_people: bool) -> datetime:
        """Schedule what Azure Monitor says and people do; return when the last of it begins."""
        rng, last = self.rng, 0.0
        words = self._words()
        for word in words:
            self.oracle.expect(word)
            for _ in range(1 if self._is_tidy else rng.choice([1, 1, 1, 2, 3])):
                delay = rng.uniform(0, 0.2 if self._is_tidy else rng.choice([0.2, 0.2, 0.2, 15, 200]))
                self._at(word.span + delay, partial(self._deliver, word.notification, 0))
                last = max(last, word.span + delay)
        said = max(word.span for word in words)
        keys = list(dict.fromkeys(word.notification.key for word in words))
        for _ in range(rng.randrange(1, 2 + 2 * len(keys)) if has_people else 0):
            when = rng.uniform(0.1, min(said, 1200) + rng.choice([1, 60, 900]))
            self._at(when, self._act_somewhere)
            last = max(last, when)
        for _ in range(len(keys) if self._rows else 0):
            self._at(rng.uniform(0.5, said + 60), self._change_some_row)
        for _ in range(self._rules_rng.choice([0, 1, 3])):
            self._at(self._rules_rng.uniform(0.5, said + 60), self._wake_early)
        self._rulings = self._drawn_rules(keys, said)
        return BEGIN + timedelta(seconds=last)

    def _words(self) -> list[Word]:
        """Return all that is said, of each key in the order in which it happens."""
        rng, drawn = self.rng, []
        if self._operators == LIFECYCLES:
            for number in range(rng.choice([1, 1, 2, 3])):
                drawn += words_of(rng, self._key(number), f"k{number}")
            return drawn
        within = rng.choice([1, 30, 300, 1200])
        for number in range(rng.choice([2, 3, 4, 5, 7])):
            drawn += shared_words(rng, self._key(number), f"k{number}", begin=rng.uniform(0, within))
        return drawn

    def _key(self, number: int) -> str:
        return hashlib.sha256(f"{self.seed}|{number}".encode()).hexdigest()

    def _drawn_rules(self, keys: list[str], said: float) -> Rulings:
        rng = self._rules_rng
        changes = [
            rng.uniform(0, said + 30) for _ in range(rng.choice([0, 0, 0, 1] if self._is_tidy else [0, 0, 1, 1, 2]))
        ]
        moments = [BEGIN, *(BEGIN + timedelta(seconds=each) for each in sorted(changes))]
        return (lifecycles_drawn if self._operators == LIFECYCLES else groups_drawn)(rng, keys, moments)

    # Where several alerts share an incident, it is no key of an alert that a person or an accident meets.

    def _act_somewhere(self) -> None:
        keys = sorted({row.key for row in self.instance.rows.values()})
        if keys:
            self._act(self.rng.choice(keys))

    def _wake_early(self) -> None:
        """Let a wake-up come that nothing asked for: a queue gives some out twice, and operators replay."""
        keys = sorted(row.key for row in self.store.records)
        if keys:
            key = self._rules_rng.choice(keys)
            self.tell(f"a wake-up of {key[:4]} comes that nothing asked for")
            self.wakeups.send(key, delay=timedelta(0))

    def _change_some_row(self) -> None:
        # A program that knows no rules leaves these rows alone, so none is ever in its form.
        if self._rows == "older version":
            return
        keys = sorted(row.key for row in self.store.records)
        if keys:
            self._change_row(self.rng.choice(keys))

    # Playing.

    def rest(self) -> None:
        """Let everything happen that is still to come, also what our clock ends."""
        super().rest()
        close_after = [
            wish.lifecycle.close_after
            for version in self._rulings.versions
            for wish in version.wishes.values()
            if wish.lifecycle.close_after
        ]
        if close_after:
            self.schedule.run(until=self.schedule.now + max(close_after) + _CLOSED_WITHIN)
            super().rest()

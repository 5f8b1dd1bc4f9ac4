"""Would the proof notice? Breaks the program on purpose, one way at a time, and expects the simulator to object.

    python -m proof.mutants [--histories N] [--workers N]

`make mutants` runs it. Each mutant is a change of the source in a copy of the project, and each worker tries one at a
time. A mutant that survives is an error, and so is one whose place in the source is gone: then the mutant needs a new
place, or the promise has none any more.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
COPIED = ("itsm_bridge", "tests", "local", "proof")
LONGEST = 600  # seconds for one mutant
_SIMULATOR = ("-m", "proof.simulator", "--until-failure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One way to break the program."""

    name: str
    file: str
    #: The text that stands there once, and the text that replaces it.
    before: str
    after: str
    #: Arguments of Python that must fail; () for the simulator.
    suite: tuple[str, ...] = ()
    #: What operators' rules speak of in every history of the simulator; "" for the usual mixture.
    operators: str = ""
    #: The accident that rows have in every history; "" for the usual mixture.
    rows: str = ""
    #: Whether Azure Monitor gives up in every history of the simulator.
    gives_up: bool = False


def _pytest(path: str) -> tuple[str, ...]:
    return ("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", path)


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        name="no lease",
        file="itsm_bridge/reconcile/work.py",
        before="return self.leased_until is not None and now < self.leased_until",
        after="return False",
    ),
    Mutant(
        name="answered 202 without a wake-up: there was no slot, or the row is leased",
        file="itsm_bridge/reconcile/reconciler.py",
        before="        handed.wake_up = self._waking.wake(row.key, delay=delay)\n",
        after="",
        suite=_pytest("tests/reconcile/test_turns.py"),
    ),
    Mutant(
        name="answered 202 without a wake-up: the worker could not send one",
        file="itsm_bridge/reconcile/reconciler.py",
        before="            self._waking.wake(row.key, delay=self._next_look(row) - self._now())\n",
        after="",
        suite=_pytest("tests/reconcile/test_turns.py"),
    ),
    Mutant(
        name="a note in doubt is repeated",
        file="itsm_bridge/reconcile/orders.py",
        before="    notes = () if decision.holds_notes else notes\n",
        after="",
    ),
    Mutant(
        name="a change is repeated that the one in doubt could undo",
        file="itsm_bridge/reconcile/plan.py",
        before="    if record.observed.doubted_from != record.desired.revision:\n",
        after="    if False:\n",
        # Histories do not notice, because the notes are owed and so the incident is looked at again in the end.
        suite=_pytest("tests/reconcile/test_reconciler.py"),
    ),
    Mutant(
        name="what a repetition brought about is taken for the end of the doubt",
        file="itsm_bridge/reconcile/orders.py",
        before="        return Record.repeating\n",
        after="        return None\n",
        # Only changes without notes: the others are owed their notes, and wait for that reason.
        suite=_pytest("tests/reconcile/test_reconciler.py"),
    ),
    Mutant(
        name="whoever finds an incident resolved does not know that it was not told why",
        file="itsm_bridge/reconcile/orders.py",
        before="        return Record.telling_after_end\n",
        after="        return None\n",
    ),
    Mutant(
        name="a row counts on the message of a worker that died",
        file="itsm_bridge/reconcile/record.py",
        before='        work = self.work.awaiting(wake_up_at=until, wake_up_id="")\n',
        after="        work = replace(self.work, is_waiting=False)\n",
        suite=_pytest("tests/reconcile/test_turns.py"),
    ),
    Mutant(
        name="no intent: a lease that ran out says nothing of a write",
        file="itsm_bridge/reconcile/record.py",
        before="if self.work.leased_until is not None and self.work.lease_holder != holder:",
        after="if False:",
    ),
    Mutant(
        name="POST before intent: the row does not say that a write may be under way",
        file="itsm_bridge/reconcile/intake.py",
        before="return row.leased(holder=self.holder, now=now, until=self.lease_until) if may_lease",
        after="return row.leased(holder=self.holder, now=now, until=now - timedelta(days=1)) if may_lease",
    ),
    Mutant(
        name="POST before intent: the next generation is created before the row knows it",
        file="itsm_bridge/reconcile/worker.py",
        before="        if decision.action is Action.SUCCEED:\n",
        after="        if False:\n",
        suite=_pytest("tests/reconcile/test_regressions.py"),
    ),
    Mutant(
        name="nobody looks for what fell out of the queue",
        file="itsm_bridge/reconcile/resync.py",
        before="woken = self._wake(known, lambda outline: outline.is_overdue(worked_up_to), delay=FIRST_RETRY)",
        after="woken = self._wake({}, lambda outline: outline.is_overdue(worked_up_to), delay=FIRST_RETRY)",
    ),
    Mutant(
        name="the entry of the index is dropped before its row is settled",
        file="itsm_bridge/reconcile/outline.py",
        before="return self.awaits_work or self.is_parked or",
        after="return (self.awaits_work and self.failing_since is None) or self.is_parked or",
        rows="wake-ups lost",
    ),
    Mutant(
        name="a row that is replaced keeps its old entry in the index",
        file="itsm_bridge/storage/alert_table.py",
        before="        if row.indexed_as == record.indexed_as:\n            return self._updated(row)\n",
        after="        if record.indexed_as or row.indexed_as == record.indexed_as:\n"
        "            return self._updated(row)\n",
        suite=_pytest("tests/storage/test_alert_table_contract.py"),
    ),
    Mutant(
        name="the row and its entry are written one after the other",
        file="itsm_bridge/storage/alert_table.py",
        before="            operations = [transaction.insert(to_entity(row)), transaction.overwrite(entry)]\n",
        after="            self._transacted([transaction.overwrite(entry)], what=record.key)\n"
        "            operations = [transaction.insert(to_entity(row))]\n",
        suite=_pytest("tests/storage/test_alert_table.py"),
    ),
    Mutant(
        name="nobody looks for rows that the index does not name",
        file="itsm_bridge/reconcile/sweep.py",
        before="        each_alone(doubtful, lambda",
        after="        each_alone([], lambda",
        rows="index lost",
    ),
    Mutant(
        name="no ETag: the last writer wins",
        file="proof/simulator/memory.py",
        before="if known is None or known.etag != record.etag:",
        after="if known is None:",
    ),
    Mutant(
        name="no ETag in the adapter",
        file="itsm_bridge/storage/alert_table.py",
        before="                    etag=row.etag,\n"
        "                    match_condition=MatchConditions.IfNotModified,\n"
        "                )\n            )\n        except (ResourceModifiedError, ResourceNotFoundError)",
        after="                )\n            )\n        except (ResourceModifiedError, ResourceNotFoundError)",
        suite=_pytest("tests/storage/test_alert_table_contract.py"),
    ),
    Mutant(
        name="no ETag in the adapter's transactions",
        file="itsm_bridge/storage/transaction.py",
        before='condition = [f"If-Match: {etag}"] if etag else []',
        after='condition = ["If-Match: *"] if etag else []',
        suite=_pytest("tests/storage/test_alert_table_contract.py"),
    ),
    Mutant(
        name="answered before it is durable",
        file="itsm_bridge/reconcile/reconciler.py",
        before="            row, is_news = self._intake.remember(",
        after="            if holder == '':\n"
        "                from itsm_bridge.reconcile.merge import first_record\n"
        "                return Result(outcome=Outcome.ACCEPTED, record=first_record(news, self._now()))\n"
        "            row, is_news = self._intake.remember(",
    ),
    Mutant(
        name="a write without an answer is taken for one that failed",
        file="itsm_bridge/reconcile/record.py",
        before="        return self._doubted(until=now + SETTLE_TIME, now=now, wanted=wanted)",
        after="        return self",
    ),
    Mutant(
        name="notes that are there are not recognised",
        file="itsm_bridge/reconcile/record.py",
        before="owed = tuple(note for note in self.work.notes if not self._may_be_there(note, incident))",
        after="owed = self.work.notes",
    ),
    Mutant(
        name="the late Fired reopens what is over",
        file="itsm_bridge/reconcile/merge.py",
        before="return bool(notification.signal) or notification.at is None or known.at is None",
        after="return False and known.at is None",
    ),
    Mutant(
        name="an end counts only if it is not dated before its beginning",
        file="itsm_bridge/reconcile/merge.py",
        before="END_WINS_WITHIN = timedelta(seconds=2)",
        after="END_WINS_WITHIN = timedelta(0)",
    ),
    Mutant(
        name="the same words at a later time do not move the time of their signal",
        file="itsm_bridge/reconcile/merge.py",
        before="return record if said_again.at == known.at else _with_signal(record, news, said_again)",
        after="return record",
    ),
    Mutant(
        name="of what was said only the last is recognised",
        file="itsm_bridge/reconcile/merge.py",
        before="return _saying(notification) in known.said",
        after="return _saying(notification) in known.said[-1:]",
    ),
    Mutant(
        name="an outdated end tells nothing of a beginning after it",
        file="itsm_bridge/reconcile/merge.py",
        before="    if notification.signal or notification.opens or not known.is_firing:",
        after="    if True:",
        suite=_pytest("tests/reconcile/test_merge.py"),
    ),
    Mutant(
        name="a resource that was available and is ends its event",
        file="itsm_bridge/azure_monitor/correlation.py",
        before="says_nothing = _was_and_is_available(alert)",
        after="says_nothing = False",
        suite=_pytest("tests/azure_monitor/test_correlation.py"),
    ),
    Mutant(
        name="a rule that ends an incident at birth is fought",
        file="itsm_bridge/reconcile/record.py",
        before="created_firing_count=seen.created_firing_count if created_at is None else sent.desired.firing_count,",
        after="created_firing_count=seen.created_firing_count,",
    ),
    Mutant(
        name="what another instance or account showed is trusted",
        file="itsm_bridge/storage/instance_facts.py",
        before='            whose = f"{self._instance}\\n{self._account()}"\n',
        after='            whose = "the instance"\n',
        suite=_pytest("tests/storage/test_instance_facts.py"),
    ),
    Mutant(
        name="a yes outweighs a no",
        file="itsm_bridge/facts.py",
        before="new.value and not known.value and known.is_believed(new.learnt_at)",
        after="False",
        suite=_pytest("tests/servicenow/test_knowledge.py"),
    ),
    Mutant(
        name="sign-ins do not count as requests",
        file="itsm_bridge/servicenow/credentials.py",
        before="self._transport = Gated(gate)",
        after="self._transport = Gated()",
        suite=_pytest("tests/servicenow/test_gate.py"),
    ),
    Mutant(
        name="answers of a batch are taken in the order in which they come",
        file="itsm_bridge/servicenow/batch.py",
        before="        return [by_id.get(str(number)) for number in range(len(self.queries))]\n",
        after="        return (list(by_id.values()) + [None] * len(self.queries))[: len(self.queries)]\n",
        suite=_pytest("tests/servicenow/test_batch.py"),
    ),
    Mutant(
        name="the answer to somebody else's batch is taken for ours",
        file="itsm_bridge/servicenow/batch.py",
        before='or str(told.get("batch_request_id")) != self.batch_id',
        after="",
        suite=_pytest("tests/servicenow/test_batch.py"),
    ),
    Mutant(
        name="a page that others filled hides an item",
        file="itsm_bridge/servicenow/cmdb/grouping.py",
        before="        if page.is_full:\n",
        after="        if page is None:\n",
        suite=_pytest("tests/servicenow/test_cmdb_together.py"),
    ),
    Mutant(
        name="a match is believed although a surer question is open",
        file="itsm_bridge/servicenow/cmdb/lookup.py",
        before="            if not unknown:\n                return match\n",
        after="            if not unknown or match.sys_id:\n                return match\n",
        suite=_pytest("tests/servicenow/test_cmdb_together.py"),
    ),
    Mutant(
        name="what is hidden is taken for deleted",
        file="itsm_bridge/servicenow/table_api.py",
        before="if must_see_all and len(result)",
        after="if False and len(result)",
        suite=_pytest("tests/test_wider_world.py"),
    ),
    Mutant(
        name="what an edge refuses is refused for good",
        file="itsm_bridge/servicenow/verdicts.py",
        before="return lambda seen: seen.status in statuses and seen.is_said\n",
        after="return lambda seen: seen.status in statuses\n",
        suite=_pytest("tests/test_wider_world.py"),
    ),
    Mutant(
        name="an instance that can be read is taken for one that can be changed",
        file="itsm_bridge/reconcile/circuit.py",
        before="was_away = self._pauses > 0 and had_failed",
        after="was_away = self._pauses > 0",
        suite=_pytest("tests/test_wider_world.py"),
    ),
    Mutant(
        name="what waits for ServiceNow stands in the queue and votes for instances",
        file="itsm_bridge/reconcile/reconciler.py",
        before="            self._store.replace("
        "row.with_work(work.held(reason=outage, now=now).waiting(until=now + pause)))",
        after="            self._waking.postpone(row.with_work(work.held(reason=outage, now=now)), pause)",
        suite=_pytest("tests/reconcile/test_reconciler.py"),
    ),
    Mutant(
        name="a row in the place of a damaged one does not look for its incident",
        file="itsm_bridge/reconcile/record.py",
        before="return replace(restored, desired=replace(self.desired, revision=revision), observed=observed)",
        after="return self",
        suite=_pytest("tests/reconcile/test_reconciler.py"),
    ),
    Mutant(
        name="what is asked for during a write is taken for a person's if its own answer is lost",
        file="itsm_bridge/reconcile/record.py",
        before="return row if row.desired.fields == sent.desired.fields else row.asking()",
        after="return row",
        suite=_pytest("tests/reconcile/test_record.py"),
    ),
    Mutant(
        name="an alert of a group leaves no trace under its own key",
        file="itsm_bridge/reconcile/placing.py",
        before="return self._store.lead(news.key, to=group_key) if group_key else news.key",
        after="return group_key or news.key",
        operators="groups",
    ),
    Mutant(
        name="a change of rules places an alert anew",
        file="itsm_bridge/reconcile/placing.py",
        before="return self._store.lead(news.key, to=group_key) if group_key else news.key",
        after="return (self._store.lead(news.key, to=group_key) and group_key) if group_key else news.key",
        operators="groups",
    ),
    Mutant(
        name="a group is joined however late",
        file="itsm_bridge/reconcile/gathering.py",
        before="    if group.shared is not Shared.STORM and not is_fresh:\n",
        after="    if known is None:\n",
        operators="groups",
    ),
    Mutant(
        name="a storm counts a repetition",
        file="itsm_bridge/reconcile/gathering.py",
        before="    if own_key in dict(before.joined):\n",
        after="    if False:\n",
        operators="groups",
    ),
    Mutant(
        name="a storm begins one alert too late",
        file="itsm_bridge/reconcile/gathering.py",
        before="lately > group.more_than:",
        after="lately > group.more_than + 1:",
        operators="groups",
    ),
    Mutant(
        name="the end of one alert ends the incident of all",
        file="itsm_bridge/reconcile/desired.py",
        before="return any(signal.is_firing for signal in self.signals.values())",
        after="return _latest(self.signals.values()).is_firing",
        operators="groups",
    ),
    Mutant(
        name="a hold is over with any wake-up",
        file="itsm_bridge/reconcile/plan.py",
        before="    if record.is_on_hold(now) and record.desired.is_firing:\n",
        after="    if False:\n",
        operators="lifecycles",
    ),
    Mutant(
        name="the end of another alert ends a hold",
        file="itsm_bridge/reconcile/merge.py",
        before="held_until = before.desired.held_until if still_fires and not news.opens else _held_until(",
        after="held_until = _held_until(",
        operators="lifecycles",
    ),
    Mutant(
        name="what is over before its hold is told all the same",
        file="itsm_bridge/reconcile/merge.py",
        before="    if before.is_on_hold(now) and not still_fires:\n",
        after="    if False:\n",
        operators="lifecycles",
    ),
    Mutant(
        name="the ignored end of what has an incident is dropped",
        file="itsm_bridge/reconcile/merge.py",
        before="return not has_incident and bool(",
        after="return bool(",
        operators="lifecycles",
    ),
    Mutant(
        name="an ignored end is forgotten when its beginning comes late",
        file="itsm_bridge/reconcile/merge.py",
        before="at=_later(before.at, news.at) if news.closes and not news.opens else before.at,",
        after="at=before.at,",
        suite=_pytest("tests/reconcile/test_lifecycle.py"),
    ),
    Mutant(
        name="what our clock ends is not told",
        file="itsm_bridge/reconcile/merge.py",
        before="return _anew(ended, firing_count=record.desired.firing_count, now=now)\n\n\ndef bring_in",
        after="return ended\n\n\ndef bring_in",
        operators="lifecycles",
    ),
    Mutant(
        name="what is left to people is resolved",
        file="itsm_bridge/reconcile/plan.py",
        before="resolves = record.desired.lifecycle.auto_resolve is AutoResolve.RESOLVE or record.desired.is_expired",
        after="resolves = True",
        operators="lifecycles",
    ),
    Mutant(
        name="what was resolved long ago is reopened",
        file="itsm_bridge/reconcile/plan.py",
        before="    if observed.is_resolved and _is_stale(",
        after="    if False and _is_stale(",
        operators="lifecycles",
    ),
    Mutant(
        name="another incident follows a closed one against all rules",
        file="itsm_bridge/reconcile/plan.py",
        before="    if observed.is_closed and lifecycle.after_closed is AfterClosed.NOTHING:\n",
        after="    if False:\n",
        operators="lifecycles",
    ),
    Mutant(
        name="a worker goes on that lost its lease",
        file="itsm_bridge/reconcile/endings.py",
        before="            if row is None or row.work.lease_holder != holder:\n",
        after="            if row is None:\n",
        operators="lifecycles",
    ),
    Mutant(
        name="a refused state is not told",
        file="itsm_bridge/reconcile/worker.py",
        before="        if attempt.decision.action not in _STATES_REFUSED or record.work.refusal:",
        after="        if True:",
    ),
    Mutant(
        name="a firing during the work is forgotten",
        file="itsm_bridge/reconcile/record.py",
        before="            revision=revision,\n",
        after="            revision=self.desired.revision,\n",
    ),
    Mutant(
        name="a look passes what could not be judged",
        file="itsm_bridge/resource_manager/look.py",
        before="            self.place = max(beginning, min((end, *held)))\n",
        after="            self.place = end\n",
        gives_up=True,
    ),
    Mutant(
        name="a look that Azure broke off passes what it did not see",
        file="itsm_bridge/resource_manager/look.py",
        before="            rests_for = error.retry_after if isinstance(error, Away) else None\n",
        after="            rests_for, self.place = None, now\n",
        gives_up=True,
    ),
    Mutant(
        name="one row that cannot be written ends each look",
        file="itsm_bridge/resource_manager/look.py",
        before="        self._unreached += not isinstance(error, NewerVersion)\n",
        after="        self._unreached = _MOST_UNREACHED\n",
        suite=_pytest(
            "tests/resource_manager/test_missed.py::test_a_row_of_a_newer_version_holds_nobody_else_up_and_is_gone_on_with_later"
        ),
    ),
    Mutant(
        name="what was suppressed is brought in",
        file="itsm_bridge/resource_manager/history.py",
        before="    if first:\n        return Call.SUPPRESSED\n",
        after="    if first:\n        return Call.TRIGGERED\n",
        gives_up=True,
    ),
    Mutant(
        name="what was for others is brought in",
        file="itsm_bridge/resource_manager/history.py",
        before="        for group in each.action_groups.intersection(groups):\n",
        after="        for group in each.action_groups:\n",
        gives_up=True,
    ),
    Mutant(
        name="what was found is told again when its call comes after all",
        file="itsm_bridge/reconcile/merge.py",
        before="    if _was_said(known, news) or is_found_twice(known, news):\n",
        after="    if _was_said(known, news):\n",
        gives_up=True,
    ),
    Mutant(
        name="an end that was found is not told",
        file="itsm_bridge/resource_manager/judging.py",
        before="            return self._told(listed, alert_id, deadline, ends=True) if is_over else _KNOWN\n",
        after="            return _KNOWN\n",
        gives_up=True,
    ),
    Mutant(
        name="the end of an alert that came and went unseen is not told",
        file="itsm_bridge/resource_manager/judging.py",
        before="self._told(listed, alert_id, deadline, begins=True, ends=is_over)",
        after="self._told(listed, alert_id, deadline, begins=True)",
        gives_up=True,
    ),
    Mutant(
        name="the beginning of an alert whose end alone came is not told",
        file="itsm_bridge/reconcile/merge.py",
        before="    if is_missed_beginning(known, news):\n",
        after="    if False:\n",
        gives_up=True,
    ),
    Mutant(
        name="an incident does not say that its alert was found",
        file="itsm_bridge/reconcile/merge.py",
        before="if news.recovered and news.opens else ()",
        after="if False else ()",
        gives_up=True,
    ),
    Mutant(
        name="looks do not overlap",
        file="itsm_bridge/resource_manager/look.py",
        before="OVERLAP: Final = timedelta(minutes=15)",
        after="OVERLAP: Final = timedelta(0)",
        gives_up=True,
    ),
)


class Misplaced(Exception):
    """A mutant's place in the source is not there once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of a mutant."""

    mutant: Mutant
    is_caught: bool
    #: The last word of what tried it.
    by: str
    seconds: float

    def __str__(self) -> str:
        said = "caught" if self.is_caught else "SURVIVED"
        return f"{said:<9} {self.seconds:5.0f} s  {self.mutant.name:<60} {self.by}"


def main() -> int:
    """Try every mutant; return 1 if one survives."""
    parser = argparse.ArgumentParser(prog="python -m proof.mutants", description="Break the program on purpose.")
    parser.add_argument("--histories", type=int, default=2000, help="how many to play at most (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="at once (default: %(default)s)")
    asked = parser.parse_args()
    is_broken, by = _tried(None, (*_SIMULATOR, "--histories", str(asked.histories // 5)))
    if is_broken:
        print(f"The program fails as it is, so nothing is proven: {by}")
        return 1
    survivors = 0
    for verdict in verdicts(MUTANTS, histories=asked.histories, workers=asked.workers):
        survivors += not verdict.is_caught
        print(verdict, flush=True)
    print(f"{len(MUTANTS) - survivors} of {len(MUTANTS)} caught")
    return 1 if survivors else 0


def verdicts(mutants: Sequence[Mutant], *, histories: int, workers: int) -> Iterator[Verdict]:
    """Try mutants, so many at once, and yield what became of each, in their order.

    Raises:
        Misplaced: a mutant's place in the source is gone.
    """
    pool = ThreadPoolExecutor(workers)
    try:
        yield from pool.map(lambda mutant: _judged(mutant, histories), mutants)
    finally:
        # Whoever stops waits for those that are being tried, and for no other.
        pool.shutdown(cancel_futures=True)


def _judged(mutant: Mutant, histories: int) -> Verdict:
    began = time.monotonic()
    # A worker has a core for itself.
    simulator = (*_SIMULATOR, "--histories", str(histories), "--workers", "1", *_drawn(mutant))
    is_caught, by = _tried(mutant, mutant.suite or simulator)
    return Verdict(mutant=mutant, is_caught=is_caught, by=by, seconds=time.monotonic() - began)


def _drawn(mutant: Mutant) -> Sequence[str]:
    """Return what the simulator draws in every history for a mutant."""
    rules = ("--operators", mutant.operators) if mutant.operators else ()
    rows = ("--rows", mutant.rows) if mutant.rows else ()
    return (*rules, *rows, *(("--gives-up",) if mutant.gives_up else ()))


def _tried(mutant: Mutant | None, suite: Sequence[str]) -> tuple[bool, str]:
    """Return whether the suite fails on a copy with this mutant, if any, and its last word."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__", "node_modules")
            shutil.copytree(ROOT / name, copy / name, ignore=ignored)
        (copy / "local/node_modules").symlink_to(ROOT / "local/node_modules")
        shutil.copy(ROOT / "pyproject.toml", copy)
        if mutant:
            _change(copy / mutant.file, mutant)
        try:
            done = subprocess.run(
                [sys.executable, *suite], cwd=copy, capture_output=True, text=True, timeout=LONGEST, check=False
            )
        except subprocess.TimeoutExpired:
            return False, f"no verdict within {LONGEST} s"
    words = (done.stdout + done.stderr).splitlines()
    said = next((line for line in words if line.startswith(("!! ", "FAILED "))), "")
    # A mutant that does not even run proves nothing.
    return done.returncode == 1 and bool(said), (said or (words or [""])[-1])[:110]


def _change(path: Path, mutant: Mutant) -> None:
    source = path.read_text(encoding="utf-8")
    if source.count(mutant.before) != 1:
        raise Misplaced(f"{mutant.name}: its place is not once in {mutant.file}")
    path.write_text(source.replace(mutant.before, mutant.after), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

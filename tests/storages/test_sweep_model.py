"""All that can happen to tasks and tokens, in any order, against a model of Huey's promises."""

from __future__ import annotations

import datetime
import os
import random
import uuid
from functools import partial

import huey as huey_package
import pytest
from huey.exceptions import RetryTask
from huey.signals import SIGNAL_INTERRUPTED
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    precondition,
    rule,
    run_state_machine_as_test,
)

from huey_signals_kit.inflight.tasks import RunningTask
from huey_signals_kit.ledger import Heartbeat, open_ledger
from huey_signals_kit.runtime.process_id import this_process
from huey_signals_kit.store.keys import generated_in
from huey_signals_kit.upkeep import sweep_tokens
from tests.support import tokens

HOUR = datetime.timedelta(hours=1)
FAR = datetime.datetime(2999, 1, 1)
CHORDS = hasattr(huey_package, "chord")
SHAPES = ["plain", "pipeline", "handled", "retried", "again", "at once", "mixed", "custom"]
SHAPES += ["interrupted"]
MEMBERS = ["chord", "chord and on"] if CHORDS else []
FORMS = ["for good", "once", "until some day", "until soon", "by task"]


def nested(task):
    """The ids of a task and of all that is nested in it, from Huey's own objects."""
    if task is None:
        return set()
    callback = getattr(getattr(task, "chord_config", None), "callback", None)
    rest = (task.on_complete, task.on_error, callback)
    return {task.id}.union(*map(nested, rest))


class Queue(RuleBasedStateMachine):
    """One queue, one worker that holds what it takes, one scheduler, one sweeper."""

    def __init__(self, make_huey, kind, monkeypatch):
        super().__init__()
        # The same ids each time: Redis sorts what is due at the same moment by its message.
        bits = random.Random(0).getrandbits
        monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=bits(128), version=4))
        self.huey = make_huey(kind)
        self.ledger = open_ledger(self.huey)
        self.now = self.huey._get_timestamp()
        self.ids = []
        self.kept = []
        self.in_flight = []
        self.beats = 0
        self.stopped = {}  # revoked, until when: a run of it before that is a failure
        self.once = set()  # of these, those for one skip only
        self.results = []
        self.held = 0  # hours since the first of these
        self.interrupted = set()
        self.ran_though_stopped = []
        self.declare()

    def declare(self):
        @self.huey.task(context=True)
        def job(*_, task):
            self.runs(task)

        @self.huey.task(context=True)
        def failing(*_, task):
            self.runs(task)
            raise ValueError("failed")

        @self.huey.task(context=True)
        def again(*_, task):
            self.runs(task)
            if task.retries < 3:
                raise RetryTask(delay=3600)

        @self.huey.task(context=True)
        def at_once(*_, task):
            self.runs(task)
            if task.retries < 3:
                raise RetryTask()

        @self.huey.task(context=True)
        def stopping(*_, task):
            self.runs(task)
            if task.id not in self.interrupted:
                self.interrupted.add(task.id)
                raise KeyboardInterrupt

        @self.huey.signal(SIGNAL_INTERRUPTED)
        def once_more(signal, task):
            self.huey.enqueue(task)

        self.job, self.failing, self.again = job, failing, again
        self.at_once, self.stopping = at_once, stopping

    def runs(self, task):
        if self.stops(task.id):
            self.ran_though_stopped.append(task.id)

    def stops(self, task_id):
        until = self.stopped.get(task_id, self.now)
        return until is None or until > self.now

    def shape(self, name):
        job = self.job
        if name == "plain":
            return job.s()
        if name == "custom":
            return job.s(id=f"nightly-{len(self.ids)}")
        if name == "pipeline":
            return job.s().then(job).then(job.s().error(job))
        if name == "handled":
            return self.failing.s().error(job)
        if name == "retried":
            return self.failing.s(retries=2, retry_delay=3600).error(job.s().then(job)).then(job)
        if name == "again":
            return self.again.s().then(job)
        if name == "at once":
            return self.at_once.s().then(job)
        if name == "interrupted":
            return self.stopping.s().then(job)
        return job.s().then(self.failing.s(retries=1).error(job))

    def chord(self, name):
        callback = self.job.s()
        if name == "chord and on":
            callback = callback.then(self.job).error(self.job)
        return huey_package.chord([self.job.s(), self.failing.s(), self.job.s()], callback)

    def know(self, *tasks):
        for task in tasks:
            self.ids += sorted(nested(task) - set(self.ids))

    @rule(name=st.sampled_from(SHAPES + MEMBERS), later=st.sampled_from([0, 3, 60]))
    def enqueue(self, name, later):
        """An application enqueues a task, or schedules it for so many hours later."""
        if name.startswith("chord"):
            made = self.chord(name)
            self.huey.enqueue(made)
            self.know(*made.tasks)
            return
        task = self.shape(name)
        task.eta = self.now + later * HOUR if later else None
        self.know(task)
        if later == 60:
            self.huey.add_schedule(task)  # a worker has taken it at once
        else:
            self.put(task)

    def put(self, task):
        """Enqueue it, and keep its result, of a pipeline the first."""
        result = self.huey.enqueue(task)
        self.results += getattr(result, "_results", [result])[:1]

    @precondition(lambda self: self.results)
    @rule(data=st.data(), delay=st.sampled_from([None, 3600]))
    def reschedule(self, data, delay):
        """By its result, wherever the task is, or when it has run long ago."""
        result = data.draw(st.sampled_from(self.results))
        new = result.reschedule(delay=delay)
        self.stop(result.id, None, once=True)
        new = getattr(new, "_results", [new])[0]
        self.results.append(new)
        self.know(new.task)

    def stop(self, task_id, until, once):
        self.stopped[task_id] = until
        (self.once.add if once else self.once.discard)(task_id)

    @rule(name=st.sampled_from(SHAPES), stopped=st.booleans())
    def make(self, name, stopped):
        """An application makes a task, revokes it perhaps, and enqueues it later."""
        task = self.shape(name)
        self.kept.append(task)
        self.know(task)
        if stopped:
            self.huey.revoke(task)
            self.stop(task.id, None, once=False)

    @precondition(lambda self: self.kept)
    @rule()
    def enqueue_kept(self):
        """It does so."""
        self.put(self.kept.pop(0))

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), form=st.sampled_from(FORMS))
    def revoke(self, data, form):
        """Any task, wherever it is, or was, in every form."""
        alive = data.draw(st.booleans()) and sorted(self.alive())
        task_id = data.draw(st.sampled_from(alive or self.ids))
        until = {"until some day": FAR, "until soon": self.now + 5 * HOUR}.get(form)
        if form == "by task":
            self.huey.revoke(huey_package.api.Task(id=task_id))
        elif form == "once":
            self.huey.revoke_by_id(task_id, revoke_once=True)
        else:
            self.huey.revoke_by_id(task_id, revoke_until=until)
        self.stop(task_id, until, once=form == "once")

    @precondition(lambda self: self.results)
    @rule(data=st.data())
    def revoke_by_result(self, data):
        """For one skip, as a caller does who has waited for too long."""
        result = data.draw(st.sampled_from(self.results))
        result.revoke()
        self.stop(result.id, None, once=True)

    @rule(
        name=st.sampled_from(["job", "failing", "again", "at_once", "stopping"]),
        form=st.sampled_from(["for good", "once", "until soon", "restored"]),
    )
    def pause(self, name, form):
        """All tasks of one function, or none of them any more."""
        task = getattr(self, name)
        if form == "restored":
            task.restore()
        else:
            until = self.now + 5 * HOUR if form == "until soon" else None
            task.revoke(revoke_until=until, revoke_once=form == "once")

    @precondition(lambda self: self.ids)
    @rule(data=st.data())
    def restore(self, data):
        """It may run again."""
        task_id = data.draw(st.sampled_from(self.ids))
        self.huey.restore_by_id(task_id)
        self.stopped.pop(task_id, None)

    @rule()
    def take(self):
        """A worker takes a task, and its next heartbeat says so."""
        task = self.huey.dequeue()
        if task is not None:
            self.in_flight.append(task)
            self.beat()

    @precondition(lambda self: self.in_flight)
    @rule()
    def finish(self):
        """It comes to the end of what it does with it."""
        task = self.in_flight.pop(0)
        due = task.eta is None or task.eta <= self.now
        stays = self.stops(task.id) and task.id not in self.once
        self.huey.execute(task, self.now)
        if due and not stays:
            # Skipped once, or it ran: Huey deletes what was revoked meanwhile.
            self.stopped.pop(task.id, None)
        self.beat()

    @rule()
    def work(self):
        """The same, too quick for any heartbeat."""
        task = self.huey.dequeue()
        if task is not None:
            self.in_flight.insert(0, task)
            self.finish()

    def beat(self):
        self.beats += 1
        running = tuple(
            RunningTask(each.id, "some.task", 0.0, tuple(nested(each) - {each.id}))
            for each in self.in_flight
        )
        # No worker of its own, so nobody waits for its next heartbeat.
        self.ledger.write(Heartbeat("worker", this_process(), "", 0.0, self.beats, running))

    @rule()
    def scheduler(self):
        """What is due is enqueued."""
        for task in self.huey.read_schedule(self.now):
            self.huey.enqueue(task)

    @rule(hours=st.sampled_from([1, 6, 25]))
    def time_passes(self, hours):
        """What an application has kept it enqueues, or forgets, before a day is over."""
        while self.kept:
            self.put(self.kept.pop(0))
        self.now += hours * HOUR
        self.held += hours
        if self.held >= 24:
            self.held = 0
            self.results.clear()

    @rule(what=st.sampled_from(["queue", "schedule", "results", *["nothing"] * 5]))
    def flush(self, what):
        """All tasks there are gone, and their tokens stay; or all tokens, with marks and more."""
        if what != "nothing":  # not too often
            getattr(self.huey.storage, f"flush_{what}")()
        if what == "results":
            self.stopped.clear()
            self.beat()

    def alive(self):
        """Every id that can still come to run, as Huey itself reads it."""
        everywhere = [*self.huey.pending(), *self.huey.scheduled(), *self.in_flight, *self.kept]
        return set().union(*map(nested, everywhere))

    def mentioned(self):
        """Ids that stand in an argument: as far as a sweep knows, a task may be made of one."""
        storage = self.huey.storage
        messages = (*storage.enqueued_items(), *storage.scheduled_items())
        return set().union(*(generated_in(raw.decode("latin-1")) for raw in messages))

    @rule()
    def sweep(self):
        """Whatever it deletes could stop nothing any more."""
        before, alive = tokens(self.huey), self.alive()
        pauses = {key for key in before if key.startswith("rt:")}
        before -= pauses
        epoch = self.now.replace(tzinfo=datetime.timezone.utc).timestamp()
        foreseen = sweep_tokens(self.huey, clock=lambda: epoch, dry_run=True)
        report = sweep_tokens(self.huey, clock=lambda: epoch)
        assert foreseen.deleted == report.deleted
        left = tokens(self.huey)
        assert pauses <= left
        gone = {key[2:] for key in before - left}
        assert not gone & alive, "deleted a token that could still stop a run"
        assert not [each for each in gone if each.startswith("nightly")]
        assert len(gone) == report.deleted
        assert report.scanned >= len(before)  # Redis may show one twice
        assert report.live + report.custom + report.marked + report.deleted == report.scanned

    @rule(hours=st.sampled_from([0, 25]))
    def sweep_twice(self, hours):
        """What stands somewhere all the time is there afterwards."""
        self.sweep()
        if hours:
            self.time_passes(hours)
        self.sweep()

    def teardown(self):
        """Two more sweeps, and only what is alive has a token."""
        assert self.ran_though_stopped == []
        for _ in range(2):
            self.sweep()
            self.time_passes(25)
        there = {key[2:] for key in tokens(self.huey) if key.startswith("r:")}
        made = {each for each in there if not each.startswith("nightly")}
        assert made <= self.alive() | self.mentioned()
        assert self.stopped.keys() & self.alive() <= there


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_no_live_token_is_ever_deleted_and_every_orphan_is(make_huey, kind, monkeypatch, thorough):
    """In any order, on both kinds of storage."""
    examples = os.environ.get("HUEY_SIGNALS_KIT_MODEL_EXAMPLES", 40 if thorough else 10)
    run_state_machine_as_test(
        partial(Queue, make_huey, kind, monkeypatch),
        settings=settings(
            max_examples=int(examples),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

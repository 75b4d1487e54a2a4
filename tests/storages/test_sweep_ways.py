"""A task is found on each of its ways from place to place, whenever it moves during a look."""

from __future__ import annotations

import datetime
from itertools import combinations_with_replacement

import huey as huey_package
import pytest
from huey.exceptions import RetryTask
from huey.signals import SIGNAL_INTERRUPTED

from huey_signals_kit import Registry, install_handlers
from huey_signals_kit.handlers import RescheduleLocked
from huey_signals_kit.store import open_store
from huey_signals_kit.store.reader import Reader
from huey_signals_kit.upkeep._ids import pack_id
from huey_signals_kit.upkeep._live_ids import LiveTaskIds
from tests.support import hold

chord_only = pytest.mark.skipif(not hasattr(huey_package, "chord"), reason="chords came in 3.0")
READS = 6
LATER = datetime.timedelta(days=1)


class World:
    """A queue with one worker and one scheduler, who do one step at a time."""

    def __init__(self, huey):
        self.huey = huey
        self.in_flight = []
        self.later = huey._get_timestamp() + LATER

    def running_ids(self):
        """What an up-to-date heartbeat says: the tasks in hand, and what is nested in them."""
        return {each for task in self.in_flight for each in nested(task)}

    def take(self):
        """A worker takes a task."""
        self.in_flight.append(self.huey.dequeue())

    def finish(self):
        """It runs it to its end; what is enqueued then stands there before it lets go."""
        self.huey.execute(self.in_flight[0], self.later)
        self.in_flight.pop(0)

    def postpone(self):
        """It puts it in the schedule, for its time has not come."""
        self.huey.execute(self.in_flight[0])
        self.in_flight.pop(0)

    def scheduler(self):
        """The scheduler enqueues what is due."""
        for task in self.huey.read_schedule(self.later + LATER):
            self.huey.enqueue(task)


def nested(task):
    while task is not None:
        yield task.id
        if task.on_error is not None:
            yield from nested(task.on_error)
        config = getattr(task, "chord_config", None)
        if config is not None:
            yield from nested(config.callback)
        task = task.on_complete


def job_of(huey, **options):
    @huey.task(**options)
    def job(*_):
        return None

    return job


def raising(huey, exception, **options):
    @huey.task(**options)
    def failing(*_):
        raise exception

    return failing


def enqueue_and_take(world):
    """An application enqueues a task that it has kept, and a worker takes it."""
    kept = job_of(world.huey).s()
    world.in_flight.append(kept)  # so that it can be found at all until then

    def enqueue():
        world.huey.enqueue(kept)
        world.in_flight.clear()

    return kept.id, [enqueue, world.take]


def queue_to_schedule(world):
    """A task whose time has not come: from the queue by a worker's hands to the schedule."""
    waiting = job_of(world.huey).schedule(delay=3600)
    return waiting.id, [world.take, world.postpone]


def schedule_to_worker(world):
    """The time has come: the scheduler enqueues it, and a worker takes it."""
    world.huey.add_schedule(task := job_of(world.huey).s(eta=world.huey._get_timestamp()))
    return task.id, [world.scheduler, world.take]


def retried_at_once(world):
    """It fails and goes back to the queue."""
    task = raising(world.huey, RetryTask())()
    return task.id, [world.take, world.finish]


def retried_later(world):
    """It fails and goes to the schedule, and from there to the queue."""
    task = raising(world.huey, ValueError(), retries=1, retry_delay=60)()
    world.take()
    return task.id, [world.finish, world.scheduler]


def rescheduled_for_its_lock(world):
    """It cannot get its lock, and the kit puts it in the schedule."""
    registry = Registry()
    registry.add(RescheduleLocked(), "locked", "error", "retrying")
    install_handlers(world.huey, registry=registry)
    huey = world.huey
    task = huey.task(name="guarded")(huey.lock_task("held")(lambda: None))()
    hold(huey, "held")
    world.take()
    return task.id, [world.finish, world.scheduler]


def parent_to_child(world):
    """The parent is done, and a worker takes the next stage at once."""
    job = job_of(world.huey)
    head = job.s().then(job)
    world.huey.enqueue(head)
    world.take()
    return head.on_complete.id, [world.finish, world.take]


def parent_taken_and_done(world):
    """The parent is taken, and it is done."""
    job = job_of(world.huey)
    head = job.s().then(job).then(job)
    world.huey.enqueue(head)
    return head.on_complete.on_complete.id, [world.take, world.finish]


def failed_to_its_handler(world):
    """It failed for good, and a worker takes the ``on_error`` task."""
    head = raising(world.huey, ValueError()).s().error(job_of(world.huey))
    world.huey.enqueue(head)
    world.take()
    return head.on_error.id, [world.finish, world.take]


def retried_with_its_handler(world):
    """It is to be retried later, with its ``on_error`` task nested in it."""
    head = raising(world.huey, RetryTask(delay=60)).s().error(job_of(world.huey))
    world.huey.enqueue(head)
    return head.on_error.id, [world.take, world.finish]


def last_member_to_callback(world):
    """The last member of a chord is done, and a worker takes the callback."""
    job = job_of(world.huey)
    callback = job.s()
    world.huey.enqueue(huey_package.chord([job.s(), job.s()], callback))
    world.take()
    world.finish()
    world.take()
    return callback.id, [world.finish, world.take]


def last_member_to_what_follows(world):
    """A stage after the callback of a chord, while the last member is taken and done."""
    job = job_of(world.huey)
    callback = job.s().then(job)
    world.huey.enqueue(huey_package.chord([job.s()], callback))
    return callback.on_complete.id, [world.take, world.finish]


def interrupted_and_enqueued_again(world):
    """A receiver of the signal enqueues the very task again, and a worker takes it."""
    huey = world.huey
    huey.signal(SIGNAL_INTERRUPTED)(lambda signal, task: huey.enqueue(task))
    interrupted = raising(huey, KeyboardInterrupt())()
    world.take()
    return interrupted.id, [world.finish, world.take]


def rescheduled_by_its_result(world):
    """Under another id, with what is nested in it."""
    job = job_of(world.huey)
    head = job.s(eta=world.later).then(job)
    result = world.huey.enqueue(head)._results[0]
    world.take()
    world.postpone()
    return head.on_complete.id, [lambda: result.reschedule(delay=60), world.scheduler]


WAYS = [
    enqueue_and_take,
    queue_to_schedule,
    schedule_to_worker,
    retried_at_once,
    retried_later,
    rescheduled_for_its_lock,
    parent_to_child,
    parent_taken_and_done,
    failed_to_its_handler,
    retried_with_its_handler,
    pytest.param(last_member_to_callback, marks=chord_only),
    pytest.param(last_member_to_what_follows, marks=chord_only),
    interrupted_and_enqueued_again,
    rescheduled_by_its_result,
]


class Interrupted:
    """The store and the heartbeats of a world in which something happens between two reads."""

    def __init__(self, world, steps, moments):
        self._store = open_store(world.huey)
        self._world = world
        self._steps = list(zip(moments, steps, strict=True))
        self._reads = 0

    def _read(self, read):
        self.pass_by()
        found = list(read())
        self._reads += 1
        return found

    def pass_by(self):
        """What is to happen before the next read happens."""
        while self._steps and self._steps[0][0] <= self._reads:
            self._steps.pop(0)[1]()

    def scheduled(self):
        return iter(self._read(self._store.scheduled))

    def queued(self):
        return iter(self._read(self._store.queued))

    def running_ids(self):
        return set(self._read(self._world.running_ids))


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis", "priority-redis", "file"])
@pytest.mark.parametrize("way", WAYS)
def test_it_is_found_whenever_it_moves(make_huey, kind, way):
    """Two steps of each way, at every two of the moments before, between and after the reads."""
    pairs = combinations_with_replacement(range(READS + 1), 2)
    for number, moments in enumerate(pairs):
        huey = make_huey(kind, name=f"way{number}{make_huey.__name__}")
        world = World(huey)
        task_id, steps = way(world)
        store = Interrupted(world, steps, moments)
        places = LiveTaskIds(store, store, Reader(huey).ids)
        places.refresh()
        assert pack_id(task_id) in places.live, moments
        store.pass_by()

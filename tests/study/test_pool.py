"""A pool: whom it gives what, and what it does with bundles whose workers are lost; workers that only say so."""

from collections import deque
from dataclasses import replace

import pytest
from test_executors import stated

from tapered.files.wire import Message
from tapered.study import open_store
from tapered.study.plan.cells import forest_of
from tapered.study.store.text import bundle_from_text, bundle_to_text, pack
from tapered.study.train import grow
from tapered.study.train import pool as pools
from tapered.study.train.executor import Told
from tapered.study.train.grow import RunError
from tapered.study.train.item import Item
from tapered.study.train.pool import Pool
from tapered.study.train.task import Work, job_of
from tapered.training.advance import Mode


class World:
    """Workers that answer when the test lets them; what each was given, by the runs of the bundle."""

    def __init__(self, folder, mode, *, rows, count):
        self.found = stated(folder, mode.kind)
        self.hands, self.given, self.due, self.ended_by, self.progress = [], [], deque(), "by SIGKILL", []
        self.lost = []
        self.store = open_store(self.found, folder / "runs")
        forest = forest_of(self.found)
        (rule,) = forest.rules
        work = Work(self.found, forest, rule, mode, tuple(forest.bundles(rule, rows)), forest.marks[-1])
        self.items = [Item(work, bundle) for bundle in work.bundles]
        self.pool = Pool(self.hire, count, job_of(self.found, self.store.folder))

    def hire(self, slot, inbox):
        self.hands.append(Hand(self, slot, inbox))
        return self.hands[-1]

    def train(self):
        """Train; whenever the pool waits for a message, the next answer that is due is said."""
        real, world = self.pool._hear, self

        def hear(store, told):
            if world.due:
                world.due.popleft()()
            real(store, told)

        self.pool._hear = hear
        self.pool.train(self.items, self.store, Told(self.progress.append, lambda: False))


class Hand:
    def __init__(self, world, slot, inbox):
        self.world, self.slot, self.inbox, self.closed = world, slot, inbox, False

    def tell(self, message):
        if message.kind == "job":
            self.say("ready", host=f"host {self.slot % 2}", sees_folder=True)
        elif message.kind == "task":
            bundle = bundle_from_text(message.fields["bundle"], message.fields["name"]).bundle
            self.world.given.append((self.slot, len(bundle.keys), len(self.world.pool._running)))
            self.world.lost.append(message.fields["lost"])
            self.world.act(self, bundle)

    def say(self, kind, **fields):
        self.inbox.put((self, Message(kind, fields)))

    def finish(self, bundle):
        curve = ((24, {"loss": 1.0}),)
        trained = replace(bundle, branches=tuple(replace(b, step=24, curve=curve) for b in bundle.branches))
        self.say("put", name=bundle.name, parts=[[bundle.name, bundle_to_text(pack(trained, None, ["told"])[0])]])
        self.say("done", number=0, parts=[], width=8)

    def die(self):
        self.inbox.put((self, None))

    def ended(self):
        return self.world.ended_by

    def close(self):
        self.closed = True


ROWS, COMPILED = Mode("rows", 8, "said"), Mode("rows compiled", 8, "said")


def test_a_bundle_that_is_lost_twice_goes_on_in_halves_each_alone(tmp_path):
    world = World(tmp_path, ROWS, rows=12, count=2)
    (item,) = world.items  # 6 trees of 2 runs

    def act(hand, bundle):
        world.due.append((lambda: hand.finish(bundle)) if len(bundle.keys) < 12 else hand.die)

    world.act = act
    with world.store as store:
        world.train()
        assert all(run.finished for run in store.runs())
    assert [size for _, size, _ in world.given] == [12, 12, 6, 6]
    assert [beside for *_, beside in world.given[2:]] == [1, 1]  # itself
    assert item.lost == 2
    assert world.lost == [False, True, True, True]


@pytest.mark.parametrize(("lost", "expected"), [(True, [2, 5, 10, 13, 24]), (False, [11, 22, 24])])
def test_what_was_lost_is_kept_sooner(tmp_path, monkeypatch, lost, expected):
    """A second an update: after more than 1, 2 and 4, at the fork at 13, at the end; else after more than 10."""
    world = World(tmp_path, ROWS, rows=2, count=1)
    item, now, kept = world.items[0], [0.0], []
    monkeypatch.setattr(grow.time, "monotonic", lambda: now[0])

    def made(_):
        now[0] += 1.0

    with world.store as store:
        monkeypatch.setattr(store, "put", lambda *_: kept.append(now[0]))
        grow.Grower(item.work.forest, store, ROWS, made, lambda: False, lost=lost).grow(item.bundle)
    assert kept == expected


def test_what_trains_alone_waits_for_the_others(tmp_path):
    """One tree of six kills whoever trains it beside another; a bundle of one row cannot be cut, and goes on alone."""
    world = World(tmp_path, ROWS, rows=2, count=2)
    name, beside = world.items[0].bundle.name, []

    def act(hand, bundle):
        if bundle.name == name:
            beside.append(len(world.pool._running))
        dies = bundle.name == name and len(beside) < 3
        world.due.extend([hand.die] if dies else [int, int, int, lambda: hand.finish(bundle)])

    world.act = act
    with world.store:
        world.train()
    assert len(world.given) == 6 + 2
    assert beside[-1] == 1


def test_where_the_kernel_killed_it_for_memory_halves_come_at_once(tmp_path, monkeypatch):
    kills = [0]
    monkeypatch.setattr(pools, "memory_kills", lambda: kills[0])
    world = World(tmp_path, ROWS, rows=12, count=1)

    def act(hand, bundle):
        kills[0] += len(bundle.keys) == 12
        world.due.append((lambda: hand.finish(bundle)) if len(bundle.keys) < 12 else hand.die)

    world.act = act
    with world.store:
        world.train()
    assert [size for _, size, _ in world.given] == [12, 6, 6]


def test_a_bundle_that_is_lost_a_third_time_is_named(tmp_path):
    world = World(tmp_path, ROWS, rows=2, count=2)
    world.act = lambda hand, _: world.due.append(hand.die)
    with world.store, pytest.raises(RunError, match=r"arm 'constant', peak 0.0?1, seed \d and 1 other run: three work"):
        world.train()
    world.pool.close()
    assert all(hand.closed for hand in world.hands)


def test_progress_that_was_kept_begins_the_count_anew(tmp_path):
    """Five workers are lost, and each has brought the bundle a save further."""
    world, steps = World(tmp_path, ROWS, rows=12, count=1), iter((4, 8, 12, 16, 20))

    def act(hand, bundle):
        step = next(steps, None)
        if step is None:
            world.due.append(lambda: hand.finish(bundle))
            return
        further = replace(bundle, branches=tuple(replace(branch, step=step) for branch in bundle.branches))
        text = bundle_to_text(pack(further, None, ["told"])[0])
        hand.say("put", name=bundle.name, parts=[[bundle.name, text]])
        hand.say("progress", updates=5, rows=12)
        world.due.append(hand.die)

    world.act = act
    with world.store:
        world.train()
    assert [size for _, size, _ in world.given] == [12] * 6
    assert sum(world.progress) == 0  # 5 were told and lost, five times


def test_what_compiles_is_begun_once_a_machine(tmp_path):
    """Two machines of two workers: one of each begins, and the others when that has made an update."""
    world, begun = World(tmp_path, COMPILED, rows=2, count=4), []

    def answer(hand, bundle):
        world.due.append(lambda: hand.say("progress", updates=1, rows=2))
        world.due.append(lambda: hand.finish(bundle))

    def act(hand, bundle):
        begun.append((hand, bundle))
        if len(begun) == 2:  # nobody else is given anything while these compile
            world.due.extend([int, int, int, lambda: assert_begun(begun, {0, 1})])
            for each in begun:
                answer(*each)
        elif len(begun) > 2:
            answer(hand, bundle)

    world.act = act
    with world.store:
        world.train()
    assert len(begun) == 6
    assert {2, 3} <= {hand.slot for hand, _ in begun[2:]}


def assert_begun(begun, slots):
    assert {hand.slot for hand, _ in begun} == slots


def test_workers_that_end_before_they_are_ready_are_an_error(tmp_path):
    world = World(tmp_path, ROWS, rows=12, count=2)
    world.ended_by = "with exit code 1"
    real = world.hire

    def hire(slot, inbox):
        hand = real(slot, inbox)
        hand.tell = lambda message: hand.die() if message.kind == "job" else None
        return hand

    world.pool._hire = hire
    with world.store, pytest.raises(RunError, match="6 workers one after another were ended with exit code 1 before"):
        world.train()
    assert len({hand.slot for hand in world.hands}) == 2  # whoever comes takes the place of who has gone

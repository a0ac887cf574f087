"""Runs on their way to a server: nobody waits, nothing is lost, whatever the server does."""

import threading
import time
import warnings

import pytest

from tapered.study.store import ledger_queue
from tapered.study.store.ledger_queue import Queue
from tapered.study.store.runs import Run


def runs(count, first=0):
    return [Run(f"k{i}", "a", 0.1, i, 10, value=0.5) for i in range(first, first + count)]


class Fake:
    """A server that fails as it is told; what it took stays, also where its answer was lost."""

    def __init__(self, most=1000):
        self.taken, self.plan, self.calls, self.connected, self.most = [], [], 0, 0, most

    @property
    def entered(self):
        return set(self.taken)

    def connect(self):
        self.connected += 1
        self._fail()
        return self

    def enter(self, given):
        self.calls += 1
        if len(given) > self.most:
            raise ConnectionError("it lives too short for so many")
        word = self.plan.pop(0) if self.plan else ""
        if word == "before":
            raise ConnectionError("gone")
        self.taken += [run.key for run in given if run.key not in self.taken]
        if word == "after":
            raise ConnectionError("the answer was lost")

    def _fail(self):
        if self.plan and self.plan[0] == "away":
            self.plan.pop(0)
            raise ConnectionError("no such host\nsecond line")


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(ledger_queue, "FIRST", 0.01)
    monkeypatch.setattr(ledger_queue, "LONGEST", 0.02)
    monkeypatch.setattr(ledger_queue, "LEAVING", 0.2)


@pytest.mark.parametrize("plan", [[], ["away"] * 5, ["before", "away", "before"], ["after", "after", "away", "after"]])
def test_whatever_fails_every_run_is_entered(plan):
    server = Fake()
    server.plan = plan
    queue = Queue(server.connect, "the ledger")
    queue.add(runs(200))
    assert queue.settle(10) is None
    assert server.taken == [run.key for run in runs(200)]
    assert queue.trouble is None
    queue.add(runs(1, 200))
    queue.add(runs(3))  # known ones
    assert queue.settle(10) is None
    assert len(server.taken) == 201
    queue.close(tell=True)
    assert not queue._thread.is_alive()


@pytest.mark.parametrize("most", [1, 5])
def test_where_a_connection_lives_too_short_for_many_few_are_entered_at_once(most):
    server = Fake(most)
    queue = Queue(server.connect, "the ledger")
    queue.add(runs(70))
    assert queue.settle(30) is None
    assert server.taken == [run.key for run in runs(70)]
    queue.close(tell=True)


@pytest.mark.parametrize("first", ["connected", "added"])
def test_what_is_there_already_is_not_entered_again(first):
    server, added = Fake(), threading.Event()
    server.taken = ["k0", "k1", "someone's"]

    def connect():
        if first == "added":
            added.wait(10)
        return server

    queue = Queue(connect, "the ledger")
    while first == "connected" and not queue._there:
        time.sleep(0.001)
    queue.add(runs(2))
    added.set()
    assert queue.settle(10) is None
    assert server.calls == 0
    queue.close(tell=True)


def test_nobody_waits_for_a_server_that_hangs():
    answer, answered = threading.Event(), []

    def hang():
        answered.append(answer.wait(60))

    queue = Queue(hang, "the ledger")
    for run in runs(100):
        queue.add([run])
    assert queue.settle(0.05) == "100 runs are not in the ledger yet; the same command enters them"
    queue.close(tell=True)
    assert not answered
    answer.set()


def test_what_is_lacking_is_said_once_with_the_reason():
    server = Fake()
    server.plan = ["away"] * 1000
    queue = Queue(server.connect, "the ledger at x")
    queue.add(runs(1))
    expected = "1 run is not in the ledger yet (the ledger at x: no such host); the same command enters it"
    assert queue.settle(0.2) == expected
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        queue.close(tell=True)


def test_whoever_does_not_ask_is_warned(monkeypatch):
    server = Fake()
    server.plan = ["away"] * 1000
    queue = Queue(server.connect, "the ledger at x")
    queue.add(runs(12))
    with pytest.warns(UserWarning, match="12 runs are not in the ledger yet .*; the same command enters them"):
        queue.close(tell=True)
    queue = Queue(server.connect, "the ledger at x")
    queue.add(runs(12))
    monkeypatch.setattr(ledger_queue, "LEAVING", 600)
    began = time.perf_counter()
    queue.close(tell=False)  # another error is on its way, or Ctrl-C
    assert time.perf_counter() - began < 60

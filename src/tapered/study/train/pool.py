"""Workers, and bundles given out to them: each goes on from where it was last kept, whatever ends its worker.

bundles, longest first ─► idle worker ─► put, put, ... ─► done       kept by the driver's store, and only there
   ▲  ▲                                   │
   │  ╰── from its last save ◄── gone, or silent for too long; the second time in halves, each alone; then an error
   ╰── halves, where a worker has nothing else to do
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from queue import Empty, SimpleQueue
from socket import gethostname
from typing import Any, Protocol

from tapered.files.wire import Message
from tapered.study.store.folder import Store
from tapered.study.store.text import Kept, bundle_from_text
from tapered.study.train.executor import Told
from tapered.study.train.grow import RunError
from tapered.study.train.item import Item
from tapered.study.train.task import task_of
from tapered.study.train.worker import ERRORS
from tapered.training.capacity import memory_kills

HEARD = 0.2  # seconds that are waited for a message before other things are looked at
MOST_LOST = 2  # times without progress, after which a bundle goes on alone in halves, and once more is an error
STARTS = 6  # workers that may end one after another before they are ready
WORTH = 3.0  # seconds that a bundle takes at least still, to be worth cutting
STACKED = 32  # rows that are worth cutting where they are stacked: a step of 16 takes about as long as one of 1
LEASE = 600.0  # seconds for which a worker may be silent


class Hand(Protocol):
    """A worker, as the driver has it."""

    slot: int
    """The lowest number that no other has, by which it may take a device of its own."""

    def tell(self, message: Message) -> None:
        """Say something to it; where it has gone, that will be heard."""

    def ended(self) -> str:
        """How it was ended, in words, and nothing of it is left."""

    def close(self) -> None:
        """End it."""


Program = tuple[str, str, int]  # a machine, a rule, a width
Inbox = SimpleQueue[tuple[Hand, Message | None]]
Hire = Callable[[int, Inbox], Hand]


class Pool:
    """Workers of one study.

    Args:
        hire: Begins a worker, whose messages come into a queue, None when it is gone.
        workers: How many.
        job: What each is told first.
        lease: Seconds for which a worker that trains may be silent, before it counts as lost.
    """

    def __init__(self, hire: Hire, workers: int, job: Message, lease: float = LEASE) -> None:
        self._hire, self.workers, self._job, self._lease = hire, workers, job, lease
        self._inbox: Inbox = SimpleQueue()
        self._begun: list[Hand] = []  # those that are not ready yet
        self._idle: list[Hand] = []
        self._running: dict[Hand, Item] = {}
        self._heard: dict[Hand, float] = {}
        self._waiting: deque[Item] = deque()
        self._hosts: dict[Hand, str] = {}
        self._made: set[Program] = set()  # graphs that a machine's cache has
        self._sighted: set[Hand] = set()  # those that read and write the study's folder themselves
        self._starts = self._numbers = 0
        self._numbered: dict[Hand, int] = {}
        self._error: Exception | None = None
        self._stopping, self._kills = False, memory_kills()

    def begin(self, workers: int) -> None:
        """Hire so many workers, those that there are counted."""
        while len(hands := (*self._begun, *self._idle, *self._running)) < min(workers, self.workers):
            taken = {hand.slot for hand in hands}
            hand = self._hire(next(slot for slot in count() if slot not in taken), self._inbox)
            self._heard[hand] = time.monotonic()
            self._begun.append(hand)
            hand.tell(self._job)

    def close(self) -> None:
        """End all workers."""
        for hand in (*self._begun, *self._idle, *self._running):
            hand.close()

    def train(self, items: Sequence[Item], store: Store, told: Told) -> None:
        """Train bundles to their marks or to a stop, as `Executor.train`."""
        # what was timed was compiled, by this process
        self._made |= {(gethostname(), *_graph(item)) for item in items if item.work.seconds is not None}
        self._waiting, self._stopping = deque(sorted(items, key=lambda item: -len(item.bundle.keys))), False
        while self._running or (self._waiting and not self._stopping):
            if (told.stop() or self._error) and not self._stopping:
                self._stop()
            if not self._stopping:
                if len(self._heard) < self.workers:
                    self.begin(sum(len(item.bundle.keys) for item in (*self._waiting, *self._running.values())))
                self._give(store)
                self._share()
            self._hear(store, told)
        if self._error:
            raise self._error

    def _stop(self) -> None:
        self._stopping = True
        for hand in self._running:
            self._tell_stop(hand)

    def _tell_stop(self, hand: Hand) -> None:
        hand.tell(Message("stop", {"number": self._numbered[hand]}))

    def _give(self, store: Store) -> None:
        """What waits to who is idle; what is to train alone, alone."""
        for hand in list(self._idle):
            if any(item.alone for item in self._running.values()):
                return
            item = next((item for item in self._waiting if self._may(item, hand)), None)
            if item is None:
                continue
            self._idle.remove(hand)
            self._waiting.remove(item)
            kept = item.as_kept(store)
            rows = store.state(item.bundle) if kept.state and hand not in self._sighted else None
            self._numbers += 1
            self._numbered[hand], self._running[hand], self._heard[hand] = self._numbers, item, time.monotonic()
            item.given()
            hand.tell(task_of(self._numbers, item.work, kept, rows, lost=item.lost > 0))

    def _may(self, item: Item, hand: Hand) -> bool:
        """Whether a worker may train a bundle now: what compiles, once a machine, and then the others find it."""
        if item.alone:
            return not self._running
        program = self._program(item, hand)
        return program is None or program in self._made or program not in map(self._begins, self._running)

    def _begins(self, hand: Hand) -> Program | None:
        return self._program(self._running[hand], hand)

    def _program(self, item: Item, hand: Hand) -> Program | None:
        if item.work.mode.kind != "rows compiled":
            return None
        return self._hosts[hand], *_graph(item)

    def _share(self) -> None:
        """Where a worker has nothing to do, have the longest bundle kept, to be cut in two."""
        if not self._idle or self._waiting or any(item.yielding for item in self._running.values()):
            return
        hand, item = max(self._running.items(), key=lambda pair: pair[1].seconds, default=(None, None))
        if hand is not None and item is not None and item.seconds > WORTH and _divisible(item):
            item.yielding = True
            self._tell_stop(hand)

    def _hear(self, store: Store, told: Told) -> None:
        wait = HEARD
        while True:
            try:
                hand, message = self._inbox.get(timeout=wait) if wait else self._inbox.get_nowait()
            except Empty:
                break
            wait = 0.0
            if hand not in self._heard:
                continue  # what was given up says nothing more
            self._heard[hand] = time.monotonic()
            if message is None:
                self._lost(hand, hand.ended(), store, told)
            else:
                self._take(hand, message, store, told)
        for hand in list(self._running):
            if time.monotonic() - self._heard[hand] > self._lease:
                hand.close()
                self._lost(hand, f"after it had said nothing for {self._lease:g} s", store, told)

    def _take(self, hand: Hand, message: Message, store: Store, told: Told) -> None:
        fields = message.fields
        match message.kind:
            case "ready":
                self._starts = 0
                self._begun.remove(hand)
                self._idle.append(hand)
                self._hosts[hand] = fields["host"]
                if fields["sees_folder"]:
                    self._sighted.add(hand)
            case "progress":
                told.progress(fields["updates"])
                self._running[hand].told(fields["updates"], fields["rows"])
                if fields["updates"] and (program := self._begins(hand)):
                    self._made.add(program)
            case "put":
                (kept, data), *_ = _parts(message)
                store.keep(kept, data)
                self._running[hand].kept(kept.bundle)
            case "split":
                store.keep_parts(fields["name"], _parts(message))
                self._running[hand].halves = [kept.bundle for kept, _ in _parts(message)]
            case "done":
                self._done(hand, fields["width"], bool(fields["parts"]), store)
            case "refused":
                self._dismiss(hand)
                self._error = self._error or RunError(
                    f"the worker on {fields['host']} would train something else: {fields['why']}; let both have the "
                    f"same files, versions and kind of processor"
                )
            case _:
                self._dismiss(hand)
                self._error = self._error or _raised(fields)

    def _done(self, hand: Hand, width: int, narrower: bool, store: Store) -> None:  # noqa: FBT001 - private
        item = self._running.pop(hand)
        self._idle.append(hand)
        if narrower:  # memory ran out there
            work = replace(item.work, mode=replace(item.work.mode, width=min(width, item.work.mode.width)))
            store.put_mode(repr(work.rule), work.mode)
            self._waiting.extendleft(Item(work, bundle) for bundle in item.halves or [item.bundle])
        elif not (item.reached or self._stopping):
            self._waiting.extend(item.parts(store))

    def _lost(self, hand: Hand, how: str, store: Store, told: Told) -> None:
        ready = hand not in self._begun
        item = self._running.get(hand)
        self._dismiss(hand)
        if item is not None:
            told.progress(-item.made)
            self._again(item, how, store)
        elif not ready:
            self._starts += 1
            if self._starts >= STARTS:
                self._error = self._error or RunError(
                    f"{self._starts} workers one after another were ended {how} before they were ready; what they "
                    f"wrote stands above"
                )

    def _again(self, item: Item, how: str, store: Store) -> None:
        """A bundle whose worker was lost: from its last save; in halves and alone the second time."""
        item.lost += 1
        if (kills := memory_kills()) > self._kills:  # less at once, without a second try
            self._kills, item.lost = kills, max(item.lost, MOST_LOST)
        if item.lost > MOST_LOST:
            self._error = self._error or RunError(
                f"{item.named()}: three workers that trained this were lost one after another without progress, the "
                f"last ended {how}; what was kept stands; try fewer workers, or less memory a row"
            )
        elif item.lost == MOST_LOST:
            self._waiting.extendleft(replace(part, alone=True) for part in item.parts(store))
        else:
            self._waiting.appendleft(item)

    def _dismiss(self, hand: Hand) -> None:
        for known in (self._running, self._heard, self._numbered, self._hosts):
            known.pop(hand, None)
        for hands in (self._begun, self._idle):
            if hand in hands:
                hands.remove(hand)
        self._sighted.discard(hand)
        hand.close()


def _graph(item: Item) -> tuple[str, int]:
    return repr(item.work.rule), item.work.mode.width


def _divisible(item: Item) -> bool:
    mode = item.work.mode
    return item.rows > {"loop": 1, "rows": STACKED, "rows compiled": mode.width}[mode.kind]


def _parts(message: Message) -> list[tuple[Kept, bytes | None]]:
    texts = message.fields["parts"]
    pieces = message.pieces or (None,) * len(texts)
    found = [(bundle_from_text(text, name), data) for (name, text), data in zip(texts, pieces, strict=True)]
    for kept, data in found:
        if data is not None and hashlib.sha256(data).hexdigest() != kept.sha256:
            raise RunError(f"{kept.state} did not arrive as it was sent; the same command goes on from the last save")
    return found


def _raised(fields: Mapping[str, Any]) -> Exception:
    known = ERRORS.get(fields["error"])
    if known is None:
        return RuntimeError(f"a worker raised\n{fields['trace']}")
    raised = known(fields["text"])
    raised.add_note(f"in a worker:\n{fields['trace']}")
    return raised

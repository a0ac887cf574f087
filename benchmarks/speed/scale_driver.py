"""What a driver takes for many workers and bundles: workers that train nothing, and answer after a moment.

    python benchmarks/speed/scale_driver.py [--workers 256] [--bundles 10000] [--task 2.0] [--json]

Printed: {"bundles", "workers", "driver_ms_a_bundle", "driver_cpu_ms_a_bundle", "seconds", "memory_mb"}: from the first
task to the last answer, the driver's time beyond what so many workers take at best, and what its memory grew by.
"""

import argparse
import heapq
import json
import resource
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue

from tapered.files.wire import Message
from tapered.study import open_store, plan_of, read
from tapered.study.plan.cells import forest_of
from tapered.study.store.text import bundle_from_text, bundle_to_text, pack
from tapered.study.train.executor import Told
from tapered.study.train.item import Item
from tapered.study.train.pool import Pool
from tapered.study.train.task import Work, job_of
from tapered.training.advance import LOOP

STUDY = """
name = "many"
workload = "quadratic"
steps = 100
seeds = {seeds}
evaluations = 4
mode = "loop"
extend = 0
fresh = 0
baseline = "constant"
peaks = {{ low = 0.01, high = 0.1, count = 2 }}
[[arms]]
name = "constant"
rule = "SGD"
lr = "constant(1.0)"
"""


class Clock:
    """Says messages when their time has come."""

    def __init__(self):
        self.due, self.heap = SimpleQueue(), []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        number = 0
        while True:
            wait = max(0.0, self.heap[0][0] - time.monotonic()) if self.heap else 0.05
            try:
                at, say = self.due.get(timeout=wait)
                heapq.heappush(self.heap, (at, number := number + 1, say))
            except Empty:
                pass
            while self.heap and self.heap[0][0] <= time.monotonic():
                heapq.heappop(self.heap)[2]()


class Sleeper:
    def __init__(self, slot, inbox, clock, task):
        self.slot, self.inbox, self.clock, self.task = slot, inbox, clock, task

    def tell(self, message):
        if message.kind == "job":
            self.inbox.put((self, Message("ready", {"host": "here", "sees_folder": True})))
        if message.kind == "task":
            self.clock.due.put((time.monotonic() + self.task, lambda: self.answer(message.fields)))

    def answer(self, fields):
        kept = bundle_from_text(fields["bundle"], fields["name"])
        curve = tuple((step, {"loss": 1.0}) for step in (0, 25, 50, 75, 100))
        ended = replace(
            kept.bundle, branches=tuple(replace(branch, step=100, curve=curve) for branch in kept.bundle.branches)
        )
        text = bundle_to_text(pack(ended, None, ["asleep"])[0])
        self.inbox.put((self, Message("progress", {"updates": 100, "rows": 1})))
        self.inbox.put((self, Message("put", {"name": fields["name"], "parts": [[fields["name"], text]]})))
        self.inbox.put((self, Message("done", {"number": 0, "parts": [], "width": 1})))

    def ended(self):
        return "never"

    def close(self):
        pass


def measure(workers, bundles, task):
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "many.toml"
        file.write_text(STUDY.format(seeds=bundles // 2))
        planned = plan_of(read(str(file)))
        with open_store(planned, Path(folder) / "runs") as store:
            forest = forest_of(planned)
            (rule,) = forest.rules
            work = Work(planned, forest, rule, LOOP, tuple(forest.bundles(rule, 1)), 100)
            job = job_of(planned, store.folder)
            pool = Pool(lambda slot, inbox: Sleeper(slot, inbox, clock, task), workers, job)
            before, cpu, begin = memory(), time.process_time(), time.perf_counter()
            pool.train([Item(work, bundle) for bundle in work.bundles], store, Told(lambda _: None, lambda: False))
            seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
            grown = memory() - before
            if sum(run.finished for run in store.runs()) != 2 * (bundles // 2):
                raise SystemExit("not every run is there")
    best = task * -(-bundles // workers)
    return {
        "bundles": bundles,
        "workers": workers,
        "driver_ms_a_bundle": 1e3 * (seconds - best) / bundles,
        "driver_cpu_ms_a_bundle": 1e3 * cpu / bundles,
        "seconds": seconds,
        "memory_mb": grown,
    }


def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=256)
    parser.add_argument("--bundles", type=int, default=10_000)
    parser.add_argument("--task", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.workers, given.bundles, given.task)
    print(json.dumps(found) if given.json else "\n".join(f"{name}: {value:.4g}" for name, value in found.items()))


if __name__ == "__main__":
    main()

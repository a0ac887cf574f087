"""Two workers against one process, and what a bundle takes more in a worker than here.

    python benchmarks/speed/scale_workers.py [--rounds 3] [--rows 2048] [--most 8] [--json]

Printed: {"two_vs_one_rows", "two_vs_one_loop", "overhead_ms_process", "overhead_ms_ray"}: the times are in turn, of
whole trainings, workers begun from nothing; the overheads are of bundles that take next to nothing, by one worker that
is up. Without Ray its figure is null. With --most the curve of 1, 2, 4, ... workers in their place: "overhead_ms_N" of
a bundle, and "processors_N", how many times the processors' time of one process a whole training takes by N.
"""

import math
import resource
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import common

from tapered.study import open_store, plan_of, read, train_runs
from tapered.study.plan import mode as modes_of_plan
from tapered.study.plan.cells import forest_of
from tapered.study.train import trainer
from tapered.study.train.executor import Here, Told
from tapered.study.train.on_ray import OnRay
from tapered.study.train.processes import Processes
from tapered.study.train.task import Work
from tapered.training.advance import Mode
from tapered.training.modes import Timed

STUDY = """
name = "scale"
workload = "{workload}"
steps = {steps}
seeds = {seeds}
evaluations = 2
mode = "{mode}"
extend = 0
fresh = 0
baseline = "constant"
peaks = {{ low = 0.001, high = 0.01, count = 2 }}
[[arms]]
name = "constant"
rule = "Adam"
lr = "constant(1.0)"
"""


def study(folder, workload, steps, seeds, mode):
    file = Path(folder) / "scale.toml"
    file.write_text(STUDY.format(workload=workload, steps=steps, seeds=seeds, mode=mode))
    return plan_of(read(str(file)))


def trained(planned, executor, width):
    """Seconds of a whole training; how rows are trained is given, so that none is timed."""

    def given(forest, *_):
        return Timed(Mode(forest.mode, width, "the benchmark says so"), math.nan)

    trainer.timed_mode = given
    try:
        with tempfile.TemporaryDirectory() as folder, open_store(planned, Path(folder)) as store:
            begin = time.perf_counter()
            if not all(run.finished for run in train_runs(planned, store, executor=executor)):
                raise SystemExit("not every run has finished")
            return time.perf_counter() - begin
    finally:
        trainer.timed_mode = modes_of_plan.timed_mode


def two_vs_one(rounds, mode, rows, steps, width):
    with tempfile.TemporaryDirectory() as folder:
        planned = study(folder, "bmi", steps, rows // 2, mode)
        trained(study(folder, "bmi", 8, rows // 2, mode), Here(), width)  # what is compiled or imported once
        sides = {
            "one": lambda: trained(planned, Here(), width),
            "two": lambda: trained(planned, Processes(2, always=True), width),
        }
        return common.times_faster(common.in_turn(sides, rounds), "two", "one").middle


def overhead(executor, rounds, bundles=200):
    """Milliseconds of a bundle in workers beyond those here."""
    with tempfile.TemporaryDirectory() as folder:
        planned = study(folder, "quadratic", 4, bundles // 2, "loop")
        times = common.in_turn(
            {"here": lambda: small(planned, Here()), "worker": lambda: small(planned, executor)}, rounds
        )
    return 1e3 / bundles * common.spread([w - h for w, h in zip(times["worker"], times["here"], strict=True)]).middle


def small(planned, executor):
    """Seconds of bundles that take next to nothing, where workers are up before."""
    with tempfile.TemporaryDirectory() as folder, open_store(planned, Path(folder)) as store, executor:
        forest, told = forest_of(planned), Told(lambda _: None, lambda: False)
        (rule,) = forest.rules
        work = Work(planned, forest, rule, Mode("loop", 1, "said"), tuple(forest.bundles(rule, 1)), forest.marks[-1])
        executor.expect(planned, store, 10**9)
        if not isinstance(executor, Here):
            pool = executor._opened(planned, store)
            pool.begin(executor.workers)
            while len(pool._idle) < executor.workers:
                pool._hear(store, told)
        return common.seconds(lambda: executor.train([work], store, told))


def processors(executor, planned):
    """Seconds of the processors, in this process and in workers, of a whole training."""
    before = used()
    trained(planned, executor, 1)
    return used() - before


def used():
    times = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(time.ru_utime + time.ru_stime for time in times)


def curve(rounds, most):
    counts, found = [2**i for i in range(most.bit_length())], {}
    for count in counts:
        found[f"overhead_ms_{count}"] = overhead(Processes(count, always=True), rounds)
    with tempfile.TemporaryDirectory() as folder:
        planned = study(folder, "bmi", 2500, 8, "loop")
        sides = {"here": lambda: processors(Here(), planned)}
        sides |= {str(n): lambda n=n: processors(Processes(n, always=True), planned) for n in counts}
        times = common.in_turn(sides, rounds)
    return found | {f"processors_{n}": common.times_faster(times, "here", str(n)).middle for n in counts}


def against_one(rounds, rows):
    return {
        "two_vs_one_rows": two_vs_one(rounds, "rows compiled", rows, 5000, 64),
        "two_vs_one_loop": two_vs_one(rounds, "loop", 16, 30_000, 1),
        "overhead_ms_process": overhead(Processes(1, always=True), rounds),
        "overhead_ms_ray": overhead(OnRay("local", 1), rounds) if find_spec("ray") else None,
    }


def main():
    given = common.options(__doc__, threads=1, rounds=3, rows=2048, most=0)
    found = curve(given.rounds, given.most) if given.most else against_one(given.rounds, given.rows)
    common.show(found, as_json=given.json, table="\n".join(f"{name}: {value}" for name, value in found.items()))


if __name__ == "__main__":
    main()

"""Mid-run rankings of schedules: how often each keeps the one that wins, by the metric or by cooldown probes.

    python benchmarks/evidence/probes.py [--json] [--store FOLDER] [--steps 600] [--seeds 8]
        [--workloads fashion_mnist ...]

studies/probes.toml says which eight schedules, all at one peak. Every run is trained to its end, and at a quarter, half
and three quarters of it every run is also cooled down to 0 within a tenth of the run. Each seed is a tournament: half
of the schedules go on, or a quarter, once by the loss at that step, once by the loss after the probe; equals of the
last that goes on go on too, as the library has it. Counted is how often the
schedule with the lowest loss at the end, of that seed, was among them; and, since the best two may be as good as equal,
how much of the loss at the end is lost by going on with the kept ones only. Runs and probes share what they can.
"""

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

from tapered.study import Planned, open_store, plan_of, read, train_runs
from tapered.study.file.study import Prune
from tapered.study.plan import pruning as prune
from tapered.study.plan.forest import Forest
from tapered.study.plan.rounds import Round, rounds, rung_steps

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
from common import options, show  # where it is

FILE = Path(__file__).parent / "studies" / "probes.toml"
WORKLOADS = ("fashion_mnist", "characters")
KEEPS = (0.5, 0.25)
Known = dict[str, prune.Run]


def trained(workload: str, folder: Path, steps: int, seeds: int) -> tuple[Round, Known]:
    """The grid's round, and all of its runs and probes by key."""
    file = folder / f"{workload}.toml"
    file.write_text(FILE.read_text().replace('"fashion_mnist"', f'"{workload}"'))
    loaded = plan_of(read(str(file), steps=steps, seeds=seeds, whole=True))
    with open_store(loaded, folder / workload) as store:
        train_runs(loaded, store)
        known = {run.key: run for run in store.runs()}
    return next(rounds(loaded, lambda: known)), known


def kept(loaded: Planned, scores: dict[str, prune.Score], keep: float) -> set[str]:
    """The arms that go on, as the library's own pruning says."""
    asked = Prune(rungs=(0.5,), keep=keep)
    halved = replace(loaded, study=loaded.study.model_copy(update={"prune": asked}))
    return scores.keys() - set(prune._worse(halved, scores))


def tournament(round_: Round, known: Known, seed: int, rung: int, keep: float) -> dict[str, tuple[bool, float]]:
    """Way of ranking -> whether the seed's best schedule goes on, and how much higher the loss of the best kept is."""
    loaded = round_.loaded
    runs = {task.run.arm: known[task.run.key] for task in round_.forest.tasks if task.run.seed == seed}
    probes = {arm: known[prune.probe_key(loaded, run, rung)] for arm, run in runs.items()}
    ends = {arm: run.value for arm, run in runs.items()}
    best = min(ends, key=ends.__getitem__)
    found = {}
    for way, at in {
        "loss": {arm: prune._value(run, rung, loaded) for arm, run in runs.items()},
        "probe": {arm: prune._value(run, run.steps, loaded) for arm, run in probes.items()},
    }.items():
        on = kept(loaded, {arm: prune._score(loaded, [value]) for arm, value in at.items()}, keep)
        found[way] = best in on, min(ends[arm] for arm in on) / ends[best] - 1
    return found


def cost(forest: Forest, loaded: Planned, rung: int) -> float:
    """The updates of all probes at a rung, each shared one once, against those of the whole runs."""
    leaves = prune._leaves(prune.probes_of(loaded, forest, rung), rung)
    return len(list(leaves)) * prune._probe_steps(loaded, rung) / forest.plan.to_run


def main() -> None:
    given = options(__doc__, threads=1, store="", steps=600, seeds=8, workloads=",".join(WORKLOADS))
    lines, found = [], {}
    for workload in given.workloads.split(","):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(given.store or scratch)
            folder.mkdir(parents=True, exist_ok=True)
            begun = time.perf_counter()
            round_, known = trained(workload, folder, given.steps, given.seeds)
            taken = time.perf_counter() - begun
        loaded = round_.loaded
        ends: dict[str, list[float]] = {}
        for run in round_.runs(known):
            ends.setdefault(run.arm, []).append(run.value)
        lines += [f"{workload}: {given.steps} steps, {given.seeds} seeds, {taken:.0f} s on {given.threads} thread(s)"]
        lines += [f"    {arm:20} loss at the end {statistics.fmean(values):.4f}" for arm, values in ends.items()]
        for rung, keep in product(rung_steps(loaded), KEEPS):
            told = [tournament(round_, known, seed, rung, keep) for seed in loaded.study.seed_values]
            share = f"{rung / loaded.steps:.0%}"
            for way in ("loss", "probe"):
                good = sum(one[way][0] for one in told)
                lost = statistics.fmean(one[way][1] for one in told)
                found[f"{workload}_{way}_at_{share}_keep_{keep:g}"] = good / len(told)
                price = f", probes cost {cost(round_.forest, loaded, rung):.1%} more" if way == "probe" else ""
                best = f"the best goes on in {good} of {len(told)}"
                head = f"    at {share}, {keep:.0%} go on, by {way:5}"
                lines.append(f"{head} {best}, loss of the best kept {lost:+.2%}{price}")
    show(found, as_json=given.json, table="\n".join(lines))


if __name__ == "__main__":
    sys.exit(main())

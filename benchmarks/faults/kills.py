"""A study killed with -9 at random moments and started again each time: are its final results an undisturbed study's?

    python benchmarks/faults/kills.py [--kills 50] [--kind rows|loop|"rows compiled"] [--json]

One kill in four falls anywhere from the start of the process on, the others after training has begun: into training,
saves, forks, evaluations, the ledger, the page, and where rows are compiled into that. A study is killed until it ends,
then the next one is begun.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import optuna  # noqa: F401 - imported once, for all forks
import torch
from safetensors.torch import load_file

from tapered import report, study  # noqa: F401 - as above
from tapered.cli.main import main as main_of_tapered
from tapered.rules import SGD
from tapered.study.store.text import bundle_from_text
from tapered.study.train import grow
from tapered.training import modes
from tapered.training.advance import Mode, advance
from tapered.training.rows import start, tabulate
from tapered.training.workload import quadratic

ENTERED = """
select key.value_json, trials.state, value.value from trials
join trial_user_attributes key on key.trial_id = trials.trial_id and key.key = 'key'
left join trial_values value on value.trial_id = trials.trial_id
"""
STUDY = """
name = "kills"
workload = "quadratic"
steps = 120
seeds = 4
evaluations = 6
baseline = "constant"
peaks = { low = 0.01, high = 100, count = 3 }
[[arms]]
name = "constant"
rule = "SGD"
lr = "constant(1.0)"
[[arms]]
name = "late"
rule = "SGD"
lr = "hold(0.75*steps).then(cooldown(0.25*steps))"
[[arms]]
name = "later"
rule = "SGD"
lr = "hold(0.9*steps).then(cooldown(0.1*steps))"
[[arms]]
name = "Adam"
rule = "Adam"
lr = "hold(0.5*steps).then(cooldown(0.5*steps))"
"""


def begin(name, kind):
    """The study in a process of its own, forked so that it need not import everything again."""
    child = os.fork()
    if child:
        return child
    # mode and width are given, so that all studies have the same; saves are frequent and bundles small, to be hit
    grow.SAVE_SECONDS = grow.FORK_SECONDS = 0.02
    study.bundle_rows = lambda *_: 8
    mode = Mode(kind, 1 if kind == "loop" else 8, "the benchmark says so")
    modes.forecast = modes.fixed = lambda *_: modes.Timed(mode, 1e-5)
    on_step = grow.Grower._on_step
    grow.Grower._on_step = lambda *given: (Path("trains").touch(), on_step(*given))[1]
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    os._exit(main_of_tapered(["study", "kills.toml", "--store", name]))


def ended(child, within, *, trains=False):
    """Whether the process ended in so many seconds, from when it trains on if asked; a failed one ends all."""
    Path("trains").unlink(missing_ok=True)
    deadline = time.perf_counter() + within
    while time.perf_counter() < deadline or (trains and not Path("trains").exists()):
        if trains and not Path("trains").exists():
            deadline = time.perf_counter() + within
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                raise SystemExit(f"a study ended with {os.waitstatus_to_exitcode(status)}")
            return True
        time.sleep(0.001)
    return False


def results(folder):
    """Run -> its results and its end state; and what the ledger has of each."""
    with sqlite3.connect(folder / "ledger.db") as ledger:
        entered = ledger.execute(ENTERED).fetchall()
    return ends(folder), sorted(map(repr, entered))


def ends(folder):
    """Run -> its results and its end state."""
    found = {}
    for path in (folder / "runs").glob("*.json"):
        kept = bundle_from_text(path.read_text(), path.stem)
        bundle, state = kept.bundle, kept.state
        tensors = load_file(folder / "runs" / state) if state else {}
        rows = {branch.keys: i for i, branch in enumerate(bundle.live)}
        for branch in bundle.branches:
            end = {n: t[rows[branch.keys]].tolist() for n, t in tensors.items()} if branch.keys in rows else None
            found |= {run.key: (repr(run), repr(end)) for run in branch.results("loss")}
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--kind", default="rows", choices=["loop", "rows", "rows compiled"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    random.seed(given.seed)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        found = kill(given.kills, given.kind)
    outcome = "identical" if found["identical"] else "DIFFERENT"
    line = (
        "{kills} kills (-9), {trained} after a first save; {studies} studies of {runs} runs, {entered} in each ledger"
    )
    print(json.dumps(found) if given.json else f"{line.format(**found)}: final results {outcome}")
    return 0 if found["identical"] else 1


def warm():
    """What a process does once: torch imports a lot at the first stacked update."""
    torch.set_num_threads(1)
    problem, rule = quadratic(), SGD()
    advance(problem, start(problem, rule, range(8)), [tabulate(rule, 2, lr=0.1)] * 8, 2, mode=Mode("rows", 8, ""))


def kill(wanted, kind):
    Path("kills.toml").write_text(f'mode = "{kind}"\n{STUDY}')
    warm()
    begin_at = time.perf_counter()
    ended(begin("undisturbed", kind), 600)
    seconds = time.perf_counter() - begin_at
    expected = results(Path("undisturbed"))
    found = {
        "kills": 0,
        "trained": 0,
        "studies": 0,
        "runs": len(expected[0]),
        "entered": len(expected[1]),
        "identical": True,
    }
    while found["kills"] < wanted:
        folder = Path(f"killed{found['studies']}")
        within = seconds / 10
        while not ended(child := begin(folder.name, kind), random.uniform(0, within), trains=random.random() < 0.75):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            within *= 1.05  # so that a study ends on a busy machine too
            found["kills"] += 1
            found["trained"] += any((folder / "runs").glob("*"))
        found["studies"] += 1
        if (kept := results(folder)) != expected:
            found["identical"] = False
            differing = [key for key in expected[0] if kept[0].get(key) != expected[0][key]]
            ledger = "the same" if kept[1] == expected[1] else "another"
            print(f"{folder}: {len(differing)} runs differ, {ledger} ledger: {differing[:3]}", file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main())

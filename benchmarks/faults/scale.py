"""A study on several workers, and what can end them: are its final results an undisturbed study's in one process?

    python benchmarks/faults/scale.py [--only NAME] [--kills 50] [--json]

workers   one of two is killed with -9 at a random moment, again and again, until the study ends
drivers   the driver is killed at a random moment and begun again, each time with another executor, until it ends
both      the driver and a worker
memory    a worker that may take so little memory that rows must be halved
kinds     a worker that computes with other instructions is refused, by name
actors, nodes, heads   Ray's: an actor's process, a second node's raylet, the head with all it has

Printed: {"trials", "identical", "lost", "twice", "orphans"}: kills, studies as undisturbed, runs that are not in the
ledger, runs that are there twice, workers that lived 5 s after their driver.
"""

import argparse
import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from clusters import Cluster
from kills import results
from trees import children, killed, left

STUDY = """
name = "scale"
workload = "mine.py:problem"
steps = 300
seeds = 4
evaluations = 6
mode = "{mode}"
baseline = "constant"
peaks = {{ low = 0.01, high = 0.1, count = 3 }}
[[arms]]
name = "constant"
rule = "Adam"
lr = "constant(1.0)"
[[arms]]
name = "late"
rule = "Adam"
lr = "hold(0.75*steps).then(cooldown(0.25*steps))"
"""
# a step takes as long as of a model of some size, so that kills fall into training
WORKLOAD = """
import os
import resource
import time
from dataclasses import replace

import torch
from torch import nn

from tapered.workloads import WORKLOADS


class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x):
        time.sleep(0.001)
        return self.inner(x)


def problem():
    return replace(WORKLOADS["bmi"](), model=Slow)
"""
PROGRAM = "import sys; from tapered.cli.main import main; sys.exit(main(sys.argv[1:]))"
HERE, TWO = '{ kind = "here" }', '{ kind = "processes", workers = 2 }'
BEGUN = "\nthreads = 2"  # which forks do not have, so that workers begin from nothing
RAY = '{{ kind = "ray", address = "{}", workers = 2 }}'


def begin(folder, executor, **settings):
    """The study in a process of its own."""
    file = Path("scale.toml")
    text = file.read_text()
    asked = f"executor = {executor}\n" if executor else ""
    Path(f"{folder}.toml").write_text(text.replace("[[arms]]", f"{asked}[[arms]]", 1))
    log = Path(f"{folder}.log").open("a")  # noqa: SIM115 - the process's
    command = [sys.executable, "-c", PROGRAM, "study", f"{folder}.toml", "--store", str(folder)]
    return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **settings})


class Tally:
    def __init__(self, expected):
        self.expected = expected
        self.found = {"trials": 0, "studies": 0, "identical": 0, "lost": 0, "twice": 0, "orphans": 0}

    def judge(self, folder):
        begun = BEGUN in Path(f"{folder}.toml").read_text()
        kept, wanted = results(Path(folder)), self.expected[begun]
        entered = [eval(line)[0] for line in kept[1]]
        self.found["studies"] += 1
        self.found["identical"] += kept[0] == wanted[0]
        self.found["lost"] += len(wanted[1]) - len(set(entered))
        self.found["twice"] += len(entered) - len(set(entered))
        if kept[0] != wanted[0]:
            differing = [key for key in wanted[0] if kept[0].get(key) != wanted[0][key]]
            print(f"{folder}: {len(differing)} runs differ: {differing[:3]}", file=sys.stderr)


def done(process, folder):
    """Whether a study has ended; a failed one ends all."""
    code = process.poll()
    if code:
        raise SystemExit(f"{folder} ended with {code}:\n{Path(f'{folder}.log').read_text()[-2000:]}")
    return code == 0


def workers(tally, wanted, *marks, executor=None):
    """A bundle that is lost three times without a save ends the study, rightly; so saves are waited for."""
    ways = itertools.cycle([TWO, TWO + BEGUN])
    while tally.found["trials"] < wanted:
        folder, kills = f"{tally.found['studies']}-workers", []
        process = begin(folder, executor or next(ways))
        moment = time.monotonic() + random.uniform(0, 6)
        while not done(process, folder):
            time.sleep(0.01)
            if time.monotonic() < moment or kills[-2:] == [stood := saved(folder)] * 2:
                continue
            if found := children(process.pid, *marks):
                killed(random.choice(found))
                kills.append(stood)
                tally.found["trials"] += 1
                moment = time.monotonic() + random.uniform(1, 20)
        tally.judge(folder)


def saved(folder):
    """What tells one save of a study from the next."""
    with contextlib.suppress(FileNotFoundError):  # it is being replaced
        return sorted((path.name, path.stat().st_mtime_ns) for path in Path(folder, "runs").glob("*.json"))


def drivers(tally, wanted, *, both=False):
    while tally.found["trials"] < wanted:
        folder, times = f"{tally.found['studies']}-drivers{both:d}", 0
        way = random.choice(["", BEGUN])
        while True:
            executor = random.choice([TWO, TWO.replace("2", "3"), TWO.replace("2", "1"), HERE])
            process = begin(folder, executor + way)
            moment = time.monotonic() + random.uniform(0, 8 + times)  # so that a study ends on a busy machine too
            while not done(process, folder) and time.monotonic() < moment:
                time.sleep(0.01)
            if process.poll() is not None:
                break
            found = children(process.pid)
            if both and found:
                killed(random.choice(found))
            killed(process.pid)
            process.wait()
            tally.found["trials"] += 1
            times += 1
            tally.found["orphans"] += left(found)
        tally.judge(folder)


def memory(tally, wanted):
    """A model whose rows take more than a worker may have."""
    for _ in range(wanted):
        folder = f"{tally.found['studies']}-memory"
        process = begin(folder, TWO)
        deadline = time.monotonic() + 60
        while not (found := children(process.pid)) and time.monotonic() < deadline:
            time.sleep(0.01)
        for pid in found[:1]:
            status = Path(f"/proc/{pid}/status").read_text()
            now = 1024 * int(status.split("VmSize:")[1].split()[0])
            subprocess.run(["prlimit", f"--pid={pid}", f"--as={now + random.randrange(2**28, 2**31)}"], check=False)
        tally.found["trials"] += 1
        while not done(process, folder):
            time.sleep(0.05)
        tally.judge(folder)


def kinds(tally, wanted):
    """A worker of another kind: its driver's results are begun by one, gone on with by another."""
    for _ in range(wanted):
        folder = f"{tally.found['studies']}-kinds"
        Path("sitecustomize.py").write_text(
            "import os, sys\n"
            "if any('study.train.worker' in part for part in sys.orig_argv):\n"
            "    os.environ['ATEN_CPU_CAPABILITY'] = 'default'\n"
        )
        here = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
        process = begin(folder, TWO + BEGUN, PYTHONPATH=here)
        code, said = process.wait(), Path(f"{folder}.log").read_text()
        Path("sitecustomize.py").unlink()
        tally.found["trials"] += 1
        if code == 0 or "vectors" not in said or "worker on" not in said:
            raise SystemExit(f"a worker of another kind was not refused by name: {code}\n{said[-2000:]}")
        again = begin(folder, TWO + BEGUN)
        again.wait()
        done(again, folder)
        tally.judge(folder)


def clusters(tally, wanted, victim):
    """A node, or the head with its own, is killed with all it has once actors train."""
    while tally.found["trials"] < wanted:
        folder, moment, hit = f"{tally.found['studies']}-{victim}", None, False
        with Cluster(6399) as cluster:
            process = begin(folder, RAY.format(cluster.address))
            while process.poll() is None:
                time.sleep(0.05)
                if moment is None and cluster.actors():
                    moment = time.monotonic() + random.uniform(0, 6)
                if not hit and moment is not None and time.monotonic() > moment and cluster.actors():
                    hit = True
                    tally.found["trials"] += 1
                    cluster.kill(cluster.node if victim == "nodes" else cluster.head)
        if process.returncode and victim == "heads":  # all is gone: the same command, here
            process = begin(folder, "")
            process.wait()
        done(process, folder)
        tally.judge(folder)


TRIES = {
    "workers": workers,
    "drivers": drivers,
    "both": lambda tally, wanted: drivers(tally, wanted, both=True),
    "memory": memory,
    "kinds": kinds,
    "actors": lambda tally, wanted: workers(tally, wanted, "ray::Remote", executor=RAY.format("local")),
    "nodes": lambda tally, wanted: clusters(tally, wanted, "nodes"),
    "heads": lambda tally, wanted: clusters(tally, wanted, "heads"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=list(TRIES))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--mode", default="loop", choices=["loop", "rows"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    random.seed(given.seed)
    totals = {}
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        Path("scale.toml").write_text(STUDY.format(mode=given.mode))
        Path("mine.py").write_text(WORKLOAD)
        expected = []
        for folder, way in (("undisturbed", ""), ("of-two-threads", BEGUN)):
            begin(folder, HERE + way).wait()
            expected.append(results(Path(folder)))
        for name in [given.only] if given.only else TRIES:
            tally = Tally(expected)
            TRIES[name](tally, given.kills)
            totals[name] = tally.found
            print(json.dumps({name: tally.found}), file=sys.stderr)
    found = {key: sum(part[key] for part in totals.values()) for key in next(iter(totals.values()))}
    found["identical"] = found["identical"] == found["studies"]
    print(json.dumps(found) if given.json else found)
    return 0 if found["identical"] and not (found["lost"] or found["twice"] or found["orphans"]) else 1


if __name__ == "__main__":
    sys.exit(main())

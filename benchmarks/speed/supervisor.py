"""How much of a core supervising takes: eight scripts at a time that train at 5 ms an update, watched for a minute.

    python benchmarks/speed/supervisor.py [--scripts 8] [--seconds 60] [--json]

Each script writes down every update and reports every hundredth, prints as often, and has fifty files of checkpoints;
half a million updates are there when it begins, which a judge reads before, and seldom from then on. The time is that
of this process, its threads and the keepers, the scripts' own left out.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from script_cases import Judge

from tapered.scripts.asked import Asked
from tapered.scripts.command import Command, Template, values
from tapered.scripts.limits import Limits
from tapered.scripts.slots import Slots, Start

STEPS, BEFORE = 1_000_000, 500_000
SCRIPT = """
import json, os, pathlib, sys, time
run = pathlib.Path(os.environ["TAPERED_RUN"])
for i in range(50):
    (run / "out" / f"part-{i}").write_bytes(b"x" * 1000)
applied, reports = (run / "applied.csv").open("a", buffering=1), (run / "reports.jsonl").open("a", buffering=1)
end = time.monotonic() + float(sys.argv[1])
step = BEFORE
while time.monotonic() < end:
    applied.write(f"{step},0.1\\n")
    step += 1
    if step % 100 == 0:
        reports.write(json.dumps({"step": step, "loss": 1.0}) + "\\n")
        print(step)
    time.sleep(0.005)
"""


def start(folder, seconds):
    folder.mkdir()
    asked, rates = Asked("constant", 0, STEPS, STEPS, 0.1), [0.1] * STEPS
    asked.write(folder, rates)
    (folder / "applied.csv").write_text("".join(f"{update},0.1\n" for update in range(BEFORE)))
    (folder / "reports.jsonl").write_text("".join(f'{{"step": {s}, "loss": 1.0}}\n' for s in range(100, BEFORE, 100)))
    words = [
        "{python}",
        "-c",
        SCRIPT.replace("{", "{{").replace("}", "}}").replace("BEFORE", str(BEFORE)),
        str(seconds),
    ]
    command = Command(Template.read(words), values(folder, asked, rates, "constant(0.1)"), "off")
    return Start(folder, command, Limits(retries=0), Judge("jsonl"))


def keepers():
    """Seconds that the keepers, this process's children, have computed."""
    ticks = 0
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text().split():
            ticks += sum(map(int, Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scripts", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        starts = [start(Path(name) / str(i), given.seconds + 60) for i in range(given.scripts)]
        slots = Slots(given.scripts)
        thread = threading.Thread(target=lambda: list(slots.run(starts)))
        thread.start()
        while not all((one.folder / "out" / "part-49").exists() for one in starts):
            time.sleep(0.1)  # until all have begun
        began, before = time.monotonic(), time.process_time() + keepers()
        time.sleep(given.seconds)
        share = (time.process_time() + keepers() - before) / (time.monotonic() - began)
        thread.join()
    found = {"scripts": given.scripts, "seconds": given.seconds, "share": round(share, 5)}
    print(json.dumps(found) if given.json else f"{given.scripts} scripts: {share:.2%} of a core")


if __name__ == "__main__":
    main()

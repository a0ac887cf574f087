"""Runs of small scripts: their folders, a judge of their reports, and scripts that need no torch."""

import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tapered.scripts.command import Command, Template, values
from tapered.scripts.ended import Seen
from tapered.scripts.limits import Limits
from tapered.scripts.supervise import supervise

STEPS = 6
QUICK = Limits(startup=600, silence=600, grace=0.3)  # as long as any machine may take
PATIENCE = 120  # seconds after which a test gives up
# steps 1 to 6, told and kept one by one; goes on from its newest checkpoint; what is added runs before each step
SCRIPT = """
import json, os, pathlib, signal, subprocess, sys, time
run, out = pathlib.Path(os.environ["TAPERED_RUN"]), pathlib.Path(sys.argv[1])
starts = len(list(run.glob("*.err")))
there = sorted(out.glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
step, total = json.loads(there[-1].read_text()) if there else (0, 0.0)
def sleep():  # for ever, or until it is woken; the file says that time goes by, and is no sign of life
    asleep = run.parent / "asleep"
    asleep.write_text(str(os.getpid()))
    while asleep.exists(): time.sleep(0.005)
def tell(step, **more):
    with (run / "reports.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "loss": total, **more}) + "\\n")
while step < int(sys.argv[2]):
    FAULT
    step, total = step + 1, total + 0.5 ** step
    tell(step)
    (out / "new").write_text(json.dumps([step, total]))
    os.replace(out / "new", out / f"checkpoint-{step}")
"""


@dataclass(frozen=True)
class Asking:
    arm: str = "cosine"
    seed: int = 0
    peak: float | None = 0.1
    steps: int = STEPS
    until: int = STEPS


def reports(folder):
    path = folder / "reports.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines if line.strip()]


def judged(folder):
    """What reports say; a stand-in for the readers and for the witness's rates."""
    told = reports(folder)
    bad = [line["step"] for line in told if not all(map(math.isfinite, line.values()))]
    wrong = (folder / "wrong").read_text() if (folder / "wrong").exists() else ""
    steps = [line["step"] for line in told]
    return Seen(max(steps, default=None), len(told), diverged=min(bad, default=None), wrong=wrong)


def made(folder, text="", line="{python} script.py {out} {until}", asked=None, fault="", **more):
    """A command whose script stands in a folder, and the run's folder in it."""
    folder.mkdir(exist_ok=True)
    (folder / "script.py").write_text(text or SCRIPT.replace("FAULT", fault or "pass"))
    run = folder / "run"
    run.mkdir(exist_ok=True)
    filled = values(run, asked or Asking(), [0.1] * STEPS, "constant(0.1)")
    given = {"rate": "off", "checkpoints": "{out}/checkpoint-{step}", **more}
    return run, Command(Template.read(line), filled, folder=folder, **given)


def ended(folder, text="", limits=QUICK, *, fault="", judge=judged, **more):
    called = {name: more.pop(name) for name in ("stop", "told", "slot") if name in more}
    run, command = made(folder, text, fault=fault, **more)
    return supervise(run, command, limits, judge, **called)


def alive(pid):
    """Whether a process is there, and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Clock:
    """Time as a supervisor sees it: it goes by only while a script sleeps, a second a reading.

    Args:
        folder: Where the script says so.
    """

    def __init__(self, folder):
        self.now, self.wakes = 0.0, math.inf
        self._asleep, self._slept, self._began = folder / "asleep", 0, time.monotonic()

    def wake_after(self, seconds):
        """Each sleep ends after so long."""
        self.wakes = seconds

    def monotonic(self):
        if time.monotonic() - self._began > PATIENCE:
            raise TimeoutError("a script neither ends nor sleeps")
        if self._sleeps():
            self.now, self._slept = self.now + 1, self._slept + 1
            if self._slept >= self.wakes:
                self._slept = 0
                self._asleep.unlink()
        return self.now

    def _sleeps(self):
        try:
            return alive(int(self._asleep.read_text() or 0))
        except FileNotFoundError:
            return False


def until(true, within=PATIENCE):
    """Wait until something is true."""
    end = time.monotonic() + within
    while not (found := true()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {within} s")
        time.sleep(0.01)
    return found


PYTHON = sys.executable

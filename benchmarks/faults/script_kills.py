"""Scripts and their supervisors killed with -9: one of them at a place, or all at random until they are through."""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from script_cases import CASES, environment, numbers, run_of

from tapered.scripts.ended import Ended

OUTSIDE = ("script", "supervisor", "both", "stop")
PROGRAM = """
import os, pickle, sys
from tapered.scripts.slots import Slots, Start
runs, slot, at_once = pickle.loads(bytes.fromhex(sys.stdin.read()))
os.environ.update(slot)
for _, ended in Slots(at_once).run([Start(*run) for run in runs]):
    if isinstance(ended, Exception):
        raise ended
"""
RUNS, AT_ONCE = 6, 2
GONE = 5.0  # seconds in which a script is to be gone when its supervisor was killed


def supervisor(runs, slot, at_once=1):
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, env={**os.environ, **slot})
    process.stdin.write(pickle.dumps((runs, slot, at_once)).hex().encode())
    process.stdin.close()
    return process


def alive(file):
    """Whether the process whose number a file has is there."""
    with suppress(OSError, ValueError):
        return Path(f"/proc/{int(file.read_text())}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def kill(file):
    with suppress(OSError, ValueError):
        os.kill(int(file.read_text()), signal.SIGKILL)


def until(true, within):
    end = time.monotonic() + within
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {within} s")
        time.sleep(0.02)


def gone(files):
    """Whether the processes whose numbers files have are gone in time."""
    with suppress(TimeoutError):
        until(lambda: not any(alive(file) for file in files), GONE)
        return True
    return False


def happens(what, run, slot):
    """It trains, and is killed or asked to stop once it has reported; nothing of it is left when this returns."""
    folder, _, _, judge = run
    process = supervisor([run], slot)
    until(lambda: (judge(folder).step or 0) >= 4 or process.poll() is not None, 240)
    if what == "stop":
        (folder / "stop").touch()
        process.wait()
        return
    if what in ("supervisor", "both"):
        process.kill()
    if what in ("script", "both"):
        kill(folder / "pid")
    if what == "script":
        until(lambda: len(list(folder.glob("*.err"))) == 2, 60)
        process.wait()
    else:
        until(lambda: not alive(folder / "pid"), GONE)
        process.wait()


def killed(root, kills, seed):
    """Six runs, two at once, killed at random moments until they end; and six more, until there were so many kills.

    Returns: kills of scripts, of supervisors and of both; runs; whether each is finished with the numbers of one that
    nothing happened to; updates that were made twice though a checkpoint had them.
    """
    random.seed(seed)
    counts = dict.fromkeys(("script", "supervisor", "both"), 0)
    found = {"runs": 0, "lost": 0, "different": 0, "twice": 0, "trained": 0, "late": 0}
    case = replace(CASES[0], rate="off")
    slot, expected = environment(case, PACE="0.15"), {}
    for s in range(RUNS):
        run = run_of(root / "kills" / f"undisturbed-{s}", "bare", case, s)
        supervisor([run], slot).wait()
        expected[s] = numbers(run[0], "bare")
    while sum(counts.values()) < kills:
        runs = [run_of(root / "kills" / str(found["runs"] + s), "bare", case, s) for s in range(RUNS)]
        found["late"] += _until_they_end(runs, slot, counts, kills)
        for s, (folder, *_) in enumerate(runs):
            ended, (trained, twice) = Ended.read(folder), history(folder)
            found["lost"] += ended is None or ended.word != "finished"
            found["different"] += numbers(folder, "bare") != expected[s]
            found["twice"] += twice
            found["trained"] += trained
        found["runs"] += RUNS
    return counts | found | {"identical": not (found["lost"] or found["different"] or found["twice"] or found["late"])}


def _until_they_end(runs, slot, counts, kills):
    """Kill at random until all runs have ended; how often a script was not gone in time."""
    late, process = 0, supervisor(runs, slot, AT_ONCE)
    while True:
        wait = random.uniform(0.2, 2.5) if sum(counts.values()) < kills else 600.0
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(wait)
            if code == 0 and all(Ended.read(folder) for folder, *_ in runs):
                return late
            process = supervisor(runs, slot, AT_ONCE)
            continue
        what = random.choice([*counts])
        here = [folder / "pid" for folder, *_ in runs if alive(folder / "pid")]
        if what != "supervisor" and not here:
            continue
        counts[what] += 1
        if what != "supervisor":
            kill(random.choice(here))
        if what != "script":
            process.kill()
            process.wait()
            late += not gone(here)
            process = supervisor(runs, slot, AT_ONCE)


def history(folder):
    """How many starts of a run trained, and how many of them began before the last checkpoint that there was."""
    kept = trained = twice = 0
    for line in (folder / "history").read_text().splitlines():
        word, step = line.split()
        if word == "start":
            twice += int(step) != kept
            trained += 1
        kept = max(kept, int(step))
    return trained, twice

"""Faults of a training script, each in three kinds of it: does its run get the right word, and is nothing left behind?

    python benchmarks/faults/scripts.py [--kinds plain trainer lightning] [--only NAME] [--kills 100] [--json]

A plain loop, transformers' Trainer and Lightning, each as anybody writes one, with its own scheduler, log and
checkpoints; a kind whose library is not installed is left out and named. Where a run is to end well, its numbers are
compared with those of one that nothing happened to. Then scripts, their supervisors and both are killed at random.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import script_kills
from script_cases import CASES, KINDS, environment, numbers, run_of

from tapered.scripts.supervise import supervise

TRIED = ["plain", "trainer", "lightning"]


def tried(root, kind, case, undisturbed):
    """What is wrong with how a case ended; "" where it is right."""
    given = run_of(root / kind / case.name.replace(" ", "-").replace(",", ""), kind, case)
    folder = given[0]
    paced = {"PACE": "0.3"} if case.happens in script_kills.OUTSIDE else {}
    slot = environment(case, **paced)
    if case.happens in script_kills.OUTSIDE:
        script_kills.happens(case.happens, given, slot)
    found = supervise(*given, slot=slot)
    word = "finished" if kind == case.held else case.word
    checks = {
        f"{found.word}, and not {word} ({found.why}; {found.lines[-2:]})": found.word == word,
        f"{found.starts} starts, and not {case.starts} ({found.notes}; {found.lines[-1:]})": case.starts
        in (None, found.starts),
        f"said was {found.why!r}": case.why in found.why,
        "its numbers are others": not case.same or kind == case.inexact or numbers(folder, kind) == undisturbed,
        "output is not bounded": all(path.stat().st_size <= given[2].output for path in folder.glob("*.out")),
        "something lives on": not any(script_kills.alive(folder / name) for name in ("pid", "child")),
    }
    if case.happens == "two seeds":
        other = run_of(folder.with_name("other-seed"), kind, case, seed=1)
        supervise(*other, slot=slot)
        checks["two seeds told other numbers"] = numbers(folder, kind) == numbers(other[0], kind)
    return "; ".join(wrong for wrong, right in checks.items() if not right)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=TRIED, choices=TRIED)
    parser.add_argument("--only", default="")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    began = time.monotonic()
    kinds = [kind for kind in given.kinds if importlib.util.find_spec(KINDS[kind][1])]
    wrong = {}
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(given.workers) as pool:
        root = Path(name)
        undisturbed = {}
        for kind in kinds:
            run = run_of(root / kind / "undisturbed", kind, CASES[0])
            supervise(*run, slot=environment(CASES[0]))
            undisturbed[kind] = numbers(run[0], kind)
        cases = [(kind, case) for kind in kinds for case in CASES if given.only in case.name]
        for (kind, case), said in zip(
            cases, pool.map(lambda pair: tried(root, *pair, undisturbed[pair[0]]), cases), strict=True
        ):
            if said:
                wrong[f"{kind}: {case.name}"] = said
                print(f"{kind}: {case.name}: {said}", file=sys.stderr, flush=True)
        killed = script_kills.killed(root, given.kills, given.seed) if given.kills else {}
    found = {
        "cases": len(cases), "right": len(cases) - len(wrong), "kinds": kinds,
        "left_out": [kind for kind in given.kinds if kind not in kinds], "wrong": wrong, "kills": killed,
        "seconds": round(time.monotonic() - began),
    }  # fmt: skip
    print(json.dumps(found) if given.json else json.dumps(found, indent=1))
    return 0 if not wrong and killed.get("identical", True) else 1


if __name__ == "__main__":
    sys.exit(main())

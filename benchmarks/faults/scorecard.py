"""The scorecard of faults: what torch does with bad input, bad states and bad disks, and what ours does.

    python benchmarks/faults/scorecard.py [--json | --markdown | --cases]

Everything is tried on the spot, on torch as it is installed and on ours. A bad input is answered well by a ValueError
or TypeError that names the field or the value before any weight has changed ("clear"), or by going on with the right
numbers ("survived"). `--cases` shows the answer to each of the 100 bad inputs. It takes about a minute.
"""

import argparse
import json
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import resume_matrix
import torch
from inputs import adamw, continued, damage, disks, schedules
from inputs.judge import Bad, Verdict, judged

import tapered

WORDS = ("clear", "survived", "obscure", "warning", "silent")
INPUTS = {
    "adamw": (adamw.CASES, {"torch": torch.optim.AdamW, "ours": tapered.AdamW}),
    "schedules": (schedules.CASES, {"torch": "torch", "ours": "ours"}),
}


def answers(name: str) -> Iterator[tuple[Bad, dict[str, Verdict]]]:
    cases, sides = INPUTS[name]
    for case in cases:
        yield case, {side: judged(case, made) for side, made in sides.items()}


def inputs(name: str) -> dict[str, Any]:
    found = [verdicts for _, verdicts in answers(name)]
    counts = {side: Counter(verdicts[side].word for verdicts in found) for side in ("torch", "ours")}
    return {"cases": len(found)} | {
        side: {word: count[word] for word in WORDS if count[word]} for side, count in counts.items()
    }


def rates() -> dict[str, Any]:
    return resume_matrix.summary({name: resume_matrix.matrix(side) for name, side in resume_matrix.SIDES.items()})


def same_bits() -> dict[str, Any]:
    return {
        "torch": continued.torch_difference(generators=False),
        "torch_with_generators": continued.torch_difference(generators=True),
        "ours": continued.our_difference(),
    }


def forked() -> dict[str, Any]:
    rate, recorded = continued.our_forked(0.5, 0.3)
    theirs = continued.torch_forked(0.5, 0.3)
    return {"asked": 0.3, "torch": round(theirs, 6), "ours": round(rate, 6), "ours_recorded": recorded}


def kills() -> dict[str, Any]:
    return {side: dict(zip(("usable", "kills"), disks.killed(side), strict=True)) for side in disks.SIDES}


def corruption() -> dict[str, Any]:
    found = {"torch": damage.torch_detects(), "ours": damage.ours_detects()}
    return {"kinds": len(damage.DAMAGE)} | {
        side: {"detected": sum(kinds.values()), "missed": [kind for kind, seen in kinds.items() if not seen]}
        for side, kinds in found.items()
    }


def hostile() -> dict[str, Any]:
    found = {}
    for side in damage.LOADS:
        tries = [damage.runs_code(side, forced=forced) for forced in (False, True)]
        names = ("ran", "refused", "loads")
        found[side] = {name: sum(tried[at] for tried in tries) for at, name in enumerate(names)}
    return found


def words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def disk(found: dict[str, Any]) -> str:
    if not found:
        return "no small disk could be mounted"
    short = re.search(r"[\d,]+ bytes short", found["said"])
    said = f"the message names the folder, and {short.group()}" if short else found["said"].partition("[")[0]
    return f"{'kept' if found['usable'] else 'destroyed'}; {said}"


Told = Callable[[dict[str, Any]], tuple[str, str, str]]
ROWS: dict[str, tuple[Callable[[], dict[str, Any]], Told]] = {
    "adamw": (
        lambda: inputs("adamw"),
        lambda f: (f"answer to {f['cases']} bad AdamW inputs", words(f["torch"]), words(f["ours"])),
    ),
    "schedules": (
        lambda: inputs("schedules"),
        lambda f: (f"answer to {f['cases']} bad schedule inputs and states", words(f["torch"]), words(f["ours"])),
    ),
    "rates": (
        rates,
        lambda f: (
            f"rate after a resume, {f['eight_cases']} cases of order and schedule ({f['cases']} with all schedules)",
            f"{f['eight_torch_right']} right ({f['torch_right']})",
            "{eight_ours_right} right, {eight_ours_refused} refused ({ours_right}, {ours_refused})".format_map(f),
        ),
    ),
    "same_bits": (
        same_bits,
        lambda f: (
            "resume with dropout and shuffling, largest difference of a weight",
            f"{f['torch']:.2g}; {f['torch_with_generators']:.2g} with generators and order saved by hand",
            f"{f['ours']:.2g}, data position included",
        ),
    ),
    "forked": (
        forked,
        lambda f: (
            f"go on at a new rate: {f['asked']} asked after 0.5",
            f"{f['torch']} in force",
            f"{f['ours']} in force at the first step" + ", in the lineage" * f["ours_recorded"],
        ),
    ),
    "kills": (
        kills,
        lambda f: (
            "last checkpoint usable after kill -9 in a save",
            *(f"{f[side]['usable']} of {f[side]['kills']}" for side in ("torch", "ours")),
        ),
    ),
    "full_disk": (
        disks.on_a_small_disk,
        lambda f: ("last checkpoint after a full disk", disk(f.get("torch", {})), disk(f.get("ours", {}))),
    ),
    "corruption": (
        corruption,
        lambda f: (
            f"damage to a file noticed, {f['kinds']} kinds",
            f"{f['torch']['detected']} of {f['kinds']}; not: {', '.join(f['torch']['missed'])}",
            f"{f['ours']['detected']} of {f['kinds']}, in every file; goes on from the one before and says so",
        ),
    ),
    "hostile": (
        hostile,
        lambda f: (
            "hostile files that run code, torch's guard on and off",
            *(f"{f[side]['ran']} of {f[side]['loads']} loads" for side in ("torch", "ours")),
        ),
    ),
}


def table(lines: list[tuple[str, str, str]]) -> str:
    """Three columns, 80 wide."""
    rows = []
    for line in [("measure", f"torch {torch.__version__.partition('+')[0]}", "ours"), *lines]:
        cells = [textwrap.wrap(text, 25) for text in line]
        height = max(map(len, cells))
        padded = zip(*[cell + [""] * (height - len(cell)) for cell in cells], strict=True)
        rows.append("\n".join("  ".join(f"{part:25}" for part in parts).rstrip() for parts in padded))
    return ("\n" + "-" * 79 + "\n").join(rows)


def markdown(lines: list[tuple[str, str, str]]) -> str:
    head = ("measure", f"torch {torch.__version__.partition('+')[0]}", "tapered")
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ("---",) * 3, *lines])


def cases() -> None:
    for name in INPUTS:
        for case, verdicts in answers(name):
            print(f"row {case.row}: {case.words:.60}")
            for side, verdict in verdicts.items():
                said = f"  {side:5} {verdict.word:8} {verdict.message}"
                print(textwrap.fill(said, 80, subsequent_indent=" " * 17, max_lines=4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--json", action="store_true", help="print one JSON object")
    modes.add_argument("--markdown", action="store_true", help="print the table of docs/faults.md")
    modes.add_argument("--cases", action="store_true", help="print the answer to each bad input")
    options = parser.parse_args()
    if options.cases:
        cases()
        return
    found = {name: measure() for name, (measure, _) in ROWS.items()}
    lines = [tell(found[name]) for name, (_, tell) in ROWS.items()]
    print(json.dumps(found) if options.json else markdown(lines) if options.markdown else table(lines))


if __name__ == "__main__":
    main()

"""Which rates a resumed run uses, order of loading by order of loading: torch's schedulers, our optimizers, attach.

    python benchmarks/faults/resume_matrix.py [--json]

A run of 7 steps is saved through a file, everything is made anew, and the states are loaded in each order that a script
may have. "load, build, load" is the optimizer's state, a new scheduler, its state; the counter by hand is torch's
`last_epoch`, `attach(..., step=7)`, or the step written into our optimizer's state. The rates of the next 11 steps are
read off the weights themselves (Adam under a gradient that is always 1 moves a weight by its rate) and compared with
the closed form. A case is right, or refused with a reason before any weight has moved, or it breaks later, or so many
of the 11 rates are wrong.
"""

import argparse
import io
import json
import math
import textwrap
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from resume_cases import ALONE, COMPOSED, EIGHT, Case
from resume_sides import DONE, SIDES, Run, Side, States

NEXT = 11
ORDERS = list(SIDES["torch"].orders)
CASES = {**ALONE, **COMPOSED}
STRAIGHT = "never stopped"


@dataclass(frozen=True)
class Outcome:
    """What became of a case, and the sentence about it."""

    word: str  # "right", "refused", "breaks", or how many of the rates are wrong
    said: str = ""


Rows = Mapping[str, Mapping[str, Outcome]]  # by case and order


def judged(rates: list[float], case: Case, start: int) -> Outcome:
    """The rates of steps `start`, ... beside the closed form."""
    wanted = case.schedule.table(start + len(rates), start).tolist()
    off = [not math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(rates, wanted, strict=True)]
    if not any(off):
        return Outcome("right")
    at = off.index(True)
    return Outcome(f"{sum(off)} wrong", f"{rates[at]:.4g} for {wanted[at]:.4g} at step {start + at}")


def through_a_file(states: States) -> States:
    file = io.BytesIO()
    torch.save(states, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def outcome(side: Side, order: str, case: Case) -> Outcome:
    """The run stopped after 7 steps, loaded in one order, and continued; or the one that nobody stops."""
    run: Run | None = None
    try:
        before = side.start(case)
        if order == STRAIGHT:
            return judged([before.step() for _ in range(DONE + NEXT)], case, 0)
        for _ in range(DONE):
            before.step()
        states = through_a_file(before.states())
        run = side.orders[order](case, states)
        return judged([run.step() for _ in range(NEXT)], case, DONE)
    except Exception as error:  # noqa: BLE001 - whatever is raised is the finding
        # a refusal says why, before the first update
        refused = str(error) and (run is None or not run.weight.item())
        return Outcome("refused" if refused else "breaks", str(error) or repr(error))


def matrix(side: Side, names: Iterable[str] = CASES, orders: Iterable[str] = (STRAIGHT, *ORDERS)) -> Rows:
    orders = list(orders)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own calls
        return {name: {order: outcome(side, order, CASES[name]) for order in orders} for name in names}


def summary(found: Mapping[str, Rows]) -> dict[str, int]:
    """Counts over all cases, over torch's fourteen schedulers alone, and over the eight whose 40 cases FAULTS counts.

    Ours is right where both our sides are, and refused where one refuses and the other is no worse.
    """
    counts = {}
    for label, names in (("", CASES), ("alone_", ALONE), ("eight_", EIGHT)):
        places = [(name, order) for name in names for order in ORDERS]
        pairs = [{found[side][name][order].word for side in ("tapered", "attach")} for name, order in places]
        counts |= {
            f"{label}cases": len(places),
            f"{label}torch_right": sum(found["torch"][name][order].word == "right" for name, order in places),
            f"{label}ours_right": sum(pair == {"right"} for pair in pairs),
            f"{label}ours_refused": sum("refused" in pair and pair <= {"right", "refused"} for pair in pairs),
        }
    return counts


def table(rows: Rows, title: str) -> str:
    """One side, a line a schedule."""
    names = [STRAIGHT, *ORDERS]
    head = [textwrap.wrap(name, 9, break_long_words=False) for name in names]
    depth = max(map(len, head))
    padded = [[""] * (depth - len(words)) + words for words in head]
    lines = [f"{name:20}" + "".join(f"{words[at]:>10}" for words in padded)
             for at, name in enumerate([""] * (depth - 1) + [title])]  # fmt: skip
    lines += [f"{name:20.20}" + "".join(f"{row[order].word:>10}" for order in names) for name, row in rows.items()]
    return "\n".join(line.rstrip() for line in lines)


def reasons(rows: Rows) -> str:
    """What is said where something is refused or wrong: the first sentence of each kind, and how often."""
    said: dict[str, list[str]] = {}
    for name, row in rows.items():
        for order, found in row.items():
            if found.said:
                said.setdefault(f"{order}: {found.word.lstrip('0123456789 ')}", []).append(f"{name}: {found.said}")
    return "\n".join(
        textwrap.fill(f"{kind}, {len(texts)}; {texts[0]}", 80, subsequent_indent="    ") for kind, texts in said.items()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    found = {name: matrix(side) for name, side in SIDES.items()}
    counts = summary(found)
    if as_json:
        print(json.dumps({name: counts[name] for name in ("cases", "torch_right", "ours_right", "ours_refused")}))
        return
    for name, rows in found.items():
        print(table(rows, name), reasons(rows), sep="\n\n", end="\n\n")
    print(
        f"right over all {counts['cases']} cases: torch {counts['torch_right']}, ours {counts['ours_right']} and "
        f"{counts['ours_refused']} refused;\nof {counts['alone_cases']} without nesting: torch "
        f"{counts['alone_torch_right']}; of the {counts['eight_cases']} of FAULTS: torch {counts['eight_torch_right']}"
    )


if __name__ == "__main__":
    main()

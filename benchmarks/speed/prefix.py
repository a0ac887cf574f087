"""Eleven schedules that hold their peak before they decay, their shared prefixes trained once, against each alone.

    python benchmarks/speed/prefix.py [--json] [--seeds 32] [--peaks 7] [--epochs 4] [--rounds 3]

A program of W rows costs its width, so that stretches with few rows gain less than the steps say: at 8 seeds the trunks
are 56 rows, and a third of the gain goes into padding; at 32 they fill a program. The arms are those of the study
bmi-full without the four that decay from the start. Both sides train the same runs on the same machine, as rows or in a
loop as `choose` finds; the second by a program for all runs that shares nothing.
What is compared at the end is every parameter and every tensor of the rule's state, bit for bit.
"""

from collections.abc import Callable, Sequence

import torch
from common import in_turn, options, seconds, show, spread, times_faster

from tapered.study import plan_of, read
from tapered.study.plan.prefixes import Plan, share
from tapered.training.advance import Mode, advance
from tapered.training.modes import choose
from tapered.training.rows import Path, Rows, start
from tapered.training.workload import Workload

HOLDING = 11


def runs(seeds: int, peaks: int, epochs: int) -> tuple[Workload, list[Path], list[int]]:
    """The workload, and a path and a seed for each run."""
    loaded = plan_of(read("bmi-full", steps=250 * epochs))
    arms = [(arm, peak) for arm in loaded.study.arms[:HOLDING] for peak in loaded.study.peaks_of(arm)[:peaks]]
    paths = [arm.path(loaded.steps, peak) for arm, peak in arms]
    return loaded.workload, paths * seeds, [seed for seed in range(seeds) for _ in arms]


def train_plan(workload: Workload, plan: Plan, paths: Sequence[Path], seeds: Sequence[int], mode: Mode) -> Rows:
    """Every run's end: from one event of the plan to the next, all rows that are on their way together."""
    rule, events, segments = paths[0].rule, plan.events(), plan.segments
    alive = [i for i, segment in enumerate(segments) if segment.parent is None]
    rows = start(workload, rule, [seeds[segments[i].runs[0]] for i in alive])
    ended: list[Rows] = []
    order: list[int] = []
    for stop in events[1:]:
        rows = advance(workload, rows, [paths[segments[i].runs[0]] for i in alive], stop, mode=mode)
        place = {i: at for at, i in enumerate(alive)}
        ends = [(run, place[i]) for i in alive for run in segments[i].runs if paths[run].steps == stop]
        if ends:
            ended.append(rows.take([at for _, at in ends]))
            order += [run for run, _ in ends]
        forked = [i for i, segment in enumerate(segments) if segment.start == stop]
        after = [(place[i], i) for i in alive if segments[i].stop > stop] + [
            (place[segments[i].parent], i) for i in forked
        ]
        if after:
            rows, alive = rows.take([at for at, _ in after]), [i for _, i in after]
    return Rows.joined(ended).take(sorted(range(len(order)), key=order.__getitem__))


def furthest(a: Rows, b: Rows) -> float:
    """The largest difference between the parameters and rule states of two bundles of rows."""
    pairs = [(a.params[name], b.params[name]) for name in a.params]
    pairs += [(t, b.state[name][key]) for name, state in a.state.items() for key, t in state.items()]
    bits = all(torch.equal(x.view(torch.int32), y.view(torch.int32)) for x, y in pairs)
    largest = max((x - y).abs().max().item() for x, y in pairs)
    return largest if largest or bits else float("nan")


def main() -> None:
    given = options(__doc__, seeds=32, peaks=7, epochs=4, rounds=3)
    workload, paths, seeds = runs(given.seeds, given.peaks, given.epochs)
    rule, steps = paths[0].rule, paths[0].steps
    plan = share([path.hypers for path in paths], seeds)
    # each side in the program that is best for it: of a width with little padding
    modes = {
        "shared": choose(workload, rule, len(paths), steps, plan.crowd()),
        "alone": choose(workload, rule, len(paths), steps),
    }
    found: dict[str, Rows] = {}

    def shared() -> None:
        found["shared"] = train_plan(workload, plan, paths, seeds, modes["shared"])

    def alone() -> None:
        found["alone"] = advance(workload, start(workload, rule, seeds), paths, steps, mode=modes["alone"])

    sides: dict[str, Callable[[], None]] = {"shared": shared, "alone": alone}
    first = {name: seconds(side) for name, side in sides.items()}
    times = in_turn({name: lambda side=side: seconds(side) for name, side in sides.items()}, given.rounds)
    faster, difference = times_faster(times, "shared", "alone"), furthest(found["shared"], found["alone"])
    table = (
        f"{len(paths)} runs of {steps} steps\n"
        + "".join(f"{name}: {mode.kind}, width {mode.width}: {mode.reason}\n" for name, mode in modes.items())
        + f"steps asked {plan.asked}, run {plan.to_run}: {plan.ratio:.3f} times fewer\n"
        f"shared {spread(times['shared'])} s, alone {spread(times['alone'])} s "
        f"(first calls {first['shared']:.1f} and {first['alone']:.1f} s): {faster} times faster\n"
        f"largest difference {difference:g}"
    )
    figures = {"steps_ratio": plan.ratio, "time_ratio": faster.middle, "max_difference": difference}
    show(figures, as_json=given.json, table=table)


if __name__ == "__main__":
    main()

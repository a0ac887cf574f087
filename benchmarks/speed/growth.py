"""Time against rows, parameters and schedules: cost should grow as the work does.

    python benchmarks/speed/growth.py [--json] [--steps 100]

Each line is a measurement of its own, after a first call that compiles: the time of one update of all rows, and of one
row (of one parameter of a row).
"""

from common import decays, options, perceptron, seconds, show, spread

from tapered import constant, cooldown, hold, rules
from tapered.study.plan.prefixes import share
from tapered.training.advance import advance
from tapered.training.modes import choose
from tapered.training.rows import start, tabulate

LONG = 100_000  # the steps that the mode is chosen for; so many that compiling pays
ROWS = (1, 4, 16, 64, 256, 1024)
HIDDEN = {1_000: 28, 10_000: 96, 100_000: 312, 1_000_000: 996}  # parameters -> width, even as widths are
SCHEDULES = (1, 10, 100, 1_000)


def update(workload, paths, seeds, steps: int, rounds: int = 3) -> tuple[float, str]:
    """Seconds of one update of all rows, and the mode."""
    rule = paths[0].rule
    mode, rows = choose(workload, rule, len(paths), LONG), start(workload, rule, seeds)
    taken = [seconds(lambda: advance(workload, rows, paths, steps, mode=mode)) for _ in range(rounds + 1)]
    return spread(taken[1:]).middle / steps, f"{mode.kind}, {mode.width}"


def ladder(count: int, steps: int) -> list:
    """`count` schedules that hold for different times and then fall to zero."""
    ends = [1 + (steps - 2) * i // count for i in range(1, count)]
    return [constant(1e-3)] + [1e-3 * hold(at).then(cooldown(steps - at)) for at in ends]


def measure(steps: int) -> list[tuple[str, int, float, float, str]]:
    found = []
    for count in ROWS:
        taken, mode = update(perceptron(), decays(count, steps), [i % 8 for i in range(count)], steps)
        found.append(("rows", count, taken, taken / count, mode))
    for parameters, hidden in HIDDEN.items():
        fewer = max(steps * 1_000 // parameters, 5)
        taken, mode = update(perceptron(hidden), decays(16, fewer), [i % 8 for i in range(16)], fewer)
        found.append(("parameters", parameters, taken, taken / 16 / parameters, mode))
    for count in SCHEDULES:
        long = max(steps, 2 * count)
        paths = [tabulate(rules.Adam(), long, lr=schedule) for schedule in ladder(count, long)]
        tables = [path.hypers for path in paths]
        planned = seconds(lambda tables=tables: share(tables, [0] * len(tables)))
        found.append(("schedules planned", count, planned, planned / count, f"{long} steps"))
        taken, mode = update(perceptron(), paths, [0] * count, steps)
        found.append(("schedules trained", count, taken, taken / count, mode))
    return found


def main() -> None:
    given = options(__doc__, steps=100)
    found = measure(given.steps)
    lines = [f"{'':18} {'count':>9} {'all (us)':>12} {'each (ns)':>12}  mode"]
    lines += [f"{axis:18} {n:9} {1e6 * taken:12.1f} {1e9 * each:12.2f}  {mode}" for axis, n, taken, each, mode in found]
    show({f"{axis}_{n}": each for axis, n, _, each, _ in found}, as_json=given.json, table="\n".join(lines))


if __name__ == "__main__":
    main()

"""Tabulating 1,000 arms of 100,000 steps and planning which stretches they share.

    python benchmarks/speed/plan.py [--json] [--arms 1000] [--steps 100000]

The arms are of ten kinds, all different, at one peak and one seed, the worst case: every pair may share. Time is from
schedules to plan; memory is the most that the process held, torch's import included, measured in a process of its own.
"""

import json
import resource
import subprocess
import sys
import time

import numpy as np
from common import options, show

from tapered import constant, cooldown, cosine_decay, exponential_decay, hold, inverse_sqrt, linear, rules, warmup
from tapered.schedules import Schedule, piecewise_constant, polynomial_decay, tabulate
from tapered.study.plan.prefixes import share


def arms(count: int, steps: int) -> list[Schedule]:
    """`count` schedules of ten kinds, no two the same."""
    kinds = count // 10
    made = []
    for i in range(kinds):
        at = steps * (i + 1) // (kinds + 1)
        made += [
            constant(1.0) if i == 0 else warmup(at, ramp="(t+1)/N"),
            piecewise_constant((at,), (1.0, 0.1), switch="at"),
            piecewise_constant((at, (at + steps) // 2), (1.0, 0.1, 0.01), switch="at"),
            hold(at).then(cooldown(steps - at)),
            hold(at).then(cooldown(steps - at, shape="1-sqrt")),
            hold(at).then(cooldown(steps - at, shape="cosine")),
            exponential_decay(decay_steps=steps, decay_rate=1 / (2 + i)),
            cosine_decay(decay_steps=steps, alpha=i / kinds),
            linear(end=i / kinds, steps=steps) if i % 2 else inverse_sqrt(timescale=1 + i, shift=1 + i),
            polynomial_decay(decay_steps=steps, end=0.0, power=1.5 + i),
        ]
    return [1e-3 * schedule for schedule in made]


def measure(count: int, steps: int) -> dict[str, float]:
    before = peak_mb()
    schedules = arms(count, steps)
    start = time.perf_counter()
    rates = tabulate(schedules, steps)
    tabulated = time.perf_counter()
    others = {name: np.full(steps, value) for name, value in rules.Adam().hypers.items()}
    plan = share([{"lr": rate, **others} for rate in rates], [0] * len(schedules))
    end = time.perf_counter()
    return {
        "seconds": end - start,
        "peak_mb": peak_mb(),
        "imports_mb": before,
        "tabulating": tabulated - start,
        "planning": end - tabulated,
        "ratio": plan.ratio,
        "segments": len(plan.segments),
    }


def peak_mb() -> float:
    """The most memory this process has held, in megabytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    given = options(__doc__, arms=1_000, steps=100_000, rounds=3, inside=0)
    if given.inside:
        print(json.dumps(measure(given.arms, given.steps)))
        return
    command = [sys.executable, __file__, "--inside", "1", "--arms", str(given.arms), "--steps", str(given.steps)]
    rounds = [json.loads(subprocess.check_output(command)) for _ in range(given.rounds)]
    middle = sorted(rounds, key=lambda found: found["seconds"])[len(rounds) // 2]
    every = ", ".join(f"{found['seconds']:.2f}" for found in rounds)
    table = (
        f"{given.arms} arms x {given.steps} steps: {middle['seconds']:.2f} s ({every}); tabulating "
        f"{middle['tabulating']:.2f} s, planning {middle['planning']:.2f} s\n"
        f"memory at most {middle['peak_mb']:.0f} MB, of which imports {middle['imports_mb']:.0f} MB\n"
        f"{middle['segments']} segments, {middle['ratio']:.2f} times fewer steps"
    )
    show({name: middle[name] for name in ("seconds", "peak_mb")}, as_json=given.json, table=table)


if __name__ == "__main__":
    main()

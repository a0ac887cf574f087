"""What `attach` adds to a step of torch's fused Adam, and how often a compiled step compiles again.

    python benchmarks/attach.py [--json] [--threads 2] [--rounds 60] [--steps 200] [--parameters 1000000]

Equal tensors, fixed gradients, one process: blocks of steps of the bare optimizer, of one with a clock, and of one with
torch's ExponentialLR, in turn. A block's ratio to its neighbour is one measurement; medians are given with quartiles.
Then `torch.compile(optimizer.step)` with a tensor rate makes 1,000 steps, the rate another one at each.
"""

from collections.abc import Callable

import torch
from common import in_turn, options, seconds, show, spread

from tapered import exponential_decay
from tapered.attach import attach

MOVING = 1_000


def optimizer(parameters: int, lr: float | torch.Tensor, **hints: bool) -> torch.optim.Optimizer:
    generator = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(parameters // 4, generator=generator)) for _ in range(4)]
    for param in params:
        param.grad = torch.randn(param.shape, generator=generator)
    return torch.optim.Adam(params, lr=lr, **hints)


def bare(parameters: int) -> Callable[[], object]:
    return optimizer(parameters, 1e-3, fused=True).step


def attached(parameters: int) -> Callable[[], object]:
    made = optimizer(parameters, 1e-3, fused=True)
    attach(made, lr=exponential_decay(1e-3, decay_steps=1, decay_rate=0.9999))
    return made.step


def scheduled(parameters: int) -> Callable[[], object]:
    made = optimizer(parameters, 1e-3, fused=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(made, 0.9999)

    def step() -> None:
        made.step()
        scheduler.step()

    return step


def block(step: Callable[[], object], steps: int) -> Callable[[], float]:
    def measure() -> float:
        return seconds(lambda: [step() for _ in range(steps)]) / steps

    measure()
    return measure


def recompilations(steps: int = MOVING) -> int:
    """Graphs beyond the first in so many steps, each at another rate."""
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    made = optimizer(4_000, torch.tensor(1e-3))
    clock = attach(made, lr=exponential_decay(1e-3, decay_steps=1, decay_rate=0.999))
    step = torch.compile(made.step)
    rates = set()
    for _ in range(steps):
        step()
        rates.add(float(made.param_groups[0]["lr"]))
    if clock.step != steps or len(rates) < steps:
        raise RuntimeError(f"{clock.step} updates at {len(rates)} rates; expected {steps}")
    return counters["stats"]["unique_graphs"] - 1


def main() -> None:
    chosen = options(__doc__, rounds=60, steps=200, parameters=1_000_000)
    sides = {"bare": bare, "attach": attached, "ExponentialLR": scheduled}
    times = in_turn({name: block(make(chosen.parameters), chosen.steps) for name, make in sides.items()}, chosen.rounds)
    ratios = {
        name: spread([a / b for a, b in zip(times[name], times["bare"], strict=True)])
        for name in ("attach", "ExponentialLR")
    }
    again = recompilations()
    lines = [
        f"{'':14} {'us a step':>28}   ratio to bare    ({chosen.threads} threads, {chosen.parameters:,} parameters)"
    ]
    for name, found in times.items():
        ratio = f"   {ratios[name]}" if name in ratios else ""
        lines.append(f"{name:14} {spread([1e6 * t for t in found])!s:>28}{ratio}")
    lines.append(f"compiled step, {MOVING:,} rates: {again} recompilations")
    show(
        {
            "attach_ratio": ratios["attach"].middle,
            "attach_ratio_low": ratios["attach"].low,
            "attach_ratio_high": ratios["attach"].high,
            "scheduler_ratio": ratios["ExponentialLR"].middle,
            "bare_us": 1e6 * spread(times["bare"]).middle,
            "recompilations": again,
        },
        as_json=chosen.json,
        table="\n".join(lines),
    )


if __name__ == "__main__":
    main()

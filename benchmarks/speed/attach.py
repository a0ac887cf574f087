"""What `attach` adds to a step of torch's fused Adam, and how often a compiled step compiles again.

    python benchmarks/speed/attach.py [--json] [--threads 2] [--rounds 6000] [--parameters 1000000]

Steps of one optimizer under fixed gradients, with and without its clock in turn; another one's with and without torch's
ExponentialLR. Two equal optimizers will not do: where their tensors lie in memory makes a difference of 8%. A step's
ratio to its neighbour is one measurement; medians are given with quartiles, and bare to bare says what they can tell.
Then `torch.compile(optimizer.step)` with a tensor rate makes 1,000 steps, the rate another one at each.
"""

from collections.abc import Callable
from functools import partial

import torch
from common import Spread, in_turn, options, seconds, show, spread

from tapered import exponential_decay
from tapered.attach import attach

MOVING = 1_000


def optimizer(parameters: int, lr: float | torch.Tensor, **hints: bool) -> torch.optim.Optimizer:
    generator = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(parameters // 4, generator=generator)) for _ in range(4)]
    for param in params:
        param.grad = torch.randn(param.shape, generator=generator)
    return torch.optim.Adam(params, lr=lr, **hints)


def attached(parameters: int) -> dict[str, Callable[[], float]]:
    """One step with the clock's hooks, or without; what the group shows stays the clock's."""
    made = warm(optimizer(parameters, 1e-3, fused=True))
    attach(made, lr=exponential_decay(1e-3, decay_steps=1, decay_rate=0.9999), step=0)
    hooks = made._optimizer_step_pre_hooks, made._optimizer_step_post_hooks
    kept = [dict(found) for found in hooks]

    def once(*, clock: bool) -> float:
        for found, own in zip(hooks, kept, strict=True):
            found.clear()
            found.update(own if clock else {})
        return seconds(made.step)

    return {"bare": partial(once, clock=False), "attach": partial(once, clock=True),
            "bare again": partial(once, clock=False)}  # fmt: skip


def scheduled(parameters: int) -> dict[str, Callable[[], float]]:
    made = warm(optimizer(parameters, 1e-3, fused=True))
    step = made.step
    scheduler = torch.optim.lr_scheduler.ExponentialLR(made, 0.9999)

    def both() -> None:
        made.step()
        scheduler.step()

    return {"bare": partial(seconds, step), "ExponentialLR": partial(seconds, both)}


def warm(made: torch.optim.Optimizer) -> torch.optim.Optimizer:
    for _ in range(10):
        made.step()
    return made


def measured(rounds: int, parameters: int) -> tuple[dict[str, list[float]], dict[str, Spread]]:
    """Microseconds of each side's steps, and their ratios to the bare steps of the same optimizer."""
    times, ratios = {}, {}
    for sides in (attached(parameters), scheduled(parameters)):
        found = in_turn(sides, rounds)
        bare = found["bare"]
        ratios |= {name: spread([a / b for a, b in zip(t, bare, strict=True)]) for name, t in found.items()}
        times = {name: [1e6 * t for t in those] for name, those in found.items()} | times
    del ratios["bare"]
    return times, ratios


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
    chosen = options(__doc__, rounds=6000, parameters=1_000_000)
    times, ratios = measured(chosen.rounds, chosen.parameters)
    again = recompilations()
    lines = [f"{chosen.parameters:,} parameters, {chosen.threads} threads", f"{'us a step':>35}      ratio to bare"]
    lines += [
        f"{name:14} {spread(times[name])!s:>22}      {ratios.get(name, '')!s}".rstrip()
        for name in ("bare", "bare again", "attach", "ExponentialLR")
    ]
    lines.append(f"compiled step, {MOVING:,} rates: {again} recompilations")
    show(
        {
            "attach_ratio": ratios["attach"].middle,
            "attach_ratio_low": ratios["attach"].low,
            "attach_ratio_high": ratios["attach"].high,
            "scheduler_ratio": ratios["ExponentialLR"].middle,
            "bare_ratio": ratios["bare again"].middle,
            "bare_us": spread(times["bare"]).middle,
            "recompilations": again,
        },
        as_json=chosen.json,
        table="\n".join(lines),
    )


if __name__ == "__main__":
    main()

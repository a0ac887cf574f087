"""What a guard adds to an optimizer's step, and what is left of it once it is gone.

    python benchmarks/speed/guards.py [--json] [--threads 2] [--rounds 40] [--steps 100] [--parameters 1000000]

Equal tensors, fixed gradients, one process: blocks of steps of an optimizer that never had a guard ("before"), of one
whose guard was detached ("off"), and of one that is guarded with "skip" ("on"), in turn, for torch's fused Adam, the
same with `attach`, and tapered's Adam. A block's ratio to its neighbour is one measurement; medians with quartiles. In
the JSON, off_ratio and on_ratio are the largest of the three optimizers' medians.
"""

from collections.abc import Callable

import torch
from common import Spread, in_turn, options, seconds, show, spread

import tapered
from tapered.attach import attach
from tapered.guards import guard

RATE = tapered.exponential_decay(1e-3, decay_steps=1, decay_rate=0.9999)


def attached(params: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    made = torch.optim.Adam(params, lr=1e-3, fused=True)
    attach(made, lr=RATE)
    return made


OPTIMIZERS = {
    "torch": lambda params: torch.optim.Adam(params, lr=1e-3, fused=True),
    "attach": attached,
    "tapered": lambda params: tapered.Adam(params, lr=RATE),
}


def optimizer(name: str, parameters: int) -> torch.optim.Optimizer:
    generator = torch.Generator().manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(parameters // 4, generator=generator)) for _ in range(4)]
    for param in params:
        param.grad = torch.randn(param.shape, generator=generator)
    return OPTIMIZERS[name](params)


def sides(name: str, parameters: int) -> dict[str, torch.optim.Optimizer]:
    made = {side: optimizer(name, parameters) for side in ("before", "off", "on")}
    guard(made["off"], "skip").detach()
    guard(made["on"], "skip")
    return made


def block(step: Callable[[], object], steps: int) -> Callable[[], float]:
    def measure() -> float:
        return seconds(lambda: [step() for _ in range(steps)]) / steps

    measure()
    return measure


def measured(name: str, parameters: int, rounds: int, steps: int) -> dict[str, Spread]:
    blocks = {side: block(made.step, steps) for side, made in sides(name, parameters).items()}
    times = in_turn(blocks, rounds)
    ratios = {
        side: spread([a / b for a, b in zip(times[side], times["before"], strict=True)]) for side in ("off", "on")
    }
    return {"before_us": spread([1e6 * t for t in times["before"]]), **ratios}


def main() -> None:
    chosen = options(__doc__, rounds=40, steps=100, parameters=1_000_000)
    rows = {name: measured(name, chosen.parameters, chosen.rounds, chosen.steps) for name in OPTIMIZERS}
    titles = "".join(f" {title:>28}" for title in ("us a step, before", "off / before", "on / before"))
    lines = [f"{'':8}{titles}    ({chosen.threads} threads, {chosen.parameters:,} parameters)"]
    lines += [f"{name:8}" + "".join(f" {value!s:>28}" for value in row.values()) for name, row in rows.items()]
    found = {f"{side}_ratio": max(row[side].middle for row in rows.values()) for side in ("off", "on")}
    found |= {f"{name}_{side}_ratio": row[side].middle for name, row in rows.items() for side in ("off", "on")}
    show(found, as_json=chosen.json, table="\n".join(lines))


if __name__ == "__main__":
    main()

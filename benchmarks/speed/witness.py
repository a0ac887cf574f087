"""What the witness of a script adds to a training step: its hooks, and the line that it writes of every update.

    python benchmarks/speed/witness.py [--json] [--threads 1] [--rounds 2000] [--hidden 400]

Steps of one model and one optimizer, with the witness and without it in turn; a step's ratio to its neighbour is one
measurement. Bare to bare says what they can tell. The same for a tiny model gives the microseconds alone, of which the
last line is the share in a step of 5 ms. Times are the
processor's in one thread, which others on the machine disturb less.
"""

import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from common import in_turn, options, show, spread
from torch import nn
from torch.optim import optimizer as optimizers

from tapered.scripts.asked import Asked
from tapered.scripts.current import ScriptRun
from tapered.scripts.making import watch_making

STEP = 5000.0  # microseconds


def sides(hidden: int, folder: Path, *, sets: bool) -> dict[str, Callable[[], float]]:
    """One training step each, of a perceptron under AdamW."""
    many = 1_000_000
    Asked("constant", 0, many, many, 1e-3).write(folder, [1e-3] * many)
    make = optimizers.Optimizer.__init__
    watch_making(ScriptRun(folder), sets=sets)
    net = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    x = torch.randn(64, 64)

    def step() -> None:
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    for _ in range(10):
        step()
    optimizers.Optimizer.__init__ = make
    around = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
    hooks = optimizers._global_optimizer_pre_hooks, *around
    own = [dict(found) for found in hooks]
    for found in hooks:
        found.clear()

    def once(*, witness: bool) -> float:
        for found, those in zip(hooks, own, strict=True):
            found.update(those if witness else {})
        start = time.thread_time()
        step()
        taken = time.thread_time() - start
        for found in hooks:
            found.clear()
        return taken

    return {"bare": partial(once, witness=False), "witness": partial(once, witness=True),
            "bare again": partial(once, witness=False)}  # fmt: skip


def main() -> None:
    chosen = options(__doc__, threads=1, rounds=2000, hidden=400)
    lines, figures = [f"{chosen.threads} threads{'us a step':>24}{'ratio to bare':>26}{'us more':>18}"], {}
    for hidden, kind in ((chosen.hidden, ""), (4, "tiny_")):
        for sets in (False, True):
            name = kind + ("set" if sets else "see")
            with tempfile.TemporaryDirectory() as folder:
                times = in_turn(sides(hidden, Path(folder), sets=sets), chosen.rounds)
            for side in ("witness", "bare again"):
                pairs = list(zip(times[side], times["bare"], strict=True))
                ratio, more = spread([a / b for a, b in pairs]), spread([1e6 * (a - b) for a, b in pairs])
                said = name if side == "witness" else f"{name}, {side}"
                lines.append(f"{said:20}{1e6 * spread(times[side]).middle:10.0f}{ratio!s:>34}   {more}")
                figures[name if side == "witness" else f"{name}_bare"] = ratio.middle
                if kind and side == "witness":
                    figures[f"{name}_us"] = more.middle
                    lines.append(f"{'':20}{more.middle / STEP:.3%} of a step of 5 ms")
    show(figures, as_json=chosen.json, table="\n".join(lines))


if __name__ == "__main__":
    main()

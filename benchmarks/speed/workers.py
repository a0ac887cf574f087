"""Training on items that take a while: fetched by two workers, against each when its step comes.

    python benchmarks/speed/workers.py [--json] [--rounds 3] [--steps 100]

An item takes 5 ms, waiting as for a disk, or computing; a minibatch has 16. Both sides train one row from the first
step to the last, workers begun and ended, and their weights must have the same bits. Two workers that compute need two
processors that nobody else uses.
"""

import time

import torch
from common import in_turn, options, show, spread, times_faster
from torch import nn
from torch.utils.data import Dataset

from tapered import Workload, rules
from tapered.training.advance import advance
from tapered.training.recipe import Recipe
from tapered.training.rows import start, tabulate

TAKES = 0.005  # seconds of an item


class Slow(Dataset):
    """Pictures of noise that are read and decoded."""

    def __init__(self, waits: float, computes: float) -> None:
        self.waits, self.computes = waits, computes

    def __len__(self) -> int:
        return 4096

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        time.sleep(self.waits)
        until = time.process_time() + self.computes
        x = torch.randn(3, 32, 32)
        while time.process_time() < until:
            x.flip(-1)
        return x, i % 10


def problem(workers: int, waits: float, computes: float) -> Workload:
    data = Slow(waits, computes)
    return Workload(
        "slow items", lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), nn.functional.cross_entropy, data, data,
        batch_size=16, recipe=Recipe(workers=workers),
    )  # fmt: skip


def main() -> None:
    given = options(__doc__, rounds=3, steps=100)
    path, found, lines, ends = tabulate(rules.SGD(), given.steps, lr=0.01), {}, [], {}

    def side(workers: int, waits: float, computes: float):
        def measure() -> float:
            workload = problem(workers, waits, computes)
            rows = start(workload, rules.SGD(), [0])
            begun = time.perf_counter()
            ends[workers] = advance(workload, rows, [path], given.steps)
            return (time.perf_counter() - begun) / given.steps

        return measure

    for name, parts in {"": (TAKES, 0.0), "_computing": (0.0, TAKES)}.items():
        times = in_turn({str(n): side(n, *parts) for n in (0, 2)}, given.rounds)
        assert all(torch.equal(p, ends[0].params[key]) for key, p in ends[2].params.items())
        found[f"workers_2_vs_0{name}"] = ratio = times_faster(times, "2", "0")
        for workers, values in times.items():
            lines.append(f"{workers} workers{name} {spread([1e3 * value for value in values])} ms a step")
        lines.append(f"    times faster {ratio}")
    show({name: ratio.middle for name, ratio in found.items()}, as_json=given.json, table="\n".join(lines))


if __name__ == "__main__":
    main()

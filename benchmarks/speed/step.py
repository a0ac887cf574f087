"""One optimizer step with its schedule, against torch's fused Adam with ExponentialLR.

    python benchmarks/speed/step.py [--json] [--threads 2]

Both sides update equal tensors in one process, in turn, block by block; the ratio of a pair of neighbouring blocks is
one measurement, and the median of all is given with its quartiles. Gradients are fixed; nothing else runs between.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from common import show

import tapered

CASES = {"step_50m": ([50_000_000], 9, 3), "step_20x1000": ([1_000] * 20, 41, 200)}


def parameters(sizes: list[int]) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    made = [torch.nn.Parameter(torch.randn(size, generator=generator)) for size in sizes]
    for param in made:
        param.grad = torch.randn(param.shape, generator=generator)
    return made


def ours(sizes: list[int]) -> Callable[[], object]:
    rate = tapered.exponential_decay(1e-3, decay_steps=1, decay_rate=0.9999)
    return tapered.Adam(parameters(sizes), lr=rate).step


def torchs(sizes: list[int]) -> Callable[[], object]:
    optimizer = torch.optim.Adam(parameters(sizes), lr=1e-3, fused=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9999)

    def step() -> None:
        optimizer.step()
        scheduler.step()

    return step


def seconds(step: Callable[[], object], steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps


def measure(sizes: list[int], rounds: int, steps: int) -> dict[str, float]:
    sides = {"ours": ours(sizes), "torch": torchs(sizes)}
    for step in sides.values():
        seconds(step, 3)
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in sorted(sides, reverse=turn % 2 == 1):
            times[name].append(seconds(sides[name], steps))
    ratios = [a / b for a, b in zip(times["ours"], times["torch"], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "ours": statistics.median(times["ours"]),
        "torch": statistics.median(times["torch"]),
        "ratio": middle,
        "low": low,
        "high": high,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object: case -> ours / torch")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = {name: measure(*case) for name, case in CASES.items()}
    lines = [f"{'case':14} {'tapered':>12} {'torch':>12} {'ratio':>7}  quartiles    ({options.threads} threads)"]
    for name, row in found.items():
        ours_us, torch_us = (f"{1e6 * row[side]:9.1f} us" for side in ("ours", "torch"))
        lines += [f"{name:14} {ours_us:>12} {torch_us:>12} {row['ratio']:7.3f}  {row['low']:.3f} to {row['high']:.3f}"]
    show({name: row["ratio"] for name, row in found.items()}, as_json=options.json, table="\n".join(lines))


if __name__ == "__main__":
    main()

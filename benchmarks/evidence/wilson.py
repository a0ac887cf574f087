"""Wilson's protocol at small size: 28 configurations x 5 seeds, as one study on the machine at hand.

    python benchmarks/evidence/wilson.py [--json] [--store FOLDER]

A network of 58,156 parameters on 2,000 pictures of Fashion-MNIST made 16x16 (CIFAR is in no package). Two processes
would use two cores; the study computes with one thread, as studies do. Told are its time, the spread of accuracy
between the rates of an optimizer, the spread between optimizers each at its best rate, the deviation between seeds, and
which best rates lie at an edge; beside them what a replay of the same size on CIFAR-10 found, run by run: 63 minutes of
one core, 9.86 points, 1.15 points, 0.51 to 0.69 points, three of the arms.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tapered import Workload
from tapered.workloads import data
from tapered.workloads.fashion import fashion_mnist

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
from common import options, show  # where it is

FILE = Path(__file__).parent / "studies" / "wilson.toml"
POINTS = 100


def model() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 102), nn.ReLU(), nn.Linear(102, 10),
    )  # fmt: skip


def smaller(dataset: TensorDataset) -> TensorDataset:
    pictures, labels = dataset.tensors
    return TensorDataset(functional.adaptive_avg_pool2d(pictures, 16), labels)


def pictures() -> Workload:
    whole = fashion_mnist(examples=2_000)
    return Workload(
        name="fashion_mnist 16x16",
        model=model,
        loss=functional.cross_entropy,
        train=smaller(whole.train),
        valid=smaller(whole.valid),
        test=smaller(whole.test),
        batch_size=32,
        metrics={"accuracy": data.accuracy},
        facts=whole.facts,
    )


def spreads(found: dict) -> tuple[dict[str, float], list[str]]:
    """The figures of a study's summary, and a line for each optimizer."""
    lines, within, best, between_seeds, edges = [], [], [], [], 0
    for arm in found["arms"]:
        means = [POINTS * peak["mean"] for peak in arm["peaks"]]
        values = [POINTS * value for value in arm["values"]]
        within.append(max(means) - min(means))
        best.append(max(means))
        between_seeds.append(statistics.stdev(values))
        edges += arm["edge"] is not None
        lines.append(
            f"    {arm['name']:12} {max(means):.2f} at {arm['best_peak']:g}, {min(means):.2f} at its worst rate, "
            f"seeds {between_seeds[-1]:.2f}" + (", best at the edge" if arm["edge"] else "")
        )
    return {
        "spread_rates": statistics.median(within),
        "spread_optimizers": max(best) - min(best),
        "seeds_low": min(between_seeds),
        "seeds_high": max(between_seeds),
        "edges": edges,
    }, lines


def main() -> None:
    given = options(__doc__, threads=1, store="")
    program = [sys.executable, "-c", "import sys, tapered.cli.main; sys.exit(tapered.cli.main.main())"]
    with tempfile.TemporaryDirectory() as scratch:
        begun = time.perf_counter()
        command = [*program, "study", str(FILE), "--store", given.store or f"{scratch}/study", "--json"]
        found = json.loads(subprocess.check_output(command))
        minutes = (time.perf_counter() - begun) / 60
    figures, lines = spreads(found)
    rates, optimizers = figures["spread_rates"], figures["spread_optimizers"]
    table = [
        f"{found['runs']} runs, {found['updates']:,} updates: {minutes:.1f} minutes, whole",
        *lines,
        f"    spread between rates, median of optimizers, {rates:.2f} points; between optimizers {optimizers:.2f}",
    ]
    show({"minutes": minutes, **figures}, as_json=given.json, table="\n".join(table))


if __name__ == "__main__":
    main()

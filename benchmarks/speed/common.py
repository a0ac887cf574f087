"""What the benchmarks share: sides that are timed in turn, quartiles, and the problems that rows are trained on."""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from tapered import Workload, exponential_decay, rules
from tapered.training.rows import Path, tabulate


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of repeated measurements."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.3g}  ({self.low:.3g} to {self.high:.3g})"


def spread(values: Sequence[float]) -> Spread:
    return Spread(*statistics.quantiles(values, n=4, method="inclusive")) if len(values) > 1 else Spread(*values * 3)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turn(sides: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Each side's own measurement, `rounds` times, the order turned round each time."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(rounds):
        for name in sorted(sides, reverse=turn % 2 == 1):
            times[name].append(sides[name]())
    return times


def times_faster(times: Mapping[str, Sequence[float]], ours: str, theirs: str) -> Spread:
    """How many times faster we are: the ratio of neighbouring measurements."""
    return spread([b / a for a, b in zip(times[ours], times[theirs], strict=True)])


def options(doc: str, **defaults: object) -> argparse.Namespace:
    """`--json`, `--threads 2`, and an option for each default."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    for name, value in {"threads": 2, **defaults}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    found = parser.parse_args()
    torch.set_num_threads(found.threads)
    return found


def show(found: Mapping[str, float | None], *, as_json: bool, table: str) -> None:
    """The table on stdout; or the figures there as one JSON object, and the table on stderr."""
    rounded = {name: None if value is None else float(f"{value:.4g}") for name, value in found.items()}
    print(table, file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps(rounded))


def decays(rows: int, steps: int) -> list[Path]:
    """A path for each row: Adam, a rate of its own from 1e-5 to 1e-1 that decays by 0.9999 a step."""
    peaks = torch.logspace(-5, -1, rows, dtype=torch.float64).tolist()
    rates = [exponential_decay(peak, decay_steps=1, decay_rate=0.9999) for peak in peaks]
    return [tabulate(rules.Adam(), steps, lr=rate) for rate in rates]


def perceptron(hidden: int = 32, batch_size: int = 32) -> Workload:
    """Points of the plane, which side of a line: 2-hidden-hidden-2 with ReLU."""

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2)
        )

    x = torch.randn(4096, 2, generator=torch.Generator().manual_seed(0))
    return _made(f"MLP 2-{hidden}-{hidden}-2", model, x, (x.sum(1) > 0).long(), batch_size)


def digits() -> Workload:
    """Pictures of 8x8 in ten classes (generated, of the shape of scikit-learn's digits): 6,090 parameters."""

    def model() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip

    generator = torch.Generator().manual_seed(0)
    patterns, labels = torch.randn(10, 1, 8, 8, generator=generator), torch.arange(2048) % 10
    return _made("CNN 8x8", model, patterns[labels] + torch.randn(2048, 1, 8, 8, generator=generator), labels, 32)


class Block(nn.Module):
    """Attention to what came before and a perceptron, each after a norm and added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.mix(self.norms[0](x)).unflatten(-1, (3, self.heads, -1)).movedim(-3, 0)
        heads = [part.transpose(-3, -2) for part in (query, key, value)]
        seen = functional.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.out(seen.transpose(-3, -2).flatten(-2))
        return x + self.perceptron(self.norms[1](x))


class Transformer(nn.Module):
    """Two blocks of width 64 with 4 heads over 64 places and 65 letters: 112,577 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.letters, self.places = nn.Embedding(65, 64), nn.Parameter(torch.zeros(64, 64))
        self.blocks = nn.Sequential(Block(64, 4), Block(64, 4))
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 65)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.blocks(self.letters(letters) + self.places)))


def letters() -> Workload:
    """The next letter, of 65, in generated lines of 64."""
    lines = torch.randint(0, 65, (512, 65), generator=torch.Generator().manual_seed(0))

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs.flatten(0, -2), targets.flatten())

    return _made("transformer", Transformer, lines[:, :-1], lines[:, 1:], 8, loss)


def _made(name, model, inputs, targets, batch_size, loss=functional.cross_entropy) -> Workload:
    train = TensorDataset(inputs, targets.contiguous())
    valid = TensorDataset(*(tensor[:256] for tensor in train.tensors))
    return Workload(name, model, loss, train, valid, batch_size=batch_size)


def torch_loop(
    workload: Workload, steps: int, *, lr: float = 1e-3, wait: Callable[[], None] = lambda: None
) -> Callable[[], float]:
    """Seconds a step of an ordinary loop: torch's fused Adam with ExponentialLR; the data is shuffled once.

    It lies on the workload's device, which is waited for.
    """
    model = workload.build(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9999)
    inputs, targets = (
        tensor[torch.randperm(len(tensor))].to(workload.recipe.place) for tensor in workload.train.tensors
    )
    size, place = workload.batch_size, 0

    def step() -> None:
        nonlocal place
        optimizer.zero_grad()
        workload.loss(model(inputs[place : place + size]), targets[place : place + size]).backward()
        optimizer.step()
        scheduler.step()
        place = (place + size) % (len(inputs) - size + 1)

    def measure() -> float:
        wait()
        return seconds(lambda: ([step() for _ in range(steps)], wait())) / steps

    measure()
    return measure

"""On a device: fork = scratch, rows at several widths, resume, dropout, a skip of float16's scaler; bit for bit.

Each check trains a small problem there twice, in two ways that must give the same, and says whether they do.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.utils.data import TensorDataset

from tapered import Workload, exponential_decay, rules
from tapered.study.store.text import rows_to_tensors
from tapered.training.advance import LOOP, Mode, advance
from tapered.training.recipe import Recipe
from tapered.training.rows import Rows, placed, start, tabulate

STEPS, PEAK = 24, 0.05
ROWS = Mode("rows", 8, "tried")


def problem(device: str, *, dropout: float = 0.0, size: float = 1.0, **recipe: object) -> Workload:
    """A regression; of a larger size its gradients overflow float16's first scale."""
    x = torch.randn(256, 16, generator=torch.Generator().manual_seed(3))
    data = TensorDataset(x, size * x[:, :1].sin())
    drop = [nn.Dropout(dropout)] if dropout else []

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(16, 32), nn.Tanh(), *drop, nn.Linear(32, 1))

    return Workload(
        "exact", model, nn.functional.mse_loss, data, data, batch_size=16, recipe=Recipe(device=device, **recipe)
    )


def trained(of: Workload, seeds: list[int], steps: int = STEPS, mode: Mode = LOOP, rows: Rows | None = None) -> Rows:
    rule = rules.Adam()
    path = tabulate(rule, STEPS, lr=PEAK * exponential_decay(decay_steps=1, decay_rate=0.97))
    return advance(of, rows or start(of, rule, seeds), [path] * len(seeds), steps, mode=mode)


def same(a: Rows, b: Rows) -> bool:
    mine, theirs = rows_to_tensors(a), rows_to_tensors(b)
    return a.losses == b.losses and all(torch.equal(mine[name], theirs[name]) for name in mine)


def kept(rows: Rows) -> Rows:
    """As a checkpoint has them, on the processor."""
    return placed(rows, torch.device("cpu"))


def forks(device: str, mode: Mode) -> bool:
    """A row that was forked after some steps ends as one that made all of them."""
    of = problem(device)
    trunk = trained(of, [0], STEPS // 3, mode)
    return same(trained(of, [0, 0], mode=mode, rows=trunk.take([0, 0])), trained(of, [0, 0], mode=mode))


def widths(device: str) -> bool:
    """At each width a row has the same bits whatever its place and neighbours: among all, and with one beside it."""
    of = problem(device)

    def alike(mode: Mode) -> bool:
        rows = trained(of, list(range(mode.width)), mode=mode).take([mode.width // 2 - 1, 0])
        return same(rows, trained(of, [mode.width // 2 - 1, 0], mode=mode))

    return all(alike(replace(ROWS, width=width)) for width in (8, 16, 64))


def resumed(device: str, **options: object) -> bool:
    """Saved on the processor after every cut and gone on with, a run ends as it does uninterrupted."""
    of = problem(device, **options)
    whole = trained(of, [0])
    return all(same(trained(of, [0], rows=kept(trained(of, [0], cut))), whole) for cut in (1, 7, 20))


def skips(device: str) -> bool:
    """Some steps are skipped in float16, and counts are of the others."""
    rows = trained(problem(device, size=300.0, precision="float16"), [0])
    skipped = int(rows.scaler["skipped"])
    return skipped > 0 and {int(count) for count in rows.counts.values()} == {STEPS - skipped}


def checks(device: str) -> dict[str, Callable[[], bool]]:
    """Every check by name."""
    return {
        "fork = scratch, loop": lambda: forks(device, LOOP),
        "fork = scratch, rows": lambda: forks(device, ROWS),
        "rows of any width": lambda: widths(device),
        "resume": lambda: resumed(device),
        "resume, dropout": lambda: resumed(device, dropout=0.3),
        "resume, bfloat16": lambda: resumed(device, precision="bfloat16"),
        "resume, float16 with skips": lambda: resumed(device, size=300.0, precision="float16"),
        "skipped steps do not count": lambda: skips(device),
    }

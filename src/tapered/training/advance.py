"""Training: rows advance along paths, from any step to any later one.

    start(workload, rule, seeds) ─► Rows ─┐
                                          ├─► advance(..., to_step) ─► Rows ─► take ─► advance ─► ...
    tabulate(rule, steps, lr=...) ─► Path ┘

The rows given are not written. Advancing to 100 and then to 200 gives the same bits as advancing to 200.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch

from tapered.rules import recomputed
from tapered.training import loop, stack
from tapered.training.crew import crew
from tapered.training.living import steadily
from tapered.training.memory import keep_freed
from tapered.training.reasons import UndeterminedError, undetermined
from tapered.training.rows import OnStep, Path, Rows, placed, start, tabulate
from tapered.training.workload import Workload

__all__ = ["LOOP", "Mode", "Path", "Rows", "advance", "evaluate", "start", "tabulate"]
Kind = Literal["loop", "rows", "rows compiled"]


@dataclass(frozen=True)
class Mode:
    """How rows are trained, and why.

    Args:
        kind: "loop", one row after another as ordinary PyTorch; "rows", stacked; "rows compiled", stacked in one graph.
        width: Rows that go through one program together; 1 for the loop, else a multiple of 8.
        reason: One sentence without a full stop.
    """

    kind: Kind
    width: int
    reason: str


LOOP = Mode("loop", 1, "nothing else was asked for")


def advance(
    workload: Workload,
    rows: Rows,
    paths: Sequence[Path],
    to_step: int,
    *,
    on_step: OnStep | None = None,
    mode: Mode = LOOP,
) -> Rows:
    """Train each row along its path until `to_step` updates are done.

    A row whose loss is not finite is marked and left; the others go on and do not notice. Torch runs with deterministic
    algorithms meanwhile.

    Args:
        workload: What is trained.
        rows: Rows of this workload, at any steps.
        paths: One for each row, covering its steps.
        to_step: Completed updates to reach; a row that is there already stays as it is.
        on_step: Called with the number of updates made since the last call, over all rows. If it returns True,
            training stops there and the rows are returned where they are.
        mode: How; see `modes.choose`.

    Raises:
        ValueError: If a path does not fit its row or ends before `to_step`, or the recipe takes no rows.
        TypeError: If the loss is not a scalar tensor.
        DrawError: If a model or loss draws where rows are trained together.
        UnsteadyError: If numbers would depend on more than seed and step: a model remembers what is no parameter and
            no buffer, or something draws from a generator of its own. The rows given are as they were.

    >>> from tapered import rules
    >>> from tapered.training.workload import quadratic
    >>> problem, rule = quadratic(), rules.SGD()
    >>> rows = advance(problem, start(problem, rule, seeds=[0]), [tabulate(rule, 50, lr=0.05)], 50)
    >>> rows.steps, evaluate(problem, rows, "valid")[0]["loss"] < 5
    ((50,), True)
    """
    _check(rows, paths, to_step)
    if mode.kind != "loop" and (why := workload.recipe.alone):
        raise ValueError(f'mode = "{mode.kind}" cannot be taken, since {why}; try mode = "loop"')
    rows = placed(rows, workload.recipe.place)
    keep_freed()
    with deterministic(), steadily(workload, workload.train, workload.objective or workload.loss), crew(workload):
        if mode.kind == "loop":
            return loop.advance(workload, rows, paths, to_step, on_step)
        compiled = mode.kind == "rows compiled"
        return stack.advance(workload, rows, paths, to_step, on_step, width=mode.width, compiled=compiled)


def evaluate(workload: Workload, rows: Rows, split: str, *, mode: Mode = LOOP) -> list[dict[str, float]]:
    """The loss and every metric of each row on a split, means over its examples, in evaluation mode.

    Rules that keep an average of the weights are evaluated at it (`rule.readout`); where BatchNorm's statistics are
    recomputed for it, row after row in every mode.

    Args:
        workload: What was trained.
        rows: Its rows; they are not written.
        split: "train", "valid", "test", or the name of one of its `splits`.
        mode: How rows are evaluated; the loop where left out, which gives the same but for rounding.

    Raises:
        ValueError: If the workload has no such split.

    Example:
        >>> from tapered import rules
        >>> from tapered.training.workload import quadratic
        >>> rows = start(quadratic(), rules.SGD(), seeds=[0, 1])
        >>> [sorted(found) for found in evaluate(quadratic(), rows, "valid")]
        [['distance', 'loss'], ['distance', 'loss']]
    """
    rows = placed(rows, workload.recipe.place)
    functions = {"loss": workload.objective or workload.loss, **workload.metrics}
    with deterministic(), steadily(workload, workload.split(split), functions), crew(workload):
        if mode.kind == "loop" or recomputed(rows.rule):
            return loop.evaluate(workload, rows, split)
        return stack.evaluate(workload, rows, split, mode.width)


def evaluated(workload: Workload, rows: Rows, *, mode: Mode = LOOP) -> list[dict[str, float]]:
    """Every number of an evaluation of each row, by `workload.names`: of ``valid``, and of each of `splits`."""
    with crew(workload):
        found = evaluate(workload, rows, "valid", mode=mode)
        for split in workload.splits:
            for mine, theirs in zip(found, evaluate(workload, rows, split, mode=mode), strict=True):
                mine |= {f"{split}/{name}": value for name, value in theirs.items()}
    return found


def _check(rows: Rows, paths: Sequence[Path], to_step: int) -> None:
    if len(rows) != len(paths):
        raise ValueError(f"got {len(rows)} rows and {len(paths)} paths; expected one path for each row")
    for path in paths:
        if rows.rule != path.rule:
            raise ValueError(f"rows of {rows.rule} got a path of {path.rule}; expected the same rule")
        if path.steps < to_step:
            raise ValueError(f"a path covers {path.steps} steps; expected at least to_step={to_step}")


@contextmanager
def deterministic() -> Iterator[None]:
    """Torch's deterministic algorithms, and the caller's settings after.

    On one thread, numbers below 1.2e-38 count as 0 meanwhile: the squares of vanished gradients become so small, and
    take a processor up to a hundred times as long. On several threads torch cannot say so to all of them.

    Raises:
        UndeterminedError: If a device has no such algorithm of what is computed.
    """
    memory: Any = torch.utils.deterministic
    before, fill = torch.get_deterministic_debug_mode(), memory.fill_uninitialized_memory
    cudnn: Any = torch.backends.cudnn
    tries = cudnn.benchmark
    # "error" is use_deterministic_algorithms(True) without its import of the compiler, which takes over a second
    torch.set_deterministic_debug_mode("error")
    memory.fill_uninitialized_memory = False  # it guards no result here and costs time
    cudnn.benchmark = False  # which takes what is fastest at the time
    flushed = float(torch.tensor(1e-40) * 1) == 0
    torch.set_flush_denormal(flushed or torch.get_num_threads() == 1)
    try:
        yield
    except RuntimeError as error:
        if (said := undetermined(error)) is None:
            raise
        raise UndeterminedError(said) from error
    finally:
        cudnn.benchmark = tries
        torch.set_flush_denormal(flushed)
        torch.set_deterministic_debug_mode(before)
        memory.fill_uninitialized_memory = fill

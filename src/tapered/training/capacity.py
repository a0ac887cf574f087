"""How many rows fit into this machine's memory."""

from contextlib import suppress
from pathlib import Path

import torch

from tapered.draws import seeded
from tapered.rules import Rule
from tapered.training import devices, trees
from tapered.training.objective import loss_of
from tapered.training.rows import start
from tapered.training.workload import Workload

MEMORY_SHARE = 0.25
MEMORY_UNKNOWN = 2 * 2**30
MOST_ROWS = 4096
UNSEEN = 64  # times the bytes of a minibatch, what backward may need where it cannot be watched


def row_bytes(workload: Workload, rule: Rule) -> int:
    """Bytes that a row takes in training: its tensors before and after an update, gradients, and what backward needs.

    >>> from tapered import rules
    >>> from tapered.training.workload import quadratic
    >>> row_bytes(quadratic(), rules.SGD()) >= 3 * 4 * 4   # a point in four dimensions
    True
    """
    row = start(workload, rule, [0])
    states = [tensor for part in row.state.values() for tensor in part.values()]
    tensors = sum(t.nbytes for t in (*row.params.values(), *row.buffers.values(), *states))
    held: list[int] = []

    def hold(tensor: torch.Tensor) -> torch.Tensor:
        held.append(tensor.nbytes)
        return tensor

    model = workload.build(0)
    with seeded(0, "memory"):
        inputs, targets = workload.fetch("train", workload.batch(0, 0)[: workload.batch_size])
        try:
            with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
                loss_of(workload, model, inputs, targets)
        except RuntimeError as error:
            if "saved tensor hooks" not in str(error):  # torch.func's transforms take none
                raise
            held.append(UNSEEN * trees.size_of((inputs, targets)))
    return 2 * tensors + sum(p.nbytes for p in row.params.values()) + sum(held)


def most_rows(workload: Workload, rule: Rule, workers: int = 1) -> int:
    """The rows that fit in a quarter of the free memory, or of one of several workers' share of it.

    A multiple of 8 where there are as many, at least 1.
    """
    place = workload.recipe.place
    free = free_memory() if place == devices.CPU else devices.free_memory(place)
    rows = min(MOST_ROWS, int(MEMORY_SHARE * free / devices.sharing(place, workers)) // row_bytes(workload, rule))
    return rows // 8 * 8 or max(1, rows)


def free_memory() -> int:
    """Bytes that this process may still take, as Linux tells; 2 GiB where nothing does."""
    found = [MEMORY_UNKNOWN]
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found = [1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])]
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        found.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    return max(0, min(found))


def memory_kills() -> int:
    """How many processes of this container the kernel has killed for memory; 0 where nothing tells."""
    with suppress(OSError, StopIteration, ValueError):
        lines = Path("/sys/fs/cgroup/memory.events").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("oom_kill ")).split()[1])
    return 0

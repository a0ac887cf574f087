"""A few steps of a few rows, tried: how long they take in each mode, and whether their numbers are right.

workload, rule ─► Probe ─► seconds of a step of a row, a fault in words, a graph
"""

import time
import warnings
from collections.abc import Callable, Sequence
from math import inf, isnan

import torch

from tapered.rules import SGD, Rule, recomputed
from tapered.training import loop, measures, stack
from tapered.training.advance import LOOP, Mode, advance, deterministic
from tapered.training.devices import CPU
from tapered.training.precision import tolerance
from tapered.training.reasons import uncompiled, unstackable
from tapered.training.rows import Rows, start, tabulate
from tapered.training.workload import Workload

PROBED = 64  # steps that are timed, at most
PROBE = 4  # steps whose numbers are compared
RATE = 1e-3
TOLERANCE = 1e-3  # relative difference of losses to the loop's over PROBE steps; float32 rounding gives about 1e-6
ALONE = [2, 5]  # of the probe's rows, those that are evaluated as the loop does it as well
WIDTHS, USUAL = (8, 32, 128, 256), 32  # of stacked rows, tried; and which first
ENOUGH = 0.5  # seconds of training that say how long a step takes
GAINS = 1.1  # how much slower a wider program may look, since times vary, and wider ones are tried all the same
COMPILING = 0.03  # seconds that a compilation takes for each operation of a step, about; it must save more

Phase = Callable[[str], None]


def unheard(doing: str) -> None:
    """Nobody asks what is done."""


class Probe:
    """A few steps of a few rows of a run of so many steps: traced where the run is."""

    def __init__(self, workload: Workload, rule: Rule, steps: int = stack.TRACED + 1, phase: Phase = unheard) -> None:
        self.workload, self.rule, self._phase = workload, rule, phase
        self.known: dict[int, float] = {}  # width -> seconds of a step of a stacked row
        self.path = tabulate(rule, min(max(steps, PROBED), max(PROBED, stack.TRACED + 1)), lr=RATE)

    def rows(self, seeds: Sequence[int], steps: int, mode: Mode) -> Rows:
        """So many steps of a row for each seed."""
        paths = [self.path] * len(seeds)
        return advance(self.workload, start(self.workload, self.rule, seeds), paths, steps, mode=mode)

    def seconds(self, mode: Mode, rows: int) -> float:
        """A step of a row: the best of three short trainings, of one step where that is long."""
        begun = start(self.workload, self.rule, [0] * rows)
        paths = [self.path] * rows

        def taken(steps: int) -> float:
            begin = time.perf_counter()
            advance(self.workload, begun, paths, steps, mode=mode)
            return time.perf_counter() - begin

        taken(1)
        one = taken(1)
        most = PROBED if mode.kind == "rows compiled" else min(PROBED, max(8, 128 // rows))
        steps = max(1, min(most, int(ENOUGH / one)))
        return min([one] if one > ENOUGH else (taken(steps) for _ in range(3))) / (steps * rows)

    def best_width(self, rows: int) -> tuple[int, float]:
        """The fastest width for so many stacked rows, and the seconds a step of a row takes at it."""
        times = self.narrowing([width for width in WIDTHS if width < 2 * rows] or [WIDTHS[0]])
        return min(times.items(), key=lambda pair: pair[1])

    def narrowing(self, widths: Sequence[int]) -> dict[int, float]:
        """Seconds of stacked rows at each width, from the narrowest on, as far as wider ones are faster."""
        times: dict[int, float] = {}
        for width in widths:
            times[width] = self.timed(width)
            if times[width] > GAINS * min(times.values()):
                break
        return times

    def first_width(self, rows: int) -> float:
        """Seconds of a step of a stacked row at a width where most of the gain is."""
        width = min(USUAL, max(WIDTHS[0], rows // 8 * 8))
        return self.timed(width)

    def timed(self, width: int) -> float:
        """Seconds of a step of a stacked row, timed once for each width."""
        if width not in self.known:
            self.known[width] = self.seconds(Mode("rows", width, ""), width)
        return self.known[width]

    def pays(self, whole: float) -> bool:
        """Whether so many seconds of stacked training are worth compiling the graph of a step.

        It has 300 operations for a small perceptron, 1,600 for a small transformer.
        """
        width = next(iter(self.known), WIDTHS[0])  # whose graph is known
        found = start(self.workload, self.rule, [0] * width)
        return whole > 2 * COMPILING * stack.operations(self.workload, found, [self.path] * width)

    def compiled(self, width: int) -> float | str:
        """Seconds of a step of a row in one graph, or why there is none."""
        self._phase("compiling")
        try:
            mode = Mode("rows compiled", width, "")
            seeds = list(range(8))
            apart = _apart(*(self.rows(seeds, PROBE, each) for each in (Mode("rows", 8, ""), mode)))
            if not apart <= tolerance(self.workload.recipe, TOLERANCE):
                return f"in one graph it gives other numbers (relative difference {apart:.0e})"
            return self.seconds(mode, width)
        except Exception as error:  # noqa: BLE001 - the compiler's errors share no class
            return uncompiled(error)

    def fault(self) -> str | None:
        """Why rows must not be stacked, None if they may."""
        if why := self.workload.recipe.alone:
            return why
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of vmap's slow ways, which are not taken where they are slow
                return self._differing()
        except Exception as error:  # noqa: BLE001 - whatever a user's model raises under vmap
            return unstackable(error)

    def _differing(self) -> str | None:
        """In what rows differ from each other where they must not, or from the loop."""
        seeds = list(range(8))
        # so short a run is not traced, which takes longer than these few steps and has the same bits
        short, plain = (Probe(self.workload, rule, PROBED) for rule in (self.rule, SGD()))
        width = 8 if self.workload.recipe.place == CPU else 16  # at one width there, see `stack`
        stacked = self.rows(seeds, PROBE, Mode("rows", width, ""))
        moved = short.rows([5, 2, *range(20, 30)], PROBE, Mode("rows", 16, ""))
        for here, there in ((5, 0), (2, 1)):
            if _difference(stacked.take([here]), moved.take([there])) != 0:
                return "the bits of a row would depend on its neighbours; layers of even sizes avoid most of it"
        apart = _apart(*(plain.rows(seeds, PROBE, mode) for mode in (LOOP, Mode("rows", 8, ""))))
        within = tolerance(self.workload.recipe, TOLERANCE)
        if not apart <= within:
            return f"stacked it gives other numbers than alone (relative difference {apart:.0e})"
        name, apart = self._evaluated_apart(stacked)
        return None if apart <= within else f"stacked, {name} is another than alone (by {apart:.0e})"

    def _evaluated_apart(self, rows: Rows) -> tuple[str, float]:
        """The name in which two rows' evaluations differ most from the loop's, and by how much of its size."""
        if recomputed(self.rule):
            return "loss", 0.0  # rows are evaluated as the loop does it
        places = measures.sample(self.workload)
        with deterministic():
            theirs = loop.evaluate(self.workload, rows.take(ALONE), "valid", places)
            mine = stack.evaluate(self.workload, rows, "valid", 8, places)
        found = {
            name: max(off(mine[row][name], values[name]) for row, values in zip(ALONE, theirs, strict=True))
            for name in theirs[0]
        }
        return max(found.items(), key=lambda pair: pair[1])


def off(a: float, b: float) -> float:
    """By how much of its size a number differs from another; 0 where both are none."""
    if a == b or (isnan(a) and isnan(b)):
        return 0.0
    found = abs(a - b) / max(abs(b), 1e-12)
    return inf if isnan(found) else found


def _difference(a: Rows, b: Rows) -> float:
    """The largest difference of any parameter, buffer or state."""
    pairs = zip(_tensors(a), _tensors(b), strict=True)
    return max(float((mine.cpu().double() - theirs.cpu().double()).abs().max()) for mine, theirs in pairs)


def _apart(a: Rows, b: Rows) -> float:
    """The largest relative difference of a training loss.

    Of gradient descent's, since where a gradient is 0 but for rounding (a key's bias in attention, a bias before
    BatchNorm) Adam makes the rounding as large as any step.
    """
    mine, theirs = ([loss for row in rows.losses for _, loss in row] for rows in (a, b))
    if len(mine) != len(theirs):
        return float("inf")
    return max(off(x, y) for x, y in zip(mine, theirs, strict=True))


def _tensors(rows: Rows) -> list[torch.Tensor]:
    state = [tensor for part in rows.state.values() for tensor in part.values()]
    return [*rows.params.values(), *rows.buffers.values(), *state]

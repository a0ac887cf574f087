"""How rows are best trained: alone, stacked, or stacked and compiled; found by trying, with the reason.

Stacking is taken only where it is right: a few steps and an evaluation must give the loop's numbers within a tolerance,
and a row's bits must depend on neither the width of the program nor the row's place and neighbours.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isnan

import torch

from tapered.rules import SGD, Rule, recomputed
from tapered.training import loop, measures, stack
from tapered.training.advance import LOOP, Kind, Mode, advance, deterministic
from tapered.training.devices import CPU
from tapered.training.precision import tolerance
from tapered.training.reasons import uncompiled, unstackable
from tapered.training.rehearsal import rehearsed
from tapered.training.rows import Rows, start, tabulate
from tapered.training.workload import Workload
from tapered.words import duration

PROBED = 64  # steps that are timed, at most
PROBE = 4  # steps whose numbers are compared
RATE = 1e-3
TOLERANCE = 1e-3  # relative difference of losses to the loop's over PROBE steps; float32 rounding gives about 1e-6
ALONE = [2, 5]  # of the probe's rows, those that are evaluated as the loop does it as well
WIDTHS, USUAL = (8, 32, 128, 256), 32  # of stacked rows, tried; and which first
NARROW, WIDE = 64, 256  # of one graph: between them the time of a row hardly changes
CALL = 16  # rows whose time the call of a graph itself takes, about
ALIKE = 1.05  # times that differ by less are as good as one another
ENOUGH = 0.5  # seconds of training that say how long a step takes
GAINS = 1.1  # how much slower a wider program may look, since times vary, and wider ones are tried all the same
LONG = 100.0  # seconds of training in a loop, from which on rows are likely to be compiled
SHORT = 10.0  # seconds of stacked training that no compilation shortens by much; tracing takes one or two
CLEARLY = 0.7  # of the time of rows stacked at one width: no other width makes up for that
ASKED, UNPAID = "asked for", "too short to be worth compiling"
COMPILING = 0.03  # seconds that a compilation takes for each operation of a step, about; it must save more


Crowd = Sequence[tuple[int, int]]
Phase = Callable[[str], None]


def unheard(doing: str) -> None:
    """Nobody asks what is done."""


@dataclass(frozen=True)
class Timed:
    """A mode and the seconds it takes for one step of one row."""

    mode: Mode
    seconds: float


class ModeError(ValueError):
    """A mode that was asked for and cannot be taken; the message says why."""


def choose(workload: Workload, rule: Rule, rows: int, steps: int, crowd: Crowd = ()) -> Mode:
    """The fastest way of training so many rows for so many steps that gives right numbers.

    Args:
        workload: What is trained.
        rule: With which rule.
        rows: Rows that train at a time, about.
        steps: Steps of each.
        crowd: How many rows train for how many steps, where it is not all of them all the time (`Plan.crowd`).

    Returns:
        The mode, with figures in its reason.

    >>> from tapered import rules
    >>> from tapered.training.workload import quadratic
    >>> choose(quadratic(), rules.SGD(), rows=1, steps=10).reason
    'a single row gains nothing from being stacked'
    """
    return forecast(workload, rule, rows, steps, crowd).mode


def forecast(workload: Workload, rule: Rule, rows: int, steps: int, crowd: Crowd = (), phase: Phase = unheard) -> Timed:
    """As `choose`, with the seconds a step of a row takes; ``phase`` is told when compiling begins."""
    probe = _Probe(workload, rule, steps, phase)
    alone = probe.seconds(LOOP, 1)
    if rows < 2:
        return Timed(Mode("loop", 1, "a single row gains nothing from being stacked"), alone)
    with rehearsed(alone * rows * steps > LONG):
        return _forecast(probe, rows, steps, alone, least_padded(rows, crowd or ((rows, steps),)))


def _forecast(probe: "_Probe", rows: int, steps: int, alone: float, graph: int) -> Timed:
    fault = probe.fault()
    if fault:
        return Timed(Mode("loop", 1, fault), alone)
    first = probe.first_width(rows)
    compiled: float | str | None = None
    if first * rows * steps > 2 * SHORT and probe.pays(first * rows * steps):
        compiled = probe.compiled(graph)
        if isinstance(compiled, float) and compiled < CLEARLY * min(first, alone):
            return _in_one_graph(graph, compiled, first, alone)
    width, stacked = probe.best_width(rows)
    if compiled is None and stacked * rows * steps > SHORT and probe.pays(stacked * rows * steps):
        compiled = probe.compiled(graph)
    if isinstance(compiled, float) and compiled < min(stacked, alone):
        return _in_one_graph(graph, compiled, stacked, alone)
    why = f"{duration(compiled)} in one graph" if isinstance(compiled, float) else compiled or UNPAID
    if stacked < alone:
        reason = f"{duration(stacked)} a step of a row stacked, {duration(alone)} alone; {why}"
        return Timed(Mode("rows", width, reason), stacked)
    return Timed(Mode("loop", 1, f"{duration(alone)} a step of a row alone, {duration(stacked)} stacked; {why}"), alone)


def _in_one_graph(width: int, compiled: float, stacked: float, alone: float) -> Timed:
    reason = f"{duration(compiled)} a step of a row in one graph, {duration(stacked)} stacked, {duration(alone)} alone"
    return Timed(Mode("rows compiled", width, reason), compiled)


def fixed(
    workload: Workload, rule: Rule, kind: Kind, rows: int, steps: int, crowd: Crowd = (), phase: Phase = unheard
) -> Timed:
    """The mode that was asked for, with the seconds a step of a row takes; arguments as of `forecast`.

    Raises:
        ModeError: If it would not give right numbers here, or does not compile.

    >>> from tapered import rules
    >>> from tapered.training.workload import quadratic
    >>> fixed(quadratic(), rules.SGD(), "loop", rows=20, steps=10).mode
    Mode(kind='loop', width=1, reason='asked for')
    """
    probe = _Probe(workload, rule, steps, phase)
    if kind == "loop":
        return Timed(Mode("loop", 1, ASKED), probe.seconds(LOOP, 1))
    with rehearsed(kind == "rows compiled"):
        return _fixed(probe, kind, rows, least_padded(rows, crowd or ((rows, steps),)))


def _fixed(probe: "_Probe", kind: Kind, rows: int, graph: int) -> Timed:
    if fault := probe.fault():
        raise ModeError(_refused(kind, fault))
    if kind == "rows":
        width, seconds = probe.best_width(rows)
        return Timed(Mode("rows", width, ASKED), seconds)
    compiled = probe.compiled(graph)
    if isinstance(compiled, str):
        raise ModeError(_refused(kind, compiled))
    return Timed(Mode("rows compiled", graph, ASKED), compiled)


def _refused(kind: Kind, why: str) -> str:
    return f'mode = "{kind}" cannot be taken, since {why}; try mode = "loop", or "auto"'


def least_padded(rows: int, crowd: Crowd) -> int:
    """The width of the one graph that trains all chunks with little padding in few calls.

    The narrowest that is about as good as the best: of fewer rows more stays in a cache, and later rounds have fewer.

    >>> least_padded(1050, ((70, 2500), (350, 2500), (1050, 500)))
    72
    """
    most = min(WIDE, -(-rows // 8) * 8)
    widths = range(min(NARROW, most), most + 1, 8)
    takes = {w: sum(-(-n // w) * (w + CALL) * steps for n, steps in crowd) for w in widths}
    return next(w for w in widths if takes[w] <= ALIKE * min(takes.values()))


class _Probe:
    """A few steps of a few rows of a run of so many steps: traced where the run is."""

    def __init__(self, workload: Workload, rule: Rule, steps: int = stack.TRACED + 1, phase: Phase = unheard) -> None:
        self.workload, self.rule, self._phase = workload, rule, phase
        self.known: dict[int, float] = {}  # width -> seconds of a step of a stacked row
        self.path = tabulate(rule, min(max(steps, PROBED), max(PROBED, stack.TRACED + 1)), lr=RATE)

    def rows(self, seeds: Sequence[int], steps: int, mode: Mode) -> Rows:
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
        short, plain = (_Probe(self.workload, rule, PROBED) for rule in (self.rule, SGD()))
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

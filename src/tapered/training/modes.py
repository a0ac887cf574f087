"""How rows are best trained: alone, stacked, or stacked and compiled; found by trying, with the reason.

Stacking is taken only where it is right: a few steps and an evaluation must give the loop's numbers within a tolerance,
and a row's bits must depend on neither the width of the program nor the row's place and neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tapered.rules import Rule
from tapered.training.advance import LOOP, Kind, Mode
from tapered.training.probe import Phase, Probe, unheard
from tapered.training.rehearsal import rehearsed
from tapered.training.workload import Workload
from tapered.words import duration

NARROW, WIDE = 64, 256  # of one graph: between them the time of a row hardly changes
CALL = 16  # rows whose time the call of a graph itself takes, about
ALIKE = 1.05  # times that differ by less are as good as one another
LONG = 100.0  # seconds of training in a loop, from which on rows are likely to be compiled
SHORT = 10.0  # seconds of stacked training that no compilation shortens by much; tracing takes one or two
CLEARLY = 0.7  # of the time of rows stacked at one width: no other width makes up for that
ASKED, UNPAID = "asked for", "too short to be worth compiling"

Crowd = Sequence[tuple[int, int]]


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
    probe = Probe(workload, rule, steps, phase)
    alone = probe.seconds(LOOP, 1)
    if rows < 2:
        return Timed(Mode("loop", 1, "a single row gains nothing from being stacked"), alone)
    with rehearsed(alone * rows * steps > LONG):
        return _forecast(probe, rows, steps, alone, least_padded(rows, crowd or ((rows, steps),)))


def _forecast(probe: "Probe", rows: int, steps: int, alone: float, graph: int) -> Timed:
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
    probe = Probe(workload, rule, steps, phase)
    if kind == "loop":
        return Timed(Mode("loop", 1, ASKED), probe.seconds(LOOP, 1))
    with rehearsed(kind == "rows compiled"):
        return _fixed(probe, kind, rows, least_padded(rows, crowd or ((rows, steps),)))


def _fixed(probe: "Probe", kind: Kind, rows: int, graph: int) -> Timed:
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

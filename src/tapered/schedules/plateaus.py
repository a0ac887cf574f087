"""`plateau` and `greedy`: rates that are lowered, or lowered and raised, by what becomes of a loss."""

# ruff: noqa: SLF001  # a rule makes others of its kind
import math
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, Self

from tapered.schedules.called import kind
from tapered.schedules.checks import Bound, Index, NotNegative, Number, Steps, Within
from tapered.schedules.controllers import Controller, Move, Moved
from tapered.schedules.states import State

Factor = Annotated[float, Within("a number from 0 to below 1", least=0, most=math.nextafter(1.0, 0.0))]
Share = Annotated[float, Within("a number above 0 and below 1", above=0, most=math.nextafter(1.0, 0.0))]
Mode = Literal["min", "max"]
ThresholdMode = Literal["rel", "abs"]
STAYS: Move = ""


def better(rule: "plateau | greedy", value: float) -> bool:
    """Whether a value beats the best one; NaN beats nothing."""
    low, best = rule.mode == "min", rule.state.best
    best = (math.inf if low else -math.inf) if best is None else best
    if rule.threshold_mode == "rel":
        return value < best * (1.0 - rule.threshold) if low else value > best * (1.0 + rule.threshold)
    return value < best - rule.threshold if low else value > best + rule.threshold


def sensible(rule: "plateau | greedy") -> None:
    """A relative threshold leaves something that is better."""
    if rule.threshold_mode == "rel" and not (rule.threshold < 1.0 if rule.mode == "min" else rule.threshold > -1.0):
        bound = "below 1, for nothing is less by more" if rule.mode == "min" else "above -1"
        rule._refuse("threshold", f'a number {bound}, with threshold_mode="rel"')


def lowered(rule: "plateau | greedy") -> float:
    """rate * factor, no lower than the bound, where that is a change of more than eps."""
    new = max(rule.rate * rule.factor, rule._bound("min_lr"))
    return new if rule.rate - new > rule.eps else rule.rate


@kind
class plateau(Controller):
    """The rate is multiplied by `factor` when a value has not become better `patience` + 1 times: ReduceLROnPlateau.

        better:  value < best * (1 - threshold)   or  best - threshold  with threshold_mode="abs"     (mode="min")
                 value > best * (1 + threshold)   or  best + threshold                                (mode="max")
        after more than `patience` values in a row that are not:   rate = max(rate * factor, min_lr)

    torch's arguments and defaults, and its counting: `cooldown` values after a change are not held against the rate; a
    change of no more than `eps` is left out; NaN is not better. A relative threshold of a negative best asks for less
    than the best itself, as in torch; values that may be negative want "abs". Transformers' reduce_lr_on_plateau is
    this one. Keras compares alike and counts otherwise: its patience is one more than here, its cooldown one more, its
    threshold absolute, `eps` 0; `tapered.convert.from_keras` says it so.

    Args:
        initial: the rate that it begins with.
        factor: what the rate is multiplied by.
        patience: values in a row without improvement that are borne.
        threshold: by how much a value must be better.
        threshold_mode: "rel" or "abs".
        cooldown: values after a change that are not counted.
        min_lr: the rate is not lowered below it; a number, or one for each group.
        eps: the smallest change that is made.
        mode: whether less is better, "min", or more, "max".
        head, state: the schedule before it, and what it remembers; `.then` and what is observed set them.

    Raises:
        TypeError, ValueError: an argument out of range, with what it must be.

    Example:
        >>> import torch
        >>> from tapered import plateau, warmup
        >>> from tapered.attach import attach
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
        >>> clock = attach(optimizer, lr=plateau(0.1, factor=0.5, patience=1))
        >>> for loss in (1.0, 0.8, 0.9, 0.9):
        ...     clock.observe(loss)
        >>> optimizer.param_groups[0]["lr"]
        0.05
        >>> 3e-4 * warmup(200).then(plateau(factor=0.5))
        (0.0003 * warmup(200)).then(plateau(0.0003, factor=0.5))
    """

    _example: ClassVar[str] = "plateau(0.1, factor=0.5, patience=10)"
    _bounds: ClassVar[tuple[str, ...]] = ("min_lr",)
    factor: Factor = 0.1
    patience: Index = 10
    threshold: Number = 1e-4
    threshold_mode: ThresholdMode = "rel"
    cooldown: Index = 0
    min_lr: Bound = 0.0
    eps: NotNegative = 1e-8
    mode: Mode = "min"

    def _check(self) -> None:
        sensible(self)

    def _counted(self, value: float) -> Moved:
        state, move = self.state, STAYS
        best, bad = (value, 0) if better(self, value) else (state.best, state.bad + 1)
        cooling = state.cooling
        if cooling > 0:
            cooling, bad = cooling - 1, 0
        if bad > self.patience:
            move, cooling, bad = "lowers", self.cooldown, 0
        return replace(state, best=best, bad=bad, cooling=cooling), move

    def _rate(self, move: Move) -> float:
        return lowered(self) if move else self.rate


@kind
class greedy(Controller):
    """The rate falls by `factor` when values stop becoming better, and rises by it when they go on doing so: GreedyLR.

        after more than `patience` values in a row that are no better:   rate = max(rate * factor, min_lr)
        after more than `patience` that are:                             rate = min(rate / factor, max_lr)

    Transformers' GreedyLR, of which the arguments and defaults are: `cooldown` values after a fall and `warmup` after a
    rise are not looked at at all; with `smooth` the mean of the last `window_size` values is looked at; when the rate
    was to fall `reset_start` times with every group at its floor, and never rose between, all begins anew.

    Args:
        initial: the rate that it begins with.
        factor: what the rate is multiplied or divided by.
        patience: values in a row that change nothing.
        threshold: by how much a value must be better.
        threshold_mode: "rel" or "abs", as in `plateau`.
        cooldown: values that are passed over after a fall.
        warmup: and after a rise.
        min_lr: the lowest rate; a number, or one for each group. Its default, Transformers', is above many peaks: such
            a rate never falls.
        max_lr: the highest rate, likewise.
        eps: the smallest change that is made.
        smooth: look at means. A value that is not finite is refused then, for it would stay in the sum for ever.
        window_size: of how many values.
        reset_start: see above.
        mode: whether less is better, "min", or more, "max".
        head, state: the schedule before it, and what it remembers; `.then` and what is observed set them.

    Raises:
        TypeError, ValueError: an argument out of range, with what it must be.

    Example:
        >>> import torch
        >>> from tapered import greedy
        >>> from tapered.attach import attach
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
        >>> clock = attach(optimizer, lr=greedy(0.1, factor=0.5, patience=1))
        >>> for loss in (1.0, 0.9):
        ...     clock.observe(loss)
        >>> optimizer.param_groups[0]["lr"]
        0.2
    """

    _example: ClassVar[str] = "greedy(0.1, factor=0.95, patience=10)"
    _bounds: ClassVar[tuple[str, ...]] = ("min_lr", "max_lr")
    factor: Share = 0.95
    patience: Index = 10
    threshold: Number = 1e-6
    threshold_mode: ThresholdMode = "abs"
    cooldown: Index = 0
    warmup: Index = 0
    min_lr: Bound = 1e-3
    max_lr: Bound = 1.0
    eps: NotNegative = 1e-8
    smooth: bool = False
    window_size: Steps = 50
    reset_start: Index = 500
    mode: Mode = "min"

    def _check(self) -> None:
        sensible(self)

    def _counted(self, value: float) -> Moved:
        value, state = self._smoothed(value)
        if state.cooling > 0:
            return replace(state, cooling=state.cooling - 1, bad=0, good=0), ""
        if state.warming > 0:
            return replace(state, warming=state.warming - 1, bad=0, good=0), ""
        if better(self, value):
            state = replace(state, best=value, bad=0, good=state.good + 1)
        else:
            state = replace(state, bad=state.bad + 1, good=0)
        if state.good > self.patience:
            return replace(state, warming=self.warmup, good=0, floored=0), "raises"
        if state.bad > self.patience:
            return replace(state, cooling=self.cooldown, bad=0), "lowers"
        return state, ""

    def _smoothed(self, value: float) -> tuple[float, State]:
        """The mean of the last values, whose sum is counted on as Transformers does."""
        state = self.state
        if not self.smooth:
            return value, state
        window, total = (*state.window, value), state.total + value
        if len(window) > self.window_size:
            total, window = total - window[0], window[1:]
        if not math.isfinite(value) or not math.isfinite(total):
            raise ValueError(
                f"got {value!r} as an observed value, and a mean with it; try leaving it out, or smooth=False"
            )
        return total / len(window), replace(state, window=window, total=total)

    def _rate(self, move: Move) -> float:
        if move != "raises":
            return lowered(self) if move else self.rate
        new = min(self.rate / self.factor, self._bound("max_lr"))
        return new if new - self.rate > self.eps else self.rate

    def _after(self, together: list[Self], move: Move) -> list[Self]:
        """Begin anew after so many falls from the floor."""
        if move != "lowers" or any(one.rate > one._bound("min_lr") for one in together):
            return together
        floored = together[0].state.floored + 1
        if floored >= self.reset_start:
            state = State(cooling=self.cooldown)
            return [one._but(state=replace(state, rate=one.initial)) for one in together]
        return [one._but(state=replace(one.state, floored=floored)) for one in together]

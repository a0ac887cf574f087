r"""What a range test found: losses over rates, the rates that rules of the literature read from them, and warnings.

steep      the rate with the lowest d loss / d ln rate               fastai `steep`; Lightning's `suggestion`
valley     in the middle of the longest fall                     fastai `valley`, its default
minimum    a tenth of the rate with the lowest loss                  fastai `minimum`

None of the rules has a proof; they read one noisy curve of a few steps. Where they differ much, only a study can tell.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from tapered.pictures.fragment import fragment
from tapered.words import counted, plain

FLAT = 0.01  # a fall of the loss below this share of its start says nothing about rates
APART = 3.0  # suggestions that differ by more do not agree
HALF = 0.5
SPLITS = {"train": "training", "valid": "validation"}
DIVERGED = 4.0  # times the lowest smoothed loss: where fastai stops


@dataclass(frozen=True)
class Suggestion:
    """A rate that a rule reads from a curve.

    Args:
        name: "steep", "valley" or "minimum".
        rate: The rate; None where the rule finds nothing.
        source: Where the rule comes from.

    Example:
        >>> Suggestion("minimum", 0.03, "fastai `minimum`").rate
        0.03
    """

    name: str
    rate: float | None
    source: str


@dataclass(frozen=True)
class Curve:
    """Losses over a log grid of rates.

    Args:
        kind: "rows": each rate trained by itself from the same state. "ramp": one run, its rate rising at each step.
        rates: Ascending; a ramp ends early where the loss diverged.
        losses: Rows: the loss at the end of each rate's run. Ramp: the loss of the minibatch at that rate, before its
            update. Infinite where it was not finite.
        smoothed: What the rules read: for rows the losses, for a ramp their average.
        start: The loss before any update.
        steps: Updates that each rate was given.
        split: Whose loss it is; of a ramp, whose losses are those of its minibatches, none.

    Example:
        >>> losses = (1.0, 0.9, 0.5, 0.1, 0.4, 9.0)
        >>> curve = Curve("rows", (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1), losses, losses, start=1.0, steps=20)
        >>> [(found.name, found.rate) for found in curve.suggestions], curve.flat
        ([('steep', 0.01), ('valley', 0.001), ('minimum', 0.003)], False)
    """

    kind: Literal["rows", "ramp"]
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    start: float
    steps: int
    split: str = ""

    @property
    def shows(self) -> str:
        """Which loss it is, in words."""
        if self.kind == "ramp":
            return "loss of the minibatches of one run whose rate rises at each step, and its average"
        of = SPLITS.get(self.split, self.split)
        return f"{of} loss after {counted(self.steps, 'step')} at each rate, all from the same weights".strip()

    @property
    def highest(self) -> float:
        """The highest loss that counts as no divergence: half as high again as the start, or as the lowest loss."""
        base = max((value for value in (self.start, min(self.smoothed)) if math.isfinite(value)), default=1.0)
        return base + HALF * abs(base)

    @property
    def lost(self) -> tuple[float, ...]:
        """The rates at which the loss diverged: it is not finite, or above `highest`; or the rate that ended a ramp."""
        ended = self.rates[-1:] if self.kind == "ramp" and stops(self.losses) else ()
        above = (rate for rate, loss in zip(self.rates, self.smoothed, strict=True) if not loss <= self.highest)
        return tuple(sorted({*above, *ended}))

    def __repr__(self) -> str:
        span = f"{len(self.rates)} rates from {self.rates[0]:.3g} to {self.rates[-1]:.3g}"
        read = ", ".join(f"{found.name} {found.rate:.3g}" for found in self.suggestions if found.rate is not None)
        return f"Curve({self.kind}: {span}, {counted(self.steps, 'step')} each; {read or 'nothing to suggest'})"

    def _repr_html_(self) -> str:
        from tapered.range_test import picture  # noqa: PLC0415  # draws curves, so it stands above them

        read = [("rule", "rate", "source")]
        read += [(one.name, "-" if one.rate is None else plain(one.rate), one.source) for one in self.suggestions]
        return fragment(
            [str(self)[6:-1]], picture=picture.svg(self), tables=[("Suggestions:", read)], notes=self.warnings
        )

    @property
    def used(self) -> slice:
        """What the rules read: up to the first loss that is not finite, or of rows the first one above the start.

        Of a ramp, as fastai does, without the first tenth, where the average is young, and the last 5 points.
        """
        top = self.start + FLAT * abs(self.start) if self.kind == "rows" else math.inf
        end = next((i for i, loss in enumerate(self.smoothed) if not loss <= top or loss == math.inf), len(self.rates))
        if self.kind == "rows":
            return slice(0, end)
        return slice(len(self.rates) // 10, max(min(end, len(self.rates) - 5), 0))

    @cached_property
    def suggestions(self) -> tuple[Suggestion, ...]:
        """What each rule reads from the curve."""
        rates, losses = self.rates[self.used], self.smoothed[self.used]
        enough = len(rates) > 2 and not self.flat
        found = {
            "steep": (steep, "fastai `steep`: where the loss falls fastest per ln(rate)"),
            "valley": (valley, "fastai `valley`: in the middle of the longest fall"),
            "minimum": (minimum, "fastai `minimum`: a tenth of the rate of the lowest loss"),
        }
        return tuple(
            Suggestion(name, rule(rates, losses) if enough else None, said) for name, (rule, said) in found.items()
        )

    @property
    def disagreement(self) -> float | None:
        """The largest suggestion over the smallest; None with fewer than two."""
        rates = [found.rate for found in self.suggestions if found.rate is not None]
        return max(rates) / min(rates) if len(rates) > 1 else None

    @property
    def span(self) -> tuple[float, float] | None:
        """Peaks for a study: from the lowest suggestion to the first rate at which the loss diverged, or the highest.

        No rule's rate, and no span of the three, holds the best peaks of longer runs: a rate that decays may begin far
        above what a few steps at it bear out. On tapered's own problems this span did (docs/explain.md).
        """
        rates = [found.rate for found in self.suggestions if found.rate is not None]
        if not rates:
            return None
        high = next((rate for rate in self.lost if rate > min(rates)), self.rates[-1])
        return float(f"{min(rates):.2g}"), float(f"{high:.2g}")

    @property
    def flat(self) -> bool:
        """Whether the loss never fell by a hundredth of its start."""
        return not self.fall >= FLAT * abs(self.start)

    @property
    def fall(self) -> float:
        """How far the lowest loss lies below the start; for a ramp below the first of those that the rules read."""
        losses = self.smoothed[self.used]
        top = self.start if self.kind == "rows" else next(iter(losses), math.nan)
        return top - min(losses, default=math.nan)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to bear in mind before a suggestion is taken, in sentences."""
        losses, rates = self.smoothed[self.used], self.rates[self.used]
        if len(rates) < 3:
            return (f"The loss diverged at or near the lowest rate {self.rates[0]:.3g}: try a lower one.",)
        if self.flat:
            better = "more steps a rate" if self.kind == "rows" else "more points"
            fallen = f"no rate lowered the loss by {FLAT:.0%} of {plain(self.start)}"
            return (f"The curve is flat: {fallen}, so there is nothing to read. Try higher rates, or {better}.",)
        said, place = [], int(np.argmin(losses))
        if place == 0 and self.kind == "rows":
            said.append(f"The lowest rate {rates[0]:.3g} has the lowest loss: the best may lie below, try lower ones.")
        if self.rates[self.used][place] == self.rates[-1]:
            said.append(f"The highest rate {rates[-1]:.3g} has the lowest loss: none was too high, try higher ones.")
        if self.span is not None and (self.disagreement or 1) > APART:
            low, high = self.span
            count = 1 + math.ceil(2 * math.log10(high / low))  # at most a factor of sqrt(10) apart
            ends = "where the loss diverged" if self.lost else "the highest rate tried"
            said.append(
                f"The rules disagree by a factor of {plain(self.disagreement or 1, 3)}: this curve does not settle the "
                f"rate. For a study: peaks = {{ low = {low:g}, high = {high:g}, count = {count} }}, from the lowest of "
                f"them to {ends}."
            )
        return tuple(said)


def smooth(losses: Sequence[float], beta: float = 0.98) -> tuple[float, ...]:
    """fastai's average: `s <- beta s + (1 - beta) loss`, over `1 - beta^n` after n losses.

    >>> [round(value, 3) for value in smooth([1.0, 1.0, 4.0])]
    [1.0, 1.0, 2.02]
    """
    total, found = 0.0, []
    for n, loss in enumerate(losses, 1):
        total = beta * total + (1 - beta) * loss
        found.append(total / (1 - beta**n))
    return tuple(found)


def stops(losses: Sequence[float]) -> bool:
    """Whether a ramp has diverged: the average is above 4 times its lowest, or no number."""
    average = smooth(losses)
    if not all(math.isfinite(value) for value in average):
        return True
    low = min(average)
    # a loss that can be negative has no fourfold
    high = DIVERGED * low if low > 0 else low + (DIVERGED - 1) * max(abs(low), abs(average[0]))
    return average[-1] > high


def steep(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate from which to the next one the loss falls most per ln(rate); None where it falls nowhere.

    >>> steep([0.01, 0.1, 1.0], [3.0, 2.5, 0.5])
    0.1
    """
    slopes = np.diff(losses) / np.diff(np.log(rates))
    place = int(np.argmin(slopes))
    return rates[place] if slopes[place] < 0 else None


def valley(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """In the middle of the longest falling subsequence, as if its points stood side by side before its end.

    It ends at index e with length n; the suggestion is at index e - n + floor(n / 3) + floor(n / 6). None where the
    loss falls nowhere.

    >>> valley([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0], [3.0, 2.9, 2.0, 1.0, 1.5, 9.0])
    0.0001
    """
    longest = [1] * len(losses)
    for i, loss in enumerate(losses):
        longest[i] = 1 + max((longest[j] for j in range(i) if losses[j] > loss), default=0)
    length = max(longest)
    place = longest.index(length) - length + int(length / 3) + int(length / 6)
    return rates[max(place, 0)] if length > 1 else None


def minimum(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """A tenth of the rate with the lowest loss.

    >>> minimum([0.01, 0.1, 1.0], [3.0, 0.5, 2.5])
    0.01
    """
    return rates[int(np.argmin(losses))] / 10


def fields(curve: Curve) -> dict[str, Any]:
    """A curve as plain values for JSON: what is not finite becomes None.

    Args:
        curve: what was found.

    Example:
        >>> import math
        >>> losses = (1.0, 0.5, math.inf)
        >>> fields(Curve("rows", (1e-3, 1e-2, 1e-1), losses, losses, start=1.0, steps=20))["losses"]
        [1.0, 0.5, None]
    """
    lists = {"losses": curve.losses, "smoothed": curve.smoothed}
    return {
        "kind": curve.kind,
        "steps": curve.steps,
        "split": curve.split,
        "start": curve.start if math.isfinite(curve.start) else None,
        "rates": list(curve.rates),
        **{name: [v if math.isfinite(v) else None for v in values] for name, values in lists.items()},
        "diverged": list(curve.lost),
        "suggestions": [asdict(found) for found in curve.suggestions],
        "disagreement": curve.disagreement,
        "span": curve.span,
        "warnings": list(curve.warnings),
    }

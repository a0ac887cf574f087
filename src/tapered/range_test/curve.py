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
            fallen = f"no rate lowered the loss by {FLAT:.0%} of {self.start:.4g}"
            return (f"The curve is flat: {fallen}, so there is nothing to read. Try higher rates, or {better}.",)
        said, place = [], int(np.argmin(losses))
        if place == 0 and self.kind == "rows":
            said.append(f"The lowest rate {rates[0]:.3g} has the lowest loss: the best may lie below, try lower ones.")
        if self.rates[self.used][place] == self.rates[-1]:
            said.append(f"The highest rate {rates[-1]:.3g} has the lowest loss: none was too high, try higher ones.")
        if (self.disagreement or 1) > APART:
            chosen = [found.rate for found in self.suggestions if found.rate is not None]
            said.append(
                f"The rules disagree by a factor of {self.disagreement:.3g}: this curve does not settle the rate; "
                f"a study over peaks from {min(chosen):.2g} to {max(chosen):.2g} would."
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
        "start": curve.start if math.isfinite(curve.start) else None,
        "rates": list(curve.rates),
        **{name: [v if math.isfinite(v) else None for v in values] for name, values in lists.items()},
        "suggestions": [asdict(found) for found in curve.suggestions],
        "disagreement": curve.disagreement,
        "warnings": list(curve.warnings),
    }

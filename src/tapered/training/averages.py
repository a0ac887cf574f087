"""An average of the weights as a study, a command or Python states it; what is evaluated in the weights' place.

Average(kind="ema", decay=0.999) ─► over(path) ─► path of a rule that keeps it, with what is taken at every step
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from math import isfinite
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from tapered.rules import Averaged, Latest, Rule
from tapered.rules.averaged import BatchNorm, Beside
from tapered.training.formulas import values_of
from tapered.training.rows import Path
from tapered.words import suggest

Kind = Literal["ema", "swa", "lawa", "none"]
# what each kind takes beside `batch_norm`, those that it needs with one to paste
NEEDED: Mapping[str, Mapping[str, str]] = {
    "ema": {"decay": "0.999"},
    "swa": {"start": "0.75"},
    "lawa": {"latest": "5", "every": "100"},
    "none": {},
}
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "ema": ("ramp", "start", "every"),
    "swa": ("every",),
    "lawa": ("start",),
    "none": (),
}
MOST = 1000  # of the latest weights, each as large as the model
TRIED = 1000  # of a ramp's values, before its length is known


@dataclass(frozen=True)
class Average:
    r"""Which average of the weights is evaluated. Training does not notice it.

    Weights are taken after the updates `start`, `start + every`, ...; before the first, the weights themselves are
    evaluated. With n the number taken, from 1, and w the weights after this update:

        ema     average <- d average + (1 - d) w,  d = min(decay, ramp(n));  the first is a copy
        swa     average <- average + (w - average) / n,  the mean of all that were taken
        lawa    the mean of the latest `latest` that were taken, or of as many as there are
        none    the weights themselves; such a run shares its steps with those of other averages until they start

    So "ema" and "swa" at every step are `torch.optim.swa_utils.AveragedModel` with `get_ema_multi_avg_fn(decay)` and by
    default, updated after each step from `start` on. Buffers are those of the trained model, as there.

    Args:
        kind: "ema", "swa" (Izmailov et al. 2018), "lawa" (Kaddour 2022; Sanyal et al. 2023) or "none".
        decay: Of "ema", in [0, 1).
        ramp: A formula of t = n for "ema", such as "(1+t)/(10+t)", at least 0; the decay is at most its value.
        start: The update whose weights are the first: a whole number, or a share of the run below 1; else `every`.
        every: Updates from one to the next: a whole number, or a share of the run below 1. By default 1.
        latest: Of "lawa", how many; each takes as much memory as the weights.
        batch_norm: BatchNorm's statistics where the average is evaluated: "trained", those that training kept, or
            "recomputed", with the average's weights over an epoch's minibatches in training mode, as
            `torch.optim.swa_utils.update_bn` does; every evaluation then costs a forward pass over the training split,
            and is made row after row.

    Raises:
        ValueError: If a field is out of its range, missing, or not one that its kind takes.

    Example:
        >>> from tapered import rules
        >>> from tapered.training.rows import tabulate
        >>> path = Average("ema", decay=0.9, ramp="(1+t)/(10+t)").over(tabulate(rules.Adam(), 4, lr=0.1))
        >>> (1 - path.hypers["newest"]).round(3).tolist()
        [0.0, 0.25, 0.308, 0.357]
    """

    kind: Kind
    decay: float | None = None
    ramp: str | None = None
    start: float | None = None
    every: float | None = None
    latest: int | None = None
    batch_norm: BatchNorm = "trained"

    def __post_init__(self) -> None:
        """Refuse what no average has, before anything is trained."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind={self.kind!r} is no average; {suggest(str(self.kind), get_args(Kind))}")
        given = {name for name, value in asdict(self).items() if value is not None} - {"kind", "batch_norm"}
        for name in sorted(given - {*NEEDED[self.kind], *ALLOWED[self.kind]}):
            raise ValueError(f"{name} is nothing that {self.kind} takes; leave it out")
        for name, example in NEEDED[self.kind].items():
            if name not in given:
                raise ValueError(f"{self.kind} needs {name}; try {name} = {example}")
        if self.batch_norm not in get_args(BatchNorm):
            raise ValueError(f'batch_norm={self.batch_norm!r} is neither "trained" nor "recomputed"')
        self._check_numbers()

    def _check_numbers(self) -> None:
        if self.decay is not None and not (_is_number(self.decay) and 0 <= self.decay < 1):
            raise ValueError(f"decay={self.decay!r} is no number in [0, 1); try decay = 0.999")
        for name in ("start", "every"):
            value = getattr(self, name)
            if value is not None and not (
                _is_number(value) and (0 < value < 1 or (value >= 1 and value == int(value)))
            ):
                raise ValueError(
                    f"{name}={value!r} is neither a whole number of updates, at least 1, nor a share of the run, "
                    f"between 0 and 1; try {name} = 100"
                )
        if self.latest is not None and not (type(self.latest) is int and 1 <= self.latest <= MOST):
            raise ValueError(f"latest={self.latest!r} is no whole number from 1 to {MOST:,}; try latest = 5")
        if self.ramp is not None:
            self._ramped(np.arange(1.0, TRIED + 1))

    @classmethod
    def read(cls, given: Any) -> Self:
        """The average that a table of fields states, as a file has it.

        Raises:
            ValueError: If it is no table, or a field is unknown.

        >>> Average.read({"kind": "swa", "strat": 0.75})
        Traceback (most recent call last):
        ...
        ValueError: 'strat' is no field of an average; try "start"
        """
        if isinstance(given, cls):
            return given
        known = [field.name for field in fields(cls)]
        if not isinstance(given, Mapping) or "kind" not in given:
            raise ValueError(f'{given!r:.80} is no average; try {{ kind = "ema", decay = 0.999 }}')
        for name in given:
            if name not in known:
                raise ValueError(f"{name!r:.80} is no field of an average; {suggest(str(name), known)}")
        return cls(**given)

    @property
    def given(self) -> dict[str, Any]:
        """The fields that are not at their defaults, as plain values.

        >>> Average("ema", decay=0.999).given
        {'kind': 'ema', 'decay': 0.999}
        """
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default}

    def __str__(self) -> str:
        parts = [f"{name}={value}" for name, value in self.given.items() if name != "kind"]
        return f"{self.kind} ({', '.join(parts)})" if parts else self.kind

    def settled(self, steps: int) -> Self:
        """The same with updates in the place of shares of a run of so many steps.

        Raises:
            ValueError: If nothing would be taken in it.

        >>> Average("swa", start=0.75, every=0.05).settled(1000)
        Average(kind='swa', decay=None, ramp=None, start=750, every=50, latest=None, batch_norm='trained')
        """
        if self.kind == "none":
            return self
        every = None if self.every is None else _updates(self.every, steps)
        start = (every or 1) if self.start is None else _updates(self.start, steps)
        if start > steps:
            raise ValueError(
                f"the first weights of the average would be taken after update {start:,}, and the run makes {steps:,}; "
                f"try start = {max(1, steps // 2)}, or a lower every"
            )
        return replace(self, start=start, every=every)

    def wrapped(self, rule: Rule) -> Beside:
        """The rule, with this average beside it."""
        if self.latest is not None:
            return Latest(rule, self.batch_norm, self.latest)
        return Averaged(rule, self.batch_norm)

    def over(self, path: Path) -> Path:
        """The path of the rule with this average beside it; shares are of the path's steps."""
        rule = self.wrapped(path.rule)
        return Path(rule, {**path.hypers, rule.own[0]: _taken(self, path.steps)})

    def table(self, steps: int) -> NDArray[np.float64]:
        """What `rules.Averaged` or `rules.Latest` is to take at each step."""
        if self.kind == "none":
            return np.ones(steps)
        every = _updates(self.every or 1, steps)
        start = every if self.start is None else _updates(self.start, steps)
        return replace(self, start=start, every=every).between(0, steps)

    def between(self, first: int, stop: int) -> NDArray[np.float64]:
        """The same at the steps from `first` to before `stop`; `start` and `every` are numbers of updates.

        >>> Average("swa", start=3, every=2).between(1, 8).round(3).tolist()
        [1.0, 1.0, 0.0, 0.5, 0.0, 0.333, 0.0]
        """
        every = int(self.every or 1)
        since = np.arange(first + 1, stop + 1) - int(self.start or every)
        count, taking = np.where(since >= 0, since // every + 1, 0), since % every == 0
        if self.kind == "lawa":
            return count.astype(np.float64)
        low = max(1, count.min(initial=max(1, count.max(initial=1))))
        shares = self._shares(np.arange(low, count.max(initial=0) + 1.0))
        newest = np.where(taking, np.append(shares, 1.0)[np.maximum(count - low, -1)], 0.0)
        return np.where(since < 0, 1.0, newest)

    def _shares(self, n: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of the newest weights where n are taken."""
        if self.kind == "swa":
            return 1 / n
        decay = np.full(len(n), self.decay, dtype=np.float64)
        shares: NDArray[np.float64] = 1 - (decay if self.ramp is None else np.minimum(decay, self._ramped(n)))
        shares[n == 1] = 1.0
        return shares

    def _ramped(self, n: NDArray[np.float64]) -> NDArray[np.float64]:
        """The ramp's value where n are taken.

        Raises:
            ValueError: If the ramp is no formula, or has no value of at least 0 somewhere.
        """
        if not isinstance(self.ramp, str):
            raise ValueError(  # noqa: TRY004 - as of every other field
                f'ramp={self.ramp!r} is no text; try ramp = "(1+t)/(10+t)"'
            )
        try:
            values = values_of(self.ramp, n)
        except ValueError as error:
            raise ValueError(f'ramp: {error}; try ramp = "(1+t)/(10+t)"') from None
        bad = np.flatnonzero(~(values >= 0))
        if len(bad):
            raise ValueError(
                f'ramp="{self.ramp}" is {values[bad[0]]:g} at t={n[bad[0]]:g}; expected at least 0; '
                f'try ramp = "(1+t)/(10+t)"'
            )
        return values


@lru_cache(maxsize=64)
def _taken(average: Average, steps: int) -> NDArray[np.float64]:
    """One array for all runs of an average."""
    table = average.table(steps)
    table.flags.writeable = False
    return table


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _updates(moment: float, steps: int) -> int:
    """A number of updates, or a share of so many steps as one, at least 1."""
    return int(moment) if moment >= 1 else max(1, round(moment * steps))

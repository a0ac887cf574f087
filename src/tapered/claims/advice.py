"""A schedule to start from, for each purpose: what sources say, what tapered measured, what study would settle it.

advice.toml ─► Advice ─► schedule, peaks, worst case of so many steps; says(): measured figures; study(): a file's text

The table is data. A figure of tapered's stands in it by name and is read from the results that the package brings.
"""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from tapered.claims.kept import kept
from tapered.schedules import Schedule, parse
from tapered.theory import worst_case
from tapered.words import suggest

FEWEST = 100  # steps, of which every share is whole
MOST = 100_000  # steps whose worst case is computed; it hardly changes with their number
BEYOND = 10**0.5  # how far a study looks below and above the peaks
WORKLOAD = "bmi"  # which needs nothing and takes seconds, until a user's own stands there


@dataclass(frozen=True)
class Source:
    """Somebody's paper, code or documentation: its name, where it is, and what it says."""

    name: str
    link: str
    says: str


@dataclass(frozen=True)
class Measured:
    """What a claim's studies found: the claim's name, and a text with its figures by name."""

    claim: str
    says: str

    def told(self) -> str:
        """The text with the figures of the results that the package brings."""
        return self.says.format_map(kept()[self.claim]["figures"])


@dataclass(frozen=True)
class Advice:
    """Where to start, for one purpose.

    Args:
        purpose: Its name.
        title: For whom it is.
        rule: The optimizer whose peaks these are.
        weight_decay: Likewise.
        schedule: A text in which `steps` stands for the number of steps.
        words: The same in words.
        peaks: The lowest and the highest peak that sources name or studies found best.
        horizon: Where it ends.
        rivals: Name -> a schedule that a study of one's own sets beside it and a constant rate.
        sources: Who says so.
        measured: What tapered's own studies found of it.
    """

    purpose: str
    title: str
    rule: str
    weight_decay: float
    schedule: str
    words: str
    peaks: tuple[float, float]
    horizon: str
    rivals: Mapping[str, str]
    sources: tuple[Source, ...]
    measured: tuple[Measured, ...]

    def shape(self, steps: int) -> Schedule:
        """The schedule of so many steps, whose highest value is 1.

        Raises:
            ValueError: there are too few steps for its parts.
        """
        if steps < FEWEST:
            raise ValueError(f"got --steps={steps}; expected at least {FEWEST}, since warmup is a share of them")
        return parse(self.schedule, {"steps": steps})

    @property
    def peak(self) -> float:
        """The middle of its peaks, to one digit."""
        return float(f"{math.sqrt(self.peaks[0] * self.peaks[1]):.0e}")

    def ratio(self, steps: int) -> float:
        """Its worst case over the least of all schedules (docs/theory.md)."""
        counted = min(steps, MOST)
        return worst_case(self.shape(counted), counted).ratio

    def code(self, steps: int) -> str:
        """One line of one's own script."""
        hypers = f", weight_decay={self.weight_decay}" if self.weight_decay else ""
        return f"optimizer = tapered.{self.rule}(model.parameters(), lr={self.peak * self.shape(steps)}{hypers})"

    def study(self, steps: int, workload: str | None = None) -> str:
        """A study file that sets it beside a constant rate and its rivals, on a model of one's own.

        Args:
            steps: Updates of each run.
            workload: "FILE:NAME", or a built-in one.
        """
        low, high = self.peaks[0] / BEYOND, self.peaks[1] * BEYOND
        rise = self.schedule.partition(".then(")[0]  # a constant rate has the same warmup
        arms = {"constant": rise, "recommended": self.schedule, **self.rivals}
        known = " ".join(f"{source.name}: {source.says}." for source in self.sources)
        own = "" if workload else '   # yours here: "mine.py:problem", see docs/problems.md'
        decay = f"hypers = {{ weight_decay = {self.weight_decay} }}\n" if self.weight_decay else ""
        head = f"""\
# Made by: tapered recommend --for {self.purpose} --steps {steps}
# What it takes: tapered study FILE --plan. The answer: tapered study FILE.

name = "{self.purpose}"
question = {json.dumps(f"Does it help {self.rule} here to go {self.words}?")}
criterion = "Whether recommended beats constant on fresh seeds, both tuned."
known = {json.dumps(known)}
workload = {json.dumps(workload or WORKLOAD)}{own}
steps = {steps}
seeds = 8
baseline = "constant"
peaks = {{ low = {low:.1e}, high = {high:.1e}, count = {1 + math.ceil(2 * math.log10(high / low))} }}
extend = 2   # the grid, where a best peak is at its edge
"""
        return head + "".join(
            f'\n[[arms]]\nname = "{name}"\nrule = "{self.rule}"\nlr = {json.dumps(text)}\n{decay}'
            for name, text in arms.items()
        )


@cache
def table() -> dict[str, Advice]:
    """Every advice, by its purpose."""
    found = tomllib.loads((resources.files("tapered.claims") / "advice.toml").read_text())
    return {purpose: _advice(purpose, **fields) for purpose, fields in found.items()}


def _advice(purpose: str, *, sources: list[Any], measured: list[Any], **fields: Any) -> Advice:
    return Advice(
        purpose,
        sources=tuple(Source(**each) for each in sources),
        measured=tuple(Measured(**each) for each in measured),
        **{**fields, "peaks": tuple(fields["peaks"])},
    )


def advice(purpose: str) -> Advice:
    """The advice for a purpose.

    Raises:
        ValueError: there is no such purpose.

    >>> advice("finetune").code(1000)
    'optimizer = tapered.AdamW(model.parameters(), lr=2e-05 * warmup(60).then(linear(steps=940)), weight_decay=0.1)'
    """
    known = table()
    if purpose not in known:
        raise ValueError(f"got --for {purpose!r:.80}; {suggest(purpose, known)}")
    return known[purpose]

"""What an optimizer knows beside its groups and state."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tapered.optim.freezing import Freezing
from tapered.optim.multipliers import factor
from tapered.optim.policies import Rates
from tapered.schedules import Schedule


@dataclass
class Running:
    """What an optimizer knows beside its groups and state.

    It is changed in place: wrappers that pass attributes through (Lightning's) run these methods as their own, and an
    attribute that is set there stays there.

    Args:
        given: what the constructor, or `replace`, gave for every group.
        follows: each group's schedules; their texts in the groups are what counts.
        scales: each group's multiplier when its rate was last written.
        built: the constructor is done, so that groups are late.
        refused: why no step is made; the last state was not loaded.
        used: the rates of the last update.
        written: somebody wrote a number into a late group, and no schedule goes through it yet.
        change: why the next step reports, and the rates before.
        report: the line about the latest change.
        evaluates: within `readout`.
        freezing: what stands still, and until when.
        prepared: what stays the same from step to step, by group.
    """

    given: dict[str, Any] = field(default_factory=dict)
    follows: list[dict[str, Schedule]] = field(default_factory=list)
    scales: dict[int, float] = field(default_factory=dict)
    built: bool = False
    refused: str = ""
    used: tuple[float, ...] | None = None
    written: bool = False
    change: tuple[str, Rates] | None = None
    report: str = ""
    evaluates: bool = False
    freezing: Freezing = field(default_factory=Freezing)
    prepared: dict[int, Any] = field(default_factory=dict)

    def copied(self) -> "Running":
        """The same, to go back to."""
        follows = [dict(found) for found in self.follows]
        scales, freezing = dict(self.scales), self.freezing.copied()
        return replace(self, given=dict(self.given), follows=follows, scales=scales, freezing=freezing, prepared={})

    def wrote(self, groups: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """The rates of these groups were written, with their multipliers of now."""
        self.scales |= {i: factor(group, group.get("multiplier"), i) for i, group in groups}

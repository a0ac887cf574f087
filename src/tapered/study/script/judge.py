"""What a run of a script has said and applied, judged: while it runs, and when it has ended.

reports, applied rates ─► Judge ─► Seen
"""

from dataclasses import dataclass
from math import inf, isfinite, isnan
from pathlib import Path

from tapered.scripts import notes
from tapered.scripts.asked import FACTS, Asked
from tapered.scripts.ended import Seen
from tapered.scripts.metrics import Told, reader
from tapered.scripts.rates import applied, compare

SINCE_START = "train_loss"  # with which Trainer ends: the mean since it was started, another one after a resume
EARLY = 8  # steps at which two seeds tell the same, by which it is known before their end


@dataclass(frozen=True)
class Judge:
    """Judges the folder of a run; a value, which another process can be given.

    Args:
        metrics: Where the script's numbers are.
        step: Which column counts its updates; None where that has a usual name.
        metric: What it must have told where it ends.
        beside: The folder of a run of another seed that is asked the same; None where there is none.
    """

    metrics: str
    step: str | None
    metric: str
    beside: Path | None = None

    def told(self, folder: Path) -> Told:
        """What it reported."""
        return reader(self.metrics, self.step).read(folder.absolute())

    def __call__(self, folder: Path) -> Seen:
        """What is known of a run; read while it runs, or after."""
        asked, rates = Asked.read(folder)
        told, seen = self.told(folder), applied(folder)
        wrong, lacking, updates = "", self._lacking(told, asked.until), 0
        if seen:
            updates = asked.start + len({int(update) for update in seen[0].updates})
            difference = compare(rates, seen, asked.start, asked.until)
            if difference is not None and difference.missing:
                lacking = lacking or f"{difference}"
            elif difference is not None:
                wrong = f"applied another rate than was asked: {difference}"
        elif asked.rate == "set":
            lacking = lacking or (
                "made no update of a torch optimizer that was seen, so that nothing set its rate; try "
                'rate = "off", and the rate given by its own arguments'
            )
        if unset := notes.wrong(folder, asked.rate):
            lacking = lacking or f"was not trained as asked: {unset}"  # while it starts, not all of it is there yet
        if asked.rate != "off" and (wrong or lacking) and (hints := notes.hints(folder)):
            wrong, lacking = (text and f"{text} ({'; '.join(hints)})" for text in (wrong, lacking))
        return Seen(told.last, told.count, updates, self.diverged(told), wrong or self._ignores(told), lacking)

    def counts(self, name: str) -> bool:
        """Whether a number says how training goes: the metric, or a loss; not how long a step took, say."""
        return name == self.metric or ("loss" in name.lower() and name != SINCE_START)

    def _ignores(self, told: Told) -> str:
        """That it tells what another seed told, as far as can be said while both run; "" where it does not."""
        if self.beside is None or not (self.beside / FACTS).exists():
            return ""
        ours, theirs = (self._numbers(each) for each in (told, self.told(self.beside)))
        common = ours.keys() & theirs.keys()
        steps, names = {step for _, step in common}, {name for name, _ in common}
        moves = len({(name, ours[name, step]) for name, step in common}) > len(names)
        if len(steps) < EARLY or not moves or any(ours[key] != theirs[key] for key in common):
            return ""
        seed = Asked.read_light(self.beside)[0].seed
        return (
            f"told the same numbers as seed {seed} at {len(steps)} steps, so that the seed has no effect, and pairs of "
            f"seeds would be one pair; let the script draw from {{seed}}"
        )

    def _numbers(self, told: Told) -> dict[tuple[str, int], float]:
        return {(name, step): x for name in filter(self.counts, told.points) for step, x in told.points[name].items()}

    def diverged(self, told: Told) -> int | None:
        """The first step at which such a number is not finite; None where there is none."""
        lost = (
            step
            for name, points in told.points.items()
            if self.counts(name)
            for step, value in points.items()
            if not isfinite(value)
        )
        return min(lost, default=None)

    def gap(self, one: Told, other: Told, after: int = 0, *, more: bool = False) -> float:
        """The largest difference of such numbers after a step; infinite where one told what the other did not.

        Args:
            one: What the first told.
            other: What the other told.
            after: The step.
            more: Whether the other may have told more, as one that was stopped tells of its end.
        """
        most = 0.0
        for name in filter(self.counts, {*one.points, *other.points}):
            ours, theirs = ({s: v for s, v in told.points.get(name, {}).items() if s > after} for told in (one, other))
            if ours.keys() != theirs.keys() and not (more and ours.keys() <= theirs.keys()):
                return inf
            for step, value in ours.items():
                if value != theirs[step] and not (isnan(value) and isnan(theirs[step])):
                    difference = abs(value - theirs[step])
                    most = max(most, inf if isnan(difference) else difference)
        return most

    def _lacking(self, told: Told, until: int) -> str:
        """What it has not told of the study's metric; what it has told at all is looked at by who watches it."""
        if told.last is None:
            return ""
        points = told.points.get(self.metric)
        if not points:
            others = ", ".join(sorted(told.points))
            return f"told no {self.metric!r}, the study's metric; it told {others}"
        if max(points) < until and told.last >= until:
            return f"told {self.metric} at step {max(points)} last, and not at its end, step {until}"
        return ""

"""Arms whose rate follows what a run tells: what was decided, and what a verdict on them must say."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from tapered.schedules.observed import Decision
from tapered.schedules.picture import samples
from tapered.study.file.following import Following
from tapered.study.result.asked import Asked
from tapered.study.result.partial import SoFar
from tapered.study.result.values import ArmResult
from tapered.study.store.runs import Run
from tapered.words import counted

Points = list[tuple[int, float]]
VERBS = ("follows", "is"), ("follow", "are")


@dataclass(frozen=True)
class Followed:
    """An arm at its best peak whose rate followed its runs.

    Args:
        name: The arm's name.
        fixed: Whether its rate stands as written, outside the tuned comparison.
        runs: Its runs at that peak, those of fresh seeds last.
        following: What set its rate, and what that was told.
    """

    name: str
    fixed: bool
    runs: tuple[Run, ...]
    following: Following

    @cached_property
    def decided(self) -> list[tuple[Run, tuple[Decision, ...]]]:
        """What was decided in each run."""
        return [(run, self.following.decisions(run)) for run in self.runs]

    @property
    def paths(self) -> list[tuple[list[Run], Points]]:
        """The rates that were applied, each with the runs that had it: (step, rate) beside every boundary."""
        found: dict[tuple[Decision, ...], list[Run]] = {}
        for run, decisions in self.decided:
            alike = tuple(Decision(d.step, 0.0, d.before, d.after) for d in decisions)
            found.setdefault(alike, []).append(run)
        return [(runs, points(self.following, decisions)) for decisions, runs in found.items()]

    @property
    def line(self) -> str:
        """What it followed and decided, as a sentence."""
        steps = [decision.step for _, decisions in self.decided for decision in decisions]
        changes = f"{counted(len(steps), 'decision')} in {counted(len(self.decided), 'run')} at its best peak"
        when = f", from step {min(steps):,} to {max(steps):,}" if steps else ""
        return f"{self.name} follows {self.following.observed}: {changes}{when}."


def points(following: Following, decisions: Sequence[Decision]) -> Points:
    """A rate as applied, at about 400 steps and beside every boundary."""
    schedule = following.schedule(decisions)
    return [(step, schedule(step)) for step in samples(schedule, following.steps)]


def followed(asked: Asked, arms: Iterable[ArmResult | SoFar]) -> list[Followed]:
    """The arms whose rate followed their runs, in order, of those that have a best peak."""
    stated, found = {arm.name: arm for arm in asked.study.arms}, []
    for arm in arms:
        if arm.best is None:
            continue
        own, again = stated[arm.name], arm.fresh.runs if isinstance(arm, ArmResult) and arm.fresh else ()
        following = own.at(arm.best.peak).following(asked.steps, arm.best.peak)
        if following is not None:
            found.append(Followed(arm.name, own.fixed, (*arm.best.runs, *again), following))
    return found


def seen(asked: Asked, arms: Sequence[ArmResult]) -> Iterator[str]:
    """What a verdict must say of them: that they saw what they are judged on, and that one decided nothing."""
    each, split = followed(asked, arms), asked.study.metric.rpartition("/")[0] or "valid"
    saw: dict[str, list[str]] = {}
    for found in each:
        if found.following.observed.split == split and not found.fixed:
            saw.setdefault(str(found.following.observed), []).append(found.name)
    for observed, names in saw.items():
        follow, are = VERBS[len(names) > 1]
        yield (
            f"{', '.join(names)} {follow} {observed}, and {are} judged on the same examples: what others are "
            f"only measured by was seen in training, which may flatter the difference. Observe another split of the "
            f'workload\'s, observes = "NAME/loss", or the training loss.'
        )
    for found in each:
        if not any(decisions for _, decisions in found.decided):
            most = max((len(found.following.told(run)) for run, _ in found.decided), default=0)
            yield (
                f"{found.name} decided nothing at its best peak: {found.following.controller} was told "
                f"{counted(most, 'value')} a run, and its rate never changed. Try less patience, or more evaluations."
            )

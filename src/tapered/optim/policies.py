"""What holds when a saved schedule meets another: the policies of loading, the same for optimizers and for a Clock.

resume    the same schedule; anything different is refused
saved     the saved schedule, whatever this one is
replace   this one, counted from now or from the start
extend    the saved one with this one's later horizon: what remains is stretched, or the value now is held
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tapered.schedules import Schedule, constant, followed
from tapered.schedules.changes import How, extended
from tapered.schedules.controllers import steered

Policy = Literal["resume", "saved", "replace", "extend"]
Counted = Literal["now", "start"]
Rates = Mapping[tuple[int, str], float]  # by group and hyper
logger = logging.getLogger("tapered")


@dataclass(frozen=True)
class Reload:
    """A policy with what it needs to know: `counted` for replace, `how` for extend.

    Raises:
        ValueError: an unknown policy, or one that is not told enough.
    """

    policy: Policy = "resume"
    counted: Counted | None = None
    how: How | None = None

    def __post_init__(self) -> None:
        known = get_args(Policy)
        if self.policy not in known:
            raise ValueError(f"got policy={self.policy!r}; expected one of {', '.join(map(repr, known))}")
        one_of("counted", self.counted, get_args(Counted))
        one_of("how", self.how, get_args(How))
        if self.policy == "extend" and self.how is None:
            raise ValueError(
                "got policy='extend' without how; try how='stretch' (spread what remains of the schedule up to the "
                "new horizon) or how='hold' (keep the value at this step until the rest ends there)"
            )

    def chosen(self, where: str, own: Schedule, saved: str | Schedule, step: int) -> Schedule:
        """The schedule that holds for one hyper after loading.

        Args:
            where: the hyper and its group, for the message.
            own: what is in place.
            saved: the saved one, as text.
            step: completed updates.

        Raises:
            ValueError: they differ and the policy is resume; a text that cannot be read; nothing to extend.
        """
        if self.policy == "replace":
            return self.placed(where, own, step)
        if str(saved) == str(own):  # as text, since a user's function has nothing more to show
            return own
        told = resumable(own, saved)
        if told is not None:
            return told
        if self.policy == "resume":
            raise ValueError(f"{where} differs: saved {saved}, this one's {own}; {ADVICE}")
        try:
            kept = followed(saved) if isinstance(saved, str) else saved
        except ValueError as error:
            raise ValueError(
                f"{where}: the saved schedule cannot be read back ({error}); give this one instead, policy='replace'"
            ) from None
        if self.policy == "saved" or isinstance(kept, constant):
            return kept
        if own.horizon is None or self.how is None:
            raise ValueError(f"{where}: {own} never ends, so it says no new horizon for {kept}; {ADVICE}")
        return extended(kept, step, own.horizon, self.how)

    def placed(self, where: str, schedule: Schedule, step: int) -> Schedule:
        """A new schedule, its step 0 now or at the start of the run.

        Raises:
            ValueError: it was not said which.
        """
        if is_constant(schedule) or step == 0 or self.counted == "start":
            return schedule
        if self.counted is None:
            raise ValueError(
                f"{where} is replaced by {schedule} at step {step}, and it was not said what its step 0 is; try "
                "counted='now' (this step) or counted='start' (the start of the run)"
            )
        return schedule.delayed(step)


def is_constant(schedule: Schedule) -> bool:
    """It has no step 0 of its own: a number, or a controller without a head."""
    return isinstance(schedule, constant) or (isinstance(schedule, steered) and schedule.controller.head is None)


def resumable(own: Schedule, saved: str | Schedule) -> Schedule | None:
    """The saved path of a controller, where this one is of the same rule in another state; else None."""
    if not isinstance(own, steered):
        return None
    try:
        kept = followed(saved) if isinstance(saved, str) else saved
    except ValueError:
        return None
    return kept if own.follows_alike(kept) else None


def alike(one: Any, other: Any) -> bool:
    """Texts of one schedule, or of one controller in two states; or equal numbers."""
    if one == other or not isinstance(one, str) or not isinstance(other, str):
        return bool(one == other)
    try:
        return resumable(followed(one), other) is not None
    except ValueError:  # a user's function cannot be read back
        return False


ADVICE = (
    "say which holds: policy='saved', 'replace' (this one, counted='now' or 'start') or 'extend' (the saved one up "
    "to this one's horizon, how='stretch' or 'hold')"
)


def one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    """Refuse a word that is none of those known; None passes."""
    if value is not None and value not in known:
        raise ValueError(f"got {name}={value!r}; expected one of {', '.join(map(repr, known))}")


def ending_last(schedules: Iterable[Schedule]) -> int | None:
    """The run's horizon: the latest among its schedules; None where none ends."""
    return max((s.horizon for s in schedules if s.horizon is not None), default=None)


def report(step: int, before: Rates, now: Rates, why: str) -> str:
    """One line on the first step after a change, also logged: the rate before, the rate now, and why."""
    said: dict[str, list[str]] = {}
    for (index, name), value in now.items():
        old = before.get((index, name))
        change = f"{name} {value:.6g}" if old is None else f"{name} {old:.6g} -> {value:.6g}"
        said.setdefault(change, []).append(str(index))
    rates = "; ".join(f"{change} (group {', '.join(groups)})" for change, groups in said.items())
    line = f"step {step}: {rates}: {why}"
    logger.info(line)
    return line

"""Which word a run's end gets: by how its last start ended, and by what its folder says.

How, Seen, steps, until ─► word_of ─► (word, why), or None: it crashed or hung, and may be started again
"""

import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tapered.scripts.ended import Seen, Word

Judge = Callable[[Path], Seen]
# no script ends itself so; a shell between says 128 more
OUTSIDE = {
    code
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for code in (-number, 128 + number)
}


@dataclass(frozen=True)
class How:
    """How one start ended.

    Args:
        code: Its exit code, as of `subprocess`.
        stopped: Whether it was asked to end, as a run that goes on later.
        hung: Why it was ended; "" where it ended by itself.
        last: Whether there is no time for another start.
    """

    code: int
    stopped: bool = False
    hung: str = ""
    last: bool = False

    @property
    def outside(self) -> bool:
        """Whether somebody else ended it."""
        return not self.hung and self.code in OUTSIDE

    def __str__(self) -> str:
        if self.hung:
            return self.hung
        if self.code >= 0:
            return f"ended with exit code {self.code}"
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-self.code).name}"
        return f"was ended by signal {-self.code}"


def wrong(seen: Seen, steps: int) -> str:
    """Why a run is refused, whatever it does from here on; "" where nothing is wrong."""
    if seen.wrong or seen.step is None or seen.step <= steps:
        return seen.wrong
    return f"reported step {seen.step} of {steps}; expected no step beyond the last, since budgets are to be equal"


def word_of(seen: Seen, how: How, steps: int, until: int) -> tuple[Word, str] | None:
    """The word for a run, and why; None where it crashed or hung."""
    done = seen.step is not None and seen.step >= until
    if why := wrong(seen, steps):
        return "refused", why
    if seen.diverged is not None:
        return "diverged", f"reported a number at {seen.diverged} that is not finite"
    if how.stopped and not (how.code == 0 and done):
        return "stopped", f"was asked to end, and did at {seen.furthest} of {steps}"
    return None if how.code or how.hung else _by_itself(seen, steps, until)


def _by_itself(seen: Seen, steps: int, until: int) -> tuple[Word, str]:
    """Of a script that ended with exit code 0."""
    if why := _short(seen, until) or seen.lacking:
        return "refused", why
    if (seen.step or 0) < steps:
        return "stopped", f"ended at its rung, {until} of {steps}"
    return "finished", f"made its {steps} steps"


def _short(seen: Seen, until: int) -> str:
    if seen.step is None:
        return f"ended with exit code 0 and reported nothing; expected a last report at {until}"
    if seen.step < until <= seen.updates:
        return f"made its {seen.updates} updates and reported {seen.step} last; let it report its last step, {until}"
    if seen.step < until:
        return f"ended at {seen.step} of {until}, with exit code 0; expected a last report at {until}"
    return ""

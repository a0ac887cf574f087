"""What `--check` found of a script, kept in the study's folder: whether runs may share steps depends on it.

Checked ─► check.json ─► spacing(folder)
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tapered.files import whole
from tapered.files.sealed import UnsealedError, sealed, unsealed
from tapered.study.plan.planned import Planned
from tapered.study.store.runs import run_key

CHECK = "check.json"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: What: "seed", "resume", ...
        good: Whether it is as it should be; None where it could not be seen.
        text: What was found, as a sentence.
        fix: What to change; "" where there is nothing to.
    """

    name: str
    good: bool | None
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Args:
        findings: One after another.
        every: Updates between checkpoints from which it goes on exactly: 1 where any will do, 0 where none will.
        noise: The largest difference of two runs that were asked the same.
        seconds: How long its runs took, one after another.
        steps: Updates of each run.
        starts: How often the script was started.
    """

    findings: tuple[Finding, ...]
    every: int
    noise: float | None
    seconds: float
    steps: int
    starts: int

    @property
    def exact(self) -> bool:
        """Whether it goes on exactly from checkpoints."""
        return self.every > 0

    @property
    def good(self) -> bool:
        """Whether a study may be made of it."""
        return all(found.good is not False for found in self.findings if found.name not in ("resume", "share", "same"))

    @property
    def sentence(self) -> str:
        """What a study of it may claim and share."""
        if not self.good:
            return "A study of it cannot be relied on yet: see what is marked NO."
        of = {found.name: found.good for found in self.findings}
        rate = "that each arm had the rate it states" if of.get("rate") else "nothing of the rate, which was not seen"
        noise = "" if not self.noise else f", beside the script's own noise of {self.noise:.2g}"
        shared = "steps are shared" if self.exact else "no steps are shared"
        return f"A study of it may claim {rate}{noise}; {shared}."

    def write(self, folder: Path, planned: Planned) -> None:
        """Keep it, whole, as what was found of this very study.

        Raises:
            OSError: The disk does not take it.
        """
        whole.replace(folder / CHECK, sealed({"study": _mark(planned), **asdict(self)}, indent=1).encode())


def _mark(planned: Planned) -> str:
    """What a check is of: the study, and how its script goes on, on which no number depends."""
    script = planned.study.script
    how = script and script.model_dump(mode="json", include={"resume", "checkpoints"})
    return run_key({"study": planned.identity, "script": how})


def known(folder: Path, planned: Planned) -> dict[str, Any] | None:
    """What a check of this very study found, as it was kept; None where there was none."""
    try:
        found = unsealed((folder / CHECK).read_text())
    except (OSError, UnsealedError, UnicodeDecodeError):
        return None
    return found if found.get("study") == _mark(planned) else None


def spacing(planned: Planned, folder: Path) -> int:
    """Updates between checkpoints that runs take over: 1 where any that is left will do, 0 where they share no steps.

    Only what a check of this very study found to be exact is shared.
    """
    script = planned.study.script
    if script is None or script.checkpoints is None or not (script.named or script.halts):
        return 0
    every = (known(folder, planned) or {}).get("every")
    return every if isinstance(every, int) else 0
